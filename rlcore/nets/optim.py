"""The gradient step: one visible verb, and parameters laid out so that it is cheap."""

from __future__ import annotations

from math import inf

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
    return Adam([params], lr=learning_rate, eps=eps, fused=True)


def descend(loss: Tensor, optimizer: Optimizer, max_grad_norm: float = inf) -> Tensor:
    """zero → backward → clip → step. Returns the gradient's norm before clipping (a tensor: no sync)."""
    optimizer.zero_grad(set_to_none=False)  # flat gradients are views and must stay where they are
    loss.backward()  # type: ignore[no-untyped-call]
    params = [param for group in optimizer.param_groups for param in group["params"]]
    norm = nn.utils.clip_grad_norm_(params, max_grad_norm)
    optimizer.step()
    return norm


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Change the step size of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


@torch.no_grad()
def polyak(target: Tensor, online: Tensor, tau: float) -> None:
    """target ← (1 − τ)·target + τ·online, in place, over flat parameters. [P], [P]"""
    target.lerp_(online, tau)
