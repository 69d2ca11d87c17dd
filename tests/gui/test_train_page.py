"""The draft of a plan: what is typed, what it means, what is launched."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.plan import TrainingPlan, plan_from_text
from gui import train
from gui.train import Draft
from rlcore import catalog, runs
from rlcore.catalog import ALGORITHMS, ENVIRONMENTS, config_for, refusal
from rlcore.config import ConfigError, to_dict


def typed(draft: Draft, **values: str) -> Draft:
    """The draft after these fields were changed in its form."""
    return train.edit(draft, train.texts(draft) | values)


def test_an_untouched_draft_is_the_preset() -> None:
    plan = train.plan_of(Draft())
    assert (plan.algo, plan.env, dict(plan.params)) == ("ppo", "CartPole-v1", {})


def test_what_is_typed_is_what_is_trained() -> None:
    plan = train.plan_of(typed(Draft(), num_envs="16", learning_rate="3e-4", env_steps="50k", seed="3"))
    assert dict(plan.params) == {"num_envs": 16, "learning_rate": 3e-4}
    assert (plan.env_steps, plan.seed) == (50_000, 3)


def test_nothing_typed_is_lost_by_looking_at_another_algorithm_or_environment() -> None:
    draft = typed(Draft(), clip="0.3", env_steps="70k")
    other = typed(replace(draft, algo="dqn"), tau="0.5")
    back = replace(train.choose_env(other, "Acrobot-v1"), algo="ppo")
    assert train.texts(back)["clip"] == "0.3"
    assert train.texts(back)["env_steps"] == "70k"
    assert train.texts(replace(back, algo="dqn"))["tau"] == "0.5"


def test_a_text_that_cannot_work_stays_in_the_form() -> None:
    draft = typed(Draft(), num_envs="lots")
    script, error = train.review(draft)
    assert script == ""
    assert error.startswith("num_envs must be a whole number, not 'lots'")
    assert 'value="lots"' in train.form_html(draft)


def test_a_value_out_of_range_is_refused_in_the_words_of_the_config() -> None:
    _, error = train.review(typed(Draft(), gamma="1.5"))
    assert "PPOConfig.gamma=1.5 must be between 0 and 1" in error
    assert 'data-field="gamma"' in train.error_html(error)
    with pytest.raises(ConfigError, match="env_steps"):
        train.plan_of(typed(Draft(), env_steps="0"))


def test_an_algorithm_that_cannot_act_makes_way() -> None:
    moved = train.choose_env(Draft(algo="dqn"), "Pendulum-v1")
    assert moved.env == "Pendulum-v1"
    assert moved.algo == "ppo"
    assert "DQN needs a discrete action space" in train.algorithm_cards(moved)
    assert "disabled" in train.algorithm_cards(moved)


def names_in(html: str) -> list[str]:
    return re.findall(r'data-pick="(\w+)"', html)


@pytest.mark.parametrize("env", [one.id for one in ENVIRONMENTS.values() if not one.extra or one.id in (
    "ALE/Breakout-v5", "MiniGrid-Empty-5x5-v0")])
def test_every_algorithm_has_one_card_and_those_that_cannot_learn_come_last_and_folded(env: str) -> None:
    able, _, unable = train.algorithm_cards(Draft(env=env)).partition("<details")
    assert names_in(able)[0] == "ppo"
    assert sorted(names_in(able) + names_in(unable)) == sorted(ALGORITHMS)
    assert {name for name in ALGORITHMS if refusal(name, env)} == set(names_in(unable))
    assert "disabled" not in able
    assert unable.count("disabled") == len(names_in(unable))


def test_cards_stand_under_what_their_algorithms_act_on() -> None:
    shown = train.algorithm_cards(Draft(env="Pendulum-v1"))
    assert re.findall(r'cards-title">([^<]+)<', shown) == ["Any kind of action", "Continuous actions"]
    assert names_in(shown.partition('cards-title">Continuous')[2])[:3] == ["sac", "ddpg", "td3"]
    assert "arXiv <" not in shown


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_form_of_every_algorithm_has_each_setting_once_and_what_it_shows_is_what_is_trained(algo: str) -> None:
    draft = Draft(next(env for env in ENVIRONMENTS if not refusal(algo, env)), algo)
    shown = re.findall(r'data-setting="(\w+)"', train.form_html(draft))
    assert sorted(shown) == sorted(train.texts(draft))
    plan = train.plan_of(train.edit(draft, train.texts(draft)))
    assert dict(plan.params) == {}
    assert plan.config == to_dict(config_for(algo, draft.env))


@pytest.mark.parametrize(("algo", "env", "name", "text", "value"), [
    ("ppo", "CartPole-v1", "dual_clip", "3", 3.0), ("ppo", "CartPole-v1", "core", "lstm", "lstm"),
    ("dqn", "CartPole-v1", "learning_rate_steps", "50k", 50_000), ("sac", "Pendulum-v1", "target_entropy", "-2", -2.0),
    ("a2c", "Acrobot-v1", "optimizer", "adam", "adam"), ("td3", "Pendulum-v1", "max_grad_norm", "1", 1.0),
])
def test_optional_numbers_and_choices_are_set_in_the_form_and_taken_back(
    algo: str, env: str, name: str, text: str, value: object,
) -> None:
    changed = typed(Draft(env, algo), **{name: text})
    assert dict(train.plan_of(changed).params) == {name: value}
    assert f"{name}={value!r}" in train.review(changed)[0].replace("_000", "000")
    usual = train.usual(changed)[name]
    assert f"usually {usual or 'not set'}" in train.form_html(changed)
    assert dict(train.plan_of(typed(changed, **{name: usual})).params) == {}


def test_what_the_catalogue_refuses_is_not_launched(tmp_path: Path) -> None:
    run_id, error = train.launch(Draft("CartPole-v1", "ppo_lagrangian"), tmp_path)
    assert run_id == ""
    assert error.startswith("PPO-Lagrangian needs to be told what steps cost")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_survives_the_way_through_the_form() -> None:
    plan = TrainingPlan("sac", "Pendulum-v1", 20_000, 5, {"learning_rate": 7e-4, "num_envs": 2}, target_return=-150.0,
                        evaluate_every=5_000, patience=3, evaluate_episodes=10, record_video=False)
    again = train.plan_of(train.draft_of(plan))
    assert again == plan


def test_patience_without_evaluations_is_refused_in_a_sentence() -> None:
    script, error = train.review(typed(Draft(), patience="3"))
    assert (script, error) == ("", "patience=3 counts evaluations: give evaluate_every too.")
    assert "patience=3" in train.review(typed(Draft(), patience="3", evaluate_every="5k"))[0]


GOALS = Draft("rlcore/BitFlip-v0", "dqn")


def test_where_there_are_goals_the_form_has_hindsight_and_the_bits() -> None:
    (_, common), *_ = train.groups(GOALS)
    assert [item.name for item in common][:4] == ["env_steps", "seed", "bits", "hindsight"]
    plan = train.plan_of(GOALS)
    assert (dict(plan.params), plan.env_options, plan.hindsight) == ({}, {}, 0.8)
    assert "hindsight=0.8," in train.review(GOALS)[0]
    plan = train.plan_of(typed(GOALS, bits="10", hindsight=""))
    assert (plan.env_options, plan.hindsight) == ({"bits": 10}, None)
    assert "hindsight" not in train.texts(replace(GOALS, algo="ppo"))
    assert "bits" in train.texts(replace(GOALS, algo="ppo"))
    assert not {"bits", "hindsight"} & set(train.texts(Draft()))


def test_an_algorithm_that_cannot_use_goals_makes_way_and_can_still_be_picked() -> None:
    assert train.choose_env(Draft(algo="ppo"), GOALS.env).algo == "dqn"
    assert train.choose_env(Draft(algo="qrdqn"), GOALS.env).algo == "qrdqn"
    assert train.plan_of(replace(GOALS, algo="ppo")).hindsight is None


def test_bits_and_hindsight_are_checked_and_kept_while_looking_elsewhere() -> None:
    assert train.review(typed(GOALS, bits="65"))[1] == "bits=65 must be 2 to 64."
    assert train.review(typed(GOALS, hindsight="1.5"))[1] == "hindsight=1.5 must be 0 to 1."
    assert "n_step=3 must be 1" in train.review(typed(GOALS, n_step="3"))[1]
    elsewhere = typed(train.choose_env(typed(GOALS, bits="6"), "CartPole-v1"), env_steps="9k")
    back = train.choose_env(elsewhere, GOALS.env)
    assert (train.texts(back)["bits"], train.texts(back)["env_steps"]) == ("6", "9k")


@pytest.mark.parametrize("sentence", [
    "use HER on BitFlip with 10 bits", "train DQN without hindsight on BitFlip", "train Rainbow on BitFlip"])
def test_a_plan_with_goals_survives_the_way_through_the_form(sentence: str) -> None:
    plan = plan_from_text(sentence)
    assert isinstance(plan, TrainingPlan)
    assert train.plan_of(train.draft_of(plan)) == replace(plan, notes=())


@pytest.mark.parametrize("algo", [name for name in ALGORITHMS if not refusal(name, GOALS.env)])
def test_every_algorithm_on_a_task_with_goals_starts_with_a_plan_that_works(algo: str) -> None:
    assert train.review(replace(GOALS, algo=algo))[1] == ""


def test_the_form_shows_common_settings_first() -> None:
    (first, common), (rest, others), _ = train.groups(Draft())
    assert (first, rest) == ("Common", "All PPO settings")
    assert [item.name for item in common][:4] == ["env_steps", "seed", "num_envs", "learning_rate"]
    assert "clip" in {item.name for item in others}
    assert not {item.name for item in common} & {item.name for item in others}


def test_every_environment_has_a_card() -> None:
    shown = "".join(train.environment_cards(Draft(), family) for family in train.FAMILIES)
    assert all(f'data-pick="{name}"' in shown for name in ENVIRONMENTS)
    assert "solved at 475" in shown


def test_a_large_family_shows_its_best_known_environments_and_folds_the_rest() -> None:
    shown, _, more = train.environment_cards(Draft(), "Atari").partition("<details")
    first = re.findall(r'data-pick="([^"]+)"', shown)
    assert first[:2] == ["ALE/Pong-v5", "ALE/Breakout-v5"]
    assert len(first) == 12
    assert 'data-pick="ALE/Tennis-v5"' in more
    assert "4 frames of 84 × 84 pixels" in shown
    assert "28224" not in shown + more
    assert "<details class=\"fold\" >" in train.environment_cards(Draft("ALE/Pong-v5"), "Atari")
    assert "<details class=\"fold\" open>" in train.environment_cards(Draft("ALE/Tennis-v5"), "Atari")
    assert "<details" not in train.environment_cards(Draft(), "MuJoCo")


def test_without_its_optional_part_a_family_is_shown_with_the_command_and_nothing_is_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "pip install" not in train.environment_cards(Draft(), "Atari")
    monkeypatch.setitem(catalog._PACKAGES, "atari", "not_installed")
    shown = train.environment_cards(Draft(), "Atari")
    assert "Atari needs an optional part. Install it with: pip install &quot;rl-copilot[atari]&quot;" in shown
    assert 'data-pick="ALE/Pong-v5"' in shown
    assert "pip install" not in train.environment_cards(Draft(), "toy text")
    run_id, error = train.launch(Draft("ALE/Pong-v5"), tmp_path)
    assert (run_id, error.partition(".")[0]) == ("", "Atari needs an optional part")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_drawn_has_no_field_for_a_video() -> None:
    draft = Draft("rlcore/StockTrading-v0")
    assert "record_video" not in train.texts(draft)
    assert "record_video" not in train.review(draft)[0]
    assert "record_video" in train.texts(replace(draft, env="Pendulum-v1"))
    plan = plan_from_text("train SAC on StockTrading for 9k steps")
    assert isinstance(plan, TrainingPlan)
    assert train.plan_of(train.draft_of(plan)) == plan


@pytest.mark.parametrize(("sentence", "options"), [
    ("train DQN on Breakout with episodic life", {"episodic_life": True}), ("train PPO on Pong", {}),
    ("train PPO on Pong with frame skip 2 and no sticky actions", {"frameskip": 2, "repeat_action_probability": 0.0}),
    ("train DQN on cliff walking", {"max_episode_steps": 200})])
def test_what_an_environment_is_made_with_survives_the_way_through_the_form(
    sentence: str, options: dict[str, object],
) -> None:
    plan = plan_from_text(sentence)
    assert isinstance(plan, TrainingPlan)
    again = train.plan_of(train.draft_of(plan))
    assert (again, again.env_options) == (plan, options)


@pytest.mark.parametrize("env", [entry.id for entry in ENVIRONMENTS.values() if entry.extra or entry.family in (
    "toy text", "trading, chasing")])
def test_every_game_level_and_small_task_starts_with_a_plan_that_works(env: str) -> None:
    assert train.review(train.choose_env(Draft(), env))[1] == ""


def test_launching_starts_the_script_that_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, str, Path]] = []

    def launch(script: str, name: str, root: Path) -> Path:
        started.append((script, name, root))
        return root / "ppo-CartPole-v1-1"

    monkeypatch.setattr(runs, "launch", launch)
    draft = typed(Draft(), seed="9")
    assert train.launch(draft, tmp_path) == ("ppo-CartPole-v1-1", "")
    assert started == [(train.review(draft)[0], "ppo-CartPole-v1", tmp_path)]


def test_a_draft_that_cannot_work_is_not_launched(tmp_path: Path) -> None:
    run_id, error = train.launch(typed(Draft(), seed="-1"), tmp_path)
    assert run_id == ""
    assert "seed" in error
    assert list(tmp_path.iterdir()) == []
