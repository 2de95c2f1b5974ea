"""Which values a notebook's parameters may have: all are checked before the first notebook runs.

A slip in notebook 05 would otherwise show after hours of 01 to 04. Names, types and devices are checked in
`ecglib.book.parameters`.
"""

import math
from collections.abc import Mapping

from ecglib.core.errors import EcglibError
from ecglib.core.profiles import Value

SEEDS = 100  # at most: `core.seeds.STUDENT_SEED`, where the seeds of students begin
PRECISIONS = ("float32", "bfloat16", "auto")  # `core.precision.Precision`, without importing torch
BOUNDS = {  # name -> smallest and largest value
    "seeds": (1, SEEDS),
    "other_seeds": (1, SEEDS),
    "sweep_seeds": (1, SEEDS),
    "epochs": (1, 10_000),
    "encoder_epochs": (1, 10_000),
    "scenario_epochs": (1, 10_000),
    "batch_size": (2, 65_536),  # BatchNorm needs two
    "width": (1 / 32, 4),  # of one channel in R1's narrowest layer, to 16 times R1's weights
}
TRAINED = ("train_beats", "scenario_train_beats", "train_records")  # 0 means all, as in the next line
JUDGED = ("validation_beats", "scenario_validation_beats", "test_beats")
FEWEST = 100  # beats to judge by: with fewer, a class is missing, and with it the AUC
ONE, SEVERAL = ("teacher_network", "student_network"), ("networks", "coded_networks")


def check_values(values: Mapping[str, Value], where: str) -> None:
    """Refuse values that have the right type and no sense.

    Raises:
        EcglibError: a value is out of its range, or names no network, arm or precision.
    """
    for name, value in values.items():
        low, high = BOUNDS.get(name, (-math.inf, math.inf))
        if isinstance(value, int | float) and not low <= value <= high:  # NaN is in no range
            raise EcglibError(f"{where}: {name}={value} must be between {low:g} and {high:g}.")
        if name in TRAINED:
            _all_or(name, value, int(values["batch_size"]), "one batch", where)
        if name in JUDGED:
            _all_or(name, value, FEWEST, "enough to meet every class", where)
        if name == "precision" and value not in PRECISIONS:
            raise EcglibError(f"{where}: precision={value!r}: choose one of {', '.join(PRECISIONS)}.")
    if any(name in values for name in ONE + SEVERAL):
        _check_networks(values, where)
    if "left_out" in values:
        _check_arms(str(values["left_out"]), where)


def _all_or(name: str, value: Value, least: int, what: str, where: str) -> None:
    if value != 0 and not int(value) >= least:
        raise EcglibError(f"{where}: {name}={value} must be 0, which means all, or at least {least}, {what}.")


def _check_networks(values: Mapping[str, Value], where: str) -> None:
    from ecglib.classifier.networks import MODELS  # here: importing torch takes seconds

    for name in ONE + SEVERAL:
        named = str(values[name]).split()
        if unknown := [network for network in named if network not in MODELS]:
            raise EcglibError(f"{where}: {name} names no network {unknown[0]!r}: choose among {', '.join(MODELS)}.")
        if not named or (name in ONE and len(named) > 1) or len(set(named)) < len(named):
            how = "one" if name in ONE else "at least one, each once"
            raise EcglibError(f"{where}: {name}={values[name]!r} must name {how} of {', '.join(MODELS)}.")


def _check_arms(left_out: str, where: str) -> None:
    from ecglib.beatgan import arms  # here: importing torch takes seconds
    from ecglib.beatgan.task import BeatGANConfig
    from ecglib.beatgan.training import Settings

    try:
        arms.kept(arms.distillation_arms(BeatGANConfig("", Settings(0)), 1, 1), left_out)
    except EcglibError as error:
        raise EcglibError(f"{where}: {error}") from error
