"""From observations to features: one encoder per kind of space, all giving a vector."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from rlcore.config import ShapeError
from rlcore.data.batch import Obs, tree_map
from rlcore.nets.fused import Precision
from rlcore.ops.running import merge_moments
from rlcore.spaces import MASK

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
EncoderClass = type[nn.Module]
"""Made with an observation space; turns rows of observations [N, …] into features [N, out_dim]."""


def mlp(sizes: Sequence[int], activation: str, out_gain: float | None = None) -> nn.Sequential:
    """Linear layers with an activation between them. [..., sizes[0]] → [..., sizes[-1]]

    out_gain: scale of an orthogonal initialisation of the last layer (√2 for the others), as policy-gradient
    implementations use; None keeps PyTorch's own initialisation.
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(sizes):
        layers += [nn.Linear(width, following), ACTIVATIONS[activation]()]
    net = nn.Sequential(*layers[:-1])
    if out_gain is not None:
        linears = [layer for layer in net if isinstance(layer, nn.Linear)]
        for layer in linears:
            orthogonal(layer, out_gain if layer is linears[-1] else math.sqrt(2))
    return net


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    """Orthogonal weights of a given scale and no bias. Saxe et al. 2014, arXiv:1312.6120."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class RunningNorm(nn.Module):
    """Centres and scales observations by statistics that only `learn` changes. [..., *shape] → the same."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], limit: float = 10.0):
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        self.register_buffer("count", torch.tensor(1e-4))

    def forward(self, obs: Tensor) -> Tensor:
        """[..., *shape] → the same, clipped to ±limit standard deviations."""
        return ((obs - self.mean) * (self.var + 1e-8).rsqrt()).clamp(-self.limit, self.limit)

    @torch.no_grad()
    def learn(self, rows: Tensor) -> None:
        """Take new rows into the statistics. [N, *shape]"""
        merged = merge_moments(self.mean, self.var, self.count, rows.to(self.mean.device))
        for old, new in zip((self.mean, self.var, self.count), merged, strict=True):
            old.copy_(new)


class Vector(nn.Module):
    """Numbers of any shape as one vector, normalised if asked. [..., *shape] → [..., out_dim]"""

    def __init__(self, shape: tuple[int, ...], normalize: bool):
        super().__init__()
        self.shape, self.out_dim = shape, prod(shape)
        self.norm = RunningNorm((self.out_dim,)) if normalize else None

    def forward(self, obs: Tensor) -> Tensor:
        """[..., *shape] → [..., out_dim]"""
        flat = obs if len(self.shape) == 1 else obs.reshape(*obs.shape[: obs.dim() - len(self.shape)], self.out_dim)
        flat = flat.float()
        return flat if self.norm is None else self.norm(flat)

    def learn(self, obs: Tensor) -> None:
        """Take observations into the statistics. [N, *shape]"""
        if self.norm is not None:
            self.norm.learn(obs.reshape(len(obs), self.out_dim).float())


class OneHot(nn.Module):
    """Choices as indicator vectors, side by side. [..., (K)] int → [..., Σ nvec]"""

    first: Tensor

    def __init__(self, nvec: Sequence[int], start: Sequence[int], single: bool):
        super().__init__()
        self.nvec, self.single, self.out_dim = tuple(nvec), single, sum(nvec)
        self.register_buffer("first", torch.tensor(start), persistent=False)

    def forward(self, obs: Tensor) -> Tensor:
        """[...] or [..., K] → [..., Σ nvec]"""
        choice = (obs.unsqueeze(-1) if self.single else obs).long() - self.first
        hot = [functional.one_hot(part, count) for part, count in zip(choice.unbind(-1), self.nvec, strict=True)]
        return torch.cat(hot, -1).float()

    def learn(self, obs: Tensor) -> None:
        """Nothing to learn."""


class Pixels(nn.Module):
    """Convolutions over images scaled to [0, 1]. [..., *image] uint8 → [..., out_dim]

    Images of 36 pixels and more go through the network of Mnih et al. 2015 ("Methods, model architecture"), smaller
    ones, such as MiniGrid's, through three 2 × 2 convolutions. The channel axis is the shorter end of the shape;
    an image of two axes has one channel.

    precision: "bfloat16" rounds what the convolutions read and give; parameters and features stay float32.
    """

    def __init__(self, space: spaces.Box, precision: Precision = "float32"):
        super().__init__()
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        shape = space.shape if len(space.shape) == 3 else (1, *space.shape)
        self.grey, self.channels_last = len(space.shape) == 2, shape[-1] < shape[0]
        channels, height, width = (shape[2], *shape[:2]) if self.channels_last else shape
        self.rank, self.scale = len(space.shape), 1 / float(space.high.max())
        if min(height, width) >= 36:
            plan = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        elif min(height, width) >= 4:
            plan = ((16, 2, 1), (32, 2, 1), (64, 2, 1))
        else:
            raise ShapeError(f"Images of {height} × {width} are too small for convolutions. Give the observation as a "
                             "Box of floats and it is read as a vector.")
        layers: list[nn.Module] = []
        for features, size, stride in plan:
            conv = nn.Conv2d(channels, features, size, stride)
            orthogonal(conv, math.sqrt(2))
            layers += [conv, nn.ReLU()]
            channels, height, width = features, (height - size) // stride + 1, (width - size) // stride + 1
        self.convs = nn.Sequential(*layers)
        self.out_dim = channels * height * width

    def forward(self, obs: Tensor) -> Tensor:
        """[..., *image] → [..., out_dim]"""
        lead = obs.shape[: obs.dim() - self.rank]
        image = obs.reshape(-1, *obs.shape[obs.dim() - self.rank:])
        if self.grey:
            image = image.unsqueeze(1)
        elif self.channels_last:
            image = image.permute(0, 3, 1, 2)
        return self._convolved(image).view(*lead, self.out_dim)

    def _convolved(self, image: Tensor) -> Tensor:
        """[N, C, H, W] uint8 → [N, out_dim]"""
        x = image.contiguous(memory_format=torch.channels_last).to(self.dtype)  # bfloat16 holds 0 to 255 exactly
        for conv in list(self.convs)[::2]:
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            # the first layer's weights are scaled instead of the images: there are far fewer of them
            weight = conv.weight * self.scale if conv is self.convs[0] else conv.weight
            x = functional.conv2d(x, weight.to(self.dtype), conv.bias.to(self.dtype), conv.stride).relu_()
        return x.flatten(1).float()

    def learn(self, obs: Tensor) -> None:
        """Nothing to learn outside the gradient."""


class Parts(nn.Module):
    """The features of every part of a dictionary observation, side by side. [..., Σ out_dim]"""

    def __init__(self, parts: dict[str, Any]):
        super().__init__()
        self.names = tuple(parts)
        self.encoders = nn.ModuleList(parts.values())  # names may hold characters that a ModuleDict refuses
        self.out_dim = sum(part.out_dim for part in parts.values())

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """{name: [..., *shape]} → [..., out_dim]"""
        encoded = [encode(obs[name]) for name, encode in zip(self.names, self.encoders, strict=True)]
        return torch.cat(encoded, -1)

    def learn(self, obs: dict[str, Tensor]) -> None:
        """Take observations into the statistics of every part. {name: [N, *shape]}"""
        for name, encode in zip(self.names, self.encoders, strict=True):
            encode.learn(obs[name])  # type: ignore[operator]


class Own(nn.Module):
    """A module of the user's own, made with the observation space. [..., *shape] → [..., out_dim]

    It is given rows [N, *shape] (of a dictionary, a dictionary of such) and has `out_dim`.
    """

    def __init__(self, space: spaces.Space[Any], build: EncoderClass):
        super().__init__()
        self.net = build(space)
        self.out_dim = getattr(self.net, "out_dim", None)
        if not isinstance(self.out_dim, int):
            raise ShapeError(f"The encoder {type(self.net).__name__} must say how many features it gives: set "
                             "self.out_dim to a whole number.")
        self.ranks = {name: len(part.shape or ()) for name, part in space.spaces.items()} \
            if isinstance(space, spaces.Dict) else len(space.shape or ())

    def forward(self, obs: Any) -> Tensor:
        """[..., *shape] → [..., out_dim]"""
        if isinstance(self.ranks, dict):
            obs = {name: obs[name] for name in self.ranks}
            name, rank = next(iter(self.ranks.items()))
            lead = obs[name].shape[: obs[name].dim() - rank]
            rows = {name: part.reshape(-1, *part.shape[len(lead):]) for name, part in obs.items()}
        else:
            lead = obs.shape[: obs.dim() - self.ranks]
            rows = obs.reshape(-1, *obs.shape[len(lead):])
        if self.net.training != torch.is_grad_enabled():  # acting and targets: no dropout, and settled statistics
            self.net.train(torch.is_grad_enabled())
        found: Tensor = self.net(rows)
        if not isinstance(found, Tensor):
            raise ShapeError(f"The encoder {type(self.net).__name__} must turn rows [N, …] into one tensor of features "
                             f"[N, {self.out_dim}], and gave a {type(found).__name__}.")
        if found.dim() != 2 or found.shape[1] != self.out_dim:
            raise ShapeError(f"The encoder {type(self.net).__name__} must turn rows [N, …] into features "
                             f"[N, {self.out_dim}], and gave {[*found.shape]}.")
        return found.view(*lead, self.out_dim)

    def learn(self, obs: Obs) -> None:
        """Nothing to learn outside the gradient."""


def share_statistics(copy: nn.Module, original: nn.Module) -> None:
    """Let the copy of a network see what the user's module in the original keeps beside its parameters.

    A lagging copy is moved by parameters; running statistics of its own would stay as they were at the start.
    """
    for one, other in zip(_owned(original), _owned(copy), strict=True):
        other._buffers = one._buffers


def _owned(net: nn.Module) -> list[nn.Module]:
    """The user's modules in a network, and the modules in them."""
    return [part for own in net.modules() if isinstance(own, Own) for part in own.net.modules()]


def read_by(space: spaces.Space[Any], build: EncoderClass) -> spaces.Space[Any]:
    """An observation space that `encoder_for` reads through a module of the user's own."""
    marked = copy.copy(space)
    vars(marked)["encoder"] = build
    return marked


def reader_of(space: spaces.Space[Any]) -> EncoderClass | None:
    """What `read_by` has set, if it has."""
    found: EncoderClass | None = vars(space).get("encoder")
    return found


def encoder_for(algo: str, space: spaces.Space[Any], normalize: bool = False, precision: Precision = "float32") -> Any:
    """The encoder for an observation space: a module with `out_dim` and `learn`.

    Boxes of uint8 with two or three axes are images; all other Boxes are vectors. normalize: centre and scale
    vectors by running statistics. precision: of the convolutions.

    A space from `read_by` is read by the user's module as it is, without a dictionary's action mask.

    Raises:
        ShapeError: the space is none of Box, Discrete, MultiDiscrete, MultiBinary or a Dict of these.
    """
    if own := reader_of(space):
        if normalize:
            raise ShapeError("normalize_obs=True scales what rlcore's own encoders read. A custom encoder gets "
                             "observations as they are: scale them there, and use normalize_obs=False.")
        return Own(_unmasked(space), own)
    match space:
        case spaces.Box() if space.dtype == np.uint8 and len(space.shape) in (2, 3):
            return Pixels(space, precision)
        case spaces.Box():
            return Vector(space.shape, normalize)
        case spaces.MultiBinary():
            return Vector(space.shape, normalize=False)
        case spaces.Discrete():
            return OneHot([int(space.n)], [int(space.start)], single=True)
        case spaces.MultiDiscrete() if len(space.shape) == 1:
            return OneHot([int(n) for n in space.nvec], [int(n) for n in space.start], single=False)
        case spaces.Dict() if space.spaces.keys() - {MASK}:
            return Parts({name: encoder_for(algo, part, normalize, precision) for name, part in space.spaces.items()
                          if name != MASK})
        case _:
            raise ShapeError(f"{algo} cannot read observations of {space}; what works is a Box, Discrete, "
                             "MultiDiscrete of one dimension, MultiBinary or a Dict of these. rlcore.make_env flattens "
                             "nested ones.")


def _unmasked(space: spaces.Space[Any]) -> spaces.Space[Any]:
    if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
        return space
    return spaces.Dict({name: part for name, part in space.spaces.items() if name != MASK})


def learn_obs(obs: Obs, *encoders: Any) -> None:
    """Take a rollout's observations into the running statistics of each encoder once. [T, B, *obs]"""
    rows = tree_map(lambda part: part.flatten(0, 1), obs)
    for encoder in {id(encoder): encoder for encoder in encoders}.values():
        encoder.learn(rows)


def is_plain(space: spaces.Space[Any]) -> bool:
    """Whether features cost nothing: everything but pixels and what a user's module reads. Networks with such had
    better share their encoder.
    """
    if reader_of(space):
        return False
    if isinstance(space, spaces.Dict):
        return all(is_plain(part) for part in space.spaces.values())
    return not (isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3))
