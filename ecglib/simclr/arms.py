"""The arms that answer R2's question, what contrast adds to R1's student, and the runs that the detectors need.

Everywhere: `base` gives the budget (its seed is ignored), and an arm has `seeds` runs unless its function says else.
"""

from dataclasses import replace

from ecglib.beatgan.arms import distillation_arms, protocol_arms
from ecglib.beatgan.task import BeatGANConfig
from ecglib.runs.grid import Arm
from ecglib.simclr.detectors import encoders
from ecglib.simclr.scenarios import Contrast, Place, ScenarioConfig

# (gamma, tau) around the scenarios' own: the tau of SimCLR's paper, and a gamma fixed before the first test.
SWEEP = ((0.01, 0.1), (0.1, 0.1), (1.0, 0.1), (0.1, 0.5))


def contrast_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """Teacher A, the controls B and D, and R2's scenarios: each is added to arm D, which has corrected distillation."""
    known = distillation_arms(base, seeds, seeds)

    def arm(name: str, text: str, *places: Place, pretraining: int = 0) -> Arm:
        added = Contrast(places, pretraining=pretraining)
        return Arm(name, text, [ScenarioConfig.of(config, added) for config in known["D"].configs], control="D")

    return {
        "A": known["A"],
        "B": known["B"],
        "D": known["D"],
        "1": arm("scenario 1", "D also learns contrast: BCE + gamma NT-Xent", "discriminator"),
        "1p": arm("scenario 1, pretrained", "the same, after D learned contrast alone", "discriminator", pretraining=2),
        "2": arm("scenario 2", "L_G + L_KD + gamma NT-Xent on the codes z", "generator"),
        "12": arm("scenarios 1 and 2", "both", "discriminator", "generator"),
    }


def detector_arms(base: BeatGANConfig, epochs: int, seeds: int, other_seeds: int) -> dict[str, Arm]:
    """What the detectors need: SimCLR alone and BeatGAN, on R1's split and on patients that are not tested.

    `epochs` are those of SimCLR. "BeatGAN" is A and B with the budget of `base`, 2 x `seeds` runs that differ in
    nothing but their seeds; "patients" are `other_seeds` runs on DS1.
    """
    known, strangers = distillation_arms(base, seeds, seeds), protocol_arms(base, other_seeds)["patients"]
    plain = [*known["A"].configs, *known["B"].configs]
    new = strangers.configs[0]
    return {
        "encoder": Arm("SimCLR alone", "an encoder that learns contrast only", encoders(base, epochs, seeds)),
        "encoder, patients": Arm("SimCLR alone, new patients", "the same on DS1", encoders(new, epochs, seeds)),
        "BeatGAN": Arm("BeatGAN", "A and B, runs of one program", plain),
        "patients": strangers,
    }


def sweep_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """Both scenarios at half width for each pair in `SWEEP`, and the half-width student without contrast.

    The teachers are those of the full-width arms.
    """
    known = distillation_arms(base, seeds, seeds)
    students = [replace(config, width=config.width / 2) for config in known["D"].configs]
    rows = {"D": Arm("no contrast", "half-width student with KD", students)}
    for gamma, temperature in SWEEP:
        added = Contrast(("discriminator", "generator"), gamma=gamma, temperature=temperature)
        name = f"gamma {gamma:g}, tau {temperature:g}"
        configs = [ScenarioConfig.of(config, added) for config in students]
        rows[name] = Arm(name, "both scenarios", configs, control="D")
    return rows
