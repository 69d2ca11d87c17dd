"""Environments in worker processes: the same bits as in a loop, and an answer to every way a worker can fail."""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
from gymnasium import spaces
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlcore import checkpoint
from rlcore.config import ConfigError
from rlcore.envs.make import make_env
from rlcore.envs.probe import Countdown
from rlcore.envs.process import ProcessVectorEnv
from rlcore.processes import WorkerError
from rlcore.runs import open_run
from rlcore.spaces import Actions

ROOT = Path(__file__).resolve().parents[3]


class Shapes(gym.Env[Any, Any]):
    """Every kind of space with a fixed size, random contents, and an info now and then."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict({
            "picture": spaces.Box(0, 255, (4, 4, 3), np.uint8),
            "pair": spaces.Tuple((spaces.Discrete(7, start=-3), spaces.MultiDiscrete([3, 4]))),
            "switches": spaces.MultiBinary(5), "exact": spaces.Box(-1, 1, (2,), np.float64)})
        self.action_space = spaces.Dict({"push": spaces.Box(-1, 1, (2,), np.float32), "pick": spaces.Discrete(3)})
        self.total = 0.0

    def _obs(self) -> dict[str, Any]:
        draw = self.np_random
        return {"picture": draw.integers(0, 256, (4, 4, 3), np.uint8), "exact": draw.uniform(-1, 1, 2),
                "pair": (draw.integers(-3, 4), draw.integers([3, 4])), "switches": draw.integers(0, 2, 5, np.int8)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed, options=options)
        self.total = float((options or {}).get("start", 0))
        return self._obs(), {"started": True}

    def step(self, action: dict[str, Any]):
        self.total += float(action["push"].sum()) + float(action["pick"])
        ended = self.np_random.uniform() < 0.2
        info = {"total": self.total, "nested": {"pick": int(action["pick"])}} if ended else {}
        return self._obs(), self.total, bool(ended), bool(self.np_random.uniform() < 0.1), info


class Fragile(Countdown):
    """Breaks in the way it is told to: at its third step, or when it is made."""

    def __init__(self, how: str = "", when: str = "step") -> None:
        super().__init__(steps=100)
        self.how, self.when, self.age = how, when, 0
        if when == "init":
            self.fail()

    def fail(self) -> None:
        match self.how:
            case "raise":
                raise ZeroDivisionError("the wheel came off")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(600)

    def step(self, action: Any):
        self.age += 1
        if self.age == 3:
            self.fail()
        return super().step(action)


@contextmanager
def process(fns: list[Any], *args: Any, **options: Any) -> Iterator[ProcessVectorEnv]:
    env = ProcessVectorEnv(fns, *args, **options)
    try:
        yield env
    finally:
        env.close()


def broken(how: str, **options: Any) -> Any:
    """Four environments in two workers; the second of the second worker breaks at its third step."""
    fragile = functools.partial(Fragile)
    return process([fragile, fragile, fragile, functools.partial(Fragile, how)], 2, **options)


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, tuple):
        for left, right in zip(a, b, strict=True):
            same(left, right)
    else:
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("make", [Shapes, functools.partial(gym.make, "CartPole-v1"),
                                  functools.partial(gym.make, "Pendulum-v1", max_episode_steps=20)])
def test_workers_give_the_same_bits_as_a_loop(make: Any):
    loop = SyncVectorEnv([make] * 3)
    with process([make] * 3, 2) as workers:
        assert workers.observation_space == loop.observation_space
        assert workers.action_space == loop.action_space
        assert workers.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
        same(workers.reset(seed=[5, 9, 2]), loop.reset(seed=[5, 9, 2]))
        loop.action_space.seed(0)
        ends = 0
        for _ in range(60):
            action = loop.action_space.sample()
            one, other = workers.step(action), loop.step(action)
            same(one, other)
            ends += int((one[2] | one[3]).sum())
        assert ends > 2
        same(workers.reset(seed=4, options={"start": 7}), loop.reset(seed=4, options={"start": 7}))
        mask = np.array([True, False, True])
        same(workers.reset(seed=1, options={"reset_mask": mask}), loop.reset(seed=1, options={"reset_mask": mask}))
        same(workers.step(action), loop.step(action))


def test_halves_can_be_stepped_apart():
    loop = SyncVectorEnv([Shapes] * 5)
    with process([Shapes] * 5, 2) as workers:
        workers.reset(seed=3)
        loop.reset(seed=3)
        loop.action_space.seed(0)
        left, right = slice(0, 2), np.array([4, 2, 3])  # the second worker has rows of both
        for _ in range(20):
            action = loop.action_space.sample()
            for columns in (left, right):
                workers.send({key: value[columns] for key, value in action.items()}, columns)
            parts = {"right": workers.recv(right), "left": workers.recv(left)}
            obs, reward, terminated, truncated, info = loop.step(action)
            for name, columns in (("left", left), ("right", right)):
                found = parts[name]
                same(found[0]["picture"], obs["picture"][columns])
                same(found[0]["pair"], tuple(part[columns] for part in obs["pair"]))
                same(found[1:4], (reward[columns], terminated[columns], truncated[columns]))
                if "_total" in found[4]:
                    same(found[4]["_total"], info["_total"][columns])
                    same(found[4]["nested"]["pick"], info["nested"]["pick"][columns])


def test_send_does_not_wait():
    with process([functools.partial(Slow, 0.2)] * 2, 2) as env:
        env.reset(seed=0)
        started = time.perf_counter()
        env.send(np.zeros(2, np.int64))
        assert time.perf_counter() - started < 0.1
        env.recv()
        assert 0.2 <= time.perf_counter() - started < 0.39  # both waited at the same time


class Slow(Countdown):
    def __init__(self, seconds: float) -> None:
        super().__init__(steps=100)
        self.seconds = seconds

    def step(self, action: Any):
        time.sleep(self.seconds)
        return super().step(action)


def test_steps_out_of_turn_are_refused():
    with process([Countdown] * 2, 1) as env:
        env.reset()
        with pytest.raises(NoAsyncCallError, match="Environments 0, 1 were not sent actions"):
            env.recv()
        env.send(np.zeros(1, np.int64), slice(0, 1))
        with pytest.raises(AlreadyPendingCallError, match="Environments 0 are stepping"):
            env.send(np.zeros(2, np.int64))
        env.recv(slice(0, 1))


def test_an_environments_own_traceback_arrives():
    with broken("raise") as env:
        env.reset(seed=0)
        for _ in range(2):
            env.step(np.zeros(4, np.int64))
        env.send(np.zeros(4, np.int64))  # not here
        with pytest.raises(WorkerError, match=r"(?s)Environments 2, 3 .* raised.*in fail.*the wheel came off"
                           ) as caught:
            env.recv()
        assert caught.value.rows == (2, 3)
        with pytest.raises(WorkerError, match="the wheel came off"):  # and again, until something is done about it
            env.recv()


@pytest.mark.parametrize("how", ["raise", "die", "hang"])
def test_lost_workers_start_again_and_their_rows_say_so(how: str):
    with broken(how, timeout_s=1.5) as env:
        env.reset(seed=0)
        for _ in range(2):
            env.step(np.zeros(4, np.int64))
        env.send(np.zeros(4, np.int64))
        started = time.perf_counter()
        with pytest.raises(WorkerError, match={"raise": "the wheel came off", "die": "their process ended with code -9",
                                               "hang": r"have not answered for 1.5 s.*restart\(\)"}[how]):
            env.recv()
        assert time.perf_counter() - started < (3 if how == "hang" else 1)
        assert env.restart().tolist() == [False, False, True, True]
        obs, reward, terminated, truncated, info = env.recv()
        # the others took their third step; the lost ones are cut off at the last they gave: the neighbour at its third
        assert obs.argmax(1).tolist() == [3, 3, 3, 2]
        assert reward.tolist() == [1, 1, 0, 0]
        assert truncated.tolist() == info["restarted"].tolist() == [False, False, True, True]
        assert not terminated.any()
        obs, reward, _, truncated, info = env.step(np.zeros(4, np.int64))
        assert obs.argmax(1).tolist() == [4, 4, 0, 0]
        assert reward.tolist() == [1, 1, 0, 0]
        assert not truncated.any()
        assert "restarted" not in info
        assert env.step(np.zeros(4, np.int64))[0].argmax(1).tolist() == [5, 5, 1, 1]


def test_rows_that_had_no_step_under_way_when_their_worker_died_are_cut_off_at_their_next():
    with broken("die") as env:
        env.reset(seed=0)
        for _ in range(2):
            env.step(np.zeros(4, np.int64))
        env.send(np.zeros(1, np.int64), slice(3, 4))
        with pytest.raises(WorkerError):
            env.recv(slice(3, 4))
        env.restart()
        assert env.recv(slice(3, 4))[4]["restarted"].tolist() == [True]
        _, _, _, truncated, info = env.step(np.zeros(4, np.int64))
        assert truncated.tolist() == [False, False, True, False]
        assert info["restarted"].tolist() == [False, False, True, False]


def test_after_a_failed_step_everything_can_simply_be_reset():
    with broken("raise") as env:
        env.reset(seed=0)
        with pytest.raises(WorkerError):
            for _ in range(3):
                env.step(np.zeros(4, np.int64))
        env.restart()
        assert env.reset(seed=1)[0].argmax(1).tolist() == [0] * 4
        assert not env.step(np.zeros(4, np.int64))[3].any()


def test_an_environment_that_cannot_be_made_says_why_and_leaves_nothing_behind():
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(WorkerError, match=r"(?s)Environments 0 \(process \d+\) raised.*the wheel came off"):
        ProcessVectorEnv([functools.partial(Fragile, "raise", "init")], 1)
    with pytest.raises(WorkerError, match="__name__ == '__main__'"):
        ProcessVectorEnv([functools.partial(Fragile, "die", "init")], 1)
    after = psutil.Process().children()
    assert {child.pid for child in after if "resource_tracker" not in str(child.cmdline())} <= before


def test_what_cannot_travel_is_refused_with_what_can():
    with pytest.raises(ConfigError, match=r"Environments 0 cannot be sent to a worker process.*functools.partial"):
        ProcessVectorEnv([lambda: Countdown()], 1)
    with pytest.raises(ConfigError, match="num_workers=0 must be at least 1"):
        ProcessVectorEnv([Countdown], 0)
    with pytest.raises(ConfigError, match="Environment 1 has other spaces"):
        ProcessVectorEnv([Countdown, functools.partial(Countdown, steps=2)], 1)


def test_a_function_can_be_sent_to_every_environment():
    with process([Countdown] * 3, 2) as env:
        env.reset()
        env.step(np.zeros(3, np.int64))
        assert env.apply(set_steps, [7, 8, 9]) == [1, 1, 1]
        assert env.apply(set_steps, [1, 1, 1]) == [7, 8, 9]
        assert env.ended.tolist() == [True] * 3


def set_steps(env: Countdown, steps: int) -> int:
    before, env.steps = env.steps, steps
    return before


def test_workers_have_one_thread_per_library():
    with process([Countdown] * 2, 2) as env:
        assert env.apply(threads) == [("1", "1", "1", 1)] * 2
    assert "MKL_NUM_THREADS" not in os.environ


def threads(_: Any) -> tuple[Any, ...]:
    import torch

    return (*(os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")),
            torch.get_num_threads())


class Misfit(Countdown):
    """Shows something else than its space says, from the start or from its first step on."""

    def __init__(self, obs: Any, dtype: Any, when: str) -> None:
        super().__init__(9)
        self.observation_space, self.obs, self.when = spaces.Box(0, 255, (3,), dtype), obs, when

    def reset(self, **how: Any):
        super().reset(**how)
        return self.obs if self.when == "reset" else self.observation_space.sample(), {}

    def step(self, action: Any):
        return self.obs, *super().step(action)[1:]


@pytest.mark.parametrize("when", ["reset", "step"])
@pytest.mark.parametrize(("obs", "dtype", "said"), [
    (np.zeros(1, np.float32), np.float32, r"has the shape \[1\], and not \[3\], the shape"),
    (0.5, np.float32, r"has the shape \[\], and not \[3\], the shape"),
    (np.full(3, 0.5), np.uint8, "has the dtype float64, which does not become uint8, the dtype")])
def test_an_observation_that_does_not_fit_is_refused_as_in_a_loop(obs: Any, dtype: Any, said: str, when: str):
    make = functools.partial(Misfit, obs, dtype, when)

    def play(env: Any) -> None:
        env.reset()
        env.step([0])

    with pytest.raises((ValueError, TypeError)):
        play(SyncVectorEnv([make]))
    name = f"{__name__}:Misfit"
    with process([make], 1) as env, pytest.raises(WorkerError, match=(
            f"{name} gave an observation that {said} of its space. `python -m rlcore check {name}` lists")):
        play(env)


def test_actions_reach_a_worker_in_the_type_they_have_in_a_loop():
    loop = make_env(Types, 2, backend="sync")
    for env in (loop, make_env(Types, 2, backend="process", num_workers=1)):
        env.reset()
        actions = Actions(env.single_action_space)
        _, reward, *_ = env.step(actions.to_env(np.ones((2, 1), np.int64)))
        assert reward.tolist() == [-128.0, -128.0]  # 1 << 7 in eight bits
        env.close()


class Types(Countdown):
    """Pays what its action becomes in the bits that it has."""

    def __init__(self) -> None:
        super().__init__(9)
        self.action_space = spaces.MultiBinary(1)

    def step(self, action: Any):
        obs, _, *rest = super().step(action)
        return obs, float((action << 7)[0]), *rest


@pytest.mark.parametrize("backend", ["batched", "parallel"])
def test_a_whole_group_that_is_told_to_end_stops_with_a_checkpoint(backend: str, tmp_path: Path):
    run = tmp_path / "run"
    training = subprocess.Popen(
        [sys.executable, "-m", "rlcore", "train", "ppo", "--env", "CartPole-v1", "--env_steps", "10000000", "--sampler",
         backend, "--num_workers", "2", "--run_dir", str(run), "--checkpoint_s", "1e9"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not ((run / "status.json").exists() and open_run(run).status.env_steps):
            time.sleep(0.05)
        os.killpg(training.pid, signal.SIGTERM)  # as GNU timeout, systemd and Slurm do
        assert training.wait(300) == 0
    finally:
        training.kill()
        training.wait()
    assert open_run(run).state == "stopped"
    assert checkpoint.latest(run / "checkpoints") is not None


def test_a_parent_that_forgets_its_workers_can_end(tmp_path: Path):
    script = tmp_path / "forgetful.py"
    script.write_text("import sys\n"
                      "sys.path[:0] = sys.argv[1:]\n"
                      "from rlcore.envs.probe import Countdown\n"
                      "from rlcore.envs.process import ProcessVectorEnv\n"
                      "if __name__ == '__main__':\n"
                      "    env = ProcessVectorEnv([Countdown] * 2, 2)\n"
                      "    env.reset()\n")
    assert subprocess.run([sys.executable, str(script), str(ROOT)], timeout=60, check=False).returncode == 0


def test_closing_twice_is_closing_once():
    env = ProcessVectorEnv([Countdown] * 2, 2)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    env.close()
    env.close()
    assert multiprocessing.active_children() == []
    with pytest.raises(ClosedEnvironmentError):
        env.reset()


def test_no_worker_outlives_a_parent_that_is_killed(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import functools, sys, time\n"
        "sys.path[:0] = sys.argv[1:]\n"
        "from test_process import Slow\n"
        "from rlcore.envs.process import ProcessVectorEnv\n"
        "if __name__ == '__main__':\n"
        "    env = ProcessVectorEnv([functools.partial(Slow, 600)] * 2, 2)\n"
        "    env.reset()\n"
        "    env.send([0, 0])\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n")
    parent = subprocess.Popen([sys.executable, str(script), str(ROOT), str(Path(__file__).parent)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.kill()  # SIGKILL: it cannot say goodbye; the workers sleep inside step()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(alive(child) for child in children):
        time.sleep(0.02)
    assert [child for child in children if alive(child)] == []


def alive(child: psutil.Process) -> bool:
    return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
