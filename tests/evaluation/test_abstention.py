"""Refusing the least sure cases: the curve, its area, and who is refused."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
from pydantic import TypeAdapter

from medimg.evaluation.abstention.abstention import COVERAGES, abstention, log_interval
from medimg.evaluation.abstention.risk_coverage import Areas
from medimg.evaluation.intervals.proportions import wilson
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.sections import Abstention
from medimg.evaluation.sample import Sample
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing import make_predictions

FEW = EvaluateOptions(resamples=200)
SPACE = LabelSpace(("a", "b"))


def sample(confidence, wrong):
    """Return cases of class a that are decided with such confidence, some of them wrong."""
    c = np.asarray(confidence, np.float64)
    p = np.where(np.asarray(wrong, bool), 1 - c, c)
    ids = [f"c{i:03d}" for i in range(len(c))]
    targets = SPACE.one_hot([0] * len(c))
    return Sample.of(Predictions(ids, np.stack([p, 1 - p], 1), "probabilities", SPACE, targets))


def areas(level, wrong, weights=None):
    n = len(level)
    found = Areas(np.asarray(level), np.asarray(wrong, bool), Units(np.arange(n), n, "case"))
    weights = np.ones((n, 1)) if weights is None else weights
    return {name: v.tolist() for name, v in found(weights).items()}


def plain_area(wrong):
    return (np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean()


def test_areas_of_four_cases_worked_by_hand():
    # Errors among the surest 1, 2, 3, 4: 0, 1/2, 1/3, 2/4; at best 0, 0, 1/3, 2/4.
    found = areas([0, 1, 2, 3], [0, 1, 0, 1])
    assert found["aurc"] == pytest.approx([(1 / 2 + 1 / 3 + 1 / 2) / 4])
    assert found["aurc_excess"] == pytest.approx([(1 / 2) / 4])


def test_cases_of_equal_confidence_stand_in_the_mean_of_all_their_orders():
    wrong = [1, 0, 0, 1, 0, 0]
    level = [0, 1, 1, 1, 1, 2]
    orders = [plain_area([1, *middle, 0]) for middle in permutations(wrong[1:5])]
    assert areas(level, wrong)["aurc"] == pytest.approx([np.mean(orders)])


def test_no_order_at_all_has_the_area_of_refusing_at_random():
    found = areas([0] * 8, [1, 0, 0, 0, 1, 0, 1, 0])
    assert found["aurc"] == pytest.approx([3 / 8])


@pytest.mark.parametrize("seed", range(5))
def test_weights_count_copies_of_cases(seed):
    rng = np.random.default_rng(seed)
    level = np.unique(rng.integers(0, 20, 60), return_inverse=True)[1]
    wrong = rng.random(60) < 0.3
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=7).T.astype(float)
    found = areas(level, wrong, weights)
    for r, w in enumerate(weights.T.astype(int)):
        rows = np.repeat(np.arange(60), w)
        copied = areas(level[rows], wrong[rows])
        assert found["aurc"][r] == pytest.approx(copied["aurc"][0], abs=1e-12)
        assert found["aurc_excess"][r] == pytest.approx(copied["aurc_excess"][0], abs=1e-12)


def test_areas_equal_the_plain_loop_where_nothing_is_tied():
    s = Sample.of(make_predictions(500, seed=3))
    wrong = (s.decisions != (s.targets == 1)).any(axis=1)
    ranked = wrong[np.argsort(-s.probabilities.max(axis=1))]
    found = abstention(s, FEW).metrics
    assert found["aurc"].value == pytest.approx(plain_area(ranked), abs=1e-12)
    least = plain_area(np.sort(wrong))
    assert found["aurc_excess"].value == pytest.approx(plain_area(ranked) - least, abs=1e-12)
    assert found["aurc"].expected == found["error"].value == wrong.mean()


def test_best_order_has_no_excess_and_no_interval_of_it():
    wrong = [0] * 80 + [1] * 20
    found = abstention(sample(np.linspace(0.99, 0.6, 100), wrong), FEW).metrics
    assert found["aurc_excess"].value == pytest.approx(0, abs=1e-12)
    assert found["aurc_excess"].low is None
    assert "very end" in found["aurc_excess"].reason
    assert found["aurc"].low < found["aurc"].value < found["aurc"].high
    assert found["aurc"].method == "log_bootstrap"


def test_fewer_than_ten_errors_give_no_interval_of_the_area():
    wrong = np.arange(100) % 12 == 0
    found = abstention(sample(np.linspace(0.99, 0.6, 100), wrong), FEW).metrics
    assert found["aurc"].low is None
    assert found["aurc"].reason == "fewer than ten cases decided wrong (9)"
    assert found["aurc"].expected == pytest.approx(0.09)
    assert found["error"].low is not None


def test_curve_is_the_error_of_those_who_are_answered():
    confidence = np.repeat([0.9, 0.8, 0.7, 0.6], [10, 20, 50, 20])
    wrong = np.zeros(100, bool)
    wrong[[0, 10, 11, 30, 31, 32, 80, 81]] = True
    found = abstention(sample(confidence, wrong), FEW).curve
    assert found.x == pytest.approx((0.1, 0.3, 0.8, 1.0))
    assert found.y == pytest.approx((1 / 10, 3 / 30, 6 / 80, 8 / 100))
    assert (found.low[2], found.high[2]) == pytest.approx(wilson(6, 80))


def test_cases_of_equal_confidence_are_refused_together():
    confidence = np.repeat([0.9, 0.8, 0.7, 0.6], [10, 20, 50, 20])
    found = abstention(sample(confidence, np.arange(100) % 7 == 0), FEW)
    assert [r.coverage for r in found.refused] == list(COVERAGES)
    assert [r.answered for r in found.refused] == pytest.approx([1.0, 1.0, 0.8, 0.8])
    assert [r.threshold for r in found.refused] == pytest.approx([0.6, 0.6, 0.7, 0.7])
    assert found.refused[2].share_of_class["a"].value == pytest.approx(0.2)
    assert found.refused[2].share_of_class["b"].value is None
    assert found.refused[2].error.n == 80


def test_refused_shares_are_those_of_each_class():
    s = Sample.of(make_predictions(400, LabelSpace(("a", "b", "c")), seed=1, patients=90))
    for row in abstention(s, FEW).refused:
        refused = s.probabilities.max(axis=1) < row.threshold
        assert 1 - refused.mean() == pytest.approx(row.answered)
        assert row.answered == pytest.approx(row.coverage, abs=0.003)
        for k, c in enumerate("abc"):
            assert row.share_of_class[c].value == refused[s.targets[:, k] == 1].mean()


def test_labels_of_one_case_are_no_single_decision():
    s = Sample.of(make_predictions(50, LabelSpace(("a", "b"), "multilabel")))
    assert abstention(s, FEW) is None


def test_record_is_plain_numbers_that_json_gives_back():
    found = abstention(Sample.of(make_predictions(30, seed=2, patients=12)), FEW)
    adapter = TypeAdapter(Abstention)
    text = json.dumps(adapter.dump_python(found, mode="json"), allow_nan=False)
    assert adapter.validate_python(json.loads(text)) == found


def test_curve_has_at_most_a_hundred_points():
    found = abstention(Sample.of(make_predictions(3000)), FEW).curve
    assert len(found.x) == len(found.y) == len(found.low) == 100
    assert found.x[-1] == 1


def test_log_interval_is_worked_by_hand():
    from scipy.stats import t

    draws = np.exp([-1.0, 1.0] * 50)
    low, high = log_interval(0.1, draws, 9)
    assert (low, high) == pytest.approx(
        (0.1 / np.exp(t.ppf(0.975, 9)), 0.1 * np.exp(t.ppf(0.975, 9)))
    )
    assert log_interval(0.0, draws, 9) is None
    assert log_interval(0.1, np.full(50, 0.1), 9) is None


#: AURC and its excess of the simulated model below, of 2 million cases.
TRUE = {"aurc": 0.10157, "aurc_excess": 0.07483}


def covers(patients, images, draws, resamples):
    """Return how often the intervals hold the truth; scores are alike within a patient."""
    rng, hits = np.random.default_rng(0), dict.fromkeys(TRUE, 0)
    for seed in range(draws):
        shared = rng.normal(size=(patients, 1)) if images > 1 else 0
        own = rng.normal(size=(patients, images))
        z = (2 * (np.sqrt(0.6) * shared + np.sqrt(0.4) * own) if images > 1 else 2 * own).ravel()
        target = SPACE.one_hot((rng.random(z.size) < 1 / (1 + np.exp(-z))).astype(int))
        predictions = Predictions(
            [f"c{i:05d}" for i in range(z.size)],
            np.stack([np.zeros_like(z), z], axis=1),
            "logits",
            SPACE,
            target,
            patient_id=[f"p{i // images}" for i in range(z.size)],
        )
        options = EvaluateOptions(resamples=resamples, seed=seed)
        found = abstention(Sample.of(predictions), options).metrics
        for name, true in TRUE.items():
            hits[name] += found[name].low <= true <= found[name].high
    return {name: n / draws for name, n in hits.items()}


def test_intervals_of_the_areas_hold_the_truth():
    for share in covers(156, 1, 150, 200).values():
        assert share > 0.95 - 3.3 * np.sqrt(0.95 * 0.05 / 150)


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "images"), [(54, 5), (156, 1), (156, 5), (500, 1)])
def test_intervals_of_the_areas_cover_93_to_97_per_cent(patients, images):
    noise = 2 * np.sqrt(0.95 * 0.05 / 1000)
    for share in covers(patients, images, 1000, 500).values():
        assert 0.93 - noise < share < 0.97 + noise
