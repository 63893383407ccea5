"""The parts of an evaluation beside its metrics, as `metrics.json` holds them.

Plain frozen records: texts, numbers, tuples and mappings; no NaN, None where nothing is defined.
What computes a part stands in a file of its own; the report only shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medimg.evaluation.results.estimate import Estimate

Numbers = tuple[float, ...]
Gaps = tuple[float | None, ...]
Metrics = Mapping[str, Estimate]


@dataclass(frozen=True)
class Curve:
    """Points (M,) from left to right, with a pointwise 95% band where `low` is not empty."""

    x: Numbers
    y: Gaps
    low: Gaps = ()
    high: Gaps = ()


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability table; `confidence` and `frequency` are None where it is empty.

    `band_low` and `band_high` hold 95% of the frequencies of a model that is perfectly calibrated
    (consistency resampling; Broecker and Smith, Weather Forecast. 22 (2007) 651).
    """

    low: float
    high: float
    confidence: float | None
    frequency: float | None
    count: int
    band_low: float | None = None
    band_high: float | None = None


@dataclass(frozen=True)
class CalibrationCheck:
    """How far one probability means what it says.

    `of` names it: a class, or ``"predicted class"``. `metrics` holds ece, ece_equal_mass, mce,
    ece_smooth, ece_debiased, slope, intercept, brier and its parts (brier_reliability -
    brier_resolution + brier_uncertainty). `expected` and `p` of ece, ece_equal_mass, mce and brier
    say what a perfectly calibrated model would give, those of slope and intercept test 1 and 0.
    The check ``"mean of all classes"`` holds the means of the four kinds of ece and no bins.
    """

    of: str
    metrics: Metrics
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class Histogram:
    """How many cases of each true class got a probability within each of the edges (B + 1,)."""

    edges: Numbers
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ScoreCurves:
    """What one class's probability tells from the rest, over all thresholds.

    `roc` x is 1 - specificity and y sensitivity; `precision_recall` x is recall and y precision.
    Their bands have gaps where too few cases lie to the left. The sweep holds sensitivity,
    specificity, ppv and npv, with the threshold as x. `prevalence` is the class's share of the
    known; `histogram` counts the class and what it is told from.
    """

    prevalence: float
    roc: Curve
    precision_recall: Curve
    sweep: Mapping[str, Curve]
    histogram: Histogram


@dataclass(frozen=True)
class OperatingResult:
    """One frozen threshold, applied to these cases.

    `rule` says how it was chosen, `chosen_on` on what: both in words. `counts` holds
    true_positives, false_positives, false_negatives and true_negatives; `metrics` sensitivity,
    specificity, ppv, npv, accuracy, flagged (the share above it), lr_positive and lr_negative.
    """

    label: str
    rule: str
    threshold: float
    chosen_on: str
    counts: Mapping[str, int]
    metrics: Metrics


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of one class over threshold probabilities, of the model and of the two defaults.

    Vickers and Elkin, Med. Decis. Making 26 (2006) 565.
    """

    label: str
    model: Curve
    treat_all: Curve
    note: str = ""


@dataclass(frozen=True)
class PrevalenceRow:
    """PPV and NPV of one threshold restated for another prevalence.

    `threshold` is the calibrated probability there that the same scores stand for; `metrics` holds
    ppv and npv.
    """

    label: str
    rule: str
    prevalence: float
    threshold: float
    metrics: Metrics


@dataclass(frozen=True)
class Abstention:
    """What refusing the least sure cases would win.

    `confidence` says in words what a case is refused by. `curve` x is the share that is answered
    and y the share of those that is wrong. `metrics` holds error (with nothing refused), aurc
    (the mean of the curve; `expected` if cases were refused at random) and aurc_excess (over the
    best order of the same errors). `refused` has a row for each coverage.
    """

    confidence: str
    curve: Curve
    metrics: Metrics
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class Refused:
    """Which share of each class is refused where `coverage` of the cases is answered.

    Cases of one confidence are answered together: `answered` is the share that really is, and
    `threshold` the least confidence among them. `error` is the share of them that is wrong.
    """

    coverage: float
    answered: float
    threshold: float
    error: Estimate
    share_of_class: Mapping[str, Estimate]


@dataclass(frozen=True)
class Group:
    """The metrics of one group of cases, and how far they lie from those of all others.

    The intervals of `gaps` (group less the rest) hold together for all groups of the column.
    """

    name: str
    n: int
    n_patients: int | None
    metrics: Metrics
    gaps: Metrics


@dataclass(frozen=True)
class Subgroups:
    """The groups of one column; those under ten patients are counted and not shown."""

    column: str
    groups: tuple[Group, ...]
    suppressed: int
    suppressed_cases: int
    worst: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class ConformalResult:
    """Prediction sets, how often they hold the truth, and how large they are.

    `n_calibration` counts `unit`s. `thresholds` are those of `fit_conformal`; a group under its
    least size has None, stands in `whole`, and gets whole sets. `metrics` holds coverage (for
    multilabel the share of the present labels that a set holds), coverage_by_patient (each
    patient counts once; where patients have several cases), size (classes in a set), singleton
    and empty (shares of the sets), singleton_accuracy; so does `per_class` for the cases of each
    true class (for multilabel coverage, and held: the share of sets that hold the label) and
    `per_group` for the groups of the column `by`. `bounds` are within which 95% of the coverages
    of a correct method lie, at the sizes at hand (the beta-binomial law; Angelopoulos and Bates,
    arXiv 2107.07511), `group_bounds` the same for each threshold of its own. `curve` x is
    1 - alpha, y the coverage, and its band those bounds. `sizes` counts the sets of 0, 1, ..., K.
    """

    method: str
    by: str
    alpha: float
    calibrated_on: str
    n_calibration: int
    unit: str
    thresholds: Mapping[str, float | None]
    whole: tuple[str, ...]
    metrics: Metrics
    per_class: Mapping[str, Metrics]
    per_group: Mapping[str, Metrics]
    bounds: tuple[float, float] | None
    sizes: tuple[int, ...]
    group_bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    curve: Curve | None = None
    note: str = ""


@dataclass(frozen=True)
class RunRow:
    """One metric of several runs of one model.

    The standard deviations: between runs (`sd_runs`), and of the sample of people (`sd_sample`).
    """

    metric: str
    mean: Estimate
    values: Gaps
    sd_runs: float | None
    sd_sample: float | None
    share_runs: float | None


@dataclass(frozen=True)
class ShiftRow:
    """One figure that differs between the set at hand and the reference."""

    what: str
    here: float | None
    reference: float | None
    difference: Estimate


@dataclass(frozen=True)
class Shift:
    """How the set at hand differs from the one that the model is known on."""

    reference: str
    n_reference: int
    rows: tuple[ShiftRow, ...]
    metrics: tuple[ShiftRow, ...]
    note: str = ""
