"""The gradient step: one visible verb, and parameters laid out so that it is cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer


def flatten(*modules: nn.Module) -> nn.Parameter:
    """Lay all parameters of the modules, and their gradients, into one vector that an optimiser steps at once.

    The modules keep working: their parameters become views. One fused step over one vector replaces a dozen
    small kernels, which is most of an optimiser's cost for small networks. → [P]
    """
    params = [param for module in modules for param in module.parameters()]
    flat = torch.cat([param.detach().reshape(-1) for param in params])
    grad, start = torch.zeros_like(flat), 0
    for param in params:
        end = start + param.numel()
        param.data = flat[start:end].view_as(param)
        param.grad = grad[start:end].view_as(param)
        start = end
    vector = nn.Parameter(flat)
    vector.grad = grad
    return vector


def adam(params: nn.Parameter, learning_rate: float, eps: float = 1e-8) -> Adam:
    """Adam as one fused kernel over a flat vector. Kingma & Ba 2015, arXiv:1412.6980."""
    _leave_compiler_alone()
    optimizer = Adam([params], lr=learning_rate, eps=eps, fused=True)
    # what its first step would lay out, so that none of its own is needed
    optimizer.state[params] = {"step": torch.zeros((), device=params.device),
                               "exp_avg": torch.zeros_like(params.data), "exp_avg_sq": torch.zeros_like(params.data)}
    return optimizer


@cache
def _leave_compiler_alone() -> None:
    """Some of an optimiser's methods first import torch's compiler, to tell it that they are not for it.

    That takes over a second of every run; where the mark is set already, they do not.
    """
    for method in (Optimizer.add_param_group, Optimizer.load_state_dict, Optimizer.state_dict, Optimizer.zero_grad):
        inner = getattr(method, "__wrapped__", None)
        if inner is not None and not hasattr(inner, "__dynamo_disable"):
            setattr(inner, "__dynamo_disable", inner)


def descend(loss: Tensor, optimizer: Optimizer | PlainAdam, max_grad_norm: float = inf) -> Tensor:
    """zero → backward → clip → step. Returns the gradient's norm before clipping (a tensor: no sync)."""
    if isinstance(optimizer, PlainAdam):
        return optimizer.descend(loss, max_grad_norm)
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for param in params:  # flat gradients are views and must stay where they are
        if param.grad is not None:
            param.grad.zero_()
    loss.backward()  # type: ignore[no-untyped-call]
    held = [(part, part.detach().clone()) for param in params for part in getattr(param, "held", ())]
    for part, _ in held:
        part.grad.zero_()
    norm = torch.linalg.vector_norm(params[0].grad) if len(params) == 1 else _norm(params)
    if max_grad_norm < inf:
        share = (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        for param in params:
            param.grad.mul_(share)
    step(optimizer, params)
    for part, value in held:  # an optimiser's momentum moves them without a gradient, too
        part.detach().copy_(value)
    return norm


class PlainAdam:
    """A fused Adam's step in plain operations on its own vector and state, for a compiler to read.

    leaves: the parameters in the vector's order, each a view of it that a loss can be differentiated by.
    """

    def __init__(self, vector: Tensor, leaves: Sequence[Tensor], learning_rate: Tensor, group: Mapping[str, Any],
                 state: Mapping[str, Tensor]):
        self.vector, self.leaves, self.learning_rate = vector, leaves, learning_rate
        self.group, self.state = group, state

    def descend(self, loss: Tensor, max_grad_norm: float) -> Tensor:
        """What `descend` does, by the same formulas; sums may differ in their last bits."""
        (beta1, beta2), state = self.group["betas"], self.state
        grad = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, self.leaves)])
        with torch.no_grad():
            norm: Tensor = torch.linalg.vector_norm(grad)
            if max_grad_norm < inf:
                grad = grad * (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            state["step"].add_(1)
            mean = state["exp_avg"].lerp_(grad, 1 - beta1)
            square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            # joined, because a compiler would work out single numbers anew for every few parameters
            factors = torch.cat([(self.learning_rate / (1 - beta1 ** state["step"])).reshape(1),
                                 (1 - beta2 ** state["step"]).rsqrt().reshape(1)])
            self.vector.sub_(factors[0] * mean / (square.sqrt() * factors[1] + self.group["eps"]))
        return norm


def _norm(params: list[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm([param.grad for param in params if param.grad is not None])


@torch.no_grad()
def step(optimizer: Optimizer, params: list[nn.Parameter]) -> None:
    """What `optimizer.step()` does, bit for bit; cheaper for a fused Adam of one vector.

    `Optimizer.step` runs hooks, a profiler's range and checks of its groups: on a small network that is most of the
    step's time.
    """
    group = optimizer.param_groups[0]
    state: dict[str, Any] = optimizer.state.get(params[0], {})
    if not state or type(optimizer) is not Adam or len(params) > 1 or params[0].device.type != "cpu":
        optimizer.step()
        return
    (beta1, beta2), grad = group["betas"], params[0].grad
    assert grad is not None  # `flatten` laid it out
    state["step"] += 1
    torch._fused_adam_([params[0]], [grad], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
                       lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=0.0, eps=group["eps"], amsgrad=False,
                       maximize=False)


def hold(vector: nn.Parameter, part: nn.Parameter) -> None:
    """Keep one of the parameters in a flat vector as it is, whatever is descended."""
    vector.held = [*getattr(vector, "held", ()), part]  # type: ignore[attr-defined]


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Change the step size of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def anneal(start: float, steps: int | None, taken: int, *optimizers: Optimizer) -> None:
    """Set step sizes to what is left of `start`, which falls to zero over so many env steps, or stays if None."""
    for optimizer in optimizers:
        set_learning_rate(optimizer, start if steps is None else start - start * min(1.0, taken / steps))


@torch.no_grad()
def polyak(target: Tensor, online: Tensor, tau: float) -> None:
    """target ← (1 − τ)·target + τ·online, in place, over flat parameters. [P], [P]"""
    target.lerp_(online, tau)
