"""The arms of R1's question: does a student improve, and by what?

Every arm's seed s is compared with seed s of its control. The teacher of seed s starts from seed s; all its students
start from seed 100 + s, so that they share initial weights (where their widths agree) and the order of the data, and
differ in what they are taught alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ecglib.beatgan.distillation import SELF, Distillation, Knowledge
from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.data.mitbih import Beats
from ecglib.runs.grid import STUDENT_SEED, Arm, obtain_with_weights


def distillation_arms(base: BeatGANConfig, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """Arms A to H, and S with a teacher of its own making.

    KD as coded has no arm: its term is a constant, so that it is arm B to the last bit (`as_coded_twins` shows it).

    Args:
        base: the budget; its seed is ignored.
        main_seeds: seeds of arms A, B, D and F.
        other_seeds: seeds of the others.
    """
    teachers = [replace(base, training=replace(base.training, seed=seed)) for seed in range(main_seeds)]

    def arm(
        name: str,
        text: str,
        *knowledge: Knowledge,
        control: str = "B",
        width: float = 1,
        main: bool = False,
        teacher: str = "",
    ) -> Arm:
        configs = []
        for one in teachers[: main_seeds if main else other_seeds]:
            settings = replace(base.training, seed=STUDENT_SEED + one.training.seed)
            taught = Distillation(knowledge, teacher or one.run_id) if knowledge else None
            configs.append(replace(base, training=settings, width=width * base.width, distillation=taught))
        return Arm(name, text, configs, control)

    return {
        "A": Arm("A teacher", "BeatGAN", teachers),
        "B": arm(
            "B second run", "BeatGAN from other initial weights, no distillation: the control", control="", main=True
        ),
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
        "H2+": arm("H 1/2 width + KD", "the same, taught as in E on x'", "reconstruction", control="H2", width=0.5),
        "H4": arm("H 1/4 width", "a quarter as many channels, no distillation", width=0.25),
        "H4+": arm("H 1/4 width + KD", "the same, taught as in E on x'", "reconstruction", control="H4", width=0.25),
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


def best_without_labels(runs: Iterable[BeatGANRun]) -> BeatGANRun:
    """The run whose chosen epoch redraws normal validation beats best."""
    return min(runs, key=lambda run: float(run.history["error_normal"].min()))


def publish_best(
    configs: Sequence[BeatGANConfig], others: Iterable[BeatGANConfig], beats: Beats, store: Path, device: str = "auto"
) -> BeatGANRun:
    """Keep the weights of the finished run that redraws normal validation beats best.

    A store that came without weights has the run trained again, after the teacher that it learned from.

    Args:
        configs: of finished runs, to choose among.
        others: the teachers that these runs may have learned from.
        beats: the beats that the configs were made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
    """
    chosen = best_without_labels(config.run(store) for config in configs).folder.name
    best = next(config for config in configs if config.run_id == chosen)
    run = obtain_with_weights(best, others, beats, store, device)
    run.publish()
    return run
