"""DICOM read by medimg, beside pydicom, GDCM, SimpleITK and MONAI in one run; one JSON line out.

``headers``: the headers of many files, which the benchmark makes from real ones (CT slices of
`ct_contrast`, else pydicom's CT_small; 3 in 20 rewritten in implicit VR, 3 in 20 MR): a plain
loop over ``pydicom.dcmread(stop_before_pixels=True)`` and its peers beside medimg's `scan`, all
that ``medimg index`` does (labels joined, tables written), and that command with the start of its
process; each first and once more on unchanged files.

``pixels``: files of 512 x 512 x 16 bits decoded, for each transfer syntax: pydicom's fastest
plugin in this process, medimg's `read_image` in this process and behind workers (the price of
the isolation), and the peers. pydicom's ``pixel_array`` gives stored values; medimg always
makes the whole way (padding, modality, range), so ``pydicom+modality`` stands beside it.

Every peer runs in a process of its own (SimpleITK and python-gdcm crash in one), started and warm
before the first round; only its work is timed. Rounds are interleaved; seconds are medians over the rounds, ratios medians of each round's own.

    python benchmarks/bench_dicom.py headers --files 10000 --rounds 5
    python benchmarks/bench_dicom.py headers --files 100000 --rounds 3 --peer-files 5000
    python benchmarks/bench_dicom.py pixels --files 40 --rounds 7 --workers 2
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from dicom_files import SYNTAXES, compressed, make_headers, real_slices
from dicom_peers import Peer

from medimg.data.options import DicomPixels
from medimg.data.sources.dicom.headers.scan import scan
from medimg.data.sources.dicom.opening import read_bytes
from medimg.data.sources.dicom.pixels.read import read_image
from medimg.data.sources.dicom.pool import Pool
from medimg.data.sources.formats import Case, read_cases
from medimg.errors import PixelError

Work = Callable[[], Any]
Times = dict[str, list[float]]

#: The range is declared, since GDCM writes CT as of unspecified units.
OPTIONS = DicomPixels(range=(-1024, 3071))
#: Peers of the pixels, in this order.
PIXEL_PEERS = ("pydicom", "pydicom+modality", "gdcm", "SimpleITK", "MONAI")


def through_workers(pool: Pool, paths: Sequence[Path]) -> None:
    """Have all files read in the workers, in order, as the rest of medimg does."""
    cases = [Case(path.name) for path in paths]
    for pixels in read_cases(paths[0].parent, cases, OPTIONS, pool=pool):
        if isinstance(pixels, PixelError):
            raise pixels


def in_process(paths: Sequence[Path]) -> None:
    """Read all files without a worker."""
    for path in paths:
        read_image(read_bytes(str(path), None), "", OPTIONS)


def index(folder: Path, out: Path) -> None:
    """Do what ``medimg index`` does, its tables written, with labels beside the folder."""
    from medimg.cli.index import write_index

    options = {"key": "StudyInstanceUID", "label": ("label",)}
    with contextlib.redirect_stdout(io.StringIO()):
        write_index(folder, out, folder.with_suffix(".csv"), options, overwrite=False)


def command(folder: Path, out: Path) -> None:
    """Run ``medimg index`` in a process of its own, imports and all."""
    words = [sys.executable, "-m", "medimg", "index", str(folder), "-o", str(out)]
    words += ["--labels", f"{folder}.csv", "--key", "StudyInstanceUID", "--label", "label"]
    place = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder.parent / "pyc")}
    subprocess.run(words, check=True, capture_output=True, env=os.environ | place)


def timed(work: Work) -> float:
    """Return the seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rounds_of(works: dict[str, Callable[[], float]], rounds: int) -> Times:
    """Return the seconds of each work in each round, interleaved, in turns of their order.

    Works that are not finite in a first round, which warms them, are left out.
    """
    works = {name: work for name, work in works.items() if math.isfinite(work())}
    times: Times = {name: [] for name in works}
    for number in range(rounds):
        for name in works if number % 2 == 0 else reversed(works):
            times[name].append(works[name]())
    return times


def rates(times: Times, counts: dict[str, int]) -> dict[str, float]:
    """Return files a second, by the median round."""
    return {k: round(counts[k] / statistics.median(t), 1) for k, t in times.items()}


def ratio(times: Times, fast: str, slow: str, counts: dict[str, int]) -> float | None:
    """Return how many times the files a second of `slow` those of `fast` are."""
    if fast not in times or slow not in times:
        return None
    pairs = zip(times[fast], times[slow], strict=True)
    scale = counts[fast] / counts[slow]
    return round(statistics.median(s * scale / f for f, s in pairs), 2)


def bench_headers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time headers and the index."""
    os.environ["MEDIMG_WORKERS"] = str(options.workers)
    data, out = folder / "data", folder / "out"
    data.mkdir()
    paths = make_headers(data, options.files, options.side)
    few = paths[:: max(1, len(paths) // options.peer_files)][: options.peer_files]
    peers = {name: Peer(f"{name} headers") for name in ("pydicom", "gdcm", "SimpleITK")}

    def anew(work: Callable[[Path, Path], None], place: Path) -> float:
        shutil.rmtree(place.parent, ignore_errors=True)
        return timed(partial(work, data, place))

    works: dict[str, Callable[[], float]] = {k: partial(peer, few) for k, peer in peers.items()}
    with Pool(options.workers) as pool:
        works["medimg scan"] = partial(timed, lambda: scan(data, pool))
        for name, work in (("index", index), ("command", command)):
            place = out / name / "manifest.csv"
            works[f"medimg {name}"] = partial(anew, work, place)
            works[f"medimg {name} again"] = partial(timed, partial(work, data, place))
        times = rounds_of(works, options.rounds)
    for peer in peers.values():
        peer.close()
    counts = {name: len(paths) if name.startswith("medimg") else len(few) for name in times}
    return {
        "files": len(paths),
        "peer_files": len(few),
        "bytes_a_file": sum(p.stat().st_size for p in paths) // len(paths),
        "files_per_second": rates(times, counts),
        "scan_vs_pydicom": ratio(times, "medimg scan", "pydicom", counts),
        "index_vs_pydicom": ratio(times, "medimg index", "pydicom", counts),
        "command_vs_pydicom": ratio(times, "medimg command", "pydicom", counts),
        "again_vs_first": ratio(times, "medimg index again", "medimg index", counts),
        "command_again_vs_first": ratio(times, "medimg command again", "medimg command", counts),
        "seconds": {k: [round(s, 3) for s in t] for k, t in times.items()},
    }


def fastest_plugin(path: Path, peer: Peer) -> str:
    """Return pydicom's fastest plugin for a file; nothing where it needs none."""
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return ""
    best: dict[float, str] = {}
    for plugin in pydicom.pixels.get_decoder(syntax).available_plugins:
        seconds = min(peer([path], plugin) for _ in range(5))
        if math.isfinite(seconds):
            best[seconds] = plugin
    return best[min(best)] if best else ""


def bench_pixels(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the decoding of each transfer syntax."""
    slices = [p for p in real_slices() if pydicom.dcmread(p, stop_before_pixels=True).Rows == 512]
    result: dict[str, Any] = {}
    peers = {name: Peer(name) for name in PIXEL_PEERS}
    with Pool(options.workers) as pool, Pool(1) as single:
        for name in options.only or SYNTAXES:
            place = folder / SYNTAXES[name]
            place.mkdir()
            paths = []
            for number in range(options.files):
                data = compressed(slices[number % len(slices)], SYNTAXES[name], folder)
                if data is not None:
                    paths.append(place / f"{number:04d}")
                    paths[-1].write_bytes(data)
            if not paths:
                result[name] = None
                continue
            plugin = fastest_plugin(paths[0], peers["pydicom"])
            works = works_of(paths, plugin, peers, pool, single)
            found = one_syntax(works, len(paths), options.rounds)
            result[name] = {"pydicom_plugin": plugin, **found}
    for peer in peers.values():
        peer.close()
    return {"files": options.files, "syntaxes": result}


def works_of(
    paths: Sequence[Path], plugin: str, peers: dict[str, Peer], pool: Pool, single: Pool
) -> dict[str, Callable[[], float]]:
    """Return who reads the files of one transfer syntax, and how."""
    works: dict[str, Callable[[], float]] = {
        name: partial(peer, paths, plugin) for name, peer in peers.items()
    }
    works["medimg"] = partial(timed, partial(through_workers, pool, paths))
    works["medimg, 1 worker"] = partial(timed, partial(through_workers, single, paths))
    works["medimg in process"] = partial(timed, partial(in_process, paths))
    return works


def one_syntax(works: dict[str, Callable[[], float]], files: int, rounds: int) -> dict[str, Any]:
    """Time one transfer syntax."""
    times = rounds_of(works, rounds)
    counts = dict.fromkeys(times, files)
    inside = statistics.median(times["medimg in process"])
    outside = statistics.median(times["medimg, 1 worker"])
    return {
        "files_per_second": rates(times, counts),
        **{f"vs_{name}": ratio(times, "medimg", name, counts) for name in PIXEL_PEERS},
        "isolation_ms_a_file": round(1000 * (outside - inside) / files, 3),
    }


def versions() -> dict[str, str]:
    """Return the versions of those who ran."""
    names = ("pydicom", "python-gdcm", "SimpleITK", "monai", "numpy", "pylibjpeg-openjpeg")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Run one part and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("headers", "pixels"))
    parser.add_argument("--files", type=int, help="10000 headers, or 40 a transfer syntax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peer-files", type=int, default=10_000, help="of the header peers")
    parser.add_argument("--side", type=int, default=128, help="pixels a side of header files")
    parser.add_argument("--only", nargs="*", choices=list(SYNTAXES), help="transfer syntaxes")
    parser.add_argument("--folder", help="where to write the files, as /dev/shm")
    options = parser.parse_args()
    options.files = options.files or {"headers": 10_000, "pixels": 40}[options.part]
    warnings.simplefilter("ignore")  # of pydicom, about what the real headers hold
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        bench = bench_headers if options.part == "headers" else bench_pixels
        result = bench(options, Path(name))
    about = {"workers": options.workers, "rounds": options.rounds, "cpus": os.cpu_count()}
    about |= {"machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"bench": f"dicom_{options.part}", **result, **about, "with": versions()}))


if __name__ == "__main__":
    main()
