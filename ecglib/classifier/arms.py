"""The arms of R3's questions: which network, does distillation help, what does compression cost?

Seed s of an arm is compared with seed s of its control. Students start from seed 100 + s, so that an arm and its
control share initial weights and the order of the data. Everywhere `base` gives data, split, budget and network; its
seed is ignored. `seeds` is the number of configs in an arm, `names` are keys of `networks.MODELS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ecglib import reports
from ecglib.classifier.networks import LADDER
from ecglib.classifier.pretraining import PretrainingConfig
from ecglib.classifier.task import BOOSTED_TREES, SELF, UNTRAINED, ClassifierConfig, Distillation
from ecglib.classifier.training import Settings
from ecglib.core.seeds import STUDENT_SEED
from ecglib.runs.grid import Arm

LEAD_I = (0,)
LAST_FOLD = 4  # R3's program tested the last of its five folds' networks
PRUNED = 0.5  # of the channels: about a quarter of the weights is left
# FRSKD's own weights for classification (Ji et al. 2021): T = 4, alpha = 2, beta = 100.
FRSKD = Distillation(SELF, temperature=4.0, alpha=2.0, beta=100.0)


R3_GAIN = ("r3.alone.auc", "r3.kd.auc")
TEXTS = {
    "teacher": "R3's teacher, figure 16",
    "resnet": f"resnet1d_wang of the benchmark, published: {reports.value('ptbxl.resnet1d_wang'):.3f} on all records",
    "614K": "R3's repository, figures 13 and 14: no BatchNorm",
    "plain": "R3's plain CNN, figure 8",
    "inception": "R3's Inception CNN, figure 7",
    **{size: f"table 2: widths {'-'.join(map(str, LADDER[size]))}" for size in LADDER},
}


def network_arms(base: ClassifierConfig, names: Sequence[str], seeds: int) -> dict[str, Arm]:
    """Networks trained on their own: those of figures 7, 8, 16 and table 2, and the reference of the field."""
    seeded = _seeded(base, base.training, seeds, first=0)
    return {name: Arm(name, TEXTS.get(name, name), [replace(one, network=name) for one in seeded]) for name in names}


def report_arms(base: ClassifierConfig, names: Sequence[str], seeds: int) -> dict[str, Arm]:
    """Networks under R3's whole program: its split and last fold, no scaling. Their names begin with "R3".

    Table 2 and figures 7, 8, 12, 13, 14 and 16 show validation numbers of that split.
    """
    return {
        f"R3 {name}": replace(arm, name=f"as coded: {arm.name}", text=f"{arm.text}; R3's split, no scaling")
        for name, arm in network_arms(_as_r3(base), names, seeds).items()
    }


def fake_quantised_arm(plain: Arm) -> Arm:
    """R3's attempt at quantisation (section 4.2): the same networks trained with rounding and never converted."""
    configs = [
        replace(config, fake_quantised=True, training=replace(config.training, precision="float32"))
        for config in plain.configs
    ]
    return Arm(f"{plain.name}, QAT", "quantisation-aware training, never converted", configs)


def student_arms(base: ClassifierConfig, teacher: str, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """The student alone and taught in every way; the last arms see lead I alone.

    The student alone and with KD, as coded and corrected, has `main_seeds`; all others have `other_seeds`.
    """
    teachers = network_arms(base, [teacher], other_seeds)[teacher].configs

    def arm(
        name: str,
        text: str,
        how: Callable[[str], Distillation] | None = None,
        control: str = "alone",
        seeds: int = other_seeds,
        claim: tuple[str, str] | None = None,
        base: ClassifierConfig = base,
    ) -> Arm:
        configs = [
            replace(one, distillation=how(teachers[seed % len(teachers)].run_id) if how else None)
            for seed, one in enumerate(_seeded(base, base.training, seeds))
        ]
        return Arm(name, text, configs, control, claim)

    def published(run: str) -> Distillation:
        return Distillation(run, "published")

    def untrained(_: str) -> Distillation:
        return replace(_as_coded(UNTRAINED), network=teacher)

    def program(name: str, text: str, how: Callable[[str], Distillation] | None = None, control: str = "") -> Arm:
        return arm(name, text, how, control, main_seeds, R3_GAIN if how else None, _as_r3(base))

    one_lead = replace(base, leads=LEAD_I)

    return {
        "R3 alone": program("as coded: student alone", "R3's split and last fold, no scaling"),
        "R3 kd": program("as coded: student with KD", "the same; untrained teacher, softmax", untrained, "R3 alone"),
        "alone": arm("student alone", "labels alone, patients apart, leads scaled", control="", seeds=main_seeds),
        "untrained": arm(
            "KD, untrained teacher", "the program's loss and teacher, patients apart", untrained, claim=R3_GAIN
        ),
        "written": arm(
            "KD, program's loss", "a softmax over sigmoids, from the trained teacher", _as_coded, claim=R3_GAIN
        ),
        "kd": arm(
            "KD corrected", "the trained teacher, each class a yes or no", Distillation, seeds=main_seeds, claim=R3_GAIN
        ),
        "frskd": arm("FRSKD", "a self-teacher that refines the student's features", lambda _: FRSKD),
        "raw": arm(
            "student, no scaling", "millivolts as they are, as R3 trained", base=replace(base, standardised=False)
        ),
        "lead I": arm("lead I alone", "one lead, labels alone", control="", base=one_lead),
        "lead I published": arm(
            "lead I, MKD as published", "by 12 leads, probabilities divided by T", published, "lead I", base=one_lead
        ),
        "lead I kd": arm(
            "lead I, KD corrected", "by 12 leads, logits divided by T", Distillation, "lead I", base=one_lead
        ),
    }


WINDOW = 250  # samples, 2.5 s: as the published benchmark trains (Strodthoff et al. 2021)
MIXUP = 0.4  # alpha of its Beta distribution
EMA_DECAY = 0.98  # about the last fifty steps, two epochs of all records at hand


def recipe_arms(base: ClassifierConfig, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """How far does R3's student come? Each arm adds one step to its control; the last ones see lead I alone.

    "trained through" is one step of three parts, which go together: AdamW, one cycle of the learning rate, and twice
    the epochs without early stopping. The committee is boosted trees, which answer for records that they have not seen,
    and resnet1d_wang, which answers for those that it learned from: student s is taught by the resnet of seed s. Arms
    of lead I have `other_seeds`, as their control; their convolutions come from `pretraining_arms`, their teachers see
    12 leads. (The published benchmark also tests on windows, and averages their answers; here all records are tested
    whole.)
    """
    settings = _steps(base)
    steps = {name: _seeded(base, one, main_seeds) for name, one in settings.items()}
    resnets = _seeded(replace(base, network="resnet"), settings["averaged"], main_seeds, first=0)
    lessons = [Distillation(BOOSTED_TREES, temperature=1.0, others=(one.run_id,)) for one in resnets]
    contrast = pretraining_arms(base, main_seeds, other_seeds)
    begun, taught = {}, {}
    for leads, arm in ((base.leads, contrast["contrast"]), (LEAD_I, contrast["contrast, I"])):
        students = _seeded(replace(base, leads=leads), settings["averaged"], len(arm.configs))
        begun[leads] = [replace(one, pretrained=first.run_id) for one, first in zip(students, arm.configs, strict=True)]
        taught[leads] = [
            replace(one, distillation=lessons[seed % len(lessons)]) for seed, one in enumerate(begun[leads])
        ]
    return {
        "resnet steps": Arm(
            "resnet1d_wang, four steps", "a teacher: windows, trained through, mixed, moving average", resnets
        ),
        "windows": Arm("student, windows", "trains on random windows of 2.5 s", steps["windows"], "alone"),
        "through": Arm(
            "+ trained through",
            "AdamW, one cycle of the learning rate, twice the epochs, no early stopping",
            steps["through"],
            "windows",
        ),
        "mixed": Arm("+ mixed records", "mixup: records and labels blended in pairs", steps["mixed"], "through"),
        "averaged": Arm("+ moving average", "a moving average of the weights is tested", steps["averaged"], "mixed"),
        "pretrained": Arm(
            "+ pretrained", "starts from convolutions pretrained by contrast", begun[base.leads], "averaged"
        ),
        "committee": Arm("+ committee", "taught by boosted trees and resnet1d_wang", taught[base.leads], "pretrained"),
        "lead I steps": Arm("lead I, five steps", "one lead, from windows to pretrained", begun[LEAD_I], "lead I"),
        "lead I committee": Arm(
            "lead I + committee", "taught by the same, which see 12 leads", taught[LEAD_I], "lead I steps"
        ),
    }


# Of 12 leads and of lead I the arm with the highest mean AUC on fold 9 in profile `desk`, which goes on (EVIDENCE.md).
FINAL = ("committee", "lead I steps")


def all_steps(base: ClassifierConfig, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """`recipe_arms`, what their students begin with, and the students that go on, pruned, with all their seeds."""
    arms = recipe_arms(base, main_seeds, other_seeds)
    return (
        pretraining_arms(base, main_seeds, other_seeds) | arms | pruned_arms(arms, max(main_seeds, other_seeds), FINAL)
    )


def pretraining_arms(base: ClassifierConfig, main_seeds: int, other_seeds: int) -> dict[str, Arm]:
    """The convolutions with which the pretrained students of `recipe_arms` begin, of all leads and of lead I."""
    settings = replace(base.training, window=WINDOW, optimizer="adamw", schedule="one cycle")
    found = {}
    for name, leads, seeds in (("contrast", base.leads, main_seeds), ("contrast, I", LEAD_I, other_seeds)):
        configs = [
            PretrainingConfig(base.data, one.training, base.network, leads, base.train_records)
            for one in _seeded(base, settings, seeds)
        ]
        found[name] = Arm(f"{name}, pretraining", "two windows of a record, without labels", configs)
    return found


def _steps(base: ClassifierConfig) -> dict[str, Settings]:
    """The settings of `recipe_arms`, each with one step more."""
    windows, twice = replace(base.training, window=WINDOW), 2 * base.training.epochs
    through = replace(windows, optimizer="adamw", schedule="one cycle", epochs=twice, patience=twice)
    mixed = replace(through, mixup=MIXUP)
    return {"windows": windows, "through": through, "mixed": mixed, "averaged": replace(mixed, ema_decay=EMA_DECAY)}


def _seeded(
    base: ClassifierConfig, settings: Settings, seeds: int, first: int = STUDENT_SEED
) -> list[ClassifierConfig]:
    return [replace(base, training=replace(settings, seed=first + seed)) for seed in range(seeds)]


def _as_r3(base: ClassifierConfig) -> ClassifierConfig:
    """R3's own protocol: its split, the last of its folds, records in millivolts."""
    return replace(base, split="report", fold=LAST_FOLD, standardised=False)


# R3 section 3.1: which optimizer, which batch size? Its figures there, 5 and 6, have the caption of figure 4, "Label
# Counts". Learning rates are each optimizer's usual ones. R3's own order is not known.
COMPARED: tuple[dict[str, dict[str, object]], ...] = (
    {
        "Adam": {"optimizer": "adam", "learning_rate": 1e-3},
        "Adadelta": {"optimizer": "adadelta", "learning_rate": 1.0},
        "RMSprop": {"optimizer": "rmsprop", "learning_rate": 1e-3},
        "SGD": {"optimizer": "sgd", "learning_rate": 1e-2},
    },
    {"batch 16": {"batch_size": 16}, "batch 64": {"batch_size": 64}, "batch 256": {"batch_size": 256}},
)
CHOSEN = ("Adadelta", "batch 64")  # by R3, one of each group


def every_arm(
    base: ClassifierConfig,
    teacher: str,
    networks: Sequence[str],
    coded_networks: Sequence[str],
    main_seeds: int,
    other_seeds: int,
) -> dict[str, Arm]:
    """All trainings of notebook 05."""
    others = network_arms(base, [teacher, *networks], other_seeds)
    coded = report_arms(base, [teacher, "614K", *coded_networks], other_seeds)
    pupils = student_arms(base, teacher, main_seeds, other_seeds)
    ways = setting_arms(comparing(base), other_seeds)
    settings = {f"{way}: {name}": arm for way, tried in ways.items() for name, arm in tried.items()}
    pruned = pruned_arms(pupils, other_seeds) | pruned_arms(coded, other_seeds, ["R3 614K"])
    rounding = {"R3 614K QAT": fake_quantised_arm(coded["R3 614K"])}
    return others | coded | pupils | settings | rounding | pruned | all_steps(base, main_seeds, other_seeds)


def comparing(base: ClassifierConfig) -> ClassifierConfig:
    """The small network and the half budget with which optimizers and batch sizes are compared."""
    return replace(base, network="57K", training=replace(base.training, epochs=_half(base)))


def setting_arms(base: ClassifierConfig, seeds: int) -> dict[str, dict[str, Arm]]:
    """Optimizers and batch sizes (figure 6): as coded, each continuing the training of the one before, and corrected.

    "carried over", "in reverse" and "fresh" -> arms in the order of `COMPARED`. In each group the setting that R3 chose
    is the control of the others.
    """
    seeded = _seeded(base, base.training, seeds, first=0)
    fresh: dict[str, Arm] = {}
    for group, chosen in zip(COMPARED, CHOSEN, strict=True):
        for name, change in group.items():
            configs = [replace(one, training=replace(one.training, **change)) for one in seeded]  # type: ignore[arg-type]
            fresh[name] = Arm(name, "from fresh weights", configs, "" if name == chosen else chosen)
    return {"carried over": _chained(fresh), "in reverse": _chained(fresh, reverse=True), "fresh": fresh}


def _chained(fresh: Mapping[str, Arm], reverse: bool = False) -> dict[str, Arm]:
    chained: dict[str, Arm] = {}
    for group in COMPARED:
        before: list[str] | None = None
        for name in reversed(group) if reverse else group:
            configs = fresh[name].configs
            if before is not None:
                configs = [replace(one, continued=run) for one, run in zip(configs, before, strict=True)]
            before = [one.run_id for one in configs]
            chained[name] = replace(fresh[name], text="from the weights of the one before", configs=configs)
    return chained


def pruned_arms(
    students: Mapping[str, Arm], seeds: int, names: Sequence[str] = ("alone", "kd", "lead I kd")
) -> dict[str, Arm]:
    """Networks fine-tuned without half of their channels, and their controls: whole networks tuned for as long.

    `names` are keys of `students`, which may be any arms.
    """
    rows = {}
    for name in names:
        student = students[name]
        tuned = [
            replace(config, tuned=config.run_id, pretrained="", training=replace(config.training, epochs=_half(config)))
            for config in student.configs[:seeds]
        ]
        rows[f"{name} tuned"] = Arm(
            f"{student.name}, tuned", "trained on from its best weights, half as many epochs, rounded down", tuned, name
        )
        rows[f"{name} pruned"] = Arm(
            f"{student.name}, pruned",
            f"{PRUNED:.0%} of the channels cut out, then tuned likewise",
            [replace(config, pruned=PRUNED) for config in tuned],
            f"{name} tuned",
        )
    return rows


def _half(config: ClassifierConfig) -> int:
    return max(1, config.training.epochs // 2)


def _as_coded(teacher: str) -> Distillation:
    """As R3's published program distils: T = 1, alpha = 0.7."""
    return Distillation(teacher, "as coded", temperature=1.0, alpha=0.7)
