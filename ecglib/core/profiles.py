"""What papermill injects into each notebook, by profile.

A notebook's own defaults are the smoke profile (nbval runs a notebook as it stands and cannot inject), so smoke injects
nothing. Every other profile names itself, and with that asks for the real databases; what else it sets is listed here
and nowhere else. The driver checks every name and type against the notebook before anything runs.
"""

Value = bool | int | float | str

SMOKE = "smoke"

PROFILES: dict[str, dict[str, dict[str, Value]]] = {
    SMOKE: {},
    # A laptop: about an hour on 2 CPU cores for 01 to 04. Enough epochs to be far from chance, too few to compare.
    "quick": {
        "01_data": {"profile": "quick"},
        "02_beatgan_teacher": {
            "profile": "quick",
            "seeds": 3,  # the fewest that give a spread
            "epochs": 6,
            "batch_size": 64,
            "train_beats": 9600,  # 150 batches of 64 an epoch
            "validation_beats": 2000,
        },
        # 100 steps a run: the course of every arm, not evidence; that is the desk profile.
        "03_kd_student": {
            "profile": "quick",
            "seeds": 3,
            "other_seeds": 2,
            "epochs": 2,
            "batch_size": 64,
            "train_beats": 3200,
            "validation_beats": 1000,
            "test_beats": 5000,
            "width": 1.0,
            "left_out": "E2 E3 Fc Fw G S H2 H2+ H2f H4 H4+ H4f H8f",
        },
        # The controls are runs of 03. An encoder's step takes two fifths of BeatGAN's time, so it gets more of them.
        "04_simclr": {
            "profile": "quick",
            "seeds": 2,
            "other_seeds": 1,
            "sweep_seeds": 1,
            "epochs": 2,
            "batch_size": 64,
            "encoder_epochs": 6,
            "train_beats": 3200,
            "validation_beats": 1000,
            "scenario_epochs": 2,
            "scenario_train_beats": 3200,
            "scenario_validation_beats": 1000,
            "test_beats": 5000,
            "width": 1.0,
        },
        "05_ptbxl_compression": {
            "profile": "quick",
            "seeds": 2,
            "other_seeds": 1,
            "epochs": 2,
            "batch_size": 32,  # half of R3's: more steps in the same time
            "train_records": 0,
            "teacher_network": "1.5M",  # R3's own costs 6 GFLOP a record and step
            "student_network": "student",
            "networks": "plain inception 57K",
            "coded_networks": "plain inception 57K",
        },
    },
    # The evidence: full test sets, a stated part of R1's epochs and of PTB-XL; an hour of a large GPU, days on 2 cores.
    "desk": {
        "01_data": {"profile": "desk"},
        # All beats, a fifth of R1's epochs.
        "02_beatgan_teacher": {
            "profile": "desk",
            "seeds": 5,
            "epochs": 20,
            "batch_size": 64,
            "train_beats": 0,
            "validation_beats": 0,
        },
        "03_kd_student": {
            "profile": "desk",
            "seeds": 5,
            "other_seeds": 3,
            "epochs": 20,
            "batch_size": 64,
            "train_beats": 0,
            "validation_beats": 0,
            "test_beats": 0,
            "width": 1.0,
            "left_out": "E2 Fc Fw G VAE",  # the hours at hand did not reach them
        },
        "04_simclr": {
            "profile": "desk",
            "seeds": 5,
            "other_seeds": 3,
            "sweep_seeds": 1,
            "epochs": 20,
            "batch_size": 64,
            "encoder_epochs": 20,
            "train_beats": 0,
            "validation_beats": 0,
            # The hours at hand did not reach R2's scenarios at the budget of 02 and 03.
            "scenario_epochs": 6,
            "scenario_train_beats": 9600,
            "scenario_validation_beats": 2000,
            "test_beats": 0,
            "width": 1.0,
        },
        "05_ptbxl_compression": {
            "profile": "desk",
            "seeds": 5,
            "other_seeds": 3,
            "epochs": 50,  # at most, as in R3: training stops after five without a lower validation loss
            "batch_size": 64,
            "train_records": 0,
            "teacher_network": "teacher",
            "student_network": "student",
            "networks": "resnet plain inception 1.5M 1.2M 915K 260K 124K 57K",
            "coded_networks": "plain inception 1.5M 1.2M 915K 260K 124K 57K",
        },
    },
    # The reports' own protocol on a GPU box; 0 beats means all of them.
    "paper": {
        "01_data": {"profile": "paper"},
        "02_beatgan_teacher": {
            "profile": "paper",
            "seeds": 5,  # the report has one run; its gain is smaller than the spread of five
            "epochs": 100,  # R1 section 3.3.4.3
            "batch_size": 64,
            "train_beats": 0,
            "validation_beats": 0,
        },
        "03_kd_student": {
            "profile": "paper",
            "seeds": 5,
            "other_seeds": 5,
            "epochs": 100,
            "batch_size": 64,
            "train_beats": 0,
            "validation_beats": 0,
            "test_beats": 0,
            "width": 1.0,
        },
        "04_simclr": {
            "profile": "paper",
            "seeds": 5,
            "other_seeds": 5,
            "sweep_seeds": 5,
            "epochs": 100,
            "batch_size": 64,
            "encoder_epochs": 100,
            "train_beats": 0,
            "validation_beats": 0,
            "scenario_epochs": 100,
            "scenario_train_beats": 0,
            "scenario_validation_beats": 0,
            "test_beats": 0,
            "width": 1.0,
        },
        "05_ptbxl_compression": {
            "profile": "paper",
            "seeds": 5,
            "other_seeds": 5,
            "epochs": 50,
            "batch_size": 64,
            "train_records": 0,
            "teacher_network": "teacher",
            "student_network": "student",
            "networks": "resnet plain inception 1.5M 1.2M 915K 260K 124K 57K",
            "coded_networks": "plain inception 1.5M 1.2M 915K 260K 124K 57K",
        },
    },
}
