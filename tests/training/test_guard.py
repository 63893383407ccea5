"""Steps that cannot be taken leave no trace; batches too large are split to the same result."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import TrainingError
from medimg.labels import LabelSpace
from medimg.models.build import build_model
from medimg.testing import make_npz
from medimg.training.checkpoint import Checkpoint
from medimg.training.fit import fit
from medimg.training.losses import make_loss
from medimg.training.optim import make_optimizer
from medimg.training.options import FitOptions
from medimg.training.step import Step

SPACE = LabelSpace(("a", "b"))
TARGETS = np.eye(2, dtype=np.float32)[[0, 1] * 6]


class Small(nn.Module):
    """A device whose memory holds so many cases."""

    def __init__(self, most: int, model: nn.Module) -> None:
        super().__init__()
        self.most, self.model = most, model

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("no memory")
        logits: Tensor = self.model(x)
        return logits


class Root(nn.Module):
    """Its gradient at 0 is infinite, and its value is not."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs().sqrt()


def network(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), *between, nn.Linear(6, 2))


def step_of(model: nn.Module, **given: Any) -> Step:
    options = FitOptions(optimizer="sgd", momentum=0.9, lr=0.1)
    loss = make_loss(options, SPACE, TARGETS, torch.device("cpu"))
    return Step(model, model, make_optimizer(model, options), loss, classes=2, **given)


def state_of(step: Step) -> dict[str, Any]:
    return copy.deepcopy({"m": step.model.state_dict(), "o": step.optimizer.state_dict()})


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, Sequence) and not isinstance(a, str):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def batch(n: int = 12) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1)), torch.tensor(TARGETS[:n])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_pixel_that_is_not_finite_moves_neither_weights_nor_statistics(value: float) -> None:
    step = step_of(network(nn.BatchNorm1d(6)))
    x, targets = batch()
    step(x, targets)
    before = state_of(step)
    spoilt = x.clone()
    spoilt[3, 1] = value
    assert not step(spoilt, targets).applied
    step.guard.refuse(float("nan"), ["case"])
    assert equal(state_of(step), before)
    other = step_of(network(nn.BatchNorm1d(6)))
    other(x, targets)
    other(x, targets)
    assert step(x, targets).applied
    assert equal(state_of(step), state_of(other))


def test_an_infinite_gradient_of_a_finite_loss_is_found() -> None:
    model = network(Root())
    model[0].weight.data.zero_()  # type: ignore[operator, union-attr]
    model[0].bias.data.zero_()  # type: ignore[operator, union-attr]
    step = step_of(model)
    before = state_of(step)
    taken = step(*batch())
    assert np.isfinite(taken.total)
    assert not taken.applied
    assert equal(state_of(step), before)


def test_clipping_shortens_the_gradient_to_its_largest_norm() -> None:
    for clip, norm in ((1e-3, 1e-3), (1e3, None)):
        step = step_of(network(), clip=clip)
        step(*batch())
        found = torch.nn.utils.get_total_norm([p.grad for p in step.model.parameters()])  # type: ignore[misc]
        if norm is None:
            plain = step_of(network())
            plain(*batch())
            assert equal(state_of(step), state_of(plain))
        else:
            assert float(found) == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("parts", [2, 3, 5, 12, 40])
def test_parts_add_up_to_the_whole_batch(parts: int) -> None:
    whole, split = step_of(network().double()), step_of(network().double(), parts=parts)
    x, targets = batch()
    for _ in range(3):
        first, second = whole(x.double(), targets), split(x.double(), targets)
        assert first.total == pytest.approx(second.total, rel=1e-14)
    for a, b in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-14)


def test_a_batch_that_is_too_large_is_split_to_the_same_result_and_said_once() -> None:
    said: list[str] = []
    whole = step_of(network().double())
    split = step_of(Small(3, network()).double(), tell=said.append)
    x, targets = batch()
    for _ in range(3):
        whole(x.double(), targets)
        split(x.double(), targets)
    assert split.parts == 4
    assert len(said) == 1
    for a, b in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-14)


def test_a_case_that_does_not_fit_by_itself_is_an_error_with_the_way_out() -> None:
    with pytest.raises(TrainingError, match="does not fit the memory") as caught:
        step_of(Small(0, network()))(*batch())
    assert "preprocess.size" in caught.value.remedy


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("store")
    path = make_npz(folder / "x.npz", n={"train": 40, "val": 12, "test": 8})
    return ImageStore.build(index(path), Preprocess(), folder / "s")


class Spoiling(nn.Module):
    """A network that gives NaN at some of its training steps, counted from 0."""

    def __init__(self, model: nn.Module, *steps: int) -> None:
        super().__init__()
        self.model, self.steps, self.count = model, steps, -1

    def forward(self, x: Tensor) -> Tensor:
        self.count += self.training
        logits: Tensor = self.model(x)
        return logits * torch.nan if self.training and self.count in self.steps else logits


def model_for(store: ImageStore) -> nn.Module:
    return build_model("cnn", shape=store.shape, classes=2, seed=0, widths=(4,), dropout=0.0)


def test_the_cases_of_a_step_that_could_not_be_taken_are_in_the_log(store: ImageStore) -> None:
    rows: list[dict[str, Any]] = []
    model = Spoiling(model_for(store), 1, 2, 6)
    _, history = fit(model, store, FitOptions(epochs=2, batch_size=8), log=rows.append)
    skipped = [row for row in rows if row["event"] == "skipped"]
    assert [row["step"] for row in skipped] == [2, 3, 7]
    assert skipped[0]["loss"] == "nan"
    for row in skipped:
        assert len(row["cases"]) == 8
        assert set(row["cases"]) <= set(store.manifest.case_id[store.manifest.rows("train")])
    assert all(np.isfinite(row["train_loss"]) for row in history)


def test_the_third_in_a_row_ends_the_training_with_the_last_good_state(
    store: ImageStore, tmp_path: Path
) -> None:
    model = Spoiling(model_for(store), 3, 4, 5)
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(TrainingError, match=r"three steps in a row .* nan; the last batch: x.npz#"):
        fit(model, store, FitOptions(epochs=2, batch_size=8), checkpoint=checkpoint)
    good = Spoiling(model_for(store), 3, 4, 5)
    with pytest.raises(TrainingError):
        fit(good, store, FitOptions(epochs=2, batch_size=8))
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert (state["epoch"], state["place"]) == (1, 1)
    assert all(torch.isfinite(t).all() for t in state["model"].values())
    assert equal(dict(state["model"]), dict(good.state_dict()))
