"""The catalogue tells the truth about the environments, and its presets can be built."""

import importlib
import re

import gymnasium as gym
import pytest

from rlcore import catalog
from rlcore.config import ConfigError
from rlcore.envs.families import register_family

PLACES = list(catalog.ENVIRONMENTS.values())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.id)
def test_an_environment_has_the_spaces_and_the_time_limit_that_are_listed(place: catalog.Environment):
    register_family(place.id)
    env = gym.make(place.id)
    assert env.observation_space.shape == (place.obs_dim,)
    if place.acts == "discrete":
        assert isinstance(env.action_space, gym.spaces.Discrete)
        assert env.action_space.n == place.act_dim
    else:
        assert isinstance(env.action_space, gym.spaces.Box)
        assert env.action_space.shape == (place.act_dim,)
    assert env.spec is not None
    assert env.spec.max_episode_steps == place.max_steps
    if place.solved_at is not None and env.spec.reward_threshold is not None:
        assert abs(place.solved_at) <= abs(env.spec.reward_threshold) or place.solved_at <= env.spec.reward_threshold
    env.close()


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.id)
def test_every_pair_has_a_config_or_a_reason_why_not(algo: str, place: catalog.Environment):
    reason = catalog.refusal(algo, place.id)
    able = catalog.ALGORITHMS[algo]
    assert bool(reason) == (place.acts not in able.acts or (able.needs_cost and not place.gives_cost))
    if not reason:
        start = catalog.preset(algo, place.id)
        assert start.env_steps >= 10_000
        assert start.source
        assert isinstance(catalog.config_for(algo, place.id), catalog.config_class(algo))


def test_a_preset_is_for_an_algorithm_that_can_act_there():
    for place in PLACES:
        assert set(place.presets) <= set(catalog.ALGORITHMS)
        assert not [algo for algo in place.presets if catalog.refusal(algo, place.id)]


def test_a_refusal_says_what_is_needed_what_there_is_and_who_can():
    assert catalog.refusal("dqn", "Pendulum-v1") == (
        "DQN needs a discrete action space, but Pendulum-v1 has a continuous (Box) one. SAC or PPO can do it.")
    assert catalog.refusal("sac", "CartPole-v1") == (
        "SAC needs a continuous action space, but CartPole-v1 has a discrete one. DQN or PPO can do it.")
    assert catalog.refusal("ppo", "CartPole-v1") == ""


def test_who_is_offered_instead_can_do_it():
    for algo in catalog.ALGORITHMS.values():
        for acts in {"discrete", "continuous"} - set(algo.acts):
            assert acts in catalog.ALGORITHMS[algo.instead[acts]].acts


def test_changes_win_over_presets_and_presets_over_defaults():
    for place in PLACES:
        for algo, preset in place.presets.items():
            made = catalog.config_for(algo, place.id)
            for name, value in preset.config.items():
                found = getattr(made, name)
                assert (list(found) if isinstance(found, tuple) else found) == (
                    list(value) if isinstance(value, tuple) else value)
    assert catalog.config_for("ppo", "CartPole-v1", {"gamma": 0.123}).gamma == 0.123
    assert catalog.config_for("ppo", "SomethingElse-v7").gamma == catalog.config_class("ppo")().gamma


@pytest.mark.parametrize(("written", "name"), [("PPO", "ppo"), ("QR-DQN", "qrdqn"), ("sac-discrete", "sac_discrete"),
                                               ("ppo-lagrangian", "ppo_lagrangian"), ("R2d2", "r2d2")])
def test_names_are_found_however_they_are_written(written: str, name: str):
    assert catalog.algorithm(written) is catalog.ALGORITHMS[name]
    assert catalog.config_class(written) is catalog.config_class(name)


def test_unknown_names_get_the_nearest():
    with pytest.raises(ConfigError, match=r"Unknown algorithm 'poo'; did you mean 'ppo'\? Known: a2c, ddpg, dqn"):
        catalog.algorithm("poo")
    with pytest.raises(ConfigError, match=r"Unknown environment 'Cartpole'; did you mean 'CartPole-v1'\? Known: Acr"):
        catalog.environment("Cartpole")


@pytest.mark.parametrize("entry", catalog.ALGORITHMS.values(), ids=lambda entry: entry.name)
def test_an_entry_leads_to_its_file_its_class_and_its_paper(entry: catalog.Algorithm):
    module = importlib.import_module(entry.module)
    assert catalog.agent_class(entry.name) is getattr(module, entry.class_name)
    if not entry.arxiv:  # a paper that is not on arXiv is named by its conference
        assert "ICLR" in (module.__doc__ or "")
        return
    assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.arxiv)
    assert entry.arxiv in (module.__doc__ or "")
    assert int("20" + entry.arxiv[:2]) in (entry.year, entry.year - 1)  # a conference may be a year later
    assert entry.summary.endswith(".")
