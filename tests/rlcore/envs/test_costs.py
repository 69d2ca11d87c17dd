"""Tasks with something to avoid."""

import gymnasium as gym
import pytest

import rlcore as rl
from rlcore.envs.costs import SPEED, WIDTH, WithCost
from rlcore.envs.make import make_env
from tests.rlcore.small import config_of


def test_the_cart_pays_for_leaving_the_middle():
    env = gym.make("CartPole-v1")
    costs = WithCost(env, lambda obs, _: float(abs(obs[0]) > WIDTH))
    _, info = costs.reset(seed=1)
    assert info["cost"] == 0
    env.unwrapped.state = [WIDTH + 0.1, 0, 0, 0]
    assert costs.step(0)[4]["cost"] == 1
    env.unwrapped.state = [WIDTH - 0.1, 0, 0, 0]
    assert costs.step(0)[4]["cost"] == 0


@pytest.mark.parametrize(("name", "limit"),
                         [("rlcore/CartPoleBounds-v0", 500), ("rlcore/HalfCheetahVelocity-v5", 1000)])
def test_the_tasks_are_known_by_name_and_tell_what_steps_cost(name: str, limit: int):
    env = make_env(name, 2, seed=1)
    env.reset()
    *_, info = env.step(env.action_space.sample())
    assert info["cost"].tolist() == [0, 0]
    assert env.env.envs[0].spec.max_episode_steps == limit
    env.close()


def test_the_cheetah_pays_for_running_too_fast():
    env = make_env("rlcore/HalfCheetahVelocity-v5", 1, seed=1).env.envs[0]
    env.reset(seed=1)
    cheetah = env.unwrapped
    for speed, cost in ((SPEED + 1, 1), (SPEED - 1, 0)):
        cheetah.data.qvel[0] = speed
        *_, info = env.step(0 * env.action_space.sample())
        assert (info["x_velocity"] > SPEED) == bool(info["cost"]) == bool(cost)


def test_ppo_lagrangian_trains_on_them_and_resumes():
    config = config_of("ppo_lagrangian", num_envs=2)
    rl.train("ppo_lagrangian", "rlcore/CartPoleBounds-v0", config, env_steps=64, run_dir="run", progress=False)
    assert rl.evaluate("run", episodes=1).mean > 0
