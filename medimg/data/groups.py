"""Who belongs together: the groups of cases that a split may never part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.ids import plain_ids, study_ids
from medimg.data.images import files_of, shared_images
from medimg.data.manifest import COLUMNS, Manifest
from medimg.errors import ManifestError, UsageError, nearest

#: What a case without any id is: a group of its own, or a reason to stop.
Missing = Literal["own", "refuse"]
#: Columns that say nothing of who belongs together.
_NO_GROUP = ("case_id", "frame", "split")
#: Short names of columns.
_SHORT = {"patient": "patient_id", "study": "study_id"}


class Links(NamedTuple):
    """What ties cases together: case `rows[i]` has the id of number `ids[i]`.

    Parameters
    ----------
    rows : int (E,)
        A case stands there as often as it has ids, and not where it has none.
    ids : int (E,) in 0 .. total - 1
        In the order of the ids' text.
    total : int
    """

    rows: NDArray[np.intp]
    ids: NDArray[np.intp]
    total: int


def group_of(
    manifest: Manifest, by: Sequence[str] = ("patient_id",), missing: Missing = "own"
) -> NDArray[np.intp]:
    """Return the number of the group of each case.

    Cases that share an id in any of the columns are one group, and so are cases that are
    linked through others (the connected components of the graph of cases and ids): with
    ``by=("patient", "lesion")`` two cases of one patient or of one lesion stay together.
    Cases of one study or of one image belong together whatever the columns are: to part them
    would be a leak for certain. Which ids are one, and which name nobody, is said in
    `medimg.data.ids`; what is one image, in `medimg.data.images`.

    A case of split `none` links others as any case does: give the whole manifest, and take of
    the groups what is wanted.

    Parameters
    ----------
    by : sequence of str
        Columns; ``patient`` and ``study`` mean `patient_id` and `study_id`.
    missing : {"own", "refuse"}
        A case that has no id in any of the columns is a group of its own, unless its study or
        image ties it to others; or it is refused, if it takes part.

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
    links = links_of(manifest, names)
    if missing == "refuse":
        _refuse(manifest, names, links)
    return components(manifest, list(links.values()))


def links_of(manifest: Manifest, by: Sequence[str]) -> dict[str, Links]:
    """Return what ties cases together: the ids of each column of `by`, studies, then images.

    Images stand under ``source``, and those alone that several cases share.
    """
    study = study_ids(manifest.frame["study_id"], manifest.frame["patient_id"])
    links = {
        name: _links(study if name == "study_id" else plain_ids(manifest.frame[name]))
        for name in dict.fromkeys([*by, "study_id"])
    }
    return links | {"source": Links(*shared_images(files_of(manifest)))}


def components(manifest: Manifest, links: Sequence[Links]) -> NDArray[np.intp]:
    """Return the number (N,) of the connected component of each case; see `group_of`.

    Components are numbered by the first id that they hold, in the order of `links`; the cases
    that nothing links come last, in the order of source and frame.
    """
    component = np.full(len(manifest), -1, np.intp)
    links = [link for link in links if link.total]
    count = 0
    if len(links) == 1 and len(np.unique(links[0].rows)) == len(links[0].rows):
        component[links[0].rows], count = links[0].ids, links[0].total
    elif links:
        count = _connect(component, links)
    alone = np.flatnonzero(component < 0)
    if len(alone):
        frame = manifest.frame[["source", "frame"]].iloc[alone]
        texts = list(map("\0".join, frame.itertuples(index=False)))
        order = sorted(range(len(alone)), key=texts.__getitem__)
        component[alone[order]] = count + np.arange(len(alone))
    return component


def columns_of(manifest: Manifest, by: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that `by` names, each once.

    Raises
    ------
    UsageError
        No column, one that says nothing of who belongs together, or one that the manifest does
        not have.
    """
    wanted = (by,) if isinstance(by, str) else tuple(by)
    if not wanted:
        raise UsageError("by names no column to group by", remedy="give one, such as patient_id")
    own = [name for name in wanted if name in _NO_GROUP]
    if own:
        raise UsageError(
            f"groups by {own[0]!r}", remedy="give a column that says who belongs together"
        )
    return tuple(dict.fromkeys(column_of(manifest, name) for name in wanted))


def column_of(manifest: Manifest, name: str) -> str:
    """Return the column that `name` means, as it is called in the manifest."""
    for column in (name, _SHORT.get(name, name)):
        if column in manifest.frame:
            return column
    metadata = [str(column) for column in manifest.frame if column not in COLUMNS]
    offered = [*metadata, *_SHORT.values()]
    raise UsageError(
        f"the manifest has no column {name!r}{nearest(name, [*offered, *_SHORT])}",
        remedy=f"one of {', '.join(offered)}" + ("" if metadata else "; it has no metadata"),
    )


def _links(ids: NDArray[np.object_]) -> Links:
    """Return the links of one id a case, of which a blank is none."""
    codes, found = pd.factorize(ids)
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), np.intp)
    rank[order] = np.arange(len(found))
    if not len(found) or found[order[0]] != "":
        return Links(np.arange(len(ids)), rank[codes], len(found))
    rows = np.flatnonzero(rank[codes] > 0)
    return Links(rows, rank[codes][rows] - 1, len(found) - 1)


def _connect(component: NDArray[np.intp], links: Sequence[Links]) -> int:
    """Fill in the component of each case that `links` hold; return how many there are."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *(link.total for link in links)])
    nodes, n = int(starts[-1]), len(component)
    case = np.concatenate([link.rows for link in links])
    node = np.concatenate([link.ids + s for link, s in zip(links, starts, strict=False)])
    graph = coo_array((np.ones(len(case), bool), (node, nodes + case)), (nodes + n, nodes + n))
    _, label = connected_components(graph, directed=False)
    _, first, of_node = np.unique(label[:nodes], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    component[case] = rank[of_node][node]
    return len(first)


def _refuse(manifest: Manifest, names: Sequence[str], links: dict[str, Links]) -> None:
    """Raise where a case that takes part has no id in any of the columns."""
    alone = manifest.split != "none"
    for name in names:
        alone[links[name].rows] = False
    if not alone.any():
        return
    cases = manifest.case_id[alone]
    more = ", ..." if len(cases) > 5 else ""
    raise ManifestError(
        f"{len(cases)} of {len(manifest)} cases have no {' and no '.join(names)}: "
        f"{', '.join(cases[:5])}{more}",
        remedy="fill it in, or let each count as its own group (missing: own)",
    )
