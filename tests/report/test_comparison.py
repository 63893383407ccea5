"""The page of a comparison: its numbers, and that it opens."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medimg.evaluation.compare.compare import compare
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.comparison import Comparison
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.report.comparison import print_comparison, write_comparison
from medimg.testing.tables import make_predictions

QUICK = EvaluateOptions(resamples=100)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def noisier(p: Predictions, sd: float, seed: int) -> Predictions:
    noise = np.random.default_rng(seed).normal(scale=sd, size=p.scores.shape)
    return replace(p, scores=(p.scores + noise).astype(np.float32))


@pytest.fixture(scope="module")
def compared() -> Comparison:
    """Three models, the last of two runs."""
    p = make_predictions(200, patients=100)
    models = {
        "plain": p,
        "<b>odd & one": noisier(p, 1, 1),
        "two": [noisier(p, 2, s) for s in (2, 3)],
    }
    return compare(models, QUICK, metric="auroc", margin=0.1)


def test_page_holds_each_difference_of_the_json(compared: Comparison, tmp_path: Path) -> None:
    page = write_comparison(tmp_path, compared)
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert Comparison.from_dict(content) == compared
    html = page.read_text(encoding="utf-8")
    shown = re.findall(r'<tr data-metric="(\w+)">.*?<data value="([^"]+)">', html, re.DOTALL)
    wanted = [(c["metric"], str(c["difference"]["value"])) for c in content["contrasts"]]
    assert shown == wanted
    assert "&lt;b&gt;odd &amp; one" in html and "<b>odd" not in html
    assert "a loss of 0.1 in AUROC" in html.replace("\n", " ")
    with (tmp_path / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["metric"], row["model"]) for row in rows] == [
        (c.metric, c.model) for c in compared.contrasts
    ]


def test_nothing_is_asked_of_the_network(compared: Comparison, tmp_path: Path) -> None:
    html = write_comparison(tmp_path, compared).read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#|data:)', html)


def test_terminal_says_each_difference_and_why_one_has_no_interval(
    compared: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(compared)
    said = capsys.readouterr().out
    assert "<b>odd & one less plain" in said and "two (mean of 2 runs) less plain" in said
    assert said.count("  AUROC  ") == 2 and "no interval: a plug-in ECE" in said


@pytest.mark.parametrize("classes", [("u", "v", "w"), tuple(f"class {i}" for i in range(12))])
def test_more_classes_have_a_page_without_a_curve(classes: tuple[str, ...], tmp_path: Path) -> None:
    p = make_predictions(300, LabelSpace(classes))
    page = write_comparison(tmp_path, compare({"a": p, "b": noisier(p, 2, 0)}, QUICK))
    assert "AUROC" in page.read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1200])
def test_page_opens_in_chromium_without_a_complaint(
    width: int, compared: Comparison, tmp_path: Path
) -> None:
    page = write_comparison(tmp_path, compared)
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    switches += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [str(CHROMIUM), *switches, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 'id="provenance"' in done.stdout and "CONSOLE" not in done.stderr
