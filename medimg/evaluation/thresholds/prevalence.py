"""PPV, NPV and thresholds restated for another prevalence."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from medimg.evaluation.intervals.likelihood import predictive
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.sections import PrevalenceRow
from medimg.evaluation.sample import Sample
from medimg.operating import OperatingPoint


def prevalence_rows(
    sample: Sample, points: Iterable[OperatingPoint], options: EvaluateOptions
) -> tuple[PrevalenceRow, ...]:
    """Return PPV and NPV of each frozen threshold at each of `options.prevalences`.

    Sensitivity and specificity are those of these cases: it is assumed that they are the same at
    the other prevalence (the same disease, more or less often). PPV and NPV follow by Bayes, their
    intervals from those of both (on the logit scale, as Mercaldo, Lau and Zhou, Stat. Med. 26
    (2007) 2170; see `ratio_ends`). The prevalence is taken as known.
    """
    return tuple(_row(sample, p, share) for p in points for share in options.prevalences)


def _row(sample: Sample, point: OperatingPoint, share: float) -> PrevalenceRow:
    target, units = sample.targets[:, sample.space.index(point.label)], sample.units
    called, odds = point.flags(sample.probabilities, sample.space), share / (1 - share)
    sick, well, known = target == 1, target == 0, ~np.isnan(target)
    found, alarms = proportion(called, sick, units), proportion(called, well, units)
    missed, cleared = proportion(~called, sick, units), proportion(~called, well, units)
    return PrevalenceRow(
        label=point.label,
        rule=point.rule,
        prevalence=share,
        threshold=restated(point.threshold, point.chosen_on.prevalence, share),
        metrics={
            "ppv": predictive(found, alarms, odds, units, known),
            "npv": predictive(cleared, missed, 1 / odds, units, known),
        },
    )


def restated(probability: float, before: float, now: float) -> float:
    """Return what a calibrated probability becomes where the prevalence is another.

    Its odds change as those of the class do (Elkan, IJCAI 2001; Saerens, Latinne and Decaestecker,
    Neural Comput. 14 (2002) 21): the same scores stand for it.

    Parameters
    ----------
    probability, before, now : float
        Within (0, 1]; the prevalences within (0, 1).
    """
    yes = probability * now / before
    return yes / (yes + (1 - probability) * (1 - now) / (1 - before))
