"""The commands of `cli` on recordings of one's own: export, classify, compare, detect."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecglib.core.errors import EcglibError

if TYPE_CHECKING:
    from pandas import DataFrame

    from ecglib.classifier.classify import Answer

PRINTED = 20  # flagged beats; all are in the file


def export(arguments: argparse.Namespace) -> int:
    """Write a trained classifier as ONNX."""
    from ecglib.classifier.export import export_best, export_run, run_of

    path = Path(arguments.file)
    if arguments.run is not None:
        run, profile = run_of(Path(arguments.run))
        print(export_run(run, profile, path, arguments.int8, arguments.data_root))
    else:
        kind, profile = arguments.kind, arguments.profile
        print(export_best(kind, profile, path, arguments.int8, arguments.data_root, arguments.output))
    return 0


def kind_and_file(parser: argparse.ArgumentParser, arguments: argparse.Namespace, rest: list[str]) -> list[str]:
    """Sort out `export KIND FILE` and `export --from RUN FILE`, with options anywhere between; what is left over."""
    given = [one for one in (arguments.kind, arguments.file, *rest) if one is not None]
    names = [one for one in given if not one.startswith("-")]
    wanted = 2 if arguments.run is None else 1
    if unknown := [one for one in given if one.startswith("-")]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if len(names) != wanted:
        parser.error("give ecglib export KIND FILE, or ecglib export --from RUN FILE (see ecglib export --help)")
    arguments.kind, arguments.file = (names[0] if wanted == 2 else None), names[-1]
    return []


def classify_records(arguments: argparse.Namespace) -> int:
    """Print what a model says of recordings."""
    from ecglib.classifier.classify import table
    from ecglib.classifier.contract import read_contract

    read_contract(Path(arguments.model))  # a wrong model is one error, not one a recording
    found, failed = _answers(arguments, Path(arguments.model))
    if arguments.format == "text":
        for name, answers in found.items():
            _print_answers(f"{name}: " if len(found) > 1 else "", answers)
    else:
        _print_table(table(found), arguments.format)
    return 1 if failed else 0


def _print_answers(name: str, answers: "list[Answer]") -> None:
    """What a model says of a recording, for a reader: a line a label, or a line a window."""
    for answer in answers:
        at = f"{name}from {answer.start:g} s: " if len(answers) > 1 else name
        if answer.oddity:
            print(f"ecglib: {at}it {answer.oddity}", file=sys.stderr)
        if answer.fault:
            print(f"{at}no answer: it {answer.fault}")
        elif len(answers) == 1 and not name:
            for label, value in answer.probabilities.items():
                print(f"{label:5s} {value:.3f}{'  yes' if label in answer.given else ''}")
        else:
            values = (f"{label} {value:.3f}" for label, value in answer.probabilities.items())
            print(f"{at}{'  '.join(values)}  -> {' '.join(answer.given) or 'none'}")


def detect_beats(arguments: argparse.Namespace) -> int:
    """Judge the beats of a recording, print the most unusual and write a table, a picture and a page."""
    from tqdm.auto import tqdm

    from ecglib.data.recording_wfdb import SegmentedRecording, WfdbRecording, read_beats
    from ecglib.data.recordings import open_recording
    from ecglib.detection import detect, judges, page

    kind = judges.JUDGES[arguments.model]
    recording = detect.choose_leads(
        open_recording(arguments.record, arguments.rate, arguments.unit), arguments.leads, kind.MOST
    )
    judge = kind(len(recording.leads))
    annotations, suffix = None, arguments.annotations or "atr"
    if isinstance(recording, WfdbRecording | SegmentedRecording) and suffix != "none":
        annotations = read_beats(Path(arguments.record), suffix)
    if annotations is None and arguments.annotations not in (None, "none"):
        raise EcglibError(f"{recording.title} has no annotations {suffix}: leave --annotations out to detect R peaks.")
    if arguments.start is None and arguments.stop is None:
        recording.compare_checksums()
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed} gone, {remaining} left", disable=None) as bar:
        found = detect.detect(
            recording,
            judge,
            annotations,
            arguments.start or 0.0,
            arguments.stop,
            arguments.flag,
            lambda share: bar.update(round(100 * share) - bar.n) and None,
        )
    name = Path(arguments.record).name.removesuffix(".hea").removesuffix(".dat")
    folder = Path(arguments.out or f"{name}-beats")
    what = "replaced" if (folder / "beats.csv").exists() else "written"
    paths = page.write(found, recording, judge, folder)
    flagged = found.beats[found.beats["flagged"]]
    columns = ["time", *(["class"] if found.annotated else []), "score", "percentile", "why"]
    if len(flagged):
        most = flagged.nlargest(PRINTED, "score")
        forms = {"time": "{:.2f}".format, "score": "{:.3g}".format, "percentile": "{:.2f}".format}
        print(most[columns].to_string(index=False, formatters=forms))
    if len(flagged) > PRINTED:
        print(f"the most unusual first; {len(flagged) - PRINTED:,} more are in {paths[0]}")
    source = "annotated" if found.annotated else "detected"
    print(f"{len(flagged):,} of {len(found.beats):,} {source} beats are flagged (leads {', '.join(found.leads)})")
    for note in found.notes:
        print(note)
    print(f"{what}: {', '.join(map(str, paths))}")
    print(page.NO_DEVICE)
    return 0


def compare_models(arguments: argparse.Namespace) -> int:
    """Print how the answers of two models to recordings differ."""
    from ecglib.classifier.classify import compare
    from ecglib.classifier.contract import read_contract

    models = Path(arguments.first), Path(arguments.second)
    for model in models:
        read_contract(model)
    (first, failed), (second, also) = (_answers(arguments, model) for model in models)
    _print_table(compare(models, (first, second)).reset_index(), arguments.format)
    return 1 if failed or also else 0


def _answers(arguments: argparse.Namespace, model: Path) -> "tuple[dict[str, list[Answer]], bool]":
    """The answers of a model to all recordings that can be read, and whether one cannot; that is said on stderr."""
    from tqdm.auto import tqdm

    from ecglib.classifier.classify import answers, recordings_in
    from ecglib.data.recordings import TABLES

    found, failed = {}, False
    recordings = recordings_in([Path(one) for one in arguments.records])
    said = (arguments.rate, arguments.unit)
    if said != (None, None) and not any(path.suffix.casefold() in TABLES for path in recordings):
        raise EcglibError("None of the recordings is a table, so they say rate and unit: leave --rate and --unit out.")
    for path in tqdm(recordings, unit="recording", disable=len(recordings) == 1 or None):
        try:
            how = said if path.suffix.casefold() in TABLES else (None, None)
            found[str(path)] = list(answers(path, model, arguments.start, *how))
        except EcglibError as error:
            if len(recordings) == 1:
                raise
            print(f"ecglib: {error}", file=sys.stderr)
            failed = True
            continue
        faults = [one for one in found[str(path)] if one.fault]
        if len(faults) == len(found[str(path)]):
            print(f"ecglib: {path}: {faults[0].fault[0].upper()}{faults[0].fault[1:]}", file=sys.stderr)
            failed = True
    if not found:
        raise EcglibError("None of the recordings could be read.")
    return found, failed


def _print_table(frame: "DataFrame", form: str) -> None:
    if form == "json":
        print(frame.to_json(orient="records", indent=2, force_ascii=False))
    elif form == "csv":
        print(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"), end="")
    else:
        print(frame.to_string(index=False, float_format="{:.4f}".format))


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add classify, detect and compare to a parser's commands."""
    classify = commands.add_parser("classify", help="probabilities of the five superclasses for recordings")
    classify.add_argument("--model", required=True, metavar="FILE", help="what 'ecglib export' wrote")
    _add_records(classify)
    classify.set_defaults(command=classify_records)

    detect = commands.add_parser("detect", help="beats of a recording that are unlike its usual ones")
    detect.add_argument("record", metavar="RECORD", help="a WFDB record (without .hea), an EDF file or a table")
    detect.add_argument("--lead", action="append", dest="leads", metavar="NAME", help="one, or two by repeating it")
    detect.add_argument("--from", type=float, dest="start", metavar="SECONDS", help="only from here on")
    detect.add_argument("--to", type=float, dest="stop", metavar="SECONDS", help="only up to here")
    detect.add_argument(
        "--out", metavar="DIR", help="where beats.csv, strip.png and page.html go (default: RECORD-beats)"
    )
    detect.add_argument(
        "--model", choices=("questions", "beatgan"), default="questions", help="who judges (default: %(default)s)"
    )
    detect.add_argument(
        "--flag", type=_percentage, default=99.0, metavar="PERCENT",
        help="flag a beat whose score is above those of so many normal beats (default: %(default)s)",
    )  # fmt: skip
    detect.add_argument(
        "--annotations", metavar="SUFFIX",
        help="of a file of annotated beats; none: detect R peaks (default: atr if it is there, else none)",
    )  # fmt: skip
    _add_table(detect)
    detect.set_defaults(command=detect_beats)

    compare = commands.add_parser("compare", help="what compression changed: the answers of two models to recordings")
    compare.add_argument("first", metavar="A.onnx")
    compare.add_argument("second", metavar="B.onnx")
    _add_records(compare)
    compare.set_defaults(command=compare_models)


def _add_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "records",
        nargs="+",
        metavar="RECORD",
        help="a WFDB record, an EDF file, a table, or a folder (without its subfolders)",
    )
    parser.add_argument("--start", type=float, metavar="SECONDS", help="one window only, and where it begins")
    _add_table(parser)
    parser.add_argument(
        "--format", choices=("text", "csv", "json"), default="text", help="of what is printed (default: %(default)s)"
    )


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, metavar="HZ", help="of a table without a column of times")
    parser.add_argument("--unit", help="of a table without units (default: mV)")


def _percentage(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage from 0 to 100")
    return value
