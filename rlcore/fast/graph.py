"""An agent's step of learning as one compiled graph.

Gradient steps on small networks are hundreds of short calls, and what lies between the calls takes longer than the
arithmetic. Here an agent's own readable step is followed once, on a copy of the agent whose vectors are the graph's
inputs; what it did is then compiled into one function, its gradients and optimisers included. Vectors and optimisers'
states stay where they are and are changed in place, so nothing else of the agent needs to know.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from rlcore.data.batch import Batch
from rlcore.data.replay import Transitions
from rlcore.nets.critics import Critics
from rlcore.nets.fused import Fused, Plain
from rlcore.nets.optim import PlainAdam

STEPS = ("learn", "improve")
"""The methods of an agent that are pure steps: of its vectors, its optimisers and the tensors they are given."""


def has_compiler() -> bool:
    """Whether this machine can compile what torch writes."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name)


def obstacle(agent: Any) -> str | None:
    """Why an agent's steps cannot be compiled, as the end of a sentence; None if they can."""
    critics, vectors = getattr(agent, "critics", None), _vectors(agent)
    if not hasattr(agent, "learn") or not isinstance(critics, Critics):
        return "this algorithm's updates cannot"
    if any(True for _ in critics.encoder.parameters()) or not isinstance(agent.policy, Fused):
        return "only networks of plain layers can"
    if any(getattr(vector, "held", ()) for vector in vectors.values()):
        return "an agent with frozen parameters cannot"
    return None


def compile_steps(agent: Any, backend: str = "inductor") -> None:
    """Let compiled functions stand in for the agent's steps, each compiled at its first call.

    backend: one of torch's; "eager" runs the graph's operations one by one.
    """
    for name in STEPS:
        if hasattr(agent, name):
            setattr(agent, name, Graph(agent, name, backend))


class Graph:
    """One step of an agent. Called as the method is: with tensors and batches of them, and flags, one graph for each
    of whose values is compiled.
    """

    def __init__(self, agent: Any, name: str, backend: str):
        self.agent, self.name, self.backend = agent, name, backend
        self.compiled: dict[tuple[Any, ...], tuple[Callable[..., Any], Any]] = {}

    @torch.no_grad()
    def __call__(self, *args: Any) -> Any:
        """Take the step and return what the method returns."""
        given = [self._encoded(arg) for arg in args]
        key = tuple(arg for arg in given if isinstance(arg, bool))
        leaves = list(_leaves(given))
        if key not in self.compiled:
            self.compiled[key] = self._compile(given, leaves)
        function, shape = self.compiled[key]
        return _rebuilt(shape, iter(function(*_state(self.agent), *leaves)))

    def _encoded(self, arg: Any) -> Any:
        """Observations as features: an encoder without parameters stays outside, with its changing statistics."""
        if not isinstance(arg, Transitions):
            return arg
        features = self.agent.critics.features
        return replace(arg, obs=features(arg.obs), next_obs=features(arg.next_obs))

    def _compile(self, given: list[Any], leaves: list[Tensor]) -> tuple[Callable[..., Any], Any]:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a second: only runs that compile pay for it

        state, returned = _state(self.agent), list[Any]()

        def step(*tensors: Tensor) -> list[Tensor]:
            stand_in = _stand_in(self.agent, tensors[:len(state)])
            with torch.enable_grad():
                method = getattr(type(self.agent), self.name)
                returned.append(method(stand_in, *_rebuilt(given, iter(tensors[len(state):]))))
            return [leaf.detach() for leaf in _leaves(returned[-1])]

        generator = torch.random.get_rng_state()
        graph = make_fx(step)(*(tensor.detach().clone() for tensor in (*state, *leaves)))
        torch.random.set_rng_state(generator)
        options: Any = None
        if self.backend == "inductor":  # the same random numbers as without it, and no Python between kernels
            options = {"fallback_random": True, "cpp_wrapper": state[0].device.type == "cpu"}
        function = torch.compile(graph, fullgraph=True, dynamic=False, backend=self.backend, options=options)
        return function, returned[-1]


@dataclass(frozen=True)
class _Flat:
    """One of an agent's flat vectors, and what steps it."""

    name: str
    vector: nn.Parameter
    optimizer: str | None


def _vectors(agent: Any) -> dict[str, nn.Parameter]:
    return {name: part for name, part in vars(agent).items() if isinstance(part, nn.Parameter)}


def _optimizers(agent: Any) -> dict[str, Adam]:
    return {name: part for name, part in vars(agent).items() if isinstance(part, Adam)}


def _state(agent: Any) -> list[Tensor]:
    """Everything that a step changes: vectors, and each optimiser's averages and counter."""
    moments = [part for optimizer in _optimizers(agent).values() for _, part in sorted(_moments(optimizer).items())]
    return [*(vector.detach() for vector in _vectors(agent).values()), *moments]


def _moments(optimizer: Adam) -> dict[str, Tensor]:
    moments: dict[str, Tensor] = optimizer.state[optimizer.param_groups[0]["params"][0]]
    return moments


def _stand_in(agent: Any, state: tuple[Tensor, ...]) -> Any:
    """A copy of the agent that learns in the given tensors, laid out as `_state` lists them."""
    vectors, given = _vectors(agent), iter(state)
    flat = {name: next(given) for name in vectors}
    leaves: dict[str, dict[int, Tensor]] = {name: {} for name in vectors}

    def leaf(param: Tensor) -> Tensor:
        for name, vector in vectors.items():
            first = (param.data_ptr() - vector.data_ptr()) // vector.element_size()
            if 0 <= first < vector.numel():
                view = flat[name][first:first + param.numel()].view(param.shape).detach()
                return leaves[name].setdefault(first, view.requires_grad_())
        raise AssertionError("a network's parameter lies in none of its agent's vectors")

    stand_in = copy.copy(agent)
    for name, part in vars(agent).items():
        if isinstance(part, Fused):
            setattr(stand_in, name, Plain(part, leaf))
        elif isinstance(part, Critics):
            setattr(stand_in, name, part.plain(leaf))
    for name, vector in vectors.items():  # a vector without networks is itself a parameter, such as a temperature
        setattr(stand_in, name, flat[name] if leaves[name] else leaf(vector))
    for name, optimizer in _optimizers(agent).items():
        group, moments = optimizer.param_groups[0], _moments(optimizer)
        own = next(key for key, vector in vectors.items() if vector is group["params"][0])
        setattr(stand_in, name, PlainAdam(flat[own], [leaves[own][first] for first in sorted(leaves[own])], group,
                                          {key: next(given) for key in sorted(moments)}))
    return stand_in


def _leaves(tree: Any) -> Iterator[Tensor]:
    """The tensors in lists, tuples, dictionaries and batches, in order."""
    if isinstance(tree, Tensor):
        yield tree
    for part in _parts(tree):
        yield from _leaves(part)


def _parts(tree: Any) -> list[Any]:
    if isinstance(tree, Batch):
        return [getattr(tree, item.name) for item in fields(tree)]
    return list(tree.values()) if isinstance(tree, dict) else list(tree) if isinstance(tree, list | tuple) else []


def _rebuilt(shape: Any, leaves: Iterator[Tensor]) -> Any:
    """The same tree with other tensors."""
    if isinstance(shape, Tensor):
        return next(leaves)
    if isinstance(shape, Batch):
        return type(shape)(**{item.name: _rebuilt(getattr(shape, item.name), leaves) for item in fields(shape)})
    if isinstance(shape, dict):
        return {key: _rebuilt(part, leaves) for key, part in shape.items()}
    if isinstance(shape, list | tuple):
        return type(shape)(_rebuilt(part, leaves) for part in shape)
    return shape
