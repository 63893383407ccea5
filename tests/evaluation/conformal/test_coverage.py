"""Coverage of prediction sets over redrawn calibration cases."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.conformal import fit_conformal
from medimg.evaluation.conformal.law import coverage_bounds, covered_law
from medimg.evaluation.conformal.points import Points
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

METHODS = ("lac", "aps", "raps")
DRAWS = 500
CALIB, TEST = 78, 156
GRADES = LabelSpace(("a", "b", "c", "d", "e"))


def draw(rng, patients, images=1, space=GRADES, within=0.6):
    """Return cases whose logits are alike within a patient, overconfident threefold."""
    size = patients * images, space.k
    shared = np.repeat(rng.normal(size=(patients, space.k)), images, axis=0)
    z = 2 * (np.sqrt(within) * shared + np.sqrt(1 - within) * rng.normal(size=size))
    if space.exclusive:
        # A patient's images have one label, so that they are right and wrong together.
        noise = np.repeat(rng.gumbel(size=(patients, space.k)), images, axis=0)
        targets = space.one_hot((z + noise).argmax(axis=1))
    else:
        targets = (rng.random(size) < 1 / (1 + np.exp(1 - z))).astype(np.float32)
    return Predictions(
        [f"c{i:05d}" for i in range(size[0])],
        (3 * z).astype(np.float32),
        "logits",
        space,
        targets,
        patient_id=[f"p{i // images:05d}" for i in range(size[0])],
    )


def covered(sets, predictions):
    return (sets & (predictions.targets == 1)).any(axis=1)


def within_binomial(share, chance, draws=DRAWS):
    """Whether a share lies within what chance leaves 99.9% of the time."""
    return abs(share - chance) < 3.3 * np.sqrt(chance * (1 - chance) / draws)


@pytest.fixture(scope="module")
def redrawn():
    """Return of each method how many of 156 were covered, over 500 calibration sets of 78."""
    rng, found = np.random.default_rng(0), {method: [] for method in METHODS}
    for _ in range(DRAWS):
        calib, test = draw(rng, CALIB), draw(rng, TEST)
        for method, counts in found.items():
            counts.append(covered(fit_conformal(calib, method).sets(test), test).sum())
    return {method: np.asarray(counts) for method, counts in found.items()}


@pytest.mark.parametrize("method", METHODS)
def test_mean_coverage_of_500_redrawn_calibration_sets_is_exact(redrawn, method):
    k = int(np.ceil(0.9 * (CALIB + 1)))
    law = covered_law(CALIB, TEST, 0.1)
    share = np.arange(TEST + 1) / TEST
    mean = (law * share).sum()
    assert mean == pytest.approx(k / (CALIB + 1))
    spread = np.sqrt((law * (share - mean) ** 2).sum() / DRAWS)
    assert abs(redrawn[method].mean() / TEST - mean) < 3.3 * spread


@pytest.mark.parametrize("method", METHODS)
def test_coverage_follows_the_beta_binomial_law_and_no_plain_binomial_one(redrawn, method):
    low, high = coverage_bounds([(CALIB, TEST)], 0.1)
    a, b = round(low * TEST), round(high * TEST)
    inside = covered_law(CALIB, TEST, 0.1)[a : b + 1].sum()
    counts = redrawn[method]
    assert within_binomial(((counts >= a) & (counts <= b)).mean(), inside)
    plain = 1.96 * np.sqrt(0.9 * 0.1 / TEST)
    outside = (np.abs(counts / TEST - 0.9) > plain).mean()
    assert outside > 0.15


def test_coverage_holds_within_each_class():
    rng = np.random.default_rng(1)
    space, hits = LabelSpace(("a", "b", "c")), np.zeros((200, 3))
    for i in range(200):
        calib, test = draw(rng, 150, space=space), draw(rng, 300, space=space)
        at = covered(fit_conformal(calib, by="class").sets(test), test)
        hits[i] = [at[test.targets[:, k] == 1].mean() for k in range(3)]
    error = hits.std(axis=0) / np.sqrt(200)
    assert (hits.mean(axis=0) > 0.9 - 3.3 * error).all()
    assert (hits.mean(axis=0) < 0.9 + 1 / 40 + 3.3 * error).all()


def by_patient(at, images):
    return at.reshape(-1, images).mean(axis=1)


def test_patients_with_many_images_are_covered_where_images_alone_are_not():
    """Of 15 patients with 5 images each, images taken for independent promise too much."""
    rng, hierarchical, naive = np.random.default_rng(2), [], []
    for _ in range(DRAWS):
        calib, test = draw(rng, 15, 5, within=1.0), draw(rng, 100, 5, within=1.0)
        found = fit_conformal(calib)
        hierarchical.append(covered(found.sets(test), test).mean())
        n = np.arange(75)
        scores = found.scores(calib)[calib.targets == 1]
        limit = Points(scores, n, n).threshold(0.1)
        naive.append((found.scores(test)[test.targets == 1] <= limit).mean())
    # 15 of 16 patients; the 14th of 16, for images.
    assert np.mean(hierarchical) == pytest.approx(15 / 16, abs=0.01)
    assert np.mean(naive) == pytest.approx(14 / 16, abs=0.015)


def test_bounds_hold_for_patients_with_several_images():
    rng, inside = np.random.default_rng(3), []
    low, high = coverage_bounds([(40, 80)], 0.1)
    for _ in range(DRAWS):
        calib, test = draw(rng, 40, 5), draw(rng, 80, 5)
        share = by_patient(covered(fit_conformal(calib).sets(test), test), 5).mean()
        inside.append(low <= share <= high)
    assert np.mean(inside) > 0.95 - 3.3 * np.sqrt(0.95 * 0.05 / DRAWS)


@pytest.mark.parametrize("images", [1, 4])
def test_share_of_labels_that_sets_miss_is_alpha_on_average(images):
    rng, missed = np.random.default_rng(4), []
    space = LabelSpace(tuple("abcdef"), "multilabel")
    for _ in range(200):
        calib, test = draw(rng, 60, images, space), draw(rng, 100, images, space)
        sets, present = fit_conformal(calib).sets(test), test.targets == 1
        has = present.any(axis=1)
        share = (present & ~sets).sum(axis=1)[has] / present.sum(axis=1)[has]
        unit = np.unique(test.patient_id[has], return_inverse=True)[1]
        missed.append((np.bincount(unit, share) / np.bincount(unit)).mean())
    error = np.std(missed) / np.sqrt(200)
    # Conformal risk control: at most alpha, and at least alpha - 2 / (n + 1).
    assert 0.1 - 2 / 55 - 3.3 * error < np.mean(missed) < 0.1 + 3.3 * error
