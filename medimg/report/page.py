"""The page: what the report says, in which words, and the template that it fills.

Nothing is computed here but the text of a number. Sections stand in `templates/`, one file
each, in the order in which `page.html.jinja` includes them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from medimg.errors import UsageError
from medimg.evaluation.result import Estimate, Evaluation
from medimg.labels import LabelSpace
from medimg.report import figures

if TYPE_CHECKING:
    from jinja2 import Environment

    from medimg.report.audit import AuditView

DISCLAIMER = "Research software, not a medical device."
CONDITIONAL = (
    "Intervals are 95% and conditional on the trained model: they hold the chance of which people "
    "were drawn into this set, not the randomness of the training itself."
)

#: Name in `metrics.json` -> the words for it; another name is shown with blanks for underscores.
LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "exact_match": "Exact match",
    "recall": "Recall",
    "recall_macro": "Recall, macro",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "specificity_macro": "Specificity, macro",
    "precision": "Precision",
    "precision_macro": "Precision, macro",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "f1_macro": "F1, macro",
    "auroc": "AUROC",
    "auroc_macro": "AUROC, macro",
    "average_precision": "Average precision",
    "average_precision_macro": "Average precision, macro",
    "brier": "Brier score",
    "nll": "Negative log-likelihood",
    "grade_error": "Grade error, mean",
    "quadratic_kappa": "Kappa, quadratic",
    "ece": "ECE",
    "ece_top_label": "ECE, top label",
}
METHODS = {"wilson": "Wilson", "none": "no interval", "delong": "DeLong"}
#: What a reader looks for first, by the kind of task; what is not there is left out.
HEADLINES = {
    "binary": ("auroc", "sensitivity", "specificity", "brier"),
    "exclusive": ("auroc_macro", "balanced_accuracy", "accuracy", "brier"),
    "multilabel": ("auroc_macro", "average_precision_macro", "f1_macro", "brier"),
}
#: What a calibrator is meant to change, shown before and after.
CALIBRATION = ("ece", "ece_top_label", "brier", "nll")
#: Metrics whose scale does not end at 1.
UNBOUNDED = ("nll", "brier", "grade_error")
LOSSES = {"train_loss": "training", "val_loss": "validation"}
VALIDATION = {"val_auroc": "AUROC", "val_accuracy": "accuracy"}
#: The longer side of an embedded example, in pixels; a smaller picture is embedded as it is.
EXAMPLE_SIDE = 256


@dataclass(frozen=True, eq=False)
class Example:
    """One picture of the report with what the model said of it.

    Parameters
    ----------
    image : uint8 array (H, W) or (H, W, 3)
        Grey, or red, green and blue.
    case_id : str
        The case, printed as it is given.
    target, predicted : str
        Names of the true and of the predicted class.
    probability : float
        What the model gave the predicted class.

    Raises
    ------
    UsageError
        An image of another shape or type.
    """

    image: NDArray[np.uint8]
    case_id: str
    target: str
    predicted: str
    probability: float

    def __post_init__(self) -> None:
        image = self.image
        grey_or_rgb = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not grey_or_rgb or image.size == 0:
            raise UsageError(
                f"example {self.case_id} is {image.dtype} of shape {image.shape}",
                remedy="give uint8 of shape (H, W) or (H, W, 3); of a volume, one slice",
            )

    @property
    def right(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.predicted == self.target


# ---------------------------------------------------------------- words


def label(name: str) -> str:
    """Return the words for a metric's name."""
    return LABELS.get(name) or name.replace("_", " ").capitalize()


def number(value: float) -> str:
    """Return a number to three decimals, more where it would falsely read as 0 or 1."""
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


# ---------------------------------------------------------------- parts of the page


def render(
    evaluation: Evaluation,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    examples: Sequence[Example] = (),
    title: str = "medimg report",
    notes: Sequence[str] = (),
    before: Evaluation | None = None,
    audit: AuditView | None = None,
) -> str:
    """Return the HTML of the whole page; the same input gives the same text."""
    if before is not None and (before.space, before.n) != (evaluation.space, evaluation.n):
        raise UsageError(
            f"before holds {before.n} cases of {before.space.classes}, "
            f"the evaluation {evaluation.n} of {evaluation.space.classes}",
            remedy="evaluate the same predictions with and without their calibrator",
        )
    page = environment().get_template("page.html.jinja")
    return page.render(
        title=title,
        notes=list(notes),
        audit=audit,
        e=evaluation,
        before=before,
        headline=[(name, evaluation.metrics[name]) for name in headline_names(evaluation)],
        metrics=in_reading_order(evaluation),
        columns=_columns(evaluation),
        calibration_names=[n for n in CALIBRATION if n in evaluation.metrics],
        training=_training(history),
        validated=any(row.get("val_loss") is not None for row in history),
        roc=_roc(evaluation),
        reliability=_reliability(evaluation, before),
        confusion=_confusion(evaluation),
        examples=[(example, png_uri(example.image)) for example in examples],
        provenance=list(flatten(evaluation.provenance)),
    )


def png_uri(image: NDArray[np.uint8]) -> str:
    """Return a picture as a PNG data URI, at most `EXAMPLE_SIDE` pixels long."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield the leaves of nested mappings as dotted names and texts."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(str(v) for v in value)
        else:
            yield f"{prefix}{name}", "–" if value is None else str(value)


def _mark(name: str, estimate: Estimate) -> Markup:
    """Return the point and interval of a metric that lies between 0 and 1, else nothing."""
    ends = [v for v in (estimate.value, estimate.low, estimate.high) if v is not None]
    if estimate.value is None or name in UNBOUNDED or min(ends) < 0 or max(ends) > 1:
        return Markup()
    return figures.interval_mark(estimate.value, estimate.low, estimate.high)


def _columns(evaluation: Evaluation) -> dict[str, str | None]:
    """Return the columns of the table of classes, each with the method that it shares."""
    rows = evaluation.per_class.values()
    names = per_class_names(evaluation)
    return {name: shared_method(row[name] for row in rows if name in row) for name in names}


def _training(history: Sequence[Mapping[str, Any]]) -> list[figures.Figure]:
    if not history:
        return []
    drawn = (
        figures.learning_curve("loss", "Loss", history, LOSSES),
        figures.learning_curve("validation", "Validation metric", history, VALIDATION),
    )
    return [figure for figure in drawn if figure is not None]


def _roc(evaluation: Evaluation) -> list[figures.Figure]:
    found = {name: _auroc(evaluation, name) for name in evaluation.roc}
    words = {name: "no AUROC" if e is None else short_text(e) for name, e in found.items()}
    methods = sorted({method_text(e) for e in found.values() if e and e.low is not None})
    caption = "Each class against the rest; AUROC"
    caption += f" with its 95% interval ({'; '.join(methods)})." if methods else "."
    return figures.roc_plots(evaluation.roc, words, caption)


def _auroc(evaluation: Evaluation, name: str) -> Estimate | None:
    """Return the AUROC of a class; that of a target condition stands among the metrics."""
    of_class = evaluation.per_class.get(name, {}).get("auroc")
    return of_class or evaluation.metrics.get("auroc")


def _reliability(evaluation: Evaluation, before: Evaluation | None) -> list[figures.Figure]:
    shown = [(evaluation, "Reliability")]
    if before is not None:
        shown = [
            (before, "Reliability before calibration"),
            (evaluation, "Reliability after calibration"),
        ]
    xlabel, ylabel = _reliability_words(evaluation.space)
    drawn = []
    for i, (result, title) in enumerate(shown):
        ece = result.metrics.get("ece")
        caption = "" if ece is None else f"ECE {short_text(ece)}. "
        caption += f"Hollow points rest on fewer than {figures.FEW} cases."
        key = f"reliability-{i}"
        bins = result.reliability
        drawn.append(figures.reliability_plot(key, title, bins, xlabel, ylabel, caption))
    return drawn


def _reliability_words(space: LabelSpace) -> tuple[str, str]:
    if not space.exclusive:
        return "probability given, all classes together", "share that had the class"
    if space.k > 2:
        return "probability given to the predicted class", "share predicted right"
    target = figures.shorten(space.positive or space.classes[1], 30)
    return f"probability given to {target}", f"share truly {target}"


def _confusion(evaluation: Evaluation) -> figures.Figure | None:
    if not evaluation.space.exclusive or not evaluation.confusion:
        return None
    return figures.confusion_plot(evaluation.space.classes, evaluation.confusion)


@cache
def environment() -> Environment:
    """Return the templates, with escaping always on and unknown names an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("medimg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (label, number, value_text, interval_text, method_text, task_text, png_uri)
    environment.globals.update({f.__name__: f for f in (*words, figures.share)})
    environment.globals.update(mark=_mark, DISCLAIMER=DISCLAIMER, CONDITIONAL=CONDITIONAL)
    return environment
