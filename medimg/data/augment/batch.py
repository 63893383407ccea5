"""`Augment`: random changes of a whole batch on its device, drawn first, then applied.

B cases, C channels, D H W space, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medimg.data.augment import geometry, intensity, mix, own
from medimg.data.augment.draw import Draw, draw
from medimg.data.augment.options import AugmentOptions
from medimg.errors import UsageError

#: Values that are changed at a time on a CPU, so that what lies between stays in its caches: a
#: batch of 28 x 28 whole, five pictures of 224 x 224 (348 us each; one at a time 461, 64 at a
#: time 585: benchmarks/bench_augment.py).
CHUNK = 2**18

#: What of a draw changes no case by itself.
_NOT_OF_ONE_CASE = {"changed", "partner", "keep", "blend", "patch"}


class Augment:
    """The random changes of training batches.

    Parameters
    ----------
    options : AugmentOptions
    mean, std : float32 (C,)
        What the batches were normalized with, as shares of the stored range.
    shape : sequence of int
        (C, [D,] H, W) of one case.
    counts : sequence of int (K,), optional
        Training cases of each class, for ``share: rare``.
    transform : function, optional
        A MONAI or torchvision transform, or any function, in place of the changes of single
        cases: (C, [D,] H, W) float32 in [0, 1] of the stored range to the same.

    Raises
    ------
    UsageError
        Options that do not fit the pictures, the labels or the transform.
    """

    def __init__(
        self,
        options: AugmentOptions,
        *,
        mean: Tensor,
        std: Tensor,
        shape: Sequence[int],
        counts: Sequence[int] | None = None,
        transform: own.Transform | None = None,
    ) -> None:
        _check(options, shape, counts, transform)
        self.options, self.transform = options, transform
        self.size = tuple(shape[1:])
        self.mean = mean.view(1, -1, *[1] * len(self.size))
        self.std = std.view_as(self.mean)
        self.chunk = max(1, CHUNK // math.prod(shape))
        self.odds: Tensor | float
        if options.share == "rare":
            numbers = torch.as_tensor(counts, dtype=torch.float32)
            self.odds = 1 - numbers / numbers.max()
        else:
            self.odds = options.share

    @property
    def on(self) -> bool:
        """Whether anything is changed at all."""
        return self.options.on or self.transform is not None

    def draw(self, n: int, generator: torch.Generator, classes: Tensor | None = None) -> Draw:
        """Draw the changes of a batch of `n` cases from a CPU generator.

        Parameters
        ----------
        classes : int64 (n,), optional
            The class of each case, on the CPU, for ``share: rare``.
        """
        odds = self.odds
        if isinstance(odds, Tensor):
            if classes is None:
                raise ValueError("share: rare needs the classes of the batch")
            odds = odds[classes]
        seeds = self.transform is not None
        return draw(self.options, n, self.size, generator, odds=odds, transform=seeds)

    @torch.no_grad()
    def apply(self, x: Tensor, targets: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return the changed cases and their targets; the same draw gives the same.

        Not under autocast: pictures and their places need float32.

        Parameters
        ----------
        x : float32 (R, C, [D,] H, W)
            The cases ``draw.rows`` of the batch, normalized, on the device of `mean`.
        targets : float32 (R, K)
            NaN is unknown.

        Returns
        -------
        x : float32 (draw.own, C, [D,] H, W)
        targets : float32 (draw.own, K)
            Soft in mixup and CutMix.
        """
        if len(x) != len(draw.rows):
            raise ValueError(f"{len(x)} cases for a draw that wants {len(draw.rows)}: draw.rows")
        if not draw.own:
            return x[:0], targets[:0]
        x = self._change(x, draw)
        if "partner" not in draw.values:
            return x, targets
        mine = draw.rows[: draw.own]
        place = torch.empty(len(draw.values["partner"]), dtype=torch.int64)
        place[draw.rows] = torch.arange(len(draw.rows))
        partner = place[draw.values["partner"][mine]].to(x.device)
        how = {name: draw.values[name][mine].to(x.device) for name in ("keep", "blend", "patch")}
        return mix.mix(x, targets, partner, how)

    def _change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return the cases of `draw`, those changed that are to be changed."""
        if not draw.values.keys() - _NOT_OF_ONE_CASE:
            return x
        changed = draw.values["changed"][draw.rows]
        if changed.all():
            return self._change_all(x, draw.values, draw.rows)
        at = torch.nonzero(changed).flatten()
        if not len(at):
            return x
        there = at.to(x.device)
        return x.index_copy(0, there, self._change_all(x[there], draw.values, draw.rows[at]))

    def _change_all(self, x: Tensor, values: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        if x.device.type != "cpu" or len(x) <= self.chunk:
            return self._change_chunk(x, values, rows)
        pairs = zip(torch.split(x, self.chunk), torch.split(rows, self.chunk), strict=True)
        return torch.cat([self._change_chunk(part, values, at) for part, at in pairs])

    def _change_chunk(self, x: Tensor, values: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """Return the cases, changed, by way of shares of the range, whose ground is 0."""

        def of(name: str) -> Tensor:
            chosen = values[name][rows]
            return chosen.to(x.device, x.dtype if chosen.is_floating_point() else None)

        shares = torch.addcmul(self.mean, x, self.std)
        if self.transform is not None:
            shares = own.transformed(self.transform, shares, values["seeds"][rows].tolist())
        if "affine" in values:
            shares = geometry.warp(shares, of("affine"), of("bumps") if "bumps" in values else None)
        elif "mirror" in values:
            shares = geometry.flip(shares, values["mirror"][rows])
        if "blur" in values:
            shares = intensity.blur(shares, of("blur"), math.ceil(3 * self.options.blur))
        if "gamma" in values:
            shares = intensity.gamma(shares, of("gamma"))
        if "contrast" in values:
            shares.mul_(intensity.column(of("contrast"), shares))
        if "brightness" in values:
            shares.add_(intensity.column(of("brightness"), shares))
        if "noise" in values:
            shares = intensity.noise(shares, of("noise"), values["seeds"][rows].tolist())
        if "holes" in values:
            shares = intensity.cutout(shares, of("holes"))
        return shares.sub_(self.mean).div_(self.std)


def _check(
    options: AugmentOptions,
    shape: Sequence[int],
    counts: Sequence[int] | None,
    transform: own.Transform | None,
) -> None:
    if options.flip_depth and len(shape) != 4:
        raise UsageError(
            f"fit.augment.flip_depth, with pictures of {tuple(shape)}: they have no depth",
            remedy="leave it out, or use flip_horizontal or flip_vertical",
        )
    if options.share == "rare" and counts is None:
        raise UsageError(
            "fit.augment.share: rare, with several labels a case",
            remedy="give a number, as share: 0.5",
        )
    if transform is not None:
        given = options.model_dump(exclude={"share", "mixup", "cutmix"})
        both = [name for name, value in given.items() if value]
        if both:
            raise UsageError(
                f"fit.augment.{both[0]} beside a transform of your own",
                remedy="do it in the transform; share, mixup and cutmix go with it",
            )
