"""R2, R1 with SimCLR (Hwang, 2022): two proposals without results."""

from ecglib.reports.kinds import Claim, Proposal

CLAIMS: dict[str, Claim] = {
    # R2, which measured nothing of its own
    "r2.beats": Claim("R2", "section 4.2", 97_568, "beats", "beats in all"),
    "r2.ticks": Claim("R2", "section 4.2", 28.6e6, "ticks", "time ticks, 44 records of 650,000"),
    "r2.subjects": Claim("R2", "section 4.2", 47, "people", "people whose 48 records make the database"),
    "r2.records": Claim("R2", "section 4.2", 48, "records", "records of the database"),
    "r2.leads": Claim("R2", "section 4.2", 2, "leads", "leads of a record"),
    "r2.minutes": Claim("R2", "section 4.2", 30, "min", "length of a record"),
    "r2.quoted_auc": Claim("R2", "sections 2.1, 3.2", 0.95, "", "AUC that BeatGAN is said to almost reach"),
    "r2.ms_per_beat": Claim(
        "R2", "sections 2.1, 3.2", 2.6, "ms", "inference time a beat, quoted from the BeatGAN paper"
    ),
    "r2.batch_size": Claim("R2", "section 2.3.1", 4_096, "images", "SimCLR's batch"),
    "r2.views": Claim("R2", "section 2.3.1", 8_192, "views", "SimCLR's views a batch, two of each image"),
    "r2.cores": Claim("R2", "section 2.3.1", 128, "cores", "TPU cores that SimCLR is trained on"),
}

PROPOSALS = {
    "r2.scenario_1": Proposal("R2", "section 4.3.1", "D tells normal from abnormal better; higher AUC"),
    "r2.scenario_2": Proposal("R2", "section 4.3.2", "the joint loss brings a higher AUC"),
    "r2.both": Proposal("R2", "section 5.1", "the improved SI-BeatGAN has a higher AUC"),
}
