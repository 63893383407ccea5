"""The scoreboard calls right what is right, and tells the ways of being wrong apart."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dicom_conformance.claims import Claim, NotOffered, Refused
from dicom_conformance.every import CLAIMS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "dicom_scoreboard.py"


@pytest.fixture(scope="module")
def board() -> Any:
    path = list(sys.path)
    spec = importlib.util.spec_from_file_location("dicom_scoreboard", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = ModuleType("dicom_scoreboard")
    module.__file__ = str(SCRIPT)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


class Fake:
    name = "fake"

    def __init__(self, given: Any) -> None:
        self.given = given

    def answer(self, claim: Claim, files: Any) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def named(name: str) -> Claim:
    return next(claim for claim in CLAIMS if claim.name == name)


STORED = "an odd number of bytes is padded at its end, not in its rows"
ROWS = np.arange(1, 10).reshape(3, 3)


@pytest.mark.parametrize(
    ("given", "verdict"),
    (
        (ROWS, "right"),
        (ROWS.T, "right"),
        (ROWS + 1, "WRONG"),
        (None, "WRONG"),
        (Refused("KeyError"), "refused"),
        (NotOffered("no"), "-"),
    ),
)
def test_an_answer_is_called_what_it_is(board: Any, given: Any, verdict: str) -> None:
    assert board.ask(Fake(given), named(STORED), Path("x")).verdict == verdict


def test_a_transposed_answer_is_noted(board: Any) -> None:
    assert board.ask(Fake(ROWS.T), named(STORED), Path("x")).why == "transposed"


def test_any_error_is_right_where_an_error_is_due(board: Any) -> None:
    claim = named("a file cut in its pixels is refused")
    assert board.ask(Fake(Refused("EOFError")), claim, Path("x")).verdict == "right"
    assert board.ask(Fake(ROWS), claim, Path("x")).verdict == "WRONG"


def test_nobody_is_asked_for_a_rule_of_medimg(board: Any) -> None:
    claim = next(claim for claim in CLAIMS if claim.rule)
    assert board.ask(Fake(ROWS), claim, Path("x")).verdict == "-"


def test_a_reader_that_dies_has_crashed(board: Any, tmp_path: Path) -> None:
    code = "import os, sys; print('ready', flush=True); sys.stdin.readline(); os.abort()"
    process = board.Process("medimg", tmp_path)
    process.command = [sys.executable, "-c", code]
    assert process.ask(0) == ("CRASHED", "exit status -6")
    process.close()


def test_the_script_prints_a_line_a_claim_and_the_sums() -> None:
    command = [sys.executable, str(SCRIPT), "--only", "LINEAR_EXACT", "--readers", "medimg"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("claim")
    assert lines[1].startswith("LINEAR_EXACT has neither") and " right" in lines[1]
    assert any(line.startswith("medimg ") and "1 right, 0 WRONG" in line for line in lines)
