"""Fast paths: each computes what a readable one computes, and is tested against it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from rlcore.arrays import Array
from rlcore.nets.encoders import RunningNorm

Forward = Callable[[Array], Array]


def numpy_forward(net: nn.Module, device: torch.device) -> Forward:
    """The network as a function from NumPy to NumPy, for acting. [B, in] → [B, out]

    A small MLP on the CPU spends most of a forward pass in torch's per-call overhead; for those the layers are
    evaluated by NumPy on the parameters' own memory, which follows the optimiser without copying. Everything else
    goes through torch.
    """
    layers = list(net.modules())[1:] if isinstance(net, nn.Sequential) else []
    plain = (nn.Linear, nn.Tanh, nn.ReLU, RunningNorm)
    if device.type == "cpu" and layers and all(isinstance(layer, plain) for layer in layers):
        return _NumpyMLP(layers)

    @torch.inference_mode()
    def forward(obs: Array) -> Array:
        out: Array = net(torch.as_tensor(obs, dtype=torch.float32, device=device)).cpu().numpy()
        return out

    return forward


class _NumpyMLP:
    def __init__(self, layers: list[nn.Module]):
        self.layers = layers

    def __call__(self, x: Array) -> Array:
        for layer in self.layers:
            match layer:
                case nn.Linear():
                    x = x @ layer.weight.detach().numpy().T
                    x += layer.bias.detach().numpy()
                case nn.Tanh():
                    x = np.tanh(x)
                case nn.ReLU():
                    x = np.maximum(x, 0)
                case RunningNorm():
                    scaled = (x - layer.mean.numpy()) / np.sqrt(layer.var.numpy() + np.float32(1e-8))
                    x = np.clip(scaled, -layer.limit, layer.limit)
        return x
