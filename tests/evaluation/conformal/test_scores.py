"""Nonconformity scores against hand-worked cases and mapie."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from medimg.evaluation.conformal.points import Points
from medimg.evaluation.conformal.scores import aps, chances, lac, raps

ONE = np.asarray([[0.2, 0.5, 0.3]])
HALF = np.asarray([0.5])


def test_scores_of_one_case_worked_by_hand():
    np.testing.assert_allclose(lac(ONE, HALF), [[0.8, 0.5, 0.7]], atol=1e-15)
    np.testing.assert_allclose(aps(ONE, HALF), [[0.8 + 0.1, 0.25, 0.5 + 0.15]], atol=1e-15)
    np.testing.assert_allclose(
        raps(ONE, HALF, penalty=0.1, free=1), [[0.9 + 0.2, 0.25, 0.65 + 0.1]], atol=1e-15
    )


def test_of_equal_probabilities_the_earlier_class_counts_as_likelier():
    np.testing.assert_allclose(aps(np.full((1, 4), 0.25), HALF), [[0.125, 0.375, 0.625, 0.875]])


def test_a_case_gets_the_same_number_whatever_stands_beside_it():
    ids = [f"c{i}" for i in range(20_000)]
    u = chances(ids, 0)
    assert (u > 0).all() and (u < 1).all()
    np.testing.assert_array_equal(chances(ids[7:9], 0), u[7:9])
    assert not np.isin(chances(ids[:50], 1), u).any()
    # Kolmogorov's distance from the uniform law; 1.95 / sqrt(n) is passed once in 1,000 times.
    distance = np.abs(np.sort(u) - (np.arange(20_000) + 0.5) / 20_000).max()
    assert distance < 1.95 / np.sqrt(20_000)


def simulated(n, k, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, size=(n, k))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def by_mapie(method, calib, test, alpha, seed):
    """Return mapie's sets and its fitted score; "randomized" is the form of the papers."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Table(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(calib[0].shape[1])
        is_fitted_ = True

        def fit(self, x, y=None):
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return x.argmax(axis=1)

    fitted = SplitConformalClassifier(
        Table(), confidence_level=1 - alpha, conformity_score=method, random_state=seed
    )
    fitted.conformalize(*calib)
    how = {} if method == "lac" else {"include_last_label": "randomized"}
    _, sets = fitted.predict_set(test[0], conformity_score_params=how)
    return sets[:, :, 0], fitted._mapie_classifier.conformity_score_function_


def mapies_chance(n, seed):
    """Return the numbers that mapie draws; it takes away what is added here."""
    return 1 - np.random.RandomState(seed).uniform(size=n)


def fitted_sets(score, calib, test, alpha, seed):
    (p, y), (q, _) = calib, test
    n = np.arange(len(y))
    scores = score(p, mapies_chance(len(y), seed))[n, y]
    threshold = Points(scores, n, n).threshold(alpha)
    return score(q, mapies_chance(len(q), seed)) <= threshold, threshold


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("method", "score"), [("lac", lac), ("aps", aps)])
def test_sets_agree_with_mapie(method, score, alpha):
    calib, test = simulated(300, 5, 0), simulated(1000, 5, 1)
    sets, theirs = by_mapie(method, calib, test, alpha, 3)
    mine, threshold = fitted_sets(score, calib, test, alpha, 3)
    assert threshold == pytest.approx(theirs.quantiles_[0], abs=1e-6)
    np.testing.assert_array_equal(mine, sets)


def test_regularised_sets_agree_with_mapie_up_to_the_class_at_the_edge():
    """Mapie draws for the last class over p + penalty (algorithm 3), equation 4 over p alone."""
    from sklearn.model_selection import StratifiedShuffleSplit

    (p, y), test = simulated(600, 8, 0), simulated(1000, 8, 1)
    sets, theirs = by_mapie("raps", (p, y), test, 0.1, 3)
    # Mapie chooses its penalty on a tenth of the cases, and calibrates on the others.
    rest, _ = next(StratifiedShuffleSplit(n_splits=1, random_state=3).split(p, y))
    score = partial(raps, penalty=theirs.lambda_star, free=int(theirs.k_star[0]))
    mine, threshold = fitted_sets(score, (p[rest], y[rest]), test, 0.1, 3)
    assert threshold == pytest.approx(theirs.quantiles_[0], abs=1e-6)
    assert (mine <= sets).all()
    assert (sets.sum(axis=1) - mine.sum(axis=1)).max() <= 1
    within = sets.sum(axis=1) <= theirs.k_star[0]
    assert within.sum() > 100
    np.testing.assert_array_equal(mine[within], sets[within])
