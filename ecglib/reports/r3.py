"""R3, a PTB-XL classifier and its compression (신다윗, 안주현, 이재현, 2023)."""

from ecglib.reports.kinds import Claim, Contradiction

CLAIMS: dict[str, Claim] = {
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
    # R3, models
    "r3.inception.parameters": Claim(
        "R3", "figure 7-1", 4_266_277, "parameters", "Inception CNN, running statistics too"
    ),
    "r3.inception.trained": Claim("R3", "figure 7-1", 4_265_189, "parameters", "Inception CNN, trained"),
    "r3.inception.statistics": Claim("R3", "figure 7-1", 1_088, "parameters", "Inception CNN, running statistics"),
    "r3.plain.parameters": Claim("R3", "figure 8-1", 429_505, "parameters", "plain CNN"),
    "r3.teacher.parameters": Claim("R3", "figure 16-1", 6_522_555, "parameters", "teacher"),
    "r3.student.parameters": Claim("R3", "figure 17-1", 534_005, "parameters", "student"),
    "r3.plain.mb": Claim("R3", "figure 8-1", 1.64, "MiB", "weights of the plain CNN"),
    "r3.inception.file": Claim("R3", "section 3.1", 48.99, "MiB", "file of the Inception CNN, Adam's moments too"),
    "r3.teacher.mb": Claim("R3", "figure 16-1", 24.88, "MiB", "weights of the teacher"),
    "r3.student.mb": Claim("R3", "figure 17-1", 2.04, "MiB", "weights of the student"),
    "r3.teacher.passes": Claim("R3", "figure 16-1", 13.20, "MiB", "teacher, forward and backward pass of a record"),
    "r3.student.passes": Claim("R3", "figure 17-1", 5.62, "MiB", "student, forward and backward pass of a record"),
    "r3.teacher.total": Claim("R3", "figures 16-1, 18", 38.13, "MiB", "teacher, estimated total size"),
    "r3.student.total": Claim("R3", "figures 17-1, 18", 7.70, "MiB", "student, estimated total size"),
    # R3, macro-AUC in %: means of five class AUCs, each rounded to two decimals
    "r3.inception.auc": Claim("R3", "figure 7", 87.0, "%", "macro-AUC of the Inception CNN, validation", "validation"),
    "r3.plain.auc": Claim("R3", "figure 8", 92.6, "%", "macro-AUC of the plain CNN, validation", "validation"),
    "r3.ladder.6.5M": Claim("R3", "table 2, figure 12", 93.4, "%", "macro-AUC with 6.5M parameters", "validation"),
    "r3.ladder.1.5M": Claim("R3", "table 2, figure 12", 93.4, "%", "macro-AUC with 1.5M parameters", "validation"),
    "r3.ladder.1.2M": Claim("R3", "table 2, figure 12", 93.2, "%", "macro-AUC with 1.2M parameters", "validation"),
    "r3.ladder.915K": Claim("R3", "table 2, figure 12", 93.4, "%", "macro-AUC with 915K parameters", "validation"),
    "r3.ladder.260K": Claim("R3", "table 2, figure 12", 93.2, "%", "macro-AUC with 260K parameters", "validation"),
    "r3.ladder.124K": Claim("R3", "table 2, figure 12", 93.0, "%", "macro-AUC with 124K parameters", "validation"),
    "r3.ladder.57K": Claim("R3", "table 2, figure 12", 91.0, "%", "macro-AUC with 57K parameters", "validation"),
    "r3.pruned.amount": Claim("R3", "section 4.1", 0.2, "", "share of the weights that is pruned"),
    "r3.pruned.auc": Claim(
        "R3", "section 4.1, figure 13", 51.4, "%", "macro-AUC of the pruned CNN, validation", "validation"
    ),
    "r3.float.auc": Claim(
        "R3", "section 4.2, figure 14", 93.4, "%", "macro-AUC before quantisation, validation", "validation"
    ),
    "r3.quantised.auc": Claim(
        "R3", "section 4.2, figure 14", 58.2, "%", "macro-AUC after quantisation, validation", "validation"
    ),
    "r3.float.flops": Claim("R3", "figure 14-4", 606_493_500, "", "FLOPs before quantisation"),
    "r3.quantised.flops": Claim("R3", "figure 14-4", 606_492_000, "", "FLOPs after quantisation"),
    "r3.teacher.auc": Claim("R3", "figures 16-2, 18", 93.4, "%", "macro-AUC of the teacher, validation", "validation"),
    "r3.student.auc": Claim("R3", "figures 17-2, 18", 93.4, "%", "macro-AUC of the student, validation", "validation"),
    "r3.alone.auc": Claim("R3", "figure 19-1", 92.8, "%", "macro-AUC of the student alone, test", "test"),
    "r3.alone.validation": Claim(
        "R3", "section 4.3, figure 19-3", 93.4, "%", "macro-AUC of the student alone, validation", "validation"
    ),
    "r3.kd.validation": Claim(
        "R3", "section 4.3, figure 19-3", 93.4, "%", "macro-AUC of the student with KD, validation", "validation"
    ),
    "r3.repository.auc": Claim(
        "R3", "the team's repository", 93.6, "%", "macro-AUC of the CNN without BatchNorm and KD, test", "test"
    ),
    "r3.repository.parameters": Claim(
        "R3", "the team's repository", 614_055, "parameters", "CNN without BatchNorm, figures 13 and 14"
    ),
    "r3.kd.auc": Claim("R3", "figure 19-2", 93.8, "%", "macro-AUC of the student with KD, test", "test"),
    # R3, settings
    "r3.batch_size": Claim("R3", "section 3.1", 64, "records", "batch size"),
    "r3.epochs": Claim("R3", "program", 50, "epochs", "training at most"),
    "r3.patience": Claim("R3", "program", 5, "epochs", "patience of early stopping"),
    "r3.temperature": Claim("R3", "program", 1, "", "T of the distillation"),
    "r3.alpha": Claim("R3", "program", 0.7, "", "weight of the distillation"),
    # the published benchmark of the same task, folds 1-8 / 9 / 10
    "ptbxl.resnet1d_wang": Claim("PTB-XL benchmark", "table", 0.930, "", "macro-AUC of resnet1d_wang, test"),
    "ptbxl.resnet1d_wang.parameters": Claim("PTB-XL benchmark", "program", 473_349, "parameters", "resnet1d_wang"),
    "ptbxl.xresnet1d101": Claim("PTB-XL benchmark", "table", 0.928, "", "macro-AUC of xresnet1d101, test"),
    "ptbxl.inception1d": Claim("PTB-XL benchmark", "table", 0.921, "", "macro-AUC of inception1d, test"),
}

Row = tuple[str, tuple[int, ...], int]

# Figures 7-1 and 8-1 as Keras prints them (samples before channels), 16-1 and 17-1 as torchsummary does: layer, shape
# of what comes out of it for one record, parameters.
FIGURE7: tuple[Row, ...] = (
    ("input_1", (1000, 12), 0),
    ("conv1d", (1000, 32), 2_720),
    ("batch_normalization", (1000, 32), 128),
    ("conv1d_1", (1000, 128), 20_608),
    ("max_pooling1d", (500, 128), 0),
    ("batch_normalization_1", (500, 128), 512),
    ("conv1d_2", (500, 64), 57_408),
    ("max_pooling1d_1", (250, 64), 0),
    ("batch_normalization_2", (250, 64), 256),
    ("conv1d_3", (250, 64), 20_544),
    ("max_pooling1d_2", (125, 64), 0),
    ("batch_normalization_3", (125, 64), 256),
    ("conv1d_5", (125, 64), 4_160),
    ("conv1d_7", (125, 64), 4_160),
    ("max_pooling1d_3", (125, 64), 0),
    ("conv1d_4", (125, 64), 4_160),
    ("conv1d_6", (125, 64), 12_352),
    ("conv1d_8", (125, 64), 20_544),
    ("conv1d_9", (125, 64), 4_160),
    ("concatenate", (125, 256), 0),
    ("flatten", (32_000,), 0),
    ("dense", (128,), 4_096_128),
    ("batch_normalization_4", (128,), 512),
    ("dense_1", (128,), 16_512),
    ("batch_normalization_5", (128,), 512),
    ("dense_2", (5,), 645),
)
FIGURE8: tuple[Row, ...] = (
    ("conv1d_52", (996, 50), 3_050),
    ("max_pooling1d_42", (498, 50), 0),
    ("conv1d_53", (489, 100), 50_100),
    ("max_pooling1d_43", (244, 100), 0),
    ("dropout_10", (244, 100), 0),
    ("conv1d_54", (240, 150), 75_150),
    ("max_pooling1d_44", (120, 150), 0),
    ("conv1d_55", (111, 200), 300_200),
    ("max_pooling1d_45", (55, 200), 0),
    ("global_average_pooling1d_9", (200,), 0),
    ("dropout_11", (200,), 0),
    ("dense_9", (5,), 1_005),
)
FIGURE16: tuple[Row, ...] = (
    ("Conv1d-1", (100, 991), 12_100),
    ("BatchNorm1d-2", (100, 991), 200),
    ("ReLU-3", (100, 991), 0),
    ("MaxPool1d-4", (100, 495), 0),
    ("Dropout-5", (100, 495), 0),
    ("Conv1d-6", (250, 486), 250_250),
    ("BatchNorm1d-7", (250, 486), 500),
    ("ReLU-8", (250, 486), 0),
    ("MaxPool1d-9", (250, 243), 0),
    ("Dropout-10", (250, 243), 0),
    ("Conv1d-11", (500, 234), 1_250_500),
    ("BatchNorm1d-12", (500, 234), 1_000),
    ("ReLU-13", (500, 234), 0),
    ("MaxPool1d-14", (500, 117), 0),
    ("Dropout-15", (500, 117), 0),
    ("Conv1d-16", (1000, 108), 5_001_000),
    ("BatchNorm1d-17", (1000, 108), 2_000),
    ("ReLU-18", (1000, 108), 0),
    ("MaxPool1d-19", (1000, 54), 0),
    ("AdaptiveAvgPool1d-20", (1000, 1), 0),
    ("Dropout-21", (1000,), 0),
    ("Linear-22", (5,), 5_005),
    ("Sigmoid-23", (5,), 0),
)
FIGURE17: tuple[Row, ...] = (
    ("Conv1d-1", (50, 991), 6_050),
    ("BatchNorm1d-2", (50, 991), 100),
    ("ReLU-3", (50, 991), 0),
    ("MaxPool1d-4", (50, 495), 0),
    ("Dropout-5", (50, 495), 0),
    ("Conv1d-6", (150, 486), 75_150),
    ("BatchNorm1d-7", (150, 486), 300),
    ("ReLU-8", (150, 486), 0),
    ("MaxPool1d-9", (150, 243), 0),
    ("Dropout-10", (150, 243), 0),
    ("Conv1d-11", (300, 234), 450_300),
    ("BatchNorm1d-12", (300, 234), 600),
    ("ReLU-13", (300, 234), 0),
    ("MaxPool1d-14", (300, 117), 0),
    ("AdaptiveAvgPool1d-15", (300, 1), 0),
    ("Dropout-16", (300,), 0),
    ("Linear-17", (5,), 1_505),
    ("Sigmoid-18", (5,), 0),
)

CONTRADICTIONS: tuple[Contradiction, ...] = (
    Contradiction(
        "R3",
        "what distillation adds",
        "1 % on test data: 92.8 to 93.8 (section 4.3, figures 19-1 and 19-2)",
        "nothing on validation data: 93.4 with and without it (section 4.3, figure 19-3)",
        "both are measured; one run of each cannot tell 1 % from chance",
    ),
    Contradiction(
        "R3",
        "file of the Inception CNN",
        "48.99 MB (section 3.1, listing)",
        "48.933 MB (section 3.1, prose)",
        "the listing, which the program printed",
    ),
    Contradiction(
        "R3",
        "parameters of the student",
        "570K (section 3.2.3)",
        "530K (section 4.3; figure 17-1: 534,005)",
        "figure 17-1",
    ),
    Contradiction(
        "R3",
        "networks without Inception",
        "0.5 to 1.0 million parameters (section 3.1)",
        "430K parameters (section 3.1; figure 8-1: 429,505)",
        "figure 8-1",
    ),
    Contradiction(
        "R3",
        "what figure 6 shows",
        "label counts (its caption, which figures 4 and 5 have, too)",
        "it stands where section 3.1 compares optimizers and batch sizes",
        "section 3.1: what is called figure 6 here compares optimizers and batch sizes",
    ),
    Contradiction(
        "R3",
        "where the AUC begins to fall",
        "from 2.6M to 0.57M parameters (section 3.2.3, prose)",
        "from 260K or 124K to 57K (table 2)",
        "table 2: the prose has ten times its numbers",
    ),
    Contradiction(
        "R3",
        "figure of the parameter curve",
        "figure 10 (section 3.2.3, prose)",
        "figure 12 (its caption)",
        "figure 12: figure 10 explains quantisation",
    ),
    Contradiction(
        "R3",
        "what section 4.1 is about",
        "pruning, called dropout (its heading)",
        "pruning by masks (its text, the program)",
        "the text: dropout is another thing",
    ),
    Contradiction(
        "R3",
        "optimizer",
        "Adadelta is best and is used (section 3.1)",
        "Adam with a learning rate of 0.001 (the program that distils)",
        "both are measured; the distillation uses the program's",
    ),
    Contradiction(
        "R3",
        "the student's teacher",
        "the trained teacher with a macro-AUC of 93.4 % (section 4.3)",
        "a network made anew in every fold, never trained or loaded (the program)",
        "both are here: as coded and corrected",
    ),
    Contradiction(
        "R3",
        "what pruning does to the AUC",
        "51.4 % because of pruning (section 4.1)",
        "signals and labels shifted against each other before it was measured (the program)",
        "the program: pruned masks alone are measured here",
    ),
)
