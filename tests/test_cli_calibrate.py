"""`medimg calibrate`: a bundle gets another calibrator, and thresholds for its probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

import medimg as mi
from medimg.cli.calibrate import calibrate_bundle
from medimg.config import make_config
from medimg.errors import UsageError
from medimg.testing import make_npz

RULES = ("1:youden", "1:sensitivity=0.9")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("calibrate")
    config = make_config(
        {
            "data": {"source": str(make_npz(place / "x.npz")), "cache": str(place / "c")},
            "model": {"name": "mlp", "hidden": [8]},
            "fit": {"epochs": 2, "batch_size": 16, "lr": 0.01},
            "calibration": {"method": "none"},
            "evaluate": {"resamples": 100, "operating_points": RULES[:1]},
        }
    )
    return mi.run(config, place / "run").folder


def calibrate(run: Path, out: Path, split: str = "calib", **options: object) -> mi.ModelBundle:
    given = {"method": "auto", "at": (), "overwrite": False, **options}
    table = run / "predictions" / f"{split}.csv"
    calibrate_bundle(run / "bundle", table, out, None, **given)  # type: ignore[arg-type]
    return mi.ModelBundle.load(out)


def test_a_bundle_gets_the_calibrator_and_its_thresholds_chosen_anew(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = calibrate(run, tmp_path / "b", method="platt")
    calib = mi.Predictions.load(run / "predictions/calib.csv")
    assert made.calibrator == mi.fit_calibrator(calib, "platt")
    before = mi.ModelBundle.load(run / "bundle").thresholds
    assert [(p.label, p.rule) for p in made.thresholds] == [("1", "youden")]
    assert made.thresholds[0].threshold != before[0].threshold
    out = capsys.readouterr().out
    assert "calibrated by platt\noperating point: 1 from 0." in out
    assert out.endswith(f"{tmp_path / 'b'}\n")


def test_what_was_tried_is_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = calibrate(run, tmp_path / "b", at=RULES)
    assert made.calibrator is not None
    out = capsys.readouterr().out
    for name, (gain, error) in made.calibrator.tried.items():
        said = f"{name}: gains {gain:.4f} nats a case out of fold (standard error {error:.4f})"
        assert said in out
    assert [f"{p.label}:{p.rule}" for p in made.thresholds] == list(RULES)
    alone = calibrate(run, tmp_path / "t", method="temperature")
    assert alone.calibrator is not None
    temperature = alone.calibrator.parameters["temperature"]
    assert f"temperature {temperature:.4f}\n" in capsys.readouterr().out


def test_cases_of_another_split_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fit on calib"):
        calibrate(run, tmp_path / "b", split="test")
    assert not (tmp_path / "b").exists()
