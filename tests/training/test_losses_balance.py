"""Class weights, samplers and logit adjustment: the balance that is taken away is given back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medimg.calibrator import to_probabilities
from medimg.errors import TrainingError, UsageError
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.metrics import ece_positive
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.training.losses import class_weights, logit_shift, make_loss
from medimg.training.options import FitOptions

TWO = LabelSpace(("a", "b"))
THREE = LabelSpace(("a", "b", "c"))
MANY = LabelSpace(("a", "b", "c"), "multilabel")
CPU = torch.device("cpu")
LABELS = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, np.nan, 1]], np.float32)


def options(**given: object) -> FitOptions:
    return FitOptions(**given)  # type: ignore[arg-type]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = class_weights(options(class_weights="balanced"), THREE.one_hot(labels), THREE)
    assert weights is not None
    assert np.allclose(weights, expected)


def test_effective_weights_are_those_of_the_paper() -> None:
    """Cui et al., CVPR 2019: 1 / E_n with E_n = (1 - b^n) / (1 - b), in sum K."""
    counts = np.array([900, 90, 10])
    targets = THREE.one_hot(np.repeat([0, 1, 2], counts))
    beta = 999 / 1000
    inverse = (1 - beta) / (1 - beta**counts)
    given = options(class_weights="effective")
    assert np.allclose(class_weights(given, targets, THREE), inverse / inverse.sum() * 3)
    balanced = class_weights(options(class_weights="balanced"), targets, THREE)
    assert balanced is not None
    ratio = inverse / balanced
    assert 1 < ratio[0] / ratio[2] < 1 / 0.63  # milder, by less than the limit of large n


def test_effective_weights_of_a_label_are_of_its_absent_over_its_present_cases() -> None:
    targets = np.array([[1]] * 10 + [[0]] * 30 + [[np.nan]] * 5, np.float32)
    one = LabelSpace(("a",), "multilabel")
    beta = 39 / 40
    expected = (1 - beta**30) / (1 - beta**10)
    assert np.allclose(class_weights(options(class_weights="effective"), targets, one), expected)


def test_weights_that_do_not_fit_are_refused() -> None:
    targets = TWO.one_hot([0, 0])
    always = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    with pytest.raises(UsageError, match="3 numbers for 2"):
        class_weights(options(class_weights=(1, 2, 3)), targets, TWO)
    for name in ("balanced", "effective"):
        with pytest.raises(TrainingError, match=f"{name}: there is no training case with 'b'"):
            class_weights(options(class_weights=name), targets, TWO)
        with pytest.raises(TrainingError, match="without 'c'"):
            class_weights(options(class_weights=name), always, MANY)


def slopes(given: FitOptions, space: LabelSpace, targets: np.ndarray, logits: np.ndarray) -> float:
    """Return the steepest slope of the loss where all cases get the same `logits`."""
    loss = make_loss(given, space, targets, CPU)
    rows, z = torch.from_numpy(targets).double(), torch.tensor(logits, requires_grad=True)
    value = loss.total(z.expand(len(rows), -1), rows) / loss.count(rows)
    return float(torch.autograd.grad(value, z)[0].abs().max())


@pytest.mark.parametrize(
    "given",
    [
        *(
            {"loss": loss, "class_weights": weights}
            for loss in ("cross_entropy", "mse", "bce")
            for weights in ((1.0, 5.0), "balanced", "effective")
        ),
        {"logit_adjustment": 1.0},
        {"loss": "bce", "logit_adjustment": 0.5, "class_weights": (3.0, 1.0)},
    ],
    ids=str,
)
def test_the_shift_is_what_the_balance_does_to_the_minimizer(given: dict[str, object]) -> None:
    """Of one group of cases the best logits are known: the shares of the data, shifted."""
    targets = TWO.one_hot([0] * 30 + [1] * 10)
    chosen, shares = options(**given), np.log([0.75, 0.25])
    shift = logit_shift(chosen, targets, TWO)
    assert slopes(chosen, TWO, targets, shares + shift) < 1e-6
    assert slopes(chosen, TWO, targets, shares) > 1e-2


def test_the_shift_of_labels_is_that_of_each_by_itself() -> None:
    given = options(class_weights="balanced")
    weights = class_weights(given, LABELS, MANY)
    assert weights is not None
    assert np.allclose(weights, [3, 2, 1 / 3])
    assert np.allclose(logit_shift(given, LABELS, MANY), np.log(weights))
    both = options(class_weights="balanced", logit_adjustment=1.0)
    best = np.log([1 / 3, 1 / 2, 3]) + logit_shift(both, LABELS, MANY)
    assert slopes(both, MANY, LABELS, best) < 1e-6


def test_the_adjusted_loss_alone_ranks_classes_without_their_prior() -> None:
    """Menon et al., ICLR 2021: where pictures say nothing, the logits of all classes are equal."""
    targets = THREE.one_hot([0] * 70 + [1] * 25 + [2] * 5)
    assert slopes(options(logit_adjustment=1.0), THREE, targets, np.zeros(3)) < 1e-6


def test_the_weighted_sampler_shifts_by_its_rates() -> None:
    targets = TWO.one_hot([0] * 30 + [1] * 10)
    shift = logit_shift(options(sampler="weighted"), targets, TWO)
    assert shift[1] - shift[0] == pytest.approx(np.log(3))
    both = logit_shift(options(sampler="weighted", class_weights="balanced"), targets, TWO)
    assert both[1] - both[0] == pytest.approx(2 * np.log(3))
    assert logit_shift(options(sampler="stratified"), targets, TWO).tolist() == [0, 0]


def test_a_class_that_is_never_drawn_is_not_shifted_by_the_sampler() -> None:
    shift = logit_shift(options(sampler="weighted"), THREE.one_hot([0] * 3 + [1]), THREE)
    assert np.isfinite(shift).all()
    assert shift[1] - shift[0] == pytest.approx(np.log(3))


def test_focal_loss_takes_the_weights_back_exactly_at_equal_probabilities() -> None:
    targets = TWO.one_hot([0] * 30 + [1] * 10)
    shares = np.log([0.75, 0.25])
    given = options(loss="focal", class_weights="balanced")
    assert slopes(given, TWO, targets, shares + logit_shift(given, targets, TWO)) < 1e-6
    assert slopes(options(loss="focal"), TWO, targets, shares) > 1e-2  # no proper scoring rule


def test_logits_shifted_by_class_weights_end_calibrated() -> None:
    """Weights of 399/147 shift the logit by 1.0; corrected before temperature scaling, the
    positive class's ECE at 100,000 cases is under .01, uncorrected it stays far above."""
    rng = np.random.default_rng(0)
    n = 100_000
    z = np.stack([np.zeros(n), rng.normal(-1, 1.5, n)], axis=1)
    labels = (rng.random(n) < to_probabilities(z, "logits", TWO)[:, 1]).astype(int)
    targets = TWO.one_hot(labels)
    shift = logit_shift(options(class_weights=(1.0, 399 / 147)), targets, TWO)
    assert shift[1] - shift[0] == pytest.approx(1.0, abs=0.002)

    def ece(scores: np.ndarray) -> float:
        ids = np.char.add("c", np.arange(n).astype(str))
        predictions = Predictions(ids, scores.astype(np.float32), "logits", TWO, targets)
        predictions = predictions.with_calibrator(fit_calibrator(predictions, "temperature"))
        return float(ece_positive(predictions.probabilities, predictions.targets))

    assert ece(z + shift - shift) < 0.01
    assert ece(z + shift) > 0.1


@pytest.mark.parametrize("size", [1, 4, 16, 40])
def test_small_batches_do_not_cancel_the_weights(size: int) -> None:
    """The mean gradient over the batches of an epoch is that of the whole weighted loss."""
    targets = TWO.one_hot([0] * 30 + [1] * 10)
    loss = make_loss(options(class_weights="balanced"), TWO, targets, CPU)
    best = torch.zeros(2, requires_grad=True)  # balanced: equal logits are the minimum
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for batch in torch.split(order, size):
        part = torch.from_numpy(targets)[batch]
        torch.autograd.backward(loss.total(best.expand(len(part), 2), part))
    assert best.grad is not None
    assert best.grad.abs().max().item() < 1e-4


def test_weights_leave_the_mean_loss_of_the_training_cases_where_it_was() -> None:
    targets = TWO.one_hot([0] * 30 + [1] * 10)
    even = torch.zeros(40, 2)
    rows = torch.from_numpy(targets)
    for name in (None, "balanced", "effective", (1.0, 7.0)):
        loss = make_loss(options(class_weights=name), TWO, targets, CPU)
        value = float(loss.total(even, rows) / loss.count(rows))
        assert value == pytest.approx(np.log(2), rel=1e-5)
