"""Which way each metric is better, and where a resample of it stands."""

from __future__ import annotations

from collections.abc import Mapping

from medimg.evaluation.estimates.estimates import TWO_CLASSES
from medimg.evaluation.metrics import Floats
from medimg.evaluation.sample import Figures, Sample

LOWER_IS_BETTER = ("brier", "nll", "ece", "ece_top_label", "grade_error")

#: Figures of the cases, not of the model; and ratios that run to infinity, of whose two parts
#: the differences stand beside them.
_LEFT_OUT = ("prevalence", "no_information_rate", "lr_positive", "lr_negative")


def is_better(metric: str) -> int:
    """Return 1 where a higher value is better, -1 where a lower one is."""
    return -1 if metric in LOWER_IS_BETTER else 1


def overall(sample: Sample, figures: Figures) -> Mapping[str, Floats]:
    """Return the metrics over all classes, and of the target condition, each (R,).

    Of a target condition, without the means over both classes.
    """
    rows = {name: value for name, value in figures.items() if value.ndim == 1}
    if sample.two_classes and sample.space.positive is not None:
        rows = {name: value for name, value in rows.items() if not name.endswith("_macro")}
        of_condition = {n: figures[c][sample.primary] for n, c in TWO_CLASSES.items()}
        rows = of_condition | rows
    elif sample.two_classes:
        rows = {"auroc": figures["auroc"][sample.primary]} | rows
    return {name: value for name, value in rows.items() if name not in _LEFT_OUT}
