"""What a training is made of: its cases, network, loss, optimizer and changes, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg.data.augment import Augment
from medimg.data.augment.own import Transform
from medimg.data.store import ImageStore
from medimg.inference.forward import chunks, forward
from medimg.training.averaging import Averaging
from medimg.training.cases import Cases, make_batches, memory_format
from medimg.training.distributed import World
from medimg.training.epoch import Batch, Epoch
from medimg.training.groups import Freezer, frozen_norms
from medimg.training.losses import logit_shift, make_loss
from medimg.training.norms import has_norms, settle_norms
from medimg.training.optim import make_optimizer
from medimg.training.options import FitOptions
from medimg.training.schedule import learning_rate, set_rates
from medimg.training.step import Step, Taken
from medimg.training.stopping import Best
from medimg.training.validation import validate


class Setup:
    """The parts of one training, on their device.

    Parameters
    ----------
    model : nn.Module
        Trained in place.
    dtype : torch.dtype
        Of the products: float32 or bfloat16.
    transform : function, optional
        The user's own change of one case, see `medimg.data.augment.Augment`.
    tell : function
        Called with what whoever trains has to know.
    """

    def __init__(
        self,
        model: nn.Module,
        store: ImageStore,
        options: FitOptions,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        world: World | None = None,
        transform: Transform | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.store, self.options, self.device = store, options, device
        self.world = world or World()
        self.space = store.manifest.space
        self.layout = memory_format(model)
        self.model = model.to(device).to(memory_format=self.layout)
        network = self.world.wrap(model)  # at first: it may put other norms into the model
        self.cases = Cases(store, model, device)
        self.generator = torch.Generator().manual_seed(seed)
        self.batches = make_batches(options, self.cases.known, self.space.exclusive, self.generator)
        self.plain = torch.cat(self.batches.order())
        self.augment = self._augment(transform)
        self.shift = logit_shift(options, self.cases.known, self.space)
        self.freezer = Freezer(model, options)
        self.optimizer = make_optimizer(model, options)
        self.averaging = Averaging(model, options)
        self.rate_at = partial(learning_rate, options, steps_an_epoch=len(self.batches))
        self.best = Best(options)
        self.rate = options.lr
        self.step = Step(
            model,
            network,
            self.optimizer,
            make_loss(options, self.space, self.cases.known, device),
            classes=self.space.k,
            dtype=dtype,
            parts=options.accumulate,
            clip=options.clip,
            tell=tell,
            world=self.world,
        )

    def _augment(self, transform: Transform | None) -> Augment:
        cases = self.cases
        counts = np.nansum(cases.known, axis=0).astype(int).tolist()
        return Augment(
            self.options.augment,
            mean=cases.mean,
            std=cases.std,
            shape=self.store.shape,
            counts=None if cases.classes is None else counts,
            transform=transform,
        )

    @property
    def steps(self) -> int:
        """Steps of the whole training, if nothing stops it earlier."""
        return self.options.epochs * len(self.batches)

    def begin(self, number: int) -> Epoch:
        """Draw the batches of an epoch, the first being 0, and make the network train."""
        self.freezer.begin(number)
        return Epoch(self.batches, self.augment, self.cases.classes, self.generator, self.world)

    def take(
        self, epoch: Epoch, batch: Batch, positions: Tensor, integers: Tensor, number: int
    ) -> Taken:
        """Take a step, the first of the training being 0, with a batch whose pixels came.

        Parameters
        ----------
        positions : int64 (R,)
            ``epoch.wanted(batch)``, on the device.
        integers : uint8 or int16 (R, C, [D,] H, W)
            Their pixels.
        """
        x, targets = self.cases.floats(integers), self.cases.targets.index_select(0, positions)
        draw = epoch.draw(batch)
        if draw is not None:
            x, targets = self.augment.apply(x, targets, draw)
        self.rate = self.rate_at(number)
        set_rates(self.optimizer, self.rate)
        taken = self.step(x, targets, batch.weight)
        if taken.applied or self.options.average == "swa":  # which takes in epochs' ends alone
            self.averaging.update(number, len(self.batches))
        return taken

    def settle(self) -> None:
        """Fit batch normalization's statistics to plain pictures, where they are of others.

        Augmented pictures, and the weights that an average is made of, have other ones. The cases
        are drawn as the sampler draws them: the shift of the logits is that of such batches.
        """
        self.world.share_buffers(self.model)
        model = self.averaging.model
        if has_norms(model) and (self.augment.on or model is not self.model):
            still = set(frozen_norms(self.model))
            names = {name for name, module in self.model.named_modules() if module in still}
            settle_norms(model, self.cases.plain(self.plain, max(self.batches.sizes)), names)

    def validate(self) -> dict[str, Any]:
        """Return what val says of the network, or of its average; see `validation.validate`."""
        manifest = self.store.manifest
        rows = manifest.rows("val")
        targets = manifest.targets[rows]
        return validate(self._logits, rows, targets, self.space, self.options.monitor)

    def _logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return logits float32 (N, K) of rows of the store, at the balance of the data."""
        mine = rows[self.world.part(len(rows))]
        logits = forward(
            self.averaging.model,
            chunks(self.store, mine),
            len(mine),
            mean=self.cases.mean.tolist(),
            std=self.cases.std.tolist(),
            shift=self.shift.tolist(),
            classes=self.space.k,
            device=self.device,
            label=None,
        )
        return self.world.gather_rows(logits, len(rows))
