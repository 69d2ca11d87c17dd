"""Environments given as functions and classes, from training to film, here and in other processes."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlcore as rl
from rlcore.envs.make import name_of
from rlcore.evaluation.evaluate import Evaluation
from rlcore.runs import read_evaluations, read_spec

TINY = {"num_envs": 4, "horizon": 16, "epochs": 1, "num_minibatches": 2, "hidden": [8]}


class Light(gym.Env):
    """A lamp to be switched on: reward 1 for action 1, for `steps` steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space, action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Discrete(2)

    def __init__(self, steps: int = 5, render_mode: str | None = None):
        self.steps, self.render_mode = steps, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.taken = 0
        return self._obs(), {}

    def step(self, action: int) -> Any:
        self.taken += 1
        return self._obs(), float(action), self.taken == self.steps, False, {}

    def render(self) -> Any:
        return np.full((16, 16, 3), 20 * self.taken, np.uint8)

    def _obs(self) -> Any:
        return np.array([1, self.taken / self.steps], np.float32)


def train(env: Any, **options: Any) -> Any:
    return rl.train("ppo", env, TINY, **{"env_steps": 128, "seed": 1, "run_dir": "run", "progress": False, **options})


def lengths(result: Evaluation) -> set[int]:
    return set(result.lengths)


def test_a_class_is_an_environment_by_its_name_from_training_to_film():
    train(Light, evaluate_every=64, evaluate_episodes=2, env_options={"steps": 3})
    assert read_spec(Path("run")).env == f"{__name__}:Light"
    assert lengths(rl.evaluate("run", episodes=3)) == {3}
    assert [len(row["returns"]) for row in read_evaluations(Path("run"))] == [2, 2, 3]
    assert rl.record_video("run").exists()
    rl.resume("run", env_steps=192, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["batched", "parallel"])
def test_a_class_reaches_the_processes_of_a_sampler(sampler: str):
    train(Light, sampler=sampler, num_workers=1)


def test_a_local_function_works_in_this_process_and_is_given_again_in_another():
    def short() -> Light:
        return Light(steps=2)

    train(short, evaluate_every=64, evaluate_episodes=2)
    again = r"'.*<locals>\.short'.*give it again: env=…"
    for forgetful in (rl.load_agent, rl.evaluate, rl.record_video, rl.resume):
        with pytest.raises(rl.ConfigError, match=again):
            forgetful("run")
    assert lengths(rl.evaluate("run", short, episodes=3)) == {2}
    assert [len(row["returns"]) for row in read_evaluations(Path("run"))] == [2, 2, 3]
    assert rl.record_video("run", short).exists()
    assert rl.load_agent("run", env=short)[1].env_steps == 128
    rl.resume("run", env=short, env_steps=192, progress=False)
    assert [row["step"] for row in read_evaluations(Path("run"))] == [64, 128, 128, 192]


def test_another_environment_is_played_but_not_noted_as_the_runs():
    train(Light)
    assert lengths(rl.evaluate("run", lambda: Light(7), episodes=1)) == {7}
    assert read_evaluations(Path("run")) == []


def test_a_function_made_into_a_vector_can_be_evaluated_in_training():
    train(rl.make_env(lambda: Light(4), 4), evaluate_every=64, evaluate_episodes=1)
    assert [row["episodes"] for row in read_evaluations(Path("run"))] == [1, 1]


def test_a_script_without_the_class_says_what_to_give():
    script = "import sys; sys.path[:0] = {path!r}; import rlcore as rl; from {module} import Light, TINY\n{body}"
    how = {"path": sys.path, "module": __name__}
    body = ("class Mine(Light): pass\n"
            "rl.train('ppo', Mine, TINY, env_steps=64, run_dir='run', evaluate_every=64, progress=False)\n"
            "rl.evaluate('run', episodes=1)")
    Path("mine.py").write_text(script.format(body=body, **how))
    subprocess.run([sys.executable, "mine.py"], check=True, capture_output=True)
    assert read_spec(Path("run")).env == "__main__:Mine"
    with pytest.raises(rl.ConfigError, match=r"'__main__:Mine': __main__ has no 'Mine'.*give it again: env=…"):
        rl.load_agent("run")
    rl.load_agent("run", env=Light)


@pytest.mark.parametrize("sampler", ["batched", "alternating", "parallel", "async"])
def test_a_function_that_other_processes_cannot_import_is_refused_where_they_need_it(sampler: str):
    with pytest.raises(rl.ConfigError, match=r"cannot import .*<lambda>\. Define it at the top of a module, or use "
                                             "sampler='serial'"):
        train(lambda: Light(), sampler=sampler)
    assert not Path("run").exists()


@pytest.mark.parametrize("make", [lambda: gym.make("CartPole-v1"), lambda: gym.make_vec("CartPole-v1", 2)])
def test_a_finished_environment_is_refused_with_its_name(make: Any):
    said = r"A finished environment, such as gym\.make\('CartPole-v1'\) gives, cannot be copied: give its name"
    for use in (train, lambda env: rl.evaluate(None, env), rl.make_env):
        with pytest.raises(rl.ConfigError, match=said):
            use(make())


def test_what_makes_no_environment_is_refused():
    with pytest.raises(rl.ConfigError, match="7 is no environment: give a name"):
        train(7)


def test_names_lead_to_what_they_name():
    assert name_of(Light) == f"{__name__}:Light"
    assert name_of(partial(Light, 3)) == f"{__name__}:Light(…)"  # no name leads to the 3
    assert name_of("CartPole-v1") == "CartPole-v1"
