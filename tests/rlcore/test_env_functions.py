"""Environments given as functions and classes, from training to film, here and in other processes."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml

import rlcore as rl
from rlcore.__main__ import main
from rlcore.envs.make import name_of
from rlcore.evaluation.evaluate import Evaluation
from rlcore.runs import open_run, read_evaluations, read_spec

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
    again = r"'.*<locals>\.short'.*Give the function or class again: env=…"
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
    with pytest.raises(rl.ConfigError, match=r"'__main__:Mine', a name that leads nowhere here\. Give .* again: env=…"):
        rl.load_agent("run")
    rl.load_agent("run", env=Light)


FOREIGN = "import pathlib; pathlib.Path('it_ran').touch(); from tests.rlcore.test_env_functions import Light"
USES = [rl.load_agent, rl.evaluate, rl.resume, rl.record_video, rl.Player]


def unload(name: str) -> None:
    """Forget a module, as a new process would know nothing of it."""
    for title in [title for title in sys.modules if title.startswith(name)]:
        del sys.modules[title]


@pytest.mark.parametrize("env", ["lantern:Light", "lantern.py:Light"])
def test_a_folder_that_names_a_module_does_not_get_it_imported(
        env: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    Path("lantern.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    train(env)
    Path("it_ran").unlink()
    for use in USES:
        unload("lantern")
        with pytest.raises(rl.ConfigError, match=rf"plays in '{env}', which only its folder names\. .*env='{env}', on"):
            use("run")
    with pytest.raises(rl.ConfigError, match="which only its folder names"):
        rl.evaluate("run", "CartPole-v1")  # another environment says nothing of the run's own
    for words in (["evaluate", "run"], ["video", "run"], ["resume", "run"]):
        assert main(words) == 2
    assert main(["train", "ppo", "--config", "run/config.yaml", "--run_dir", "again"]) == 2
    assert f"--config run/config.yaml names the env '{env}'. If you trust its module, add --env {env}" in caplog.text
    assert not Path("it_ran").exists()

    for words in (["evaluate", "run", "--episodes", "1"], ["video", "run"], ["resume", "run", "--env_steps", "192"]):
        unload("lantern")
        assert main([*words, "--env", env]) == 0  # the user has named it
    assert len(read_evaluations(Path("run"))) == 1  # it counts as the run's own
    assert [film.name for film in Path("run/videos").iterdir()] == ["000000000128.mp4"]
    unload("lantern")
    rl.Player("run", env=env)
    rl.record_video("run")  # named once in this process
    assert lengths(rl.evaluate("run", env, env_options={"steps": 2}, episodes=1)) == {2}


def test_naming_another_environment_of_the_same_module_is_consent_to_that_module():
    Path("torch_lamp.py").write_text(FOREIGN + "\nclass Long(Light):\n    def __init__(self): super().__init__(9)\n")
    train("torch_lamp.py:Light")
    unload("torch_lamp")
    assert lengths(rl.evaluate("run", "torch_lamp.py:Long", episodes=1)) == {9}


def make_light() -> Light:
    return Light(steps=4)


@pytest.mark.parametrize("env", ["os:system", "subprocess:getoutput", "builtins:exec", "os:PathLike",
                                 "functools:partial", "gymnasium:Env-v0", f"{__name__}:USES"])
def test_a_folder_can_call_nothing_but_environments_of_what_is_imported(env: str):
    train(Light)
    config = Path("run/config.yaml")
    options = {"command": "touch it_ran", "cmd": "touch it_ran"}
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"env": env, "env_options": options}))
    for use in USES:
        with pytest.raises(rl.ConfigError, match="which only its folder names"):
            use("run")
    assert not Path("it_ran").exists()


def test_a_function_is_called_again_only_where_it_was_asked_for_before(monkeypatch: pytest.MonkeyPatch):
    train(make_light)
    assert lengths(rl.evaluate("run", episodes=1)) == {4}
    monkeypatch.setattr("rlcore.envs.make._ASKED_FOR", set())
    with pytest.raises(rl.ConfigError, match="which only its folder names"):
        rl.evaluate("run", episodes=1)
    assert lengths(rl.evaluate("run", f"{__name__}:make_light", episodes=1)) == {4}


def test_a_killed_run_in_an_environment_of_ones_own_goes_on_with_the_words_that_began_it():
    Path("lamps.py").write_text(FOREIGN)
    words = [sys.executable, "-m", "rlcore"]
    own, paths = ["--env", "lamps.py:Light"], {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([*words, "train", "ppo", *own, "--env_steps", "2000000", "--checkpoint_s", "0.1",
                                "--run_dir", "run"], env=paths, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(Path("run/checkpoints").glob("[0-9]*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    spec = read_spec(Path("run"))
    taken = max(int(path.name) for path in Path("run/checkpoints").glob("[0-9]*"))
    length = str(taken + 4 * spec.config["num_envs"] * spec.config["horizon"])
    for command in (["resume", "run", "--env_steps", length], ["evaluate", "run", "--episodes", "2"]):
        done = subprocess.run([*words, *command, *own], env=paths, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert open_run(Path("run")).state == "finished"
    assert len(read_evaluations(Path("run"))) == 1


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
