"""`DenseStack`: the layers of a multi-layer perceptron, trained on the CPU as one function.

B batch, I inputs and O outputs of a layer. To autograd a run of linear layers with relu is a
dozen nodes with casts and copies of their own; as one `autograd.Function` it is the matrix
products and little else. The parameters stay those of the `nn.Linear` inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Weights of at least so many values are multiplied by oneDNN, and in bfloat16 under autocast;
#: below, setting its kernels up and casting cost more than they save.
WIDE = 2**15

#: oneDNN's linear layer, which also serves float32 (torch's own takes MKL, less than half as
#: fast on AMD). What `torch.compile` calls on the CPU; absent where torch has no oneDNN.
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)

#: relu's own way back, a seventh of the time of any mask; the same bits without it.
_GATE = getattr(torch.ops.aten, "threshold_backward", None)

#: Whether `torch.func` is at work, which runs the modules one by one; where torch has no such
#: name they are run so always.
_transforms_active: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", lambda: True
)

#: Where modules keep who listens to them; a name that torch no longer has counts as a listener.
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Layer(NamedTuple):
    """A linear layer and what follows it: relu or nothing, and the share dropped after relu."""

    linear: nn.Linear
    relu: bool
    dropped: float


class DenseStack(nn.Sequential):
    """An `nn.Sequential` whose runs of linear layers train faster on the CPU.

    Anything may stand in it; a run of ``Linear[, ReLU[, Dropout]]`` with a wide layer is fused.
    In evaluation, on CUDA, in float64, with hooks on a layer, under `torch.func` and
    `torch.compile` it is a plain `nn.Sequential`. In training under
    ``torch.autocast("cpu", torch.bfloat16)`` wide layers are multiplied in bfloat16 and narrow
    ones in float32, where they are as fast; weights, their gradients and the output are float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what the modules make of `x`, one after the other."""
        modules = list(self)
        place = 0
        while place < len(modules):
            layers, after = dense_run(modules, place) if self._fuses(x) else ([], place)
            if layers:
                x = fused(x, layers)
            else:
                x, after = modules[place](x), place + 1
            place = after
        return x

    def _fuses(self, x: Tensor) -> bool:
        return (
            self.training
            and x.dim() == 2
            and x.dtype in (torch.float32, torch.bfloat16)
            and x.device.type == "cpu"
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not _transforms_active()
        )


def dense_run(modules: Sequence[nn.Module | None], start: int) -> tuple[list[Layer], int]:
    """Return the layers that can be fused from `start` on, and the place after them."""
    layers: list[Layer] = []
    place, n = start, len(modules)
    while place < n and (linear := _plain(modules[place], nn.Linear)) is not None:
        place += 1
        relu = place < n and _plain(modules[place], nn.ReLU) is not None
        place += relu
        dropout = _plain(modules[place], nn.Dropout) if relu and place < n else None
        place += dropout is not None
        share = dropout.p if dropout is not None and dropout.training else 0.0
        if linear.weight.dtype is not torch.float32 or share >= 1:
            return [], start
        layers.append(Layer(linear, relu, share))
    return layers, place


_Module = TypeVar("_Module", bound=nn.Module)


def _plain(module: nn.Module | None, kind: type[_Module]) -> _Module | None:
    """Return the module where it is of just this kind and nobody listens to it, else None."""
    if type(module) is not kind:
        return None
    for name in _HOOKS:
        if getattr(module, name, True):
            return None
    return module


def fused(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return the output float32 (B, O) of a run of layers for `x` (B, I), through autograd.

    Parameters
    ----------
    x : float32 or bfloat16 (B, I)
        On the CPU.
    """
    lower = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
    with torch.autocast("cpu", enabled=False):
        if all(layer.linear.weight.numel() < WIDE for layer in layers):
            return _separate(x.to(torch.float32), layers)
        plan = tuple((relu, dropped) for _, relu, dropped in layers)
        parameters = [p for layer in layers for p in (layer.linear.weight, layer.linear.bias)]
        out: Tensor = _Stack.apply(x, plan, lower, *parameters)
    return out


def _separate(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return what `fused` does by torch's own nodes, which are faster for small products."""
    for linear, relu, dropped in layers:
        x = functional.linear(x, linear.weight, linear.bias)
        if relu:
            x = x.relu_()
        if dropped:
            x = functional.dropout(x, dropped)
    return x


class _Stack(torch.autograd.Function):
    """A run of linear layers: forward, and the gradients written out by hand."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, plan: tuple[tuple[bool, float], ...], lower: bool, *parameters: Tensor
    ) -> Tensor:
        inputs, weights, h = [], [], x
        for place, (relu, dropped) in enumerate(plan):
            weight, bias = parameters[2 * place : 2 * place + 2]
            dtype = torch.bfloat16 if lower and weight.numel() >= WIDE else torch.float32
            h, weight = h.to(dtype), weight.to(dtype)
            inputs.append(h)
            weights.append(weight)
            h = _linear(h, weight, None if bias is None else bias.to(dtype), relu)
            if dropped:
                functional.dropout(h, dropped, training=True, inplace=True)
        out = h.to(torch.float32)
        ctx.plan = plan
        ctx.save_for_backward(x, *inputs, out if plan[-1][0] else None, *weights, *parameters)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x, *saved), n = ctx.saved_tensors, len(ctx.plan)
        values, weights = saved[: n + 1], saved[n + 1 : 2 * n + 1]
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return _twice(x, ctx.plan, values, saved[2 * n + 1 :], gradient, needs)
        out: list[Tensor | None] = [None] * (2 * n)
        for place in reversed(range(n)):
            relu, dropped = ctx.plan[place]
            if relu:
                # Where relu or dropout gave 0, nothing comes back: both are read off the output.
                gradient = _gated(gradient, values[place + 1].to(gradient.dtype))
            if dropped:
                gradient = gradient.mul_(1 / (1 - dropped))
            if needs[4 + 2 * place]:
                out[2 * place + 1] = gradient.sum(0, dtype=torch.float32)
            gradient = gradient.to(weights[place].dtype)
            if needs[3 + 2 * place]:
                out[2 * place] = torch.mm(gradient.t(), values[place]).to(torch.float32)
            if not (needs[0] or any(needs[3 : 3 + 2 * place])):
                return None, None, None, *out
            gradient = torch.mm(gradient, weights[place])
        return gradient.to(x.dtype), None, None, *out


def _gated(gradient: Tensor, values: Tensor) -> Tensor:
    """Return the gradient where `values` are above 0, else 0."""
    if _GATE is None:
        return gradient.masked_fill(values <= 0, 0)
    gated: Tensor = _GATE(gradient, values, 0)
    return gated


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    if _ONEDNN is not None and weight.numel() >= WIDE:
        y: Tensor = _ONEDNN(x, weight, bias, "relu" if relu else "none", [], "")
        return y
    y = functional.linear(x, weight, bias)
    return y.relu_() if relu else y


def _twice(
    x: Tensor,
    plan: tuple[tuple[bool, float], ...],
    values: Sequence[Tensor],
    parameters: Sequence[Tensor],
    gradient: Tensor,
    needs: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Return the gradients as functions that can be differentiated again.

    By plain operations: between its kinks the stack is linear, with the mask of `values`.
    """
    wanted = [t for t, need in zip((x, *parameters), (needs[0], *needs[3:]), strict=True) if need]
    h = x.to(torch.float32)
    for place, (relu, dropped) in enumerate(plan):
        h = functional.linear(h, *parameters[2 * place : 2 * place + 2])
        if relu:
            h = h * (values[place + 1] > 0) / (1 - dropped)
    found = iter(torch.autograd.grad(h, wanted, gradient, create_graph=True))
    each = [next(found) if need else None for need in (needs[0], *needs[3:])]
    return each[0], None, None, *each[1:]
