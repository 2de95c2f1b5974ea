"""The first screen of README.md and README.ko.md: a picture, six claims, and what became of each.

Every number is read from a committed table, in both languages the same one. The words are in `story.csv`, where
`{teacher}` stands for the fact of that name.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib import reports
from ecglib.core.errors import EcglibError
from ecglib.show import style
from ecglib.show.marks import dot_plot
from ecglib.stats.comparisons import AFTER_HOLM, pairwise_distances
from ecglib.stats.margins import EQUAL_MARGIN

PICTURE = "figures/story.png"
LANGUAGES = ("en", "ko")

# What a verdict of the tables begins with -> the same in the words of a first screen, English and Korean.
VERDICTS = {
    "cannot tell": ("open, as neither 0 nor the report's value is excluded", "미결: 0도 보고서의 값도 배제되지 않음"),
    "no difference shown: excludes": (
        "no difference shown; the report's value is excluded",
        "차이가 확인되지 않고, 보고서의 값은 배제됨",
    ),
    "no difference shown": ("no difference shown", "차이가 확인되지 않음"),
    "not comparable: at this budget": (
        "not comparable yet: shorter training than R1's",
        "아직 비교할 수 없음: R1보다 짧은 학습",
    ),
    "reproduced": ("reproduced", "재현됨"),
    "higher than reported": ("higher than reported", "보고서보다 높음"),
    "lower than reported": ("lower than reported", "보고서보다 낮음"),
    "a gain": ("a gain", "이득"),
    "a loss": ("a loss", "손실"),
    "gain": ("a gain", "이득"),
    "loss": ("a loss", "손실"),
}
# What `comparisons.for_whom` adds to one of them.
FOR_WHOM = ("for others not shown", (", not shown for other patients", ", 다른 환자에서는 확인되지 않음"))
CORRECTED = (AFTER_HOLM, " (Holm 보정 후)")
NOT_SHOWN = ("no difference shown", "차이가 확인되지 않")
# What `margins.reached` says.
GOALS = {"reached": ("reached", "달성"), "missed": ("missed", "미달"), "open": ("open", "미결")}
# What is not the report's, as `Study.limit` says it at the end of a verdict.
LIMITS = {"at this budget": "이 학습량에서", "on a part of the records": "레코드 일부에서"}

BEYOND = {
    "en": "For patients never seen something simpler reads higher, without any training: compare each beat with the"
    " usual beats of the same heart, in its P wave, its QRS complex and its timing. AUC **{questions}**, over patients"
    " {questions_patients} (the idea came from a trial that saw these patients' labels, and a first version missed its"
    " goal on them; the P wave, the small wave before the beat, alone reads {p_wave}); on the same patients BeatGAN"
    " reads {beatgan}, over patients {beatgan_patients} ({strangers_seeds} seeds), a difference of {strangers_minus},"
    " over patients, too. And R3's student gets better by its training, with as many weights, on the same records: six"
    " steps together take it from {without} to {steps}, {steps_gain} ({steps_seeds} seeds; four of those without the"
    " steps ran on another kind of machine; +0.0155 before one seed was trained again, RESULTS.md); its goal of 0.90 is"
    " {goal}. Cut to {small_kb} kB it reads {small}.",
    "ko": "처음 보는 환자의 비정상 박동에서는 학습이 필요 없는 더 간단한 방법의 AUC가 더 높게 나왔습니다. 박동마다 P파,"
    " QRS군, 나타난 시점을 같은 심장의 평소 박동과 비교하는 것입니다. AUC는 **{questions}**, 환자에 대한 신뢰구간은"
    " {questions_patients}이고(착상은 이 환자들의 레이블을 본 예비 실험에서 나왔고 첫 판은 이들에서 목표에 못 미쳤음;"
    " 심실 수축에 앞선 작은 파인 P파만으로는 {p_wave}), 같은 환자에서 BeatGAN은 {beatgan}, 환자에 대한 신뢰구간은"
    " {beatgan_patients}입니다(시드 {strangers_seeds}개; 차이는 {strangers_minus}, 역시 환자에 대한 신뢰구간)."
    " R3의 학생은 같은 크기, 같은 레코드에서도 학습 방법에 따라 좋아집니다. 여섯 단계를 모두 더하면 {without}이던 AUC가"
    " {steps}까지, {steps_gain}만큼 오릅니다"
    "(시드 {steps_seeds}개; 단계를 더하지 않은 쪽은 그중 네 개를 다른 종류의 기계에서 학습;"
    " 시드 하나를 다시 학습시키기 전에는 +0.0155, RESULTS.md)."
    " 목표 0.90은 {goal}이고, {small_kb} kB로 줄이면 {small}입니다.",
}


def first_screen(results: Path, language: str) -> str:
    """The claims as a Markdown table of three columns, and the sentence below it.

    Args:
        results: the folder of a profile's tables.
        language: "en" or "ko".

    Raises:
        EcglibError: a table, a row or a verdict is not what the words expect.
    """
    known = facts(results, language)
    words = (resources.files(__package__) / "story.csv").read_text(encoding="utf-8").splitlines()
    claims = [row for first, *row in csv.reader(words) if first == language]
    return f"{as_table(*claims)}\n\n{BEYOND[language]}".format_map(known)


def as_table(heading: Sequence[str], *rows: Sequence[str]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows))


def facts(results: Path, language: str) -> dict[str, str]:
    """Every number and verdict that the words of `story.csv` and `BEYOND` name."""
    teacher = row_of(results, "02_teacher", metric="AUC", **{"epoch chosen": "corrected"})
    coded = row_of(results, "02_teacher", metric="AUC", **{"epoch chosen": "as coded"})
    averaged = row_of(results, "02_teacher", metric="AUC", **{"epoch chosen": "none: averaged weights, last quarter"})
    reruns = row_of(results, "03_reruns", **{"epoch chosen": "as coded"})
    kd = row_of(results, "03_gains", **{"AUC of": "student with KD"})
    inside = {
        name: row_of(results, "04_scenarios", scenario=name)
        for name in ("scenario 1", "scenario 1, pretrained", "scenario 2", "scenarios 1 and 2")
    }
    could = [float(row["could have shown"]) for row in inside.values()]
    strangers = row_of(results, "03_protocol", protocol="new patients: trained on DS1, tested on DS2")
    questions = row_of(results, "04_own_record", detector="three questions")
    p_wave = row_of(results, "04_own_record", detector="P wave alone")
    beatgan = row_of(results, "04_own_record", detector="BeatGAN")
    student = row_of(results, "05_claims", claim="student alone -> with KD, test")
    pruned = row_of(results, "05_claims", claim="float -> pruned")
    int8 = row_of(results, "05_claims", claim="float -> quantised")
    size = row_of(results, "05_claims", claim="teacher -> student with KD")
    trees, teacher_own = (
        row_of(results, "05_baseline", method=name) for name in ("boosted trees, all leads", "teacher")
    )
    steps, alone = (
        row_of(results, "05_steps", arm=name)["macro-AUC, fold 10, 95 % over seeds"].split()[0]
        for name in ("+ committee (goes on)", "student alone")
    )
    goal = row_of(results, "05_steps_goals", student="12 leads, six steps", model="whole, float")["verdict"]
    total = row_of(results, "05_steps_total", arm="12 leads, six steps")
    small = row_of(results, "05_steps_compressed", model="12 leads, six steps, pruned, INT8")
    difference = "minus student (D), paired, over seeds"
    gain = reports.value("r1.student.auc") - reports.value("r1.teacher.auc")
    published = {
        "r3_float": "r3.float.auc",
        "r3_pruned": "r3.pruned.auc",
        "r3_int8": "r3.quantised.auc",
        "r3_alone": "r3.alone.auc",
        "r3_kd": "r3.kd.auc",
        "r3_both": "r3.student.auc",
    }
    return {name: f"{reports.value(key) / 100:.3f}" for name, key in published.items()} | {
        "r1_teacher": f"{reports.value('r1.teacher.auc'):.3f}",
        "r1_gain": f"{gain:.4f}",
        "r3_student_size": f"{reports.value('r3.student.parameters'):,.0f}",
        "r3_teacher_size": f"{reports.value('r3.teacher.parameters'):,.0f}",
        "teacher": f"{float(teacher['measured']):.3f} {rounded(teacher['95 % over seeds'])}",
        "teacher_coded": f"{float(coded['measured']):.3f} {rounded(coded['95 % over seeds'])}",
        "teacher_averaged": f"{float(averaged['measured']):.3f} {rounded(averaged['95 % over seeds'])}",
        "teacher_seeds": teacher["seeds"],
        "teacher_verdict": _verdict(teacher["verdict"], language),
        "strangers": rounded(strangers["value, 95 % over seeds"]),
        "strangers_seeds": strangers["seeds"],
        "beatgan": beatgan["AUC"],
        "beatgan_patients": beatgan["over patients"],
        "strangers_minus": beatgan["minus three questions"],
        "apart": rounded(reruns["median apart"]),
        "pairs": reruns["pairs"],
        "runs": reruns["runs"],
        "kd": rounded(kd["corrected, averaged weights: student - control"]),
        "kd_chosen": rounded(kd["corrected, chosen epoch: student - control"]),
        "kd_seeds": kd["arms and seeds"].rsplit(" ", 1)[-1],
        "kd_verdict": _verdict(kd["verdict on the corrected"], language),
        "contrast_d": rounded(inside["scenario 1"][difference]),
        "contrast_pretrained": rounded(inside["scenario 1, pretrained"][difference]),
        "contrast_g": rounded(inside["scenario 2"][difference]),
        "contrast_both": rounded(inside["scenarios 1 and 2"][difference]),
        "contrast_seeds": inside["scenario 1"]["seeds"],
        "contrast_verdict": _shared({_verdict(row["verdict"], language) for row in inside.values()}),
        "contrast_least": f"{min(could):.2f}",
        "contrast_most": f"{max(could):.2f}",
        "masked": _change(pruned["as coded"]),
        "pruned": _change(pruned["corrected"]),
        "int8": _change(int8["corrected"]),
        "pruned_seeds": _seeds(pruned["corrected"]),
        "pruned_verdict": _verdict(pruned["verdict"], language),
        "int8_verdict": _verdict(int8["verdict"], language),
        "student_coded": _change(student["as coded"]),
        "student": _change(student["corrected"]),
        "student_seeds": _seeds(student["corrected"]),
        "student_teachers": _teachers(student["corrected"], language),
        "student_verdict": _verdict(student["verdict"], language),
        "size": _change(size["corrected"]),
        "size_coded": _change(size["as coded"]),
        "size_seeds": _seeds(size["corrected"]),
        "size_verdict": _verdict(size["verdict"], language),
        "size_margin": _equal(row_of(results, "05_equivalence", **{"equal?": "teacher -> student with KD"}), language),
        "trees": trees["macro-AUC, over patients"].split()[0],
        "teacher_own": teacher_own["macro-AUC, over patients"].split()[0],
        "trees_minus": teacher_own["trees minus it, over patients"],
        "without": rounded(alone),
        "steps": rounded(steps),
        "steps_gain": _better(total),
        "steps_seeds": total["seeds"].split()[0],
        "goal": GOALS[goal.split()[0]][LANGUAGES.index(language)],
        "small": rounded(small["macro-AUC, 95 % over seeds"].split()[0]),
        "small_kb": small["file (kB)"],
        "questions": questions["AUC"],
        "p_wave": p_wave["AUC"],
        "questions_patients": questions["over patients"],
    }


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise EcglibError(f"{path} is missing: run 'ecglib run --profile {path.parents[1].name}' first.") from error


def row_of(results: Path, table: str, **wanted: str) -> Mapping[str, str]:
    """The one row of a table with these values.

    Raises:
        EcglibError: there is none, or more than one.
    """
    path = results / f"{table}.csv"
    found = [row for row in _rows(path) if all(row.get(name) == value for name, value in wanted.items())]
    if len(found) != 1:
        raise EcglibError(f"{path} has {len(found)} rows with {wanted}; the first screen of the README needs one.")
    return found[0]


def rounded(text: str) -> str:
    """Every number of a text with three decimals; a sign stays.

    A fourth decimal 5 stays, too: the table has rounded it already, so that nobody knows on which side it lies.
    """

    def three(match: re.Match[str]) -> str:
        if re.fullmatch(r"[+-]?\d+\.\d{3}5", match[0]):
            return match[0]
        rounded = Decimal(match[0]).quantize(Decimal("0.001"), ROUND_HALF_UP)
        return f"{rounded:+}" if match[0][0] in "+-" else str(rounded)

    return re.sub(r"[+-]?\d+\.\d+", three, text)


def _change(text: str) -> str:
    """`+0.002 [-0.009, +0.013]` of `0.854 -> 0.856 (+0.002, [-0.009, +0.013] over seeds, ...)`."""
    found = re.search(r"\(([+-][\d.]+), (\[[^]]+\]) over seeds", text)
    if not found:
        raise EcglibError(f"No difference with an interval over seeds in {text!r}.")
    return rounded(f"{found[1]} {found[2]}")


def _better(row: Mapping[str, str]) -> str:
    """A difference with its interval over seeds, which is shown to be one.

    Raises:
        EcglibError: it is not: the words have to be changed first.
    """
    if not row["verdict"].startswith("better ("):
        raise EcglibError(f"{dict(row)} is not shown to be better: README's first screen says otherwise.")
    return rounded(row["difference, 95 % over seeds"])


def _equal(row: Mapping[str, str], language: str) -> str:
    """The smallest margin within which two numbers were shown to be equal, and whether that is the margin that was set.

    Raises:
        EcglibError: there is none: the words have to be changed first.
    """
    for name, verdict in row.items():
        if name.startswith("within 0") and ":" not in name and verdict.split(" (")[0] == "equal":
            smallest = name.removeprefix("within ")
            if float(smallest) <= EQUAL_MARGIN:
                return f"equal within {smallest}" if language == "en" else f"{smallest} 이내로 같음"
            here = row.get(f"within {EQUAL_MARGIN:g}", "").startswith("equal on these patients")
            if language == "en":
                shown = "on these patients alone" if here else "not shown"
                return f"equal within {smallest}; within {EQUAL_MARGIN}, the margin that was set, {shown}"
            shown = "이 환자들에서만 확인됨" if here else "확인되지 않음"
            return f"{smallest} 이내로는 같지만, 정해 둔 {EQUAL_MARGIN} 이내로 같다는 것은 {shown}"
    raise EcglibError(f"Nothing in {dict(row)} is shown to be equal: README's first screen says otherwise.")


def _seeds(text: str) -> str:
    """`5` of `..., seeds: 5 (3 teachers))`."""
    return text.rpartition("seeds: ")[2].rstrip(")").split(" ")[0]


def _teachers(text: str, language: str) -> str:
    """` (3 teachers)` of `..., seeds: 5 (3 teachers))`; nothing if each student has a teacher of its own."""
    if not (found := re.search(r"\((\d+) teachers?\)", text)):
        return ""
    return f" ({found[1]} teachers)" if language == "en" else f" (교사 {found[1]}개)"


def _verdict(text: str, language: str) -> str:
    """A table's verdict in the words of `VERDICTS`, with what limits it.

    Raises:
        EcglibError: the verdict is none of `VERDICTS`: its words have to be written first.
    """
    place = LANGUAGES.index(language)
    words, _, limits = text.rpartition("here: ")[2].removesuffix(")").partition(" (")
    for start, translated in VERDICTS.items():
        if words.replace(AFTER_HOLM, "").startswith(start) and set(limits.split(", ")) <= {"", *LIMITS}:
            said = _corrected(translated[place], place) if AFTER_HOLM in words else translated[place]
            said += FOR_WHOM[1][place] if FOR_WHOM[0] in words else ""
            shown = ", ".join(limit if language == "en" else LIMITS[limit] for limit in limits.split(", ") if limit)
            return f"{said} ({shown})" if shown else said
    raise EcglibError(
        f"The first screen of the README has no words for the verdict {text!r}: add it to story.VERDICTS."
    )


def _corrected(said: str, place: int) -> str:
    """A verdict, which says behind what Holm's correction has changed that it has."""
    if said.startswith(shown := NOT_SHOWN[place]):
        return f"Holm 보정 후 {said}" if LANGUAGES[place] == "ko" else f"{shown}{AFTER_HOLM}{said.removeprefix(shown)}"
    return said + CORRECTED[place]


def _shared(verdicts: set[str]) -> str:
    """The verdict that several rows share.

    Raises:
        EcglibError: they differ: one sentence cannot say it any more.
    """
    if len(verdicts) != 1:
        raise EcglibError(f"These verdicts share a line of README's first screen and differ: {sorted(verdicts)}.")
    return verdicts.pop()


def picture(results: Path) -> Figure:
    """R1's gain among the differences of runs of one program, and R3's collapses beside what compression costs.

    Left: each dot is a pair of trainings that differ in nothing but the seed. Right: macro-AUC on R3's validation
    records with the interval over seeds. Orange diamonds are reported, blue dots measured.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8), width_ratios=(1.1, 1), layout="constrained")
    aucs = [
        float(one) for one in row_of(results, "03_reruns", **{"epoch chosen": "as coded"})["AUC of each run"].split()
    ]
    _cloud(left, pairwise_distances(np.array(aucs)))
    _collapses(right, results)
    return figure


def _cloud(axis: Axes, distances: np.ndarray) -> None:
    gain = reports.value("r1.student.auc") - reports.value("r1.teacher.auc")
    dot_plot(axis, distances, style.OUTPUT, edge=gain, size=46)
    axis.scatter([gain], [-1.2], s=90, marker="D", color=style.ERROR, zorder=3)
    axis.annotate(
        f"distillation, reported: {gain:+.4f}",
        (gain, -1.2),
        (12, 0),
        textcoords="offset points",
        va="center",
        color=style.ERROR,
    )
    axis.set(
        title=f"R1: the same program run twice, {len(distances)} pairs",
        xlabel="how far the two AUCs lie apart",
        yticks=[],
        ylim=(-2.4, None),
    )
    axis.grid(False)
    axis.spines[["left", "right", "top"]].set_visible(False)


def _collapses(axis: Axes, results: Path) -> None:
    rows = [
        ("trained", "float", "r3.float.auc"),
        ("pruned", "masked, as R3", "r3.pruned.auc"),
        ("INT8", "INT8, sound", "r3.quantised.auc"),
    ]
    for place, (_, attempt, claim) in enumerate(rows):
        shown = row_of(results, "05_quantisation_attempts", attempt=attempt)["macro-AUC, validation"]
        value, low, high = (float(number) for number in re.findall(r"\d+\.\d+", shown))
        reported = reports.value(claim) / 100
        axis.plot([reported, value], [place, place], color="0.85", linewidth=5, zorder=1, solid_capstyle="round")
        axis.errorbar(
            value, place, xerr=[[value - low], [high - value]], color=style.OUTPUT, marker="o", markersize=8, capsize=4
        )
        axis.scatter([reported], [place], s=80, marker="D", color=style.ERROR, zorder=3)
        axis.text(reported, place - 0.18, f"{reported:.3f}", ha="center", va="bottom", color=style.ERROR)
        axis.text(value, place + 0.18, f"{value:.3f}", ha="center", va="top", color=style.OUTPUT)
    axis.axvline(0.5, color="0.6", linewidth=1, linestyle=":")
    axis.text(0.505, 2.68, "chance", color="0.4")
    axis.set(
        title="R3: what pruning and INT8 cost",
        xlabel="macro-AUC on R3's validation records",
        yticks=range(len(rows)),
        xlim=(0.45, 1.0),
        ylim=(2.75, -0.55),
    )
    axis.set_yticklabels([name for name, *_ in rows])
    axis.grid(False)
    axis.spines[["left", "right", "top"]].set_visible(False)
    legend = {"reported": (style.ERROR, "D"), "measured": (style.OUTPUT, "o")}
    for name, (colour, marker) in legend.items():
        axis.scatter([], [], s=60, color=colour, marker=marker, label=name)
    axis.legend(loc="center", bbox_to_anchor=(0.35, 0.86), frameon=False)
