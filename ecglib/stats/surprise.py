"""Scores of different units made comparable, and combined: how surprising is each among normal ones?"""

from collections.abc import Mapping

import numpy as np

from ecglib.core.errors import EcglibError


def surprise(normal: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """-log of the empirical p of each of `scores` (M,) among normal scores (N,): (M,).

    p = (k + 1) / (N + 1), k being how many normal scores are at least as high (Davison and Hinkley 1997, section 4.2).
    This makes scores of any unit comparable. A score above all normal ones gets the largest value, log(N + 1).

    Raises:
        EcglibError: there is no normal score, or a score is not finite.
    """
    if len(normal) == 0:
        raise EcglibError("There is no normal score: surprise is asked among normal ones.")
    unknown = int((~np.isfinite(normal)).sum() + (~np.isfinite(scores)).sum())
    if unknown:
        raise EcglibError(f"{unknown} scores are not finite: they would count as the most unusual of all.")
    at_least = len(normal) - np.searchsorted(np.sort(normal), scores, side="left")
    return -np.log((at_least + 1) / (len(normal) + 1))


def fisher(terms: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Several scores combined into one (M,): the sum of their surprises, as in Fisher's method, without weights.

    `terms` maps a name to the scores of normal validation beats (N,) and those of the beats to be judged (M,).

    Raises:
        EcglibError: see `surprise`.
    """
    return np.sum([surprise(normal, scores) for normal, scores in terms.values()], axis=0)
