"""What the three reports published: every number with its report, place and meaning; nothing else knows one.

R1 "Self-Improving BeatGAN via Knowledge Distillation" (Lim, Hwang; Kyung Hee University, 2021).
R2 the same with SimCLR (Hwang, 2022), a proposal without results.
R3 a PTB-XL classifier and its compression (신다윗, 안주현, 이재현, 2023).
"""

from dataclasses import dataclass

from ecglib.errors import EcglibError


@dataclass(frozen=True)
class Claim:
    """One published number.

    Attributes:
        report: "R1", "R2", "R3", or the paper it comes from.
        where: section, table or figure.
        value: the number.
        unit: of the number; empty for a pure number.
        text: what it is.
    """

    report: str
    where: str
    value: float
    unit: str
    text: str


CLAIMS: dict[str, Claim] = {
    # R1, data
    "r1.beats": Claim("R1", "section 4.2", 97_568, "beats", "beats in all"),
    "r1.ticks": Claim("R1", "section 4.2", 28.6e6, "ticks", "time ticks, 44 records of 650,000"),
    "r1.subjects": Claim("R1", "section 4.2", 47, "people", "people whose 48 records make the database"),
    # R1, teacher
    "r1.teacher.auc": Claim("R1", "table 1", 0.937242, "", "AUC of BeatGAN, the teacher"),
    "r1.teacher.ap": Claim("R1", "table 1", 0.904847, "", "AP of BeatGAN, the teacher"),
    "r1.student.auc": Claim("R1", "table 1", 0.946424, "", "AUC of SI-BeatGAN, the student with distillation"),
    "r1.figure9.best_auc": Claim("R1", "figure 9", 0.9220, "", "best validation AUC, epoch 85"),
    "r1.figure9.best_epoch": Claim("R1", "figure 9", 85, "epoch", "epoch of the best validation AUC"),
    "r1.figure9.last_auc": Claim("R1", "figure 9", 0.9106, "", "validation AUC in epoch 99"),
    "r1.ms_per_beat": Claim(
        "R1", "sections 2.1, 3.2", 2.6, "ms", "inference time a beat, quoted from the BeatGAN paper"
    ),
    "r1.readme.teacher.auc": Claim("R1", "the team's README", 0.9458, "", "AUC of the teacher"),
    "r1.readme.teacher.ap": Claim("R1", "the team's README", 0.9108, "", "AP of the teacher"),
    "r1.slides.teacher_1.auc": Claim("R1", "the team's slides", 0.93724, "", "AUC of the teacher, first run"),
    "r1.slides.teacher_2.auc": Claim("R1", "the team's slides", 0.94369, "", "AUC of the teacher, second run"),
    "r1.slides.teacher_3.auc": Claim("R1", "the team's slides", 0.94589, "", "AUC of the teacher, third run"),
    "r1.teacher.seconds": Claim("R1", "cost", 4_319, "s", "100 epochs on a GTX 1660 SUPER"),
    # R1, settings that a reduced profile is set beside
    "r1.epochs": Claim("R1", "section 3.3.4.3", 100, "epochs", "training"),
    "r1.batch_size": Claim("R1", "program", 64, "beats", "batch size"),
    "r1.train_beats": Claim("R1", "program", 62_436, "beats", "training set, N only"),
    "r1.validation_beats": Claim("R1", "program", 8_025, "beats", "validation set"),
    "r1.test_beats": Claim("R1", "program", 27_107, "beats", "test set"),
    # BeatGAN's paper, which R1 starts from
    "beatgan.auc": Claim("BeatGAN, 5 folds", "table", 0.9447, "", "AUC, standard deviation 0.0053"),
    "beatgan.ap": Claim("BeatGAN, 5 folds", "table", 0.9108, "", "AP"),
    # R3, data
    "r3.NORM": Claim("R3", "table 1", 9_514, "records", "normal ECG"),
    "r3.MI": Claim("R3", "table 1", 5_469, "records", "myocardial infarction"),
    "r3.STTC": Claim("R3", "table 1", 5_235, "records", "ST/T change"),
    "r3.CD": Claim("R3", "table 1", 4_898, "records", "conduction disturbance"),
    "r3.HYP": Claim("R3", "table 1", 2_649, "records", "hypertrophy"),
    "r3.patients": Claim("R3", "section 2.1", 18_869, "patients", "patients"),
    "r3.age.median": Claim("R3", "section 2.1", 62, "years", "median age"),
    "r3.age.iqr": Claim("R3", "section 2.1", 22, "years", "interquartile range of age"),
    "r3.age.max": Claim("R3", "section 2.1", 95, "years", "oldest"),
}


def value(key: str) -> float:
    """The published number under `key`.

    Raises:
        EcglibError: no report says such a thing.
    """
    if key not in CLAIMS:
        raise EcglibError(f"No published number is called {key!r}: see ecglib.reports.CLAIMS.")
    return CLAIMS[key].value
