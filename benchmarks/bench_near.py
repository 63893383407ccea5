"""All pairs of a large set searched for near-duplicates; one JSON line out.

``python benchmarks/bench_near.py [--set mnist|fashion-mnist] [--count 60000]``: more pictures
than the set holds are made by moving its own by one pixel and adding noise to them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.near import near_duplicates

DATA = Path(os.environ.get("MEDIMG_DATA", "../shared/data"))


def load(name: str, count: int) -> NDArray[np.uint8]:
    """Return `count` pictures (N, 1, 28, 28)."""
    raw = gzip.decompress((DATA / name / "train-images-idx3-ubyte.gz").read_bytes())
    pictures = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    more = pictures[: max(0, count - len(pictures))]
    noise = np.random.default_rng(0).integers(0, 40, more.shape, np.uint8)
    moved = np.roll(more, 1, axis=-1) // 2 + more[::-1] // 3 + noise
    return np.concatenate([pictures[:count], moved])


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", default="fashion-mnist")
    parser.add_argument("--count", type=int, default=60_000)
    options = parser.parse_args()
    pictures = load(options.set, options.count)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    pairs = near_duplicates(pictures)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "bench": "near",
                "set": options.set,
                "pictures": len(pictures),
                "seconds": round(seconds, 1),
                "cpu_seconds": round(after.ru_utime - before.ru_utime, 1),
                "peak_rss_mib": after.ru_maxrss // 1024,
                "rss_before_mib": before.ru_maxrss // 1024,
                "pairs": len(pairs),
                "equal": sum(pair.how == "equal" for pair in pairs),
                "load": os.getloadavg()[0],
                "cpus": os.cpu_count(),
                "machine": platform.machine(),
                "numpy": np.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
