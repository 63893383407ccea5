"""Averages of weights: the means that they are said to be, and how they are gone on with."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import nn

from medimg.models.build import build_model
from medimg.training.averaging import UPDATES, Averaging
from medimg.training.options import FitOptions


def one_weight() -> nn.Linear:
    return nn.Linear(1, 1, bias=False)


def go_through(
    values: list[float], averaging: Averaging, model: nn.Linear, steps_an_epoch: int, first: int = 0
) -> list[float]:
    """Set the weight to each value as a step would; return the averaged weight after each."""
    found = []
    for step, value in enumerate(values, first):
        nn.init.constant_(model.weight, value)
        averaging.update(step, steps_an_epoch)
        averaged = averaging.model
        assert isinstance(averaged, nn.Linear)
        found.append(averaged.weight.item())
    return found


def test_without_an_average_the_model_is_the_live_one() -> None:
    model = one_weight()
    averaging = Averaging(model, FitOptions())
    averaging.update(0, 1)
    assert averaging.model is model
    assert averaging.state() is None


def test_ema_is_the_mean_written_out_with_its_short_start() -> None:
    model = one_weight()
    averaging = Averaging(model, FitOptions(average="ema", average_epochs=3))
    values = [float(i % 7) for i in range(60)]
    found = go_through(values, averaging, model, steps_an_epoch=5)
    mean, expected = values[0], []
    for n, value in enumerate(values):
        decay = min(math.exp(-1 / 15), (1 + n) / (10 + n)) if n else 0.0
        mean = decay * mean + (1 - decay) * value
        expected.append(mean)
    assert found == pytest.approx(expected, abs=1e-5)


def test_ema_forgets_at_its_time_constant_however_seldom_it_looks() -> None:
    """A jump from 0 to 1 is followed to 1 - 1/e after one time constant."""
    steps, epochs = 1000, 2.0
    model = one_weight()
    averaging = Averaging(model, FitOptions(average="ema", average_epochs=epochs))
    before = 10 * int(steps * epochs)
    go_through([0.0] * before, averaging, model, steps)
    found = go_through([1.0] * int(steps * epochs), averaging, model, steps, first=before)
    assert found[-1] == pytest.approx(1 - 1 / math.e, abs=1e-4)
    assert averaging.updates == 11 * UPDATES


def test_swa_is_the_mean_of_the_last_epochs_ends() -> None:
    model = one_weight()
    averaging = Averaging(model, FitOptions(epochs=5, average="swa", average_epochs=3))
    values = [float(i) for i in range(10)]
    found = go_through(values, averaging, model, steps_an_epoch=2)
    assert found[:5] == values[:5]  # nothing averaged yet: the live network
    assert found[5:] == [5.0, 5.0, 6.0, 6.0, 7.0]  # means of 5; 5, 7; 5, 7, 9


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_a_saved_average_goes_on_to_the_same_bits(kind: str) -> None:
    options = FitOptions(epochs=4, average=kind, average_epochs=2)
    values = torch.randn(12, generator=torch.Generator().manual_seed(0)).tolist()
    model = one_weight()
    whole = go_through(values, Averaging(model, options), model, steps_an_epoch=3)
    for stop in range(12):
        first = Averaging(model, options)
        go_through(values[:stop], first, model, steps_an_epoch=3)
        buffer = io.BytesIO()
        torch.save(first.state(), buffer)
        buffer.seek(0)
        second = Averaging(model, options)
        second.restore(torch.load(buffer, weights_only=True))
        assert go_through(values[stop:], second, model, 3, first=stop) == whole[stop:]


def test_an_average_is_a_copy_that_further_training_does_not_move() -> None:
    model = build_model("cnn", shape=(1, 8, 8), classes=2, widths=(4,))
    averaging = Averaging(model, FitOptions(average="ema"))
    model.train()
    model(torch.randn(4, 1, 8, 8))
    averaging.update(0, 1)
    assert averaging.model is not model
    kept = {name: value.clone() for name, value in averaging.model.state_dict().items()}
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    model(torch.randn(4, 1, 8, 8))
    state = averaging.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    assert averaging.model.medimg_spec == model.medimg_spec
