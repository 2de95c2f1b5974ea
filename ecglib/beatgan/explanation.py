"""BeatGAN's explanation: the time ticks that carry the reconstruction error (R1 section 2.1, point 3)."""

import numpy as np

from ecglib.data.mitbih import BEFORE, FS, WINDOW

# A normal QRS complex lasts up to 120 ms and an ectopic one up to 200: 100 ms to each side of the annotation hold both.
QRS_MS = (-100.0, 100.0)


def tick_errors(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Squared error of each tick of beats and reconstructions (N, 320): (N, 320)."""
    return (x - x_hat) ** 2


def error_shares(errors: np.ndarray) -> np.ndarray:
    """Each beat's tick errors (N, 320) as shares of their sum: (N, 320)."""
    return errors / errors.sum(axis=1, keepdims=True)


def qrs_ticks() -> slice:
    """The ticks of the window within `QRS_MS` of the annotation."""
    centre = BEFORE - 1
    return slice(centre + round(QRS_MS[0] * FS / 1000), centre + round(QRS_MS[1] * FS / 1000) + 1)


def qrs_share(errors: np.ndarray) -> np.ndarray:
    """The share of each beat's error that lies in the QRS window: (N,)."""
    return error_shares(errors)[:, qrs_ticks()].sum(axis=1)


def even_share() -> float:
    """The QRS window's share of an error spread evenly over the beat."""
    ticks = qrs_ticks()
    return (ticks.stop - ticks.start) / WINDOW
