"""The plug-in errors against other libraries and hand-worked cases."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from medimg.evaluation import metrics as m
from medimg.evaluation.reliability.binning import PlugIn

TIGHT = {"abs": 1e-12, "rel": 0}


def errors(p):
    plug_in = PlugIn.of(p)
    found = plug_in.errors(np.add.reduceat(p.hit, plug_in.cuts)[:, None])
    return {name: float(value[0]) for name, value in found.items()}


def netcal(name, p):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from netcal import metrics
    return getattr(metrics, name)(bins=15).measure(p.confidence, p.hit)


@pytest.mark.parametrize("n", [7, 400, 3000])
def test_errors_equal_netcal_and_torchmetrics(simulated, n):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import binary_calibration_error

    p = simulated(n, seed=n)
    found = errors(p)
    assert found["ece"] == pytest.approx(netcal("ECE", p), **TIGHT)
    assert found["mce"] == pytest.approx(netcal("MCE", p), **TIGHT)
    confidence, hit = torch.tensor(p.confidence), torch.tensor(p.hit.astype(int))
    for name, norm in (("ece", "l1"), ("mce", "max")):
        theirs = binary_calibration_error(confidence, hit, n_bins=15, norm=norm)
        assert found[name] == pytest.approx(float(theirs), abs=1e-6)


def test_ece_equals_the_metric_of_the_same_name(simulated):
    p = simulated(900)
    assert errors(p)["ece"] == pytest.approx(m.ece_of(m.reliability(p.confidence, p.hit)), **TIGHT)


def test_equal_mass_equals_sklearns_quantile_curve_without_ties(as_probability):
    rng = np.random.default_rng(1)
    p = as_probability(rng.random(15 * 23), rng.random(15 * 23) < 0.4)
    frequency, confidence = calibration_curve(p.hit, p.confidence, n_bins=15, strategy="quantile")
    assert errors(p)["ece_equal_mass"] == pytest.approx(
        np.abs(frequency - confidence).mean(), **TIGHT
    )


def test_errors_worked_by_hand(as_probability):
    # Bins of .2 (3 cases, 1 true), .5 (2 cases, 2 true) and 1 (1 case, true).
    p = as_probability([0.2, 0.2, 0.2, 0.5, 0.5, 1.0], [1, 0, 0, 1, 1, 1])
    assert errors(p)["ece"] == pytest.approx((abs(0.6 - 1) + abs(1 - 2) + 0) / 6)
    assert errors(p)["mce"] == pytest.approx(0.5)


def test_equal_confidence_is_never_parted(as_probability):
    p = as_probability([0.1] * 50 + [0.3] * 2 + [0.9] * 60, [0, 1] * 56)
    even = PlugIn.of(p).even
    assert even.size.tolist() == [50, 2, 60]
    assert even.first.tolist() == [0, 50, 52]


def test_a_bin_holds_its_lower_edge_and_the_last_one_holds_1(as_probability):
    edges = np.linspace(0, 1, 16)
    wide = PlugIn.of(as_probability(edges, np.zeros(16))).wide
    assert wide.place.tolist() == list(range(15))
    assert wide.size.tolist() == [1] * 14 + [2]
