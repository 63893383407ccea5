"""How common each class is by site and scanner, beside what chance would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.checks.bins import as_text
from medimg.data.checks.findings import Finding
from medimg.data.checks.permute import null_range
from medimg.data.checks.sample import Sample, plain_name
from medimg.data.manifest import Manifest

#: Columns that name a site or a scanner, as `plain_name` gives them.
SITES = (
    *("site", "scanner", "manufacturer", "manufacturermodelname", "vendor"),
    *("institutionname", "institution", "hospital", "center", "centre", "stationname", "station"),
)
#: Of these a value may lead to people: it is shown as a number.
_NUMBERED = (
    *("institutionname", "institution", "hospital", "center", "centre", "stationname", "station"),
)
#: A site of fewer cases has no share worth showing.
FEWEST_CASES = 10
#: Sites that a table names, those of most cases.
_MOST_SITES = 50


def prevalence(manifest: Manifest, *, groups: NDArray[np.intp], seed: int = 0) -> Finding | None:
    """Return the columns of sites and scanners whose values differ in how common classes are.

    Of each value with at least 10 cases: how many cases and patients, and the share of each
    class among those of known label. A column is named where the weighted variance of these
    shares between values lies above the range of 200 permutations among whole patients
    (`permute.Blocks.permuted`).

    Parameters
    ----------
    groups : int (N,)
        Whose each case is.
    seed : int
        Of the permutations and, in large sets, of the cases.
    """
    columns = [name for name in manifest.metadata if plain_name(str(name)) in SITES]
    sample = Sample.of(manifest, groups, seed) if columns else None
    if sample is None or not sample.names:
        return None
    words, tables = [], {}
    for name in columns:
        cells = as_text(manifest.metadata[name].to_numpy()[sample.blocks.rows])
        codes, values = pd.factorize(cells, sort=True)
        counts = np.bincount(codes)
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= FEWEST_CASES]
        if len(order) < 2:
            continue
        spread = _spread(codes, order, sample)
        high = null_range(spread[1:])[1]
        if spread[0] > high:
            shown = _shown(str(name), values[order].tolist())
            tables[str(name)] = _table(codes, order[:_MOST_SITES], shown, sample)
            words.append(_words(str(name), tables[str(name)], sample.names))
    if not words:
        return None
    return Finding("prevalence_differs_by_site", (), {"words": words, **tables})


def _shares(
    codes: NDArray[np.intp], order: NDArray[np.intp], labels: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of positives among the known, and how many are known, (V, ...) each."""
    from scipy import sparse

    n = len(codes)
    place = np.full(codes.max() + 1, -1)
    place[order] = np.arange(len(order))
    rows = np.flatnonzero(place[codes] >= 0)
    cells = (np.ones(len(rows), np.float32), (place[codes[rows]], rows))
    add: Any = sparse.csr_matrix(cells, shape=(len(order), n))
    flat = labels.reshape(n, -1)
    known = (add @ (~np.isnan(flat)).astype(np.float32)).astype(np.float64)
    positive = (add @ np.nan_to_num(flat)).astype(np.float64)
    shape = (len(order), *labels.shape[1:])
    share = np.divide(positive, known, out=np.zeros_like(known), where=known > 0)
    return share.reshape(shape), known.reshape(shape)


def _spread(
    codes: NDArray[np.intp], order: NDArray[np.intp], sample: Sample
) -> NDArray[np.float64]:
    """Return the variance between values (1 + P,), the mean over classes.

    Each class in units of the variance of a single case, so that rare ones count as much.
    """
    found = []
    for part in sample.parts():
        share, known = _shares(codes, order, sample.labels[part])
        total = np.maximum(known.sum(axis=0), 1)
        mean = (share * known).sum(axis=0) / total
        between = (known * (share - mean) ** 2).sum(axis=0) / total
        alone = mean * (1 - mean)
        units = np.divide(between, alone, out=np.zeros_like(between), where=alone > 0)
        found.append(units.mean(axis=-1))
    return np.concatenate(found).round(9)


def _shown(column: str, values: Sequence[str]) -> list[str]:
    if plain_name(column) in _NUMBERED:
        return [f"{column} {i}" if v else "(blank)" for i, v in enumerate(values, start=1)]
    return [value or "(blank)" for value in values]


def _table(
    codes: NDArray[np.intp], order: NDArray[np.intp], shown: Sequence[str], sample: Sample
) -> list[dict[str, Any]]:
    share, known = _shares(codes, order, sample.labels)
    rows = []
    for row, (code, value) in enumerate(zip(order, shown, strict=False)):
        of_it = codes == code
        cells: dict[str, Any] = {"value": value, "cases": int(of_it.sum())}
        cells["patients"] = len(np.unique(sample.blocks.groups[of_it]))
        for k, name in enumerate(sample.names):
            cells[f"share of {name}"] = round(float(share[row, k]), 4) if known[row, k] else None
        rows.append(cells)
    return rows


def _words(column: str, table: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return the class whose share differs most between two values, in words."""

    def ends(name: str) -> tuple[float, float]:
        shares = [row[f"share of {name}"] for row in table]
        known = [share for share in shares if share is not None] or [0.0]
        return min(known), max(known)

    name = max(names, key=lambda n: ends(n)[1] - ends(n)[0])
    low, high = ends(name)
    return f"{column}: {name} makes up {low:.0%} to {high:.0%} of the cases of one value"
