"""Simulates the coverage of the calibration measures; the whole table goes into docs/.

``python scripts/simulate_calibration.py [--draws 2000] [--processes 2]`` prints the tables and
writes docs/coverage_calibration.md. With 2,000 draws the noise of a coverage near 95% is .5%
(one standard error).
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import BINS
from medimg.evaluation.reliability.binning import PlugIn
from medimg.evaluation.reliability.check import DEBIASED_CASES, DEBIASED_FROM, DEBIASED_UNITS, Check
from medimg.evaluation.reliability.consistency import Drawn, draw_outcomes
from medimg.evaluation.reliability.probability import Probability
from medimg.evaluation.results.estimate import Estimate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coverage_calibration.md"
WITHIN = 0.6
"""Correlation of the scores of one patient's images, given the patient's label."""
NOT_DRAWN = Drawn(np.zeros((0, 0)), np.zeros(0))

Floats = NDArray[np.float64]
Row = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """People of whom the scores are normal, given the label, with equal variances.

    The true log-odds are then a straight line of the score. The model's are the line that a
    true calibration `slope` and a shift of the log-odds make of it: 1 and 0 are perfect.
    """

    patients: int
    images: int
    prevalence: float
    auroc: float
    slope: float = 1.0
    shift: float = 0.0

    def model(self, score: Floats) -> Floats:
        """Return the log-odds that the model gives to scores."""
        apart = float(norm.ppf(self.auroc)) * np.sqrt(2)
        true = logit(self.prevalence) + apart * (score - apart / 2)
        return np.asarray((true - self.shift) / self.slope)

    def truth(self) -> Row:
        """Return the slope, intercept, Brier score and binned ECE of very many such people."""
        apart = float(norm.ppf(self.auroc)) * np.sqrt(2)
        score = np.linspace(-9, 9 + apart, 400_001)
        ill = self.prevalence * norm.pdf(score - apart)
        weight = ill + (1 - self.prevalence) * norm.pdf(score)
        chance, weight = ill / weight, weight / weight.sum()
        log_odds = self.model(score)
        p = expit(log_odds)
        place = np.minimum((p * BINS).astype(int), BINS - 1)
        return {
            "slope": self.slope,
            "intercept": brentq(
                lambda c: float(weight @ (expit(log_odds + c) - chance)), -20.0, 20.0
            ),
            "brier": float(weight @ (p**2 * (1 - chance) + (1 - p) ** 2 * chance)),
            "ece_debiased": float(np.abs(np.bincount(place, weight * (p - chance))).sum()),
        }

    def draw(self, rng: np.random.Generator, *, by_image: bool = False) -> Check:
        """Return one sample; `by_image`: as if its images were independent."""
        ill = (rng.random(self.patients) < self.prevalence).astype(np.float64)
        shared = rng.normal(size=(self.patients, 1)) * np.sqrt(WITHIN)
        own = rng.normal(size=(self.patients, self.images)) * np.sqrt(1 - WITHIN)
        apart = float(norm.ppf(self.auroc)) * np.sqrt(2)
        log_odds = self.model((shared + own + apart * ill[:, None]).ravel())
        n = len(log_odds)
        unit = np.arange(n) if by_image else np.repeat(np.arange(self.patients), self.images)
        units = Units(unit, n if by_image else self.patients, "patient")
        p = Probability.of_cases(
            "ill", expit(log_odds), expit(-log_odds), np.repeat(ill, self.images), np.zeros(n), unit
        )
        plug_in = PlugIn.of(p)
        return Check(p, units, plug_in, NOT_DRAWN)

    def generator(self, seed: int) -> np.random.Generator:
        """Return the random numbers of this cell: no two share theirs."""
        numbers = (self.prevalence, self.auroc, self.slope, self.shift)
        return np.random.default_rng(
            [seed, self.patients, self.images, *(round(1000 * v) for v in numbers)]
        )

    @property
    def name(self) -> str:
        """The parameters, as the first columns of a row."""
        model = "" if (self.slope, self.shift) == (1, 0) else f"{self.slope:g}, {self.shift:g}"
        return (
            f"{self.patients:,} | {self.images} | {self.prevalence:g} | {self.auroc:g} | "
            f"{model or 'perfect'}"
        )


def covered(estimates: Sequence[Estimate], truth: float) -> float:
    """Return the share of printed intervals that hold the truth; NaN where none is printed."""
    ends = [(e.low, e.high) for e in estimates if e.low is not None and e.high is not None]
    return float(np.mean([low <= truth <= high for low, high in ends])) if ends else float("nan")


def intervals(cell: Cell, draws: int, seed: int = 0) -> Row:
    """Return the coverage of slope, intercept and Brier score, by patient and by image."""
    row: Row = {}
    truth = cell.truth()
    for by_image in (False, True)[: 2 if cell.images > 1 else 1]:
        rng = cell.generator(seed)
        made = [cell.draw(rng, by_image=by_image).with_intervals() for _ in range(draws)]
        for name in ("slope", "intercept", "brier"):
            of = [m[name] for m in made]
            row[name + (" by image" if by_image else "")] = covered(of, truth[name])
        if not by_image:
            row["printed"] = float(np.mean([m["slope"].low is not None for m in made]))
    return row


def debiased(cell: Cell, draws: int, seed: int = 0) -> Row:
    """Return the true ECE, the bias of both estimates, and the coverage of the debiased one."""
    rng = cell.generator(seed)
    truth = cell.truth()["ece_debiased"]
    checks = [cell.draw(rng) for _ in range(draws)]
    plugged = [
        float(c.plug_in.errors(np.add.reduceat(c.p.hit, c.plug_in.cuts)[:, None])["ece"][0])
        for c in checks
    ]
    made = [c.debiased() for c in checks]
    return {
        "true ECE": truth,
        "bias of plug-in": float(np.mean(plugged)) - truth,
        "bias of debiased": float(np.mean([e.value for e in made])) - truth,
        "printed": float(np.mean([e.low is not None for e in made])),
        "coverage": covered(made, truth),
    }


def rejections(cell: Cell, draws: int, seed: int = 0) -> Row:
    """Return how often p < .05, and the ECE on average beside what is expected of it."""
    row: Row = {}
    for by_image in (False, True)[: 2 if cell.images > 1 else 1]:
        rng = cell.generator(seed)
        made = []
        for i in range(draws):
            check = cell.draw(rng, by_image=by_image)
            (drawn,) = draw_outcomes([check.p], [check.plug_in.cuts], check.units.n, i)
            whole = Check(check.p, check.units, check.plug_in, drawn)
            made.append({**whole.plugged_in(), **whole.with_intervals()})
        if not by_image:
            row["mean ECE"] = float(np.mean([m["ece"].value for m in made]))
            row["expected"] = float(np.mean([m["ece"].expected for m in made]))
        for name in ("ece", "ece_equal_mass", "mce", "slope", "intercept", "brier"):
            known = [m[name].p for m in made if m[name].p is not None]
            share = float(np.mean([p < 0.05 for p in known if p is not None]))
            row[name + (" by image" if by_image else "")] = share
    return row


PEOPLE = [(30, 1), (54, 1), (156, 1), (500, 1), (1000, 1), (54, 5), (156, 5), (500, 5)]
INTERVALS = [
    Cell(n, images, prevalence, auroc, 0.7, 0.3)
    for n, images in [*PEOPLE, (1000, 5)]
    for prevalence in (0.1, 0.3)
    for auroc in (0.8, 0.9, 0.98)
    if n * prevalence > 12
]
DEBIASED = [
    Cell(n, images, prevalence, auroc, slope, shift)
    for n, images in [(2000, 5), (10_000, 1)]
    for prevalence, auroc, slope, shift in [
        (0.3, 0.8, 1.0, 0.0),
        (0.3, 0.8, 0.8, 0.0),
        (0.3, 0.8, 0.7, 0.1),
        (0.3, 0.9, 1.0, 0.5),
        (0.1, 0.9, 0.6, 0.3),
        (0.3, 0.98, 0.5, 0.0),
    ]
]
PERFECT = [
    Cell(n, images, prevalence, auroc)
    for n, images in [(54, 1), (156, 1), (1000, 1), (54, 5), (156, 5), (1000, 5)]
    for prevalence in (0.1, 0.3)
    for auroc in (0.8, 0.98)
    if n * prevalence > 12
]


def table(
    cells: Sequence[Cell], work: Callable[[Cell], Row], run: Callable[..., Iterable[Row]]
) -> str:
    """Return a table in Markdown, one row a cell."""
    rows = list(run(work, cells))
    names = max((list(row) for row in rows), key=len)
    head = ["patients", "images", "prevalence", "AUROC", "slope, shift", *names]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    lines += [
        f"{cell.name} | " + " | ".join(_number(r, n) for n in names)
        for cell, r in zip(cells, rows, strict=True)
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _number(row: Mapping[str, float], name: str) -> str:
    value = row.get(name, float("nan"))
    if np.isnan(value):
        return ""
    return (
        f"{value:.4f}" if "ECE" in name or "bias" in name or name == "expected" else f"{value:.3f}"
    )


def main() -> None:
    """Run everything, print it, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        tables = [
            table(cells, partial(row, draws=options.draws), pool.map)
            for cells, row in [(INTERVALS, intervals), (DEBIASED, debiased), (PERFECT, rejections)]
        ]
    page = TEXT.format(
        *tables,
        draws=options.draws,
        noise=np.sqrt(0.05 * 0.95 / options.draws),
        command=f"python scripts/simulate_calibration.py --draws {options.draws}",
        minutes=(time.perf_counter() - start) / 60,
        date=time.strftime("%Y-%m-%d"),
        versions=f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, {os.cpu_count()} CPUs ({platform.machine()})",
        within=WITHIN,
        least=DEBIASED_FROM,
        cases=f"{DEBIASED_CASES:,}",
        units=f"{DEBIASED_UNITS:,}",
    )
    PAGE.write_text(page, encoding="utf-8")
    print(page)


TEXT = """\
# Coverage of the calibration measures

What stands behind the intervals and p-values of calibration slope, calibration intercept, Brier
score, debiased ECE, ECE and MCE: each printed method, judged by simulation.

Made on {date} in {minutes:.0f} minutes by `{command}` ({versions}): {draws:,} draws a row, so that
a coverage of .95 is known to within {noise:.3f} (one standard error), and so is a rejection rate
of .05.

People are ill with the given prevalence; the label is the patient's. Given the label the scores
are normal with equal variances and the given AUROC, and the scores of one patient's images
correlate by {within:g}. The true log-odds are then a straight line of the score; the model gives
log-odds of which the true calibration slope, and the shift at slope 1, stand in the table.
"perfect" is slope 1 and shift 0. True values are by quadrature.

## Slope, intercept and Brier score

The share of 95% intervals that hold the true value, among those that are printed (at least ten
patients of each outcome, or as many as tell as much as ten with equally many images; of the Brier
score also fifty patients, and a case that is decided wrong). First-order jackknife by patient; t
quantiles whose degrees of freedom are those of the units that carry the value (Satterthwaite); the
Brier score on the logarithm. Patients with different numbers of images: [coverage.md](coverage.md).
"by image" takes every image as independent, which medimg does not do where patient ids came: it
fails.

{0}

## Debiased ECE

The true ECE is that of 15 equal-width bins over all people. An interval is printed from
{cases} cases of {units} patients and a debiased ECE of {least:g}. Under that the correction
leaves a bias, as the first row of each size shows, and no interval is printed.

{1}

## Perfect calibration: p-values and expected values

The share of samples with p < .05 where the model is perfectly calibrated: it should be .05.
`ece`, `ece_equal_mass`, `mce` and `brier` (Spiegelhalter's test) by consistency resampling, in
which the images of one patient share their random number; slope and intercept by Wald's test, by
patient. Where the label is the patient's and its images' probabilities differ much (AUROC .8),
the shared number does not make them depend on each other quite enough: the rate rises to .10,
and the note beside such a p-value says so. "by image" takes every image as independent: it finds
miscalibration where there is none.

{2}
"""


if __name__ == "__main__":
    main()
