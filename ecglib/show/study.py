"""What a notebook knows of its profile: where the data are, where results go, and what a table must say."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecglib.core.errors import EcglibError
from ecglib.core.files import output_root, write_text
from ecglib.core.profiles import PROFILES, SMOKE
from ecglib.data import physionet, simulate
from ecglib.show import style

SIMULATED = "simulated records: not comparable with the reports"
EVIDENCE = "desk"  # the profile whose committed pages conclusions rest on


@dataclass(frozen=True)
class Study:
    """One profile of one notebook.

    Raises:
        EcglibError: the profile is unknown, or, on access to `root`, the real databases are absent.
    """

    profile: str  # "smoke" uses simulated records, every other one the real databases

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise EcglibError(f"There is no profile {self.profile!r}: choose one of {', '.join(PROFILES)}.")
        style.use_style()

    @property
    def simulated(self) -> bool:
        """Whether the records are simulated."""
        return self.profile == SMOKE

    @cached_property
    def root(self) -> Path:
        """The data root: simulated for `smoke`, else `ECGLIB_DATA` or `data/` in the checkout."""
        return simulate.simulated_root() if self.simulated else physionet.find_root()

    @property
    def store(self) -> Path:
        """The folder of all runs of this profile."""
        return output_root() / "papermill_runs" / self.profile / "runs"

    @property
    def results(self) -> Path:
        """The folder of this profile's tables."""
        return output_root() / "papermill_runs" / self.profile / "results"

    @property
    def figures(self) -> Path:
        """The folder of this profile's figures."""
        return output_root() / "figures" / self.profile

    @property
    def banner(self) -> str:
        """What every reader must know before the first number."""
        return f"profile {self.profile}: {SIMULATED if self.simulated else 'the real databases'}"

    def limit(self, budget: bool, data: bool = True) -> str:
        """What of a report's training is missing here, as verdicts say it: is the budget the report's, and the data?"""
        reasons = {"at this budget": budget, "on simulated records": not self.simulated}
        if not self.simulated:
            reasons["on a part of the records"] = data
        return ", ".join(reason for reason, met in reasons.items() if not met)

    def conclusion(self, notebook: str) -> Markdown:
        """The line above the conclusions of a notebook (`03_kd_student`): which numbers they speak of, with a link."""
        if self.profile in (EVIDENCE, "paper"):
            return Markdown(f"*What follows is said of this page's numbers (profile `{self.profile}`).*")
        # A notebook lies in `notebooks/`, a page that the driver made in `papermill_runs/<profile>/`.
        folder = "../" if os.environ.get("ECGLIB_DRIVER") or not self.simulated else "../papermill_runs/"
        page = f"[the page of profile `{EVIDENCE}`]({folder}{EVIDENCE}/{notebook}.ipynb)"
        here = (
            f"The numbers above are those of {'simulated records' if self.simulated else f'profile `{self.profile}`'}"
        )
        return Markdown(f"*{here}. What follows is not said of them, but of the committed evidence: {page}.*")

    def figure(self, figure: Figure, name: str) -> Figure:
        """Save a figure as `name`.png among this profile's figures and hand it back for display."""
        return style.save(figure, self.figures / f"{name}.png")

    def table(self, frame: pd.DataFrame, name: str, digits: int = 2) -> Styler:
        """Save a table as `name`.csv among this profile's results and style it for display.

        What is displayed has thousands separators, `digits` decimals and the banner as its caption.
        """
        write_text(self.results / f"{name}.csv", frame.to_csv(lineterminator="\n", float_format="%.6g"))

        def shown(value: object) -> str:
            if isinstance(value, float):
                return f"{value:,.0f}" if value.is_integer() else f"{value:,.{digits}f}"
            return f"{value:,}" if isinstance(value, int) else str(value)

        # A fixed identifier: pandas draws a random one, and the saved notebook would differ on every run.
        return frame.style.set_uuid(name).format(shown).set_caption(self.banner)
