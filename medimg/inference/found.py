"""What there is to predict: the cases of files, folders or one manifest, and what is no case."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medimg.data.index import index_unlabelled
from medimg.data.manifest import Manifest, beside
from medimg.data.options import IndexOptions, index_options
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.index import where as conditions
from medimg.errors import BundleError, Refusal, SourceNotFound, UsageError
from medimg.files import read_json
from medimg.inference.bundle import ModelBundle
from medimg.tables import read_table


class Found(NamedTuple):
    """The cases at hand, and the files that did not become one.

    Parameters
    ----------
    manifest : Manifest, optional
        None where there are no cases.
    refusals : list of Refusal
        Files that cannot be taken.
    passed : mapping of str to int
        How many files are no images and need not be, by what they are.
    instances : DataFrame, optional
        The elements of DICOM headers by `source`.
    refused : DataFrame
        `case_id` and `source` of each refused DICOM file, and its elements.
    others : set of str
        Sources of all files that are no part of a case.
    """

    manifest: Manifest | None
    refusals: list[Refusal]
    passed: Mapping[str, int]
    instances: pd.DataFrame | None
    refused: pd.DataFrame
    others: set[str]

    def source_of(self) -> dict[str, str]:
        """Return the source of each refused file by the id that it goes by."""
        named = {refusal.case_id: refusal.case_id for refusal in self.refusals}
        return named | dict(zip(self.refused["case_id"], self.refused["source"], strict=True))


def chosen_cases(bundle: ModelBundle, unit: str | None, where: Sequence[str]) -> IndexOptions:
    """Return what of DICOM is a case, checked before anything is looked at.

    Parameters
    ----------
    unit : {"image", "frame", "series", "study"}, optional
        Default: a series where the bundle is for volumes, else an image.
    where : sequence of str
        Conditions as `medimg.data.sources.dicom.index.where.parse` takes them.

    Raises
    ------
    UsageError
        Another unit, or what is no condition.
    """
    default = "series" if len(bundle.preprocess.shape) == 4 else "image"
    chosen = index_options({"unit": unit or default, "where": where})
    for text in chosen.where:
        conditions.parse(text, ("source", *COLUMNS))
    return chosen


def given_manifest(
    paths: Sequence[Path], bundle: ModelBundle, unit: str | None, where: Sequence[str]
) -> Manifest | None:
    """Return the manifest that was given in place of scans, if one was.

    Its target condition is the bundle's: it changes no target.

    Raises
    ------
    BundleError
        It has other classes than the bundle, or of another kind.
    UsageError
        `unit` or `where` with a manifest, whose cases are made already.
    """
    if len(paths) != 1 or not is_manifest(paths[0]):
        return None
    if unit or where:
        raise UsageError(
            f"{'--unit' if unit else '--where'} has no meaning for the manifest {paths[0]}",
            remedy="leave it out, or predict the folder of the scans",
        )
    manifest = Manifest.load(paths[0])
    own, wanted = manifest.space, bundle.space
    if (own.classes, own.kind) != (wanted.classes, wanted.kind):
        raise BundleError(
            f"{paths[0]} has classes {list(own.classes)} ({own.kind}), the bundle "
            f"{list(wanted.classes)} ({wanted.kind})",
            remedy="predict the folder of the scans instead of the manifest",
        )
    return replace(manifest, space=wanted)


def is_manifest(path: Path) -> bool:
    """Whether `path` is a table with a manifest's sidecar."""
    sidecar = path.with_suffix(".json")
    if path.suffix not in (".csv", ".parquet") or not path.is_file() or not sidecar.is_file():
        return False
    about = read_json(sidecar)
    return isinstance(about, dict) and about.get("format") == "medimg.manifest"


def common_folder(paths: Sequence[Path]) -> Path:
    """Return the folder that all scans lie in; those that are not there do not count.

    Raises
    ------
    SourceNotFound
        None of them is there.
    """
    full = [Path(os.path.normpath(path.expanduser().absolute())) for path in paths]
    there = [path for path in full if os.path.lexists(path)]
    if not there:
        raise SourceNotFound(
            f"{', '.join(map(str, paths)) or 'no path'} is not there", remedy="check the paths"
        )
    return Path(os.path.commonpath([p if p.is_dir() else p.parent for p in there]))


def listed_cases(manifest: Manifest, path: Path) -> Found:
    """Return the cases of a manifest, with the instances beside it."""
    instances = beside(path, "instances")
    table = read_table(instances) if instances.is_file() else None
    return Found(manifest, [], {}, table, _frame({}), set())


def cases_below(
    paths: Sequence[Path], bundle: ModelBundle, root: Path, out: Path, chosen: IndexOptions
) -> Found:
    """Return the cases of files and folders; what lies in `out`, our own output, is none."""
    manifest, refusals, passed, instances, identities = index_unlabelled(
        paths, bundle.space, unit=chosen.unit, where=chosen.where
    )
    own = f"{os.path.relpath(out.resolve(), root.resolve())}/"
    refusals = [refusal for refusal in refusals if not refusal.case_id.startswith(own)]
    passed = [(name, what) for name, what in passed if not name.startswith(own)]
    others = {*(name for name, _ in passed), *identities.get("source", ())}
    return Found(
        manifest,
        refusals,
        dict(sorted(Counter(what for _, what in passed).items())),
        _frame(instances),
        _frame(identities),
        others | {refusal.case_id for refusal in refusals},
    )


def _frame(columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame(columns or {"case_id": [], "source": []}, dtype=object)
