"""Settings: frozen dataclasses that cannot hold nonsense, and the one place that reads and writes them.

An algorithm's config is the command line, the YAML file, the wizard's form, the run's header and the table in
the docs. All of them go through `build`, so a value is checked in the same words wherever it was typed.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

C = TypeVar("C")
_LIMITS = ("max_grad_norm", "target_kl", "target_noise_clip", "value_clip")  # settings that infinity turns off
Kind = Literal["int", "float", "bool", "str", "choice", "ints"]
_KINDS: dict[type, Kind] = {int: "int", float: "float", bool: "bool", str: "str"}


class ConfigError(ValueError):
    """A setting that cannot work: says what was asked, what it got and what would work."""


class ShapeError(ValueError):
    """Data of the wrong shape or space at the boundary of a room."""


class MissingExtra(ImportError):
    """An optional part is not installed: says which, and the command that installs it."""

    def __init__(self, what: str, extra: str):
        super().__init__(f'{what} needs an optional part. Install it with: pip install "rl-copilot[{extra}]"')


def setting(default: Any, help: str, *, low: float | None = None, high: float | None = None, unit: str = "") -> Any:
    """A config field with its explanation, inclusive range and unit."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "unit": unit})


@dataclass(frozen=True)
class Setting:
    """One config field as forms, help texts and tables need it."""

    name: str
    kind: Kind
    default: Any
    help: str
    low: float | None
    high: float | None
    unit: str
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The allowed values in words; empty where anything goes."""
        if self.low is not None and self.high is not None:
            return f"between {self.low} and {self.high}"
        if self.low is not None:
            return f"at least {self.low}"
        return "" if self.high is None else f"at most {self.high}"


def settings(config: type) -> list[Setting]:
    """The fields of a config class, in the order they are written."""
    hints = typing.get_type_hints(config)
    return [_describe(item, hints[item.name]) for item in fields(config)]


def _describe(item: Field[Any], hint: Any) -> Setting:
    meta = item.metadata
    choices: tuple[str, ...] = ()
    kind: Kind
    options = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if typing.get_origin(hint) is Literal:
        kind, choices = "choice", tuple(str(option) for option in options)
    elif typing.get_origin(hint) is tuple:
        kind = "ints"
    else:
        kind = _KINDS[options[0] if options else hint]
    default = None if item.default is MISSING else item.default
    return Setting(item.name, kind, default, meta["help"], meta["low"], meta["high"], meta["unit"], choices)


def require(ok: bool, config: object, name: str, rule: str, suggestion: str = "") -> None:
    """Refuse a setting in one sentence: `PPOConfig.num_minibatches=5 must divide …. Try 4.`"""
    if not ok:
        value = getattr(config, name)
        raise ConfigError(f"{type(config).__name__}.{name}={value!r} must {rule}. {suggestion}".rstrip())


def check_ranges(config: Any) -> None:
    """Hold every field against its type and the range written beside it. Called from `__post_init__`.

    A list becomes the tuple that is meant, and a whole number the float.
    """
    for item in settings(type(config)):
        value = _typed(type(config), item.name, getattr(config, item.name), strict=True)
        object.__setattr__(config, item.name, value)  # as frozen dataclasses do it themselves
        if item.kind == "ints":
            require(len(value) > 0 and min(value) >= 1, config, item.name, "be a list of positive whole numbers")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            low, high = -math.inf if item.low is None else item.low, math.inf if item.high is None else item.high
            within = low <= value <= high  # false for NaN
            must = "be a finite number" if within or not item.range else f"be {item.range} {item.unit}".rstrip()
            require(within and (abs(value) < math.inf or item.name in _LIMITS), config, item.name, must)


# What other libraries call a setting → what it is here, for each kind of algorithm.
_ELSEWHERE = {
    "action_noise": "noise_std", "batch_size": "num_minibatches", "buffer_size": "capacity", "clip_coef": "clip",
    "clip_param": "clip", "clip_range": "clip", "ent_coef": "entropy_coef alpha", "entropy_coeff": "entropy_coef",
    "exploration_final_eps": "epsilon_end", "exploration_fraction": "epsilon_steps",
    "exploration_initial_eps": "epsilon_start", "gradient_steps": "updates", "hidden_sizes": "hidden",
    "lr": "learning_rate", "minibatch_size": "num_minibatches", "n_critics": "num_critics", "n_envs": "num_envs",
    "n_epochs": "epochs", "n_minibatches": "num_minibatches", "n_steps": "horizon n_step", "net_arch": "hidden",
    "num_sgd_iter": "epochs", "num_steps": "horizon", "policy_delay": "policy_every",
    "target_network_frequency": "target_every", "target_policy_noise": "target_noise",
    "target_update_interval": "target_every", "total_timesteps": "env_steps", "train_freq": "train_every",
    "train_frequency": "train_every", "update_epochs": "epochs", "utd_ratio": "updates", "vf_coef": "value_coef",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'ppo'?`, or nothing where no known word is close or is what other libraries call so."""
    word, known = str(word).replace("-", "_"), list(known)
    close = [name for name in _ELSEWHERE.get(word, "").split() if name in known] or difflib.get_close_matches(
        word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def build(config: type[C], values: Mapping[str, Any]) -> C:
    """A config from plain values, as a YAML file, a command line or a form gives them.

    Raises:
        ConfigError: an unknown name (with the nearest known one), a wrong type or a value out of range.
    """
    known = {item.name for item in settings(config)}
    for name in values:
        if name not in known:
            hint = nearest(name, known) or f". Known: {', '.join(sorted(known))}."
            raise ConfigError(f"{config.__name__} has no setting '{name}'{hint}")
    return config(**{name: _typed(config, name, value) for name, value in values.items()})


def _typed(config: type, name: str, value: Any, *, strict: bool = False) -> Any:
    """A value as its field's type wants it; strict: text is no number and no truth. Truth is never a number."""
    meant = tuple(value) if isinstance(value, list) else value
    has_truth = any(isinstance(item, bool) for item in (meant if isinstance(meant, tuple) else (meant,)))
    try:
        return _adapters(config)[name].validate_python(meant, strict=strict or has_truth)
    except ValidationError as error:
        if isinstance(value, str) and not strict:
            with contextlib.suppress(ValueError):  # YAML gives 1e6 as text
                return _adapters(config)[name].validate_python(float(value))
        reason = error.errors()[0]["msg"]
        raise ConfigError(f"{config.__name__}.{name}={value!r} is not valid: {reason}.") from None


@functools.cache
def _adapters(config: type) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in typing.get_type_hints(config).items()}


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain values that YAML and JSON can hold; `build` is its inverse."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def override(config: C, values: Mapping[str, Any]) -> C:
    """The config with some plain values changed, checked like a new one."""
    return build(type(config), to_dict(config) | dict(values))
