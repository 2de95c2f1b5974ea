"""The arms of R1's and R2's questions, one config each: does a student improve, and by what?

Every arm's seed s is compared with every other arm's seed s. The teacher of seed s starts from seed s; all its students
start from seed 100 + s, so that they share initial weights (where their widths agree) and the order of the data, and
differ in what they are taught alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm.auto import tqdm

from ecglib.beatgan.callbacks import OneBar
from ecglib.beatgan.distillation import SELF, Distillation, Knowledge
from ecglib.beatgan.experiments import BeatGANConfig, Run, is_finished, train_beatgan
from ecglib.data.mitbih import Beats

STUDENT_SEED = 100


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        name: what a reader sees.
        text: what is done.
        configs: one a seed.
    """

    name: str
    text: str
    configs: list[BeatGANConfig]


def distillation_arms(base: BeatGANConfig, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """Arms A to H, and S with a teacher of its own making.

    KD as coded has no arm: its term is a constant, so that it is arm B to the last bit (`as_coded_twins` shows it).

    Args:
        base: the budget; its seed is ignored.
        main_seeds: seeds of arms A, B, D and F.
        other_seeds: seeds of the others.
    """
    teachers = [replace(base, training=replace(base.training, seed=seed)) for seed in range(main_seeds)]

    def arm(name: str, text: str, *knowledge: Knowledge, width: float = 1, main: bool = False, **how: str) -> Arm:
        configs = []
        for teacher in teachers[: main_seeds if main else other_seeds]:
            settings = replace(base.training, seed=STUDENT_SEED + teacher.training.seed)
            lesson = Distillation(knowledge, **{"teacher": teacher.run_id, **how}) if knowledge else None  # type: ignore[arg-type]
            configs.append(replace(base, training=settings, width=width * base.width, distillation=lesson))
        return Arm(name, text, configs)

    return {
        "A": Arm("A teacher", "BeatGAN", teachers),
        "B": arm("B second run", "BeatGAN from other initial weights, no distillation: the control", main=True),
        "D": arm("D KD corrected", "equation 2 on the scores of a batch, with its gradient", "scores", main=True),
        "E1": arm("E KD on x'", "the student's x' towards the teacher's", "reconstruction"),
        "E2": arm("E KD on z", "the student's z towards the teacher's", "latent"),
        "E3": arm("E KD on features", "D's features of the student's x' towards those of the teacher's", "features"),
        "F": arm("F FD", "attention transfer over all hidden layers, squares summed over time", "attention", main=True),
        "Fc": arm("F FD as coded", "the same, squares averaged over time; its call restored", "attention_mean"),
        "Fw": arm("F FD as written", "the same, the norm instead of squares", "attention_norm"),
        "G": arm("G KD + FD", "D and F together", "scores", "attention"),
        "S": arm(
            "S self-teacher", "x' towards that of the student's own moving average", "reconstruction", teacher=SELF
        ),
        "H2": arm("H 1/2 width", "half as many channels, no distillation", width=0.5),
        "H2+": arm("H 1/2 width + KD", "the same, taught as in E on x'", "reconstruction", width=0.5),
        "H4": arm("H 1/4 width", "a quarter as many channels, no distillation", width=0.25),
        "H4+": arm("H 1/4 width + KD", "the same, taught as in E on x'", "reconstruction", width=0.25),
    }


def as_coded_twins(base: BeatGANConfig, teacher: str) -> tuple[BeatGANConfig, BeatGANConfig]:
    """A student with the distillation of R1's program, and the same without any.

    The program's term has no gradient, so both end in the same weights: a short training shows it.

    Args:
        base: the budget and the teacher's seed.
        teacher: run id of the teacher, trained with its weights kept.
    """
    plain = replace(base, training=replace(base.training, seed=STUDENT_SEED + base.training.seed))
    lesson = Distillation(("scores",), teacher, program="as coded", direction="teacher_student")
    return replace(plain, distillation=lesson), plain


def protocol_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """The teacher under other protocols, each of which needs a training of its own; seed s pairs with teacher s."""

    def arm(name: str, text: str, change: dict[str, object]) -> Arm:
        changed = replace(base, **change)  # type: ignore[arg-type]
        return Arm(
            name, text, [replace(changed, training=replace(changed.training, seed=seed)) for seed in range(seeds)]
        )

    return {
        "patients": arm("new patients", "trained on DS1, tested on the patients of DS2", {"split": "patients"}),
        "leads": arm("both leads", "both leads redrawn, the error averaged over them", {"leads": (0, 1)}),
        "warp": arm("time warp", "two of three beats warped", {"training": replace(base.training, time_warp=True)}),
    }


def train_arms(arms: Mapping[str, Arm], beats: Beats, store: Path, device: str = "auto") -> dict[str, list[Run]]:
    """The runs of all arms, in the order of their seeds; what the store has is loaded, what it lacks is trained.

    Args:
        arms: teachers before their students.
        beats: the beats that the configs were made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
    """
    configs = [config for arm in arms.values() for config in arm.configs]
    unfinished = [config for config in configs if not is_finished(store / config.run_id)]
    # A teacher whose students are all in the store need not have kept its weights.
    teachers = {config.distillation.teacher for config in unfinished if config.distillation}
    runs: dict[str, list[Run]] = {}
    with tqdm(total=sum(config.training.epochs for config in configs), desc="training", unit="epoch") as bar:
        for name, arm in arms.items():
            runs[name] = []
            for config in arm.configs:
                end = bar.n + config.training.epochs
                progress = OneBar(bar, f"{arm.name}, seed {config.training.seed}")
                weights = config.run_id in teachers
                runs[name].append(train_beatgan(config, beats, store, device, weights, progress=progress))
                bar.update(end - bar.n)
    return runs


def best_without_labels(runs: list[Run]) -> Run:
    """The run whose chosen epoch redraws normal validation beats best."""
    return min(runs, key=lambda run: float(run.history["error_normal"].min()))


def publish_best(
    configs: Sequence[BeatGANConfig],
    teachers: Sequence[BeatGANConfig],
    beats: Beats,
    store: Path,
    device: str = "auto",
) -> Run:
    """Keep the weights of the finished run that redraws normal validation beats best.

    A store that came without weights has the run trained again, after the teacher that it learned from.

    Args:
        configs: of finished runs, to choose among.
        teachers: those that these runs may have learned from.
        beats: the beats that the configs were made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
    """
    run_id = best_without_labels([Run(store / config.run_id) for config in configs]).folder.name
    best = next(config for config in configs if config.run_id == run_id)
    if best.distillation and not is_finished(store / run_id, weights=True):
        for teacher in teachers:
            if teacher.run_id == best.distillation.teacher:
                train_beatgan(teacher, beats, store, device, weights=True)
    run = train_beatgan(best, beats, store, device, weights=True)
    run.publish()
    return run
