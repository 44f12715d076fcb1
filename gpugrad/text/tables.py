"""Tables of texts with labels: CSV, TSV and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpugrad.errors import DataError
from gpugrad.text.lines import PathLike, read_lines

TEXT_COLUMNS = ("text", "sentence", "review", "content", "comment", "tweet")
LABEL_COLUMNS = ("label", "sentiment", "class", "category", "target", "polarity")
_JSON = (".jsonl", ".ndjson")
ENDINGS = (".csv", ".tsv", *_JSON)
_Row = tuple[int, dict[str, Any]]


class Table(NamedTuple):
    """Rows of a file: texts, and their labels as the file has them."""

    texts: list[str]
    labels: list[str]


def read_table(
    path: PathLike,
    text: str | None = None,
    label: str | None = None,
    encoding: str = "utf-8",
    *,
    labelled: bool = True,
) -> Table:
    """The texts and labels of a file that ends in .csv, .tsv, .jsonl or .ndjson.

    CSV has quotes as RFC 4180 says, TSV (GLUE's) none; the first line names the columns.

    Args:
        text, label: names of the columns; None takes the first of TEXT_COLUMNS, LABEL_COLUMNS that
            the file has.
        labelled: False reads texts alone.

    Raises DataError, naming file and line, for a missing column, an empty text or label, a row of
    another length, a line that is no JSON object, and a file without rows.
    """
    path = Path(path)
    rows = _rows(path, encoding)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: has no rows.\n  It should have a text and a label in each.")
    columns = list(first[1])
    text = _column(path, "text", text, TEXT_COLUMNS, columns)
    label = _column(path, "label", label, LABEL_COLUMNS, columns) if labelled else None
    table = Table([], [])
    for line, row in (first, *rows):
        table.texts.append(_value(path, line, row, text))
        if label is not None:
            table.labels.append(_value(path, line, row, label))
    return table


def columns_of(path: PathLike, encoding: str = "utf-8") -> list[str]:
    """The names of a file's columns; none of a file without rows."""
    first = next(_rows(Path(path), encoding), None)
    return list(first[1]) if first else []


def class_names(labels: Sequence[str]) -> list[str]:
    """The different labels, sorted; numbers by their value."""
    found = set(labels)
    if all(label.removeprefix("-").isdecimal() for label in found):
        return sorted(found, key=int)
    return sorted(found)


def _rows(path: Path, encoding: str) -> Iterator[_Row]:
    """(number of the line, column -> value), for each row."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(
            f"{path}: not a kind of table that is known: {', '.join(ENDINGS)}.\n"
            "  Rename or convert it."
        )
    return _json_rows(path, encoding) if ending in _JSON else _plain_rows(path, encoding)


def _json_rows(path: Path, encoding: str) -> Iterator[_Row]:
    for number, line in enumerate(read_lines(path, encoding), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: no JSON: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: no JSON object, as {{...}} is.")
        yield number, row


def _plain_rows(path: Path, encoding: str) -> Iterator[_Row]:
    tabs = path.suffix.lower() == ".tsv"
    csv.field_size_limit(2**31 - 1)  # texts may be long
    lines = (f"{line}\n" for line in read_lines(path, encoding))
    if tabs:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines)
    try:
        names = next(reader, [])
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"{path}, line {reader.line_num}: has {len(row)} columns, the first line "
                    f"{len(names)}.\n  A text with the separator in it needs quotes (CSV)."
                )
            yield reader.line_num, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}.") from None


def _column(
    path: Path, what: str, given: str | None, usual: Sequence[str], columns: list[str]
) -> str:
    wanted = [given] if given is not None else usual
    lower = {name.strip().lower(): name for name in reversed(columns)}
    for name in wanted:
        if name in columns or name.lower() in lower:
            return name if name in columns else lower[name.lower()]
    missing = f"no column {given!r}" if given else f"no column of the {what}, such as {usual[0]!r}"
    raise DataError(
        f"{path}: {missing}; its columns are {', '.join(columns)}.\n"
        f"  Name it: {what}='...' (--{what}-column)."
    )


def _value(path: Path, line: int, row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    text = "" if value is None else str(value).strip()
    if not text:
        raise DataError(
            f"{path}, line {line}: the column {column!r} is empty.\n"
            "  Leave the row out, or fill it."
        )
    return text
