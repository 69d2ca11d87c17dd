"""Settings: nonsense cannot be constructed, and a value is checked in the same words wherever it was typed."""

import contextlib
import math
from dataclasses import FrozenInstanceError, dataclass
from typing import Literal

import pytest
import yaml

from rlcore import catalog
from rlcore.algos.dqn import DQNConfig
from rlcore.algos.ppo import PPOConfig
from rlcore.config import ConfigError, MissingExtra, build, nearest, override, setting, settings, to_dict

CONFIGS = [catalog.config_class(algo) for algo in catalog.ALGORITHMS]


@dataclass(frozen=True, kw_only=True)
class Toy:
    count: int = setting(3, "how many", low=1, high=9, unit="apples")
    share: float | None = setting(None, "a share", low=0)
    mode: Literal["fast", "safe"] = setting("safe", "how")
    sizes: tuple[int, ...] = setting((4, 5), "widths")
    loud: bool = setting(False, "whether to shout")


def test_a_field_is_described_as_forms_and_tables_need_it():
    count, share, mode, sizes, loud = settings(Toy)
    assert (count.name, count.kind, count.default, count.help, count.unit) == ("count", "int", 3, "how many", "apples")
    assert (count.range, share.range, mode.range) == ("between 1 and 9", "at least 0", "")
    assert (share.kind, mode.kind, sizes.kind, loud.kind) == ("float", "choice", "ints", "bool")
    assert mode.choices == ("fast", "safe")


@pytest.mark.parametrize("config", CONFIGS)
def test_every_setting_of_every_algorithm_is_explained_and_its_default_is_within_its_range(config: type):
    for item in settings(config):
        assert len(item.help) > 5, item.name
        assert not item.help.endswith("."), item.name
        if item.kind in ("int", "float") and item.default is not None:
            assert item.low is None or item.default >= item.low
            assert item.high is None or item.default <= item.high
    config()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_survives_yaml_and_is_the_same_after(config: type):
    made = build(config, {"gamma": 0.5, "hidden": [7, 8]})
    assert build(config, yaml.safe_load(yaml.safe_dump(to_dict(made)))) == made
    assert made.hidden == (7, 8)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_number_just_outside_its_range_is_refused_by_name(config: type):
    for item in settings(config):
        for bound, outside in ((item.low, -1), (item.high, 1)):
            if bound is not None:
                wrong = bound + outside if item.kind == "int" else bound + outside * 1e-3 * max(1, abs(bound))
                with pytest.raises(ConfigError, match=rf"{config.__name__}\.{item.name}=.* must be {item.range}"):
                    build(config, {item.name: wrong})


@pytest.mark.parametrize("config", CONFIGS)
def test_not_a_number_is_refused(config: type):
    for item in settings(config):
        if item.kind == "float":
            with pytest.raises(ConfigError, match=item.name):
                build(config, {item.name: float("nan")})


def test_an_unknown_setting_names_the_nearest_or_all():
    with pytest.raises(ConfigError, match="PPOConfig has no setting 'lerning_rate'; did you mean 'learning_rate'"):
        build(PPOConfig, {"lerning_rate": 1e-3})
    with pytest.raises(ConfigError, match=r"PPOConfig has no setting 'xyzzy'. Known: .*epochs.*horizon"):
        build(PPOConfig, {"xyzzy": 1})


@pytest.mark.parametrize(("name", "value"), [("num_envs", "many"), ("num_envs", 2.5), ("gamma", "high"),
                                             ("hidden", "64"), ("hidden", ["a"]), ("activation", "swish"),
                                             ("normalize_obs", "perhaps"), ("hidden", []), ("hidden", [0]),
                                             ("num_envs", True), ("gamma", True), ("hidden", [True, 8]),
                                             ("target_kl", False)])
def test_a_value_of_the_wrong_kind_is_refused_with_what_was_given(name: str, value: object):
    with pytest.raises(ConfigError) as caught:
        build(PPOConfig, {name: value})
    assert f"PPOConfig.{name}=" in str(caught.value)


def test_numbers_typed_as_text_are_understood_as_yaml_and_forms_give_them():
    made = build(PPOConfig, {"learning_rate": "3e-4", "num_envs": "16", "target_kl": None, "normalize_obs": "true"})
    assert (made.learning_rate, made.num_envs, made.target_kl, made.normalize_obs) == (3e-4, 16, None, True)


def test_a_whole_number_may_be_written_as_1e6():
    made = build(DQNConfig, {"capacity": "1e6", "hidden": [8]})
    assert (made.capacity, type(made.capacity)) == (1_000_000, int)
    with pytest.raises(ConfigError, match=r"DQNConfig\.capacity='2\.5' is not valid"):
        build(DQNConfig, {"capacity": "2.5"})


def test_only_a_limit_may_be_infinite():
    limits = set()
    for config in CONFIGS:
        for item in settings(config):
            for value in (math.inf, -math.inf) if item.kind == "float" else ():
                with contextlib.suppress(ConfigError):
                    build(config, {item.name: value})
                    limits.add((item.name, value))
    assert limits == {(name, math.inf) for name in ("max_grad_norm", "target_kl", "target_noise_clip", "value_clip")}


@pytest.mark.parametrize(("algo", "name", "value"), [
    ("rainbow", "v_min", "-inf"), ("rainbow", "v_max", "inf"), ("rainbow", "v_max", "nan"),
    ("ppo", "reward_scale", "inf"), ("sac", "target_entropy", "-inf")])
def test_an_infinite_number_is_refused_in_words(algo: str, name: str, value: str):
    with pytest.raises(ConfigError, match=rf"\.{name}={value} must be a finite number\.$"):
        build(catalog.config_class(algo), {name: value})


def test_minibatches_that_do_not_divide_the_rollout_are_refused_with_a_number_that_works():
    with pytest.raises(ConfigError, match=r"PPOConfig.num_minibatches=5 must divide the rollout of 1024 steps "
                                          r"\(num_envs × horizon\). Try 4."):
        PPOConfig(num_envs=8, horizon=128, num_minibatches=5)


def test_a_config_cannot_be_changed_and_an_override_is_a_new_one():
    made = PPOConfig()
    with pytest.raises(FrozenInstanceError):
        made.gamma = 0.5  # type: ignore[misc]
    assert override(made, {"gamma": 0.5}).gamma == 0.5
    assert made.gamma == 0.99
    with pytest.raises(ConfigError, match="gamma"):
        override(made, {"gamma": 2})


def test_nearest_says_nothing_where_nothing_is_near():
    assert nearest("poo", ["ppo", "dqn"]) == "; did you mean 'ppo'?"
    assert nearest("n_steps", ["num_envs", "env_steps", "horizon"]) == "; did you mean 'horizon'?"
    assert nearest("n-steps", ["num_envs", "n_step"]) == "; did you mean 'n_step'?"
    assert nearest("zzzzzz", ["ppo", "dqn"]) == ""


def test_a_missing_part_names_the_command_that_installs_it():
    assert str(MissingExtra("backend='envpool'", "envpool")) == (
        "backend='envpool' needs an optional part. Install it with: pip install \"rl-copilot[envpool]\"")


@pytest.mark.parametrize(("name", "value"), [("epochs", 2.5), ("horizon", "128"), ("normalize_obs", "false"),
                                             ("activation", "gelu"), ("learning_rate", lambda _: 1e-3),
                                             ("gamma", None), ("hidden", 64), ("hidden", (64, "64")), ("epochs", True)])
def test_a_config_made_by_hand_is_checked_in_the_same_words(name: str, value: object):
    with pytest.raises(ConfigError, match=rf"PPOConfig\.{name}=.* is not valid: Input should be"):
        PPOConfig(**{name: value})


def test_a_list_becomes_the_tuple_that_is_meant_and_a_whole_number_the_float():
    made = PPOConfig(hidden=[32, 16], gamma=1)
    assert made == PPOConfig(hidden=(32, 16), gamma=1.0)
    assert isinstance(made.hidden, tuple)
    assert isinstance(made.gamma, float)
