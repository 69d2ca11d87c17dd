"""Training: two loops, and the session around them that logs, saves and stops.

A loop yields at the points where everything is consistent; only there a run is logged, saved or ended. So a killed
run continues from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import psutil
import torch
from tqdm import tqdm

from rlcore import catalog, checkpoint
from rlcore.config import ConfigError, build, to_dict
from rlcore.data.replay import Ring
from rlcore.envs.make import Backend, Env, make_env
from rlcore.log import RunLog
from rlcore.protocols import Agent, Metrics, OffPolicyAgent, OnPolicyAgent
from rlcore.runs import RunSpec, Status, new_folder, open_run, read_spec, write_spec, write_status
from rlcore.sampling.collect import Collector

logger = logging.getLogger("rlcore")

LOG_POINTS = 500       # rows of metrics per run, at most
STATUS_EVERY_S = 0.25  # how often the folder's status and stop request are looked after


def on_policy(agent: OnPolicyAgent, collector: Collector, step: int, env_steps: int) -> Iterator[tuple[int, Metrics]]:
    """Collect with the current policy, learn once from each rollout, throw it away."""
    while step < env_steps:
        rollout = collector.collect(partial(agent.act, step=step))
        metrics = agent.update(rollout, step / env_steps)
        step += rollout.num_rows
        yield step, metrics


def off_policy(agent: OffPolicyAgent, collector: Collector, step: int, env_steps: int) -> Iterator[tuple[int, Metrics]]:
    """Collect a little, remember it, learn from what is remembered."""
    while step < env_steps:
        rollout = collector.collect(partial(agent.act, step=step))
        agent.memory.add(rollout)
        step += rollout.num_rows
        metrics: Metrics = {}
        if step >= agent.cfg.learning_starts:
            for _ in range(agent.cfg.updates):
                metrics = agent.update()
        yield step, metrics


Loop = Callable[[Agent, Collector, int, int], Iterator[tuple[int, Metrics]]]


def train(algo: str, env: str | Env, config: Any = None, *, env_steps: int | None = None, seed: int = 0,
          run_dir: str | Path | None = None, target_return: float | None = None, device: str = "cpu",
          backend: Backend | None = None, checkpoint_s: float = 30.0, progress: bool = True) -> Agent:
    """Train an agent and keep everything about it in a run folder.

    Args:
        algo: a name from the catalogue, such as "ppo".
        env: an environment's name, or a vector environment from `make_env`.
        config: the algorithm's config; the catalogue's preset for this environment if None.
        env_steps: how long to train, over all environments together; the preset's length if None.
        seed: of networks, exploration and environments.
        run_dir: the run's folder; $RLCORE_RUN_DIR if set, otherwise a new one under runs/.
        target_return: stop once the mean return of the last 100 episodes reaches it.
        device: where the networks live: "cpu" or "cuda".
        backend: engine of the vector environment; the fastest that has it if None.
        checkpoint_s: seconds between checkpoints.
        progress: show a progress bar.

    Raises:
        ConfigError: an unknown name, a setting out of range, or a folder that already holds a run.
        ShapeError: the algorithm cannot read the observations or act in the action space.
    """
    name = env if isinstance(env, str) else env.name
    cfg = catalog.config_for(algo, name) if config is None else config
    if not isinstance(cfg, catalog.config_class(algo)):
        raise ConfigError(f"train('{algo}', …) takes a {catalog.config_class(algo).__name__}, "
                          f"not {type(cfg).__name__}.")
    if not isinstance(env, str) and env.num_envs != cfg.num_envs:
        cfg = replace(cfg, num_envs=env.num_envs)
    made = make_env(name, cfg.num_envs, seed=seed, backend=backend) if isinstance(env, str) else env
    spec = RunSpec(
        algo=catalog.algorithm(algo).name, env=name, seed=seed, config=to_dict(cfg), backend=made.backend,
        env_steps=catalog.preset(algo, name).env_steps if env_steps is None else env_steps,
        target_return=target_return, device=device, threads=_threads(cfg.hidden), checkpoint_s=checkpoint_s,
        env_seed=None if made.seed == seed else made.seed, versions=versions(),
    )
    if spec.env_steps < 1:
        raise ConfigError(f"env_steps={spec.env_steps} must be at least 1.")
    agent_seed(spec)
    agent = make_agent(spec, made)
    folder = _folder(run_dir, spec)
    write_spec(folder, spec)
    return Session(folder, spec, made, agent, progress).run()


def resume(run_dir: str | Path, *, progress: bool = True) -> Agent:
    """Continue a run from its last checkpoint, or from its beginning if it has none yet.

    Raises:
        ConfigError: the folder is no run, or its process is still alive.
    """
    folder = Path(run_dir)
    spec, status = read_spec(folder), open_run(folder)
    if status.state in ("starting", "running", "stopping") and status.status.pid != os.getpid():
        raise ConfigError(f"{status.id} is already {status.state}.")
    env_seed = spec.seed if spec.env_seed is None else spec.env_seed
    env = make_env(spec.env, spec.config["num_envs"], seed=env_seed, backend=_backend(spec))
    agent_seed(spec)
    return Session(folder, spec, env, make_agent(spec, env), progress).run()


def load_agent(run_dir: str | Path) -> tuple[Agent, RunSpec]:
    """The agent of a run's last checkpoint, without its memory, and the run's spec.

    Raises:
        ConfigError: the folder is no run or has no checkpoint yet.
    """
    return load_agent_at(run_dir)[:2]


def load_agent_at(run_dir: str | Path) -> tuple[Agent, RunSpec, int]:
    """As `load_agent`, with the step of the checkpoint.

    Raises:
        ConfigError: the folder is no run or has no checkpoint yet.
    """
    folder = Path(run_dir)
    spec, saved = read_spec(folder), checkpoint.load_latest(folder / "checkpoints", "agent")
    if saved is None:
        raise ConfigError(f"{folder} has no checkpoint yet. Let it train for a moment, or stop it to save one.")
    env = make_env(spec.env, 1, backend="sync")
    agent = make_agent(spec, env)
    env.close()
    step, state = saved
    agent.load_state_dict(state)
    return agent, spec, step


def make_agent(spec: RunSpec, env: Env) -> Agent:
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
    agent: Agent = build_agent(env.single_observation_space, env.single_action_space, config,
                               seed=spec.seed, device=spec.device)
    return agent


def agent_seed(spec: RunSpec) -> None:
    """Seed torch and set its threads: both are settings of the whole process."""
    torch.manual_seed(spec.seed)
    torch.set_num_threads(spec.threads)


def _threads(hidden: tuple[int, ...]) -> int:
    """One torch thread for small networks, where waking a second costs more than it does; else up to four.

    At most half the cores: torch's threads spin while they wait, so one core short of what they want, because the app
    or another run uses it, slows them down tenfold and more.
    """
    return 1 if max(hidden) < 200 else max(1, min(4, (psutil.cpu_count(logical=False) or 1) // 2))


def _backend(spec: RunSpec) -> Backend:
    return spec.backend  # type: ignore[return-value]  # written by make_env, checked by it again


def _folder(run_dir: str | Path | None, spec: RunSpec) -> Path:
    chosen = run_dir or os.environ.get("RLCORE_RUN_DIR")
    if not chosen:
        return new_folder(f"{spec.algo}-{spec.env}")
    folder = Path(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "config.yaml").exists():
        raise ConfigError(f"{folder} already holds a run. Resume it with `python -m rlcore resume {folder}`, "
                          "or train into another folder.")
    return folder


def versions() -> dict[str, str]:
    """What the run stands on."""
    packages = ("torch", "numpy", "gymnasium")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


class Session:
    """One process's turn at a run: from its last checkpoint, or its beginning, to its end or a stop."""

    def __init__(self, folder: Path, spec: RunSpec, env: Env, agent: Agent, progress: bool):
        self.folder, self.spec, self.agent = folder, spec, agent
        self.on_gpu = torch.device(spec.device).type == "cuda"
        self.stop_file = folder / "stop"
        if self.stop_file.exists() and self.stop_file.stat().st_mtime < psutil.Process().create_time() - 2:
            self.stop_file.unlink()  # meant for an earlier process; one made while this one was starting counts
        algorithm = catalog.algorithm(spec.algo)
        self.memory: Ring | None = None
        if algorithm.loop == "on_policy":
            self.loop, horizon = cast(Loop, on_policy), agent.cfg.horizon
        else:
            self.loop, horizon = cast(Loop, off_policy), agent.cfg.train_every
            self.memory = cast(OffPolicyAgent, agent).memory
        self.collector = Collector(env, horizon)
        self.log_every = max(1, spec.env_steps // LOG_POINTS)
        self.step, self.next_log, self.elapsed_s, keep_bytes = 0, self.log_every, 0.0, 0
        self.recent: deque[float] = deque(maxlen=100)
        if saved := checkpoint.latest(folder / "checkpoints"):
            keep_bytes = self._load(saved)
        self.log = RunLog(folder, keep_bytes=keep_bytes, step=self.step)
        self.started, self.first_step = time.monotonic(), self.step
        self.asked_to_stop = False
        self.bar = tqdm(total=spec.env_steps, initial=self.step, unit="step", unit_scale=True,
                        desc=f"{algorithm.title} {spec.env}", disable=not progress, dynamic_ncols=True,
                        mininterval=0.5 if sys.stderr.isatty() else 5.0)  # a log file wants few lines

    def run(self) -> Agent:
        """Train until the steps are done, the target is reached or somebody asks to stop."""
        logger.info("%s on %s: %s env steps into %s", self.spec.algo, self.spec.env,
                    f"{self.spec.env_steps:,}", self.folder)
        before = self._catch_signals()
        self._status("running")
        try:
            state = self._train()
            self._save()
            self._status(state)
        except BaseException as error:
            self._status("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            self.log.close()
            self.bar.close()
            self.collector.env.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        logger.info("%s after %s env steps", state, f"{self.step:,}")
        return self.agent

    def _train(self) -> str:
        now = time.monotonic()
        next_status, next_save = now + STATUS_EVERY_S, now + self.spec.checkpoint_s
        for step, metrics in self.loop(self.agent, self.collector, self.step, self.spec.env_steps):
            self.bar.update(step - self.step)
            self.step = step
            if step >= self.next_log or step >= self.spec.env_steps:
                self._log(metrics)
                self.next_log = step + self.log_every
                if self._target_reached():
                    return "finished"
            now = time.monotonic()
            if now >= next_status:
                self._status("running")
                next_status = now + STATUS_EVERY_S
                if self.asked_to_stop or self.stop_file.exists():
                    self.stop_file.unlink(missing_ok=True)
                    self._status("stopping", "Writing a checkpoint")
                    return "stopped" if step < self.spec.env_steps else "finished"
            if now >= next_save:
                self._save()
                took = time.monotonic() - now  # a large replay memory must not be all that a run writes
                next_save = time.monotonic() + max(self.spec.checkpoint_s, 20 * took)
        return "finished"

    def _log(self, metrics: Metrics) -> None:
        row = {name: float(value) for name, value in metrics.items()}
        if episodes := self.collector.take_episodes():
            self.recent.extend(episode.total for episode in episodes)
            row |= {"episode/return": float(np.mean([episode.total for episode in episodes])),
                    "episode/length": float(np.mean([episode.length for episode in episodes])),
                    "episode/return_100": float(np.mean(self.recent))}
        row |= {"time_s": self._seconds(), "time/env_steps_per_s": self._sps()}
        self.log.write(self.step, row)
        if self.recent:
            self.bar.set_postfix(mean_return=f"{np.mean(self.recent):.1f}", refresh=False)

    def _target_reached(self) -> bool:
        target, recent = self.spec.target_return, self.recent
        return target is not None and len(recent) == recent.maxlen and float(np.mean(recent)) >= target

    def _seconds(self) -> float:
        return self.elapsed_s + time.monotonic() - self.started

    def _sps(self) -> float:
        return (self.step - self.first_step) / max(1e-9, time.monotonic() - self.started)

    def _status(self, state: str, message: str = "") -> None:
        sps = self._sps()
        process = psutil.Process()
        write_status(self.folder, Status(
            state, process.pid, process.create_time(), self.step, self.spec.env_steps, sps,
            (self.spec.env_steps - self.step) / sps if sps and state == "running" else None,
            float(np.mean(self.recent)) if self.recent else None, message))

    def _save(self) -> None:
        parts: dict[str, Any] = {
            "agent": self.agent.state_dict(),
            "session": {
                "step": self.step, "next_log": self.next_log,
                "elapsed_s": self._seconds(), "log_bytes": self.log.num_bytes(),
                "recent": list(self.recent), "collector": self.collector.state_dict(),
                "torch_rng": torch.get_rng_state(),
                "device_rng": torch.cuda.get_rng_state(self.spec.device) if self.on_gpu else None,
            },
        }
        if self.memory is not None:
            parts["memory"] = self.memory.state_dict()
        checkpoint.save(self.folder / "checkpoints", self.step, parts)

    def _load(self, saved: Path) -> int:
        self.agent.load_state_dict(checkpoint.load(saved, "agent"))
        if self.memory is not None:
            self.memory.load_state_dict(checkpoint.load(saved, "memory"))
        state: Mapping[str, Any] = checkpoint.load(saved, "session")
        self.step, self.next_log, self.elapsed_s = state["step"], state["next_log"], state["elapsed_s"]
        self.recent.extend(state["recent"])
        if not self.collector.load_state_dict(state["collector"], fresh_seed=self.spec.seed + self.step):
            if self.memory is not None:
                self.memory.break_off()
            logger.warning("%s cannot save its environments' state: they start new episodes; "
                           "everything else continues exactly.", self.spec.env)
        torch.set_rng_state(state["torch_rng"])
        if self.on_gpu:
            torch.cuda.set_rng_state(state["device_rng"], self.spec.device)
        return int(state["log_bytes"])

    def _catch_signals(self) -> dict[int, Any]:
        """Ctrl-C and a polite kill end the run at its next consistent point; a second Ctrl-C ends it at once."""
        def ask(_number: int, _frame: FrameType | None) -> None:
            if self.asked_to_stop:
                raise KeyboardInterrupt
            self.asked_to_stop = True

        try:
            return {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever owns it handles signals
            return {}


