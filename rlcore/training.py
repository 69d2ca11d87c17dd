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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from types import FrameType
from typing import Any, Literal, cast

import numpy as np
import psutil
import torch
from tqdm import tqdm

from rlcore import catalog, checkpoint, finetune
from rlcore.config import ConfigError, build, to_dict
from rlcore.envs.make import Backend, Env, Factory, make_env, name_of
from rlcore.envs.process import ProcessVectorEnv
from rlcore.evaluation.evaluate import evaluate
from rlcore.fast import graph
from rlcore.hindsight import look_back
from rlcore.log import RunLog
from rlcore.nets.encoders import EncoderClass, reader_of
from rlcore.protocols import Agent, Metrics, OffPolicyAgent, OnPolicyAgent
from rlcore.restore import Encoder, agent_seed, encoder_class, encoder_name, make_agent, restore, run_env
from rlcore.runs import (
    RUNS,
    RunSpec,
    Status,
    append_evaluation,
    checked,
    claimed,
    drop_evaluations_after,
    new_folder,
    read_spec,
    write_spec,
    write_status,
)
from rlcore.sampling.collect import Collector, Sampler
from rlcore.sampling.workers import Recipe, Workers

logger = logging.getLogger("rlcore")

LOG_POINTS = 300       # rows of metrics per run, at most
WORTH_COMPILING = 2_500_000  # gradient steps × width of a layer: each saves some microseconds
SELECTION_SEED = 5_000_000  # of evaluations in training: who judges the agent that they chose uses others
STATUS_EVERY_S = 0.25  # how often the folder's status and stop request are looked after


def on_policy(agent: OnPolicyAgent, sampler: Sampler, step: int, env_steps: int) -> Iterator[tuple[int, Metrics]]:
    """Collect with the current policy, learn once from each rollout, throw it away."""
    while step < env_steps:
        rollout = sampler.collect(step)
        metrics = agent.update(rollout, step / env_steps)
        step += rollout.num_rows
        yield step, metrics


def off_policy(agent: OffPolicyAgent, sampler: Sampler, step: int, env_steps: int) -> Iterator[tuple[int, Metrics]]:
    """Collect a little, remember it, learn from what is remembered."""
    while step < env_steps:
        rollout = sampler.collect(step)
        agent.remember(rollout)
        step += rollout.num_rows
        metrics: Metrics = {}
        if step >= agent.cfg.learning_starts:
            for _ in range(agent.cfg.updates):
                metrics = agent.update()
        yield step, metrics


SamplerName = Literal["serial", "batched", "alternating", "parallel", "async"]


@dataclass(frozen=True)
class Moment:
    """Where a run stands when a callback is asked."""

    step: int                  # env steps so far
    row: Mapping[str, float]   # the metrics just logged
    agent: Agent
    folder: Path


Callback = Callable[[Moment], bool | None]
"""Called with each row of metrics; True ends the run."""

Loop = Callable[[Agent, Sampler, int, int], Iterator[tuple[int, Metrics]]]


def train(algo: str, env: str | Factory | Env, config: Any = None, *, env_steps: int | None = None, seed: int = 0,
          run_dir: str | Path | None = None, target_return: float | None = None, device: str = "cpu",
          backend: Backend | None = None, env_options: Mapping[str, Any] | None = None, action_mask: bool = False,
          sampler: SamplerName = "serial", num_workers: int | None = None, timeout_s: float | None = None,
          evaluate_every: int | None = None, evaluate_episodes: int = 10, patience: int | None = None,
          keep_every: int | None = None, start_from: str | Path | None = None,
          freeze: str | Sequence[str] = (), encoder: Encoder | None = None, hindsight: float | None = None,
          compiled: bool | None = None, threads: int | None = None, replay_on_disk: bool = False,
          replay_on_gpu: bool = False, callbacks: Sequence[Callback] = (), checkpoint_s: float = 30.0,
          progress: bool = True) -> Agent:
    """Train an agent and keep everything about it in a run folder.

    Args:
        algo: a name from the catalogue, such as "ppo".
        env: an environment's name, or a function or class that makes one, as `make_env` takes it, or what it made.
            Other processes, of a sampler or a later `resume`, must be able to import a function by its name.
        config: the algorithm's config, or the settings in which it differs from the catalogue's preset for this
            environment, such as {"gamma": 0.9}.
        env_steps: how long to train, over all environments together; the preset's length if None.
        seed: of networks, exploration and environments.
        run_dir: the run's folder; $RLCORE_RUN_DIR if set, otherwise a new one under runs/.
        target_return: stop once the mean return of the last 100 episodes reaches it.
        device: where the networks live: "cpu" or "cuda".
        backend: engine of the vector environment; the fastest that has it if None.
        env_options: plain data for the environment's constructor, such as {"max_episode_steps": 200}.
        action_mask: let the agent see `info["action_mask"]` and choose among legal actions only.
        sampler: "serial" collects in this process; "batched" steps environments in worker processes; "alternating" does
            so in two halves, of which one steps while the other's actions are computed; "parallel" gives each worker a
            copy of the policy: these four give the same bits. "async" is "parallel" one rollout ahead of learning.
        num_workers: the sampler's processes; one per core if None.
        timeout_s: seconds without an answer after which one of them is taken to hang; a minute if None.
        evaluate_every: env steps between evaluations in training, and one at the end of a run that had none; the best
            agent by them is kept as "best".
        evaluate_episodes: how many episodes each plays.
        patience: stop after so many evaluations in a row without a better one.
        keep_every: env steps between checkpoints of the agent that are kept.
        start_from: a run whose last agent, with its optimisers, this one begins as.
        freeze: a word or several; parameters whose names, as `describe` prints them, contain one stay as they are.
        encoder: a class of `torch.nn.Module` of your own, or "module:Class", that reads observations in place of
            rlcore's. It is made with the observation space, has `out_dim`, and turns rows [N, …] into features
            [N, out_dim]. Other processes and a later `resume` must be able to find it by its name.
        hindsight: the share of replayed steps that pursue a goal their episode reached later; 0.8 is usual.
        compiled: compile the gradient step before it is first taken, which needs a C++ compiler and some ten seconds;
            if None, where that is possible and the run is long enough to gain by it.
        threads: that torch computes with; if None, one for networks under 200 units, else half the cores, four at
            most. All cores are up to twice as fast in float32 on an idle machine, and far slower on a busy one.
        replay_on_disk: keep the replay memory in files of the run's folder, for one that is larger than the machine's
            memory; the system reads and writes them as needed.
        replay_on_gpu: keep the replay memory on the device that trains, so that batches need not be copied there.
        callbacks: functions of a `Moment`, called with each row of metrics; one that returns True ends the run.
        checkpoint_s: seconds between checkpoints.
        progress: show a progress bar.

    Raises:
        ConfigError: an unknown name, a setting out of range, or a folder that already holds a run.
        ShapeError: the algorithm cannot read the observations or act in the action space.
    """
    algorithm, name = catalog.algorithm(checked("algo", algo)), env.name if isinstance(env, Env) else name_of(env)
    cfg = catalog.config_for(algo, name, config) if config is None or isinstance(config, Mapping) else config
    if not isinstance(cfg, catalog.config_class(algo)):
        raise ConfigError(f"train('{algo}', …) takes a {catalog.config_class(algo).__name__}, "
                          f"not {type(cfg).__name__}.")
    cfg = replace(cfg, num_envs=env.num_envs) if isinstance(env, Env) else cfg
    own = encoder_class(encoder)
    spec = RunSpec(
        algo=algorithm.name, env=name, seed=seed, config=to_dict(cfg), backend=backend,
        env_steps=catalog.preset(algo, name).env_steps if env_steps is None else env_steps,
        target_return=target_return, device=device, checkpoint_s=checkpoint_s,
        threads=_threads(cfg.hidden) if threads is None else threads,
        env_options={} if env_options is None else _plain(env_options, "env_options"), action_mask=action_mask,
        sampler=sampler, num_workers=num_workers, timeout_s=timeout_s, evaluate_every=evaluate_every,
        evaluate_episodes=evaluate_episodes, patience=patience, keep_every=keep_every,
        start_from=None if start_from is None else str(start_from), freeze=freeze, hindsight=hindsight,
        encoder=None if own is None else encoder_name(own), compiled=False if compiled is None else compiled,
        replay_on_disk=replay_on_disk, replay_on_gpu=replay_on_gpu, versions=versions(),
    )
    callbacks, chosen = checked("callbacks", callbacks), _chosen(checked("run_dir", run_dir))
    _check_together(spec)
    if not isinstance(env, Env):
        made = make_env(env, cfg.num_envs if sampler in _HERE else 1, seed=spec.seed, backend=_engine(spec),
                        options=spec.env_options, action_mask=action_mask, num_workers=spec.num_workers)
    elif given := _of_the_env(env, backend, env_options, action_mask, config):
        raise ConfigError(f"train(…) was given a finished environment, to which {given} came too late: give it to "
                          "make_env instead.")
    elif sampler != "serial":
        raise ConfigError(f"sampler='{sampler}' makes environments in its own processes: give train(…) the "
                          f"environment's name, '{name}', instead of a finished one.")
    else:
        made = env
    spec = replace(spec, backend=made.backend, env_seed=None if made.seed == spec.seed else made.seed,
                   env_options=_plain(made.options, "env_options"), action_mask=made.action_mask)
    spec = replace(spec, num_workers=_num_workers(spec))
    agent = _begin(spec, made, own)
    spec = replace(spec, compiled=_gains_by_compiling(spec, agent) if compiled is None else compiled)
    if compiled and (obstacle := graph.obstacle(agent)):
        raise ConfigError(f"compiled=True asks for a compiled gradient step, but {obstacle} be compiled. Leave it out.")
    if compiled and (tool := graph.missing_tool(device)):
        raise ConfigError(f"compiled=True asks for a compiled gradient step, but this machine lacks {tool}. "
                          "Install it, or use compiled=False.")
    if cfg.precision == "bfloat16" and device == "cpu" and not torch.cpu.get_capabilities().get("amx_bf16"):
        logger.warning("bfloat16 is faster only on CPUs with AMX, which this one lacks: float32 is likely to be faster "
                       "here.")
    folder = chosen or new_folder(f"{spec.algo}-{spec.env}")  # only now: who cannot begin leaves none
    with claimed(folder):
        _chosen(folder)  # another process may have begun there meanwhile
        write_spec(folder, spec)
        session = Session(folder, spec, made.source, make_sampler(spec, made, agent), agent, progress, callbacks)
    return session.run()


def _of_the_env(env: Env, backend: Backend | None, options: Mapping[str, Any] | None, action_mask: bool,
                config: Any) -> str:
    """The first argument of `train` that says of a finished environment what it is not; empty if there is none."""
    asked = {"backend": (backend, env.backend), "env_options": (options, env.options),
             "action_mask": (action_mask or None, env.action_mask),
             "num_envs": (config.get("num_envs") if isinstance(config, Mapping) else None, env.num_envs)}
    return next((f"{name}={want!r}" for name, (want, has) in asked.items() if want not in (None, has)), "")


def _begin(spec: RunSpec, env: Env, encoder: EncoderClass | None, *, known: bool = False) -> Agent:
    """A run's agent before its first step; known: before a checkpoint is loaded."""
    agent_seed(spec)
    agent = make_agent(spec, env.single_observation_space, env.single_action_space, encoder)
    if spec.hindsight is not None:
        look_back(agent, run_env(spec, 0, 1, env=env.source, single=True), spec.hindsight)
    if spec.start_from is not None and not known:
        finetune.start_from(agent, spec.start_from)
    finetune.freeze(agent, spec.freeze)
    return agent


def resume(run_dir: str | Path, *, env: str | Factory | None = None, encoder: Encoder | None = None,
           env_steps: int | None = None, callbacks: Sequence[Callback] = (), progress: bool = True) -> Agent:
    """Continue a run from its last checkpoint, or from its beginning if it has none yet.

    env: what makes the run's environment, or its name, where its module is not imported yet.
    encoder: the class of the run's custom encoder, or "module:Class", where its module is not imported yet.
    env_steps: a new length, counted from the run's beginning, that its folder remembers: a finished run goes on to it,
    and schedules run over the new length from here on, as if it had always been this one. The target return or patience
    that ended a run still holds.
    callbacks: as for `train`; functions are not part of what a run's folder remembers.
    A compiled run goes on uncompiled, with a warning, where no compiler is.

    Raises:
        ConfigError: the folder is no run, its process is still alive, it has taken `env_steps` already, or it names an
            environment or an encoder of which nothing was imported.
    """
    folder, callbacks = Path(checked("run_dir", run_dir)), checked("callbacks", callbacks)
    spec = read_spec(folder)
    with claimed(folder):
        saved = checkpoint.latest(folder / "checkpoints")
        if env_steps is not None:
            spec = replace(spec, env_steps=env_steps)
            if saved is not None and int(saved.name) >= spec.env_steps:
                raise ConfigError(f"{folder.name} has taken {int(saved.name):,} env steps already: "
                                  f"env_steps={env_steps} is counted from its beginning and must be more.")
        if saved is not None and spec.sampler not in _HERE and spec.num_workers is None:  # of an older rlcore
            spec = replace(spec, num_workers=len(checkpoint.load(saved, "session")["sampler"]["workers"]))
        num_envs = build(catalog.config_class(spec.algo), spec.config).num_envs
        made = run_env(spec, 0, num_envs if spec.sampler in _HERE else 1, env=env)
        agent = _begin(spec, made, encoder_class(encoder), known=saved is not None)
        session = Session(folder, spec, made.source, make_sampler(spec, made, agent), agent, progress, callbacks)
        if env_steps is not None:
            write_spec(folder, spec)
    return session.run()


def _gains_by_compiling(spec: RunSpec, agent: Agent) -> bool:
    """Whether a run is likely to save the time that compiling takes, on a machine that can."""
    if spec.device != "cpu" or graph.obstacle(agent) is not None or graph.missing_tool("cpu"):
        return False
    cfg = agent.cfg
    rounds = (spec.env_steps - cfg.learning_starts) // (cfg.num_envs * cfg.train_every)
    return bool(rounds * cfg.updates * max(cfg.hidden) >= WORTH_COMPILING)


def make_sampler(spec: RunSpec, env: Env, agent: Agent) -> Sampler:
    """What a run gets its rollouts from. Takes over the environments."""
    algorithm, cfg = catalog.algorithm(spec.algo), agent.cfg
    on_policy = algorithm.loop == "on_policy"
    horizon, random_steps = (cfg.horizon, 0) if on_policy else (cfg.train_every, cfg.learning_starts)
    if spec.sampler in _HERE:
        if spec.timeout_s is not None and isinstance(env.env, ProcessVectorEnv):
            env.env.timeout_s = spec.timeout_s
        return Collector(env, agent, horizon, seed=spec.seed, random_steps=random_steps,
                         num_groups=2 if spec.sampler == "alternating" else 1)
    ahead = spec.sampler == "async"
    policy = partial(make_agent, spec, encoder=reader_of(cast(Any, agent).obs_space))
    recipe = Recipe(partial(run_env, spec, env=env.source), policy, cfg.num_envs, horizon, spec.seed, random_steps,
                    log_prob=ahead and on_policy)
    obs_space = env.single_observation_space
    env.close()
    return Workers(recipe, agent, obs_space, spec.num_workers or _cores(), ahead=ahead,
                   timeout_s=spec.timeout_s or 60.0)


_HERE = ("serial", "batched", "alternating")  # samplers whose policy acts in the learner's process


def _check_together(spec: RunSpec) -> None:
    """Options that exclude each other, or the algorithm or the environment."""
    algorithm = catalog.algorithm(spec.algo)
    if spec.sampler == "async" and algorithm.loop == "on_policy" and not algorithm.weighs_actions:
        able = [other.title for other in catalog.ALGORITHMS.values() if other.weighs_actions]
        raise ConfigError(f"{algorithm.title} cannot use sampler='async': it learns only from what its newest policy "
                          f"did. Use sampler='parallel', or one of {', '.join(able)} or an off-policy algorithm.")
    if spec.sampler != "serial" and "<" in spec.env:  # <lambda>, <locals>
        raise ConfigError(f"sampler='{spec.sampler}' makes environments in other processes, which cannot import "
                          f"{spec.env}. Define it at the top of a module, or use sampler='serial'.")
    if algorithm.needs_cost and spec.env in catalog.ENVIRONMENTS and (why := catalog.refusal(spec.algo, spec.env)):
        raise ConfigError(why)
    if spec.freeze and not algorithm.freezes:
        raise ConfigError(f"{algorithm.title} moves all of its policy at once, so freeze={spec.freeze} cannot hold a "
                          "part of it. PPO can.")
    for option in ("replay_on_disk", "replay_on_gpu"):
        if getattr(spec, option) and algorithm.loop == "on_policy":
            raise ConfigError(f"{algorithm.title} has no replay memory: leave {option}=True out.")
    if spec.replay_on_gpu and (spec.replay_on_disk or spec.device.startswith("cpu")):
        against = "replay_on_disk=True" if spec.replay_on_disk else f"device='{spec.device}'"
        raise ConfigError(f"replay_on_gpu=True keeps the replay memory on the GPU that trains, which {against} "
                          "contradicts. Leave one of them out.")
    if spec.patience is not None and spec.evaluate_every is None:
        raise ConfigError(f"patience={spec.patience} counts evaluations: give evaluate_every too.")


def _engine(spec: RunSpec) -> Backend | None:
    """The engine of the environments that a sampler needs."""
    asked = cast(Backend | None, spec.backend)
    needs: Backend | None = {"serial": asked, "batched": "process", "alternating": "process"}.get(spec.sampler, "sync")
    if asked not in (None, needs):
        raise ConfigError(f"sampler='{spec.sampler}' steps environments with backend='{needs}', not '{asked}'. "
                          "Leave backend out, or use sampler='serial'.")
    return needs


def _num_workers(spec: RunSpec) -> int | None:
    """The sampler's processes, as another machine needs to know them that resumes the run.

    Raises:
        ConfigError: a number was asked for and there are none.
    """
    if spec.sampler not in _HERE:
        return spec.num_workers or _cores()
    if spec.num_workers is not None and spec.backend in ("native", "sync") and "ALE/" not in spec.env:
        raise ConfigError(f"num_workers={spec.num_workers} asks for processes, but sampler='{spec.sampler}' with "
                          f"backend='{spec.backend}' has none. Leave it out, or use another sampler, such as "
                          "sampler='parallel'.")
    return spec.num_workers


def _cores() -> int:
    return psutil.cpu_count(logical=False) or 1


def _plain(value: Any, name: str) -> Any:
    """An option of the environment as YAML can hold it: NumPy's numbers as Python's, tuples as lists.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{name}['{key}']") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if type(value) not in (bool, int, float, str, type(None)):
        raise ConfigError(f"{name} must be plain data, which a run's folder can remember, such as a number, text or a "
                          f"list of them, not {value!r}. Give anything else by a function that makes the environment.")
    return value


def _threads(hidden: tuple[int, ...]) -> int:
    """One torch thread for small networks, where waking a second costs more than it does; else up to four.

    At most half the cores: torch's threads spin while they wait, so one core short of what they want, because the app
    or another run uses it, slows them down tenfold and more.
    """
    return 1 if max(hidden) < 200 else max(1, min(4, _cores() // 2))


def _chosen(run_dir: str | Path | None) -> Path | None:
    """The folder that a run is to have, where somebody chose one."""
    chosen = run_dir or os.environ.get("RLCORE_RUN_DIR")
    folder = Path(chosen or RUNS)
    if chosen and (folder / "config.yaml").exists():
        raise ConfigError(f"{folder} already holds a run. Resume it with `python -m rlcore resume {folder}`, "
                          "or train into another folder.")
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        role = "be a run's folder" if chosen else "hold runs"
        raise ConfigError(f"{folder} cannot {role}: {there} is no folder that can be written into. "
                          "Give another run_dir.")
    return folder if chosen else None


def _passes(before: int, step: int, every: int | None) -> bool:
    """Whether a multiple of `every` lies in (before, step]."""
    return every is not None and step // every > before // every


def versions() -> dict[str, str]:
    """What the run stands on."""
    packages = ("torch", "numpy", "gymnasium")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


class Session:
    """One process's turn at a run: from its last checkpoint, or its beginning, to its end or a stop."""

    def __init__(self, folder: Path, spec: RunSpec, env_source: str | Factory, sampler: Sampler, agent: Agent,
                 progress: bool, callbacks: Sequence[Callback] = ()):
        self.folder, self.spec, self.agent, self.callbacks = folder, spec, agent, callbacks
        self.env_source, self.sampler = env_source, sampler
        self.on_gpu = torch.device(spec.device).type == "cuda"
        self.stop_file = folder / "stop"
        if self.stop_file.exists() and self.stop_file.stat().st_mtime < psutil.Process().create_time() - 2:
            self.stop_file.unlink()  # meant for an earlier process; one made while this one was starting counts
        algorithm = catalog.algorithm(spec.algo)
        self.loop, self.memory = cast(Loop, on_policy), None
        if algorithm.loop == "off_policy":
            self.loop, self.memory = cast(Loop, off_policy), cast(OffPolicyAgent, agent).memory
            self.memory.folder = folder / "replay" if spec.replay_on_disk else None
            self.memory.device = torch.device(spec.device if spec.replay_on_gpu else "cpu")
        if spec.compiled and (tool := graph.missing_tool(spec.device)):
            logger.warning("This machine lacks %s, so the compiled run goes on with the readable step: by the same "
                           "formulas, but not to the last bits of a compiled one.", tool)
        elif spec.compiled:
            graph.compile_steps(agent)
        self.log_every = max(1, spec.env_steps // LOG_POINTS)
        self.step, self.next_log, self.elapsed_s, keep_bytes = 0, self.log_every, 0.0, 0
        self.recent: deque[float] = deque(maxlen=100)
        self.best: float | None = None   # highest mean return of an evaluation in training
        self.since_best = 0              # evaluations since then
        if saved := checkpoint.latest(folder / "checkpoints"):
            try:
                keep_bytes = self._load(saved)
            except BaseException:
                self.sampler.close()
                raise
        drop_evaluations_after(folder, self.step)  # what the run did after this step, it does again
        checkpoint.drop_after(folder / "kept", self.step)
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
            if state == "finished" and self.spec.evaluate_every is not None and self.best is None:
                self._evaluate()  # it ended before the first: whoever asked for evaluations looks for the best
            self._save()
            self._status(state)
        except BaseException as error:
            self._status("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            self.log.close()
            self.bar.close()
            self.sampler.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        logger.info("%s after %s env steps", state, f"{self.step:,}")
        return self.agent

    def _train(self) -> str:
        now = time.monotonic()
        next_status, next_save = now + STATUS_EVERY_S, now + self.spec.checkpoint_s
        for step, metrics in self.loop(self.agent, self.sampler, self.step, self.spec.env_steps):
            self.bar.update(step - self.step)
            before, self.step = self.step, step
            passed = partial(_passes, before, step)
            if passed(self.spec.keep_every):
                checkpoint.save(self.folder / "kept", step, {"agent": self.agent.state_dict()}, keep_others=True)
            over = passed(self.spec.evaluate_every) and self._evaluate()
            if over or step >= self.next_log or step >= self.spec.env_steps:
                row = self._log(metrics)
                self.next_log = step + self.log_every
                if self._asked_to_end(row) or over or self._target_reached():
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
                next_save = time.monotonic() + max(self.spec.checkpoint_s, 40 * took)
        return "finished"

    def _evaluate(self) -> bool:
        """Play some episodes, keep the agent if it is the best so far, and say whether patience is over."""
        spec = self.spec
        result = evaluate(self.agent, self.env_source, episodes=spec.evaluate_episodes, seed=SELECTION_SEED,
                          env_options=spec.env_options, action_mask=spec.action_mask,
                          backend="envpool" if spec.backend == "envpool" else "sync")
        append_evaluation(self.folder, result.row(self.step) | {"in_training": True})
        if self.best is None or result.mean > self.best:
            self.best, self.since_best = result.mean, 0
            checkpoint.save(self.folder / "best", self.step, {"agent": self.agent.state_dict()}, replace=True)
        else:
            self.since_best += 1
        return spec.patience is not None and self.since_best >= spec.patience

    def _asked_to_end(self, row: Mapping[str, float]) -> bool:
        moment = Moment(self.step, row, self.agent, self.folder)
        return any([callback(moment) for callback in self.callbacks])  # noqa: C419  # all are called, also after a True

    def _log(self, metrics: Metrics) -> dict[str, float]:
        row = {name: float(value) for name, value in metrics.items()}
        if episodes := self.sampler.take_episodes():
            self.recent.extend(episode.total for episode in episodes)
            row |= {"episode/return": fmean(episode.total for episode in episodes),
                    "episode/length": fmean(episode.length for episode in episodes),
                    "episode/return_100": fmean(self.recent)}
        row |= {"time_s": self._seconds(), "time/env_steps_per_s": self._sps()}
        self.log.write(self.step, row)
        if self.recent:
            self.bar.set_postfix(mean_return=f"{fmean(self.recent):.1f}", refresh=False)
        return row

    def _target_reached(self) -> bool:
        target, recent = self.spec.target_return, self.recent
        return target is not None and len(recent) == recent.maxlen and fmean(recent) >= target

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
            fmean(self.recent) if self.recent else None, message))

    def _save(self) -> None:
        parts: dict[str, Any] = {
            "agent": self.agent.state_dict(),
            "session": {
                "step": self.step, "next_log": self.next_log,
                "elapsed_s": self._seconds(), "log_bytes": self.log.num_bytes(),
                "recent": list(self.recent), "best": self.best, "since_best": self.since_best,
                "sampler": self.sampler.state_dict(),
                "torch_rng": torch.get_rng_state(),
                "device_rng": torch.cuda.get_rng_state(self.spec.device) if self.on_gpu else None,
            },
        }
        if self.memory is not None:
            parts["memory"] = self.memory.state_dict()
        checkpoint.save(self.folder / "checkpoints", self.step, parts)

    def _load(self, saved: Path) -> int:
        restore(self.agent, checkpoint.load(saved, "agent"), self.folder, f"The checkpoint {saved}")
        if self.memory is not None:
            self.memory.load_state_dict(checkpoint.load(saved, "memory"))
        state: Mapping[str, Any] = checkpoint.load(saved, "session")
        self.step, self.next_log, self.elapsed_s = state["step"], state["next_log"], state["elapsed_s"]
        self.recent.extend(state["recent"])
        self.best, self.since_best = state["best"], state["since_best"]
        if not self.sampler.load_state_dict(state["sampler"], fresh_seed=self.spec.seed + self.step):
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


