"""Random changes of training batches: medimg beside MONAI, torchvision and plain torch.

Flip, turn, scale and shift of a batch, as each library does it: MONAI and torchvision a sample at
a time, torch by one `affine_grid` and `grid_sample` for the batch, medimg by its `Augment`, draws
included, medimg also with all cases or one case at a time, which is what picks `batch.CHUNK`.
Interleaved, the fastest of the rounds, in microseconds a case; then the cost of each of medimg's
changes by itself. With one thread it is the thread's own time, which neighbours spoil less. One
JSON line out.

    python benchmarks/bench_augment.py --threads 1 --rounds 20
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from medimg.data.augment import Augment
from medimg.data.augment.options import AugmentOptions

#: Shape of a case -> cases a batch.
SHAPES = {
    (1, 28, 28): 128,
    (3, 64, 64): 64,
    (1, 224, 224): 64,
    (3, 224, 224): 32,
    (1, 28, 28, 28): 32,
}
GEOMETRY = {"flip_horizontal": True, "rotate": 10.0, "scale": 0.1, "shift": 0.05}
EACH: dict[str, Any] = {
    "flip_horizontal": True,
    "rotate": 10.0,
    "elastic": 0.05,
    "crop": 0.2,
    "blur": 1.0,
    "gamma": 0.3,
    "contrast": 0.1,
    "brightness": 0.1,
    "noise": 0.05,
    "cutout": 0.3,
    "mixup": 0.4,
    "cutmix": 1.0,
}
Work = Callable[[], object]


def medimg(x: Tensor, options: dict[str, Any], at_once: int | None = None) -> Work:
    """Return drawing and changing a batch; `at_once` cases at a time."""
    mean = torch.full((x.shape[1],), 0.3, device=x.device)
    augment = Augment(AugmentOptions(**options), mean=mean, std=mean, shape=x.shape[1:])
    augment.chunk = at_once or augment.chunk
    targets = torch.zeros(len(x), 10, device=x.device)
    generator = torch.Generator().manual_seed(0)
    return lambda: augment.apply(x, targets, augment.draw(len(x), generator))


def plain_torch(x: Tensor) -> Work:
    """Return what a short script does for a batch."""
    dims = x.ndim - 2

    def work() -> Tensor:
        angle = torch.deg2rad(20 * torch.rand(len(x)) - 10)
        maps = torch.eye(dims, dims + 1).repeat(len(x), 1, 1)
        maps[:, 0, 0] = maps[:, 1, 1] = torch.cos(angle)
        maps[:, 1, 0], maps[:, 0, 1] = torch.sin(angle), -torch.sin(angle)
        maps[:, :, :dims] *= (1 + 0.2 * torch.rand(len(x), 1, 1) - 0.1) ** -1
        maps[:, :, 0] *= torch.where(torch.rand(len(x), 1) < 0.5, -1.0, 1.0)
        maps[:, :, dims] = 0.2 * torch.rand(len(x), dims) - 0.1
        where = functional.affine_grid(maps.to(x.device), list(x.shape), align_corners=False)
        return functional.grid_sample(x, where, align_corners=False)

    return work


def torchvision(x: Tensor) -> Work:
    """Return torchvision's transforms, a sample at a time."""
    from torchvision.transforms import InterpolationMode, v2

    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(10, (0.05, 0.05), (0.9, 1.1), interpolation=InterpolationMode.BILINEAR),
        ]
    )
    return lambda: torch.stack([transform(sample) for sample in x])


def monai(x: Tensor) -> Work:
    """Return MONAI's transforms, a sample at a time."""
    from monai.transforms import Compose, RandAffine, RandFlip

    size = x.shape[2:]
    turn = (0.175,) if len(size) == 2 else (0.175, 0.0, 0.0)
    shift = [0.05 * side for side in size]
    transform = Compose(
        [
            RandFlip(prob=0.5, spatial_axis=len(size) - 1),
            RandAffine(
                prob=1.0,
                rotate_range=turn,
                scale_range=0.1,
                translate_range=shift,
                padding_mode="zeros",
            ),
        ]
    )
    return lambda: torch.stack([transform(sample).as_tensor() for sample in x])


def fastest(works: dict[str, Work], cases: int, options: argparse.Namespace) -> dict[str, float]:
    """Return microseconds a case of each, interleaved."""
    cuda = options.device == "cuda"
    clock = time.perf_counter if cuda or options.threads > 1 else time.thread_time
    best = dict.fromkeys(works, math.inf)
    for number in range(options.rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            if cuda:
                torch.cuda.synchronize()
            if number:
                best[name] = min(best[name], clock() - start)
    return {name: round(seconds / cases * 1e6, 1) for name, seconds in best.items()}


def measure(
    shape: Sequence[int], cases: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return the figures of one shape."""
    x = torch.rand(cases, *shape, generator=torch.Generator().manual_seed(0)).to(options.device)
    peers = {
        "medimg": medimg(x, GEOMETRY),
        "medimg, all at once": medimg(x, GEOMETRY, cases),
        "medimg, one at a time": medimg(x, GEOMETRY, 1),
        "torch, affine_grid": plain_torch(x),
    }
    if len(shape) == 3:
        peers["torchvision"] = torchvision(x)
    if not options.no_monai:
        peers["monai"] = monai(x)
    each = {name: medimg(x, {name: value}) for name, value in EACH.items()}
    return {
        "affine and flip": fastest(peers, cases, options),
        "each": fastest(each, cases, options),
    }


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--no-monai", action="store_true", help="leave MONAI out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = {
        "x".join(map(str, shape)): measure(shape, cases, options) for shape, cases in SHAPES.items()
    }
    print(
        json.dumps(
            {
                "bench": "augment",
                "unit": "microseconds a case",
                "figures": figures,
                "rounds": options.rounds,
                "threads": options.threads,
                "device": options.device,
                "load": os.getloadavg()[0],
                "cpus": os.cpu_count(),
                "machine": platform.machine(),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
