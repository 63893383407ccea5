"""Facts of what the evaluation found: a sentence with its figures, or None where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medimg.evaluation.results.sections import Metrics
from medimg.report.checklists import made
from medimg.report.checklists.items import Known, joined
from medimg.report.findings import plural
from medimg.report.words import (
    METHODS,
    cases_text,
    headline_names,
    label,
    number,
    sentence,
    short_text,
    task_text,
)

#: Names, groups or figures that an answer lists; the report has all.
MOST = 8
#: How well two classes are told apart, where a target condition is named.
DIAGNOSTIC = (
    "auroc", "sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative"
)  # fmt: skip
#: What is told of calibration, of the metrics that there are.
CALIBRATION = ("ece_debiased", "slope", "intercept")


def task(known: Known) -> str | None:
    """Return the kind of task and its classes."""
    space = known.evaluation.space
    return f"{sentence(task_text(space))} Classes: {few(space.classes, between='; ')}."


def sample(known: Known) -> str | None:
    """Return how many cases were evaluated."""
    e = known.evaluation
    where = f" of the split {e.split}" if e.split else ""
    return f"Evaluated: {cases_text(e.n, e.n_patients)}{where}."


def internal(known: Known) -> str | None:
    """Return what was evaluated where it is a split of the data of the run."""
    if not known.trained:
        return None
    return f"{sample(known)} It is part of the data that the run was given."


def missing(known: Known) -> str | None:
    """Return how unknown targets were handled."""
    said = "Targets that are not known are left out of every number; none is imputed."
    return joined(said, made.unread(known))


def indeterminate(known: Known) -> str | None:
    """Return whether cases are without a result."""
    said = "Each evaluated case has a probability of every class; no result counts as unclear."
    return joined(said, made.unread(known))


def measures(known: Known) -> str | None:
    """Return which metrics and plots there are."""
    e = known.evaluation
    names = list(dict.fromkeys([*headline_names(e), *e.metrics]))
    parts = {
        "ROC and precision-recall curves": e.curves,
        "reliability diagrams": e.calibration,
        "operating points": e.operating,
        "decision curves": e.decision,
        "prediction sets": e.conformal,
        "risk and coverage": e.abstention,
        "subgroups": e.subgroups,
        "the same by patient": e.by_patient,
    }
    plots = [name for name, there in parts.items() if there]
    also = f" Also {', '.join(plots)}." if plots else ""
    return f"{plural(len(names), 'metric')}: {few([label(name) for name in names], between='; ')}.{also}"


def intervals(known: Known) -> str | None:
    """Return how intervals were made, on what unit, and what has none."""
    e = known.evaluation
    made_by: dict[str, list[str]] = {}
    units = dict.fromkeys(estimate.unit for estimate in e.metrics.values())
    for name, estimate in e.metrics.items():
        if estimate.low is not None:
            words = METHODS.get(estimate.method, estimate.method.replace("_", " "))
            made_by.setdefault(words, []).append(label(name))
    if not made_by:
        return None
    said = ", ".join(f"{how} ({few(names, 4, '; ')})" for how, names in made_by.items())
    resamples, seed = known.text("evaluation", "resamples"), known.text("evaluation", "seed")
    drawn = f" {resamples} resamples, seed {seed}." if resamples and seed else ""
    none = sum(estimate.low is None for estimate in e.metrics.values())
    lacking = f" {plural(none, 'metric')} without an interval, with the reason." if none else ""
    gaps = " Gaps of subgroups: simultaneous intervals." if e.subgroups else ""
    return f"95% intervals by {' and '.join(units)}: {said}.{drawn}{lacking}{gaps} Conditional on the trained model."


def assessed(known: Known) -> str | None:
    """Return the metrics and how their intervals were made."""
    return joined(measures(known), intervals(known))


def cutoffs(known: Known) -> str | None:
    """Return the thresholds that decide, and on what they were chosen."""
    e = known.evaluation
    points = [
        f"{o.label} from a probability of {number(o.threshold)} ({o.rule}, chosen on {o.chosen_on})"
        for o in e.operating
    ]
    default = (
        "the most probable class" if e.space.exclusive else "each class from a probability of 0.5"
    )
    chosen = f" Operating points, chosen before: {few(points, 4, '; ')}." if points else ""
    return f"Without an operating point {default} is decided for.{chosen}"


def output(known: Known) -> str | None:
    """Return what the model gives, and how decisions are made of it."""
    return f"A probability of each class. {made.calibrated(known)} {cutoffs(known)}"


def performance(known: Known) -> str | None:
    """Return the headline metrics with their intervals."""
    e = known.evaluation
    names = [*headline_names(e), *(n for n in CALIBRATION if n in e.metrics)]
    return f"{sentence(_figures(e.metrics, names))} All metrics: metrics.csv." if names else None


def accuracy(known: Known) -> str | None:
    """Return the diagnostic accuracy with its precision, at operating points too."""
    e = known.evaluation
    names = [n for n in DIAGNOSTIC if n in e.metrics] or headline_names(e)
    lines = [sentence(_figures(e.metrics, names))] if names else []
    for point in e.operating[:3]:
        at = [n for n in DIAGNOSTIC if n in point.metrics]
        figures = _figures(point.metrics, at)
        lines.append(f"{point.label} from {number(point.threshold)} ({point.rule}): {figures}.")
    return " ".join(lines) or None


def crosstab(known: Known) -> str | None:
    """Return how decisions and truth go together."""
    e = known.evaluation
    if not e.confusion:
        return None
    where = "The whole table: confusion.csv."
    if not e.space.exclusive:
        missed, false = (sum(row[i] for row in e.confusion) for i in (2, 1))
        return f"Over all labels {missed:,} missed and {false:,} falsely called. {where}"
    if e.space.positive_index is None:
        right = sum(row[i] for i, row in enumerate(e.confusion))
        return f"{right:,} of {e.n:,} cases decided rightly. {where}"
    one = e.space.positive_index
    (tp, fn), (fp, tn) = (
        (e.confusion[row][one], e.confusion[row][1 - one]) for row in (one, 1 - one)
    )
    name = e.space.positive
    return (
        f"{name}: {tp:,} true positives, {fn:,} false negatives, {fp:,} false positives, "
        f"{tn:,} true negatives. {where}"
    )


def classes(known: Known) -> str | None:
    """Return how many evaluated cases each class has."""
    e = known.evaluation
    if not e.confusion:
        return None
    if e.space.exclusive:
        rows = [(sum(row), e.n) for row in e.confusion]
    else:
        rows = [(row[2] + row[3], sum(row)) for row in e.confusion]
    counted = [
        f"{name} {n:,} of {of:,} ({100 * n / of:.1f}%)" if of else f"{name} none known"
        for name, (n, of) in zip(e.space.classes, rows, strict=True)
    ]
    return f"Of the evaluated cases: {few(counted, 20)}."


def grades(known: Known) -> str | None:
    """Return how many cases each grade has, where classes are grades."""
    return classes(known) if known.evaluation.space.kind == "ordinal" else None


def flow(known: Known) -> str | None:
    """Return how many cases went where, and of which classes they are."""
    return joined(made.flow(known), classes(known))


def _figures(metrics: Metrics, names: Iterable[str]) -> str:
    return ", ".join(f"{label(name)} {short_text(metrics[name])}" for name in names)


def few(texts: Sequence[str], most: int = MOST, between: str = ", ") -> str:
    """Return the first texts, and how many more there are."""
    more = [f"and {len(texts) - most:,} more"] if len(texts) > most else []
    return between.join([*texts[:most], *more])
