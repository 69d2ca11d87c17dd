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
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam

from rlcore.data.batch import Batch
from rlcore.data.replay import Transitions
from rlcore.nets.encoders import reader_of
from rlcore.nets.fused import Fused, Plain
from rlcore.nets.optim import PlainAdam
from rlcore.spaces import MASK

STEPS = ("learn", "improve")
"""The methods of an agent that are pure steps: of its vectors, its optimisers and the tensors they are given."""

Compiler = Callable[[torch.fx.GraphModule, Sequence[Tensor]], Callable[..., Sequence[Tensor]]]
"""(graph, examples of its inputs) → a function of such inputs, which may change them, to what the graph returns"""


def missing_tool(device: str) -> str | None:
    """What this machine lacks to compile what torch writes for a device; None if nothing that torch needs there."""
    if torch.device(device).type != "cpu":
        return None
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # torch tries no other
    if not shutil.which(compiler):
        return f"the C++ compiler {compiler}"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's header files (the package python3-dev)"
    return None


def obstacle(agent: Any) -> str | None:
    """Why an agent's steps cannot be compiled, as the end of a sentence; None if they can."""
    nets = [part for part in vars(agent).values() if isinstance(part, nn.Module)]
    if not hasattr(agent, "learn"):
        return "this algorithm's updates cannot"
    layers = [layer for net in _fused(vars(agent).values()) for layer in net.layers]
    plain = {param for layer in layers for param in (layer.weight, layer.bias)}
    if any(param not in plain for net in nets for param in net.parameters()):
        return "only networks of plain layers can"
    if any(getattr(vector, "held", ()) for vector in _vectors(agent).values()):
        return "an agent with frozen parameters cannot"
    space = getattr(agent, "obs_space", None)
    if space is not None and reader_of(space):
        return "one with an encoder of the user's own cannot"
    if MASK in getattr(space, "spaces", {}):
        return "one that chooses among legal actions only cannot"
    return None


def _fused(parts: Iterable[Any]) -> Iterator[Fused]:
    """The networks among an agent's parts and inside them."""
    for part in parts:
        if isinstance(part, Fused):
            yield part
        elif isinstance(part, nn.Module):
            yield from _fused([*vars(part).values(), *part.children()])
        elif isinstance(part, list):
            yield from _fused(part)


def compile_steps(agent: Any, compiler: Compiler | None = None) -> None:
    """Let compiled functions stand in for the agent's steps, each compiled at its first call; by `inductor` if None."""
    for name in STEPS:
        if hasattr(agent, name):
            setattr(agent, name, Graph(agent, name, compiler or inductor))


class Graph:
    """One step of an agent. Called as the method is: with tensors and batches of them, and flags, one graph for each
    of whose values is compiled.
    """

    def __init__(self, agent: Any, name: str, compiler: Compiler):
        self.agent, self.name, self.compiler = agent, name, compiler
        self.compiled: dict[tuple[Any, ...], tuple[Callable[..., Any], Any]] = {}
        self.vectors = [vector.detach() for vector in _vectors(agent).values()]
        self.optimizers = [(optimizer, torch.tensor(0.0)) for optimizer in _optimizers(agent).values()]
        self.encoder = next(part.encoder for part in vars(agent).values() if hasattr(part, "encoder"))

    @torch.no_grad()
    def __call__(self, *args: Any) -> Any:
        """Take the step and return what the method returns."""
        given = [self._encoded(arg) for arg in args]
        key = tuple(arg for arg in given if isinstance(arg, bool))
        leaves = list(_leaves(given))
        if key not in self.compiled:
            self.compiled[key] = self._compile(given, leaves)
        function, shape = self.compiled[key]
        return _rebuilt(shape, iter(function(*self._state(), *leaves)))

    def _state(self) -> list[Tensor]:
        """What steps and schedules change: vectors, then each optimiser's step size, averages and counter."""
        state = list(self.vectors)
        for optimizer, learning_rate in self.optimizers:
            learning_rate.fill_(optimizer.param_groups[0]["lr"])
            state += [learning_rate, *_moments(optimizer).values()]
        return state

    def _encoded(self, arg: Any) -> Any:
        """Observations as features: an encoder without parameters stays outside, with its changing statistics."""
        if not isinstance(arg, Transitions):
            return arg
        return replace(arg, obs=self.encoder(arg.obs), next_obs=self.encoder(arg.next_obs))

    def _compile(self, given: list[Any], leaves: list[Tensor]) -> tuple[Callable[..., Any], Any]:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a second: only runs that compile pay for it

        state, returned = self._state(), list[Any]()

        def step(*tensors: Tensor) -> list[Tensor]:
            stand_in = _stand_in(self.agent, tensors[:len(state)])
            with torch.enable_grad():
                method = getattr(type(self.agent), self.name)
                returned.append(method(stand_in, *_rebuilt(given, iter(tensors[len(state):]))))
            return [leaf.detach() for leaf in _leaves(returned[-1])]

        generator, inputs = torch.random.get_rng_state(), [tensor.detach() for tensor in (*state, *leaves)]
        traced = make_fx(step)(*(tensor.clone() for tensor in inputs))
        torch.random.set_rng_state(generator)
        return self.compiler(traced, inputs), returned[-1]


def inductor(traced: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """What torch's compiler makes of a graph."""
    from torch._inductor.compile_fx import compile_fx  # as its documentation advises makers of compilers

    options = {"fallback_random": True,                              # the same random numbers as without it
               "cpp_wrapper": inputs[0].device.type == "cpu"}        # no Python between kernels
    for node in traced.graph.nodes:
        node.meta.clear()  # stand-ins for values, from the tracing, that the compiler would take for its own
    return cast(Callable[..., Sequence[Tensor]], compile_fx(traced, list(inputs), config_patches=options))


def _vectors(agent: Any) -> dict[str, nn.Parameter]:
    return {name: part for name, part in vars(agent).items() if isinstance(part, nn.Parameter)}


def _optimizers(agent: Any) -> dict[str, Adam]:
    return {name: part for name, part in vars(agent).items() if isinstance(part, Adam)}


def _moments(optimizer: Adam) -> dict[str, Tensor]:
    moments = optimizer.state[optimizer.param_groups[0]["params"][0]]
    return {name: moments[name] for name in ("exp_avg", "exp_avg_sq", "step")}


def _stand_in(agent: Any, state: tuple[Tensor, ...]) -> Any:
    """A copy of the agent that learns in the given tensors, laid out as `Graph` lists them."""
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
        if isinstance(part, Fused | nn.Module | list):
            setattr(stand_in, name, _plain(part, leaf))
    for name, vector in vectors.items():  # a vector without networks is itself a parameter, such as a temperature
        setattr(stand_in, name, flat[name] if leaves[name] else leaf(vector))
    for name, optimizer in _optimizers(agent).items():
        group = optimizer.param_groups[0]
        own = next(key for key, vector in vectors.items() if vector is group["params"][0])
        setattr(stand_in, name, PlainAdam(flat[own], [leaves[own][first] for first in sorted(leaves[own])], next(given),
                                          group, {key: next(given) for key in _moments(optimizer)}))
    return stand_in


def _plain(part: Any, leaf: Callable[[Tensor], Tensor]) -> Any:
    """A part of an agent in plain operations on what `leaf` gives for its parameters, reading features."""
    if isinstance(part, Fused):
        return Plain(part, leaf)
    if isinstance(part, list):
        return [_plain(item, leaf) for item in part]
    if not isinstance(part, nn.Module):
        return part
    copied: Any = copy.copy(part)
    vars(copied).update({name: _plain(value, leaf) for name, value in vars(part).items()
                         if isinstance(value, Fused | list)})
    vars(copied)["_parameters"] = {name: leaf(param) for name, param in part._parameters.items() if param is not None}
    vars(copied)["_modules"] = {name: nn.Identity() if name == "encoder" else _plain(child, leaf)
                                for name, child in part._modules.items()}
    return copied


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
