"""The arms of R2's question: what does contrast add to R1's student?"""

from dataclasses import replace

from ecglib.beatgan.arms import distillation_arms
from ecglib.beatgan.task import BeatGANConfig
from ecglib.runs.grid import Arm
from ecglib.simclr.scenarios import Contrast, Place, ScenarioConfig

# (gamma, tau) around the values that the scenarios use: SimCLR's tau, and a gamma fixed before anything was tested.
SWEEP = ((0.01, 0.1), (0.1, 0.1), (1.0, 0.1), (0.1, 0.5))


def contrast_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """R2's scenarios, each added to R1's student with its corrected distillation (arm D), and the two controls.

    Args:
        base: the budget; its seed is ignored.
        seeds: of every arm.
    """
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


def sweep_arms(base: BeatGANConfig, seeds: int) -> dict[str, Arm]:
    """Both scenarios at half width for several gamma and tau, and the half-width student without contrast.

    Args:
        base: the budget of the full-width arms, whose teachers these students have.
        seeds: of every setting.
    """
    students = [
        replace(config, width=config.width / 2) for config in distillation_arms(base, seeds, seeds)["D"].configs
    ]
    rows = {"D": Arm("no contrast", "half-width student with KD", students)}
    for gamma, temperature in SWEEP:
        added = Contrast(("discriminator", "generator"), gamma=gamma, temperature=temperature)
        name = f"gamma {gamma:g}, tau {temperature:g}"
        configs = [ScenarioConfig.of(config, added) for config in students]
        rows[name] = Arm(name, "both scenarios", configs, control="D")
    return rows
