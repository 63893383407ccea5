"""`medimg lr-find`: a suggestion, a curve and a table."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from medimg.cli.lr_find import find_and_print
from medimg.config import load_config
from medimg.errors import FolderExists
from medimg.testing import make_npz


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    make_npz(folder / "x.npz", n={"train": 120, "val": 40, "test": 20}, classes=2)
    path = folder / "x.yaml"
    path.write_text(
        f"title: Squares <and> more\ndata: {{source: {folder / 'x.npz'}, cache: {folder / 'c'}}}\n"
        "model: {name: mlp, hidden: [16]}\nfit: {batch_size: 16}\n",
        encoding="utf-8",
    )
    return path


def test_it_prints_a_rate_and_writes_curve_and_table(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "lr"
    command = [sys.executable, "-m", "medimg", "lr-find", str(config), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert said[0] == "--set"
    rate = float(said[1].removeprefix("fit.lr="))
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert f"fit.lr = {rate:g}" in page
    assert "Squares &lt;and&gt; more" in page
    with (out / "lr_find.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["rate", "loss", "smoothed"]
    assert any(float(row["rate"]) == pytest.approx(3 * rate, rel=0.06) for row in rows)


def test_a_second_sweep_replaces_the_first_only_where_asked(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "lr"
    checked = load_config(config)
    find_and_print(checked, config, out, overwrite=False)
    page = (out / "index.html").read_text(encoding="utf-8")
    with pytest.raises(FolderExists, match="finished"):
        find_and_print(checked, config, out, overwrite=False)
    other = load_config(config, ["fit.optimizer=sgd"])
    find_and_print(other, config, out, overwrite=True)
    assert (out / "index.html").read_text(encoding="utf-8") != page


def test_a_network_that_learns_nothing_gets_no_rate(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = load_config(config, ["model.init=zeros"])
    find_and_print(checked, config, tmp_path / "lr", overwrite=False)
    assert "no learning rate is suggested" in capsys.readouterr().out
    assert "No rate is suggested" in (tmp_path / "lr" / "index.html").read_text(encoding="utf-8")
