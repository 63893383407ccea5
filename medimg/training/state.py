"""What moves in a training, and how it is kept and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from medimg.data.augment.own import Transform
from medimg.data.store import ImageStore
from medimg.errors import TrainingError, UsageError
from medimg.files import canonical_json
from medimg.models.build import spec_of
from medimg.training.checkpoint import Checkpoint
from medimg.training.distributed import World
from medimg.training.options import FitOptions
from medimg.training.setup import Setup
from medimg.training.step import Taken

Row = dict[str, Any]

#: Options that say when the state is kept, and change nothing of it.
_OF_KEEPING = ("checkpoint_seconds", "checkpoint_steps")


class State:
    """The place of a training, and what it has come to so far.

    The weights, the optimizer and the average lie in `Setup`, and are kept with it.

    Attributes
    ----------
    epoch, place : int
        Epochs done; batches done of the next one.
    order : uint8 Tensor
        The state of the order's generator at that epoch's start.
    spent, seconds : float
        Of training in this epoch and in all epochs before it.
    stopped : bool
        Whether the training ended before its last epoch.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.epoch, self.place = 0, 0
        self.spent, self.seconds = 0.0, 0.0
        self.stopped = False
        self.history: list[Row] = []
        self.order = setup.generator.get_state()
        self.total, self.count = 0.0, 0.0  # of the losses of this epoch's steps

    @property
    def number(self) -> int:
        """Steps done."""
        return self.epoch * len(self.setup.batches) + self.place

    def add(self, taken: Taken) -> None:
        """Go on by one batch."""
        self.place += 1
        if taken.applied:
            self.total += taken.total
            self.count += taken.divisor

    def mean_loss(self) -> float:
        """Return the mean loss of the epoch's steps.

        Raises
        ------
        TrainingError
            Not one step could be taken.
        """
        if not self.count:
            raise TrainingError(
                f"not one step of epoch {self.epoch + 1} could be taken: no loss was finite",
                remedy=f"lower fit.lr (now {self.setup.options.lr}) or add fit.warmup",
            )
        return self.setup.world.mean(self._total()).item() / self.count

    def _total(self) -> Tensor:
        return torch.tensor(self.total, dtype=torch.float64)

    def end_epoch(self, row: Row) -> None:
        """Go on to the next epoch's start."""
        self.history.append(row)
        self.epoch, self.place = self.epoch + 1, 0
        self.seconds, self.spent = self.seconds + self.spent, 0.0
        self.order = self.setup.generator.get_state()
        self.total, self.count = 0.0, 0.0

    def dump(self) -> Row:
        """Return tensors and plain Python types, not copies: all that the rest depends on.

        Every process has to ask; the first one's answer is the one to keep.
        """
        setup = self.setup
        return {
            "model": setup.model.state_dict(),
            "optimizer": setup.optimizer.state_dict(),
            "average": setup.averaging.state(),
            "best": setup.best.state(),
            "parts": setup.step.parts,
            "skipped": setup.step.guard.skipped,
            "rng": setup.world.rng_states(setup.device),
            "total": setup.world.gather(self._total()),
            **{name: getattr(self, name) for name in _PLAIN},
        }

    def restore(self, state: Row) -> None:
        """Set what `dump` returned."""
        setup = self.setup
        setup.model.load_state_dict(state["model"])
        setup.optimizer.load_state_dict(state["optimizer"])
        setup.averaging.restore(state["average"])
        setup.best.restore(state["best"])
        setup.step.parts, setup.step.guard.skipped = state["parts"], state["skipped"]
        setup.world.set_rng_states(state["rng"], setup.device)
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.total = state["total"][setup.world.rank].item()
        setup.generator.set_state(self.order)


_PLAIN = ("epoch", "place", "order", "spent", "seconds", "stopped", "history", "count")


def identity(
    model: nn.Module,
    store: ImageStore,
    options: FitOptions,
    seed: int,
    transform: Transform | None = None,
) -> dict[str, str]:
    """Return by name what a training that goes on must share with the one that was begun.

    Of a transform the name alone is compared: what it does cannot be read off it.
    """
    spec = spec_of(model, store.shape, store.manifest.space.k)
    given = options.model_dump(mode="json", exclude=set(_OF_KEEPING))
    changes = given.pop("augment")
    return {
        "data": store.fingerprint,
        "model": canonical_json([spec.name, list(spec.shape), spec.classes, spec.options]),
        "seed": str(seed),
        "transform": _name(transform),
        **{f"fit.{name}": str(value) for name, value in given.items()},
        **{f"fit.augment.{name}": str(value) for name, value in changes.items()},
    }


def _name(transform: Transform | None) -> str:
    if transform is None:
        return "none"
    named = transform if hasattr(transform, "__qualname__") else type(transform)
    return f"{named.__module__}.{named.__qualname__}"


def begun(
    checkpoint: Checkpoint | None,
    about: dict[str, str],
    world: World,
    tell: Callable[[str], None],
) -> Row | None:
    """Return the state to go on from, if any; one of another training is refused.

    So is one that not all processes have: each would go its own way.

    Raises
    ------
    UsageError
        Both; see `require_same` and `World.require_same`.
    TrainingError
        All states are damaged.
    """
    saved = None if checkpoint is None else checkpoint.load()
    for note in checkpoint.notes if checkpoint is not None else ():
        tell(note)
    here = "none" if saved is None else f"epoch {saved['epoch']}, step {saved['place']}"
    world.require_same(
        None if checkpoint is None else checkpoint.loaded,
        f"states to go on from (here: {here})",
        remedy="give all of them the same folder of checkpoints, or begin anew with --overwrite",
    )
    if saved is not None:
        require_same(saved["identity"], about)
    return saved


def require_same(found: dict[str, str], wanted: dict[str, str]) -> None:
    """Refuse to go on with a training that was begun as another one, by what differs first.

    Raises
    ------
    UsageError
        Data, network, seed or an option differs.
    """
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise UsageError(
                f"the checkpoint is of another training: {name} was {found.get(name)}, "
                f"and is {wanted[name]}",
                remedy="start again with --overwrite, or put the former value back",
            )
