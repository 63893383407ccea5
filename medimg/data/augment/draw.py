"""`Draw`: the random changes of one batch, drawn before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medimg.data.augment.boxes import bounds
from medimg.data.augment.geometry import POINTS, affine, flips, mirrored, warps
from medimg.data.augment.mix import mixes, mixture
from medimg.data.augment.options import AugmentOptions

#: What one uniform number a case is drawn for, on or off, so that the numbers of one change
#: depend on no other.
COLUMNS = (
    *("share", "flip_horizontal", "flip_vertical", "flip_depth", "rotate", "scale", "shear"),
    *("shift_x", "shift_y", "shift_z", "crop", "crop_x", "crop_y", "crop_z", "blur", "gamma"),
    *("contrast", "brightness", "noise", "hole_x", "hole_y", "hole_z"),
    *("mix", "mix_way", "patch_x", "patch_y", "patch_z"),
)


@dataclass(frozen=True)
class Draw:
    """The changes of a batch of N cases, or of a part of them; on the CPU.

    Parameters
    ----------
    values : mapping
        For each change that is on, its parameters of all N cases: `changed` bool (N,), `mirror`
        bool (N, d), `affine` float32 (N, d, d + 1), `bumps` float32 (N, d, POINTS, ...),
        `blur`, `gamma`, `contrast`, `brightness`, `noise` float32 (N,), `holes` int64
        (N, d, 2), `seeds` int64 (N,), `partner` int64 (N,), and `keep`, `blend`, `patch` as
        `medimg.data.augment.mix.mixture` gives them.
    rows : int64 (R,)
        Which of the N cases `Augment.apply` wants: those of this part, then the cases from
        elsewhere that are mixed into them.
    own : int
        How many cases this part has.
    """

    values: Mapping[str, Tensor]
    rows: Tensor
    own: int

    def take(self, part: slice) -> Draw:
        """Return the changes of a part of this draw's cases."""
        own = self.rows[: self.own][part]
        if "partner" not in self.values:
            return Draw(self.values, own, len(own))
        partners = torch.unique(self.values["partner"][own])
        guests = partners[~torch.isin(partners, own)]
        return Draw(self.values, torch.cat([own, guests]), len(own))


def draw(
    options: AugmentOptions,
    n: int,
    size: Sequence[int],
    generator: torch.Generator,
    *,
    odds: Tensor | float,
    transform: bool,
) -> Draw:
    """Draw the changes of `n` cases of `size` ([D,] H, W) from a CPU generator.

    Parameters
    ----------
    odds : float32 (n,) or float
        The probability that a case is changed.
    transform : bool
        Whether seeds are needed for a user's own transform.
    """
    table = torch.rand(len(COLUMNS), n, generator=generator)
    drawn = dict(zip(COLUMNS, table, strict=True))
    values = {"changed": drawn["share"] < odds}
    if flips(options) or warps(options):
        values["mirror"] = mirrored(options, drawn, len(size))
    if warps(options):
        values["affine"] = affine(options, drawn, values["mirror"], size)
    if options.elastic:
        points = torch.rand(n, len(size), *[POINTS] * len(size), generator=generator)
        values["bumps"] = 2 * options.elastic * (2 * points - 1)
    values |= _intensities(options, drawn, size)
    if options.noise or transform:
        values["seeds"] = torch.randint(2**31, (n,), generator=generator)
    if mixes(options):
        values["partner"] = torch.randperm(n, generator=generator)
        values |= mixture(options, drawn, values["changed"], size)
    return Draw(values, torch.arange(n), n)


def _intensities(
    options: AugmentOptions, drawn: Mapping[str, Tensor], size: Sequence[int]
) -> dict[str, Tensor]:
    values = {}
    if options.blur:
        values["blur"] = options.blur * drawn["blur"]
    if options.gamma:
        values["gamma"] = (1 + options.gamma) ** (2 * drawn["gamma"] - 1)
    if options.contrast:
        values["contrast"] = 1 + options.contrast * (2 * drawn["contrast"] - 1)
    if options.brightness:
        values["brightness"] = options.brightness * (2 * drawn["brightness"] - 1)
    if options.noise:
        values["noise"] = options.noise * drawn["noise"]
    if options.cutout:
        centre = torch.stack([drawn[f"hole_{a}"] for a in "zyx"[-len(size) :]], dim=1)
        values["holes"] = bounds(centre, torch.tensor([options.cutout]), size)
    return values
