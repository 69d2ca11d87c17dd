"""Beginning as another run's agent, and holding parts of it still."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import rlcore as rl
from rlcore import catalog
from rlcore.config import ConfigError
from rlcore.runs import read_metrics
from tests.rlcore.small import config_of


def weights(agent: rl.PPO) -> dict[str, torch.Tensor]:
    return {name: param.detach().clone() for name, param in agent.model.named_parameters()}


@pytest.fixture
def before() -> rl.PPO:
    return rl.train("ppo", "Echo-v0", config_of("ppo"), env_steps=512, seed=1, run_dir="first", progress=False)


def moved(before: rl.PPO, **how) -> set[str]:
    after = rl.train("ppo", "Echo-v0", config_of("ppo"), env_steps=256, seed=2, start_from="first", progress=False,
                     **how)
    old = weights(before)
    return {name for name, value in weights(after).items() if not torch.equal(value, old[name])}


def test_what_is_frozen_stays_and_all_else_moves(before: rl.PPO):
    # the first agent's Adam has momentum everywhere: a zero gradient alone would not hold anything
    everything = set(weights(before))
    assert moved(before) == everything
    assert moved(before, freeze=["actor.0"]) == everything - {"actor.0.weight", "actor.0.bias"}
    assert moved(before, freeze=["actor", "critic.2"]) == {"critic.0.weight", "critic.0.bias"}


def test_a_frozen_part_does_not_count_in_the_gradients_norm():
    rl.train("ppo", "Echo-v0", config_of("ppo"), env_steps=128, freeze=["actor", "critic"], run_dir="still",
             progress=False)
    assert read_metrics(Path("still"))["loss/grad_norm"] == [0]


def test_frozen_parts_stay_so_when_the_run_is_resumed(before: rl.PPO):
    stop = [lambda moment: moment.step >= 256]
    rl.train("ppo", "Echo-v0", config_of("ppo"), env_steps=512, seed=2, start_from="first", freeze=["actor.0"],
             run_dir="second", callbacks=stop, progress=False)
    after = rl.resume("second", progress=False)
    assert torch.equal(weights(before)["actor.0.weight"], weights(after)["actor.0.weight"])
    assert not torch.equal(weights(before)["actor.2.weight"], weights(after)["actor.2.weight"])


def test_one_word_may_stand_alone(before: rl.PPO):
    assert moved(before, freeze="critic") == {name for name in weights(before) if not name.startswith("critic")}


@pytest.mark.parametrize(("word", "hint"), [("model.acto.0", "; did you mean 'model.actor.0'?"),
                                            ("actr", "; did you mean 'actor'?"), ("xyzzy", ".")])
def test_a_word_that_names_nothing_is_refused_with_the_nearest_name(word: str, hint: str):
    said = f"freeze='{word}' is part of no parameter's name{hint} `rl.describe(agent)` lists them."
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        rl.train("ppo", "Echo-v0", config_of("ppo"), env_steps=128, freeze=[word], progress=False)


@pytest.mark.parametrize("word", ["critic", "critic.2.bias"])
def test_a_layer_that_popart_rewrites_cannot_be_held(word: str):
    popart = config_of("ppo", normalize_value="popart")
    said = (f"freeze='{word}' cannot hold the critic's last layer, which normalize_value='popart' rewrites as values "
            "grow. Use normalize_value='off' or freeze less.")
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        rl.train("ppo", "Echo-v0", popart, env_steps=128, freeze=word, progress=False)
    rl.train("ppo", "Echo-v0", popart, env_steps=128, freeze=["critic.0", "actor"], progress=False)


def test_an_algorithm_that_moves_all_at_once_can_freeze_nothing(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"TRPO moves all of its policy at once, so freeze=\['actor'\] cannot"):
        rl.train("trpo", "Echo-v0", config_of("trpo"), env_steps=128, freeze="actor", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert [entry.name for entry in catalog.ALGORITHMS.values() if not entry.freezes] == ["trpo"]


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(("algo", "changes", "why"), [
    ("ppo", {"hidden": [8]}, "than this PPO: model.actor.0.weight is [32, 2] there and [8, 2] here."),
    ("ppo", {"normalize_obs": True}, "is missing there."),
    ("dqn", {}, "than this DQN: it is one of PPO."),
])
def test_an_agent_of_another_kind_cannot_be_begun_as(algo: str, changes: dict, why: str):
    with pytest.raises(ConfigError) as refused:
        rl.train(algo, "Echo-v0", config_of(algo, **changes), env_steps=128, start_from="first", progress=False)
    said = str(refused.value)
    assert said.startswith("start_from='first' holds another kind of agent ")
    assert why in said
    assert "\n" not in said
    assert not Path("runs").exists()


def begun(algo: str, env: str, old: dict[str, Any], new: dict[str, Any], old_steps: int = 400) -> tuple[Any, Any]:
    """An agent and one that begins as it, with other settings, after its first steps."""
    first = rl.train(algo, env, config_of(algo, **old), env_steps=old_steps, seed=1, run_dir="old", progress=False)
    second = rl.train(algo, env, config_of(algo, **new), env_steps=128, seed=2, start_from="old", progress=False)
    return first, second


@pytest.mark.parametrize(("algo", "env"), [("ppo", "CartPole-v1"), ("a2c", "CartPole-v1"), ("trpo", "CartPole-v1"),
                                           ("pqn", "CartPole-v1"), ("ppo_lagrangian", "rlcore/CartPoleBounds-v0")])
def test_another_number_of_environments_can_begin_as_an_agent(algo: str, env: str):
    _, agent = begun(algo, env, {"normalize_reward": True}, {"normalize_reward": True, "num_envs": 4})
    assert agent.returns.carry.shape == (4,)


@pytest.mark.parametrize("algo", ["dqn", "sac", "r2d2"])
def test_the_scale_of_rewards_is_carried_over(algo: str):
    env = "Pendulum-v1" if algo == "sac" else "CartPole-v1"
    scaled = {"normalize_reward": True, "gamma": 0.99}
    first, second = begun(algo, env, scaled, scaled | {"num_envs": 2, "learning_starts": 1000})
    # 128 steps more, a few of them dummies, weighed against 400
    before, after = first.memory.reward_scale, second.memory.reward_scale
    assert 110 < after.count - before.count < 129
    assert before.var > 10
    assert after.var == pytest.approx(before.var.item(), rel=0.7)


def test_optimisers_keep_their_averages_and_take_the_new_settings():
    first, second = begun("rainbow", "CartPole-v1", {}, {"adam_eps": 0.5, "learning_starts": 1000})
    assert second.optimizer.param_groups[0]["eps"] == 0.5
    assert torch.equal(second.optimizer.state[second.params]["exp_avg"], first.optimizer.state[first.params]["exp_avg"])


def test_rmsprop_takes_the_new_settings():
    _, agent = begun("a2c", "CartPole-v1", {"optimizer": "rmsprop"},
                     {"optimizer": "rmsprop", "rms_decay": 0.5, "optimizer_eps": 0.1})
    assert [agent.optimizer.param_groups[0][name] for name in ("alpha", "eps")] == [0.5, 0.1]


@pytest.mark.parametrize("algo", ["sac", "tqc", "redq", "modsac", "recurrent_sac", "sac_discrete"])
def test_a_fixed_temperature_is_the_new_runs_and_an_adjusted_one_goes_on(algo: str):
    env = "CartPole-v1" if algo == "sac_discrete" else "Pendulum-v1"
    first, second = begun(algo, env, {"adjust_alpha": True, "alpha": 0.5}, {"alpha": 0.01}, old_steps=120)
    assert second.log_alpha.exp().item() == pytest.approx(0.01)
    later = {"adjust_alpha": True, "alpha": 0.01, "learning_starts": 1000}
    third = rl.train(algo, env, config_of(algo, **later), env_steps=8, start_from="old", progress=False)
    assert torch.equal(third.log_alpha, first.log_alpha)


@pytest.mark.parametrize(("algo", "name", "old", "new"), [
    ("ppo", "activation", "relu", "tanh"),
    ("rainbow", "v_max", 3.0, 300.0),
    ("r2d2", "rescale_eps", 1e-3, 0.1),
    ("a2c", "optimizer", "adam", "rmsprop"),
    ("a2c", "optimizer", "rmsprop", "adam"),
    ("dqn", "normalize_reward", True, False),
    ("dqn", "reward_scale", 1.0, 0.01),
    ("ppo", "normalize_reward", False, True),
])
def test_networks_that_would_mean_something_else_are_refused(algo: str, name: str, old: Any, new: Any):
    said = (f"start_from='old' learned with {name}={old!r}, which {name}={new!r} would misread. "
            f"Use {name}={old!r} here too, or begin without start_from.")
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        begun(algo, "CartPole-v1", {name: old}, {name: new}, old_steps=128)
    assert not Path("runs").exists()


@pytest.mark.parametrize(("algo", "new"), [("rainbow", {"capacity": 200}), ("r2d2", {"capacity": 200}),
                                           ("rainbow", {"num_envs": 1}), ("dqn", {"prioritized": True})])
def test_priorities_of_a_memory_that_is_left_behind_do_not_matter(algo: str, new: dict[str, Any]):
    _, agent = begun(algo, "CartPole-v1", {"batch_size": 4}, new, old_steps=800)
    assert agent.memory.env_steps == 128
