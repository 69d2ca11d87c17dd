"""A trained policy in somebody else's loop."""

import gymnasium as gym
import numpy as np

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
