"""The command line: run the notebooks under a profile, fetch and verify the databases, export and use a classifier.

Exit codes: 0 done; 1 something is wrong and the message on stderr says what to do; 2 wrong usage; 75 the budget of
`ecglib train` ended before its work, and the same command goes on; 130 interrupted; 141 nobody reads the output.
"""

import argparse
import errno
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import shtab

import ecglib
from ecglib.book import own
from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.core.files import output_root
from ecglib.core.processors import ON_GPU, on_gpu, side_by_side
from ecglib.core.profiles import PROFILES, SMOKE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (wrong usage leaves through argparse's `SystemExit(2)`)."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command is own.export:
        rest = own.kind_and_file(parser, arguments, rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    shown, warnings.showwarning = warnings.showwarning, _show
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()  # so that a full disk is met here
        return code
    except EcglibError as error:
        if arguments.debug:
            raise
        print(f"ecglib: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ecglib" or arguments.debug:
            raise
        print(f"ecglib: {error.name} is not installed: pip install -e '.[data,notebooks,compress]'", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has read enough
        _say_nothing_more()
        return 141  # as a shell says it of a process that ends by SIGPIPE
    except OSError as error:
        if error.errno != errno.ENOSPC or arguments.debug:
            raise
        _say_nothing_more()
        where = f"The output, or a temporary file in {tempfile.gettempdir()}, cannot be written"
        print(f"ecglib: {where}: {error.strerror}. Free disk space, then run again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ecglib: interrupted; what is finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    finally:
        warnings.showwarning = shown


def _say_nothing_more() -> None:
    """What is left for the standard output would be tried once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What is odd in one line, as errors are; other warnings are for those who work on the library."""
    where = "" if issubclass(category, EcglibWarning) else f"{filename}:{lineno}: {category.__name__}: "
    print(f"ecglib: {where}{message}", file=file or sys.stderr)


OUT_OF_TIME = 75  # EX_TEMPFAIL of sysexits.h: try again


EXAMPLES = """\
examples:
  ecglib doctor                                        what this machine has, and what to mend
  ecglib run --profile smoke                           all five notebooks on simulated records, in minutes
  ecglib data download mitdb                           MIT-BIH, 100 MB, checked file by file
  ecglib run 02 03 --profile quick --jobs 2            two notebooks on real records
  ecglib train 03 --profile desk --list                what is left to train, and how long it takes
  ecglib train 03 --profile desk --budget 60           an hour of it; the same command goes on
  ecglib detect my/record                              its unusual beats: a table, a picture, a page
  ecglib export student student.onnx --int8            a classifier for use elsewhere
  ecglib classify my/record --model student.onnx       what it says of each ten seconds
  ecglib compare a.onnx b.onnx my/records              what compression changed
exit codes: 0 done, 1 an error that the message says how to mend, 2 wrong usage, 75 out of time, 130 interrupted
"""

# The commands import what they need themselves, so that --help and a wrong option answer at once.


def _run(arguments: argparse.Namespace) -> int:
    from ecglib.book.driver import run_notebooks

    run_notebooks(
        arguments.notebooks,
        arguments.profile,
        dict(arguments.parameters),
        arguments.force,
        seeds=arguments.seeds,
        device=arguments.device,
        data_root=arguments.data_root,
        output=arguments.output,
        jobs=arguments.jobs or side_by_side(arguments.device or dict(arguments.parameters).get("device", "auto")),
    )
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from ecglib.book import train
    from ecglib.book.parameters import data_root, find_notebooks, plan

    # The workers of a cluster choose their own devices; this machine may have none of them.
    elsewhere = arguments.scheduler is not None
    options = {"seeds": arguments.seeds, "device": None if elsewhere else arguments.device}
    names = arguments.notebooks or list(train.GRIDS)
    planned = plan(find_notebooks(names), arguments.profile, dict(arguments.parameters), options, here=not elsewhere)
    device = arguments.device or str(next((one.values["device"] for one in planned if "device" in one.values), "auto"))
    jobs = 1 if elsewhere else arguments.jobs or side_by_side(device)
    root = data_root(arguments.profile, arguments.data_root)
    store = output_root(arguments.output).absolute() / "papermill_runs" / arguments.profile / "runs"
    trainings = train.grid(planned, root, arguments.only)
    rest = train.unfinished(trainings, store)
    if arguments.list or (arguments.profile != SMOKE and not elsewhere):  # smoke's are shorter than the probe
        rest = train.estimated(rest, root, device)
    if arguments.list:
        hours = sum(one.epochs * one.seconds for one in rest) / 3600
        print(train.listing(trainings, rest).to_string(float_format="{:.2f}".format))
        beside = f"; with --jobs {jobs} about {hours / jobs:.1f}" if jobs > 1 and not on_gpu(device) else ""
        print(f"{len(rest)} of {len(trainings)} trainings are left: about {hours:.1f} hours one after another{beside}")
        return 0
    print(f"{len(rest)} of {len(trainings)} trainings are left", flush=True)
    done = train.train(
        rest,
        root,
        store,
        jobs,
        device=device,
        minutes=arguments.budget,
        scheduler=arguments.scheduler,
    )
    if not done:
        print("out of time; the same command goes on from here", flush=True)
    return 0 if done else OUT_OF_TIME


def _download(arguments: argparse.Namespace) -> int:
    from ecglib.data.physionet import choose_root, download

    root, _ = choose_root(arguments.data_root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EcglibError(f"Cannot make the folder {root}: {error.strerror}. Choose another --data-root.") from error
    download(arguments.database, root, mirror=arguments.mirror)
    print(f"{arguments.database}: complete in {root}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ecglib.data.physionet import DATABASES, find_root, packed
    from ecglib.data.verify import verify

    root = find_root(arguments.data_root)
    there = [name for name in DATABASES if (root / name).is_dir() or packed(root, name)]
    sound = True
    for name in [arguments.database] if arguments.database else there:
        try:
            result = verify(name, root)
        except EcglibError as error:  # the other database is looked at all the same
            if arguments.debug:
                raise
            print(f"ecglib: {error}", file=sys.stderr)
            sound = False
        else:
            print(result.summary())
            sound = sound and result.ok
    return 0 if sound else 1


def _pack_data(arguments: argparse.Namespace) -> int:
    from ecglib.data import pack
    from ecglib.data.physionet import find_root

    for path in pack.write(find_root(arguments.data_root), arguments.database, Path(arguments.folder)):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from ecglib.book.doctor import examine

    well = True
    for one in examine(arguments.data_root):
        print(f"{'  ' if not one.advice else '! '}{one.what:15s} {one.found}", flush=True)
        if one.advice:
            print(f"  {'':15s} -> {one.advice}", flush=True)
            well = False
    print("nothing is missing" if well else "what is marked with ! can be mended as said")
    return 0 if well else 1


def _pack(arguments: argparse.Namespace) -> int:
    from ecglib.book.evidence import pack_profile

    print(pack_profile(output_root(arguments.output) / "papermill_runs" / arguments.profile))
    return 0


def _readme(arguments: argparse.Namespace) -> int:
    from ecglib.book.readme import update_readme

    print(f"results written into {' and '.join(update_readme())}")
    return 0


def _parser() -> argparse.ArgumentParser:
    from ecglib.data.physionet import DATABASES

    parser = argparse.ArgumentParser(
        prog="ecglib",
        description="The companion's notebooks, its databases, and its models on recordings of one's own.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shtab.add_argument_to(parser, "--print-completion", help="completion for a shell: see README")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"ecglib {ecglib.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run notebooks headless; finished ones are skipped")
    _add_notebooks(run)
    run.add_argument("--force", action="store_true", help="run finished notebooks again")
    run.set_defaults(command=_run)

    train = commands.add_parser("train", help="do the trainings of notebooks apart from these; finished ones are kept")
    _add_notebooks(train)
    train.add_argument("--list", action="store_true", help="say what is left, with estimated hours, and train nothing")
    train.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="arms such as A or 'H*', by key, name or run id, and what they need; may be repeated, in order of urgency",
    )
    train.add_argument("--budget", type=_minutes, metavar="MINUTES", help="then stop after an epoch; exit code 75")
    train.add_argument("--scheduler", metavar="ADDRESS", help="train on a dask cluster, such as tcp://node1:8786")
    train.set_defaults(command=_train)

    data = commands.add_parser("data", help="fetch and verify the databases").add_subparsers(
        metavar="COMMAND", required=True
    )
    download = data.add_parser("download", help="fetch a database from PhysioNet, and go on where a download broke off")
    download.add_argument("database", choices=list(DATABASES))
    _add_data_root(download)
    download.add_argument("--mirror", metavar="URL", help="a server laid out as PhysioNet's")
    download.set_defaults(command=_download)
    verify = data.add_parser("verify", help="compare every file with its published checksum, and read PTB-XL")
    verify.add_argument("database", choices=list(DATABASES), nargs="?", help="default: every database there")
    _add_data_root(verify)
    verify.set_defaults(command=_verify)

    packing = data.add_parser("pack", help="put a database into a few files that need no WFDB, such as for a cluster")
    packing.add_argument("database", choices=list(DATABASES))
    packing.add_argument("folder", help="to write into; as a --data-root it serves like the database itself")
    _add_data_root(packing)
    packing.set_defaults(command=_pack_data)

    export = commands.add_parser("export", help="write a trained classifier as ONNX, with its input contract inside")
    export.add_argument(
        "kind", nargs="?", help="of run: student, student-1lead, resnet, ...; the one best on validation is taken"
    )
    export.add_argument("--from", dest="run", metavar="RUN", help="one run's folder instead, wherever it is")
    export.add_argument("file", nargs="?", help="to write, such as student.onnx")
    export.add_argument("--int8", action="store_true", help="quantise it, calibrated on training records")
    export.add_argument("--profile", choices=list(PROFILES), default="desk", help="whose runs (default: %(default)s)")
    _add_data_root(export)
    _add_output(export)
    export.set_defaults(command=own.export)

    own.add_commands(commands)

    store = commands.add_parser("store", help="the results of runs").add_subparsers(metavar="COMMAND", required=True)
    pack = store.add_parser("pack", help="put all runs of a profile into few files, to be committed")
    pack.add_argument("--profile", choices=list(PROFILES), default="desk", help="whose runs (default: %(default)s)")
    _add_output(pack)
    pack.set_defaults(command=_pack)

    doctor = commands.add_parser("doctor", help="what this machine has, and for each problem what to do")
    _add_data_root(doctor)
    doctor.set_defaults(command=_doctor)

    readme = commands.add_parser("readme", help="write the committed results into README, RESULTS and docs/")
    readme.set_defaults(command=_readme)
    return parser


def _add_notebooks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number, name or unique prefix (default: all)")
    parser.add_argument(
        "--profile", choices=list(PROFILES), default=SMOKE, help="how much to run (default: %(default)s)"
    )
    _add_data_root(parser)
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="trainings, and notebooks, at the same time, one thread each (default: as many as this machine's cores, "
        f"or its GPU's memory up to {ON_GPU}); a cluster's workers decide for themselves",
    )
    parser.add_argument("--seeds", type=_positive, metavar="N", help="how many seeds, where a notebook trains")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu or cuda (default: the notebook's own, auto)")
    parser.add_argument(
        "-p",
        dest="parameters",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter of every chosen notebook; may be repeated",
    )
    _add_output(parser)


def _add_data_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-root",
        type=_folder,
        metavar="DIR",
        help="folder of the databases (default: ECGLIB_DATA, else data/ in the checkout)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=_folder,
        metavar="DIR",
        help="folder of papermill_runs/ (default: ECGLIB_OUTPUT, else the checkout)",
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 100 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return value


def _folder(text: str) -> str:
    if not text:  # as where a shell's variable is not set; the default would be another folder than was meant
        raise argparse.ArgumentTypeError("an empty name is no folder")
    return text


def _assignment(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (sign and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
