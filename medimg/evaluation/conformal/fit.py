"""Fitting prediction sets: one threshold a group, on cases of their own (`calib`).

N cases, K classes, P points: the pairs of a case and a class that it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PredictionsError, UsageError, nearest
from medimg.evaluation.conformal.points import Points
from medimg.evaluation.conformal.scores import SCORES, score_table
from medimg.evaluation.conformal.sets import ALL, LEVELS, Conformal, groups
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.sample import known_cases, one_split
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

MOST_GROUPS = 20
"""A column with more values is no grouping: hardly any would have cases enough."""


def fit_conformal(
    calib: Predictions,
    method: str = "auto",
    alpha: float = 0.1,
    *,
    by: str = "",
    seed: int = 0,
) -> Conformal:
    """Return the thresholds of prediction sets that miss at most `alpha` of the truths.

    The guarantee holds for a case taken at random from a new patient who is exchangeable with
    those of `calib`, on average over draws of the calibration patients. Where patients have
    several cases, each patient weighs 1 / (n + 1) and its cases share that (hierarchical
    conformal prediction, algorithm HCP of Lee, Barber and Willett, arXiv 2306.06342): all cases
    are used and the coverage is at least 1 - `alpha`. With one case a patient this is split
    conformal prediction, exact up to 1 / (n + 1) (Vovk et al., 2005).

    Scores are made of the probabilities without the calibrator: one that was fitted on the same
    cases would have seen their truths, and the coverage would be lost.

    Parameters
    ----------
    calib : Predictions
        Cases of one split that neither trained nor stopped nor will test the model. Those
        without a known target are left out.
    method : {"auto", "lac", "aps", "raps", "risk"}
        For classes that exclude each other ``lac`` (small sets), ``aps`` (sets that grow with
        the difficulty of a case) or ``raps`` (the same with fewer very large ones). For
        `multilabel` ``risk``: the share of a case's labels that the set misses, averaged over
        the cases that have any, is at most `alpha` (conformal risk control, Angelopoulos et
        al., ICLR 2024). ``auto`` is ``lac`` or ``risk``.
    alpha : float
        Between 0 and 1.
    by : str
        Blank; ``"class"``: the promise holds within each true class (for `multilabel`: the
        sensitivity of each label); or a column of metadata: within each of its groups (Vovk,
        ACML 2012). A group with fewer than 1 / `alpha` - 1 patients gives whole sets.
    seed : int
        Of the random part of ``aps`` and ``raps``, which is made of it and the `case_id`.

    Raises
    ------
    UsageError
        An unknown method, one that does not fit the classes, an `alpha` out of its range, a
        column that is not there or has more than 20 values, or several splits at once.
    PredictionsError
        No known target, or for `multilabel` no label that any case has.
    """
    method = _method(method, calib.space)
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}", remedy="a share between 0 and 1, such as 0.1")
    one, split = one_split(calib)
    cases = known_cases(one, split)
    case, label = np.nonzero(cases.targets == 1)
    if not len(case):
        raise PredictionsError(
            f"no case of split {split!r} has any label", remedy="calibrate on cases that have some"
        )
    units = Units.of(cases.case_id, cases.patient_id)
    names, code = _groups(cases, by, case, label)
    points = Points(score_table(cases, method, seed)[case, label], case, units.of_case[case])
    parts = {g: points.take(code == i) for i, g in enumerate(names)}
    return Conformal(
        method=method,
        by=by,
        alpha=alpha,
        space=cases.space,
        thresholds={g: part.threshold(alpha) for g, part in parts.items()},
        levels={g: tuple(part.threshold(a) for a in LEVELS) for g, part in parts.items()},
        units={g: part.n_units for g, part in parts.items()},
        n_cases=len(np.unique(case)),
        n_units=points.n_units,
        unit=units.kind,
        seed=seed,
        split=split,
        fitted_on=calib.with_calibrator(None).fingerprint,
    )


def _method(name: str, space: LabelSpace) -> str:
    if name == "auto":
        return "lac" if space.exclusive else "risk"
    if name not in SCORES:
        raise UsageError(
            f"prediction sets {name!r} are unknown{nearest(name, SCORES)}",
            remedy=f"one of auto, {', '.join(SCORES)}",
        )
    if (name == "risk") == space.exclusive:
        fitting = [m for m in SCORES if (m == "risk") != space.exclusive]
        raise UsageError(
            f"prediction sets {name!r} do not fit {space.kind} classes",
            remedy=f"use {', '.join(fitting)} or auto",
        )
    return name


def _groups(
    cases: Predictions, by: str, case: NDArray[Any], label: NDArray[Any]
) -> tuple[list[str], NDArray[Any]]:
    """Return the names of the groups, and of each point (P,) the number of its group."""
    if by == "class":
        return list(cases.space.classes), label
    column = groups(cases, by)
    if column is None:
        return [ALL], np.zeros(len(case), int)
    names, code = np.unique(column.astype(str)[case], return_inverse=True)
    if len(names) > MOST_GROUPS:
        raise UsageError(
            f"column {by!r} has {len(names)} values, more than {MOST_GROUPS}",
            remedy="name a column of a few groups; cut numbers, such as ages, into ranges first",
        )
    return [str(n) for n in names], code
