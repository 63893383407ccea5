"""`fit`: the training loop, on one screen.

B batch, K classes, N training cases.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial
from typing import Any

import torch
from torch import nn

from medimg.data.audit import audit
from medimg.data.augment.own import Transform
from medimg.data.store import ImageStore
from medimg.errors import TrainingError
from medimg.inference.bundle import ModelBundle
from medimg.inference.members import Members
from medimg.models.build import require_space, spec_of
from medimg.progress import Progress
from medimg.provenance import provenance
from medimg.training.alone import alone
from medimg.training.checkpoint import Checkpoint
from medimg.training.distributed import World
from medimg.training.epoch import Batch
from medimg.training.keeper import Keeper
from medimg.training.options import FitOptions
from medimg.training.precision import pick_precision
from medimg.training.setup import Setup
from medimg.training.signals import Signals
from medimg.training.state import State, begun, identity
from medimg.training.step import Taken
from medimg.training.stopping import converged
from medimg.training.threads import pick_threads, threads

Row = dict[str, Any]
Log = Callable[[Row], None]

#: Seconds between two changes of the progress that is shown.
_SHOWN = 0.1


def fit(
    model: nn.Module,
    store: ImageStore,
    options: FitOptions | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    log: Log | None = None,
    checkpoint: Checkpoint | None = None,
    allow_leaks: Collection[str] = (),
    transform: Transform | None = None,
) -> tuple[ModelBundle, list[Row]]:
    """Train `model` in place on the split train of `store`.

    The same seed, machine and thread count give the same bytes, whatever ran before; torch's
    global state is left as it was.

    On CUDA the bits hold but for 3D max pooling, whose backward pass torch has in no deterministic
    form. Where several processes train on CUDA, the model's batch normalization becomes
    `torch.nn.SyncBatchNorm`, and stays so.

    Parameters
    ----------
    model : nn.Module
        ``(B, C, [D,] H, W)`` to logits ``(B, K)``.
    log : function, optional
        Called with a dict at the start, after each epoch, at a step that could not be taken and
        at the end.
    checkpoint : Checkpoint, optional
        Where the state is kept; one that holds a state is gone on from.
    allow_leaks : collection of str
        Codes of leaks that are known and may pass; see `medimg.data.audit.audit`.
    transform : function, optional
        A MONAI or torchvision transform of one training case, in place of the changes that
        `options.augment` names: (C, [D,] H, W) float32 in [0, 1] to the same.

    Returns
    -------
    bundle : ModelBundle
        With the weights of the best epoch where `options.monitor` is set, else of the last.
    history : list of dict
        One row an epoch: epoch, lr, train_loss, seconds, and on val loss, accuracy, AUROC.

    Raises
    ------
    LeakError
        A patient, study or picture stands in several splits, or a picture under several labels.
    UsageError
        Network, options, data or device do not go together; the checkpoint is of another
        training; or the processes that train together differ in one of these.
    TrainingError
        Nothing to train on, or three steps in a row whose loss or gradient is not finite.
    KeyboardInterrupt
        SIGINT came; with a checkpoint, the same call goes on. At SIGTERM the same is kept, and
        who handled it before gets it: Python's own way is to end the process.
    """
    require_space(model, store.manifest.space)
    audit(store, quick=True).require_clean(allow_leaks)
    options = options or FitOptions()
    world = World.current()
    where = world.device(device)
    log = log if log is not None and world.first else _silent
    about = identity(model, store, options, seed, transform)
    world.require_same(about)
    tell = partial(_tell, log) if world.first else _silent
    saved = begun(checkpoint, about, world, tell)
    machine = _machine(options, model, where) if saved is None else saved["machine"]
    with alone(world.seed(seed), where), threads(machine["threads"]), Signals() as signals:
        members = Members.of(store)  # at first: the key may be one that cannot be made
        dtype = getattr(torch, machine["precision"])
        setup = Setup(
            model,
            store,
            options,
            seed=seed,
            device=where,
            dtype=dtype,
            world=world,
            transform=transform,
            tell=tell,
        )
        state = State(setup)
        if saved is not None:
            state.restore(saved)
        keeper = Keeper(
            checkpoint, state, {"identity": about, "machine": machine}, options, signals
        )
        log(_start(state) | machine)
        _train(setup, state, keeper, log)
        log({"event": "end", "epochs": state.epoch, "training_seconds": state.seconds})
        return _bundle(setup, state, seed, members), state.history


def _train(setup: Setup, state: State, keeper: Keeper, log: Log) -> None:
    """Train to the last epoch; whatever ends it, the model is left with nothing frozen."""
    try:
        with Progress("training", setup.steps, "steps", shown=setup.world.first) as progress:
            while state.epoch < setup.options.epochs and not state.stopped:
                row = _train_epoch(setup, state, keeper, progress, log)
                log({"event": "epoch"} | _end_epoch(setup, state, row))
                keeper.after_epoch()
    finally:
        setup.freezer.release()


def _train_epoch(setup: Setup, state: State, keeper: Keeper, progress: Progress, log: Log) -> Row:
    """Take what is left of an epoch's batches; return the epoch's row as far as it is known."""
    epoch = setup.begin(state.epoch)
    rest = epoch.batches[state.place :]
    began, shown = time.perf_counter() - state.spent, 0.0
    with closing(setup.cases.feed.batches(map(epoch.wanted, rest))) as pixels:
        for batch, (positions, integers) in zip(rest, pixels, strict=True):
            taken = setup.take(epoch, batch, positions, integers, state.number)
            state.add(taken)
            state.spent = time.perf_counter() - began
            if not taken.applied:
                _refuse(setup, state, keeper, taken, batch, log)
            if state.spent - shown > _SHOWN:
                shown = state.spent
                progress.advance(state.number - progress.done, _said(setup, state))
            keeper.after_step()
    train_loss = state.mean_loss()
    state.spent = time.perf_counter() - began  # the device has come to the end only now
    progress.advance(state.number - progress.done, _said(setup, state))
    return {
        "epoch": state.epoch + 1,
        "lr": setup.rate_at(state.number - 1),
        "train_loss": train_loss,
        "seconds": state.spent,
    }


def _end_epoch(setup: Setup, state: State, row: Row) -> Row:
    """Look at val, keep the weights where they are the best, and go on to the next epoch."""
    setup.settle()
    row |= setup.validate()
    if not math.isfinite(row.get("val_loss", 0.0)):
        raise TrainingError(
            f"the loss on val is {row['val_loss']} in epoch {row['epoch']}",
            remedy=f"lower fit.lr (now {setup.options.lr}) or add fit.warmup",
        )
    setup.best.look(row, setup.averaging.model)
    state.end_epoch(row)
    state.stopped = setup.best.out_of_patience(state.epoch) or converged(
        state.history, setup.options.converge
    )
    return row


def _refuse(
    setup: Setup, state: State, keeper: Keeper, taken: Taken, batch: Batch, log: Log
) -> None:
    """Say which cases were in a step that could not be taken; the third in a row is the last."""
    loss, cases = taken.total / taken.divisor, setup.cases.ids(batch.positions)
    said = loss if math.isfinite(loss) else str(loss)
    place = {"epoch": state.epoch + 1, "step": state.number}
    log({"event": "skipped"} | place | {"loss": said, "cases": cases})
    try:
        setup.step.guard.refuse(loss, cases)
    except TrainingError:
        keeper.save()
        raise


def _machine(options: FitOptions, model: nn.Module, device: torch.device) -> Row:
    """Return what the bits of a training depend on beside its options."""
    dtype = pick_precision(options.precision, device, next(model.parameters()).dtype)
    return {
        "threads": pick_threads(options.threads),
        "precision": str(dtype).removeprefix("torch."),
    }


def _start(state: State) -> Row:
    setup = state.setup
    return {
        "event": "start",
        "epoch": state.epoch,
        "step": state.number,
        "device": str(setup.device),
        "processes": setup.world.size,
        "train": len(setup.cases.rows),
    }


def _said(setup: Setup, state: State) -> str:
    return f"epoch {state.epoch + 1}/{setup.options.epochs} {setup.best.said}"


def _tell(log: Log, note: str) -> None:
    """Say what whoever trains has to know, on the terminal and in the log."""
    sys.stderr.write(f"medimg: {note}\n")
    log({"event": "note", "note": note})


def _silent(row: object) -> None:
    """Say nothing."""


def _bundle(setup: Setup, state: State, seed: int, members: Members) -> ModelBundle:
    """Return the kept weights as a bundle on the CPU."""
    best, store, model = setup.best, setup.store, setup.model
    if best.weights is not None:
        model.load_state_dict(best.weights)
        state.history[best.epoch - 1]["best"] = True
    elif setup.averaging.model is not model:
        model.load_state_dict(setup.averaging.model.state_dict())
    return ModelBundle(
        model=model.to("cpu").to(memory_format=torch.contiguous_format).eval(),
        spec=spec_of(model, store.shape, setup.space.k),
        preprocess=store.preprocess,
        mean=tuple(setup.cases.mean.tolist()),
        std=tuple(setup.cases.std.tolist()),
        space=setup.space,
        logit_shift=tuple(setup.shift.tolist()),
        fingerprints={
            "manifest": store.manifest.fingerprint,
            "split": store.manifest.split_fingerprint,
            "store": store.fingerprint,
        },
        provenance=provenance(seed=seed, device=str(setup.device)),
        members=members,
    )
