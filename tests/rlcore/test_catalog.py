"""The catalogue tells the truth about the environments, and its presets can be built."""

import importlib
import re
from contextlib import closing

import gymnasium as gym
import pytest

from benchmarks.learning import CASES, LONG, kept
from rlcore import catalog
from rlcore.config import ConfigError
from rlcore.envs.families import is_atari
from rlcore.envs.make import make_env, make_single, origin_of
from rlcore.hindsight import look_back

PLACES = list(catalog.ENVIRONMENTS.values())
PRESETS = {**{place.id: place.presets for place in PLACES}, **catalog.PROBES}
FEW = [one for one in PLACES if one.id in ("ALE/Breakout-v5", "MiniGrid-DoorKey-5x5-v0") or not one.extra]


def clock(env: gym.Env) -> int | None:
    """After how many steps an episode is cut off: as registered, as the level says, or by trial."""
    assert env.spec is not None
    if is_atari(env.spec):
        return int(env.spec.kwargs["max_num_frames_per_episode"]) // 4
    if env.spec.max_episode_steps or hasattr(env.unwrapped, "max_steps"):
        return env.spec.max_episode_steps or int(env.unwrapped.max_steps)
    env.reset(seed=1)
    return next((step for step in range(1, 1_000) if env.step(env.action_space.sample())[3]), None)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.id)
def test_an_environment_has_the_spaces_and_the_time_limit_that_are_listed(place: catalog.Environment):
    with closing(make_env(place.id)) as made:
        space, action_space = made.single_observation_space, made.single_action_space
        assert gym.spaces.flatdim(space) == place.obs_dim
        if place.acts == "discrete":
            assert isinstance(action_space, gym.spaces.Discrete)
            assert action_space.n == place.act_dim
        else:
            assert isinstance(action_space, gym.spaces.Box)
            assert action_space.shape == (place.act_dim,)
        assert place.gives_goals == (isinstance(space, gym.spaces.Dict) and "desired_goal" in space.spaces)
        assert bool(place.sees) == (not isinstance(space, gym.spaces.Box) or len(space.shape) > 1
                                    ) or place.gives_goals
    with closing(gym.make(origin_of(place.id, {}).spec)) as env:
        assert clock(env) == place.max_steps
        threshold = env.spec.reward_threshold
    if place.solved_at is not None and threshold is not None:
        assert abs(place.solved_at) <= abs(threshold) or place.solved_at <= threshold


def test_what_is_said_to_be_filmed_can_be_drawn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for place in FEW:
        origin = origin_of(place.id, {}, render_mode="rgb_array")
        simulated = "mujoco" in str(origin.spec.entry_point) or "Reacher" in place.id      # needs a graphics library
        if place.films and not simulated and place.family != "with costs":
            with closing(make_single(origin)) as env:
                env.reset(seed=1)
                assert env.render().shape[2] == 3
        elif not place.films:
            assert "rgb_array" not in origin.spec.entry_point.metadata["render_modes"]


def test_a_part_that_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    assert {place.id: why for place in PLACES if (why := catalog.missing_extra(place.id))} == {}
    monkeypatch.setitem(catalog._PACKAGES, "atari", "not_installed")
    assert catalog.missing_extra("CartPole-v1") == ""
    assert catalog.missing_extra("ALE/Pong-v5") == (
        'Atari needs an optional part. Install it with: pip install "rl-copilot[atari]"')


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
@pytest.mark.parametrize("place", FEW, ids=lambda place: place.id)
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


@pytest.mark.parametrize("name", catalog.ALGORITHMS)
def test_every_algorithm_has_a_preset_and_a_curve_that_was_measured(name: str):
    assert any(name in presets for presets in PRESETS.values())
    assert any(kept(case)["seeds"] for case in (*CASES, *LONG) if case.algo == name)


def test_a_refusal_says_what_is_needed_what_there_is_and_who_can():
    assert catalog.refusal("dqn", "Pendulum-v1") == (
        "DQN needs a discrete action space, but Pendulum-v1 has a continuous (Box) one. SAC or PPO can do it.")
    assert catalog.refusal("sac", "CartPole-v1") == (
        "SAC needs a continuous action space, but CartPole-v1 has a discrete one. DQN or PPO can do it.")
    assert catalog.refusal("ppo", "CartPole-v1") == ""


@pytest.mark.parametrize("name", catalog.ALGORITHMS)
def test_the_catalogue_and_training_agree_on_who_can_look_back(name: str):
    able = catalog.ALGORITHMS[name]
    with closing(make_env("CartPole-v1" if "discrete" in able.acts else "Pendulum-v1")) as env:
        agent = catalog.agent_class(name)(env.single_observation_space, env.single_action_space,
                                          catalog.config_for(name, "", {"hidden": [8]}), seed=1, device="cpu")
        with pytest.raises(ConfigError) as error:
            look_back(agent, env, 0.8)
    assert ("replays no single steps" in str(error.value)) == (not able.looks_back)


def test_hindsight_is_usual_where_there_are_goals_and_refused_elsewhere():
    assert catalog.hindsight("dqn", "rlcore/BitFlip-v0") == 0.8
    assert catalog.hindsight("dqn", "CartPole-v1") is None
    assert catalog.no_hindsight("dqn", "CartPole-v1") == (
        "Hindsight replay needs an environment with goals, and CartPole-v1 has none. Try rlcore/BitFlip-v0.")
    assert catalog.no_hindsight("sac", "BipedalWalker-v3").endswith("has none. Try rlcore/ReacherGoal-v5.")
    assert catalog.no_hindsight("a2c", "rlcore/BitFlip-v0") == (
        "Hindsight replay needs an algorithm that replays single steps, and A2C learns from its newest rollout alone. "
        "DQN can do it.")
    assert "R2D2 replays whole sequences" in catalog.no_hindsight("r2d2", "rlcore/BitFlip-v0")


def test_where_hindsight_is_usual_the_preset_has_targets_of_one_step():
    pairs = [(algo, place.id) for algo in catalog.ALGORITHMS for place in PLACES
             if not catalog.refusal(algo, place.id) and catalog.hindsight(algo, place.id)]
    assert ("rainbow", "rlcore/BitFlip-v0") in pairs
    assert [pair for pair in pairs if catalog.config_for(*pair).n_step != 1] == []


def test_options_of_an_environment_are_checked_and_are_those_of_its_constructor():
    assert catalog.options_for("rlcore/BitFlip-v0", {"bits": 10}) == {"bits": 10}
    assert catalog.options_for("CartPole-v1", {}) == {}
    assert catalog.options_for("CliffWalking-v1", {}) == {"max_episode_steps": 200}    # it has no limit of its own
    for place in FEW:
        options = {item.name: item.default for item in catalog.option_settings(place.id)}
        with closing(make_env(place.id, options=options)) as env:
            assert gym.spaces.flatdim(env.single_observation_space) == place.obs_dim
    with pytest.raises(ConfigError, match=r"BitFlipOptions.bits=1 must be between 2 and 64"):
        catalog.options_for("rlcore/BitFlip-v0", {"bits": 1})
    with pytest.raises(ConfigError, match=r"BitFlipOptions has no setting 'bit'; did you mean 'bits'"):
        catalog.options_for("rlcore/BitFlip-v0", {"bit": 10})
    with pytest.raises(ConfigError, match=r"CartPole-v1 has no options to choose, so bits does not apply"):
        catalog.options_for("CartPole-v1", {"bits": 10})


def test_who_is_offered_instead_can_do_it():
    for algo in catalog.ALGORITHMS.values():
        for acts in {"discrete", "continuous"} - set(algo.acts):
            assert acts in catalog.ALGORITHMS[algo.instead[acts]].acts


def test_changes_win_over_presets_and_presets_over_defaults():
    for env, presets in PRESETS.items():
        for algo, preset in presets.items():
            made = catalog.config_for(algo, env)
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
    with pytest.raises(ConfigError, match=r"Unknown environment 'Cartpole'; did you mean 'CartPole-v1'\? `python -m"):
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
