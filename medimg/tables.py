"""Text tables: read with every cell as text, written so that the same values give the same bytes.

Ids are text always: ``007`` stays ``007`` and 36 digits stay 36 digits.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.errors import DataError, SourceNotFound
from medimg.files import replacing, write_text


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return a CSV or Parquet file as a frame of text; blank cells are empty strings.

    The separator of a CSV (``,``, ``;`` or tab) is taken from its header line; a byte order
    mark, quoted newlines and blanks around header names are taken.

    Raises
    ------
    SourceNotFound
        No such file.
    DataError
        Not UTF-8, rows of uneven length, no header, or a header that repeats a name.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceNotFound(f"{path} is not a file that is there", remedy="check the path")
    if path.suffix == ".parquet":
        return _read_parquet(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}", remedy="save it as UTF-8") from error
    return parse_table(text, str(path))


def parse_table(text: str, name: str) -> pd.DataFrame:
    """Return CSV text as a frame of text; `name` stands in the errors. See `read_table`."""
    header_line = text.partition("\n")[0]
    separator = max(",;\t", key=header_line.count) if header_line.strip() else ","
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    except csv.Error as error:
        raise DataError(
            f"{name} is no CSV: {error}", remedy="close every quote, and quote cells with newlines"
        ) from error
    if not rows:
        raise DataError(f"{name} is empty", remedy="give a table with a header line")
    header = [column.strip() for column in rows[0]]
    if not header[0] and "index" not in header:
        header[0] = "index"  # pandas writes the numbers of its rows under a blank name
    repeated = sorted({c for c in header if header.count(c) > 1})
    if repeated or "" in header:
        raise DataError(
            f"{name}: header names {repeated or ['(blank)']} repeat or are blank",
            remedy="give every column its own name",
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(
                f"{name}: row {number} has {len(row)} cells, the header {len(header)}",
                remedy="correct the row; a cell that holds the separator must be quoted",
            )
    return pd.DataFrame(rows[1:], columns=header, dtype=object)


def write_table(
    path: str | os.PathLike[str], columns: Mapping[str, Iterable[Any]], *, mode: int | None = None
) -> None:
    r"""Write columns as Parquet or as UTF-8 CSV with ``\n`` line ends, atomically.

    None and NaN become blank cells, floats the shortest text that gives the same bits back.
    """
    path = Path(path)
    texts = {str(name): column_text(values) for name, values in columns.items()}
    if path.suffix == ".parquet":
        with replacing(path, mode=mode) as temporary:
            pd.DataFrame(texts).to_parquet(temporary, index=False)
        return
    write_text(path, csv_text(texts), mode=mode)


def csv_text(columns: Mapping[str, Sequence[str]]) -> str:
    r"""Return columns of text as CSV with ``\n`` line ends.

    Twice as fast as `csv.writer`, which also leaves ``\r`` unquoted and so cannot be read back.
    """
    cells = [_quoted([name, *values], len(columns) == 1) for name, values in columns.items()]
    return "\n".join([*map(",".join, zip(*cells, strict=True)), ""])


def _quoted(cells: list[str], alone: bool) -> list[str]:
    """Quote the cells that need it; `alone` in their row, blank ones too."""
    together = "\0".join(cells)
    if not alone and not any(mark in together for mark in ',"\r\n'):
        return cells
    quote = re.compile('[,"\r\n]' + ("|^$" if alone else "")).search
    return ['"' + cell.replace('"', '""') + '"' if quote(cell) else cell for cell in cells]


def column_text(values: Iterable[Any]) -> list[str]:
    """Return the cells of one column as text; see `write_table`."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        texts = values.astype(str)
        return list(np.where(np.isnan(values), "", texts))
    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    try:
        "".join(cells)  # the fastest way to see that all are text
    except TypeError:
        return ["" if value is None or value != value else str(value) for value in cells]
    return cells


def group_codes(ids: Iterable[str]) -> list[int]:
    """Return a number for each id, by first appearance; a blank is -1.

    Says who belongs together without saying who they are, and so is the same for ids and for
    pseudonyms of them.
    """
    numbers: dict[str, int] = {"": -1}
    return [numbers.setdefault(i, len(numbers) - 1) for i in ids]


def column_floats(values: Iterable[str], name: str) -> NDArray[np.float32]:
    """Return text cells as float32; a blank is NaN, anything else that is no number raises."""
    texts = [cell.strip() or "nan" for cell in values]
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            return np.asarray(texts, dtype=str).astype(np.float64).astype(np.float32)
    except ValueError:
        bad = next((text for text in texts if not _is_number(text)), "")
        raise DataError(
            f"column {name}: {bad!r} is no number", remedy="give numbers or blanks"
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(
            f"{path} needs pyarrow", remedy="pip install 'medimg[parquet]', or give a CSV"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no Parquet: {error}", remedy="write it again") from error
    return pd.DataFrame({str(c): column_text(frame[c]) for c in frame.columns}, dtype=object)
