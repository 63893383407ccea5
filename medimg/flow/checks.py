"""What is refused before a training, since it would fail after it or make its figures untrue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medimg.config import RunConfig
from medimg.data.groups import Missing, group_of
from medimg.data.manifest import Manifest
from medimg.data.parts import manifests_of
from medimg.errors import DataError, ManifestError
from medimg.evaluation.calibrators.choose import has_two_answers
from medimg.evaluation.calibrators.fit import require_method
from medimg.evaluation.thresholds.rules import parse_rule
from medimg.flow.calibrating import wanted_rules


def require_classes(config: RunConfig, manifest: Manifest) -> None:
    """Refuse splits and folds whose cases could not train, pick, calibrate or test a model.

    Raises
    ------
    DataError
        The first such split, and what it holds.
    UsageError
        A calibration method, or an operating point, that is not for these classes.
    """
    parts = manifests_of(manifest)
    two = 2 if manifest.space.exclusive else 1
    wanted = {"train": two if manifest.space.exclusive else 0, "test": 1}
    if config.fit.monitor is not None and manifest.folds is not None:
        wanted["val"] = two if config.fit.monitor == "val_auroc" else 1
    for number, part in enumerate(parts, start=1):
        for name, least in wanted.items():
            rows = part.rows(name)
            present = int((np.nansum(part.targets[rows], axis=0) > 0).sum())
            if present < least:
                raise DataError(
                    f"split {name}{f' of fold {number}' if len(parts) > 1 else ''} has {len(rows)} "
                    f"cases, with known cases of {present} classes",
                    remedy="give fewer folds, or leave out the class that is too rare"
                    if len(parts) > 1
                    else f"give it more cases (split.{name})",
                )
    if config.calibration.method != "none":
        require_method(config.calibration.method, manifest.space)
        _require_calibrators(manifest, parts)
    for rule in wanted_rules(config, manifest.space):
        parse_rule(rule).labels(manifest.space)


def _require_calibrators(manifest: Manifest, parts: Sequence[Manifest]) -> None:
    """Refuse cases that no calibrator could be fitted on: those of calib, or of other folds."""
    space, targets = manifest.space, manifest.targets
    if manifest.folds is None:
        rows = manifest.rows("calib")
        if len(rows) and not has_two_answers(targets[rows], space):
            raise DataError(
                f"split calib has {len(rows)} cases, whose known targets are all alike",
                remedy="give it more cases (split.calib), or none (split.calib: 0)",
            )
        return
    tests = [part.rows("test") for part in parts]
    for number in range(len(parts)):
        others = np.concatenate([np.empty(0, np.intp), *tests[:number], *tests[number + 1 :]])
        if not has_two_answers(targets[others], space):
            raise DataError(
                f"fold {number + 1} could not be calibrated: the known targets of the {len(others)} "
                "cases that the other folds test are all alike",
                remedy="divide the cases anew, or switch it off (calibration.method: none)",
            )


def require_sound_folds(manifest: Manifest, by: Sequence[str], missing: Missing) -> None:
    """Refuse folds that do not test every case once, or that test a group in two of them.

    Folds may have been brought: by a table that was made elsewhere or edited. A case may be
    `none` in folds that do not test it. One that takes part somewhere and is never tested is
    refused like one that is tested twice: the predictions out of fold stand for all cases.
    A group that is tested in two folds would be scored by a calibrator that saw it.

    Raises
    ------
    ManifestError
        Names the first case and says how many there are.
    """
    if manifest.folds is None:
        return
    folds = np.stack([part.split for part in manifests_of(manifest)], axis=1)
    takes_part, tested = (folds != "none").any(axis=1), folds == "test"
    times = tested.sum(axis=1)
    _refuse(
        manifest,
        takes_part & (times == 0),
        "take part in the folds and are never tested",
        "let each be tested in one fold, or none in every fold",
    )
    _refuse(manifest, times > 1, "are tested in several folds", "let each be tested in one fold")
    rows = np.flatnonzero(takes_part)
    if not len(rows):
        return
    group = group_of(manifest, by, missing)[rows]
    fold = tested[rows].argmax(axis=1)
    first = np.full(group.max() + 1, -1)
    first[group[::-1]] = fold[::-1]
    parted = np.zeros(len(manifest), bool)
    parted[rows[np.isin(group, group[fold != first[group]])]] = True
    _refuse(
        manifest,
        parted,
        f"are of groups ({', '.join(by)}) that are tested in several folds",
        "keep each group together: `medimg split M.csv -o M2.csv --anew --folds K`",
    )


def _refuse(manifest: Manifest, cases: NDArray[np.bool_], what: str, remedy: str) -> None:
    if cases.any():
        raise ManifestError(
            f"{int(cases.sum())} cases {what}, the first {manifest.case_id[cases][0]!r}",
            remedy=remedy,
        )
