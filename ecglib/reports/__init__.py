"""What the three reports published: every number with its report, place and meaning; nothing else knows one.

Figures that are lists of rows stand under their own names: R1's log (`FIGURE9_LOG`), R3's layers (`r3.FIGURE7`, ...).
"""

from ecglib.core.errors import EcglibError
from ecglib.reports import r1, r2, r3
from ecglib.reports.kinds import Claim, Contradiction, Proposal
from ecglib.reports.r1 import FIGURE9_LOG
from ecglib.reports.r2 import PROPOSALS

CLAIMS: dict[str, Claim] = {**r1.CLAIMS, **r2.CLAIMS, **r3.CLAIMS}
CONTRADICTIONS: tuple[Contradiction, ...] = r1.CONTRADICTIONS + r3.CONTRADICTIONS

__all__ = ["CLAIMS", "CONTRADICTIONS", "FIGURE9_LOG", "PROPOSALS", "Claim", "Contradiction", "Proposal", "value"]


def value(key: str) -> float:
    """The published number under `key`.

    Raises:
        EcglibError: no report says such a thing.
    """
    if key not in CLAIMS:
        raise EcglibError(f"No published number is called {key!r}: see ecglib.reports.CLAIMS.")
    return CLAIMS[key].value
