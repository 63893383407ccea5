"""The words and the digits of the report: one place for how a number reads.

Nothing is computed here but the text of a number.
"""

from __future__ import annotations

from collections.abc import Iterable

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.labels import LabelSpace

DISCLAIMER = "Research software, not a medical device."
CONDITIONAL = (
    "Intervals are 95% and conditional on the trained model: they hold the chance of which people "
    "were drawn into this set, not the randomness of the training itself."
)
OF_RUNS = (
    "Intervals are 95% and hold both the chance of which people were drawn into this set and that "
    "of the training, as far as these runs tell it."
)

#: Name in `metrics.json` -> the words for it; another name is shown with blanks for underscores.
LABELS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "sensitivity_at_specificity": "Sensitivity at a specificity of 0.95",
    "specificity_at_sensitivity": "Specificity at a sensitivity of 0.95",
    "recall_macro": "Recall, macro",
    "specificity_macro": "Specificity, macro",
    "precision_macro": "Precision, macro",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "f1_macro": "F1, macro",
    "no_information_rate": "Accuracy of the commonest answer",
    "mcc": "Matthews correlation",
    "class_mcc": "MCC",
    "kappa": "Cohen's kappa",
    "quadratic_kappa": "Kappa, quadratic",
    "lr_positive": "LR+",
    "lr_negative": "LR−",
    "auroc": "AUROC",
    "auroc_macro": "AUROC, macro",
    "auroc_micro": "AUROC, micro",
    "auroc_weighted": "AUROC, weighted by prevalence",
    "auroc_ovo": "AUROC, one against one",
    "auroc_partial": "AUROC, partial (false positives up to 0.1)",
    "average_precision_macro": "Average precision, macro",
    "average_precision_micro": "Average precision, micro",
    "average_precision_weighted": "Average precision, weighted by prevalence",
    "brier": "Brier score",
    "brier_reliability": "Brier: miscalibration",
    "brier_resolution": "Brier: resolution",
    "brier_uncertainty": "Brier: uncertainty",
    "nll": "Negative log-likelihood",
    "grade_error": "Grade error, mean",
    "ece": "ECE",
    "ece_top_label": "ECE, top label",
    "ece_classwise": "ECE, classwise",
    "ece_equal_mass": "ECE, equal mass",
    "ece_debiased": "ECE, debiased",
    "ece_smooth": "ECE, smooth",
    "mce": "Largest calibration error",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
    "flagged": "Share flagged",
    "aurc": "Area under risk and coverage",
    "aurc_excess": "Area above the best order",
    "coverage": "Sets that hold the truth",
    "size": "Classes in a set, mean",
    "coverage_by_patient": "The same, each patient once",
    "singleton": "Sets of one class",
    "singleton_accuracy": "Right, of the sets of one class",
    "held": "Sets that hold the label",
    "empty": "Empty sets",
}
METHODS = {
    "wilson": "Wilson",
    "wilson_clustered": "clustered Wilson",
    "none": "no interval",
    "delong": "DeLong",
    "obuchowski": "Obuchowski",
    "log_bootstrap": "bootstrap, log scale",
    "max-t": "max-t bootstrap",
    "mover": "MOVER",
    "mover_delong": "MOVER, DeLong's correlation",
    "mover_obuchowski": "MOVER, Obuchowski's correlation",
    "student": "Student's t",
    "jackknife": "jackknife",
    "permutation": "permutation",
    "bonett-price": "Bonett and Price",
}
#: What a reader looks for first, by the kind of task; what is not there is left out.
HEADLINES = {
    "binary": ("auroc", "sensitivity", "specificity", "brier"),
    "exclusive": ("auroc_macro", "balanced_accuracy", "accuracy", "brier"),
    "multilabel": ("auroc_macro", "average_precision_macro", "f1_macro", "brier"),
}
#: Metrics whose scale does not run from 0 to 1.
UNBOUNDED = frozenset(
    [
        "nll",
        "brier",
        "grade_error",
        "lr_positive",
        "lr_negative",
        "mcc",
        "kappa",
        "slope",
        "intercept",
        "size",
    ]
)


def conditional_text(evaluation: Evaluation) -> str:
    """Return what the intervals hold: the people's chance, and of several runs the training's."""
    return OF_RUNS if evaluation.runs else CONDITIONAL


def label(name: str) -> str:
    """Return the words for a metric's name."""
    return LABELS.get(name) or name[:1].upper() + name[1:].replace("_", " ")


def number(value: float) -> str:
    """Return a number to three decimals, more where it would falsely read as 0 or 1.

    A whole number from 10 upwards is a count, and stands without decimals.
    """
    if abs(value) >= 10 and value == int(value):
        return f"{int(value):,}"
    texts = [f"{value + 0.0:.{digits}f}" for digits in (3, 4, 5, 6)]
    honest = (t for t in texts if abs(float(t)) not in (0, 1) or float(t) == value)
    return next(honest, f"{value:.1e}")


def value_text(estimate: Estimate) -> str:
    """Return the value, or a dash where there is none."""
    return "–" if estimate.value is None else number(estimate.value)


def interval_text(estimate: Estimate) -> str:
    """Return the interval, or an empty text where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    dash = " to " if estimate.low < 0 else "–"  # a dash after a minus sign cannot be read
    return f"{number(estimate.low)}{dash}{number(estimate.high)}"


def p_text(p: float) -> str:
    """Return a p-value to three decimals."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def null_text(estimate: Estimate) -> str:
    """Return what is expected under the null hypothesis and the p-value, or an empty text."""
    parts = [f"expected {number(estimate.expected)}"] if estimate.expected else []
    parts += [] if estimate.p is None else [p_text(estimate.p)]
    return ", ".join(parts)


def method_text(estimate: Estimate) -> str:
    """Return how the interval was made and what was taken as independent."""
    name = METHODS.get(estimate.method, estimate.method.replace("_", " "))
    return name if estimate.method == "none" else f"{name}, by {estimate.unit}"


def short_text(estimate: Estimate) -> str:
    """Return value and interval in one piece, or value and reason."""
    inside = interval_text(estimate) or estimate.reason or "no interval"
    return f"{value_text(estimate)} ({inside})"


def shared_method(estimates: Iterable[Estimate]) -> str | None:
    """Return the method of a column where all that have an interval share it, else None."""
    methods = {method_text(e) for e in estimates if e.low is not None}
    return methods.pop() if len(methods) == 1 else None


def cases_text(n: int, n_patients: int | None) -> str:
    """Return how many cases of how many patients there are."""
    of = "" if n_patients is None else f" of {n_patients:,} patient{'s' * (n_patients != 1)}"
    return f"{n:,} case{'s' * (n != 1)}{of}"


def sentence(words: str) -> str:
    """Return words with a capital and a full stop."""
    stop = "" if words.endswith((".", "!", "?")) else "."
    return f"{words[0].upper()}{words[1:]}{stop}" if words else ""


def task_text(space: LabelSpace) -> str:
    """Return the kind of task in words."""
    words = {"multiclass": "one class a case", "ordinal": "ordered grades"}
    kind = words.get(space.kind, "any number of classes a case")
    target = "" if space.positive is None else f"; target condition: {space.positive}"
    return f"{space.k} {'class' if space.k == 1 else 'classes'}, {kind}{target}"


def headline_names(evaluation: Evaluation) -> list[str]:
    """Return the metrics that a reader looks for first."""
    kind = "exclusive" if evaluation.space.exclusive else "multilabel"
    kind = kind if evaluation.space.positive is None else "binary"
    return [name for name in HEADLINES[kind] if name in evaluation.metrics]


def in_reading_order(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return all metrics, the headline first, the others in their own order."""
    names = dict.fromkeys([*headline_names(evaluation), *evaluation.metrics])
    return {name: evaluation.metrics[name] for name in names}


def per_class_names(evaluation: Evaluation) -> list[str]:
    """Return the metrics that any class has, in their first order."""
    return list(dict.fromkeys(name for row in evaluation.per_class.values() for name in row))
