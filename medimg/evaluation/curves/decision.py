"""Decision curves: what acting on the model would be worth, at any threshold."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.curves.curves import gaps
from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.sections import Curve, DecisionCurve
from medimg.evaluation.sample import Sample

_THRESHOLDS = np.arange(1, 100) / 100


def decision_curves(sample: Sample, options: EvaluateOptions) -> tuple[DecisionCurve, ...]:
    """Return the net benefit of the target condition of two classes, or of every label.

    Who acts from a probability t on holds a missed case for as bad as (1 - t) / t false alarms:
    the net benefit is true positives a case less false positives a case times t / (1 - t)
    (Vickers and Elkin, Med. Decis. Making 26 (2006) 565). It is a mean over cases, and its band
    that of a mean by patient; none with fewer than ten patients with or without the class, or
    called so. None at all for more exclusive classes, where no one threshold decides, nor for a
    label of which all known cases are alike.
    """
    if sample.two_classes:
        columns = [sample.primary]
    else:
        columns = [] if sample.space.exclusive else list(range(sample.space.k))
    targets = sample.targets
    return tuple(
        _curve(sample, k)
        for k in columns
        if (targets[:, k] == 1).any() and (targets[:, k] == 0).any()
    )


def _curve(sample: Sample, k: int) -> DecisionCurve:
    known = ~np.isnan(sample.targets[:, k])
    sick, scores = sample.targets[known, k] == 1, sample.probabilities[known, k]
    unit, of_case = np.unique(sample.units.of_case[known], return_inverse=True)
    units = Units(of_case.astype(np.int64), len(unit), sample.units.kind)
    enough = min(units.count(sick), units.count(~sick)) >= MIN_UNITS
    share, odds = float(sick.mean()), _THRESHOLDS / (1 - _THRESHOLDS)
    value, reach = np.empty(len(odds)), np.full(len(odds), np.nan)
    for i, (threshold, weight) in enumerate(zip(_THRESHOLDS, odds, strict=True)):
        called = scores >= threshold
        benefit = np.where(called, np.where(sick, 1.0, -weight), 0.0)
        value[i] = benefit.mean()
        if enough and units.count(called) >= MIN_UNITS:
            reach[i] = _reach(benefit, units)
    x = tuple(_THRESHOLDS.tolist())
    low, high = (gaps(value - reach), gaps(value + reach)) if enough else ((), ())
    return DecisionCurve(
        label=sample.space.classes[k],
        model=Curve(x, tuple(value.tolist()), low, high),
        treat_all=Curve(x, tuple((share - (1 - share) * odds).tolist())),
        note=f"At the prevalence of these cases ({share:.3g}).",
    )


def _reach(values: Floats, units: Units) -> float:
    """Return half the width of the 95% interval of a mean by patient (Student's t).

    The variance of the ratio of both sums, linearised between patients.
    """
    from scipy.special import stdtrit

    n, u = len(values), units.n
    sizes = np.bincount(units.of_case, minlength=u)
    sums = np.bincount(units.of_case, values, u) - values.mean() * sizes
    return float(stdtrit(u - 1, 0.975) * np.sqrt((sums**2).sum() * u / (u - 1)) / n)
