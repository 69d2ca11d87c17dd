"""What a run's folder says, made again: its environments and its agent."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from rlcore import catalog, checkpoint
from rlcore.config import ConfigError, build
from rlcore.envs.make import Backend, Env, Factory, is_known, make_env, name_of, origin_of
from rlcore.nets.encoders import EncoderClass, read_by, share_statistics
from rlcore.protocols import Agent
from rlcore.runs import RunSpec, checked, read_spec

Which = Literal["last", "best"] | int
"""One of a run's checkpoints."""
Encoder = EncoderClass | str
"""An encoder of the user's: its class, or "module:Class"."""


def run_env(spec: RunSpec, first: int, count: int, *, env: str | Factory | None = None, single: bool = False) -> Env:
    """The environments number `first` and following of a run; single: in this process, for a look at one.

    env: what makes one, or the run's own name for it, where that leads to code that is not known here.

    Raises:
        ConfigError: only the run's folder names that code, or the name leads nowhere.
    """
    if env is None and not is_known(spec.env):
        raise ConfigError(_not_trusted(spec.env))
    seed = spec.seed if spec.env_seed is None else spec.env_seed
    return make_env(env or spec.env, count, seed=seed, backend="sync" if single else cast(Backend, spec.backend),
                    options=spec.env_options, action_mask=spec.action_mask, num_workers=spec.num_workers, first=first)


def _not_trusted(env: str) -> str:
    """Why an environment is not made. A folder may come from anyone: nothing is imported or called on its word."""
    if env.startswith("__main__:") or {*env} & {*"<("}:  # no name leads there
        return f"This run plays in '{env}', a name that leads nowhere here. Give the function or class again: env=…"
    return (f"This run plays in '{env}', which only its folder names. If you trust that code, import its module first "
            f"or name it: env='{env}', on the command line --env {env}.")


def agent_seed(spec: RunSpec) -> None:
    """Seed torch and set the threads of torch and NumPy, and how they round: settings of the whole process.

    NumPy's BLAS would start one thread per core for products so small that waiting for them costs more than they save.
    Numbers too small for float32's full precision become 0: a unit that rests leaves its Adam averages to fade, and on
    such numbers Intel's CPUs are a hundred times slower.
    """
    torch.manual_seed(spec.seed)
    torch.set_flush_denormal(True)
    torch.set_num_threads(spec.threads)
    threadpool_limits(spec.threads, user_api="blas")


def load_agent(run_dir: str | Path, which: Which = "last", *, env: str | Factory | None = None,
               encoder: Encoder | None = None) -> tuple[Agent, RunSpec]:
    """The agent of one of a run's checkpoints, without its memory, and the run's spec.

    which: "last"; "best", by the evaluations made in training; or the step of one that `keep_every` kept.
    env: what makes the run's environment, or its name, where its module is not imported yet.
    encoder: the class of the run's custom encoder, or "module:Class", where its module is not imported yet.

    Raises:
        ConfigError: the folder is no run or has no such checkpoint, or names an environment or an encoder of which
            nothing was imported.
    """
    spec = read_spec(Path(run_dir))
    return _load(Path(run_dir), spec, which, env, encoder)[0], spec


def _load(folder: Path, spec: RunSpec, which: Which, env: str | Factory | None,
          encoder: Encoder | None) -> tuple[Agent, int]:
    """The agent of a run's checkpoint, and the step of that."""
    step, state = agent_state(folder, which)
    one = run_env(spec, 0, 1, env=env, single=True)
    agent = make_agent(spec, one.single_observation_space, one.single_action_space, encoder_class(encoder))
    one.close()
    restore(agent, state, folder, f"The checkpoint of step {step} in {folder}")
    return agent, step


def restore(agent: Agent, state: Any, folder: Path, what: str) -> None:
    """Make an agent what a checkpoint of a run says. what: the checkpoint, as a refusal names it.

    Raises:
        ConfigError: it is of another algorithm or size.
    """
    try:
        if not _same_moments(agent, state):    # a fused optimiser reads and writes them unchecked
            raise ValueError
        agent.load_state_dict(state)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        mine, other = type(agent).__name__, catalog.algorithm(read_spec(folder).algo)
        why = (_unlike(_shapes(agent.state_dict()), _shapes(state)) if other.class_name == mine else
               f"it is one of {other.title}")
        raise ConfigError(f"{what} holds another kind of agent than this {mine}: {why}. Both need the same algorithm, "
                          "network settings and spaces.") from error


def require_same_meaning(agent: Agent, folder: Path, what: str) -> None:
    """Refuse a run's networks and statistics where they fit an agent, but its settings would misread them.

    Raises:
        ConfigError: a setting that decides what their numbers mean is another one there.
    """
    spec = read_spec(folder)
    learned = spec.config if isinstance(agent, catalog.agent_class(spec.algo)) else {}  # `restore` refuses other kinds
    for name in ("activation", "v_min", "v_max", "rescale_eps", "normalize_reward", "reward_scale", "optimizer"):
        own = getattr(agent.cfg, name, None)
        if (there := learned.get(name, own)) != own:
            raise ConfigError(f"{what} learned with {name}={there!r}, which {name}={own!r} would misread. "
                              f"Use {name}={there!r} here too, or begin without start_from.")


def learnt_reward_scale(folder: Path) -> Any:
    """What the memory of a run with `normalize_reward` knows of rewards; its rows are left on the disk."""
    saved = checkpoint.load_latest(folder / "checkpoints", "memory")
    assert saved is not None  # its agent was read
    return saved[1]["reward_scale"]


def _same_moments(agent: Agent, state: Any) -> bool:
    """Whether a checkpoint has all that the agent's optimisers remember, in the same shapes and kinds of numbers."""
    mine, saved = ({name: tensor for name, tensor in _tensors(tree) if "optimizer" in name}
                   for tree in (agent.state_dict(), state))
    return all(name in saved and (saved[name].shape, saved[name].dtype) == (tensor.shape, tensor.dtype)
               for name, tensor in mine.items())


def _unlike(mine: Mapping[str, list[int]], saved: Mapping[str, list[int]]) -> str:
    """The first tensor in which two agents differ, in words."""
    for name, shape in mine.items():
        if name in saved and saved[name] != shape:
            return f"{name} is {saved[name]} there and {shape} here"
    lost = [name for name in mine if name not in saved]
    return f"{lost[0]} is missing there" if lost else "its parts have other names"


def _shapes(tree: Any) -> dict[str, list[int]]:
    """The shape of each tensor in nested dictionaries and lists, by its name with dots."""
    return {name: [*tensor.shape] for name, tensor in _tensors(tree)}


def _tensors(tree: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(tree, torch.Tensor):
        yield name, tree
    parts = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for part, value in parts:
        yield from _tensors(value, f"{name}.{part}" if name else str(part))


@dataclass(frozen=True)
class Place:
    """Where a run's agent is to play: in its own environment, a changed one, or another one with the same spaces."""

    env: str | Factory
    options: Mapping[str, Any]
    action_mask: bool
    own: bool            # nothing differs from training
    backend: Backend


def load_player(run_dir: str | Path, which: Which, env: str | Factory | None, options: Mapping[str, Any] | None,
                encoder: Encoder | None) -> tuple[Agent, Place, int]:
    """The agent of a run's checkpoint, where it is to play, and the step of the checkpoint.

    env, options: None for the run's own environment, some of its options changed, or another one by name with these
    options alone. A function or class stands for the run's own.

    Raises:
        ConfigError: as `load_agent`.
    """
    spec, options = read_spec(Path(run_dir)), checked("env_options", options or {})
    another = env if isinstance(env, str) and env != spec.env else None
    if another is not None:
        origin_of(another, {})  # imports the module that the user names, which may also be that of the run's own
    agent, step = _load(Path(run_dir), spec, which, None if another else env, encoder)
    chosen = {**({} if another else spec.env_options), **options}
    own = (env is None or name_of(env) == spec.env) and chosen == {**spec.env_options}
    engine: Backend = "envpool" if spec.backend == "envpool" and env in (None, spec.env) else "sync"
    return agent, Place(env or spec.env, chosen, spec.action_mask, own, engine), step


def agent_state(folder: Path, which: Which = "last") -> tuple[int, Any]:
    """The step of a run's checkpoint and the agent's part of it.

    Raises:
        ConfigError: the folder has no such checkpoint.
    """
    if which in ("last", "best"):
        saved = checkpoint.load_latest(folder / ("checkpoints" if which == "last" else "best"), "agent")
        if saved is not None:
            return saved
        if which == "last":
            raise ConfigError(f"{folder} has no checkpoint yet. Let it train for a moment, or stop it to save one.")
        raise ConfigError(f"{folder} has no best checkpoint: train with evaluate_every to keep one.")
    kept = {int(path.name): path for path in (folder / "kept").glob("[0-9]*") if path.name.isdigit()}
    if which not in kept:
        asked = f"step {which}" if isinstance(which, int) else f"{which!r}: it is 'last', 'best' or the step of one"
        raise ConfigError(f"{folder} has kept no checkpoint of {asked}. "
                          f"Kept: {', '.join(map(str, sorted(kept))) or 'none; train with keep_every'}.")
    return which, checkpoint.load(kept[which], "agent")


def encoder_class(encoder: Encoder | None) -> EncoderClass | None:
    """What the user gave as an encoder; a name is the user's own word here, and is imported.

    Raises:
        ConfigError: it leads to no class of `torch.nn.Module`, or to one that nobody could find again.
    """
    if encoder is None:
        return None
    if isinstance(encoder, str):
        try:
            importlib.import_module(checked("encoder", encoder).partition(":")[0])
        except ImportError as error:
            raise ConfigError(f"encoder='{encoder}' must be 'module:Class', and its module cannot be imported: "
                              f"{error}.") from error
    found = _imported(encoder) if isinstance(encoder, str) else encoder
    if not _is_module(found):
        raise ConfigError(f"encoder={encoder!r} leads to no class of torch.nn.Module. Give one, or 'module:Class'.")
    if _imported(encoder_name(found)) is not found:
        raise ConfigError(f"encoder={encoder_name(found)} cannot be found again by its name when the run is resumed. "
                          "Define the class at the top of a module.")
    return cast(EncoderClass, found)


def _is_module(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, nn.Module)


def encoder_name(encoder: EncoderClass) -> str:
    """The text by which a run's folder names an encoder: "module:Class"."""
    return f"{encoder.__module__}:{encoder.__qualname__}"


def _imported(name: str) -> Any:
    """What "module:Class" names in a module that this process has imported already; None if there is nothing."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _trusted(name: str) -> EncoderClass:
    """The class that a run's folder names. A folder may come from anyone: nothing is imported on its word."""
    found = _imported(name)
    if not _is_module(found):
        raise ConfigError(f"This run reads observations with '{name}', which is not imported here. If you trust it, "
                          f"import its module first or name it: encoder='{name}', on the command line "
                          f"--encoder {name}.")
    return cast(EncoderClass, found)


def make_agent(spec: RunSpec, obs_space: Any, action_space: Any, encoder: EncoderClass | None = None) -> Agent:
    """A fresh agent for a run. encoder: the class that the run names, where the user has given it.

    Raises:
        ConfigError: this machine or this torch lacks the device, or the run names an encoder that is not imported.
    """
    if spec.encoder is not None:
        obs_space = read_by(obs_space, encoder or _trusted(spec.encoder))
    try:
        torch.empty(0, device=spec.device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"device='{spec.device}' cannot be used here: {str(error).splitlines()[0]}") from None
    config = build(catalog.config_class(spec.algo), spec.config)
    build_agent = catalog.agent_class(spec.algo)
    agent = build_agent(obs_space, action_space, config, seed=spec.seed, device=spec.device)
    agent.obs_space = obs_space  # for whoever has the agent and not its environment
    parts = vars(agent)
    for copy, original in (("target", "online"), ("lagging", "critics"), ("lagging_actor", "actor")):
        if copy in parts:
            share_statistics(parts[copy], parts[original])
    return cast(Agent, agent)
