"""Likelihood ratios: their interval against others, and what turning them over does."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.intervals.likelihood import likelihood_ratio, ratio_ends
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units


def part(successes, n):
    units = Units(np.arange(n), n, "case")
    return proportion(np.arange(n) < successes, np.ones(n, bool), units)


def test_ratio_of_large_samples_is_that_of_the_log_scale():
    error = np.sqrt(1 / 8000 - 1 / 10_000 + 1 / 2000 - 1 / 10_000)
    expected = 4 * np.exp(np.asarray([-1, 1]) * 1.96 * error)
    assert ratio_ends(part(8000, 10_000), part(2000, 10_000)) == pytest.approx(expected, rel=2e-3)


def test_ratio_of_nothing_found_has_an_upper_end():
    low, high = ratio_ends(part(0, 20), part(30, 60))
    assert low == 0
    assert 0.2 < high < 0.5


def test_ratio_turned_over_has_its_ends_turned_over():
    one, two = part(18, 24), part(9, 40)
    low, high = ratio_ends(one, two)
    assert ratio_ends(two, one) == pytest.approx((1 / high, 1 / low))


def test_ratio_where_one_patient_holds_the_class_has_no_interval():
    of_case = np.r_[np.zeros(300, np.int64), np.arange(1, 300)]
    target = (of_case < 60).astype(float)
    found = likelihood_ratio(np.arange(599) % 3 > 0, target, Units(of_case, 300, "patient"))
    assert found.value is not None and found.low is None
    assert found.reason.startswith("one patient holds 84% of the cases in its denominator")
