"""PTB-XL's two tables, read strictly: one line that names row and column for all that would mislead a training."""

import ast
import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data.physionet import INDEX, STATEMENTS

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr")  # the others are not used
FOLDS = range(1, 11)
RECORD_NAME = re.compile(r"records100/\d+/(\d+)_lr")
LONGEST = 2000  # characters of the longest dictionary of statements: about 300 in the database

Source = Path | BytesIO


def read_index(index: Source, statements: Source) -> pd.DataFrame:
    """The metadata of each record, indexed by `ecg_id`, with a boolean column for each of `SUPERCLASSES`.

    `scp_codes` become dictionaries of statement -> likelihood, and numbers of patients and folds integers.

    Raises:
        EcglibError: a table cannot be read or lacks a column, or a row has no usable value there.
    """
    table, meaning = _table(index, INDEX, COLUMNS), _table(statements, STATEMENTS, ("diagnostic", "diagnostic_class"))
    for name in ("ecg_id", "patient_id", "strat_fold"):
        table[name] = _whole_numbers(table[name])
    _refuse(table, "strat_fold", ~table["strat_fold"].isin(FOLDS), "a fold is a number from 1 to 10")
    _refuse(table, "ecg_id", table["ecg_id"] < 1, "a record's number is 1 or more")
    numbers = table["filename_lr"].map(_number_of)
    _refuse(table, "filename_lr", numbers.isna(), "a record's name is like records100/00000/00001_lr")
    for name in ("ecg_id", "filename_lr"):
        _refuse(table, name, table[name].duplicated(), "another row has the same")
    _refuse(table, "filename_lr", numbers != table["ecg_id"], "that is the file of another record")
    several = table.groupby("patient_id")["strat_fold"].transform("nunique") > 1
    _refuse(table, "strat_fold", several, "another record of the same patient is in another fold")
    codes = table["scp_codes"].map(_statements)
    _refuse(table, "scp_codes", codes.isna(), "it is no dictionary of statement -> likelihood")
    table["scp_codes"] = codes
    meaning = meaning.set_index(meaning.columns[0])
    if (twice := meaning.index.duplicated()).any():
        raise EcglibError(f"{STATEMENTS} has the statement {meaning.index[twice][0]} twice.")
    superclass = meaning.loc[meaning["diagnostic"] == 1, "diagnostic_class"]
    if not set(SUPERCLASSES) <= set(superclass):
        raise EcglibError(
            f"{STATEMENTS} maps no statement to {', '.join(sorted(set(SUPERCLASSES) - set(superclass)))}."
        )
    _say_what_is_unknown(table, meaning.index)
    found = [{superclass[code] for code in one if code in superclass.index} for one in codes]
    for name in SUPERCLASSES:
        table[name] = [name in classes for classes in found]
    return table.set_index("ecg_id")


def _table(source: Source, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        table = pd.read_csv(BytesIO(content), encoding="utf-8")
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise EcglibError(f"{name} cannot be read ({str(error).strip()}).") from error
    if missing := [column for column in columns if column not in table.columns]:
        raise EcglibError(f"{name} lacks the column {missing[0]}: its columns are {', '.join(table.columns[:12])}.")
    if table.empty:
        raise EcglibError(f"{name} has a header and no row.")
    if not content.endswith(b"\n"):
        raise EcglibError(f"{name} breaks off in its last line.")
    return table


def _whole_numbers(column: "pd.Series[Any]") -> "pd.Series[int]":
    """A column as integers; PhysioNet writes patients as 15709.0, and 3.5 is no fold."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers.abs() > 2**53)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise EcglibError(
            f"{INDEX}, line {row + 2}, column {column.name}: {_shown(column.iloc[row])} is no whole number."
        )
    return numbers.astype("int64")


def _refuse(table: pd.DataFrame, column: str, wrong: "pd.Series[bool]", why: str) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        at, value = f"line {row + 2} (ecg_id {table['ecg_id'].iloc[row]})", _shown(table[column].iloc[row])
        raise EcglibError(f"{INDEX}, {at}, column {column}: {value}; {why}.")


def _shown(value: object) -> str:
    return "nothing" if pd.isna(value) else f"{str(value)[:60]!r}"  # type: ignore[call-overload]


def _number_of(name: object) -> int | None:
    """The number in a record's name, None if it is no such name."""
    match = RECORD_NAME.fullmatch(name) if isinstance(name, str) else None
    return int(match[1]) if match else None


def _is_likelihood(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 100  # type: ignore[operator]


def _statements(text: object) -> dict[str, float] | None:
    """Statement -> likelihood, or None if the text is nothing of the kind."""
    if not isinstance(text, str) or len(text) > LONGEST:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    fits = all(isinstance(code, str) and _is_likelihood(value) for code, value in found.items())
    return {code: float(value) for code, value in found.items()} if fits else None


def _say_what_is_unknown(table: pd.DataFrame, known: "pd.Index[str]") -> None:
    """Warn of statements that the other table lacks; with or without a final underscore is the same statement."""
    stems = {str(code).rstrip("_") for code in known}
    unknown = {code for codes in table["scp_codes"] for code in codes if code.rstrip("_") not in stems}
    if unknown:
        warnings.warn(
            f"{STATEMENTS} lacks {len(unknown)} statements of {INDEX} ({', '.join(sorted(unknown)[:5])}): they count "
            "for no superclass.",
            EcglibWarning,
            stacklevel=4,
        )
