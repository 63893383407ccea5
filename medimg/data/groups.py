"""Who belongs together: the groups of cases that a split may never part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest, plain_id
from medimg.errors import ManifestError, UsageError, nearest

#: What a case without any id is: a group of its own, or a reason to stop.
Missing = Literal["own", "refuse"]
#: Short names of columns.
_SHORT = {"patient": "patient_id", "study": "study_id"}


def group_of(
    manifest: Manifest, by: Sequence[str] = ("patient_id",), missing: Missing = "own"
) -> NDArray[np.intp]:
    """Return the number of the group of each case.

    Cases that share an id in any of the columns are one group, and so are cases that are
    linked through others (the connected components of the graph of cases and ids): with
    ``by=("patient", "lesion")`` two cases of one patient or of one lesion stay together. Ids
    that differ in blanks around them, capitals or leading zeros alone are one id; blanks link
    nothing.

    Parameters
    ----------
    by : sequence of str
        Columns; ``patient`` and ``study`` mean `patient_id` and `study_id`.
    missing : {"own", "refuse"}
        A case that has no id in any of the columns is a group of its own, or is refused. Of
        such cases those of one study, or of the same picture named twice, are one group: to
        part them would be a leak for certain.

    Returns
    -------
    int (N,) in 0 .. G - 1
        In the order of the ids' text, then of study, source and frame where there is none: neither
        the order of the rows nor a case id, which may hang on a secret key, changes it.

    Raises
    ------
    UsageError
        No column, or one that the manifest does not have.
    ManifestError
        Cases without an id where `missing` is ``"refuse"``.
    """
    if missing not in ("own", "refuse"):
        raise UsageError(f"missing={missing!r}", remedy="one of own, refuse")
    names = columns_of(manifest, by)
    codes, counts = zip(*(_codes(manifest.frame[name], plain_id) for name in names), strict=True)
    component, n = _components(codes, counts)
    alone = component < 0
    if not alone.any():
        return component
    if missing == "refuse":
        _refuse(manifest, names, alone)
    rows = manifest.frame[alone]
    study = rows["study_id"].map(plain_id)
    own, _ = _codes(study.where(study != "", "\0" + rows["source"] + "\0" + rows["frame"]), str)
    component[alone] = n + own
    return component


def columns_of(manifest: Manifest, by: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that `by` names, each once.

    Raises
    ------
    UsageError
        No column, or one that the manifest does not have.
    """
    wanted = (by,) if isinstance(by, str) else tuple(by)
    if not wanted:
        raise UsageError("by names no column to group by", remedy="give one, such as patient_id")
    return tuple(dict.fromkeys(column_of(manifest, name) for name in wanted))


def column_of(manifest: Manifest, name: str) -> str:
    """Return the column that `name` means, as it is called in the manifest."""
    there = [str(column) for column in manifest.frame]
    for column in (name, _SHORT.get(name, name)):
        if column in there:
            return column
    raise UsageError(
        f"the manifest has no column {name!r}{nearest(name, [*there, *_SHORT])}",
        remedy=f"one of {', '.join(there)}",
    )


def spellings(cells: pd.Series[Any]) -> tuple[NDArray[np.intp], list[str]]:
    """Return the number of each cell's text (N,) and the texts; None and NaN are the last, ``""``.

    A column of a million cells holds few texts: what is to be done to each is done once.
    """
    numbers, found = pd.factorize(cells.to_numpy(dtype=object), use_na_sentinel=True)
    return np.where(numbers < 0, len(found), numbers), [*map(str, found), ""]


def _codes(cells: pd.Series[Any], plain: Callable[[str], str]) -> tuple[NDArray[np.intp], int]:
    """Return the rank of each cell's plain form in the order of text, and how many there are.

    A blank is -1.
    """
    numbers, texts = spellings(cells)
    forms = [plain(text) for text in texts]
    ranks = {form: rank for rank, form in enumerate(sorted(set(forms) - {""}))}
    return np.array([ranks.get(form, -1) for form in forms], np.intp)[numbers], len(ranks)


def _components(
    codes: Sequence[NDArray[np.intp]], counts: Sequence[int]
) -> tuple[NDArray[np.intp], int]:
    """Return the connected component of each case (N,), -1 where no id links it, and how many.

    Components are numbered by the first id that they hold, in the order of columns and ranks.
    """
    if len(codes) == 1:
        return codes[0], counts[0]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *counts])
    nodes, n = int(starts[-1]), len(codes[0])
    edges = [
        (np.flatnonzero(own >= 0), own[own >= 0] + start)
        for own, start in zip(codes, starts, strict=False)
    ]
    case = np.concatenate([rows for rows, _ in edges])
    node = np.concatenate([ids for _, ids in edges])
    graph = coo_array((np.ones(len(case), bool), (node, nodes + case)), (nodes + n, nodes + n))
    _, label = connected_components(graph, directed=False)
    _, first, of_node = np.unique(label[:nodes], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    component = np.full(n, -1, np.intp)
    component[case] = rank[of_node][node]
    return component, len(first)


def _refuse(manifest: Manifest, names: Sequence[str], alone: NDArray[np.bool_]) -> None:
    cases = manifest.case_id[alone]
    more = ", ..." if len(cases) > 5 else ""
    raise ManifestError(
        f"{len(cases)} of {len(manifest)} cases have no {' and no '.join(names)}: "
        f"{', '.join(cases[:5])}{more}",
        remedy="fill it in, or let each count as its own group (missing: own)",
    )
