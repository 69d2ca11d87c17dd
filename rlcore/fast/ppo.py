"""PPO's gradient step with the loss's gradient written out. Schulman et al. 2017, arXiv:1707.06347, eq. 9.

For networks this small, calling torch and keeping its graph costs more than the arithmetic. What is computed is the
readable `ppo_loss` followed by `descend`, in NumPy on the parameters' own memory: the clipped surrogate,
½(V − target)² and the entropy bonus, each row by its weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from rlcore.arrays import Array
from rlcore.data.batch import Obs
from rlcore.nets import optim
from rlcore.nets.actor_critic import ActorCritic
from rlcore.nets.fused import Fused

_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class PPOCoefs:
    """The loss's numbers, named as in PPO's settings."""

    clip: float
    value_coef: float
    entropy_coef: float
    max_grad_norm: float


def fits(net: nn.Module) -> bool:
    """Whether `PPOStep` can differentiate it: linear layers with one kind of tanh or ReLU between them, on the CPU."""
    if not isinstance(net, nn.Sequential) or any(param.device.type != "cpu" for param in net.parameters()):
        return False
    linears, between = list(net)[::2], list(net)[1::2]
    return (len(net) % 2 == 1 and all(type(layer) is nn.Linear and layer.bias is not None for layer in linears)
            and len({type(layer) for layer in between}) <= 1
            and all(isinstance(layer, nn.Tanh | nn.ReLU) for layer in between))


class PPOEpochs:
    """Passes over a rollout by `PPOStep`, for the networks that `of` finds fit."""

    def __init__(self, model: ActorCritic, params: nn.Parameter, optimizer: Adam):
        self.model = model
        self.step = PPOStep(model.actor, model.critic, model.log_std, params, optimizer)
        self.columns: list[Array] = []
        self.last: list[Array] = []    # the last minibatch

    @classmethod
    def of(cls, model: ActorCritic, params: nn.Parameter, optimizer: Adam) -> PPOEpochs | None:
        """None where the networks hold more than an actor and a critic that fit, or round some products."""
        rounds = any(out.rounds for out in (model.actor_out, model.critic_out) if isinstance(out, Fused))
        plain = (model.body is None and model.core is None and model.value_norm is None and not model.masked
                 and not rounds and not list(model.encoder.parameters())
                 and model.actions.kind in ("discrete", "continuous"))
        return cls(model, params, optimizer) if plain and fits(model.actor) and fits(model.critic) else None

    @torch.no_grad()
    def load(self, obs: Obs, *columns: Tensor) -> None:
        """The rollout to learn from: observations, then action, log_prob, advantage, target and weight. [N, …]"""
        self.columns = [column.numpy() for column in (self.model.encoder(obs), *columns)]

    def __call__(self, order: Array, size: int, coefs: PPOCoefs) -> float:
        """One pass in the given order, in minibatches of `size`. Returns the last gradient's norm."""
        shuffled = [column[order] for column in self.columns]
        for first in range(0, len(order), size):
            self.last = [column[first:first + size] for column in shuffled]
            norm = self.step(coefs, *self.last)
        return norm

    def metrics(self, clip: float) -> dict[str, Tensor]:
        """What `ppo_metrics` says of the last minibatch."""
        return {name: torch.tensor(value) for name, value in self.step.metrics(clip, *self.last).items()}


class PPOStep:
    """One gradient step after another for an actor and a critic that share no layer and `fits`.

    log_std [D] belongs to a Gaussian actor; None makes the actor's outputs logits. params is the flat vector that
    `flatten` laid out over all of them and `optimizer` steps: its state stays the optimiser's own.
    """

    def __init__(self, actor: nn.Sequential, critic: nn.Sequential, log_std: nn.Parameter | None,
                 params: nn.Parameter, optimizer: Adam):
        assert params.grad is not None  # `flatten` laid it out
        self.actor, self.critic = _MLP(actor), _MLP(critic)
        self.log_std = None if log_std is None else _memory(log_std)
        self.optimizer, self.params, self.grad = optimizer, params, params.grad.numpy()

    def __call__(self, coefs: PPOCoefs, obs: Array, action: Array, log_prob: Array, advantage: Array, target: Array,
                 weight: Array) -> float:
        """Learn from a minibatch; weight 0 marks dummy rows. Returns the gradient's norm before clipping.

        obs [N, obs_dim], action [N] or [N, D], the others [N]; all float32 but for int64 choices.
        """
        self.coefs = coefs
        share, gain = _shares(advantage, weight)
        out = self.actor.forward(obs)
        self.actor.backward(self._categorical(out, action, log_prob, gain, share) if self.log_std is None
                            else self._gaussian(out, self.log_std, action, log_prob, gain))
        value = self.critic.forward(obs)[:, 0]
        self.critic.backward(((value - target) * share * np.float32(self.coefs.value_coef))[:, None])

        norm = math.sqrt(self.grad @ self.grad)
        if norm > self.coefs.max_grad_norm:
            self.grad *= np.float32(self.coefs.max_grad_norm / (norm + 1e-6))
        optim.step(self.optimizer, [self.params])
        return norm

    def metrics(self, clip: float, obs: Array, action: Array, log_prob: Array, advantage: Array, target: Array,
                weight: Array) -> dict[str, float]:
        """Loss, entropy and divergence as `ppo_metrics` computes them, without a step. Shapes as above."""
        share, gain = _shares(advantage, weight)
        out = self.actor.forward(obs)
        if self.log_std is None:
            log_probs, probs = _softmax(out)
            new, entropy = log_probs[action, np.arange(len(action))], -(probs * log_probs).sum(0) @ share
        else:
            level = self.log_std[0]
            new = _gaussian_log_prob((action - out) * np.exp(-level), level)
            entropy = level.sum() + 0.5 * len(level) * (1 + _LOG_2PI)
        ratio = np.exp(new - log_prob)
        error = target - self.critic.forward(obs)[:, 0]
        return {
            "loss/policy": -np.minimum(ratio * gain, _clip(ratio, clip) * gain).sum(),
            "loss/value": 0.5 * (error * error) @ share,
            "policy/entropy": entropy,
            "policy/kl": (ratio - 1 - (new - log_prob)) @ share,
            "policy/clip_fraction": (np.abs(ratio - 1) > clip) @ share,
            "value/explained_variance": 1 - _variance(error, share) / max(_variance(target, share), 1e-8),
        }

    def _to_log_prob(self, new: Array, old: Array, gain: Array) -> Array:
        """∂/∂log π of Σ −min(ρ·g, clip(ρ)·g): −ρ·g where ρ·g is the smaller, 0 where the clip holds. [N]"""
        ratio = np.exp(new - old)
        paid = ratio * gain
        towards: Array = -paid * (paid <= _clip(ratio, self.coefs.clip) * gain)
        return towards

    def _categorical(self, logits: Array, action: Array, old: Array, gain: Array, share: Array) -> Array:
        """∂loss/∂logits.  ∂log π(a)/∂z = 1[a] − p,  ∂H/∂z = −p·(log p + H).  [N, A]"""
        rows = np.arange(len(action))
        log_probs, probs = _softmax(logits)
        to_log_prob = self._to_log_prob(log_probs[action, rows], old, gain)
        grad = probs * -to_log_prob
        grad[action, rows] += to_log_prob
        if self.coefs.entropy_coef:
            entropy = -(probs * log_probs).sum(0)
            grad += probs * (log_probs + entropy) * (share * np.float32(self.coefs.entropy_coef))
        return np.ascontiguousarray(grad.T)

    def _gaussian(self, mean: Array, log_std: tuple[Array, Array], action: Array, old: Array, gain: Array) -> Array:
        """∂loss/∂μ; ∂loss/∂log σ goes to its place.  ∂log π/∂μ = z/σ,  ∂log π/∂log σ = z² − 1,  ∂H/∂log σ = 1.  [N, D]
        """
        level, to_level = log_std
        precision = np.exp(-level)
        z = (action - mean) * precision
        to_log_prob = self._to_log_prob(_gaussian_log_prob(z, level), old, gain)
        np.subtract(to_log_prob @ (z * z - 1), np.float32(self.coefs.entropy_coef), out=to_level)
        towards: Array = to_log_prob[:, None] * z * precision
        return towards


def _shares(advantage: Array, weight: Array) -> tuple[Array, Array]:
    """Each row's share of a mean, and that times its standardised advantage. [N], [N]"""
    share = weight / max(float(weight.sum()), 1e-8)
    centred = advantage - advantage @ share
    return share, share * centred / (np.sqrt((centred * centred) @ share) + 1e-8)


def _variance(value: Array, share: Array) -> float:
    centred = value - value @ share
    return float((centred * centred) @ share)


def _clip(ratio: Array, clip: float) -> Array:
    """np.clip takes twice as long."""
    held: Array = np.minimum(np.maximum(ratio, np.float32(1 - clip)), np.float32(1 + clip))
    return held


def _softmax(logits: Array) -> tuple[Array, Array]:
    """[N, A] → log-probabilities and probabilities [A, N]: sums over a short last axis are slow."""
    log_probs = np.ascontiguousarray(logits.T)
    log_probs -= log_probs.max(0)
    probs = np.exp(log_probs)
    total = probs.sum(0)
    log_probs -= np.log(total)
    probs /= total
    return log_probs, probs


def _gaussian_log_prob(z: Array, log_std: Array) -> Array:
    """Of standardised actions. [N, D], [D] → [N]"""
    log_prob: Array = np.float32(-0.5) * (z * z).sum(-1) - (log_std.sum() + np.float32(0.5 * _LOG_2PI * len(log_std)))
    return log_prob


class _MLP:
    """A network's parameters and gradients as NumPy sees them, with buffers for one batch size at a time."""

    def __init__(self, net: nn.Sequential):
        linears = [layer for layer in net if isinstance(layer, nn.Linear)]
        self.weights, self.to_weights = zip(*(_memory(layer.weight) for layer in linears), strict=True)
        self.biases, self.to_biases = zip(*(_memory(layer.bias) for layer in linears), strict=True)
        self.tanh = any(isinstance(layer, nn.Tanh) for layer in net)
        self.inputs: list[Array] = []
        self._allocate(0)

    def _allocate(self, rows: int) -> None:
        widths = [len(bias) for bias in self.biases]
        self.outputs, self.grads, self.slopes = (
            [np.empty((rows, width), np.float32) for width in widths] for _ in range(3))
        self.ones = np.ones(rows, np.float32)

    def forward(self, x: Array) -> Array:
        """[N, in] → [N, out], in memory that the next call overwrites."""
        if len(x) != len(self.ones):
            self._allocate(len(x))
        self.inputs = [x, *self.outputs[:-1]]
        last = self.outputs[-1]
        for read, weight, bias, out in zip(self.inputs, self.weights, self.biases, self.outputs, strict=True):
            np.matmul(read, weight.T, out=out)
            out += bias
            if out is last:
                break
            if self.tanh:
                np.tanh(out, out=out)
            else:
                np.maximum(out, 0, out=out)
        return last

    def backward(self, grad: Array) -> None:
        """Put ∂/∂θ in its place, given ∂/∂out [N, out] of the last `forward`."""
        for depth in reversed(range(len(self.weights))):
            read = self.inputs[depth]
            np.matmul(grad.T, read, out=self.to_weights[depth])
            np.matmul(self.ones, grad, out=self.to_biases[depth])
            if depth:
                before, slope = self.grads[depth - 1], self.slopes[depth - 1]
                combine = np.multiply if grad.shape[1] == 1 else np.matmul  # an outer product is no matter for BLAS
                combine(grad, self.weights[depth], out=before)
                if self.tanh:
                    np.multiply(read, read, out=slope)
                    np.subtract(1, slope, out=slope)
                else:
                    np.greater(read, 0, out=slope)
                before *= slope
                grad = before


def _memory(param: Tensor) -> tuple[Array, Array]:
    assert param.grad is not None  # `flatten` laid it out
    return param.detach().numpy(), param.grad.numpy()
