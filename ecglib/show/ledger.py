"""Every number of a report beside what was measured here, and where a report contradicts itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import reports
from ecglib.core.errors import EcglibError
from ecglib.show.words import reproduction_verdict, shown
from ecglib.stats import metrics
from ecglib.stats.metrics import Interval, OverSeeds

Measured = Mapping[str, float | str | OverSeeds]


def ledger(report: str, measured: Measured, reasons: Mapping[str, str]) -> pd.DataFrame:
    """Every number that a report published, in the order of `reports.CLAIMS`, beside what was measured here as coded.

    `measured` and `reasons` (why there is no number here) are keyed as `reports.CLAIMS`.

    Raises:
        EcglibError: a number is neither measured nor explained.
    """
    rows = []
    for key, claim in reports.CLAIMS.items():
        if claim.report == report:
            if key not in measured and key not in reasons:
                raise EcglibError(f"{key} is neither measured nor is it said why not: give one of them.")
            row = {
                "what": claim.text,
                "where": claim.where,
                "report": published(claim),
                "measured": number(measured[key], claim.unit) if key in measured else "-",
                "why not": "" if key in measured else reasons[key],
            }
            rows.append(row)
    return pd.DataFrame(rows).set_index("what")


def judged_ledger(
    report: str,
    measured: Measured,
    corrected: Mapping[str, Interval],
    reasons: Mapping[str, str],
    limit: str,
) -> pd.DataFrame:
    """`ledger` with what a sound way of measuring gives, and a verdict for every number.

    A macro-AUC (in %, with its interval over seeds) is judged by what was measured as coded on the
    same part of the data, `Claim.part`. The corrected column shows the same part of the data set's own folds.
    `limit` says what of data and budget is not the report's, "" for nothing.
    """
    table = ledger(report, measured, reasons)
    rows: dict[str, list[str]] = {"records": [], "corrected, 95 % over seeds": [], "verdict": []}
    for key, claim in reports.CLAIMS.items():
        if claim.report != report:
            continue
        found = measured.get(key)
        if isinstance(found, OverSeeds):
            verdict = reproduction_verdict(claim.value, found) if not limit else f"not comparable: {limit}"
        elif isinstance(found, float | int):
            digits = len(repr(claim.value).partition(".")[2])  # as many as the report gives
            verdict = "as published" if round(found, digits) == claim.value else "differs"
        else:
            verdict = "-"
        rows["records"].append(claim.part or "-")
        rows["corrected, 95 % over seeds"].append(shown(corrected[key], 3) if key in corrected else "-")
        rows["verdict"].append(verdict)
    return table.assign(**rows)


def contradictions(report: str) -> pd.DataFrame:
    """Where a report says two things, and which of them the companion follows."""
    rows = [
        {"topic": found.topic, "one": found.one, "other": found.other, "followed": found.reading}
        for found in reports.CONTRADICTIONS
        if found.report == report
    ]
    return pd.DataFrame(rows).set_index("topic")


def mean(values: Sequence[float]) -> float:
    """The mean as a plain float."""
    return float(np.mean(values))


def published(claim: reports.Claim) -> str:
    """A report's number with all the digits that it prints: R1's table 1 and log differ in the sixth."""
    text, exact = number(claim.value, claim.unit), repr(claim.value)
    return exact if not claim.unit and len(exact) > len(text) else text


def number(value: float | str | Interval, unit: str) -> str:
    """A number as a reader expects it, with its unit, and with its interval in %; text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, Interval):
        if not np.isfinite(value.low + value.high):
            return f"{value.value:.1f} {unit} (fewer than {metrics.MIN_SEEDS} seeds)"
        # Student's t interval may leave [0, 100], where an AUC lies.
        return f"{value.value:.1f} [{max(value.low, 0):.1f}, {min(value.high, 100):.1f}] {unit}"
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.4g}"
    if not unit and 0.5 <= abs(value) < 1:
        text = f"{value:.4f}"
    return f"{text} {unit}".strip()


def against_report(measured: dict[str, float]) -> pd.DataFrame:
    """Published number, measured number and difference; `measured` is keyed as `reports.CLAIMS`."""
    rows = []
    for key, here in measured.items():
        claim = reports.CLAIMS[key]
        rows.append(
            {
                "what": claim.text,
                "where": f"{claim.report}, {claim.where}",
                "report": claim.value,
                "measured": here,
                "difference": here - claim.value,
            }
        )
    return pd.DataFrame(rows).set_index("what")
