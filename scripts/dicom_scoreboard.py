"""Ask medimg and its peers every claim of `tests/dicom_conformance`, and print who is right.

    python scripts/dicom_scoreboard.py [--data FOLDER] [--only TEXT] [--readers NAME ...] [--why]

Each reader runs in a process of its own with a time limit a claim: ``right``, ``WRONG`` (an
answer without a word that it is not the right one), ``refused`` (an error where an answer is due)
and ``CRASHED`` (the process died or hung); ``-`` where a reader does not promise such an answer.
An error where the claim says that it must be refused is right, whatever the error.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import select
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]

from dicom_conformance.claims import (  # noqa: E402
    At,
    Claim,
    NotOffered,
    Reader,
    Refused,
    files_of,
    judge,
)
from dicom_conformance.every import CLAIMS  # noqa: E402
from dicom_peers import PACKAGES, READERS  # noqa: E402

SECONDS_TO_START = 180.0
SECONDS = 30.0
OURS = "medimg"
OUTCOMES = ("right", "WRONG", "refused", "CRASHED", "-")


class Outcome(NamedTuple):
    """How a reader did on a claim, and why."""

    verdict: str
    why: str = ""


def ask(reader: Reader, claim: Claim, files: Path | Sequence[Path]) -> Outcome:
    """Ask one claim of a reader in this process."""
    if claim.rule and reader.name != OURS:
        return Outcome("-", "a rule of medimg")
    try:
        got = reader.answer(claim, files)
    except NotOffered as reason:
        return Outcome("-", str(reason))
    except Refused as refused:
        right = claim.kind == "refused" and (reader.name != OURS or refused.code in claim.expected)
        return Outcome("right" if right else "refused", f"refused: {refused.code}")
    try:
        wrong = judge(claim, got)
        if wrong and _turned(claim, got):
            return Outcome("right", "transposed")
    except Exception as error:
        wrong = f"an answer of no use: {type(error).__name__}"
    return Outcome("WRONG", wrong) if wrong else Outcome("right")


def _turned(claim: Claim, got: Any) -> bool:
    """Whether the answer is right but for the order of rows and columns."""
    if claim.kind not in ("stored", "values", "grey", "colour") or isinstance(claim.expected, At):
        return False
    return np.ndim(got) >= 2 and judge(claim, np.swapaxes(np.asarray(got), 0, 1)) == ""


class Process:
    """A reader in a process of its own, started when it is needed, started again when it dies."""

    def __init__(self, name: str, jobs: Path) -> None:
        self.command = [sys.executable, __file__, "--reader", name, "--jobs", str(jobs)]
        self.process: subprocess.Popen[str] | None = None

    def ask(self, number: int) -> Outcome:
        """Return how the reader did on the claim of this number."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._line(SECONDS_TO_START)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        line = self._line(SECONDS)
        if line:
            return Outcome(*json.loads(line))
        status = self.process.poll()
        self.close()
        return Outcome("CRASHED", "time limit" if status is None else f"exit status {status}")

    def _line(self, seconds: float) -> str:
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if ready else ""
        if ready and not line:
            self.process.wait()
        return line

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None


def serve(name: str, jobs: Path) -> None:
    """Answer the numbers of claims that come on standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    os.dup2(1, 2)
    warnings.simplefilter("ignore")
    if name == OURS:
        from dicom_conformance.medimg_reader import Medimg

        reader: Reader = Medimg()
    else:
        reader = READERS[name]()
    files = json.loads(jobs.read_text())
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        number = int(line)
        names = files[number]
        paths = Path(names) if isinstance(names, str) else [Path(n) for n in names]
        print(json.dumps(ask(reader, CLAIMS[number], paths)), file=out, flush=True)


def prepare(folder: Path, data: Path, numbers: Sequence[int]) -> Path:
    """Make or find the file of each claim, a series in a folder of its own; return their list."""
    files: list[str | list[str]] = [""] * len(CLAIMS)
    for number in numbers:
        place = folder / str(number)
        place.mkdir()
        found = files_of(CLAIMS[number], place, data)
        if isinstance(found, Path):
            files[number] = str(found)
            continue
        if CLAIMS[number].on_vendors_file:
            copies = [place / path.name for path in found]
            for path, copy in zip(found, copies, strict=True):
                copy.write_bytes(path.read_bytes())
            found = copies
        files[number] = [str(path) for path in found]
    jobs = folder / "jobs.json"
    jobs.write_text(json.dumps(files))
    return jobs


def score(
    jobs: Path, numbers: Sequence[int], names: Sequence[str]
) -> dict[str, dict[int, Outcome]]:
    """Return the outcomes of each reader that is installed, by claim."""
    board: dict[str, dict[int, Outcome]] = {}
    for name in names:
        if name != OURS and _version(PACKAGES[name]) is None:
            print(f"{name}: absent (it is not installed)")
            continue
        process = Process(name, jobs)
        board[name] = {number: process.ask(number) for number in numbers}
        process.close()
    return board


def show(board: dict[str, dict[int, Outcome]], numbers: Sequence[int], *, why: bool) -> None:
    """Print a line a claim, then the sums."""
    widths = {name: max(len(name), 7) for name in board}
    print(f"{'claim':88}  " + "  ".join(f"{n:{w}}" for n, w in widths.items()))
    for number in numbers:
        claim = CLAIMS[number]
        title = f"{claim.name} [{claim.kind}] ({claim.clause})"
        title = title if len(title) <= 88 else f"{title[:85]}..."
        cells = [f"{board[n][number].verdict:{w}}" for n, w in widths.items()]
        print(f"{title:88}  " + "  ".join(cells))
        for name in board if why else ():
            outcome = board[name][number]
            if outcome.why and outcome.verdict != "-":
                print(f"    {name}: {outcome.why[:150]}")
    print()
    for name, outcomes in board.items():
        sums = Counter(outcome.verdict for outcome in outcomes.values())
        turned = sum(outcome.why == "transposed" for outcome in outcomes.values())
        version = _version(PACKAGES.get(name, name)) or ""
        asked = len(outcomes) - sums["-"]
        counts = ", ".join(f"{sums[o]} {o}" for o in OUTCOMES[:4])
        note = f" ({turned} of them transposed)" if turned else ""
        print(f"{name} {version}: asked {asked} of {len(outcomes)}: {counts}{note}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Read the arguments; be the board, or one reader of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    named = os.environ.get("MEDIMG_DATA")
    place = Path(named) if named else ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=place, help="the real data sets")
    parser.add_argument("--only", default="", help="claims whose name or clause holds this text")
    names = (OURS, *READERS)
    parser.add_argument("--readers", nargs="+", choices=names, default=names, help="who is asked")
    parser.add_argument("--why", action="store_true", help="say what each wrong answer was")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.reader:
        serve(given.reader, given.jobs)
        return
    numbers = [n for n, c in enumerate(CLAIMS) if given.only in f"{c.name} {c.clause}"]
    if not (given.data / "dicom").is_dir():
        numbers = [n for n in numbers if not CLAIMS[n].needs_data]
        print(f"without the claims on {given.data}: it is not there", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        jobs = prepare(Path(folder), given.data, numbers)
        show(score(jobs, numbers, given.readers), numbers, why=given.why)


if __name__ == "__main__":
    main()
