"""What a run's folder says, made again: its environments and its agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import torch
from threadpoolctl import threadpool_limits

from rlcore import catalog, checkpoint
from rlcore.config import ConfigError, build
from rlcore.envs.make import Backend, Env, Factory, make_env
from rlcore.protocols import Agent
from rlcore.runs import RunSpec, read_spec

Which = Literal["last", "best"] | int
"""One of a run's checkpoints."""


def run_env(spec: RunSpec, first: int, count: int, *, env: str | Factory | None = None, single: bool = False) -> Env:
    """The environments number `first` and following of a run; single: in this process, for a look at one.

    env: what makes one, where the run's own name for it does not lead there.
    """
    seed = spec.seed if spec.env_seed is None else spec.env_seed
    try:
        return make_env(env or spec.env, count, seed=seed, backend="sync" if single else cast(Backend, spec.backend),
                        options=spec.env_options, action_mask=spec.action_mask, num_workers=spec.num_workers,
                        first=first)
    except ConfigError as error:
        if env or ":" not in spec.env:
            raise
        raise ConfigError(f"{error} If that was a function or class of another script, give it again: env=…") from None


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


def load_agent(run_dir: str | Path, which: Which = "last", *,
               env: str | Factory | None = None) -> tuple[Agent, RunSpec]:
    """The agent of one of a run's checkpoints, without its memory, and the run's spec.

    which: "last"; "best", by the evaluations made in training; or the step of one that `keep_every` kept.
    env: what makes the run's environment, where its own name for it does not lead there.

    Raises:
        ConfigError: the folder is no run or has no such checkpoint.
    """
    return load_agent_at(run_dir, which, env)[:2]


def load_agent_at(run_dir: str | Path, which: Which = "last",
                  env: str | Factory | None = None) -> tuple[Agent, RunSpec, int]:
    """As `load_agent`, with the step of the checkpoint.

    Raises:
        ConfigError: the folder is no run or has no such checkpoint.
    """
    folder = Path(run_dir)
    spec = read_spec(folder)
    step, state = agent_state(folder, which)
    one = run_env(spec, 0, 1, env=env, single=True)
    agent = make_agent(spec, one.single_observation_space, one.single_action_space)
    one.close()
    agent.load_state_dict(state)
    return agent, spec, step


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
    kept = {int(path.name): path for path in (folder / "kept").glob("[0-9]*")}
    if int(which) not in kept:
        raise ConfigError(f"{folder} has kept no checkpoint of step {which}. "
                          f"Kept: {', '.join(map(str, sorted(kept))) or 'none; train with keep_every'}.")
    return int(which), checkpoint.load(kept[int(which)], "agent")


def make_agent(spec: RunSpec, obs_space: Any, action_space: Any) -> Agent:
    """A fresh agent for a run.

    Raises:
        ConfigError: this machine or this torch lacks the device.
    """
    try:
        torch.empty(0, device=spec.device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device='{spec.device}' cannot be used here: {str(error).splitlines()[0]}") from None
    config = build(catalog.config_class(spec.algo), spec.config)
    build_agent = catalog.agent_class(spec.algo)
    agent = build_agent(obs_space, action_space, config, seed=spec.seed, device=spec.device)
    agent.obs_space = obs_space  # for whoever has the agent and not its environment
    return cast(Agent, agent)
