"""A plain MLP as one node of the autograd graph.

Autograd books every layer of a small network separately, which costs more than the arithmetic. Here a network is one
node: its backward pass is written out and adds straight into the parameters' `.grad`, so a loss keeps its readable
form and only the network it is given changes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rlcore.nets.ensemble import EnsembleMLP

Precision = Literal["float32", "bfloat16"]

# Below this width a product in bfloat16 spends more on converting its inputs than it saves.
_WIDE = 128

_mkldnn: Any = torch.backends.mkldnn  # its switches are set at run time: type checkers do not see them


def fuse(net: nn.Module, precision: Precision = "float32") -> Callable[[Tensor], Tensor]:
    """The same function with cheaper gradients, if `net` is a plain MLP or an ensemble of them; else `net` itself.

    precision: "bfloat16" rounds the inputs of wide products; weights, sums and everything else stay float32.
    """
    if isinstance(net, EnsembleMLP) or (isinstance(net, nn.Sequential) and _is_plain(list(net))):
        return Fused(net, precision)
    return net


def _is_plain(layers: Sequence[nn.Module]) -> bool:
    linears, between = layers[::2], layers[1::2]
    return (len(layers) % 2 == 1 and all(type(layer) is nn.Linear and layer.bias is not None for layer in linears)
            and len({type(layer) for layer in between}) <= 1 and all(isinstance(x, nn.Tanh | nn.ReLU) for x in between))


@dataclass(frozen=True)
class _Layer:
    """Parameters of K networks at one depth. weight [K, out, in] or [K, in, out], bias [K, 1, out] or [out]."""

    weight: nn.Parameter
    bias: nn.Parameter
    wide: bool


class Fused:
    """A network evaluated as one autograd node. [..., in] → [..., out], of an ensemble [N, in] → [K, N]

    Holds the network's own parameters; nothing may change them between a forward pass and its backward pass.
    """

    def __init__(self, net: nn.Sequential | EnsembleMLP, precision: Precision = "float32"):
        self.ensemble = isinstance(net, EnsembleMLP)
        if isinstance(net, EnsembleMLP):
            pairs, self.tanh = list(zip(net.weights, net.biases, strict=True)), False
        else:
            pairs = [(layer.weight, layer.bias) for layer in net if isinstance(layer, nn.Linear)]
            self.tanh = any(isinstance(layer, nn.Tanh) for layer in net)
        rounds = precision == "bfloat16"
        self.layers = [_Layer(w, b, rounds and min(w.shape[-2:]) >= _WIDE) for w, b in pairs]

    @property
    def rounds(self) -> bool:
        """Whether some products are rounded to bfloat16."""
        return any(layer.wide for layer in self.layers)

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output; its backward pass adds to the parameters' gradients."""
        return self._apply(x, self.layers[0].weight)

    def frozen(self, x: Tensor) -> Tensor:
        """The same output, its gradient flowing to `x` alone: half the backward pass, for an actor's loss."""
        return self._apply(x, None)

    def first(self, x: Tensor) -> Tensor:
        """The output of an ensemble's first member, its gradient flowing to `x` alone. → [N] or [N, outputs]"""
        member, ones = copy.copy(self), cast(Any, [(layer.weight[:1], layer.bias[:1]) for layer in self.layers])
        member.layers = [_Layer(w, b, layer.wide) for (w, b), layer in zip(ones, self.layers, strict=True)]
        return member.frozen(x)[0]

    def _apply(self, x: Tensor, learner: nn.Parameter | None) -> Tensor:
        rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
        out: Tensor
        graph = torch.is_grad_enabled()
        out = _Node.apply(rows, learner, self) if graph else self.forward(rows)[-1]  # type: ignore[no-untyped-call]
        if self.ensemble:
            return out.squeeze(-1)
        return out if x.dim() == 2 else out.view(*x.shape[:-1], out.shape[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The input of every layer, then the output. [N, in] → [N, width] …, of an ensemble [K, N, width] …"""
        inputs, last = [x], self.layers[-1]
        for layer in self.layers:
            with _products(layer.wide):
                x = self._affine(x, layer)
            if layer is not last:
                x = x.tanh_() if self.tanh else x.relu_()
            inputs.append(x)
        return inputs

    def _affine(self, x: Tensor, layer: _Layer) -> Tensor:
        if not self.ensemble:
            return torch.addmm(layer.bias, x, layer.weight.t())
        num, _, width = layer.weight.shape
        out = x.new_empty(num, x.shape[-2], width)
        each = x.unbind(0) if x.dim() == 3 else [x] * num
        # one product per member: a batched one is no faster, and slower in bfloat16
        for member, w, b, into in zip(each, layer.weight.unbind(0), layer.bias.unbind(0), out.unbind(0), strict=True):
            torch.addmm(b, member, w, out=into)
        return out

    def backward(self, inputs: Sequence[Tensor], grad: Tensor, *, learn: bool, to_input: bool) -> Tensor | None:
        """Add ∂/∂θ to the parameters' gradients and return ∂/∂x. inputs of every layer, grad as the output."""
        for depth in reversed(range(len(self.layers))):
            layer, x = self.layers[depth], inputs[depth]
            with _products(layer.wide):
                if learn:
                    self._add_gradients(layer, x, grad)
                if depth == 0 and not to_input:
                    return None
                grad = self._back(layer, grad, shared=depth == 0)
            if depth > 0:
                grad = (torch.ops.aten.tanh_backward(grad, x) if self.tanh
                        else torch.ops.aten.threshold_backward(grad, x, 0))
        return grad

    def _add_gradients(self, layer: _Layer, x: Tensor, grad: Tensor) -> None:
        weight, bias = _grad(layer.weight), _grad(layer.bias)
        if not self.ensemble:
            weight.addmm_(grad.t(), x)
            bias.add_(grad.sum(0))
            return
        each = x.unbind(0) if x.dim() == 3 else [x] * len(grad)
        for member, g, w in zip(each, grad.unbind(0), weight.unbind(0), strict=True):
            w.addmm_(member.t(), g)
        bias.add_(grad.sum(1, keepdim=True))

    def _back(self, layer: _Layer, grad: Tensor, *, shared: bool) -> Tensor:
        if not self.ensemble:
            return grad @ layer.weight
        members = list(zip(grad.unbind(0), layer.weight.unbind(0), strict=True))
        if shared:  # all members read the same input: their gradients add up
            total = members[0][0] @ members[0][1].t()
            for g, w in members[1:]:
                total.addmm_(g, w.t())
            return total
        out = grad.new_empty(*grad.shape[:-1], layer.weight.shape[1])
        for (g, w), into in zip(members, out.unbind(0), strict=True):
            torch.mm(g, w.t(), out=into)
        return out


class Plain(Fused):
    """A `Fused` network in plain operations, for a compiler, which differentiates and joins them itself.

    leaf: the tensor that stands for each of its parameters.
    """

    def __init__(self, net: Fused, leaf: Callable[[nn.Parameter], Any]):
        self.ensemble, self.tanh = net.ensemble, net.tanh
        self.layers = [_Layer(leaf(layer.weight), leaf(layer.bias), layer.wide) for layer in net.layers]

    def _apply(self, x: Tensor, learner: nn.Parameter | None) -> Tensor:  # noqa: ARG002  # it is asked for gradients by name
        out = x.reshape(-1, x.shape[-1])
        if self.ensemble:
            out = out.expand(len(self.layers[0].weight), *out.shape)
        for depth, layer in enumerate(self.layers):
            if depth:
                out = out.tanh() if self.tanh else out.relu()
            weight = layer.weight if self.ensemble else layer.weight.t()
            out = _rounded_product(out, weight) if layer.wide else out @ weight
            out = out + layer.bias
        return out.squeeze(-1) if self.ensemble else out.view(*x.shape[:-1], out.shape[-1])


class RoundedLinear(nn.Linear):
    """A linear layer for networks that cannot be fused; a wide one rounds what it multiplies to bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]"""
        if min(self.weight.shape) < _WIDE:
            return super().forward(x)
        return _rounded_product(x, self.weight.t()) + self.bias


def _rounded_product(x: Tensor, weight: Tensor) -> Tensor:
    """x·W in bfloat16, as autocast computes it. [..., n, k], [..., k, m] → [..., n, m] float32"""
    return (x.bfloat16() @ weight.bfloat16()).float()


class _Node(torch.autograd.Function):
    """Ties a `Fused` network into the graph: `learner` only tells autograd that the output has a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, learner: Tensor | None, net: Fused) -> Tensor:
        *inputs, out = net.forward(x)
        ctx.save_for_backward(*inputs)
        ctx.net, ctx.learn = net, learner is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        to_input = ctx.needs_input_grad[0]
        return ctx.net.backward(ctx.saved_tensors, grad, learn=ctx.learn, to_input=to_input), None, None


def _grad(param: nn.Parameter) -> Tensor:
    if param.grad is None:
        param.grad = torch.zeros_like(param)
    return param.grad


class _products:  # noqa: N801  # reads as a phrase: with _products(rounded)
    """Inside, the CPU's float32 products round their inputs to bfloat16 and add up in float32.

    The switch belongs to the whole process: products of other threads are rounded for as long.
    """

    def __init__(self, rounded: bool):
        self.rounded = rounded

    def __enter__(self) -> None:
        if self.rounded:
            self.before = _mkldnn.matmul.fp32_precision
            _mkldnn.matmul.fp32_precision = "bf16"

    def __exit__(self, *_: object) -> None:
        if self.rounded:
            _mkldnn.matmul.fp32_precision = self.before
