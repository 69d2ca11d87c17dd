"""Saving an environment: the restored one goes on with the same bits."""

from collections import defaultdict, deque
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import rlcore as rl
from rlcore import checkpoint
from rlcore.envs.make import Env, make_env
from rlcore.envs.state import load_env_state, save_env_state

SAVEABLE = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "HalfCheetah-v5",
            "Hopper-v5", "Reacher-v5", "Walker2d-v5", "InvertedDoublePendulum-v5", "Swimmer-v5", "Ant-v5",
            "rlcore/ReacherGoal-v5"]


def go_on(env: Env, steps: int, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
    """Everything that happens under random actions, as exact copies."""
    rows = []
    for _ in range(steps):
        if isinstance(env.single_action_space, gym.spaces.Discrete):
            action = rng.integers(env.single_action_space.n, size=env.num_envs)
        else:
            action = rng.uniform(-1, 1, size=env.action_space.shape).astype(np.float32)
        obs, reward, terminated, truncated, _ = env.step(action)
        obs = np.concatenate([*obs.values()], -1) if isinstance(obs, dict) else obs
        rows.append(tuple(np.array(part) for part in (obs, reward, terminated, truncated)))
    return rows


@pytest.mark.parametrize("name", SAVEABLE)
@pytest.mark.parametrize("before", [0, 1, 61])
def test_a_restored_environment_goes_on_with_the_same_bits(name: str, before: int, tmp_path: Path):
    env = make_env(name, 2, seed=3)
    env.reset()
    go_on(env, before, np.random.default_rng(1))
    state = save_env_state(env)
    assert state is not None
    checkpoint.save(tmp_path / "saved", 0, {"env": state})  # through the file, as a resumed run reads it
    expected = go_on(env, 200, np.random.default_rng(2))

    restored = make_env(name, 2, seed=99)
    load_env_state(restored, checkpoint.load(tmp_path / "saved" / ("0" * 12), "env"))
    for step, (found, wanted) in enumerate(zip(go_on(restored, 200, np.random.default_rng(2)), expected, strict=True)):
        for part, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert a.tobytes() == b.tobytes(), f"step {step}, part {part}: {a} instead of {b}"
    env.close()
    restored.close()


def test_an_environment_saved_between_an_end_and_its_reset_resets_when_restored():
    env = make_env("CartPole-v1", 1, seed=0)
    env.reset()
    while not env.step(np.ones(1, np.int64))[2][0]:
        pass
    state = save_env_state(env)
    restored = make_env("CartPole-v1", 1, seed=5)
    load_env_state(restored, state)
    a, b = env.step(np.ones(1, np.int64)), restored.step(np.ones(1, np.int64))
    assert a[0].tobytes() == b[0].tobytes()
    assert np.abs(b[0]).max() <= 0.05


def test_what_was_saved_does_not_change_when_the_environment_goes_on():
    env = make_env("HalfCheetah-v5", 1, seed=0)
    env.reset()
    state = save_env_state(env)
    positions = [part["data"]["mujoco"]["qpos"].clone() for part in state if "data" in part]
    go_on(env, 5, np.random.default_rng(0))
    assert [part["data"]["mujoco"]["qpos"].tolist() for part in state if "data" in part] == [
        position.tolist() for position in positions]
    assert len(positions) == 1


def test_a_simulation_s_clock_goes_on_where_it_was():
    env, restored = (make_env("HalfCheetah-v5", 1, seed=seed) for seed in (0, 1))
    for one in (env, restored):
        one.reset()
    go_on(env, 5, np.random.default_rng(0))
    load_env_state(restored, save_env_state(env))
    clocks = [float(part["data"]["mujoco"]["time"]) for one in (env, restored) for part in save_env_state(one)
              if "data" in part]
    assert clocks[0] == clocks[1] > 0


@pytest.mark.parametrize("name", ["LunarLander-v3", "BipedalWalker-v3"])
def test_a_box2d_world_cannot_be_saved_and_says_so(name: str):
    env = make_env(name, 1, seed=0)
    env.reset()
    assert save_env_state(env) is None
    env.close()


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", "rlcore/StockTrading-v0"])
@pytest.mark.parametrize("backend", ["sync", None])
def test_maps_tables_and_markets_are_saved_too(name: str, backend: str | None):
    one, other = (make_env(name, 2, seed=seed, backend=backend) for seed in (1, 2))
    one.reset()
    space, rng = one.action_space, np.random.default_rng(0)
    discrete = isinstance(space, gym.spaces.MultiDiscrete)
    actions = [rng.integers(space.nvec) if discrete else rng.uniform(-1, 1, space.shape).astype(np.float32)
               for _ in range(40)]
    for action in actions:
        one.step(action)
    load_env_state(other, save_env_state(one))
    for action in actions:
        for mine, their in zip(one.step(action)[:4], other.step(action)[:4], strict=True):
            assert np.array_equal(mine, their)


class Own(gym.Env[Any, Any]):
    """Fifty steps; shows its age and what a subclass thinks up."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(-9, 9, (2,), np.float32), spaces.Discrete(2)
        self.age = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.age = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any):
        self.age += 1
        shown = np.array([self.age / 50, self.think(action)], np.float32)
        return shown, float(self.np_random.normal()), False, self.age >= 50, {}

    def think(self, action: Any) -> float:
        return 0.0


class NamedClock(Own):
    def reset(self, **how: Any):
        self.clock, self.model, self.screen = 0, {"x": 0.0}, np.float32(0)
        return super().reset(**how)

    def think(self, action: Any) -> float:
        self.clock, self.screen = self.clock + 1, self.screen * np.float32(0.9) + np.float32(0.1)
        self.model["x"] += 0.02
        return self.clock / 50 + self.model["x"] + float(self.screen * 0.3)


class Noise:
    def __init__(self) -> None:
        self.x = 0.0

    def __call__(self, rng: np.random.Generator) -> float:
        self.x = 0.9 * self.x + rng.normal() / 9
        return self.x


class CallableNoise(Own):
    def __init__(self) -> None:
        super().__init__()
        self.noise = Noise()
        self.draw = self.noise.__call__

    def think(self, action: Any) -> float:
        return self.noise(self.np_random) + self.draw(self.np_random)


class Closure(Own):
    def __init__(self) -> None:
        super().__init__()
        noise = Noise()
        self.draw = lambda: noise(self.np_random)

    def think(self, action: Any) -> float:
        return self.draw()


class SpaceDraws(Own):
    def reset(self, *, seed: int | None = None, **how: Any):
        if seed is not None:
            self.observation_space.seed(seed)
        return super().reset(seed=seed, **how)

    def think(self, action: Any) -> float:
        return float(self.observation_space.sample()[0])


class View(Own):
    def __init__(self) -> None:
        super().__init__()
        self.state = np.zeros((2, 4), np.float32)
        self.place = self.state.T[1:3, 0]

    def think(self, action: Any) -> float:
        self.state += 0.01
        return float(self.place.sum())


START = np.zeros(2, np.float32)


class Constant(Own):
    """Begins at a constant, which must stay one, and then has two arrays where a new one has the same twice."""

    def reset(self, **how: Any):
        self.now = self.before = START
        return super().reset(**how)

    def think(self, action: Any) -> float:
        self.before, self.now = self.now, self.now + np.float32(0.01)
        return float(self.before[0] + 3 * self.now[1] + START[0])


class Snake(Own):
    """Collections, objects made on the way that are met twice, and an old generator."""

    def reset(self, **how: Any):
        done = super().reset(**how)
        self.old = np.random.RandomState(int(self.np_random.integers(99)))
        self.body, self.eaten, self.counts = deque([(0, 0)], maxlen=5), set(), defaultdict(int)
        self.noises: list[Noise] = []
        return done

    def think(self, action: Any) -> float:
        cell = tuple(self.old.randint(0, 5, 2).tolist())
        self.body.append(cell)
        self.eaten.add(cell)
        self.counts[cell] += 1
        if self.age % 9 == 0:
            self.noises.append(Noise())
            self.last = self.noises[-1]
        return (len(self.eaten) + self.counts[cell]) / 50 + sum(self.body[0]) / 9 + sum(
            noise(self.np_random) for noise in self.noises) / 9 + (self.last.x if self.noises else 0)


def bits(tree: Any) -> Any:
    """Nested data with all numbers written out."""
    if isinstance(tree, dict):
        return {key: bits(value) for key, value in tree.items()}
    return [bits(item) for item in tree] if isinstance(tree, list) else tree.tolist() if isinstance(
        tree, torch.Tensor) else tree


OWN = [Own, NamedClock, CallableNoise, Closure, SpaceDraws, View, Constant, Snake]


@pytest.mark.parametrize("kind", OWN)
def test_a_resumed_run_in_an_own_environment_ends_with_the_same_bits(kind: type, tmp_path: Path):
    config = {"num_envs": 2, "horizon": 16, "num_minibatches": 2, "hidden": [8]}
    ends = []
    for name, stop in (("whole", 10_000), ("broken", 190)):
        rl.train("ppo", kind, config, env_steps=512, seed=3, run_dir=tmp_path / name, progress=False,
                 callbacks=[lambda moment, stop=stop: moment.step >= stop])
        if name == "broken":
            rl.resume(tmp_path / name, env=kind, progress=False)
        newest = checkpoint.latest(tmp_path / name / "checkpoints")
        assert newest is not None
        agent = checkpoint.load(newest, "agent")
        session = checkpoint.load(newest, "session")
        assert session["sampler"]["env"] is not None
        ends.append(repr((bits(agent), bits(session["sampler"]), session["step"])))
    assert ends[0] == ends[1]
    assert START.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["MiniGrid-DoorKey-5x5-v0", "MiniGrid-Fetch-8x8-N3-v0"])
@pytest.mark.parametrize("backend", ["sync", "process"])
def test_the_rooms_of_minigrid_are_saved_with_what_lies_in_them(name: str, backend: str):
    pytest.importorskip("minigrid")
    one, other = (make_env(name, 2, seed=seed, backend=backend) for seed in (1, 2))
    one.reset()
    actions = np.random.default_rng(0).integers(0, 6, (60, 2))
    for action in actions:
        one.step(action)
    load_env_state(other, save_env_state(one))
    for action in actions:
        (mine, *rest), (their, *others) = one.step(action)[:4], other.step(action)[:4]
        assert all(np.array_equal(mine[key], their[key]) for key in mine)
        assert all(map(np.array_equal, rest, others))
    one.close()
    other.close()


class Holding(Own):
    def __init__(self, thing: Any) -> None:
        super().__init__()
        self.thing = thing


@pytest.mark.parametrize("thing", [iter([1, 2]), memoryview(b"x"), Path("x"), [rl.PPOConfig()], np.array([None])])
def test_what_cannot_be_copied_exactly_makes_an_environment_unsaveable(thing: Any):
    env = make_env(lambda: Holding(thing), 1)
    env.reset()
    assert save_env_state(env) is None


class Victim(CallableNoise):
    """Holds a module, a method of an array and a partial."""

    def __init__(self) -> None:
        super().__init__()
        self.tools, self.table = np, np.zeros(4)
        self.sum, self.half = self.table.sum, partial(self.think, 0)


class Tidy:
    def __del__(self) -> None:
        raise AssertionError("made by a checkpoint")


HERE, BYTES = __name__, torch.zeros(16, dtype=torch.uint8)
SPEC: dict[str, Any] = {"id": "X-v0", "entry_point": "subprocess:Popen", "kwargs": {"pairs": [["args", "true"]]}}
ITSELF = {"same": 1}  # the vector environment is 0


def view(**changed: Any) -> dict[str, Any]:
    return {"view": BYTES, "offset": 0, "shape": [2], "strides": [8], "dtype": "<f8"} | changed


def words(bits: str, **changed: Any) -> dict[str, Any]:
    state = np.random.Generator(getattr(np.random, bits)(0)).bit_generator.state
    return {"generator": {**state, **{key: value for key, value in changed.items() if key in state},
                          "state": {**state["state"], **changed}}}


@pytest.mark.parametrize(("name", "attack", "refused"), [
    ("x", {"enum": "rlcore.runs.process:subprocess.Popen", "value": ["true"]}, "no class of these"),
    ("x", {"enum": "gymnasium.core:np.ctypeslib.ctypes.CDLL", "value": "libc.so.6"}, "no class of these"),
    ("x", {"enum": "gymnasium.core:gym.Env", "value": 0}, "no class of these"),  # it is there under its own name
    ("x", {"enum": f"{HERE}:Noise", "value": 0}, "no class of these"),
    ("x", {"tuple": [], "class": f"{HERE}:Noise"}, "no class of these"),
    ("x", {"class": "subprocess:Popen", "object": {}}, "no class of these"),
    ("x", {"class": "gymnasium.envs.registration:EnvSpec", "object": SPEC}, "no class of these"),
    ("x", {"class": "gymnasium.vector.async_vector_env:AsyncVectorEnv", "object": {}}, "no class of these"),
    ("x", {"class": f"{HERE}:Tidy", "object": {}}, "no class of these"),
    ("x", {"method": "__globals__", "of": {"method": "__func__", "of": {"method": "step", "of": ITSELF}}}, "a method"),
    ("x", {"method": "__class__", "of": ITSELF}, "a method"),
    ("x", {"method": "tofile", "of": BYTES}, "a method tofile"),
    ("sum", {"method": "tofile", "of": BYTES}, "a method tofile"),
    ("x", {"partial": {"tuple": [{"method": "step", "of": ITSELF}, {"tuple": []}, {"pairs": []}]}}, "a partial"),
    ("half", {"partial": {"tuple": [{"method": "dump", "of": BYTES}, {"tuple": []}, {"pairs": []}]}}, "a method dump"),
    ("close", {"method": "think", "of": ITSELF}, "a close of its own"),
    ("noise", {"class": f"{HERE}:Noise", "object": {"__call__": 0}}, "a __call__ of its own"),
    ("tools", {"part": {"load": 0}, "of": "module"}, "a module"),
    ("tools", {"mujoco": {"pi": BYTES}}, "a simulation"),
    ("tools", {"closure": [0]}, "a function"),
    ("tools", {"object": {"load": 0}}, "does not know"),
    ("x", view(dtype="|O"), "none of numbers"),
    ("x", {"letters": BYTES, "dtype": "|O"}, "none of numbers"),
    ("x", {"scalar": 0, "dtype": "|O"}, "none of numbers"),
    ("x", view(offset=-8), "outside of its memory"),
    ("x", view(shape=[3]), "outside of its memory"),
    ("x", view(shape=[2**24 + 1], strides=[2**40], dtype="|u1"), "outside of its memory"),  # 2**64 bytes: NumPy says 0
    ("x", view(shape=[2**40], strides=[0], dtype="|u1"), "outside of its memory"),
    ("x", view(view="text"), "outside of its memory"),
    ("x", words("MT19937", pos=700), "a MT19937"),
    ("x", words("Philox", buffer_pos=-9), "a Philox"),
    ("x", {"old generator": {"bit_generator": "MT19937", "state": {"pos": -1}}}, "a random state"),
])
def test_a_checkpoint_from_a_stranger_runs_nothing(name: str, attack: Any, refused: str):
    env = make_env(Victim, 1)
    env.reset()
    state = save_env_state(env)
    assert state is not None
    state[1][name] = attack
    with pytest.raises(rl.ConfigError, match=refused):
        load_env_state(env, state)


def test_no_number_in_a_checkpoint_becomes_a_pointer():
    env = make_env(Victim, 1)
    env.reset()
    env.env.envs[0].table = np.array([None])
    state = [{}, {"table": {"fixed": "ndarray"}, "x": view(view={"same": 2}, shape=[1])}]
    with pytest.raises(rl.ConfigError, match="outside of its memory"):
        load_env_state(env, state)


def test_a_registration_cannot_be_changed_by_a_checkpoint():
    env = make_env("MountainCarContinuous-v0", 1)
    env.reset()
    state = save_env_state(env)
    assert state is not None
    for place, part in enumerate(state):
        if "spec" in part:
            state[place] = part | {"spec": {"part": SPEC, "of": "EnvSpec"}}
    with pytest.raises(rl.ConfigError, match="holds a EnvSpec where a new environment has none"):
        load_env_state(env, state)


class Modes(Own):
    """Changes which of its methods it uses, and holds some of them in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.mode, self.table = self.rest, {"rest": self.rest}

    def think(self, action: Any) -> float:
        return self.mode() + self.table["rest"]()

    def rest(self) -> float:
        self.mode = self.move
        return 0.0

    def move(self) -> float:
        return 0.1


def test_an_environments_own_methods_are_saved_by_name():
    one, other = make_env(Modes, 1, seed=1), make_env(Modes, 1, seed=2)
    one.reset()
    one.step(np.zeros(1, int))
    load_env_state(other, save_env_state(one))
    assert [env.env.envs[0].mode.__name__ for env in (one, other)] == ["move", "move"]
    assert one.step(np.zeros(1, int))[0].tolist() == other.step(np.zeros(1, int))[0].tolist()


def test_a_checkpoint_names_no_class_of_other_packages():
    env = make_env(CallableNoise, 1)
    env.reset()
    state = save_env_state(env)
    assert state is not None
    assert state[1]["noise"]["class"].endswith("test_state:Noise")
    state[1]["noise"]["class"] = "subprocess:Popen"
    with pytest.raises(rl.ConfigError, match="subprocess:Popen, which is no class of these environments' packages"):
        load_env_state(env, state)
