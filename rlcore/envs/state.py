"""Saving the state of environments, so that a killed run continues with the same bits.

Nothing is pickled. An environment is saved by the values it holds: numbers, strings, arrays, collections, random
generators, objects of its own package's classes, and for MuJoCo the arrays of its simulation. What is shared, such as
an array and a view of it, is shared again when restored. An environment that holds anything else that could change, a
Box2D world for example, cannot be saved, and `save_env_state` says so by returning None.

A saved state may come from a stranger, so it is data and no more. It names classes of the environments' own modules
only; functions and libraries' methods are those that the new environment has at the same place; no array looks outside
of the memory that it was given.
"""

from __future__ import annotations

import enum
import functools
import importlib.util
import inspect
import logging
import math
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv, VectorEnv, VectorWrapper

from rlcore.arrays import Array
from rlcore.config import ConfigError
from rlcore.envs.compat import is_old_style
from rlcore.envs.make import Env
from rlcore.envs.process import ProcessVectorEnv

# What stays as it was built, by type and by the module of the type: code, registration and drawing.
_FIXED = type, ModuleType, np.dtype, np.ufunc, logging.Logger
_FIXED_IN = ("gymnasium.envs.registration", "gymnasium.envs.mujoco.mujoco_rendering", "pygame.surface", "pygame.time",
             "pygame.font", "pygame.mixer")
_DICTS: dict[str, Any] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter, "defaultdict": defaultdict}
_BITS = "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"
# Packages with far more in them than one environment: of these, only the modules of its own classes count as its own.
_WIDE = {"gym", "gymnasium", "numpy", "rlcore", "torch"}
_HARMLESS = {"gymnasium.wrappers.utils"}  # running means of wrappers
_KINDS = "biufcSUmM"  # of array: numbers, letters and times, of which no byte is a pointer
_PLACES = {"MT19937": 624, "Philox": 4}  # the length of a generator's buffer
_METHODS = MethodType, BuiltinFunctionType


class _CannotSave(Exception):
    """The environment holds something that is not plain data."""


def save_env_state(env: Env) -> list[Any] | None:
    """Everything that can change in a vector environment, as plain data; None where that is not possible."""
    vector = env.env
    if isinstance(vector, ProcessVectorEnv):
        states = vector.apply(save_single)
        return None if None in states else [to_tensors(states), torch.from_numpy(vector.ended)]
    return _save(_parts(vector))


def load_env_state(env: Env, state: list[Any]) -> None:
    """Put back what `save_env_state` gave into an environment made the same way."""
    env.reset()  # builds what environments build lazily
    vector = env.env
    if isinstance(vector, ProcessVectorEnv):
        vector.apply(load_single, to_arrays(state[0]))
        vector.ended = state[1].numpy()
    else:
        _Loader(_parts(vector)).load_all(state)


def save_single(env: gym.Env[Any, Any]) -> list[dict[str, Any]] | None:
    """The same for one environment, as its worker process asks."""
    state = _save(_layers(env))
    return None if state is None else to_arrays(state)


def load_single(env: gym.Env[Any, Any], state: list[dict[str, Any]]) -> None:
    """Put back what `save_single` gave."""
    env.reset()  # builds what environments build lazily
    _Loader(_layers(env)).load_all(to_tensors(state))


def to_arrays(tree: Any) -> Any:
    """Nested plain data with arrays in place of tensors, which cross between processes by value."""
    return _replaced(tree, torch.Tensor, torch.Tensor.numpy)


def to_tensors(tree: Any) -> Any:
    """The inverse of `to_arrays`."""
    return _replaced(tree, np.ndarray, torch.from_numpy)


def _replaced(tree: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    match tree:
        case dict():
            return {key: _replaced(value, kind, change) for key, value in tree.items()}
        case list():
            return [_replaced(item, kind, change) for item in tree]
        case _:
            return change(tree) if isinstance(tree, kind) else tree


def _parts(env: VectorEnv[Any, Any, Any]) -> list[Any]:
    """The vector environment and every environment and wrapper inside it, outermost first."""
    parts: list[Any] = [env]
    while isinstance(env, VectorWrapper):
        env = env.env
        parts.append(env)
    singles = env.envs if isinstance(env, SyncVectorEnv) else ()
    return parts + [layer for single in singles for layer in _layers(single)]


def _layers(env: gym.Env[Any, Any]) -> list[Any]:
    """An environment's wrappers, outermost first, then itself."""
    layers: list[Any] = []
    while isinstance(env, gym.Wrapper):
        layers.append(env)
        env = env.env
    return [*layers, env]


def _save(parts: list[Any]) -> list[Any] | None:
    try:
        saver = _Saver(parts)
        return [saver.attributes(part, _SURE) for part in parts]
    except (_CannotSave, RecursionError):
        return None


# Whether a new environment has the same thing in the same place, for what can only be found there, not made: surely,
# if it has a collection of the same form, or not.
_SURE, _LIKELY, _NOT = 2, 1, 0


class _Saver:
    """Writes objects as nested plain data. Whatever can be shared has a number, by which it is named when met again."""

    def __init__(self, parts: list[Any]):
        self.seen = list(parts)  # and so kept alive: the id of what is gone may be given to something else
        self.numbers = {id(part): number for number, part in enumerate(parts)}
        self.homes = _HARMLESS.union(*map(_homes, parts))

    def attributes(self, owner: Any, found: int) -> dict[str, Any]:
        return {name: self.save(value, found) for name, value in _attributes(owner).items()}

    def save(self, value: Any, found: int) -> Any:
        if isinstance(value, enum.Enum):
            return {"enum": self.name(type(value)), "value": self.save(value.value, found)}
        if isinstance(value, np.number | np.bool | np.str_) and isinstance(value.item(), int | float | str):
            return {"scalar": value.item(), "dtype": value.dtype.str}
        if value is None or type(value) in (int, float, bool, str):
            return value
        if id(value) in self.numbers:
            return {"same": self.numbers[id(value)]}
        inside = min(found, _LIKELY)
        match value:
            case tuple():
                named = {} if type(value) is tuple else {"class": self.name(type(value))}
                return {"tuple": [self.save(item, inside) for item in value], **named}
            case frozenset():
                return {"frozenset": [self.save(item, inside) for item in value]}
            case functools.partial() if found == _SURE:
                return {"partial": self.save((value.func, value.args, value.keywords), found)}
            case MethodType() | BuiltinFunctionType() if not isinstance(value.__self__, ModuleType | None):
                return self.method(value, found)
        self.numbers[id(value)] = len(self.seen)
        self.seen.append(value)
        return self.save_shared(value, found, inside)

    def method(self, method: Any, found: int) -> dict[str, Any]:
        owner, name = method.__self__, method.__name__
        known = found == _SURE or _is_own_method(owner, name, self.homes)
        if not known or getattr(owner, name, None) != method:
            raise _CannotSave(name)
        return {"method": name, "of": self.save(owner, found)}

    def save_shared(self, value: Any, found: int, inside: int) -> Any:
        if isinstance(value, np.ndarray):
            return self.array(value, found)
        saved = _save_generator(value)
        if saved is None:
            saved = self.collection(value, found, inside)
        if saved is None and found:
            saved = self.found_again(value, found)
        return self.object(value, found) if saved is None else saved

    def collection(self, value: Any, found: int, inside: int) -> Any:
        if type(value) is list:
            return [self.save(item, inside) for item in value]
        if type(value) is set:
            return {"set": [self.save(item, inside) for item in value]}
        if type(value) is deque:
            return {"deque": [self.save(item, inside) for item in value], "maxlen": value.maxlen}
        if type(value) not in _DICTS.values():
            return None
        how: dict[str, Any] = {} if type(value) is dict else {"kind": type(value).__name__}
        if isinstance(value, defaultdict):
            how["factory"] = self.save(value.default_factory, found)
        return {"pairs": [[self.save(key, inside), self.save(item, inside)] for key, item in value.items()], **how}

    def found_again(self, value: Any, found: int) -> Any:
        """What cannot be made, but has a counterpart in a new environment; None where it is something else."""
        if _is_fixed(value):
            return {"fixed": type(value).__name__}
        if isinstance(value, FunctionType):
            try:
                return {"closure": [self.save(cell.cell_contents, found) for cell in value.__closure__ or ()]}
            except ValueError as error:  # a cell that is still empty
                raise _CannotSave(value.__name__) from error
        if isinstance(value, spaces.Space):
            rngs = (space._np_random for space in _spaces(value))
            return {"space": [self.save(rng, found) if _is_seeded(rng) else None for rng in rngs]}
        if _is_mujoco(value, "MjData"):
            arrays = {key: torch.from_numpy(array.copy()) for key, array in _mujoco_arrays(value).items()}
            return {"mujoco": arrays | {"time": torch.tensor([value.time], dtype=torch.float64)}}
        if _is_env(value):
            self.homes |= _homes(value)
            return {"part": self.attributes(value, _SURE), "of": type(value).__qualname__}
        return None

    def array(self, array: Array, found: int) -> Any:
        if type(array) not in (np.ndarray, np.memmap) or array.dtype.kind not in _KINDS:
            raise _CannotSave(array.dtype.str)
        base = array.base
        if isinstance(base, np.ndarray) and array.size and base.flags.c_contiguous and base.dtype.kind in "biufcSU":
            offset = _address(array) - _address(base)
            if not _fits(base, offset, array.shape, array.strides, array.itemsize):
                raise _CannotSave("view")
            return {"view": self.save(base, found), "offset": offset, "shape": list(array.shape),
                    "strides": list(array.strides), "dtype": array.dtype.str}
        saved = _save_array(array)
        return saved if base is None or isinstance(base, np.ndarray) or not found else {"foreign": saved}

    def object(self, value: Any, found: int) -> dict[str, Any]:
        name, attributes = self.name(type(value)), self.attributes(value, found if found == _SURE else _NOT)
        if found != _SURE and any(_is_code(type(value), attribute) for attribute in attributes):
            raise _CannotSave(name)
        return {"class": name, "object": attributes}

    def name(self, kind: type) -> str:
        """A class by its name, by which it is found again."""
        name = f"{_module(kind)}:{kind.__qualname__}"
        if _class(name, self.homes) is not kind:
            raise _CannotSave(name)
        return name


class _Loader:
    """The inverse of `_Saver`. Makes things anew, since a new environment may share what the saved one did not.

    Only the parts themselves, functions, spaces, simulations and generators are those of the new environment.
    """

    def __init__(self, parts: list[Any]):
        self.parts, self.known = parts, list(parts)
        self.taken = {id(part) for part in parts}
        self.homes = _HARMLESS.union(*map(_homes, parts))

    def load_all(self, state: list[dict[str, Any]]) -> None:
        for part, saved in zip(self.parts, state, strict=True):
            self.fill(part, saved, part)

    def fill(self, owner: Any, saved: dict[str, Any], old: Any) -> Any:
        """Load attributes; `old` has what stands at their places in a new environment."""
        hints = {} if old is None else _attributes(old)
        for name, value in saved.items():
            self.check(name in hints or not _is_code(type(owner), name), f"{name} of its own")
            hint = hints.get(name)
            found = self.load(value, hint)
            if owner is old and found is hint:
                continue
            if isinstance(inspect.getattr_static(type(owner), name, None), MemberDescriptorType):  # of __slots__
                object.__setattr__(owner, name, found)
            else:
                vars(owner)[name] = found
        return owner

    def load(self, saved: Any, old: Any) -> Any:
        match saved:
            case {"same": number}:
                return self.known[number]
            case {"fixed": _}:
                return self.note(old)
            case {"enum": name, "value": value}:
                return self.find(name, enum.Enum)(self.load(value, None))
            case {"scalar": value, "dtype": dtype}:
                return _dtype(dtype).type(value)
            case {"tuple": items, **more}:
                kind = self.find(str(more["class"]), tuple) if more else tuple
                return tuple.__new__(kind, self.items(items, old))
            case {"frozenset": items}:
                return frozenset(self.items(items, None))
            case {"partial": parts}:
                self.check(isinstance(old, functools.partial), "partial")
                func, args, keywords = self.load(parts, (old.func, old.args, old.keywords))
                return functools.partial(func, *args, **keywords)
            case {"method": name, "of": owner}:
                return self.method(name, self.load(owner, getattr(old, "__self__", None)), old)
            case dict() | list() | torch.Tensor():
                return self.load_shared(saved, old)
            case _:
                return saved

    def method(self, name: str, owner: Any, old: Any) -> Any:
        same = isinstance(old, _METHODS) and (old.__name__, type(old.__self__)) == (name, type(owner))
        self.check(same or _is_own_method(owner, name, self.homes), f"method {name}")
        found = getattr(owner, name)
        self.check(isinstance(found, _METHODS) and found.__self__ is owner, f"method {name}")
        return found

    def load_shared(self, saved: Any, old: Any) -> Any:
        match saved:
            case torch.Tensor() | {"letters": _}:
                return self.note(_load_array(saved))
            case {"foreign": array}:
                return self.note(self.foreign(_load_array(array), old))
            case {"view": base, "offset": offset, "shape": shape, "strides": strides, "dtype": dtype}:
                number = len(self.known)
                self.note(None)
                memory, kind = self.load(base, getattr(old, "base", None)), _dtype(dtype)
                if not (isinstance(memory, np.ndarray) and memory.flags.c_contiguous and memory.dtype.kind in _KINDS
                        and _fits(memory, offset, shape, strides, kind.itemsize)):
                    raise ConfigError("The checkpoint holds an array that looks outside of its memory: was it changed?")
                self.known[number] = np.ndarray(shape, kind, memory, offset, strides)
                return self.known[number]
            case {"generator": _} | {"old generator": _} | {"python generator": _}:
                return self.note(self.generator(saved, old))
            case list() | {"set": _} | {"deque": _} | {"pairs": _}:
                return self.collection(saved, old)
            case {"object": values, "class": name}:
                made = self.find(name)
                return self.fill(self.note(object.__new__(made)), values, old if type(old) is made else None)
            case _:
                return self.renewed(saved, old)

    def renewed(self, saved: dict[str, Any], old: Any) -> Any:
        """What stands in the new environment, put into the saved state."""
        match saved:
            case {"space": states}:
                self.check(isinstance(old, spaces.Space), "space")
                for space, state in zip(_spaces(self.note(old)), states, strict=True):
                    space._np_random = space._np_random if state is None else self.load(state, None)
                return old
            case {"closure": cells}:
                self.check(isinstance(old, FunctionType), "function")
                for cell, value in zip(self.note(old).__closure__ or (), cells, strict=True):
                    cell.cell_contents = self.load(value, cell.cell_contents)
                return old
            case {"mujoco": arrays}:
                self.check(_is_mujoco(old, "MjData"), "simulation")
                for key, array in _mujoco_arrays(self.note(old)).items():
                    # constraint rows come and go with contacts; each step computes them afresh
                    if key in arrays and tuple(arrays[key].shape) == array.shape:
                        array[...] = arrays[key].numpy()
                if "time" in arrays and arrays["time"].shape == (1,):
                    old.time = float(arrays["time"])
                return old
            case {"part": values, "of": kind}:
                self.check(_is_env(old) and type(old).__qualname__ == kind, kind)
                self.homes |= _homes(old)
                return self.fill(self.note(old), values, old)
        raise ConfigError(f"The checkpoint holds an environment's {saved}, which this rlcore does not know.")

    def collection(self, saved: Any, old: Any) -> Any:
        made: Any
        match saved:
            case {"set": items}:
                made = self.note(set())
                made.update(self.items(items, None))
            case {"deque": items, "maxlen": maxlen}:
                made = self.note(deque(maxlen=maxlen))
                made.extend(self.items(items, old))
            case {"pairs": pairs, **more}:
                made = self.note(_DICTS[str(more.get("kind", "dict"))]())
                if "factory" in more:
                    made.default_factory = self.load(more["factory"], getattr(old, "default_factory", None))
                for saved_key, item in pairs:
                    key = self.load(saved_key, None)
                    made[key] = self.load(item, old.get(key) if isinstance(old, dict) else None)
            case _:
                made = self.note([])
                made.extend(self.items(saved, old))
        return made

    def check(self, fits: bool, kind: str) -> None:
        if not fits:
            raise ConfigError(f"The checkpoint holds a {kind} where a new environment has none: was it changed?")

    def note(self, value: Any) -> Any:
        self.known.append(value)
        return value

    def items(self, items: list[Any], old: Any) -> Iterator[Any]:
        hints = list(old) if isinstance(old, tuple | list | deque) else []
        for place, item in enumerate(items):
            yield self.load(item, hints[place] if place < len(hints) else None)

    def free(self, old: Any, kind: type) -> Any:
        """What stands at this place in the new environment, if it is of this kind and has no other place already."""
        if not isinstance(old, kind) or id(old) in self.taken:
            return None
        self.taken.add(id(old))
        return old

    def generator(self, saved: dict[str, Any], old: Any) -> Any:
        rng: Any
        match saved:
            case {"python generator": [version, words, spare]}:
                rng = self.free(old, random.Random) or random.Random()
                rng.setstate((version, tuple(words), spare))
            case {"old generator": state}:
                self.check(_is_within(state), "random state")
                rng = self.free(old, np.random.RandomState) or np.random.RandomState()
                rng.set_state(state)
            case {"generator": state}:
                rng, bits = self.free(old, np.random.Generator), state["bit_generator"]
                self.check(bits in _BITS and _is_within(state), bits)
                if rng is None or type(rng.bit_generator).__name__ != bits:
                    rng = np.random.Generator(getattr(np.random, bits)(0))
                rng.bit_generator.state = state
        return rng

    def foreign(self, array: Array, old: Any) -> Array:
        """Arrays that look into memory of something else, such as a simulation, stay there."""
        if (isinstance(old, np.ndarray) and old.flags.writeable and not isinstance(old.base, np.ndarray | None)
                and (old.shape, old.dtype) == (array.shape, array.dtype) and self.free(old, np.ndarray) is not None):
            old[...] = array
            return old
        return array

    def find(self, name: str, family: type = object) -> Any:
        """A class of the environments' own packages: no checkpoint may choose another."""
        kind = _class(name, self.homes)
        if kind is None or not issubclass(kind, family):
            raise ConfigError(f"The checkpoint holds a {name}, which is no class of these environments' packages.")
        return kind


def _homes(part: Any) -> set[str]:
    """Where a part's own classes live: the packages of all that it inherits from, of the wide ones only the modules."""
    modules = {_module(kind) for kind in type(part).__mro__}
    return {module if package in _WIDE else package for module in modules
            if (package := module.split(".")[0]) not in sys.stdlib_module_names}


def _is_at_home(kind: type, homes: set[str]) -> bool:
    module = _module(kind)
    package = module.split(".")[0]
    return module in homes or package in homes - _WIDE


def _module(kind: type) -> str:
    return str(getattr(kind, "__module__", "builtins"))  # some classes written in C have none


def _class(name: str, homes: set[str]) -> Any:
    """The class that is defined under exactly this name in an imported module of these homes; none that tidies up."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, "__dict__", {}).get(part)  # as it stands there: a getattr may run code
    own = isinstance(found, type) and f"{_module(found)}:{found.__qualname__}" == name and _is_at_home(found, homes)
    return found if own and not hasattr(found, "__del__") else None


def _is_code(kind: type, name: str) -> bool:
    """Whether a class defines this name as a method: whoever calls it expects that one."""
    return isinstance(inspect.getattr_static(kind, name, None), FunctionType | staticmethod | classmethod)


def _is_own_method(owner: Any, name: str, homes: set[str]) -> bool:
    """Whether a method is written in Python in a class that is the environments' own."""
    named = name == "__call__" or not name.startswith("__")
    return (named and _is_at_home(type(owner), homes)
            and isinstance(inspect.getattr_static(type(owner), name, None), FunctionType))


def _dtype(name: Any) -> np.dtype[Any]:
    dtype = np.dtype(str(name))
    if dtype.kind not in _KINDS:
        raise ConfigError(f"The checkpoint holds an array of dtype {name}, which is none of numbers, letters or times.")
    return dtype


def _fits(base: Array, offset: int, shape: Any, strides: Any, itemsize: int) -> bool:
    """Whether a view stays within its memory and is no larger; in Python's numbers: NumPy's own check overflows."""
    ends = [(count - 1) * stride for count, stride in zip(shape, strides, strict=True)]
    first, last = offset + sum(min(0, end) for end in ends), offset + sum(max(0, end) for end in ends)
    return (min(shape, default=1) > 0 and first >= 0 and last + itemsize <= base.nbytes
            and math.prod(shape) * itemsize <= base.nbytes)


def _attributes(owner: Any) -> dict[str, Any]:
    """What an object holds, by name; with spaces that an environment has from its class.

    Raises:
        _CannotSave: it holds more, for example because it is written in C++.
    """
    try:
        made = object.__reduce_ex__(owner, 2)
    except Exception as error:  # a __getstate__ of its own may fail in any way
        raise _CannotSave(type(owner).__name__) from error
    if isinstance(made, str) or made[1] != (type(owner),) or any(part is not None for part in made[3:]):
        raise _CannotSave(type(owner).__name__)
    state: Any = object.__getstate__(owner)
    plain, slots = state if isinstance(state, tuple) else (state, None)
    values = {**(plain or {}), **(slots or {})}
    if isinstance(owner, SyncVectorEnv):
        del values["env_fns"]
    if isinstance(owner, gym.Env):
        for name in ("observation_space", "action_space"):
            if isinstance(space := inspect.getattr_static(type(owner), name, None), spaces.Space):
                values.setdefault(name, space)
    return values


def _is_fixed(value: Any) -> bool:
    if isinstance(value, _FIXED) or _module(type(value)) in _FIXED_IN or _is_mujoco(value, "MjModel"):
        return True
    return isinstance(value, BuiltinFunctionType) or (isinstance(value, FunctionType) and not value.__closure__)


def _is_env(value: Any) -> bool:
    return isinstance(value, gym.Env) or is_old_style(value)


def _spaces(space: spaces.Space[Any]) -> Iterator[spaces.Space[Any]]:
    """A space and all inside it: each has a random generator of its own."""
    yield space
    for value in vars(space).values():
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else (value,)
        for part in parts:
            if isinstance(part, spaces.Space):
                yield from _spaces(part)


def _is_seeded(rng: Any) -> bool:
    """Not so are the generators that spaces make for themselves: they get 128 bits of chance, and are no state."""
    entropy = None if rng is None else getattr(rng.bit_generator.seed_seq, "entropy", 0)
    return isinstance(entropy, int) and entropy < 2**64


def _is_within(state: dict[str, Any]) -> bool:
    """Whether a generator's next number lies in its buffer, which NumPy does not check."""
    place = state.get("buffer_pos", state["state"].get("pos", 0))
    return bool(0 <= place <= _PLACES.get(state["bit_generator"], 0))


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _save_generator(value: Any) -> dict[str, Any] | None:
    """The state of a random generator of NumPy, today's or the old one, or of Python; None where it is none."""
    if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in _BITS:
        return {"generator": _replaced(value.bit_generator.state, np.ndarray, np.ndarray.tolist)}
    if isinstance(value, np.random.RandomState):
        return {"old generator": _replaced(value.get_state(legacy=False), np.ndarray, np.ndarray.tolist)}
    if type(value) is random.Random:
        version, words, spare = value.getstate()
        return {"python generator": [version, list(words), spare]}
    return None


def _save_array(array: Array) -> Any:
    if array.dtype.kind in "biuf" and array.dtype.isnative and array.dtype.itemsize <= 8:
        return torch.from_numpy(array.copy())
    flat = np.ascontiguousarray(array).reshape(-1)  # letters, times, complex numbers: byte by byte
    return {"letters": torch.from_numpy(flat.copy().view(np.uint8)), "dtype": array.dtype.str,
            "shape": list(array.shape)}


def _load_array(saved: Any) -> Array:
    if isinstance(saved, torch.Tensor):
        return saved.numpy().copy()
    array: Array = saved["letters"].numpy().view(_dtype(saved["dtype"])).copy()
    return array.reshape(saved.get("shape", array.shape))


def _is_mujoco(value: Any, kind: str) -> bool:
    if type(value).__name__ != kind or importlib.util.find_spec("mujoco") is None:
        return False
    import mujoco

    return isinstance(value, getattr(mujoco, kind))


def _mujoco_arrays(data: Any) -> dict[str, Any]:
    """Every array of the simulation: the next step may read any of them (warm starts, contact forces)."""
    found = {}
    for name in dir(data):
        if not name.startswith("_"):
            value = getattr(data, name)
            # whole numbers are places in other arrays, which each step computes afresh: a wrong one would lead astray
            if isinstance(value, np.ndarray) and value.flags.writeable and value.size and value.dtype.kind != "i":
                found[name] = value
    return found
