"""Losses: their values by hand, their gradients, and that parts add up to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from medimg.errors import TrainingError, UsageError
from medimg.labels import LabelSpace
from medimg.training.losses import Loss, make_loss
from medimg.training.options import FitOptions

TWO = LabelSpace(("a", "b"))
THREE = LabelSpace(("a", "b", "c"))
MANY = LabelSpace(("a", "b", "c"), "multilabel")
GRADES = LabelSpace(("a", "b", "c"), "ordinal")
CPU = torch.device("cpu")
LABELS = {
    "multiclass": THREE.one_hot([0, 0, 0, 1, 1, 2]),
    "multilabel": np.array(
        [[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, np.nan, 1], [1, 1, 0], [np.nan, 0, 0]], np.float32
    ),
}
#: Every loss with every label space and option that it goes with.
ALL = [
    (THREE, {}),
    (THREE, {"label_smoothing": 0.1}),
    (THREE, {"class_weights": "balanced"}),
    (THREE, {"logit_adjustment": 1.0}),
    (THREE, {"loss": "mse"}),
    (THREE, {"loss": "mse", "class_weights": "effective"}),
    (THREE, {"loss": "focal"}),
    (THREE, {"loss": "focal", "focal_gamma": 0.5, "class_weights": "balanced"}),
    (GRADES, {}),
    (MANY, {}),
    (MANY, {"class_weights": "balanced", "logit_adjustment": 1.0}),
    (MANY, {"loss": "focal", "class_weights": "effective"}),
    (MANY, {"loss": "asymmetric"}),
    (MANY, {"loss": "asymmetric", "asymmetric_clip": 0.0, "asymmetric_gammas": (0.5, 0.5)}),
]


def made(space: LabelSpace = TWO, targets: np.ndarray | None = None, **options: object) -> Loss:
    if targets is None:
        targets = LABELS["multilabel"] if not space.exclusive else space.one_hot(range(space.k))
    return make_loss(FitOptions(**options), space, targets, CPU)  # type: ignore[arg-type]


def mean(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return loss.total(logits, targets) / loss.count(targets)


def case(space: LabelSpace) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets (6, 3) of a batch."""
    targets = torch.from_numpy(LABELS["multiclass" if space.exclusive else "multilabel"])
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1)) * 2, targets


def test_losses_of_even_chances_by_hand() -> None:
    logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    assert float(made().total(logits, targets)) == pytest.approx(np.log(2))
    assert float(made(loss="mse").total(logits, targets)) == pytest.approx(0.5)
    focal = made(loss="focal", focal_gamma=3.0)
    assert float(focal.total(logits, targets)) == pytest.approx(np.log(2) / 8)


def test_the_asymmetric_loss_by_hand() -> None:
    one = LabelSpace(("a",), "multilabel")
    loss = made(one, np.array([[1], [0]], np.float32), loss="asymmetric")
    logit = torch.tensor([[np.log(0.6 / 0.4)]])
    present = loss.total(logit, torch.ones(1, 1))
    assert float(present) == pytest.approx(-0.4 * np.log(0.6))
    absent = loss.total(logit, torch.zeros(1, 1))
    assert float(absent) == pytest.approx(-(0.55**4) * np.log(0.45))
    known_absent = torch.tensor([[np.log(0.04 / 0.96)]])
    assert float(loss.total(known_absent, torch.zeros(1, 1))) == 0


def test_cross_entropy_is_that_of_torch_in_value_and_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(64, 3, generator=generator) * 20).requires_grad_()
    soft = torch.rand(64, 3, generator=generator).softmax(dim=1)
    for targets, smoothing in ((soft, 0.0), (soft, 0.2), (THREE.one_hot([0, 2] * 32), 0.0)):
        targets = torch.as_tensor(targets)
        ours = made(THREE, label_smoothing=smoothing).total(logits, targets) / 64
        peer = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        assert float(ours.detach()) == pytest.approx(float(peer.detach()), rel=1e-6)
        (mine,), (theirs,) = torch.autograd.grad(ours, logits), torch.autograd.grad(peer, logits)
        assert torch.allclose(mine, theirs, atol=1e-8, rtol=1e-5)


def test_binary_cross_entropy_of_the_difference_is_cross_entropy_of_two() -> None:
    z = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    t = torch.from_numpy(TWO.one_hot([0, 1, 1, 0, 1, 0, 0, 0, 1]))
    expected = functional.binary_cross_entropy_with_logits(z[:, 1] - z[:, 0], t[:, 1])
    assert float(mean(made(loss="bce"), z, t)) == pytest.approx(float(expected))


def test_focal_without_a_gamma_is_cross_entropy() -> None:
    logits, targets = case(THREE)
    plain = made(THREE, loss="focal", focal_gamma=0.0).total(logits, targets)
    assert float(plain) == pytest.approx(float(made(THREE).total(logits, targets)))


def test_focal_loss_of_labels_is_that_of_the_paper_for_each_known_one() -> None:
    logits, targets = case(MANY)
    known = ~targets.isnan()
    p = 1 / (1 + (-logits[known].double()).exp())
    right = torch.where(targets[known] == 1, p, 1 - p)
    expected = -((1 - right) ** 2 * right.log()).sum()
    assert float(made(MANY, loss="focal").total(logits, targets)) == pytest.approx(float(expected))


@pytest.mark.parametrize("space, options", ALL, ids=str)
def test_gradients_are_those_of_finite_differences(
    space: LabelSpace, options: dict[str, object]
) -> None:
    logits, targets = case(space)
    loss = made(space, targets.numpy(), **options)
    logits, targets = logits.double().requires_grad_(), targets.double()
    gradient = torch.autograd.grad(loss.total(logits, targets) * 3, logits)[0] / 3
    steps = 1e-6 * torch.eye(18, dtype=torch.float64).reshape(18, 6, 3)
    with torch.no_grad():
        rises = [loss.total(logits + h, targets) - loss.total(logits - h, targets) for h in steps]
    assert torch.allclose(gradient.flatten(), torch.stack(rises) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("space, options", ALL, ids=str)
def test_parts_of_a_batch_add_up_to_the_whole(
    space: LabelSpace, options: dict[str, object]
) -> None:
    logits, targets = case(space)
    loss = made(space, targets.numpy(), **options)
    logits, targets = logits.double(), targets.double()
    parts = [(logits[a:b], targets[a:b]) for a, b in ((0, 1), (1, 4), (4, 4), (4, 6))]
    together = sum(float(loss.total(z, t)) for z, t in parts)
    assert together == pytest.approx(float(loss.total(logits, targets)), rel=1e-12)
    counts = sum(float(loss.count(t)) for _, t in parts)
    assert counts == float(loss.count(targets)) == (6 if space.exclusive else 16)


@pytest.mark.parametrize("space, options", ALL, ids=str)
def test_boundless_logits_cost_and_teach_finite_amounts(
    space: LabelSpace, options: dict[str, object]
) -> None:
    targets = case(space)[1]
    loss = made(space, targets.numpy(), **options)
    for size in (30.0, 200.0, 1e4):
        for sign in (1, -1):
            logits = (sign * size * (2 * targets.nan_to_num() - 1)).requires_grad_()
            value = loss.total(logits, targets)
            torch.autograd.backward(value)
            assert value.isfinite(), (size, sign)
            assert logits.grad is not None
            assert logits.grad.isfinite().all(), (size, sign)


@pytest.mark.parametrize("space, options", ALL, ids=str)
def test_half_precision_logits_are_reckoned_in_single(
    space: LabelSpace, options: dict[str, object]
) -> None:
    logits, targets = case(space)
    loss = made(space, targets.numpy(), **options)
    half = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss.total(half, targets)
    assert value.dtype == torch.float32
    expected = loss.total(half.detach().float(), targets)
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-6)
    torch.autograd.backward(value)
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "focal"])
def test_a_mixed_case_pulls_as_its_parts_do(name: str) -> None:
    """Of mixup: the gradient is the mean of those of both classes, weights and all."""
    options = {"loss": name, "class_weights": (1.0, 2.0, 5.0)}
    loss = made(THREE, **options)
    logits = torch.tensor([[0.3, -1.0, 0.7]], requires_grad=True)

    def pull(target: list[float]) -> torch.Tensor:
        value = loss.total(logits, torch.tensor([target]))
        return torch.autograd.grad(value, logits)[0]

    both = 0.3 * pull([1.0, 0.0, 0.0]) + 0.7 * pull([0.0, 0.0, 1.0])
    assert torch.allclose(pull([0.3, 0.0, 0.7]), both, atol=1e-6)


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric"])
def test_unknown_labels_have_no_part_in_the_loss(name: str) -> None:
    loss = made(MANY, loss=name)
    z = torch.tensor([[3.0, -1.0, 0.0]], requires_grad=True)
    target = torch.tensor([[1.0, float("nan"), float("nan")]])
    value = loss.total(z, target)
    torch.autograd.backward(value)
    assert float(loss.count(target)) == 1
    if name == "bce":
        assert float(value.detach()) == pytest.approx(float(np.log1p(np.exp(-3.0))))
    assert z.grad is not None
    assert z.grad[0, 0] < 0
    assert z.grad[0, 1:].tolist() == [0.0, 0.0]


def test_a_batch_without_a_known_label_costs_nothing_and_counts_nothing() -> None:
    unknown = torch.full((2, 3), float("nan"))
    loss = made(MANY)
    assert float(loss.total(torch.ones(2, 3), unknown)) == float(loss.count(unknown)) == 0


@pytest.mark.parametrize(
    "loss, space",
    [
        ("mse", MANY),
        ("cross_entropy", MANY),
        ("bce", THREE),
        ("asymmetric", THREE),
        ("mse", GRADES),
        ("bce", GRADES),
        ("asymmetric", GRADES),
    ],
)
def test_a_loss_without_use_for_the_labels_is_refused(loss: str, space: LabelSpace) -> None:
    with pytest.raises(UsageError, match=loss):
        made(space, loss=loss)


def test_label_smoothing_of_labels_that_do_not_exclude_each_other_is_refused() -> None:
    with pytest.raises(UsageError, match="label_smoothing"):
        made(MANY, label_smoothing=0.1)


def test_a_prior_that_no_training_case_tells_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"logit_adjustment.*'c'"):
        made(THREE, THREE.one_hot([0, 1]), logit_adjustment=1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("space, options", ALL, ids=str)
def test_losses_on_cuda_are_those_of_the_cpu(space: LabelSpace, options: dict[str, object]) -> None:
    logits, targets = case(space)
    results = []
    for device in (CPU, torch.device("cuda")):
        given = FitOptions(**options)  # type: ignore[arg-type]
        loss = make_loss(given, space, targets.numpy(), device)
        z = logits.to(device, copy=True).requires_grad_()
        value = mean(loss, z, targets.to(device))
        torch.autograd.backward(value)
        assert z.grad is not None
        results.append((float(value.detach()), z.grad.cpu()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-6)
