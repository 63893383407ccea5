# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What a number of a test set says, and what it does not
#
# Two networks are trained and their predictions put on a table: one row a case, with what the
# network said and what was true. Everything after that is arithmetic on this table, and most of
# what goes wrong in papers goes wrong there. This notebook goes through that arithmetic, with the
# usual traps set out beside it.
#
# 1. A model's predictions
# 2. Intervals, and two that are too narrow
# 3. The operating point: a threshold, chosen elsewhere
# 4. Calibration: do the probabilities mean what they say?
# 5. Prediction sets: "one of these, nine times in ten"
# 6. The decision curve, and another prevalence
# 7. Two models on the same cases
# 8. What to take along
#
# The pictures are BreastMNIST: ultrasound of the breast at 28 x 28 pixels (Al-Dhabyani et al. 2020;
# MedMNIST v2, Yang et al. 2023), *malignant* against *normal or benign*. Where the file is not at
# hand (`medimg fetch breastmnist` gets it), the notebook asks of scikit-learn's handwritten digits
# whether each is an **eight**. That is an easy task; its figures are higher and its lessons the
# same.
#
# **This is research software, not a medical device.**

# %%
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from scipy import stats

import medimg as mi
from medimg.config import builtin_config
from medimg.evaluation.intervals.delong import auroc_interval
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import auroc, ece_of, reliability
from medimg.testing import make_patients, make_predictions

QUICK = os.environ.get("MEDIMG_QUICK", "0") not in ("", "0")  # fewer epochs and repetitions
scratch = tempfile.TemporaryDirectory()
os.environ.setdefault("MEDIMG_KEY_FILE", f"{scratch.name}/key")  # pseudonyms of this notebook alone
work = Path(scratch.name)
pd.set_option("display.max_colwidth", None)


# %%
def find_breasts():
    """BreastMNIST's npz in $MEDIMG_DATA or shared/data beside or above, or None."""
    roots = [Path(os.environ["MEDIMG_DATA"])] if os.environ.get("MEDIMG_DATA") else []
    roots += [folder / "shared" / "data" for folder in (Path.cwd(), *Path.cwd().parents)]
    files = (root / "medmnist" / "breastmnist.npz" for root in roots)
    return next((file for file in files if file.is_file()), None)


def make_eights():
    """An npz of the digits in which the label says whether it is an eight."""
    with np.load(mi.fetch("digits", work)) as digits:
        parts = {
            name: (digits[name] == 8).astype(np.uint8) if name.endswith("labels") else digits[name]
            for name in digits.files
        }
    np.savez(work / "eights.npz", **parts)
    return work / "eights.npz"


def in_words(e, digits=3):
    """An estimate as text: the number, its 95% interval or why there is none."""
    if e.value is None:
        return e.reason
    if e.low is None:
        return f"{e.value:.{digits}f} (no interval: {e.reason})"
    return f"{e.value:.{digits}f} ({e.low:.{digits}f} to {e.high:.{digits}f})"


def numbers(gaps):
    """A tuple of numbers and gaps as an array with NaN."""
    return np.array([np.nan if v is None else v for v in gaps])


# %% [markdown]
# ## 1. A model's predictions
#
# `mi.run` takes a config and leaves a run folder, as `medimg train` does. The two configs are those
# that come with medimg (in quick mode smaller and shorter). Beside the defaults they are asked for
# two thresholds, and to choose among all ways of calibrating.

# %%
breasts = find_breasts()
SET = "digits" if breasts is None else "breastmnist"
SOURCE = make_eights() if breasts is None else breasts
SMALL = {"mlp": ["fit.epochs=15"], "cnn": ["fit.epochs=12", "model.widths=[16, 32]"]}
SEEDS = 2 if QUICK else 3


def train(name, seed):
    """A finished run of one of the shipped configs."""
    keys = [
        f"seed={seed}",
        f"data.source={SOURCE}",
        f"data.cache={work / 'cache'}",
        "device=cpu",
        "calibration.method=auto",
        "evaluate.operating_points=[youden, sensitivity=.9]",
    ]
    if breasts is None:
        keys += ["data.classes=[another digit, eight]", "data.positive=eight"]
    config = mi.load_config(builtin_config(f"{SET}_{name}"), keys + QUICK * SMALL[name])
    return mi.run(config, work / "runs" / f"{name}-{seed}")


runs = {name: [train(name, seed) for seed in range(SEEDS)] for name in ("mlp", "cnn")}


def table(run, split):
    """The predictions of a run as its folder keeps them."""
    return mi.Predictions.load(run.folder / "predictions" / f"{split}.csv")


# %% [markdown]
# A run leaves two tables: `predictions/test.csv`, and `predictions/calib.csv` of cases that neither
# trained the network nor will judge it. Nothing below needs the network or the pictures again. A
# table from somebody else's software would do as well: `case_id`, `target`, and `p:CLASS` or
# `logit:CLASS` for every class (`medimg evaluate table.csv --kind probabilities -o report/`).

# %%
first = runs["cnn"][0]
test, calib = table(first, "test"), table(first, "calib")
space = test.space
POSITIVE, at = space.positive, space.positive_index
ill = test.targets[:, at] == 1
print(f"{len(test)} test cases, {ill.sum()} of them {POSITIVE}; {len(calib)} calibration cases")
pd.read_csv(first.folder / "predictions" / "test.csv").head()

# %% [markdown]
# ## 2. Intervals, and two that are too narrow
#
# `evaluate` gives no number alone.

# %%
result = mi.evaluate(test, calib=calib)
frame = result.to_frame().fillna({"reason": ""}).set_index(["class", "metric"]).loc[""]
frame.loc[
    ["auroc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "brier", "ece"],
    ["value", "low", "high", "n", "method", "unit", "reason"],
]

# %% [markdown]
# * `n` is what the number rests on: the sensitivity on the ill alone, the PPV on those called ill.
#   A test set of 10,000 with 30 ill persons is a test set of 30 where the sensitivity is concerned.
# * `method` is how the interval was made, each by the method that held its 95% in a simulation
#   (`docs/coverage.md`); where none does, there is none, with the reason.
# * `unit` is what was taken as independent: here the case, since the file names no patients.
#
# **What the interval means.** Another test set of this size, from the same source, would have given
# another number; intervals made in this way hold the true one 95 times in 100. **What it does not
# mean:** it is that of *this trained network* (another seed is another network: part 7), and of
# *this source*. Another hospital is not in it, and no interval knows of one.

# %%
names = ["auroc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc"]
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for y, name in enumerate(names[::-1]):
    e = result.metrics[name]
    ax.plot(e.value, y, "o", color="C0")
    if e.low is not None:
        ax.plot([e.low, e.high], [y, y], color="C0")
ax.set_yticks(range(len(names)), [f"{n} (n = {result.metrics[n].n})" for n in names[::-1]])
ax.set(xlim=(0, 1.02), title=f"{len(test)} test cases: what is known to 95%")
ax.grid(axis="x", alpha=0.3)
plt.show()

# %% [markdown]
# The longest bars belong to what rests on the fewest. A table that prints .857 and .881 side by
# side claims a third digit that the bars do not have.
#
# ### First trap: the percentile bootstrap of a good model
#
# The recipe of many papers: draw the cases again 2,000 times, take the middle 95% of the AUROCs.
# How often does that hold the truth? Where the truth is known, one can count. Scores are drawn of
# 156 persons, one in ten ill, from two normal distributions whose AUROC is .98; then again, and
# again.

# %%
TRUE, SETS, RESAMPLES = 0.98, 200 if QUICK else 1000, 400 if QUICK else 1000
rng = np.random.default_rng(0)


def draw_set():
    """Scores and truth of 156 persons, at least ten of them ill."""
    while (sick := rng.random(156) < 0.1).sum() < 10:
        pass
    return rng.standard_normal(156) + sick * np.sqrt(2) * stats.norm.ppf(TRUE), sick


def percentiles(score, sick):
    """The middle 95% of the AUROCs of cases drawn again."""
    wins = (score[sick][:, None] > score[~sick]).astype(float)
    drawn = rng.multinomial(len(score), np.full(len(score), 1 / len(score)), RESAMPLES)
    drawn = drawn[drawn[:, sick].any(axis=1)]  # the very rare ones without an ill person
    up, down = drawn[:, sick], drawn[:, ~sick]
    areas = (up @ wins * down).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))
    return np.percentile(areas, (2.5, 97.5))


everybody = Units.of(np.arange(156).astype(str), None)
found = {"percentile bootstrap": [], "medimg": []}
for _ in range(SETS):
    score, sick = draw_set()
    found["percentile bootstrap"].append(percentiles(score, sick))
    e = auroc_interval(score, sick, everybody)
    found["medimg"].append((e.low, e.high))


def draw_intervals(found, truth, title):
    """The first 60 intervals of each kind, those that miss the truth in red; and how many hold."""
    _, axes = plt.subplots(1, 2, figsize=(9, 3), sharex=True, layout="constrained")
    held = {}
    for ax, (words, ends) in zip(axes, found.items(), strict=True):
        ends = np.array(ends)
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        for y, ((low, high), good) in enumerate(zip(ends[:60], inside[:60], strict=True)):
            ax.plot([low, high], [y, y], lw=1.2, color="C0" if good else "C3")
        ax.axvline(truth, color="black", lw=1, ls=":")
        held[words] = inside.mean()
        ax.set(title=f"{words}: {inside.mean():.1%} hold the truth", xlabel=title, yticks=[])
    plt.show()
    return held


held = draw_intervals(found, TRUE, "AUROC")
assert held["percentile bootstrap"] < 0.9 < held["medimg"]

# %% [markdown]
# The bootstrap's intervals say 95% and hold less. Every resample of a lucky test set is lucky too, so
# that near 1 the interval begins above the truth, or has no width at all. The better the model, the
# worse: just where a paper is proudest. medimg's interval asks which true AUROCs the one at hand is
# compatible with, and so can reach beyond what the resamples hold.
#
# ### Second trap: five images of one patient are not five patients
#
# To count there too, patients are made of whom everything is known: five pictures each, which
# correlate by .6 within a patient (`make_patients`). A small network is trained on some of them.
# Its true AUROC is that of thousands of others, and test sets of 50 patients are drawn from these.

# %%
POOL = 2000 if QUICK else 6000


def store_of(name, patients, split, seed):
    """A store of made patients, all in one split or shared out for training."""
    made = make_patients(
        work / f"{name}.npz",
        correlation=0.6,
        patients=patients,
        per_patient=5,
        separation=1.5,
        seed=seed,
    )
    parts = mi.split(made, train=0.8, val=0.2, calib=0, test=0, seed=0)
    if split:
        parts = made.with_column("split", np.full(len(made), split, object))
    return mi.ImageStore.build(parts, mi.Preprocess(), work / name)


learning = store_of("learning", 120, None, seed=1)
network = mi.build_model("mlp", shape=learning.shape, classes=2, seed=0)
learnt, _ = mi.fit(network, learning, mi.FitOptions(epochs=15), seed=0, device="cpu")
pool = learnt.predict(store_of("pool", POOL, "test", seed=2), "test", device="cpu")
truth = auroc(pool.probabilities, pool.targets)[1]

people = np.array(sorted(set(pool.patient_id)))
found = {"by image": [], "by patient": []}
for _ in range(SETS):
    chosen = rng.choice(people, 50, replace=False)
    some = pool.take(np.isin(pool.patient_id, chosen))
    for words, ids in (("by image", None), ("by patient", some.patient_id)):
        e = auroc_interval(some.logits[:, 1], some.targets[:, 1], Units.of(some.case_id, ids))
        found[words].append((e.low, e.high))
held = draw_intervals(found, truth, "AUROC")
assert held["by image"] < 0.88 < held["by patient"]

# %% [markdown]
# 250 pictures of 50 persons are worth little more than 50 persons. An interval over pictures takes
# them for 250 witnesses. The remedy is one column, `patient_id`; `evaluate` then takes the patient
# as the unit of every interval, and gives beside the pictures' numbers those of one score a patient.

# %%
for words, predictions in (("patients named", some), ("unnamed", replace(some, patient_id=None))):
    evaluation = mi.evaluate(predictions)
    print(f"{words:15} AUROC {in_words(evaluation.metrics['auroc'])}", end="  ")
    print(f"accuracy {in_words(evaluation.metrics['accuracy'])}")
    if evaluation.by_patient:
        print(f"{'one a patient':15} AUROC {in_words(evaluation.by_patient.metrics['auroc'])}")

# %% [markdown]
# ## 3. The operating point: a threshold, chosen elsewhere
#
# An AUROC looks at all thresholds, a clinic uses one. The run chose two on `calib`: the one of the
# greatest sensitivity + specificity (Youden), and the highest that reaches a sensitivity of .9
# there. They are frozen in the bundle and travel with its predictions; `test` only gets to see them
# applied.

# %%
for point in test.thresholds:
    print(point)
pd.DataFrame(
    {
        o.rule: {name: in_words(o.metrics[name], 2) for name in o.metrics} | dict(o.counts)
        for o in result.operating
    }
)

# %%
curves = result.curves[POSITIVE]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
roc = curves.roc
axes[0].fill_between(roc.x, numbers(roc.low), numbers(roc.high), alpha=0.2, label="95%, pointwise")
axes[0].plot(roc.x, numbers(roc.y))
axes[0].plot([0, 1], [0, 1], color="grey", ls=":", lw=1)
for o, marker in zip(result.operating, "os", strict=True):
    sens, spec = o.metrics["sensitivity"], o.metrics["specificity"]
    axes[0].plot(1 - spec.value, sens.value, marker, color="C3", label=o.rule)
title = f"AUROC {in_words(result.metrics['auroc'])}"
axes[0].set(xlabel="1 - specificity", ylabel="sensitivity", title=title)
axes[0].legend(fontsize=8)
for name in ("sensitivity", "specificity", "ppv"):
    sweep = curves.sweep[name]
    axes[1].plot(sweep.x, numbers(sweep.y), label=name)
for o, style in zip(result.operating, ("-", "--"), strict=True):
    axes[1].axvline(o.threshold, color="C3", ls=style, lw=1)
axes[1].set(xlabel=f"threshold on the probability of {POSITIVE}", title="The same, by threshold")
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# What was promised on `calib` need not be kept on `test`: a sensitivity of .9 was reached on a
# handful of ill calibration cases, and both sets are small. That is no fault of the rule but the
# honest picture of what so few cases can promise. **Not to be concluded:** that the threshold would
# give these shares elsewhere; a scanner that shifts the probabilities shifts what the threshold
# does.
#
# ### Third trap: the threshold that was chosen on test
#
# It is tempting to read the best threshold off the right-hand figure. `evaluate` refuses to:

# %%
try:
    mi.evaluate(test, calib=test)
except mi.MedimgError as error:
    print(f"{type(error).__name__}: {error}")
else:
    raise AssertionError("a threshold was chosen on the cases that it is scored on")

# %% [markdown]
# How much it flatters can be seen on these very predictions. Cut the test set in two at random,
# choose Youden's threshold on one half, and score it on that half and on the other.

# %%
ROUNDS = 100 if QUICK else 400


def youden(point, predictions):
    """Sensitivity + specificity - 1 of a threshold in some cases."""
    called = point.flags(predictions.probabilities, space)
    sick = predictions.targets[:, at] == 1
    return called[sick].mean() - called[~sick].mean()


unfrozen = test.with_points(())
flattery = []
for _ in range(ROUNDS):
    one = np.zeros(len(test), bool)
    for kind in (ill, ~ill):
        one[rng.permutation(np.flatnonzero(kind))[: kind.sum() // 2]] = True
    chosen_on, other = unfrozen.take(one), unfrozen.take(~one)
    (point,) = mi.choose_points(chosen_on, ["youden"])
    flattery.append((youden(point, chosen_on), youden(point, other)))
own, other = np.mean(flattery, axis=0)
print(f"Youden's index where it was chosen {own:.3f}, in the other half {other:.3f}")
print(f"the choice alone is worth {own - other:+.3f}, mean of {ROUNDS} halvings")
assert own > other

# %% [markdown]
# ## 4. Calibration: do the probabilities mean what they say?
#
# Of the cases that get 70%, do 70% have it? That is another question than the AUROC's, which only
# asks for the order. What was tried on `calib`, by cross-validation: gain in log-likelihood a case,
# and its standard error. Where none gains more than that, the network's own output stays.

# %%
calibrator = test.calibrator
print(f"taken: {calibrator.method}")
pd.DataFrame(calibrator.tried, index=["gain", "standard error"]).T.round(4)

# %%
check = next(c for c in result.calibration if c.of == POSITIVE)
fig, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
ax.plot([0, 1], [0, 1], color="grey", ls=":", lw=1)
for b in check.bins:
    if b.count:
        ax.fill_between([b.low, b.high], b.band_low, b.band_high, color="grey", alpha=0.2, lw=0)
        ax.plot(b.confidence, b.frequency, "o", color="C0", ms=3 + np.sqrt(b.count) / 2)
ax.set(xlabel=f"probability of {POSITIVE}", ylabel="how often it was so", title="Reliability")
plt.show()
shown = ("ece", "ece_debiased", "mce", "brier", "slope", "intercept")
pd.DataFrame(
    {
        name: {"value": in_words(e), "if calibrated": e.expected, "p": e.p}
        for name, e in ((name, check.metrics[name]) for name in shown)
    }
).T

# %% [markdown]
# The grey boxes hold 95% of the dots that a *perfectly calibrated* model would show with these
# cases. A dot inside its box is no evidence of anything, however far from the diagonal it lies. The
# table says the same in figures:
#
# * **ECE**, the mean distance from the diagonal, has beside it what a perfect model would get with
#   these cases, and how often it would get as much (p).
# * A **slope** below 1 means probabilities that are too extreme, above 1 too timid; the
#   **intercept** is above 0 where the condition is commoner than the probabilities say.
# * The **Brier score** mixes calibration and discrimination, and cannot be compared between sets
#   of other prevalence.
#
# Where the table finds fault although nothing was to be gained on `calib`, those cases were too few to
# see it. The way out is more of them, not a calibrator fitted on test.
#
# ### Fourth trap: the ECE of a perfect model
#
# `make_predictions` draws the truth from the probabilities themselves: no model is better
# calibrated, and the true ECE is 0.

# %%
SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
perfect = {
    n: [
        ece_of(reliability(p.probabilities[:, 1], p.targets[:, 1]))
        for p in (make_predictions(n, seed=seed) for seed in range(40 if QUICK else 200))
    ]
    for n in SIZES
}
fig, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
low, middle, high = np.percentile([perfect[n] for n in SIZES], (2.5, 50, 97.5), axis=1)
ax.fill_between(SIZES, low, high, alpha=0.2, label="95% of perfect models")
ax.plot(SIZES, middle, "o-", ms=3, label="their median")
ax.axhline(0, color="grey", ls=":", lw=1)
ax.set(xscale="log", xlabel="test cases", ylabel="ECE, 15 bins", title="Perfectly calibrated")
ax.legend(fontsize=8)
plt.show()
assert min(perfect[100]) > 0.02

# %% [markdown]
# With 100 cases a perfect model has an ECE of about .1, and a bootstrap interval around it would
# never hold the 0. An ECE therefore says nothing alone, and cannot be compared between test sets of
# different size: the larger one wins. **Not to be concluded** from a large p either: that the
# model *is* calibrated; with few cases hardly anything is ever found wrong.

# %% [markdown]
# ## 5. Prediction sets: "one of these, nine times in ten"
#
# Instead of one class, a set of classes that holds the truth in at least 90% of cases, whatever
# the network is worth: fitted on `calib`, without any assumption but that its cases are of the same
# kind as those to come.

# %%
sets = mi.fit_conformal(calib, alpha=0.1)
inside = sets.sets(test)
cases = {
    "both classes": inside.all(axis=1),
    f"{POSITIVE} alone": inside[:, at] & ~inside[:, 1 - at],
    f"{space.classes[1 - at]} alone": ~inside[:, at] & inside[:, 1 - at],
    "none": ~inside.any(axis=1),
}
display(
    pd.DataFrame(
        {
            "cases": {words: rows.sum() for words, rows in cases.items()},
            "truth in the set": {
                words: (inside & (test.targets == 1)).any(axis=1)[rows].sum()
                for words, rows in cases.items()
            },
        }
    )
)
for c in result.conformal:
    low, high = c.bounds
    whose = "each class" if c.by else "all"
    print(f"a threshold for {whose}: coverage {in_words(c.metrics['coverage'])}")
    print(f"  a correct method lies within {low:.3f} to {high:.3f} at these sizes, 95% of the time")
    for name, e in c.per_class.items():
        print(f"  {name}: coverage {in_words(e['coverage'])}, classes a set {e['size'].value:.2f}")

# %%
fig, ax = plt.subplots(figsize=(4.8, 3.6), layout="constrained")
for c, color in zip(result.conformal, ("C0", "C1"), strict=True):
    if c.curve.low:
        ax.fill_between(c.curve.x, c.curve.low, c.curve.high, color=color, alpha=0.12, lw=0)
    ax.plot(
        c.curve.x,
        numbers(c.curve.y),
        "o-",
        ms=3,
        color=color,
        label=f"by {c.by}" if c.by else "for all",
    )
ax.plot([0.5, 1], [0.5, 1], color="grey", ls=":", lw=1)
ax.set(xlabel="coverage asked for", ylabel="coverage on test", title="Prediction sets")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The shaded bands are wide: with few calibration and few test cases a *correct* method misses the
# 90% by several points either way. What is promised is the mean over calibration sets, not the one
# at hand. An empty set is no answer: it appears where the network is right more often than was asked
# for, so that one may ask for more.
#
# **Not to be concluded:** that each *class* is covered by 90%. One threshold for all may buy its 90%
# with the common class and leave out the ill; the sets by class promise it to each. Nor that a
# single patient's set is right with 90%; nor anything for a source of another kind.
#
# What is asked for has its price in cases. A class with fewer than 1/alpha - 1 calibration cases can
# promise nothing but the whole set, and says so:

# %%
counts = calib.targets.sum(axis=0).astype(int)
for alpha in (0.1, 0.05, 0.01):
    fitted = mi.fit_conformal(calib, alpha=alpha, by="class")
    whole = [name for name, limit in fitted.thresholds.items() if limit is None]
    print(f"alpha {alpha}: at least {round(1 / alpha - 1)} cases of each class", end="; ")
    print("here", dict(zip(space.classes, counts.tolist(), strict=True)), end="; ")
    print("whole sets for:", whole or "none")

# %% [markdown]
# ## 6. The decision curve, and another prevalence
#
# Does the model do any good? That depends on what a missed case costs against a false alarm. Who
# would act at a probability of 10% holds one missed case worth nine false alarms. The *net benefit*
# at that threshold counts the true alarms less the false ones at that exchange rate, a person
# (Vickers and Elkin 2006); acting on everybody and on nobody are what it has to beat.

# %%
decision = result.decision[0]
model, everyone = decision.model, decision.treat_all
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
if model.low:
    ax.fill_between(model.x, numbers(model.low), numbers(model.high), alpha=0.2)
ax.plot(model.x, numbers(model.y), label="act where the model says so")
ax.plot(everyone.x, numbers(everyone.y), color="grey", ls="--", label="act on everybody")
ax.axhline(0, color="black", lw=0.8, label="act on nobody")
ax.set(xlabel="threshold probability", ylabel="net benefit", title=f"Decision curve: {POSITIVE}")
ax.set_ylim(-0.1, curves.prevalence * 1.35)
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Where the model's band lies above both lines it is worth using *at that exchange rate*; where it
# overlaps the line of everybody, acting on everybody is as good as far as these cases can tell. The
# range to read is the one that a clinician would defend, fixed beforehand, not the one where the
# curve looks best. The curve takes the probabilities at their word, so that it is worth as much as
# part 4.
#
# The prevalence is that of the test set. In screening it is another, and with it the PPV:

# %%
options = mi.EvaluateOptions(prevalences=(0.005, 0.05, 0.25))
rows = mi.evaluate(test, options).prevalence
pd.DataFrame(
    [
        {
            "rule": row.rule,
            "prevalence": row.prevalence,
            "same scores as a threshold of": round(row.threshold, 4),
            "PPV": in_words(row.metrics["ppv"]),
            "NPV": in_words(row.metrics["npv"]),
        }
        for row in rows
    ]
)

# %% [markdown]
# One in 200 ill, and nearly every alarm is false, with the same sensitivity and specificity. These
# rows assume that ill and well look as they do here, only in another proportion. Screening changes
# that too: its cancers are smaller.

# %% [markdown]
# ## 7. Two models on the same cases
#
# The network without and the one with convolutions, on the same test set. Looking at whether two
# intervals overlap is the wrong test: both models stumble over the same hard cases, and the
# difference may be known far better than either number, or not. So the difference gets an interval
# of its own. And a question is asked before looking: is the second model *not worse* by .05 of
# AUROC?

# %%
one_each = {name: table(run[0], "test") for name, run in runs.items()}
single = mi.compare(one_each, margin=0.05)
for name, tested in one_each.items():
    print(f"{name}: AUROC {in_words(mi.evaluate(tested).metrics['auroc'])}")
rows = [c for c in single.contrasts if c.metric in ("auroc", "accuracy", "sensitivity", "brier")]
pd.DataFrame(
    [
        {
            "metric": c.metric,
            f"{c.model} less {c.reference}": in_words(c.difference),
            "p": c.difference.p,
            "method": c.difference.method,
            "verdict": c.verdict,
        }
        for c in rows
    ]
).round(4)

# %% [markdown]
# * *better*, *worse*: the whole interval lies on one side of 0.
# * *not worse*: a loss of the margin is ruled out. The margin is a clinical statement, made
#   beforehand; for other metrics than the one it was made for there is none.
# * *not shown*: just that. **Not to be concluded:** that the models are equal.
#
# And one trained network of each was compared. The same recipes from other seeds:

# %%
tables = {name: [table(run, "test") for run in several] for name, several in runs.items()}
together = mi.compare(tables, margin=0.05)
fig, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
for y, model in enumerate(together.models):
    e = model.metrics["auroc"]
    ax.plot(model.values["auroc"], [y] * model.n_runs, "o", color="C0", alpha=0.5)
    ax.plot([e.low, e.high], [y - 0.2] * 2, color="C1")
    ax.plot(e.value, y - 0.2, "D", color="C1")
ax.set_yticks(range(len(together.models)), [m.name for m in together.models])
ax.set(ylim=(-0.5, 1.4), xlabel="AUROC", title="Runs (dots), their mean and its 95% interval")
plt.show()
c = next(c for c in together.contrasts if c.metric == "auroc")
print(f"{c.model} less {c.reference}: {in_words(c.difference)}, p = {c.difference.p:.3g}")
print(f"standard error: people {c.sd_people:.3f}, runs {c.sd_runs:.3f}; verdict: {c.verdict}")

# %%
several = mi.evaluate_runs(tables["cnn"])
pd.DataFrame(
    [
        {
            "metric": row.metric,
            "mean of the runs": in_words(row.mean),
            "sd between runs": row.sd_runs,
            "sd of the sample": row.sd_sample,
            "share of the runs": row.share_runs,
        }
        for row in several.runs
        if row.metric in ("auroc", "accuracy", "sensitivity", "specificity", "brier")
    ]
).round(3)

# %% [markdown]
# Two sources of chance: which seed, and which people. More runs shrink the first, and cost computing
# time; nothing but more patients shrinks the second. A paper that gives "mean ± sd of five seeds"
# shows the first alone, and on a small test set that is usually the smaller one. From very few runs
# the spread between them is itself hardly known, so that the interval gets wide (Student's t with
# the degrees of freedom of so few).
#
# **Not to be concluded:** that the best seed is the model. And whoever compares twenty recipes on one
# test set and reports the winner has chosen on test, as surely as in part 3.

# %% [markdown]
# ## 8. What to take along
#
# * **The unit is the patient.** Bring the column, or say that there was none.
# * **Every choice before the test set**: thresholds, calibrators and prediction sets on `calib`, the
#   margin and the metric of a comparison on paper.
# * **An interval is about chance, not about bias.** A leak (`05_leakage`), labels that are wrong, one
#   scanner, one hospital: none of it makes an interval wider.
# * **Where there is no interval** (fewer than ten patients of a class, a plug-in ECE), the reason
#   stands beside it. It belongs in the paper as well.
#
# All of it stands in one page that needs no network, with every number in `metrics.json` and in
# tidy tables:

# %%
page = mi.write_report(work / "report", result, title="A first evaluation")
mi.write_comparison(work / "comparison", together, title="MLP and CNN")
for path in sorted(page.parent.iterdir()):
    print(f"{path.name:24} {path.stat().st_size / 1024:6.0f} KiB")

# %% [markdown]
# From a shell the same takes two lines, with a run folder for each model:
#
# ```sh
# medimg evaluate runs/cnn --calib calib -o report/
# medimg compare runs/mlp runs/cnn --metric auroc --margin .05 -o comparison/
# ```

# %%
scratch.cleanup()
