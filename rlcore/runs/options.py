"""What each option of a run may be: the one place that says so.

Python, YAML files, the command line and the folders of runs all go through `checked`, so that a value is refused in
the same words wherever it was written. Numbers may be text, as a command line gives them and YAML gives 1e5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from os import PathLike
from typing import Any

from rlcore.config import ConfigError, nearest

SAMPLERS = ("serial", "batched", "alternating", "parallel", "async")
BACKENDS = ("native", "sync", "process", "envpool")


@dataclass(frozen=True)
class Rule:
    """What an option must be."""

    must: str                      # what it must be, in words
    read: Callable[[Any], Any]     # the value as it is meant; ValueError where it is no such thing
    optional: bool = True          # None: not asked for
    choices: tuple[str, ...] = ()


def checked(name: str, value: Any) -> Any:
    """An option's value as a run wants it.

    Raises:
        ConfigError: says what it must be.
    """
    rule = _RULES[name]
    if value is None and rule.optional:
        return None
    try:
        return rule.read(value)
    except (ValueError, OverflowError):
        hint = nearest(str(value), rule.choices) or "."
        raise ConfigError(f"{name}={value!r} must be {rule.must}{hint}") from None


def _take(ok: bool, value: Any) -> Any:
    if not ok:
        raise ValueError
    return value


def _as_number(value: Any) -> Any:
    if isinstance(value, str):
        value = int(value) if value.isdigit() else float(value)
    return _take(isinstance(value, Real) and not isinstance(value, bool), value)


def _number(must: str, low: float = -math.inf, high: float = math.inf, *, optional: bool = True) -> Rule:
    def read(value: Any) -> float:
        number = _as_number(value)
        return float(_take(low <= number <= high and abs(number) < math.inf, number))

    return Rule(must, read, optional)


def _whole(low: int = 1, must: str = "a whole number of at least 1", *, optional: bool = True) -> Rule:
    def read(value: Any) -> int:
        number = _as_number(value)
        return int(_take(low <= number < 2**63 and number == int(number), number))

    return Rule(must, read, optional)


def _one_of(choices: tuple[str, ...], *, optional: bool = True) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: _take(value in choices, value), optional, choices)


def _text(must: str, *, optional: bool = True) -> Rule:
    return Rule(must, lambda value: _take(isinstance(value, str) and bool(value), value), optional)


def _flag() -> Rule:
    return Rule("true or false", lambda value: _take(isinstance(value, bool), value), optional=False)


def _named(must: str) -> Rule:
    def read(value: Any) -> dict[str, Any]:
        return dict(_take(isinstance(value, Mapping) and all(isinstance(name, str) for name in value), value))

    return Rule(must, read, optional=False)


def _words(value: Any) -> list[str]:
    words = [value] if isinstance(value, str) else value
    return list(_take(isinstance(words, Sequence) and all(isinstance(word, str) and word for word in words), words))


def _class_name(value: Any) -> str:
    return str(_take(isinstance(value, str) and bool(value) and value[0] not in ".:", value))


def _device(value: Any) -> str:
    return str(_take(isinstance(value, str) and bool(value) and value.partition(":")[0] != "meta", value))


def _path(value: Any) -> Any:
    return _take(isinstance(value, str | PathLike), value)


def _functions(value: Any) -> list[Any]:
    return list(_take(isinstance(value, Sequence) and all(callable(each) for each in value), value))


_SEED = "a whole number from 0 to 2**63 - 1"

_RULES: dict[str, Rule] = {
    "algo": _text("an algorithm's name, such as 'ppo'", optional=False),
    "env": _text("an environment's name, such as 'CartPole-v1'", optional=False),
    "config": _named("settings by name, such as {'gamma': 0.9}"),
    "seed": _whole(0, _SEED, optional=False),
    "env_seed": _whole(0, _SEED),
    "env_steps": _whole(optional=False),
    "target_return": _number("a number"),
    "device": Rule("text, such as 'cpu' or 'cuda', for a device that computes", _device, optional=False),
    "backend": _one_of(BACKENDS),
    "env_options": _named("options by name, such as {'max_episode_steps': 200}"),
    "action_mask": _flag(),
    "sampler": _one_of(SAMPLERS, optional=False),
    "num_workers": _whole(),
    "timeout_s": _number("a number of seconds, at least 0.001", 0.001),
    "evaluate_every": _whole(),
    "evaluate_episodes": _whole(optional=False),
    "patience": _whole(),
    "keep_every": _whole(),
    "run_dir": Rule("the path of a folder", _path),
    "start_from": _text("the path of a run's folder"),
    "freeze": Rule("a word or a list of words, none of them empty", _words, optional=False),
    "encoder": Rule("'module:Class'", _class_name),
    "hindsight": _number("a number between 0 and 1", 0, 1),
    "compiled": _flag(),
    "threads": _whole(optional=False),
    "replay_on_disk": _flag(),
    "replay_on_gpu": _flag(),
    "callbacks": Rule("a list of functions, such as [watch]", _functions, optional=False),
    "checkpoint_s": _number("a number of seconds, at least 0", 0, optional=False),
    "versions": _named("versions by name"),
    "format": _whole(optional=False),
    "episodes": _whole(optional=False),
}
