"""Do the algorithms learn? Trains them over several seeds, keeps each run's curve, and prints one table of all kept."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import rlcore as rl
from benchmarks import beside
from rlcore import catalog
from rlcore.evaluation.statistics import bootstrap_interval, iqm
from rlcore.runs import open_run, read_evaluations, read_metrics

CURVES = Path(__file__).parent / "curves"   # one file per case: reference data, {"seeds": {"1": {…}}}
POINTS = 50                                 # of a curve
EPISODES = 50


@dataclass(frozen=True)
class Case:
    """An algorithm on an environment, with the changes made to its preset."""

    algo: str
    env: str
    env_steps: int
    goal: float | None           # mean return of an evaluation that counts
    changes: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    explore: bool = False        # evaluated with the noise of training's end, not by its likeliest actions
    hindsight: float | None = None   # share of replayed steps that pursue another goal
    library: Literal["rlcore", "sb3"] = "rlcore"
    until: float | None = None   # ended once an evaluation in training averages this; the best agent is judged then

    @property
    def name(self) -> str:
        """As printed, and the name of its file."""
        title = self.title or catalog.algorithm(self.algo).title
        return f"{title} {self.env}" + (" by SB3" if self.library == "sb3" else "")


def _beside(algo: str, env: str, **changes: Any) -> tuple[Case, Case]:
    """The same run by both libraries: no worse than the peer is the goal."""
    return Case(algo, env, 200_000, None, changes), Case(algo, env, 200_000, None, library="sb3")


_RECALL, _HOLD = "rlcore.envs.probe:Recall", "rlcore.envs.probe:Hold"
CASES = (
    Case("ppo", "CartPole-v1", 100_000, 475),
    Case("dqn", "CartPole-v1", 50_000, 475),
    Case("a2c", "CartPole-v1", 200_000, 475),
    Case("pqn", "CartPole-v1", 200_000, 475),
    Case("qrdqn", "MountainCar-v0", 120_000, -110),
    Case("ppo", "Acrobot-v1", 200_000, -95),
    Case("ppo", _RECALL, 40_000, 0.95, {"core": "lstm", "num_envs": 8, "horizon": 64, "core_size": 32,
                                        "sequence_length": 16, "learning_rate": 3e-3}, "PPO-LSTM"),
    Case("ppo", _RECALL, 40_000, 0.95, {"num_envs": 8, "horizon": 64, "learning_rate": 3e-3}, "PPO without memory"),
    Case("r2d2", _RECALL, 20_000, 0.95, {"core_size": 32, "hidden": [32], "epsilon": 0.4}),
    Case("recurrent_sac", _HOLD, 20_000, 0.9),
    Case("recurrent_td3", _HOLD, 20_000, 0.9),
    Case("sac", _HOLD, 20_000, 0.9, {"num_envs": 8, "train_every": 2, "hidden": [64], "learning_rate": 3e-3,
                                     "gamma": 0.9}, "SAC without memory"),
    Case("ppo", "LunarLander-v3", 500_000, 200),
    Case("sac", "Pendulum-v1", 20_000, -180, {"precision": "bfloat16"}),
    Case("td3", "Pendulum-v1", 20_000, -180, {"precision": "bfloat16"}),
    Case("ppo", "MiniGrid-DoorKey-5x5-v0", 200_000, 0.93, explore=True),
    Case("rainbow", "CartPole-v1", 50_000, 475),
    Case("tqc", "Pendulum-v1", 20_000, -180, {"precision": "bfloat16"}),
    Case("modsac", "Pendulum-v1", 20_000, -180, {"precision": "bfloat16"}),
    Case("redq", "Pendulum-v1", 20_000, -180, {"precision": "bfloat16"}),
    Case("iqn", "CartPole-v1", 50_000, 475),
    Case("trpo", "CartPole-v1", 100_000, 475),
    Case("sac_discrete", "CartPole-v1", 50_000, 475),
    Case("ddpg", "Pendulum-v1", 20_000, -180, {"precision": "bfloat16"}),
    Case("ppo_lagrangian", "rlcore/CartPoleBounds-v0", 200_000, 475),
    Case("ppo_lagrangian", "rlcore.envs.probe:Tempting", 30_000, None, {
        "cost_limit": 4.0, "horizon": 40, "learning_rate": 5e-3, "gamma": 0.5, "hidden": [32]}, explore=True),
    Case("dqn", "rlcore/BitFlip-v0", 24_000, -6, title="DQN with hindsight", hindsight=catalog.HINDSIGHT),
    Case("dqn", "rlcore/BitFlip-v0", 24_000, -6, title="DQN without hindsight"),
    Case("sac", "rlcore/ReacherGoal-v5", 30_000, -10, title="SAC with hindsight", hindsight=catalog.HINDSIGHT),
    Case("sac", "rlcore/ReacherGoal-v5", 30_000, -10, title="SAC without hindsight"),
)
LONG = (                                    # a quarter of an hour to an hour for each run
    Case("ppo", "ALE/Pong-v5", 1_500_000, 18, {"learning_rate": 5e-4, "clip_decay": "constant",
                                               "normalize_reward": False, "precision": "bfloat16"}),
    Case("tqc", "BipedalWalker-v3", 500_000, 290, {"precision": "bfloat16"}),
    Case("tqc", "BipedalWalker-v3", 500_000, 290, title="TQC until 300", until=300),
    *_beside("ppo", "Hopper-v5"), *_beside("ppo", "HalfCheetah-v5"),
    *_beside("sac", "Hopper-v5", precision="bfloat16"), *_beside("sac", "HalfCheetah-v5", precision="bfloat16"),
    *_beside("td3", "Hopper-v5", precision="bfloat16"), *_beside("td3", "HalfCheetah-v5", precision="bfloat16"),
)


def run(seeds: int, only: str, cases: Sequence[Case] = CASES) -> Iterator[str]:
    """Train what is not kept yet, seed by seed, then the lines of a Markdown table of everything kept; 0 seeds train
    nothing.
    """
    chosen = [case for case in cases if only.lower() in case.name.lower()]
    for seed in range(1, seeds + 1):
        for case in chosen:
            _learn(case, seed)
    yield f"Mean return of {EPISODES} evaluation episodes after the steps given, for each seed."
    yield ""
    yield "| task | env steps | goal | per seed | IQM (95 % interval) | seconds per run |"
    yield "|---|---|---|---|---|---|"
    for case in chosen:
        if kept(case)["seeds"]:
            yield _row(case)


def run_long(seeds: int, only: str) -> Iterator[str]:
    """The long runs."""
    return run(seeds, only, LONG)


def _file(case: Case) -> Path:
    return CURVES / f"{case.name.replace('/', '-').replace(' ', '-').replace(':', '-')}.json"


def kept(case: Case) -> dict[str, Any]:
    """What has been measured of a case: `seeds` has a curve and an evaluation for each."""
    file = _file(case)
    return json.loads(file.read_text()) if file.exists() else {
        "algo": case.algo, "env": case.env, "env_steps": case.env_steps, "changes": dict(case.changes), "seeds": {}}


def _learn(case: Case, seed: int) -> None:
    if str(seed) in kept(case)["seeds"]:
        return
    config = catalog.config_for(case.algo, case.env, case.changes)
    learnt = (beside.learn(case.algo, case.env, config, case.env_steps, seed, EPISODES) if case.library == "sb3"
              else _ours(case, config, seed))
    step = learnt["step"]
    groups = np.array_split(np.arange(len(step)), min(POINTS, len(step)))
    curves: dict[str, Any] = {name: [round(float(learnt[name][group].mean()), 2) for group in groups]
                              for name in ("return", "cost") if name in learnt}
    now = kept(case)  # read again: another seed may have been kept meanwhile
    now["seeds"][str(seed)] = {
        "evaluation": round(learnt["evaluation"], 3), "seconds": round(learnt["seconds"]),
        "step": [int(step[group[-1]]) for group in groups], **curves}
    CURVES.mkdir(exist_ok=True)
    _file(case).write_text(json.dumps(now) + "\n")


def _ours(case: Case, config: Any, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        watched = {} if case.until is None else {
            "evaluate_every": 10_000, "evaluate_episodes": 20, "callbacks": [partial(_reached, case.until)]}
        rl.train(case.algo, case.env, config, env_steps=case.env_steps, seed=seed, run_dir=folder,
                 hindsight=case.hindsight, progress=False, **watched)
        seconds = time.monotonic() - started
        if (state := open_run(Path(folder)).state) != "finished":
            raise SystemExit(f"{case.name} with seed {seed} was {state}: nothing of it is kept.")
        keys = {"step": "step", "return": "episode/return", "cost": "cost/episode"}
        columns = read_metrics(Path(folder), [*keys.values()])
        result = rl.evaluate(folder, episodes=EPISODES, explore=case.explore,
                             which="last" if case.until is None else "best")
    known = ~np.isnan(columns["episode/return"])
    curves = {name: np.array(columns[key])[known] for name, key in keys.items()}
    if not catalog.algorithm(case.algo).needs_cost:
        del curves["cost"]
    return {"evaluation": result.mean, "seconds": seconds, **curves}


def _reached(goal: float, moment: rl.Moment) -> bool:
    rows = [row for row in read_evaluations(moment.folder) if row.get("in_training")]
    return bool(rows) and rows[-1]["mean"] >= goal


def _row(case: Case) -> str:
    runs = kept(case)["seeds"].values()
    means = np.array([one["evaluation"] for one in runs])
    low, high = bootstrap_interval(means)
    goal = "–" if case.goal is None else f"{case.goal:g}"
    return (f"| {case.name} | {case.env_steps:,} | {goal} | {', '.join(f'{mean:g}' for mean in means)} "
            f"| {iqm(means):.4g} ({low:.4g} to {high:.4g}) | {np.median([one['seconds'] for one in runs]):.0f} |")
