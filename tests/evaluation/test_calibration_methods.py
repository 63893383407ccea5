"""Fitting each calibrator: against independent implementations, hand-worked cases and the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from medimg.calibrator import Calibrator, log_odds, to_probabilities
from medimg.errors import UsageError
from medimg.evaluation.calibrators.choose import METHODS
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.calibrators.matrix import fit_dirichlet, fit_vector
from medimg.evaluation.calibrators.odds import fit_beta, fit_isotonic, fit_platt
from medimg.evaluation.calibrators.temperature import BOUNDS, smooth
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

TWO = LabelSpace(("benign", "malignant"), positive="malignant")
LABELS = LabelSpace(("x", "y"), "multilabel")
FOUR = LabelSpace(("a", "b", "c", "d"))
SPACES = [TWO, LABELS, FOUR, LabelSpace(FOUR.classes, "ordinal")]
ALL = [(space, name) for space in SPACES for name, m in METHODS.items() if m.suits(space)]


def two_classes(n=400, seed=0, bias=0.5):
    """Log odds (n,), rounded so that some are tied, and targets of another line than x."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(0, 2, n), 1)
    hits = rng.random(n) < 1 / (1 + np.exp(-(0.5 * x + bias)))
    return x, TWO.one_hot(hits.astype(int)).astype(float), hits


def predictions(space, scores, targets, **more):
    ids = [f"c{i:06d}" for i in range(len(scores))]
    return Predictions(ids, scores.astype(np.float32), "logits", space, targets, **more)


def cases_of(space, n=300, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, (n, space.k))
    if space.exclusive:
        targets = space.one_hot((0.5 * z + rng.gumbel(size=z.shape)).argmax(axis=1))
    else:
        targets = (rng.random(z.shape) < 1 / (1 + np.exp(-0.5 * z))).astype(np.float32)
    return predictions(space, z, targets)


def logits_of(x):
    return np.stack([np.zeros_like(x), x], axis=1)


def test_platt_scaling_is_that_of_scikit_learn():
    from sklearn.calibration import _sigmoid_calibration

    x, targets, hits = two_classes()
    found = fit_platt(logits_of(x), targets, TWO)
    a, b = _sigmoid_calibration(x, hits.astype(float))
    assert found["slope"][0] == pytest.approx(-a, rel=1e-4)
    assert found["offset"][0] == pytest.approx(-b, abs=1e-4)


def test_beta_calibration_is_a_logistic_regression_on_two_log_probabilities():
    from sklearn.linear_model import LogisticRegression

    x, targets, hits = two_classes(2000)
    p = 1 / (1 + np.exp(-x))
    features = np.stack([np.log(p), -np.log(1 - p)], axis=1)
    n1, n0 = hits.sum(), (~hits).sum()
    wanted = np.where(hits, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        np.concatenate([features, features]),
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([wanted, 1 - wanted]),
    )
    found = fit_beta(logits_of(x), targets, TWO)
    ours = [found["a"][0], found["b"][0], found["c"][0]]
    np.testing.assert_allclose(ours, [*theirs.coef_[0], theirs.intercept_[0]], atol=1e-5)


def test_isotonic_regression_is_that_of_scikit_learn_with_a_case_beyond_each_end():
    from sklearn.isotonic import IsotonicRegression

    x, targets, hits = two_classes()
    numbers = fit_isotonic(logits_of(x), targets, TWO)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(
        np.concatenate([[x.min() - 1], x, [x.max() + 1]]), np.concatenate([[1], hits, [0]])
    )
    inside = np.linspace(x.min(), x.max(), 500)
    p = to_probabilities(logits_of(inside), "logits", TWO, Calibrator("isotonic", numbers))
    np.testing.assert_allclose(p[:, 1], theirs.predict(inside), atol=1e-12)
    assert len(numbers["points"][0]) < len(np.unique(x))


def test_isotonic_regression_of_five_cases_worked_by_hand():
    """Sorted targets 0 1 0 1 1 with 1 before and 0 behind: pools of (1 0), (1 0), (1 1 0)."""
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    targets = TWO.one_hot([0, 1, 0, 1, 1]).astype(float)
    numbers = fit_isotonic(logits_of(x), targets, TWO)
    assert numbers["points"] == ((1.0, 3.0, 4.0, 5.0),)
    np.testing.assert_allclose(numbers["values"], [[1 / 2, 1 / 2, 2 / 3, 2 / 3]], atol=1e-15)


@pytest.mark.parametrize("n", [5, 50, 1000])
def test_outermost_cases_of_one_class_come_no_nearer_to_certainty_than_their_number(n):
    x = np.concatenate([np.full(n, -1.0), np.full(n, 1.0)])
    numbers = fit_isotonic(logits_of(x), TWO.one_hot([0] * n + [1] * n).astype(float), TWO)
    np.testing.assert_allclose(numbers["values"], [[1 / (n + 1), n / (n + 1)]], atol=1e-15)


def numeric_minimum(loss, start):
    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-8, "maxiter": 5000})
    return found.x


def mean_loss(logits, targets):
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(targets * log_p).sum(axis=1).mean()


@pytest.mark.filterwarnings("ignore:Desired error:RuntimeWarning")
@pytest.mark.parametrize("strength", [1e-2, 1.0])
def test_vector_and_dirichlet_scaling_are_where_their_penalised_loss_is_least(strength):
    p = cases_of(FOUR, 200)
    targets, k = p.targets.astype(float), 4
    doubt = 1 / (200 + 2)
    wanted = targets * (1 - doubt) + (1 - targets) * doubt / 3
    log_p = np.log(p.probabilities)

    def vector(v):
        return mean_loss(log_p * v[:k] + v[k:], wanted) + strength * (v[k:] ** 2).mean()

    found = fit_vector(p.logits, targets, FOUR, strength)
    theirs = numeric_minimum(vector, np.repeat([1.0, 0.0], k))
    np.testing.assert_allclose(np.concatenate([found["weight"], found["bias"]]), theirs, atol=1e-4)

    def dirichlet(v):
        w, b = v[:16].reshape(k, k), v[16:]
        off = w[~np.eye(k, dtype=bool)]
        return mean_loss(log_p @ w.T + b, wanted) + strength * ((off**2).mean() + (b**2).mean())

    found = fit_dirichlet(p.logits, targets, FOUR, strength)
    theirs = numeric_minimum(dirichlet, np.append(np.eye(k).ravel(), np.zeros(k)))
    ours = np.append(np.ravel(found["weight"]), found["bias"])
    assert dirichlet(ours) <= dirichlet(theirs) + 1e-10
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.kind + str(s.k))
def test_every_method_undoes_what_it_can_express(space):
    """Twice too sure, with a shift: what has an offset comes back to the truth."""
    rng = np.random.default_rng(3)
    z = rng.normal(0, 1.5, (20_000, space.k))
    true = to_probabilities(z, "logits", space)
    if space.exclusive:
        targets = space.one_hot((z + rng.gumbel(size=z.shape)).argmax(axis=1))
    else:
        targets = (rng.random(z.shape) < true).astype(np.float32)
    shift = np.zeros(space.k)
    shift[-1] = 1.0
    made = predictions(space, 2 * (z + shift), targets)
    for name, method in METHODS.items():
        if method.suits(space) and name != "temperature":
            found = made.with_calibrator(fit_calibrator(made, name)).probabilities
            # One against the rest and then divided by the sum is no inverse of a softmax.
            allowed = 0.03 if name == "isotonic" else 0.01
            assert np.abs(found - true).mean() < allowed, name


@pytest.mark.parametrize("space, name", ALL, ids=lambda v: getattr(v, "kind", v))
def test_a_set_that_is_told_apart_does_not_make_the_model_infinitely_sure(space, name):
    n = 40
    if space.exclusive:
        targets = space.one_hot(np.arange(n) % space.k)
    else:
        targets = np.stack([np.arange(n) % 2, np.arange(n) // 2 % 2], axis=1).astype(np.float32)
    p = predictions(space, 8 * targets - 4, targets)
    sure = p.with_calibrator(fit_calibrator(p, name)).probabilities
    assert np.isfinite(sure).all()
    doubt = np.abs(sure - targets).max(axis=1)
    assert doubt.min() > 0.2 / n
    assert doubt.max() < 0.3


@pytest.mark.parametrize("space, name", ALL, ids=lambda v: getattr(v, "kind", v))
@pytest.mark.parametrize("size", [1e-6, 1e4])
def test_scores_of_any_size_are_fitted(space, name, size):
    p = cases_of(space)
    sized = predictions(space, size * p.logits, p.targets)
    fitted = fit_calibrator(sized, name)
    assert np.isfinite(sized.with_calibrator(fitted).calibrated_logits).all()
    json.dumps(fitted.to_dict(), allow_nan=False)


@pytest.mark.parametrize("space, name", ALL, ids=lambda v: getattr(v, "kind", v))
def test_a_fit_hangs_on_no_order_of_rows_and_knows_its_cases(space, name, shuffled):
    p = cases_of(space)
    fitted = fit_calibrator(p, name)
    assert fit_calibrator(shuffled(p), name) == fitted
    assert fit_calibrator(p.with_calibrator(fitted), name).parameters == fitted.parameters
    assert fitted.fitted_on == p.fingerprint
    assert not fitted.tried


@pytest.mark.parametrize("space, name", ALL, ids=lambda v: getattr(v, "kind", v))
def test_unknown_targets_take_no_part_in_any_method(space, name):
    p = cases_of(space)
    targets = p.targets.copy()
    targets[::3] = np.nan
    if not space.exclusive:
        targets[1::3, 0] = np.nan
    scores = p.logits.copy()
    scores[np.isnan(targets).all(axis=1)] = 50
    ids = p.case_id
    masked = Predictions(ids, scores, "logits", space, targets)
    known = masked.take(~np.isnan(targets).all(axis=1))
    assert fit_calibrator(masked, name).parameters == fit_calibrator(known, name).parameters


@pytest.mark.parametrize("name", ["platt", "beta"])
def test_the_order_of_scores_is_kept_even_where_they_are_worse_than_chance(name):
    x, targets, _ = two_classes()
    p = predictions(TWO, logits_of(-x), targets)
    fitted = fit_calibrator(p, name)
    after = log_odds(p.with_calibrator(fitted).calibrated_logits, exclusive=True)[:, 0]
    order = np.argsort(-x, kind="stable")
    assert (np.diff(after[order]) >= 0).all()
    assert min(fitted.parameters.get("slope", fitted.parameters.get("a"))) >= BOUNDS[0] * 0.999


def test_a_label_without_two_answers_keeps_its_own_probabilities():
    p = cases_of(LABELS)
    targets = p.targets.copy()
    targets[:, 0] = 0
    one = predictions(LABELS, p.logits, targets)
    for name in ("platt", "beta", "isotonic"):
        out = one.with_calibrator(fit_calibrator(one, name)).probabilities
        np.testing.assert_allclose(out[:, 0], one.probabilities[:, 0], atol=1e-12)
        assert np.abs(out[:, 1] - one.probabilities[:, 1]).max() > 0.01


@pytest.mark.parametrize("name", ["vector", "dirichlet", "isotonic"])
def test_a_class_without_cases_keeps_a_probability_above_zero(name):
    p = cases_of(FOUR)
    rows = p.targets[:, 3] == 0
    three = p.take(rows)
    out = three.with_calibrator(fit_calibrator(three, name)).probabilities
    assert (out[:, 3] > 0).all()
    if name != "isotonic":
        assert out[:, 3].mean() < 0.05


def test_logits_that_differ_by_one_number_are_calibrated_alike():
    p = cases_of(FOUR)
    shifted = predictions(FOUR, p.logits + np.arange(len(p))[:, None] % 7, p.targets)
    for name in ("vector", "dirichlet", "isotonic"):
        np.testing.assert_allclose(
            p.with_calibrator(fit_calibrator(p, name)).probabilities,
            shifted.with_calibrator(fit_calibrator(shifted, name)).probabilities,
            atol=1e-4,
        )


def test_smoothing_takes_one_case_in_n_plus_two_to_be_wrong():
    targets = TWO.one_hot([0, 1, 1]).astype(float)
    np.testing.assert_allclose(smooth(targets, TWO), [[0.8, 0.2], [0.2, 0.8], [0.2, 0.8]])


@pytest.mark.parametrize(
    "space, name, message",
    [
        (TWO, "vector", "'vector' is for three or more classes that exclude each other"),
        (LABELS, "dirichlet", "is for three or more classes that exclude each other"),
        (FOUR, "platt", "is for two classes, or for labels that do not exclude each other"),
        (FOUR, "beta", "one of auto, temperature, vector, dirichlet, isotonic"),
        (TWO, "isotonik", "did you mean isotonic"),
        (TWO, "none", "one of auto, temperature, platt, beta, isotonic"),
        (TWO, "identity", "is unknown"),
    ],
)
def test_a_method_for_other_classes_is_refused_by_name(space, name, message):
    with pytest.raises(UsageError, match=message):
        fit_calibrator(cases_of(space), name)
