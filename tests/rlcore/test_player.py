"""A trained policy in somebody else's loop."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import rlcore as rl
from tests.rlcore.small import config_of


def test_it_plays_what_evaluation_plays():
    agent = rl.train("ppo", "CartPole-v1", config_of("ppo"), env_steps=1024, seed=1, progress=False)
    player, env = rl.Player(agent), gym.make("CartPole-v1")
    obs, _ = env.reset(seed=3)
    vector = rl.make_env("CartPole-v1", 1)
    batch, _ = vector.reset(seed=[3])
    for _ in range(8):
        action, _ = agent.act(batch, np.zeros((1, 0), np.float32))
        batch, *_ = vector.step(action)
        obs, *_ = env.step(player(obs))
        assert np.array_equal(obs, batch[0])


def test_actions_are_in_the_environments_units():
    agent = rl.SAC(gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(10.0, 20.0, (2,)), config_of("sac"))
    action = rl.Player(agent)(np.zeros(3, np.float32))
    assert action.shape == (2,)
    assert ((action >= 10) & (action <= 20)).all()


def test_a_recurrent_agent_remembers_until_it_is_reset():
    agent = rl.PPO(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-1, 1, (1,)),
                   config_of("ppo", core="gru", sequence_length=4))
    player, seen = rl.Player(agent), np.ones(2, np.float32)
    first, second = player(seen), player(seen)
    player.reset()
    assert first != second
    assert player(seen) == first


def test_nested_observations_are_read():
    space = gym.spaces.Dict({"robot": gym.spaces.Dict({"arm": gym.spaces.Box(-1, 1, (2,), np.float64)}),
                             "goal": gym.spaces.Discrete(3)})

    class Nested(gym.Env):
        observation_space, action_space = space, gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return space.sample(), {}

        def step(self, action):
            return space.sample(), 0.0, False, bool(self.np_random.random() < 0.1), {}

    agent = rl.train("ppo", rl.make_env(Nested, 8), config_of("ppo"), env_steps=128, progress=False)
    assert rl.Player(agent)(space.sample()) in (0, 1)


class Spoken(gym.Env):
    """An image, and a text that no agent reads."""

    observation_space = gym.spaces.Dict({"image": gym.spaces.Box(0, 1, (3,)), "mission": gym.spaces.Text(9)})
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"image": np.zeros(3, np.float32), "mission": "go home"}, {}


@pytest.mark.parametrize("name", [None, "MiniGrid-Empty-5x5-v0"])
def test_parts_that_the_agent_does_not_read_may_be_anything(name):
    if name:
        pytest.importorskip("minigrid")
    obs, _ = (gym.make(name) if name else Spoken()).reset(seed=0)
    seen = gym.spaces.Dict({"image": gym.spaces.Box(0, 255, obs["image"].shape, obs["image"].dtype)})
    agent = rl.PPO(seen, gym.spaces.Discrete(2), config_of("ppo"))
    agent.obs_space = seen
    assert rl.Player(agent)(obs) in (0, 1)
    del obs["image"]
    with pytest.raises(rl.ShapeError, match=r"but got \{.*mission: \[\]\}"):
        rl.Player(agent)(obs)


def test_a_runs_agent_plays_by_the_runs_name():
    agent = rl.train("ppo", "CartPole-v1", config_of("ppo"), env_steps=1024, evaluate_every=256, run_dir="run",
                     progress=False)
    obs = np.array([0.1, -0.2, 0.3, 0.4], np.float32)
    for player in (rl.Player("run"), rl.Player(Path("run"), which="best")):
        assert player(obs) in (0, 1)
    assert rl.Player("run")(obs) == rl.Player(agent)(obs)


def test_what_is_not_one_observation_is_refused_in_one_sentence():
    agent = rl.train("ppo", "CartPole-v1", config_of("ppo"), env_steps=128, progress=False)
    env = gym.make("CartPole-v1")
    for wrong, form in ((np.zeros(3), r"\[3\]"), (np.zeros((1, 4)), r"\[1, 4\]"), (env.reset(), r"\{0: \[4\]\}"),
                        ({"obs": np.zeros(4)}, r"\{obs: \[4\]\}"), (0.5, r"\[\]")):
        with pytest.raises(rl.ShapeError, match=rf"sees one observation \[4\] at a time, but got {form}\."):
            rl.Player(agent)(wrong)


def test_a_player_may_explore():
    agent = rl.train("ppo", "Pendulum-v1", {"num_envs": 2, "horizon": 16, "num_minibatches": 1}, env_steps=32,
                     progress=False)
    obs = np.zeros(3, np.float32)
    best, noisy, again = rl.Player(agent), rl.Player(agent, explore=True), rl.Player(agent, explore=True)
    assert np.array_equal(best(obs), best(obs))
    first = noisy(obs)
    assert not np.array_equal(first, noisy(obs)) and np.array_equal(first, again(obs))


class Reader(torch.nn.Module):
    """An own encoder, which reads what environments show after it was narrowed."""

    out_dim = 8

    def __init__(self, _space: gym.Space):
        super().__init__()
        self.layer = torch.nn.Linear(3, 8)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.layer(obs)


class Wide(gym.Env):
    """Shows 64 bits."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (3,), np.float64), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3), {}

    def step(self, action):
        return np.zeros(3), 0.0, True, False, {}


def test_an_own_encoder_sees_what_it_saw_in_training():
    agent = rl.train("ppo", Wide, config_of("ppo"), env_steps=128, encoder=Reader, progress=False)
    assert rl.Player(agent)(np.zeros(3)) in (0, 1)
