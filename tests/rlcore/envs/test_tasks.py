"""rlcore's own tasks: their arithmetic, and that one at a time and all at once are the same."""

import subprocess
import sys
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from rlcore.envs.bitflip import BitFlip
from rlcore.envs.chasing import PointChasing, PointChasingVector
from rlcore.envs.families import OWN
from rlcore.envs.make import make_env
from rlcore.envs.trading import StockTrading, StockTradingVector


@pytest.mark.parametrize(("single", "vector"), [(PointChasing, PointChasingVector), (StockTrading, StockTradingVector)])
def test_all_at_once_is_bit_for_bit_one_at_a_time(single: type, vector: type):
    many = vector(3, max_episode_steps=20)
    loop = SyncVectorEnv([lambda: gym.wrappers.TimeLimit(single(), 20)] * 3)
    assert many.reset(seed=7)[0].tobytes() == loop.reset(seed=7)[0].tobytes()
    loop.action_space.seed(0)
    for _ in range(70):
        action = loop.action_space.sample()
        for found, wanted in zip(many.step(action)[:4], loop.step(action)[:4], strict=True):
            assert found.tobytes() == wanted.tobytes()
            assert found.dtype == wanted.dtype


@pytest.mark.parametrize("name", ["rlcore/PointChasing-v0", "rlcore/StockTrading-v0"])
def test_every_backend_draws_the_same_episodes(name: str):
    native, sync = (make_env(name, 3, seed=5, backend=backend) for backend in ("native", "sync"))
    assert native.reset()[0].tobytes() == sync.reset()[0].tobytes()


def test_a_chaser_gathers_speed_and_is_paid_for_what_it_gains():
    env = PointChasing(dim=2)
    env.reset(seed=0)
    env.state[0] = [[0, 0], [3, 4], [0, 0], [0, 0], [0, 0]]  # at rest, target 5 away and still
    obs, reward, terminated, _, _ = env.step(np.array([1.0, 0.0]))
    # v = (0.1, 0), x = (0.1, 0): the distance falls from 5 to √(2.9² + 4²) = 4.94065
    np.testing.assert_allclose(reward, 5 - 4.940648, atol=1e-5)
    np.testing.assert_allclose(obs, [2.9, 4, 0.1, 0, 0, 0, 1, 0], atol=1e-6)
    assert not terminated
    env.state[0] = [[0, 0], [1, 0], [0.6, 0], [0, 0], [0, 0]]
    obs, reward, terminated, _, _ = env.step(np.array([0.0, 0.0]))
    # v = 0.54, so 0.46 are left: caught, 0.54 gained and 10 more
    np.testing.assert_allclose(reward, 10.54)
    assert terminated
    assert np.linalg.norm(env.step(np.array([9.0, 9.0]))[0][-2:]) == pytest.approx(1)  # no more thrust than 1


def test_a_good_chaser_catches_its_target():
    env = PointChasing()
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        for _ in range(200):
            away, velocity, course = obs[:2], obs[2:4], obs[4:6]
            obs, _, caught, _, _ = env.step(0.5 * (away - 8 * (velocity - course)) + course)
            if caught:
                break
        assert caught


def flat_market(env: StockTrading, *prices: float) -> None:
    """Yesterday's prices were the same, and so will be tomorrow's."""
    env.reset(seed=0)
    env.market.recent[0] = np.array(prices)[:, None] * np.exp(1e-12 * np.arange(31))
    env.market._growth = lambda _: np.zeros(len(prices))


def test_trades_cost_a_thousandth_and_nothing_else_changes_hands():
    env = StockTrading(assets=2)
    flat_market(env, 50.0, 20.0)
    _, reward, *_ = env.step(np.array([0.5, 0.0]))
    market = env.market
    # 5 % of a million at 50 each: 1000 shares; a thousandth of 50,000 is 50, which is 0.005 % of the wealth
    assert market.shares[0].tolist() == pytest.approx([1000, 0])
    assert market.cash[0] == pytest.approx(949_950)
    assert reward == pytest.approx(-0.005)
    _, reward, *_ = env.step(np.array([-1.0, -1.0]))  # sells what it holds, and no more
    assert market.shares[0].tolist() == pytest.approx([0, 0])
    assert market.cash[0] == pytest.approx(999_900)
    assert reward == pytest.approx(-0.005)


def test_nobody_buys_on_credit():
    env = StockTrading(assets=4)
    flat_market(env, 10.0, 10.0, 10.0, 10.0)
    for _ in range(5):  # four tenths a day: the third day there is a fifth left, less costs
        obs, *_ = env.step(np.ones(4))
        assert env.market.cash[0] >= 0
    np.testing.assert_allclose(env.market.shares[0] * 10, 1e6 / 1.001 / 4)
    np.testing.assert_allclose(obs[0], -1, atol=1e-6)


def test_rewards_add_up_to_the_change_of_wealth_in_percent():
    env = make_env("rlcore/StockTrading-v0", 2, seed=3)
    env.reset()
    rng, total = np.random.default_rng(0), np.zeros(2)
    for step in range(250):
        _, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, (2, 4)).astype(np.float32))
        total += reward
        assert truncated.all() == (step == 249)
        assert not terminated.any()
    np.testing.assert_allclose(total, (info["wealth"] / 1e6 - 1) * 100)


def test_prices_move_as_they_should():
    env = StockTradingVector(64, assets=2, max_episode_steps=10**6)
    env.reset(seed=0)
    logs = []
    for _ in range(250):
        env.step(np.zeros((64, 2)))
        logs.append(np.log(env.market.recent[:, :, -1]))
    growth = np.diff(logs, axis=0)
    # a quarter per year is 0.25/√250 a day; 0.3 of the variance is shared; standard errors are under 1 %
    assert growth.std() == pytest.approx(0.25 / 250**0.5, rel=0.03)
    assert np.corrcoef(growth[..., 0].ravel(), growth[..., 1].ravel())[0, 1] == pytest.approx(0.3, abs=0.03)


def test_importing_rlcore_registers_nothing():
    code = ("import rlcore, rlcore.envs.trading, rlcore.envs.chasing, gymnasium\n"
            "print([name for name in gymnasium.registry if name.startswith('rlcore')])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_asking_for_a_task_imports_what_it_needs_and_no_more():
    code = ("import sys; from rlcore.envs.make import make_env\n"
            "make_env('rlcore/BitFlip-v0'); print('mujoco' in sys.modules)\n"
            "make_env('rlcore/ReacherGoal-v5'); print('mujoco' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == (
        "False\nTrue\n")


def test_a_misspelt_task_is_recognised_before_any_is_registered():
    code = "from rlcore.envs.make import make_env; make_env('rlcore/BitFilp-v0')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert said.endswith("Unknown environment 'rlcore/BitFilp-v0'; did you mean 'rlcore/BitFlip-v0'?\n")


@pytest.mark.parametrize("name", OWN)
def test_every_task_of_our_own_is_made_by_its_id(name: str):
    make_env(name).close()


def test_bits_are_flipped_by_name_with_the_reward_that_hindsight_asks_for():
    env = make_env("rlcore/BitFlip-v0", 2, seed=1)
    obs, _ = env.reset()
    assert {name: part.shape for name, part in obs.items()} == {
        "observation": (2, 8), "achieved_goal": (2, 8), "desired_goal": (2, 8)}
    for step in range(8):
        *_, terminated, truncated, _ = env.step(np.array([step, step]))
        assert not terminated.any()
        assert truncated.all() == (step == 7)
    assert env.unwrapped.envs[0].get_wrapper_attr("compute_reward")(np.ones(8), np.ones(8), {}) == 0
    assert make_env("rlcore/BitFlip-v0", options={"bits": 3}).single_action_space.n == 3


def test_an_arm_is_rewarded_only_within_two_centimetres_of_its_goal():
    with closing(make_env("rlcore/ReacherGoal-v5", 2, seed=1)) as env:
        obs, _ = env.reset()
        assert {name: part.shape for name, part in obs.items()} == {
            "observation": (2, 6), "achieved_goal": (2, 2), "desired_goal": (2, 2)}
        for step in range(50):
            *_, terminated, truncated, _ = env.step(np.zeros((2, 2), np.float32))
            assert not terminated.any()
            assert truncated.all() == (step == 49)

        arm = env.unwrapped.envs[0].unwrapped
        arm.set_state(np.zeros(4), np.zeros(4))                          # the arm's 0.1 m and 0.11 m in a line
        arm.goal = np.array([0.2, 0.0])
        obs, reward, _, _, info = arm.step(np.zeros(2))
        assert obs["achieved_goal"] == pytest.approx([0.21, 0.0], abs=1e-4)
        assert (reward, info["is_success"]) == (0, True)
        arm.goal = np.array([0.18, 0.0])
        assert arm.step(np.zeros(2))[1] == -1
        goals = np.array([[0.2, 0.019], [0.2, 0.021], [0.181, 0.0]])
        assert arm.compute_reward(np.tile([0.2, 0.0], (3, 1)), goals, {}).tolist() == [0, -1, 0]


def test_bits_are_drawn_above_their_goal_bright_where_they_are_on():
    env = BitFlip(bits=3, render_mode="rgb_array")
    env.reset(seed=1)
    env.state, env.goal = np.array([1.0, 0, 1]), np.array([0.0, 0, 1])
    image = env.render()
    assert (image.shape, image.dtype) == ((80, 120, 3), np.uint8)
    middles = image[20::40, 20::40, 0] > 128
    assert middles.tolist() == [[True, False, True], [False, False, True]]
    assert BitFlip().render() is None
