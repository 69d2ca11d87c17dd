"""Beginning as another run's agent, and holding parts of it still."""

import re
from pathlib import Path

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
