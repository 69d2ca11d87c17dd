"""Plans → scripts: they say what the plan says, look like the repository's own code and run."""

from __future__ import annotations

import ast
import contextlib
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.plan import TrainingPlan, plan_from_text
from copilot.script import render
from rlcore import catalog
from rlcore.config import ConfigError, settings, to_dict
from rlcore.runs import open_run, read_evaluations

ROOT = Path(__file__).resolve().parents[2]
FEW = [one.id for one in catalog.ENVIRONMENTS.values() if not one.extra or one.id in (
    "ALE/Breakout-v5", "MiniGrid-MemoryS7-v0")]
PAIRS = [(algo, env) for algo in catalog.ALGORITHMS for env in FEW if not catalog.refusal(algo, env)]


def plan_with_everything_changed(algo: str) -> TrainingPlan:
    """A plan in which every setting differs from its default, as far as the others allow it."""
    env = next(env for name, env in PAIRS if name == algo)
    plan = TrainingPlan(algo, env, 123_456, 7, {}, target_return=-12.5, evaluate_episodes=3, record_video=False)
    for item in settings(catalog.config_class(algo)):
        low, high = -1.0 if item.low is None else item.low, 1.0 if item.high is None else item.high
        value = {
            "int": 2 * item.default if item.default else 7, "bool": not item.default, "ints": (32, 16, 8),
            "float": 0.125 if low <= 0.125 <= high and item.default != 0.125 else (low + min(high, low + 1)) / 2,
            "choice": next((one for one in item.choices if one != item.default), None),
        }[item.kind] if item.kind != "int" or item.default != 1 else 1
        with contextlib.suppress(ConfigError):  # some settings exclude others
            plan = replace(plan, params={**plan.params, item.name: value})
    assert len(plan.params) > 0.7 * len(settings(catalog.config_class(algo)))
    return plan


PLANS = [TrainingPlan(algo, env, 5_000, 3, {}) for algo, env in PAIRS]
PLANS += [plan_with_everything_changed(algo) for algo in catalog.ALGORITHMS]
GOALS = TrainingPlan("dqn", "rlcore/BitFlip-v0", 400, 3, {}, env_options={"bits": 5}, hindsight=0.8)
BEST = TrainingPlan("ppo", "CartPole-v1", 512, 3, {"num_envs": 4, "horizon": 32}, evaluate_every=128, patience=2,
                    evaluate_episodes=2)
PLANS += [GOALS, BEST, replace(BEST, patience=None, evaluate_episodes=20)]


def calls(script: str) -> dict[str, ast.Call]:
    """The calls of a script by the name of what is called: train, evaluate, …"""
    found = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
    return {node.func.attr: node for node in found if isinstance(node.func, ast.Attribute)}


def keywords(call: ast.Call) -> dict[str, object]:
    return {one.arg: ast.literal_eval(one.value) for one in call.keywords if not isinstance(one.value, ast.Name)}


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.algo}-{plan.env}-{len(plan.params)}")
def test_a_script_holds_its_plan_and_nothing_else(plan, monkeypatch):
    monkeypatch.delenv("RLCORE_RUN_DIR", raising=False)
    script = render(plan)
    module: dict[str, object] = {"__name__": "imported"}    # so that it does not train
    exec(compile(script, "train.py", "exec"), module)
    assert to_dict(module["CONFIG"]) == plan.config
    folder = plan.env.replace("/", "-")
    assert module["RUN"] == f"runs/{plan.algo}-{folder}-seed{plan.seed}"
    called = calls(script)
    assert [ast.literal_eval(one) for one in called["train"].args[:2]] == [plan.algo, plan.env]
    wanted = {"env_steps": plan.env_steps, "seed": plan.seed}
    wanted |= {} if plan.target_return is None else {"target_return": plan.target_return}
    wanted |= {"env_options": plan.env_options} if plan.env_options else {}
    wanted |= {} if plan.hindsight is None else {"hindsight": plan.hindsight}
    if plan.evaluate_every is not None:
        wanted |= {"evaluate_every": plan.evaluate_every}
        wanted |= {} if plan.patience is None else {"patience": plan.patience}
        wanted |= {} if plan.evaluate_episodes == 20 else {"evaluate_episodes": plan.evaluate_episodes}
    best = {} if plan.evaluate_every is None else {"which": "best"}
    assert keywords(called["train"]) == wanted
    assert keywords(called["evaluate"]) == {"episodes": plan.evaluate_episodes, **best}
    assert ("record_video" in called) == plan.record_video
    assert len(keywords(called[type(module["CONFIG"]).__name__])) == len(plan.changes)


def test_scripts_are_short_and_explain_each_setting():
    plan = plan_from_text("train PPO on LunarLander with 16 envs and lr 3e-4, until 200")
    script = render(plan)
    assert "    num_envs=16,  # parallel environments\n" in script
    assert "    learning_rate=0.0003,  # Adam's step size\n" in script
    assert script.startswith('"""Trains PPO on LunarLander-v3. Land a module')
    assert "A mean return of 200 counts as solved." in script
    assert len(script.splitlines()) <= 40


def test_ruff_finds_nothing_in_any_script(tmp_path):
    for number, plan in enumerate(PLANS):
        (tmp_path / f"train_{number}.py").write_text(render(plan), encoding="utf-8")
    config = ["--config", str(ROOT / "pyproject.toml"), "--config", 'src = ["."]']
    found = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", *config, str(tmp_path)],
                           cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("text", [
    'train PPO on CartPole """\nimport os\nos.system("touch pwned")\n"""',
    "train PPO on CartPole, lr='+__import__(\"os\").system(\"x\")+', seed 3",
    "train PPO on CartPole # noqa \\ \n    print(1)",
])
def test_nothing_of_the_request_s_text_gets_into_the_script(text):
    script = render(plan_from_text(text))
    clean = render(plan_from_text("train PPO on CartPole"))
    assert script.replace("seed=3", "seed=1").replace("-seed3", "-seed1") == clean


@pytest.mark.parametrize("value", [float("inf"), 1e-300, True, "relu", [64, 64]])
def test_literals_read_back_as_they_were(value):
    from copilot.script import _literal

    back = eval(_literal(value))
    assert (list(back) if isinstance(back, tuple) else back) == value


QUICK = {"num_envs": 2, "horizon": 32, "num_minibatches": 2, "learning_starts": 64, "batch_size": 8, "updates": 1,
         "capacity": 1_000, "hidden": (8,), "core_size": 8, "sequence_length": 4, "burn_in": 2}


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_the_script_of_every_algorithm_trains_and_evaluates(algo, tmp_path, monkeypatch, capsys):
    env = next(env for name, env in PAIRS if name == algo and catalog.environment(env).family != "MuJoCo")
    own = {item.name for item in settings(catalog.config_class(algo))}
    quick = {name: value for name, value in QUICK.items() if name in own}
    plan = TrainingPlan(algo, env, 120, 3, quick, evaluate_episodes=1, record_video=False)
    (tmp_path / "train.py").write_text(render(plan), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCORE_RUN_DIR", raising=False)
    runpy.run_path("train.py", run_name="__main__")
    assert "1 episode" in capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    assert open_run(run).state == "finished"


def test_a_script_with_patience_measures_and_films_the_best_agent(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(render(BEST), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCORE_RUN_DIR", raising=False)
    runpy.run_path("train.py", run_name="__main__")
    run = open_run(tmp_path / "runs" / "ppo-CartPole-v1-seed3")
    assert (run.config["evaluate_every"], run.config["patience"], run.config["evaluate_episodes"]) == (128, 2, 2)
    *training, after = read_evaluations(run.path)
    assert all(len(row["returns"]) == 2 for row in (*training, after))
    assert after["step"] == max(training, key=lambda row: row["mean"])["step"]
    assert "2 episodes" in capsys.readouterr().out
    assert list((run.path / "videos").glob("*.mp4"))


def test_a_script_with_goals_looks_back_over_its_bits_and_films_them(tmp_path, monkeypatch, capsys):
    script = render(plan_from_text("train DQN with hindsight replay on bit flipping with 5 bits, 800 steps, seed 3"))
    assert 'CONFIG, env_options={"bits": 5}, hindsight=0.8,\n' in script
    assert "    # bits: switches to bring to the goal" in script
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCORE_RUN_DIR", raising=False)
    runpy.run_path("train.py", run_name="__main__")
    run = open_run(tmp_path / "runs" / "dqn-rlcore-BitFlip-v0-seed3")
    assert (run.state, run.config["hindsight"], run.config["env_options"]) == ("finished", 0.8, {"bits": 5})
    assert "length 5" in capsys.readouterr().out
    assert list((run.path / "videos").glob("*.mp4"))


def test_a_script_trains_evaluates_and_films(tmp_path):
    plan = plan_from_text("train PPO on CartPole for 600 steps with 2 envs, 32 steps per env, seed 5")
    (tmp_path / "train.py").write_text(render(plan), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("RLCORE_RUN_DIR", None)
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "ppo-CartPole-v1-seed5"
    assert (run / "config.yaml").exists()
    assert "20 episodes: return" in done.stdout
    assert list((run / "videos").glob("*.mp4"))
