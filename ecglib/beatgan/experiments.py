"""R1's experiments: which arm and which number of a run stand for each, as coded, as written and corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecglib.beatgan.task import BeatGANRun
from ecglib.stats.comparisons import AS_CODED, AS_WRITTEN, AVERAGED, CORRECTED, Rule

ArmRuns = Mapping[str, Sequence[BeatGANRun]]
CONTROL, TEACHER = "B", "A"
PRIMARY_RULE = AVERAGED  # what the verdicts of notebook 03 rest on: EVIDENCE.md, before the runs
NOT_TRAINED = "not trained at this budget"


@dataclass(frozen=True)
class Experiment:
    """One of R1's experiments with the arms that stand for it."""

    name: str
    key: str  # of the published numbers
    coded: str  # the arm that computes what R1's program did
    written: str | None  # the arm that computes what R1's text says, if there is one
    corrected: str  # the arm of a sound experiment

    @property
    def columns(self) -> tuple[tuple[Rule, str | None], ...]:
        """The rule that chooses the epoch, with its label, and the arm, for each column of a table."""
        return ((AS_CODED, self.coded), (AS_WRITTEN, self.written), (SOUND, self.corrected))

    def seeds(self, runs: ArmRuns) -> str:
        """Each arm with its number of runs."""
        arms = dict.fromkeys(arm for _, arm in self.columns if arm is not None)
        counts = [f"{arm} {len(runs[arm])}" for arm in arms if arm in runs]
        missing = [f"{', '.join(cut)} {NOT_TRAINED}"] if (cut := [arm for arm in arms if arm not in runs]) else []
        return ", ".join(counts + missing)


SOUND, CHOSEN = Rule(PRIMARY_RULE.key, "corrected, averaged weights"), Rule(CORRECTED.key, "corrected, chosen epoch")
# As coded, KD is a constant: the student with KD is the control, and KD with feature distillation is the latter alone.
# No arm adds the norm that R1 writes to KD.
EXPERIMENTS = (
    Experiment("teacher", "r1.teacher", "A", "A", "A"),
    Experiment("student with KD", "r1.student", CONTROL, "D", "D"),
    Experiment("student with feature distillation", "r1.feature", "Fc", "Fw", "F"),
    Experiment("student with KD and feature distillation", "r1.both", "Fc", None, "G"),
)
