"""The arms of R1's question: does a student improve, and because of what?

Seed s of an arm is compared with seed s of its control. The teacher of seed s starts from seed s and all its students
from seed 100 + s: they share initial weights (where widths agree) and data order, and differ only in what they learn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ecglib.beatgan.baselines import BASELINES
from ecglib.beatgan.distillation import SELF, Distillation, Knowledge
from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import STUDENT_SEED
from ecglib.data.mitbih import Beats
from ecglib.runs.grid import Arm, obtain_with_weights

NARROW = {"H2": (0.5, "half"), "H4": (0.25, "a quarter"), "H8": (0.125, "an eighth")}  # arm -> width, in words
# Added to a narrow arm's key -> what it is taught: the knowledge that is more than a number a beat.
LESSONS: dict[str, tuple[str, Knowledge]] = {"+": ("x'", "reconstruction"), "f": ("features", "features")}


def teacher_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """The teacher, and the teacher without an adversary.

    BeatGAN's paper has an autoencoder (AE) in its table; a test of the adversary alone, on the same seeds,
    we found neither there nor in R1.

    Seed s of both starts from the same generator and sees the same batches. The seed of `base` is ignored.
    """
    teachers = [replace(base, training=replace(base.training, seed=seed)) for seed in range(seeds)]
    alone = [replace(one, training=replace(one.training, adversarial_weight=0.0)) for one in teachers]
    return {
        "A": Arm("A teacher", "BeatGAN", teachers),
        "N": Arm("N no adversary", "the same autoencoder, lambda of equation 1 is 0: nothing looks at D", alone, "A"),
    }


def distillation_arms(base: BeatGANConfig, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """Arms A to H and S; A, B, D, Ds, F and H have `main_seeds`, the others `other_seeds`.

    The seed of `base` is ignored. KD as coded has no arm: its term is a constant, so it equals arm B to the last bit
    (see `as_coded_twins`).
    """
    first = teacher_arms(base, main_seeds)["A"]
    teachers = first.configs

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

    narrow = {}
    for key, (width, words) in NARROW.items():
        name = f"H 1/{round(1 / width)} width"
        narrow[key] = arm(name, f"{words} of the channels, no distillation", width=width, main=True)
        for suffix, (on, knowledge) in LESSONS.items():
            narrow[key + suffix] = arm(
                f"{name} + KD on {on}",
                f"the same, taught as in E on {on}",
                knowledge,
                control=key,
                width=width,
                main=True,
            )
    return {
        "A": first,
        "B": arm(
            "B second run", "BeatGAN from other initial weights, no distillation: the control", control="", main=True
        ),
        "D": arm("D KD corrected", "equation 2 on the scores of a batch, with its gradient", "scores", main=True),
        "Ds": arm("D KD scaled", "the same on scores stretched to [0, 1] in each batch", "scaled_scores", main=True),
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
        **narrow,
    }


NEEDED = ("A", "B", "D")  # what notebook 03 cannot do without


def kept(arms: Mapping[str, Arm], left_out: str) -> dict[str, Arm]:
    """The arms without those whose keys `left_out` names, with spaces between; it may name baselines, too.

    Raises:
        EcglibError: a key is unknown, or the arm is needed, or is the control of one that stays.
    """
    keys = left_out.split()
    known = (*arms, *BASELINES)
    if unknown := [key for key in keys if key not in known]:
        raise EcglibError(f"left_out={left_out!r}: nothing is called {unknown[0]}; there are {', '.join(known)}.")
    if needed := [key for key in keys if key in NEEDED]:
        raise EcglibError(f"left_out={left_out!r}: notebook 03 cannot do without {', '.join(needed)}.")
    found = {key: arm for key, arm in arms.items() if key not in keys}
    for arm in found.values():
        if arm.control in keys:
            raise EcglibError(f"left_out={left_out!r}: {arm.control} is the control of {arm.name}; leave out both.")
    return found


def as_coded_twins(base: BeatGANConfig, teacher: str) -> tuple[BeatGANConfig, BeatGANConfig]:
    """A student with the distillation of R1's program, and the same student without it.

    The program's term has no gradient, so both end with the same weights. `teacher` is the id of a run with weights.
    """
    plain = replace(base, training=replace(base.training, seed=STUDENT_SEED + base.training.seed))
    lesson = Distillation(("scores",), teacher, program="as coded", direction="teacher_student")
    return replace(plain, distillation=lesson), plain


def protocol_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """The teacher under other protocols, each trained anew; seed s pairs with teacher s."""

    def arm(name: str, text: str, change: dict[str, object]) -> Arm:
        changed = replace(base, **change)  # type: ignore[arg-type]
        configs = [replace(changed, training=replace(changed.training, seed=seed)) for seed in range(seeds)]
        return Arm(name, text, configs)

    return {
        "patients": arm("new patients", "trained on DS1, tested on the patients of DS2", {"split": "patients"}),
        "leads": arm("both leads", "both leads redrawn, the error averaged over them", {"leads": (0, 1)}),
        "warp": arm("time warp", "two of three beats warped", {"training": replace(base.training, time_warp=True)}),
    }


def best_without_labels(runs: Iterable[BeatGANRun]) -> BeatGANRun:
    """The run whose chosen epoch reconstructs normal validation beats best."""
    return min(runs, key=lambda run: float(run.history["error_normal"].min()))


def publish_best(
    configs: Sequence[BeatGANConfig], others: Sequence[BeatGANConfig], beats: Beats, store: Path, device: str = "auto"
) -> BeatGANRun:
    """Publish the weights of the finished run of `configs` that reconstructs normal validation beats best.

    Runs stored without weights are left aside if others have theirs. If none has, the best one is trained again, after
    its teacher, whose config is among `others`.
    """
    at_hand = [config for config in configs if config.run(store).finished(weights=True)]
    chosen = best_without_labels(config.run(store) for config in at_hand or configs).folder.name
    best = next(config for config in configs if config.run_id == chosen)
    run = obtain_with_weights(best, others, beats, store, device)
    run.publish()
    return run
