"""The rising line nearest to shares of cases."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from medimg.evaluation.calibrators.isotonic import rising


@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_sklearn(seed):
    rng = np.random.default_rng(seed)
    cases = rng.integers(1, 6, 300)
    hits = rng.binomial(cases, np.linspace(0.2, 0.6, 300))
    expected = IsotonicRegression().fit(np.arange(300), hits / cases, cases).predict(np.arange(300))
    np.testing.assert_allclose(rising(hits, cases), expected, atol=1e-12)


def test_time_grows_with_the_levels_and_no_faster():
    rng = np.random.default_rng(0)
    hits = (rng.random(100_000) < np.linspace(0, 1, 100_000)).astype(float)
    hits[50_000:] = 0
    start = time.process_time()
    found = rising(hits, np.ones(100_000))
    assert time.process_time() - start < 2
    assert (np.diff(found) >= 0).all()
