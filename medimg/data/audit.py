"""The leakage checks that cost nothing: patients, studies and equal pixels across splits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest, plain_id
from medimg.data.store import ImageStore
from medimg.errors import LeakError

#: Code -> what it means. All of these are leaks: training refuses them.
CODES = {
    "patient_in_several_splits": "cases of one patient stand in several splits",
    "study_in_several_splits": "cases of one study stand in several splits",
    "pixels_in_several_splits": "the same pixels stand in several splits",
    "pixels_under_several_labels": "the same pixels stand under different labels",
}


@dataclass(frozen=True)
class Finding:
    """One leak: its code and the cases of each group that shows it."""

    code: str
    groups: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        first = "; ".join(" = ".join(g[:4]) for g in self.groups[:3])
        more = f"; and {len(self.groups) - 3} more" if len(self.groups) > 3 else ""
        return f"{self.code}: {CODES[self.code]} ({len(self.groups)}: {first}{more})"


@dataclass(frozen=True)
class Audit:
    """What the checks found."""

    findings: tuple[Finding, ...]

    def require_clean(self, allow: Collection[str] = ()) -> None:
        """Raise `LeakError` with every finding whose code is not in `allow`."""
        leaks = [finding for finding in self.findings if finding.code not in allow]
        if leaks:
            allowed = ", ".join(f"{leak.code}: why" for leak in leaks)
            raise LeakError(
                "\n".join(str(leak) for leak in leaks),
                remedy="split again by patient or leave copies out (split none); where it is "
                "known and accepted, allow it by its code with a reason: "
                f"audit: {{allow: {{{allowed}}}}}",
            )


def audit(data: Manifest | ImageStore) -> Audit:
    """Check a manifest, or a store and its pixels too, for leaks.

    A store knows patients by pseudonym, so that ids that differ in zeros alone are told in the
    manifest only.

    Ids are compared after stripping blanks, case and leading zeros, so that ``007`` and ``7``
    count as one patient. Cases of split `none` take no part.
    """
    manifest = data.manifest if isinstance(data, ImageStore) else data
    split = manifest.split
    findings = []
    for column in ("patient", "study"):
        ids = manifest.frame[f"{column}_id"].map(plain_id).to_numpy()
        findings.append(_find(f"{column}_in_several_splits", manifest, ids, split))
    if isinstance(data, ImageStore):
        hashes = data.pixel_hash
        labels = np.array([row.tobytes() for row in manifest.targets], object)
        labels[np.isnan(manifest.targets).any(axis=1)] = b""
        findings.append(_find("pixels_in_several_splits", manifest, hashes, split))
        findings.append(_find("pixels_under_several_labels", manifest, hashes, labels))
    return Audit(tuple(finding for finding in findings if finding.groups))


def _find(
    code: str, manifest: Manifest, ids: NDArray[np.object_], values: NDArray[np.object_]
) -> Finding:
    """Return the groups of equal `ids` that hold several `values`."""
    takes_part = (ids != "") & (values != "") & (values != b"") & (manifest.split != "none")
    frame = pd.DataFrame({"case": manifest.case_id, "id": ids, "value": values})[takes_part]
    several = frame.groupby("id", sort=True)["value"].transform("nunique") > 1
    groups = frame[several].groupby("id", sort=True)["case"].apply(tuple)
    return Finding(code, tuple(sorted(groups)))
