"""Networks evaluated for acting: NumPy in, NumPy out, tested against the modules they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from rlcore.arrays import Array
from rlcore.nets.encoders import RunningNorm, Vector

Forward = Callable[[Any], Array]


def numpy_forward(net: nn.Module, device: torch.device) -> Forward:
    """The network as a function from NumPy to NumPy. [B, *obs] → [B, out]

    A small MLP on the CPU spends most of a forward pass in torch's per-call overhead; for those the layers are
    evaluated by NumPy on the parameters' own memory, which follows the optimiser without copying. Everything else
    goes through torch.
    """
    layers = _plain_layers(net) if device.type == "cpu" else None
    if layers is not None:
        return _NumpyMLP(layers)

    @torch.inference_mode()
    def forward(obs: Any) -> Array:
        out: Array = net(to_torch(obs, device)).cpu().numpy()
        return out

    return forward


def to_torch(obs: Any, device: torch.device) -> Any:
    """An observation, an array or a dictionary of them, as tensors."""
    if isinstance(obs, dict):
        return {name: torch.as_tensor(part, device=device) for name, part in obs.items()}
    return torch.as_tensor(obs, device=device)


def _plain_layers(net: nn.Module) -> list[nn.Module] | None:
    """The layers of a network of vectors, linear layers and activations; None for anything else."""
    if not isinstance(net, nn.Sequential):
        return [net] if isinstance(net, nn.Linear | nn.Tanh | nn.ReLU | RunningNorm) else None
    layers: list[nn.Module] = []
    for part in net:
        if isinstance(part, Vector) and len(part.shape) == 1:
            layers += [] if part.norm is None else [part.norm]
        elif (inner := _plain_layers(part)) is not None:
            layers += inner
        else:
            return None
    return layers


class _NumpyMLP:
    """Holds views of the parameters, into which optimisers and checkpoints write; looks again if they have moved."""

    def __init__(self, layers: list[nn.Module]):
        self.layers, self.steps, self.address = layers, list[tuple[Any, ...]](), 0
        self.watched = next((layer.weight for layer in layers if isinstance(layer, nn.Linear)), None)

    def _look(self) -> None:
        self.steps = []
        for layer in self.layers:
            match layer:
                case nn.Linear():
                    self.steps.append((_linear, layer.weight.detach().numpy().T, layer.bias.detach().numpy()))
                case nn.Tanh():
                    self.steps.append((_tanh,))
                case nn.ReLU():
                    self.steps.append((_relu,))
                case RunningNorm():
                    self.steps.append((_norm, layer))

    def __call__(self, x: Any) -> Array:
        address = self.watched.data_ptr() if self.watched is not None else 1
        if address != self.address:
            self._look()
            self.address = address
        for function, *parameters in self.steps:
            x = function(x, *parameters)
        out: Array = x
        return out


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    x = x @ weight
    x += bias
    return x


def _tanh(x: Array) -> Array:
    return np.tanh(x, out=x)


def _relu(x: Array) -> Array:
    return np.maximum(x, 0, out=x)


def _norm(x: Array, norm: RunningNorm) -> Array:
    scaled = (x - norm.mean.numpy()) / np.sqrt(norm.var.numpy() + np.float32(1e-8))
    clipped: Array = np.clip(scaled, -norm.limit, norm.limit)
    return clipped

