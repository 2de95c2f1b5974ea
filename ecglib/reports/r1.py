"""R1 "Self-Improving BeatGAN via Knowledge Distillation" (Lim, Hwang; Kyung Hee University, 2021)."""

from ecglib.reports.kinds import Claim, Contradiction

CLAIMS: dict[str, Claim] = {
    # R1, data
    "r1.beats": Claim("R1", "section 4.2", 97_568, "beats", "beats in all"),
    "r1.ticks": Claim("R1", "section 4.2", 28.6e6, "ticks", "time ticks, 44 records of 650,000"),
    "r1.subjects": Claim("R1", "section 4.2", 47, "people", "people whose 48 records make the database"),
    "r1.records": Claim("R1", "section 4.2", 48, "records", "records of the database"),
    "r1.leads": Claim("R1", "section 4.2", 2, "leads", "leads of a record"),
    "r1.minutes": Claim("R1", "section 4.2", 30, "min", "length of a record"),
    # R1, what it says it builds on
    "r1.quoted_auc": Claim("R1", "sections 2.1, 3.2", 0.95, "", "AUC that BeatGAN is said to almost reach"),
    "r1.ms_per_beat": Claim(
        "R1", "sections 2.1, 3.2", 2.6, "ms", "inference time a beat, quoted from the BeatGAN paper"
    ),
    # R1, settings; a reduced profile is set beside them
    "r1.epochs": Claim("R1", "section 3.3.4.3", 100, "epochs", "training"),
    "r1.batches": Claim("R1", "figure 9", 975, "batches", "batches an epoch"),
    "r1.split_seed": Claim("R1", "section 3.3.4.1", 42, "", "seed of the split; torch's was not set"),
    "r1.batch_size": Claim("R1", "program", 64, "beats", "batch size"),
    "r1.train_beats": Claim("R1", "program", 62_436, "beats", "training set, N only"),
    "r1.validation_beats": Claim("R1", "program", 8_025, "beats", "validation set"),
    "r1.test_beats": Claim("R1", "program", 27_107, "beats", "test set"),
    "r1.temperature": Claim("R1", "program", 4, "", "T of equation 2"),
    "r1.alpha": Claim("R1", "program", 1, "", "weight of the distillation term"),
    # R1, table 1 and section 4.3
    "r1.teacher.auc": Claim("R1", "table 1", 0.937242, "", "AUC of BeatGAN, the teacher"),
    "r1.teacher.ap": Claim("R1", "table 1", 0.904847, "", "AP of BeatGAN, the teacher"),
    "r1.student.auc": Claim("R1", "table 1", 0.946423, "", "AUC of SI-BeatGAN, the student with KD"),
    "r1.student.log_auc": Claim("R1", "section 4.3, log", 0.94642384, "", "AUC of SI-BeatGAN, the student with KD"),
    "r1.student.ap": Claim("R1", "table 1, section 4.3", 0.913427, "", "AP of SI-BeatGAN"),
    "r1.student.f1": Claim("R1", "section 4.3", 0.822368, "", "best F1 of SI-BeatGAN, threshold from the test set"),
    "r1.student.threshold": Claim("R1", "section 4.3", 0.00557, "", "threshold of SI-BeatGAN's best F1"),
    "r1.student.prose_auc": Claim("R1", "section 4.3, prose", 0.9464, "", "AUC of SI-BeatGAN"),
    "r1.feature.auc": Claim(
        "R1", "section 4.3, log", 0.934073, "", "AUC of the student with feature distillation only"
    ),
    "r1.feature.ap": Claim("R1", "section 4.3", 0.901837, "", "AP of the student with feature distillation only"),
    "r1.feature.f1": Claim("R1", "section 4.3", 0.805662, "", "best F1 of the student with feature distillation only"),
    "r1.feature.threshold": Claim(
        "R1", "section 4.3", 0.00987, "", "threshold of the best F1 with feature distillation only"
    ),
    "r1.feature.prose_auc": Claim("R1", "section 4.3, prose", 0.9119, "", "AUC with feature distillation only"),
    "r1.both.auc": Claim("R1", "section 4.3, log", 0.911963, "", "AUC of the student with KD and feature distillation"),
    "r1.both.ap": Claim("R1", "section 4.3", 0.887529, "", "AP of the student with KD and feature distillation"),
    "r1.both.f1": Claim("R1", "section 4.3", 0.793738, "", "best F1 of the student with KD and feature distillation"),
    "r1.both.threshold": Claim(
        "R1", "section 4.3", 0.00493, "", "threshold of the best F1 with KD and feature distillation"
    ),
    "r1.both.prose_auc": Claim("R1", "section 4.3, prose", 0.9119, "", "AUC with KD and feature distillation"),
    # R1, figures 9 to 11
    "r1.figure9.best_auc": Claim("R1", "figure 9", 0.9220, "", "best validation AUC"),
    "r1.figure9.best_epoch": Claim("R1", "figure 9", 85, "epoch", "epoch of the best validation AUC"),
    "r1.figure9.last_auc": Claim("R1", "figure 9", 0.9106, "", "validation AUC in the last epoch"),
    "r1.figure9.last_epoch": Claim("R1", "figure 9", 99, "epoch", "the last epoch, counted from 0"),
    "r1.figure9.last_f1": Claim("R1", "figure 9", 0.6873, "", "validation F1 in the last epoch"),
    "r1.figure9.last_threshold": Claim("R1", "figure 9", 0.0299, "", "threshold of that F1"),
    "r1.figure10.d_size": Claim("R1", "figure 10", 2_765, "KiB", "file of D's weights"),
    "r1.figure10.g_size": Claim("R1", "figure 10", 7_505, "KiB", "file of G's weights"),
    "r1.figure10.history_size": Claim("R1", "figure 10", 1_716, "KiB", "file of the training history"),
    "r1.figure11.epoch": Claim("R1", "figure 11", 88, "epoch", "epoch whose reconstructions are shown"),
    # R1, what the team published elsewhere
    "r1.readme.teacher.auc": Claim("R1", "the team's README", 0.9458, "", "AUC of the teacher"),
    "r1.readme.teacher.ap": Claim("R1", "the team's README", 0.9108, "", "AP of the teacher"),
    "r1.readme.student.auc": Claim("R1", "the team's README", 0.9474, "", "AUC of the student"),
    "r1.readme.student.ap": Claim("R1", "the team's README", 0.9148, "", "AP of the student"),
    "r1.slides.teacher_1.auc": Claim("R1", "the team's slides", 0.93724, "", "AUC of the teacher, first run"),
    "r1.slides.teacher_2.auc": Claim("R1", "the team's slides", 0.94369, "", "AUC of the teacher, second run"),
    "r1.slides.teacher_3.auc": Claim("R1", "the team's slides", 0.94589, "", "AUC of the teacher, third run"),
    "r1.slides.student_1.auc": Claim("R1", "the team's slides", 0.94747, "", "AUC of the student, first run"),
    "r1.slides.student_2.auc": Claim("R1", "the team's slides", 0.92969, "", "AUC of the student, second run"),
    "r1.slides.student_3.auc": Claim("R1", "the team's slides", 0.94642, "", "AUC of the student, third run"),
    "r1.teacher.seconds": Claim(
        "R1", "source not found again", 4_319, "s", "100 epochs of the teacher, GTX 1660 SUPER"
    ),
    "r1.student.seconds": Claim(
        "R1", "source not found again", 4_390, "s", "100 epochs of the student, GTX 1660 SUPER"
    ),
    # BeatGAN's paper, which R1 starts from
    "beatgan.auc": Claim("BeatGAN, 5 folds", "table", 0.9447, "", "AUC, standard deviation 0.0053"),
    "beatgan.ap": Claim("BeatGAN, 5 folds", "table", 0.9108, "", "AP"),
    "beatgan.warp.auc": Claim("BeatGAN, 5 folds", "table", 0.9475, "", "AUC with time warp, standard deviation 0.0037"),
    "beatgan.warp.ap": Claim("BeatGAN, 5 folds", "table", 0.9143, "", "AP with time warp"),
    "beatgan.pca.auc": Claim("BeatGAN, 5 folds", "table", 0.8164, "", "AUC of PCA"),
    "beatgan.ocsvm.auc": Claim("BeatGAN, 5 folds", "table", 0.7917, "", "AUC of a one-class SVM"),
    "beatgan.ae.auc": Claim("BeatGAN, 5 folds", "table", 0.8944, "", "AUC of an autoencoder"),
    "beatgan.vae.auc": Claim("BeatGAN, 5 folds", "table", 0.8316, "", "AUC of a VAE"),
    "beatgan.anogan.auc": Claim("BeatGAN, 5 folds", "table", 0.8642, "", "AUC of AnoGAN"),
    "beatgan.ganomaly.auc": Claim("BeatGAN, 5 folds", "table", 0.9083, "", "AUC of Ganomaly"),
}

# R1 figure 9: epoch 99 of its console log, one line every 100 batches: batch, D's loss on real beats, on reconstructed
# ones, G's loss.
FIGURE9_LOG: tuple[tuple[int, float, float, float], ...] = (
    (100, 0.000102, 0.000303, 0.171564),
    (200, 0.000110, 0.000054, 0.190369),
    (300, 0.000077, 0.000155, 0.170448),
    (400, 0.000598, 0.000006, 0.205931),
    (500, 0.000264, 0.000070, 0.162630),
    (600, 0.000176, 0.000365, 0.169887),
    (700, 0.000051, 0.000545, 0.144301),
    (800, 0.001325, 0.000022, 0.138671),
    (900, 0.000440, 0.000017, 0.150050),
)

CONTRADICTIONS: tuple[Contradiction, ...] = (
    Contradiction(
        "R1",
        "AUC with feature distillation",
        "about 0.9119 (section 4.3, prose)",
        "0.934073 (section 4.3, log)",
        "the log: 0.9119 is the number of the next experiment",
    ),
    Contradiction(
        "R1",
        "what the second experiment adds",
        "feature and knowledge distillation (section 4.3, its heading)",
        "feature distillation instead of knowledge distillation (section 4.3, its text)",
        "the heading: the text would repeat the first experiment",
    ),
    Contradiction(
        "R1",
        "AUC of teacher and student",
        "0.937242 and 0.946423 (table 1)",
        "0.9458 and 0.9474 (the team's README)",
        "table 1: other runs of the same program; there the gain is 0.0016, not 0.0092",
    ),
    Contradiction(
        "R1",
        "spread of re-runs",
        "a gain of 0.0092 (table 1)",
        "teachers 0.93724 to 0.94589, students 0.92969 to 0.94747 (the team's slides)",
        "the gain is as large as the spread of one program",
    ),
    Contradiction(
        "R1",
        "direction of the divergence",
        "KL(student || teacher) (equation 2)",
        "KL(teacher || student) (the program)",
        "both are here: as written and as coded",
    ),
    Contradiction(
        "R1",
        "who learns from the divergence",
        "the student imitates the teacher (section 3.3.4.3)",
        "the scores are NumPy arrays made before training (the program)",
        "as coded nothing changes, which makes it arm B; arm D is what the text would do",
    ),
    Contradiction(
        "R1",
        "names of the two losses",
        "err_g_adv is the reconstruction error, err_g_rec feature matching (section 3.3.4.3)",
        "the left term of equation 1 is the reconstruction (section 3.3.2)",
        "equation 1",
    ),
    Contradiction(
        "R1",
        "what the student learns from",
        "the teacher's `y_`, the first of two values of predict(), which is the ground truth (section 3.3.4.3)",
        "what the teacher predicts (section 3.3.2)",
        "section 3.3.2: the ground truth needs no teacher; an earlier version of the program did take it",
    ),
    Contradiction(
        "R1",
        "what equation 1 measures",
        "norms, ||x - x'||_2 and ||f_D(x) - f_D(x')||_2 (equation 1)",
        "both are MSE (section 3.3.4.3, the program)",
        "the MSE",
    ),
    Contradiction(
        "R1",
        "feature distillation",
        "L_F is a norm, summed over layers (section 3.3.4.4)",
        "the mean of squares over beats and time; in the published program its call is commented out (the program)",
        "each has an arm (Fw, Fc); arm F sums the squares over time",
    ),
    Contradiction(
        "R1",
        "numbering",
        "figure 5 is followed by figure 7",
        "two sections are numbered 3.3.3; the equation of the KL is said to be 3.3.3.(2) and stands in 3.3.2",
        "there is no figure 6; sections are quoted with their titles' numbers",
    ),
    Contradiction(
        "R1",
        "what distillation is for",
        "it augments BeatGAN's data (sections 3.1, 3.2)",
        "it adds a term to the loss; the data stay as they are (section 3.3.2, the program)",
        "section 3.3.2; augmentation of the data is the time warp, a row of the protocol table",
    ),
    Contradiction(
        "R1",
        "self-distillation",
        "FRSKD's self-teacher is joined to BeatGAN (sections 1.1, 3.1)",
        "the teacher is another BeatGAN, trained before (section 3.3.3)",
        "section 3.3.3; arm S has a teacher of the student's own making",
    ),
    Contradiction(
        "R1",
        "records",
        "48 records of 47 people (section 4.2)",
        "97,568 beats, which is what 44 of them give (section 4.2)",
        "44 records: without the paced ones",
    ),
)
