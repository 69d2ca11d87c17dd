"""Scores that do not favour short episodes, and the statistics on them."""

import ctypes.util
import importlib.util
import tracemalloc
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
import pytest
from PIL import Image, ImageSequence
from scipy.stats import trim_mean

import rlcore as rl
from rlcore import catalog
from rlcore.__main__ import main
from rlcore.envs.probe import Countdown
from rlcore.evaluation.evaluate import Evaluation, exploring
from rlcore.evaluation.statistics import bootstrap_interval, iqm
from rlcore.runs import read_evaluations
from rlcore.spaces import Actions
from tests.rlcore.small import config_of


class Zero:
    """An agent that always does the first thing."""

    memory_size = 0

    def act(self, obs: np.ndarray, memory: np.ndarray, noise: None = None) -> tuple[np.ndarray, np.ndarray]:
        assert noise is None  # an evaluation never explores
        assert obs.dtype == np.float32
        return np.zeros(len(obs), np.int64), memory


def test_every_environment_plays_its_share_so_short_episodes_are_not_favoured():
    # some of 16 worlds end after 1 step with 0, the others after 9 with 1; taking the first 32 to end would find a
    # world of the short kind five times as often
    worlds = rl.make_env("Uneven-v0", 16, seed=10_000, backend="sync")
    worlds.reset()
    share = sum(world.unwrapped.long for world in worlds.unwrapped.envs) / 16
    assert 0.2 < share < 0.8
    score = rl.evaluate(Zero(), "Uneven-v0", episodes=32, seed=10_000)
    assert len(score.returns) == 32
    assert score.mean == share
    assert sorted(set(score.lengths)) == [1, 9]


@pytest.mark.parametrize("episodes", [1, 3, 16, 21])
def test_exactly_as_many_episodes_as_asked_for(episodes: int):
    score = rl.evaluate(Zero(), "Countdown-v0", episodes=episodes)
    assert score.returns == (3.0,) * episodes  # the dummy step after an end belongs to no episode
    assert score.lengths == (3,) * episodes


def test_an_evaluation_repeats_itself_and_depends_on_its_seed():
    one, same, other = (rl.evaluate(Zero(), "CartPole-v1", episodes=5, seed=seed).returns for seed in (1, 1, 2))
    assert one == same != other


class Tosses(Zero):
    """Does what its noise says."""

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> np.ndarray:
        assert step > 10**9  # every schedule of exploration has ended
        return rng.integers(2, size=(horizon, 1))

    def act(self, obs: np.ndarray, memory: np.ndarray, noise: np.ndarray | None = None):
        self.seen = [*getattr(self, "seen", []), noise]
        return np.zeros(len(obs), np.int64) if noise is None else noise[:, 0], memory


def test_exploring_gives_every_environment_noise_of_its_own_that_the_seed_repeats():
    def noises(seed: int) -> np.ndarray:
        agent = Tosses()
        rl.evaluate(agent, "CartPole-v1", episodes=3, seed=seed, explore=True)
        return np.stack(agent.seen)[:, :, 0]

    first = noises(1)
    assert first.shape[1] == 3 and len(first) > 5
    assert not np.array_equal(first[:, 0], first[:, 1])
    assert np.array_equal(first, noises(1))
    assert rl.evaluate(Tosses(), "CartPole-v1", episodes=3).lengths != rl.evaluate(
        Tosses(), "CartPole-v1", episodes=3, explore=True).lengths


@pytest.mark.parametrize("algo", ["rainbow", "dqn"])
def test_parameter_noise_changes_as_in_training_and_with_the_seed(algo: str):
    config = config_of(algo, **({"noisy": True} if algo == "dqn" else {}))
    agent = catalog.agent_class(algo)(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2), config)

    def drawn(seed: int) -> list[float]:
        return [float(noise.max()) for noise in islice(exploring(agent, seed, 3), 40)]

    assert len(set(drawn(1))) == 10  # a rollout has four steps
    assert drawn(1) == drawn(1)
    assert not set(drawn(1)) & set(drawn(2))
    assert min(drawn(1)) > 10**12  # whatever fades has faded


def test_an_environment_that_cannot_be_closed_is_judged_all_the_same(caplog: pytest.LogCaptureFixture):
    class Stubborn(Countdown):
        def close(self) -> None:
            raise RuntimeError("no display to close")

    assert rl.evaluate(Zero(), Stubborn, episodes=2).returns == (1.0, 1.0)
    assert "could not be closed: RuntimeError: no display to close" in caplog.text


def test_evaluations_in_training_play_other_episodes_than_those_that_judge_them(monkeypatch: pytest.MonkeyPatch):
    seeds = []
    from rlcore import training
    monkeypatch.setattr(training, "evaluate", lambda *_, seed, **__: seeds.append(seed) or Evaluation((1.0,), (1,)))
    rl.train("ppo", "CartPole-v1", {"num_envs": 2, "horizon": 16, "num_minibatches": 1}, env_steps=64,
             evaluate_every=32, progress=False)
    assert seeds and min(seeds) >= 1_000_000  # rl.evaluate begins at 10,000


class Still:
    """Does nothing, in any environment."""

    memory_size = 0

    def __init__(self, env: str, backend: Any):
        self.actions = Actions(rl.make_env(env, backend=backend).single_action_space)

    def act(self, obs: Any, memory: np.ndarray, noise: None = None) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(memory), *self.actions.shape), self.actions.dtype), memory


@pytest.mark.parametrize(("env", "package", "backend", "options"), [
    ("ALE/Pong-v5", "ale_py", "sync", {"max_num_frames_per_episode": 200}),
    ("MiniGrid-Empty-5x5-v0", "minigrid", "sync", {}),
    ("CoinrunEasy-v0", "envpool", "envpool", {"max_episode_steps": 40}),
    ("CheetahRun-v1", "envpool", "envpool", {"max_episode_steps": 40}),
    ("Breakout-v5", "envpool", "envpool", {"max_episode_steps": 40}),
])
def test_episodes_of_every_family_end(env: str, package: str, backend: Any, options: dict[str, Any]):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if env == "CoinrunEasy-v0" and ctypes.util.find_library("Qt5Gui") is None:
        pytest.skip("EnvPool's Procgen needs the system's Qt 5")
    score = rl.evaluate(Still(env, backend), env, episodes=1, backend=backend, env_options=options, max_steps=1000)
    assert len(score.lengths) == 1 and 0 < score.lengths[0] <= 200


def test_iqm_by_hand():
    # of eight values the two smallest and two largest go: (3 + 4 + 5 + 6)/4
    assert iqm(np.array([100.0, 1, 2, 3, 4, 5, 6, -50])) == (2 + 3 + 4 + 5) / 4
    assert iqm(np.array([7.0])) == 7
    assert iqm(np.array([1.0, 2, 6])) == 3  # a quarter of three is none


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 20, 33])
def test_iqm_agrees_with_scipy(count: int):
    values = np.random.default_rng(count).normal(size=count)
    assert iqm(values) == pytest.approx(trim_mean(values, 0.25))


def test_the_interval_holds_the_iqm_and_narrows_with_more_episodes():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=10), rng.normal(size=1000)
    for values in (few, many):
        low, high = bootstrap_interval(values)
        assert low < iqm(values) < high
    width = [high - low for low, high in (bootstrap_interval(few), bootstrap_interval(many))]
    assert width[1] < width[0] / 5
    # the standard error of an IQM of a normal sample is about 1.1/√N
    assert width[1] == pytest.approx(2 * 1.96 * 1.1 / 1000**0.5, rel=0.15)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = [low < 0 < high for low, high in (bootstrap_interval(rng.normal(size=20), resamples=300)
                                                for _ in range(200))]
    assert 0.87 <= np.mean(covered) <= 0.99


def test_an_evaluation_summarises_itself():
    score = Evaluation((0.0, 10.0), (5, 7))
    assert (score.mean, score.std, score.iqm) == (5, 5, 5)
    assert str(score).startswith("2 episodes: return 5.0 ± 5.0, IQM 5.0 (95 % interval ")
    assert str(Evaluation((5.0,), (3,))) == "1 episode: return 5.0, length 3"
    row = score.row(step=99)
    assert (row["step"], row["episodes"], row["mean"], row["returns"]) == (99, 2, 5.0, [0.0, 10.0])
    assert row["low"] <= row["iqm"] <= row["high"]


def test_what_cannot_be_evaluated_says_why():
    with pytest.raises(rl.ConfigError, match="episodes=0 must be a whole number of at least 1"):
        rl.evaluate(Zero(), "CartPole-v1", episodes=0)
    with pytest.raises(rl.ConfigError, match="needs the environment's name"):
        rl.evaluate(Zero())


def test_a_film_shows_one_episode_frame_by_frame():
    path = rl.record_video(Zero(), "CartPole-v1", "film.mp4", seed=3)
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert container.streams.video[0].average_rate == 50
    # one frame per step and one before the first; always to the left, the pole falls in about ten steps
    assert frames == rl.evaluate(Zero(), "CartPole-v1", episodes=1, seed=3).lengths[0] + 1
    assert [file.name for file in Path().iterdir()] == ["film.mp4"]


def test_a_film_may_be_a_gif_and_nothing_else():
    with Image.open(rl.record_video(Zero(), "CartPole-v1", "film.gif", max_steps=4)) as image:
        shown_ms = 0
        for frame in ImageSequence.Iterator(image):
            shown_ms += frame.info["duration"]
    assert shown_ms == 5 * 20  # five frames at 50 per second; equal ones in a row are stored once
    with pytest.raises(rl.ConfigError, match=r"'film.avi' must end in .mp4 or .gif"):
        rl.record_video(Zero(), "CartPole-v1", "film.avi")


class Watcher(Zero):
    """Sees pixels."""

    def act(self, obs: np.ndarray, memory: np.ndarray, noise: None = None) -> tuple[np.ndarray, np.ndarray]:
        return super().act(obs.astype(np.float32), memory, noise)


def test_a_film_of_small_pictures_is_enlarged_by_whole_pixels():
    path = rl.record_video(Watcher(), "ALE/Pong-v5", "film.gif", max_steps=1)
    with Image.open(path) as image:
        assert image.size == (336, 336)    # the agent sees 84 × 84


class Screen(gym.Env):
    """A hundred large pictures."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.age += 1
        return np.zeros(2, np.float32), 0.0, self.age == 100, False, {}

    def render(self):
        return np.full((400, 400, 3), self.age, np.uint8)


def test_a_film_does_not_keep_its_pictures():
    tracemalloc.start()
    try:
        rl.record_video(Zero(), Screen, "film.mp4")
        assert tracemalloc.get_traced_memory()[1] < 10 * 400 * 400 * 3  # bytes
    finally:
        tracemalloc.stop()


class Odd(Screen):
    """Five steps, drawn as it is told."""

    def __init__(self, shape=(40, 60, 3), fps=30, render_mode=None):
        super().__init__(render_mode)
        self.shape, self.metadata = tuple(shape), {**self.metadata, "render_fps": fps}

    def render(self):
        return np.full(self.shape, 50 * self.age, np.uint8)


def filmed(kind: str, **options: Any) -> Path:
    return rl.record_video(Zero(), Odd, f"film.{kind}", max_steps=4, env_options=options)


@pytest.mark.parametrize("fps", [None, 0, -5, float("nan"), "fast"])
def test_thirty_pictures_a_second_are_shown_where_the_environment_names_no_number_of_them(fps: Any):
    with av.open(str(filmed("mp4", fps=fps))) as film:
        assert film.streams.video[0].average_rate == 30
    with Image.open(filmed("gif", fps=fps)) as image:
        assert image.info["duration"] == 30  # milliseconds, of which a GIF keeps tens


def test_a_picture_may_be_shown_for_seconds():
    with av.open(str(filmed("mp4", fps=0.5))) as film:
        assert film.streams.video[0].average_rate == Fraction(1, 2)
    with Image.open(filmed("gif", fps=0.5)) as image:
        assert image.info["duration"] == 2000


@pytest.mark.parametrize("kind", ["mp4", "gif"])
@pytest.mark.parametrize(("shape", "size"), [
    ((40, 60), (300, 200)), ((40, 60, 1), (300, 200)), ((40, 60, 4), (300, 200)), ((1, 701, 3), (702, 2)),
    ((333, 401), (402, 334)), ((1, 1), (336, 336))])
def test_grey_transparent_and_flat_pictures_can_be_filmed(kind: str, shape: tuple[int, ...], size: tuple[int, int]):
    path = filmed(kind, shape=shape)
    if kind == "gif":
        with Image.open(path) as image:
            assert image.size == size
    else:
        with av.open(str(path)) as film:
            pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert [picture.shape for picture in pictures] == [(size[1], size[0], 3)] * 5
        assert [round(picture.mean() / 50) for picture in pictures] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(1, 40, 60, 3), (40, 60, 2), (40,), (0, 60, 3)])
def test_what_is_no_picture_is_refused_in_words(shape: tuple[int, ...]):
    with pytest.raises(rl.ConfigError, match=r"Odd drew \[.*\], and a film needs an image: \[height, width, 3\]"):
        filmed("mp4", shape=shape)
    assert not list(Path().iterdir())


class Blind(gym.Env):
    """One step, nothing to see."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, True, False, {}


class Vague(Blind):
    """It knows the word, and still draws nothing."""

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return None


@pytest.mark.parametrize("world", [Blind, Vague])
def test_an_environment_that_draws_nothing_is_told_what_a_film_needs(world: type[gym.Env]):
    needs = r"cannot draw itself\..* must take the keyword render_mode='rgb_array'"
    with pytest.raises(rl.ConfigError, match=needs) as caught:
        rl.record_video(Zero(), world, "film.mp4")
    assert "OpenGL" not in str(caught.value)


def test_the_best_agent_can_be_filmed():
    rl.train("ppo", "CartPole-v1", {"num_envs": 2, "horizon": 32, "num_minibatches": 2, "epochs": 8}, env_steps=640,
             evaluate_every=64, evaluate_episodes=2, run_dir="run", progress=False)
    rows = read_evaluations(Path("run"))
    best = max(rows, key=lambda row: row["mean"])["step"]
    assert rl.record_video("run", which="best", max_steps=3).name == f"{best:012d}.mp4"


def test_an_environment_that_cannot_be_drawn_says_so_and_leaves_no_half_film(monkeypatch: pytest.MonkeyPatch):
    def render(_: object) -> None:
        raise OSError("no screen")

    monkeypatch.setattr("gymnasium.envs.classic_control.cartpole.CartPoleEnv.render", render)
    with pytest.raises(rl.ConfigError, match=r"CartPole-v1 cannot be drawn on this machine \(OSError: no screen\)\.$"):
        rl.record_video(Zero(), "CartPole-v1", "film.mp4")
    assert not list(Path().iterdir())


SHORT = {"num_envs": 2, "horizon": 16, "num_minibatches": 1, "hidden": [8]}


@pytest.fixture
def _run() -> None:
    rl.train("ppo", "CartPole-v1", SHORT, env_steps=64, run_dir="run", progress=False,
             env_options={"max_episode_steps": 9, "sutton_barto_reward": True})


@pytest.mark.usefixtures("_run")
def test_a_run_can_be_judged_in_a_changed_version_of_its_environment_and_keeps_no_result_of_it():
    own = rl.evaluate("run", episodes=2)
    changed = rl.evaluate("run", env_options={"max_episode_steps": 5}, episodes=2)
    assert (set(own.lengths), set(changed.lengths)) == ({9}, {5})
    assert set(changed.returns) == {0.0}  # what is not named stays: this reward is 0 until the pole falls
    assert set(rl.evaluate("run", "CartPole-v1", env_options={"max_episode_steps": 5}, episodes=2).lengths) == {5}
    assert len(read_evaluations(Path("run"))) == 1


@pytest.mark.usefixtures("_run")
def test_a_run_can_be_judged_in_another_environment_with_the_same_spaces():
    elsewhere = rl.evaluate("run", "CartPole-v0", episodes=2)  # its own options only: 1 for every step
    assert elsewhere.returns == elsewhere.lengths and min(elsewhere.lengths) > 5
    assert not read_evaluations(Path("run"))


@pytest.mark.usefixtures("_run")
@pytest.mark.parametrize(("env", "sentence"), [
    ("Acrobot-v1", r"This agent was trained with observations float32 \[4\] and discrete actions 2, but Acrobot-v1 has "
                   r"float32 \[6\] and discrete actions 3\. It can play only where both are the same\."),
    ("Pendulum-v1", r"Pendulum-v1 has float32 \[3\] and continuous actions 1\."),
    ("FrozenLake-v1", r"FrozenLake-v1 has Discrete\(16\) and discrete actions 4\."),
])
def test_an_environment_with_other_spaces_is_refused_in_a_sentence(env: str, sentence: str):
    with pytest.raises(rl.ShapeError, match=sentence):
        rl.evaluate("run", env)
    with pytest.raises(rl.ShapeError, match=sentence):
        rl.evaluate(rl.load_agent("run")[0], env)
    with pytest.raises(rl.ShapeError, match=sentence):
        rl.record_video("run", env)


@pytest.mark.usefixtures("_run")
def test_a_film_of_another_environment_does_not_take_the_place_of_the_runs_own():
    own, changed = rl.record_video("run"), rl.record_video("run", env_options={"max_episode_steps": 3})
    assert (own.name, changed.name) == ("000000000064.mp4", "000000000064-elsewhere.mp4")
    with av.open(str(changed)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


@pytest.mark.usefixtures("_run")
def test_the_command_line_judges_and_films_elsewhere(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO"):
        assert main(["evaluate", "run", "--env_options", "{max_episode_steps: 5}", "--episodes", "3"]) == 0
        assert main(["evaluate", "run", "--env", "Acrobot-v1"]) == 2
        assert main(["video", "run", "--env", "CartPole-v0"]) == 0
    assert "length 5" in caplog.text and "Acrobot-v1 has float32 [6]" in caplog.text and "-elsewhere.mp4" in caplog.text
