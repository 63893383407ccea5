"""`fit`: the training loop, on one screen, and the state that it carries.

B batch, K classes, N training cases.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medimg.calibrator import log_likelihood_terms, to_probabilities
from medimg.data.audit import audit
from medimg.data.augment import apply, draw
from medimg.data.batches import to_float
from medimg.data.store import ImageStore
from medimg.errors import TrainingError, UsageError
from medimg.evaluation.metrics import MULTICLASS, MULTILABEL
from medimg.files import canonical_json
from medimg.inference.bundle import ModelBundle
from medimg.inference.forward import (
    batch_length,
    checked_logits,
    chunks,
    exact_kernels,
    forward,
    pick_device,
)
from medimg.inference.members import Members
from medimg.models.build import spec_of
from medimg.progress import Progress
from medimg.provenance import provenance
from medimg.training.cases import Cases, make_batches, memory_format, moments, training_rows
from medimg.training.checkpoint import Checkpoint
from medimg.training.losses import class_weights, logit_shift, make_loss
from medimg.training.norms import CASES, has_norms, settle_norms
from medimg.training.optim import learning_rate, make_optimizer
from medimg.training.options import FitOptions
from medimg.training.stopping import Best, converged

Row = dict[str, Any]

#: Seconds between two checkpoints, at least; one is written at an epoch's end.
CHECKPOINT_SECONDS = 5.0


def fit(
    model: nn.Module,
    store: ImageStore,
    options: FitOptions | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    log: Callable[[Row], None] | None = None,
    checkpoint: Checkpoint | None = None,
    allow_leaks: Collection[str] = (),
) -> tuple[ModelBundle, list[Row]]:
    """Train `model` in place on the split train of `store`.

    The same seed, machine and thread count give the same bytes; torch's global random state
    is left as it was.

    Parameters
    ----------
    model : nn.Module
        ``(B, C, [D,] H, W)`` to logits ``(B, K)``.
    log : function, optional
        Called with a dict at the start, after each epoch and at the end.
    checkpoint : Checkpoint, optional
        Where the state is kept; one that holds a state is gone on from.
    allow_leaks : collection of str
        Codes of leaks that are known and may pass; see `medimg.data.audit.audit`.

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
    TrainingError
        Nothing to train on, or a loss that is not finite.
    """
    audit(store, quick=True).require_clean(allow_leaks)
    options = options or FitOptions()
    log = log or (lambda row: None)
    with _seeded(seed, pick_device(device)) as where:
        run = _Run(model, store, options, seed, where)
        if checkpoint is not None:
            run.resume(checkpoint.load())
        log({"event": "start", "epoch": run.epoch, "device": str(where), "train": len(run.rows)})
        saved = time.monotonic()
        with Progress("training", options.epochs * len(run.batches), "steps") as progress:
            progress.advance(run.epoch * len(run.batches))
            while run.epoch < options.epochs and not run.stopped:
                row = run.train_epoch(progress)
                log({"event": "epoch"} | row)
                if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                    checkpoint.save(run.state(), run.epoch)
                    saved = time.monotonic()
        log({"event": "end", "epochs": run.epoch, "training_seconds": run.seconds})
        return run.bundle(), run.history


class _Run:
    """One training: its data on the device, and the state that moves."""

    def __init__(
        self,
        model: nn.Module,
        store: ImageStore,
        options: FitOptions,
        seed: int,
        device: torch.device,
    ) -> None:
        self.store, self.options, self.seed, self.device = store, options, seed, device
        self.space = store.manifest.space
        self.rows = training_rows(store)
        self.members = Members.of(store)  # at first: the key may be one that cannot be made
        self.cases = Cases(store, self.rows, device)
        targets = store.manifest.targets[self.rows]
        self.targets = torch.from_numpy(targets.copy()).to(device)
        self.mean, self.std = (m.to(device) for m in moments(store, self.rows))
        weights = class_weights(options, targets, self.space)
        self.shift = logit_shift(options, weights, targets, self.space)
        self.loss = make_loss(
            options,
            self.space,
            None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device),
            1.0 if weights is None else float(np.nanmean(targets @ weights)),
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.batches = make_batches(options, targets, self.space.exclusive, self.generator)
        self.model = model.to(device).to(memory_format=memory_format(model, store))
        self.optimizer = make_optimizer(model, options)
        settles = options.augment.on and has_norms(model)
        self.plain = torch.randperm(len(self.rows), generator=self.generator) if settles else None
        self.epoch, self.seconds, self.stopped = 0, 0.0, False
        self.history: list[Row] = []
        self.best = Best(options)

    def train_epoch(self, progress: Progress) -> Row:
        """Take every batch once, look at val, and return the epoch's row."""
        self.model.train()
        total, seen = torch.zeros((), device=self.device), 0
        start = time.perf_counter()
        for number, positions in enumerate(self.batches.epoch()):
            lr = self._set_rate(self.epoch * len(self.batches) + number)
            x, y = self._batch(positions)
            loss = self.loss(checked_logits(self.model(x), len(x), self.space.k), y)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += loss.detach() * len(positions)
            seen += len(positions)
            progress.advance(1, f"epoch {self.epoch + 1}/{self.options.epochs} {self.best.said}")
        train_loss = float(total) / seen
        seconds = time.perf_counter() - start
        self.epoch += 1
        self.seconds += seconds
        if not math.isfinite(train_loss):
            raise self._diverged("training loss", train_loss)
        row = {"epoch": self.epoch, "lr": lr, "train_loss": train_loss, "seconds": seconds}
        if self.plain is not None:
            settle_norms(self.model, self._plain_batches(self.plain))
        row |= self._validate()
        if not math.isfinite(row.get("val_loss", 0.0)):
            raise self._diverged("loss on val", row["val_loss"])
        self.history.append(row)
        self.best.look(row, self.model)
        self.stopped = self.best.out_of_patience(self.epoch) or converged(
            self.history, self.options.converge
        )
        return row

    def _diverged(self, what: str, value: float) -> TrainingError:
        return TrainingError(
            f"the {what} is {value} in epoch {self.epoch}",
            remedy=f"lower fit.lr (now {self.options.lr}) or add fit.warmup",
        )

    def _batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        positions = positions.to(self.device)
        x = to_float(self.cases.take(positions), self.mean, self.std)
        augment = self.options.augment
        if augment.on:
            changes = draw(augment, len(x), x.shape[2:], self.generator)
            x = apply(x, augment, changes, self.mean, self.std)
        return x, self.targets[positions]

    def _plain_batches(self, order: Tensor) -> Iterator[Tensor]:
        """Yield training cases, not augmented, for the statistics of batch normalization."""
        size = min(batch_length(self.store.shape), max(self.batches.sizes))
        for positions in torch.split(order[:CASES].to(self.device), size):
            if len(positions) == size or len(order) < size:
                yield to_float(self.cases.take(positions), self.mean, self.std)

    def _set_rate(self, step: int) -> float:
        lr = learning_rate(self.options, step, len(self.batches))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def _validate(self) -> Row:
        """Return loss, accuracy and AUROC on val, at the balance of the data."""
        rows = self.store.manifest.rows("val")
        targets = self.store.manifest.targets[rows]
        known = ~np.isnan(targets).all(axis=1)
        rows, targets = rows[known], targets[known]
        if not len(rows):
            return {}
        logits = forward(
            self.model,
            chunks(self.store, rows),
            len(rows),
            mean=self.mean.tolist(),
            std=self.std.tolist(),
            shift=self.shift.tolist(),
            classes=self.space.k,
            device=self.device,
            label=None,
        )
        probabilities = to_probabilities(logits, "logits", self.space)
        metrics = MULTICLASS if self.space.exclusive else MULTILABEL
        return {
            "val_loss": float(np.nanmean(log_likelihood_terms(logits, targets, self.space))),
            "val_accuracy": _finite(metrics["accuracy"](probabilities, targets)),
            "val_auroc": _finite(metrics["auroc_macro"](probabilities, targets)),
        }

    def state(self) -> Row:
        """Return all that the rest of the training depends on."""
        return {
            "identity": self._identity(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device)
            if self.device.type == "cuda"
            else None,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "history": self.history,
            "best": self.best.state(),
        }

    def resume(self, state: Row | None) -> None:
        """Go on from a state; one of other data, options or seed is refused."""
        if state is None:
            return
        if state["identity"] != self._identity():
            raise UsageError(
                "the checkpoint is of other data, options, network or seed",
                remedy="start again with --overwrite, or put the former config back",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.stopped, self.history = state["stopped"], state["history"]
        self.best.restore(state["best"])

    def _identity(self) -> list[Any]:
        spec = spec_of(self.model, self.store.shape, self.space.k)
        return [
            self.store.fingerprint,
            self.options.model_dump_json(),
            self.seed,
            [spec.name, list(spec.shape), spec.classes, canonical_json(spec.options)],
        ]

    def bundle(self) -> ModelBundle:
        """Return the kept weights as a bundle on the CPU."""
        if self.best.weights is not None:
            self.model.load_state_dict(self.best.weights)
            self.history[self.best.epoch - 1]["best"] = True
        manifest = self.store.manifest
        return ModelBundle(
            model=self.model.to("cpu").to(memory_format=torch.contiguous_format).eval(),
            spec=spec_of(self.model, self.store.shape, self.space.k),
            preprocess=self.store.preprocess,
            mean=tuple(self.mean.tolist()),
            std=tuple(self.std.tolist()),
            space=self.space,
            logit_shift=tuple(self.shift.tolist()),
            fingerprints={
                "manifest": manifest.fingerprint,
                "split": manifest.split_fingerprint,
                "store": self.store.fingerprint,
            },
            provenance=provenance(seed=self.seed, device=str(self.device)),
            members=self.members,
        )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[torch.device]:
    devices = range(torch.cuda.device_count()) if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), exact_kernels(device):
        torch.manual_seed(seed)
        yield device


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
