"""Measure how often the 95% intervals of `medimg evaluate` hold the truth, and write it down.

    python scripts/simulate_coverage.py [--draws 3000] [--resampled 500] [--processes 2]

Each cell of the grid draws many small test sets from one population whose true values are known,
makes the intervals as `evaluate` makes them, and counts. A patient is ill or well; the images of
one share a part of their score (correlation .6). Scores are normal, the two classes of one
variance and so far apart as the true AUROC says; the decision is a frozen threshold midway. In a
grid of their own the patients have different numbers of images.
"""

from __future__ import annotations

import argparse
import itertools
import platform
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from medimg.evaluation.estimates.estimates import Estimates
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.intervals.delong import auroc_interval
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Floats
from medimg.evaluation.reliability.brier import brier_score
from medimg.evaluation.reliability.probability import probabilities_of
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.sample import Lacking, Resampled, Sample
from medimg.labels import LabelSpace

DOCS = Path(__file__).parents[1] / "docs" / "coverage.md"
SPACE = LabelSpace(("well", "ill"), positive="ill")
CORRELATION = 0.6
#: Cells with fewer intervals than this are not judged: their coverage is too uncertain.
ENOUGH = 500
DEFAULTS = ("auroc", "sensitivity", "specificity", "accuracy", "ppv", "brier")
BY_IMAGE = ("auroc", "sensitivity", "specificity", "accuracy")
RESAMPLED = (
    *("balanced_accuracy", "lr_positive", "lr_negative", "f1", "mcc", "kappa"),
    *("average_precision", "auroc_partial", "sensitivity_at_specificity"),
    *("nll",),
)
UNEQUAL = (*DEFAULTS, *RESAMPLED[:1], "f1", "mcc", "average_precision", "nll")
RESAMPLES = 200
BY_IMAGE_DRAWS = 1000
PAGE = """# Do the 95% intervals hold the truth?

Made by `python scripts/simulate_coverage.py --draws {draws} --resampled {resamplings}` on {made}.

Each cell of a table is the share, in percent, of simulated test sets whose interval held the true
value. It should be 95. **Bold** lies under 93; *slanted* above 97, which is wider than it need be. A
dash: fewer than {enough} of the test sets (of those that are resampled: fewer than half) got an
interval, because they lacked ten patients.

The population: a patient is ill or well; scores are normal with one variance in both classes, so
far apart as the true AUROC says; the images of one patient correlate by .6; the decision is a
frozen threshold midway between the classes. Patients are drawn, so that the number of ill ones
varies. True values are exact, or those of two million images. Several classes, and labels that
go together, have a page of their own: [coverage_classes.md](coverage_classes.md).

## What `medimg evaluate` prints

{draws} test sets a cell; 95% is measured to within {noise} points, and within {noise_few} where only
{enough} sets had an interval. AUROC: score interval with the variance of DeLong (one image a
patient) or Obuchowski (several), steadied by five patients of the binormal model. Proportions:
Wilson, with several images a patient at the effective number of cases. Brier score: the jackknife
by patient, on the log scale.

{defaults}

A proportion of n single images has only n + 1 values, so that its coverage jumps about 95 as n and
the proportion change: 30 images at .927 give Wilson's interval 93.5 by exact count. With three ill
patients of 30, five images each, the PPV rests on fewer than ten patients of the smaller class. Fifty
ill of 500 at an AUROC of .98: 6,000 further test sets gave the AUROC 92.8.

How the rules were chosen: on the same grid the logit interval with DeLong's or Obuchowski's own
variance held the truth in 88 to 90% where ten to sixteen ill patients met an AUROC of .98, with t
quantiles in 90 to 91; a score interval with the unsteadied variance in 90, with five patients of the
model in 92.8 to 96.7 throughout, with ten of them in up to 97.5. Wilson's interval at the design
effect as it is held it in 91 where few patients are nearly all right.

What it rests on: the steadying takes scores to be nearly normal. With scores of other shapes (30 to
500 patients, AUROC .8 to .98, 1,500 test sets each) it held the truth in 92 to 96% for ratings in
five grades, 92 to 98.8 for exponential scores, 90.5 to 95.6 for heavy tails (Student's t with three
degrees of freedom), 88.8 to 95.7 where the ill spread half as much again as the well, and in the
worst case 78, for ill patients with a long tail of low scores at an AUROC of .98 (fifty ill of 500),
because most test sets hold none of that tail; DeLong's own variance did no better there.

## Patients with different numbers of images

The images of a patient are a whole number next to a lognormal one, of which the logarithm has mean .7
and standard deviation 1 or 1.5 (half of the patients have one or two, the largest of 156 some 25,
or 90); or everybody has three and one patient as many as all others together. {draws} test sets
a cell, {resamplings} of those that are resampled. An interval is given where the patients of each class
(of a proportion: in its denominator) tell as much as ten with equally many images would (Kish: the
square of the summed sizes over the sum of their squares); `given` is the share of test sets with one
for the AUROC.

{unequal}

The gate is what makes them hold, and the jackknife, which asks how far a number would move without
the patient who draws it to himself. Counted by heads, with Obuchowski's variance and the linearised
one, 150 patients of the wider lognormal kept the AUROC of .9 in 89%, sensitivity in 90, accuracy in 88,
the Brier score in 91 and the negative log-likelihood in 87; where one patient had half of the images,
the AUROC in 67 and accuracy in 76. A proportion's interval takes Student's t for the effective number
of patients besides: without, the PPV of 54 patients of the wider lognormal held it in 90 to 91. The
weakest left is the MCC, in 92 to 93 at an AUROC of .98.

## What images taken for patients would give

A thousand of the same test sets of five images a patient, each image counted as a patient of its
own.

{by_image}

## What the percentile bootstrap would give

The AUROC's plain percentile bootstrap over patients; {resamplings} test sets, {resamples} resamples each;
noise {noise_resampled} points.

{percentile}

## Means and ratios of proportions

Made of the intervals of their parts (Zou and Donner 2008; the likelihood ratios on the log scale).
{resamplings} test sets; noise {noise_resampled} points. A positive likelihood ratio is not defined without a false alarm.

{parts}

## What rests on the bootstrap

The standard deviation of {resamples} resamples of patients, on the logit scale (F1, average precision,
partial AUROC), Fisher's (MCC, kappa) or the log scale (negative log-likelihood), times
Student's t with one degree of freedom less than there are patients in the smaller class.
{resamplings} test sets; noise {noise_resampled} points. A dash for the negative log-likelihood: fewer
than 150 patients; for the sensitivity at a specificity of .95: fewer than 40 well patients. The
specificity at a sensitivity of .95 gets an interval from 400 ill patients on: with 16 to 150 it held the
truth in 86 to 96%, with 450 (1,500 patients, three cells, 250 to 500 sets) in 94.8 to 97.2.
A metric at its very end (an F1 of 1) gets none either. The bootstrap's
percentiles (74 to 97%) and BCa intervals (79 to 98) of the same metrics were tried: they fail where
few patients are ill.

{others}
"""
Results = dict["Cell", dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Cell:
    """One population and how much of it a test set holds; `auroc` is the true one.

    `images` a patient each, or as `sizes` says.
    """

    patients: int
    images: int
    prevalence: float
    auroc: float
    sizes: str = "equal"

    @property
    def distance(self) -> float:
        """How many standard deviations the two classes lie apart."""
        return float(np.sqrt(2) * norm.ppf(self.auroc))

    @property
    def rng(self) -> np.random.Generator:
        """A generator of its own, so that no cell depends on another."""
        whole = (self.patients, self.images, 100 * self.prevalence, 100 * self.auroc)
        kind = [SIZES.index(self.sizes)] if self.sizes != "equal" else []
        return np.random.default_rng([*(round(v) for v in whole), *kind])

    def members(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the patient of each image, int64 (N,)."""
        size = np.full(self.patients, self.images)
        if self.sizes.startswith("lognormal"):
            spread = float(self.sizes.split()[1])
            size = np.maximum(1, np.rint(rng.lognormal(0.7, spread, self.patients))).astype(int)
        elif self.sizes == "one has half":
            size[0] = size[1:].sum()
        return np.repeat(np.arange(self.patients), size)


SIZES = ("equal", "lognormal 1", "lognormal 1.5", "one has half")
GRID = [
    Cell(*cell)
    for cell in itertools.product((30, 54, 156, 500), (1, 5), (0.1, 0.3), (0.8, 0.9, 0.98))
]


UNEQUAL_GRID = [
    Cell(n, 3, 0.3, auroc, sizes)
    for sizes, n, auroc in itertools.product(SIZES[1:], (54, 156, 500), (0.8, 0.9, 0.98))
]


def draw(cell: Cell, rng: np.random.Generator) -> Sample:
    """Return one test set."""
    n, of = cell.patients, cell.members(rng)
    ill = (rng.random(n) < cell.prevalence)[of].astype(np.float64)
    noise = rng.normal(size=n)[of]
    if cell.images > 1:
        noise = np.sqrt(CORRELATION) * noise
        noise = noise + np.sqrt(1 - CORRELATION) * rng.normal(size=len(of))
    # The log-odds of "ill" for a reader who takes both classes to be equally frequent.
    logit = cell.distance * (noise + cell.distance * (ill - 0.5))
    p = 1 / (1 + np.exp(-logit))
    return Sample(
        space=SPACE,
        probabilities=np.stack([1 - p, p], axis=1),
        targets=np.stack([1 - ill, ill], axis=1),
        nll=np.logaddexp(0, np.where(ill > 0, -logit, logit)),
        units=Units(of, n, "patient"),
    )


def exact(cell: Cell) -> dict[str, float]:
    """Return the true values that follow from the normal distribution."""
    right = float(norm.cdf(cell.distance / 2))
    ill, well = cell.prevalence * right, (1 - cell.prevalence) * (1 - right)
    shares = dict.fromkeys(("sensitivity", "specificity", "accuracy", "balanced_accuracy"), right)
    odds = right / (1 - right)
    ratios = {"lr_positive": odds, "lr_negative": 1 / odds}
    return {"auroc": cell.auroc, "ppv": ill / (ill + well), **shares, **ratios}


@cache
def population(prevalence: float, auroc: float) -> dict[str, float]:
    """Return all others, of two million single images: the mean of ten parts."""
    cell, rng = Cell(200_000, 1, prevalence, auroc), np.random.default_rng(0)
    parts = [draw(cell, rng).point() for _ in range(10)]
    return {
        name: float(
            np.mean([p[name][..., -1, 0] if p[name].ndim > 1 else p[name][0] for p in parts])
        )
        for name in parts[0]
    }


def at_once(sample: Sample) -> dict[str, Estimate]:
    """Return the intervals that need no resample."""
    target, decided, units = sample.targets[:, 1] == 1, sample.decisions[:, 1], sample.units
    return {
        "auroc": auroc_interval(sample.ranking[:, 1], sample.targets[:, 1], units),
        "sensitivity": proportion(decided, target, units),
        "specificity": proportion(~decided, ~target, units),
        "accuracy": proportion(decided == target, np.ones_like(target), units),
        "ppv": proportion(target, decided, units),
        "brier": brier_score(next(probabilities_of(sample)), units),
    }


def resampled(sample: Sample, seed: int) -> dict[str, Estimate]:
    """Return the intervals that need resamples, and the percentiles of the AUROC."""
    if any(sample.units.too_few("", kind == 1) for kind in sample.targets.T):
        return {}
    statistic = Resampled(sample, [*RESAMPLED, "recall", "specificity", "auroc"])
    draws, _ = bootstrap(
        statistic, sample.units.n, resamples=RESAMPLES, seed=seed, lacking=Lacking(sample)
    )
    known = Estimates(sample, sample.point(), draws)
    found = {n: known.overall(n) if draws[n].ndim == 1 else known.of_class(n, 1) for n in RESAMPLED}
    auroc, ends = known.of_class("auroc", 1), percentile(draws["auroc"][1])
    # Without any spread its claim is the value itself, which does not hold the truth.
    low, high = ends or (auroc.value, auroc.value)
    return {**found, "percentile": replace(auroc, low=low, high=high)}


def percentile(draws: Floats) -> tuple[float, float] | None:
    """Return the 2.5% and 97.5% points of draws (R,), NaN left out; None where they are all one."""
    known = draws[np.isfinite(draws)]
    low, high = (float(v) for v in np.percentile(known, (2.5, 97.5)))
    return (low, high) if high - low > 1e-12 else None


class Tally:
    """How often the intervals of each metric held the truth, and how often they were given."""

    def __init__(self, truth: Mapping[str, float]) -> None:
        self.truth = {**truth, "percentile": truth["auroc"]}
        self.given: dict[str, int] = {}
        self.held: dict[str, int] = {}

    def add(self, estimates: Mapping[str, Estimate]) -> None:
        """Count one test set."""
        for name, e in estimates.items():
            if e.low is not None and e.high is not None:
                holds = e.low - 1e-12 <= self.truth[name] <= e.high + 1e-12
                self.given[name] = self.given.get(name, 0) + 1
                self.held[name] = self.held.get(name, 0) + holds

    def coverage(self, enough: int = ENOUGH) -> dict[str, float]:
        """Return the coverage of each metric that got at least so many intervals."""
        return {n: self.held[n] / given for n, given in self.given.items() if given >= enough}


def measure(
    cell: Cell, draws: int, resamplings: int, enough: int = ENOUGH
) -> dict[str, dict[str, float]]:
    """Return the coverages of one cell: by patient, by image, and resampled."""
    rng, truth = cell.rng, population(cell.prevalence, cell.auroc) | exact(cell)
    patient, image, many = Tally(truth), Tally(truth), Tally(truth)
    for done in range(draws):
        sample = draw(cell, rng)
        patient.add(at_once(sample))
        if cell.images > 1 and cell.sizes == "equal" and done < BY_IMAGE_DRAWS:
            cases = Units(np.arange(len(sample.targets)), len(sample.targets), "case")
            image.add(at_once(replace(sample, units=cases)))
    if cell.patients * cell.prevalence >= 9 and cell.sizes != "one has half":
        for seed in _until(resamplings, many):
            many.add(resampled(draw(cell, rng), seed))
    return {
        "patient": patient.coverage(enough),
        "image": image.coverage(enough),
        "resampled": many.coverage(min(enough, resamplings // 2)),
        "given": {name: n / draws for name, n in patient.given.items()},
    }


def _until(wanted: int, tally: Tally) -> Iterator[int]:
    """Count up until so many test sets have had ten patients of either class."""
    for seed in range(5 * wanted):
        if tally.given.get("percentile", 0) >= wanted:
            return
        yield seed


def row(cell: Cell, found: Mapping[str, float], names: tuple[str, ...]) -> str:
    """Return one line of a table: coverages in percent, marked where they are not 93 to 97."""
    cells = [str(cell.patients), str(cell.images), f"{cell.prevalence:g}", f"{cell.auroc:g}"]
    for name in names:
        percent = round(100 * found.get(name, float("nan")), 1)
        mark = "**" if percent < 93 else "*" if percent > 97 else ""
        cells.append(f"{mark}{percent:.1f}{mark}" if name in found else "-")
    return "| " + " | ".join(cells) + " |"


def table(results: Results, part: str, names: tuple[str, ...]) -> str:
    """Return one table of all cells in which any of the metrics was judged."""
    head = ("patients", "images", "prevalence", "true AUROC", *(n.replace("_", " ") for n in names))
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for cell, found in results.items():
        if any(name in found[part] for name in names):
            lines.append(row(cell, found[part], names))
    return "\n".join(lines)


def table_of_unequal(results: Results) -> str:
    """Return the table of the cells whose patients have different numbers of images."""
    head = ["images", "patients", "true AUROC", *(n.replace("_", " ") for n in UNEQUAL), "given"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for cell, found in results.items():
        shown = row(cell, found["resampled"] | found["patient"], UNEQUAL).split(" | ")
        given = f"{100 * found['given'].get('auroc', 0):.0f} |"
        lines.append(" | ".join([f"| {cell.sizes}", shown[0][2:], *shown[3:]])[:-1] + f"| {given}")
    return "\n".join(lines)


def page(results: Results, unequal: Results, draws: int, resamplings: int) -> str:
    """Return the whole page."""
    tools = ", ".join(f"{name} {version(name)}" for name in ("medimg", "numpy", "scipy"))
    half = 1.96 * np.sqrt(0.95 * 0.05)
    return PAGE.format(
        draws=draws,
        resamplings=resamplings,
        resamples=RESAMPLES,
        enough=ENOUGH,
        noise=f"{100 * half / np.sqrt(draws):.1f}",
        noise_few=f"{100 * half / np.sqrt(ENOUGH):.1f}",
        noise_resampled=f"{100 * half / np.sqrt(resamplings):.1f}",
        made=f"{date.today().isoformat()}, Python {platform.python_version()}, {tools}",
        defaults=table(results, "patient", DEFAULTS),
        unequal=table_of_unequal(unequal),
        by_image=table(results, "image", BY_IMAGE),
        percentile=table(results, "resampled", ("percentile",)),
        parts=table(results, "resampled", RESAMPLED[:3]),
        others=table(results, "resampled", RESAMPLED[3:]),
    )


def main() -> None:
    """Measure every cell and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=3000, help="test sets a cell")
    parser.add_argument("--resampled", type=int, default=500, help="test sets that are resampled")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=DOCS)
    given = parser.parse_args()
    results: Results = {}
    with ProcessPoolExecutor(given.processes) as pool:
        many = pool.map(
            measure,
            [*GRID, *UNEQUAL_GRID],
            *(itertools.repeat(n) for n in (given.draws, given.resampled)),
        )
        for cell, found in zip([*GRID, *UNEQUAL_GRID], many, strict=True):
            results[cell] = found
            print(
                cell,
                *(f"{n} {v:.3f}" for part in found.values() for n, v in part.items()),
                flush=True,
            )
    equal, unequal = ({c: results[c] for c in grid} for grid in (GRID, UNEQUAL_GRID))
    given.out.write_text(page(equal, unequal, given.draws, given.resampled), encoding="utf-8")


if __name__ == "__main__":
    main()
