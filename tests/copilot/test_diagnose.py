"""Diagnoses: each fault is found in curves written by hand, none in a good run, and all cite the run and the corpus."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml

import rlcore as rl
from copilot.__main__ import main
from copilot.about_run import explain, find_run
from copilot.assistant import Assistant
from copilot.cite import marks
from copilot.diagnose import diagnose, number
from rlcore.config import ConfigError
from tests.copilot.fakes import PAGES, WordEmbedder, Words, write_corpus

PPO = {"num_envs": 8, "horizon": 64, "epochs": 4, "learning_rate": 3e-4, "entropy_coef": 0.0, "gamma": 0.99,
       "max_grad_norm": 0.5, "clip": 0.2, "normalize_reward": False}
DQN = {"num_envs": 1, "train_every": 4, "updates": 1, "batch_size": 64, "capacity": 10_000, "learning_starts": 1_000,
       "learning_rate": 1e-3, "gamma": 0.9, "epsilon_start": 1.0, "epsilon_end": 0.05, "epsilon_steps": 10_000,
       "noisy": False, "normalize_reward": False}
SAC = {"num_envs": 1, "train_every": 1, "updates": 1, "batch_size": 256, "capacity": 10_000, "learning_starts": 100,
       "learning_rate": 3e-4, "gamma": 0.99, "adjust_alpha": True, "target_entropy": None, "reward_scale": 1.0}

FLAT = [20.0] * 30
SWING = {"algo": "sac", "env": "Pendulum-v1", "episode__return_100": [-1500.0] * 30}
NEVER = {"episode__return": [-200.0] * 30, "episode__return_100": [-200.0] * 30}
RISING = [20.0 + 15 * t for t in range(30)]    # to 455: not solved yet


def write_run(root: Path, name: str = "one", algo: str = "ppo", env: str = "CartPole-v1", env_steps: int = 100_000,
              config: dict | None = None, state: str = "finished", evaluations: list[dict] | None = None,
              **curves: list[float | None]) -> Path:
    """A run folder with these curves, spread evenly over its steps. Keys: `episode__return` is `episode/return`."""
    folder = root / name
    folder.mkdir(parents=True)
    own = {"ppo": PPO, "dqn": DQN, "sac": SAC}[algo]
    spec = {"algo": algo, "env": env, "seed": 0, "env_steps": env_steps, "config": own | (config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(spec))
    (folder / "status.json").write_text(json.dumps({"state": state, "env_steps": env_steps, "total_steps": env_steps,
                                                    "message": "it broke" if state == "failed" else ""}))
    count = max(map(len, curves.values()))
    with (folder / "metrics.jsonl").open("w") as file:
        for place in range(count):
            row: dict = {"step": env_steps * (place + 1) // count}
            row |= {key.replace("__", "/"): values[place] for key, values in curves.items() if place < len(values)}
            file.write(json.dumps(row) + "\n")
    if evaluations:
        (folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in evaluations))
    return folder


def names(folder: Path) -> set[str]:
    return {finding.name for finding in diagnose(folder).findings}


@pytest.mark.parametrize(("name", "what"), [
    ("Values that are not finite", {"loss__value": [1.0] * 20 + [None] * 10}),
    ("Entropy collapse", {"policy__entropy": [0.69 * 0.8 ** t for t in range(30)]}),
    ("The policy has stayed random", {"policy__entropy": [math.log(2)] * 30}),
    ("The critic predicts worse than a constant", {"value__explained_variance": [0.1] * 10 + [-0.4] * 20}),
    ("The critic's loss grows without end", {"loss__value": [10.0 ** (t / 5) for t in range(30)]}),
    ("Each update moves the policy too far", {"policy__kl": [0.01] * 15 + [0.09] * 15}),
    ("Updates hardly change the policy", {"policy__kl": [1e-6] * 30}),
    ("Most samples are clipped", {"policy__clip_fraction": [0.1] * 10 + [0.6] * 20}),
    ("Dying gradients", {"loss__grad_norm": [1.0] * 15 + [1e-9] * 15}),
    ("Exploding gradients", {"loss__grad_norm": [1.0] * 29 + [4e4]}),
    ("Learning has not begun", {"algo": "dqn", "config": {"learning_starts": 10**6}}),
    ("Most of the run was exploration", {"algo": "dqn", "config": {"epsilon_steps": 200_000}, "loss__value": FLAT}),
    ("Exploration ended early", {"algo": "dqn", "config": {"epsilon_steps": 100, "epsilon_end": 0.0}}),
    ("The action values run away", {"algo": "dqn", "value__mean": [float(3 ** (t / 3)) for t in range(30)],
                                    "episode__return": FLAT, "episode__length": FLAT}),
    ("The replay ratio is high", {"algo": "dqn", "config": {"updates": 64, "train_every": 1}}),
    ("The replay ratio is low", {"algo": "dqn", "config": {"train_every": 256}}),
    ("The temperature grows without end", SWING | {"policy__alpha": [0.2 * 1.3 ** t for t in range(30)]}),
    ("Exploration has stopped", SWING | {"policy__alpha": [0.2 * 0.5 ** t for t in range(30)]}),
    ("The run is short", {"env_steps": 5_000}),
    ("The run failed", {"state": "failed"}),
    ("Settings differ from those known to work", {"config": {"learning_rate": 0.1}}),
    ("Settings differ from those known to work", SWING | {"config": {"alpha": 50.0, "adjust_alpha": False}}),
    ("Settings differ from the defaults", {"env": "Mine-v0", "config": {"learning_rate": 0.1}}),
    ("The entropy bonus outweighs the reward", SWING | {
        "config": {"alpha": 50.0, "adjust_alpha": False}, "episode__return": [-1500.0 + t for t in range(30)],
        "episode__length": [200.0] * 30}),
    ("The return has never moved: exploration", {"algo": "dqn", "env": "MountainCar-v0", **NEVER}),
    ("The return has never moved: exploration", {"env": "FrozenLake8x8-v1", "episode__return_100": [0.01] * 30,
                                                  "episode__return": [0.0, 0.1, *[0.0] * 28]}),
    ("Worse in evaluation than in training", {"episode__return_100": RISING, "evaluations": [
        {"step": 100_000, "episodes": 20, "mean": 40.0, "std": 3.0}]}),
    ("The return collapsed after its peak", {"episode__return_100": [*RISING, *[40.0] * 15]}),
])
def test_each_fault_is_found_where_it_is_and_not_in_a_good_run(tmp_path, name, what):
    assert name in names(write_run(tmp_path, **{"episode__return_100": FLAT, **what}))
    good = {
        "episode__return_100": [*RISING, *[490.0] * 10], "policy__entropy": [0.69 - 0.01 * t for t in range(40)],
        "value__explained_variance": [0.1] * 10 + [0.9] * 30, "policy__kl": [0.01] * 40, "loss__value": [9.0] * 40,
        "policy__clip_fraction": [0.1] * 40, "loss__grad_norm": [1.0] * 40}
    assert names(write_run(tmp_path, "good", **good)) == set()


def test_where_no_success_was_seen_nothing_contradicts_that_more_exploration_is_needed(tmp_path):
    folder = write_run(tmp_path, algo="dqn", env="MountainCar-v0", config={"epsilon_steps": 200_000}, **NEVER,
                       loss__value=FLAT, loss__grad_norm=[0.02] * 10 + [8.9] + [0.02] * 19)
    found = diagnose(folder).findings
    assert found[0].name == "The return has never moved: exploration" and "Every episode returned -200" in found[0].says
    assert {one.name for one in found} & {"Most of the run was exploration", "Exploding gradients"} == set()
    late = write_run(tmp_path, "late", env="FrozenLake8x8-v1", episode__return=[0.0] * 25 + [0.2, 0.4, 0.6, 0.6, 0.6])
    assert "The return has never moved: exploration" not in names(late)


def test_values_beside_no_reward_at_all_run_away_only_if_they_are_large(tmp_path):
    none = {"algo": "dqn", "env": "FrozenLake-v1", "episode__return": [0.0] * 30, "episode__length": [100.0] * 30}
    assert "The action values run away" not in names(write_run(tmp_path, **none, value__mean=[0.002] * 30))
    large = write_run(tmp_path, "large", **none, value__mean=[float(2 ** t) for t in range(30)])
    assert "The action values run away" in names(large)


@pytest.mark.parametrize(("earned", "alpha", "finding"), [
    (0.3, 5e-5, ""), (1500.0, 5e-5, "Exploration has stopped"), (3e5, 300.0, ""),
    (1500.0, 300.0, "The temperature grows without end")])
def test_a_temperature_is_held_against_what_a_step_earns(tmp_path, earned, alpha, finding):
    curves = {"episode__return": [earned] * 30, "episode__length": [1000.0] * 30, "episode__return_100": [earned] * 30}
    folder = write_run(tmp_path, algo="sac", env="HalfCheetah-v5", **curves, policy__alpha=[1.0] * 20 + [alpha] * 10)
    assert names(folder) & {"Exploration has stopped", "The temperature grows without end"} == {finding} - {""}


def test_a_run_is_short_only_if_it_was_meant_to_be_or_was_stopped(tmp_path):
    curve = {"episode__return_100": FLAT, "env_steps": 20_000}
    assert "The run is short" in names(write_run(tmp_path, **curve))
    for state, short in (("running", False), ("finished", False), ("stopped", True)):     # on its way; at its target
        folder = write_run(tmp_path, state, **curve, state=state)
        spec = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump(spec | {"env_steps": 100_000}))
        assert ("The run is short" in names(folder)) is short


@pytest.mark.parametrize("norms", [[1.0] * 29 + [4e4], [5.0] * 15 + [1e-9] * 15])
def test_a_gradients_norm_alone_is_no_finding(tmp_path, norms):
    suffering = names(write_run(tmp_path, episode__return_100=FLAT, loss__grad_norm=norms))
    assert len(suffering & {"Dying gradients", "Exploding gradients"}) == 1
    rising = names(write_run(tmp_path, "rising", episode__return_100=RISING, loss__grad_norm=norms))
    assert rising & {"Dying gradients", "Exploding gradients"} == set()


def test_a_peak_that_clipping_hardly_touches_is_no_explosion(tmp_path):
    usual = {"episode__return_100": FLAT, "loss__grad_norm": [0.01] * 29 + [8.9]}
    assert "Exploding gradients" not in names(write_run(tmp_path, config={"max_grad_norm": 10.0}, **usual))
    assert "Exploding gradients" in names(write_run(tmp_path, "other", config={"max_grad_norm": 0.5}, **usual))


def test_the_newest_episodes_say_that_a_task_is_solved_before_their_mean_does(tmp_path):
    folder = write_run(tmp_path, episode__return=[30.0] * 10 + [500.0] * 20, loss__grad_norm=[5.0] * 15 + [1e-9] * 15,
                       episode__return_100=[30.0 + 10 * t for t in range(30)])
    said = diagnose(folder)
    assert said.progress.startswith("It has solved the task: its newest episodes return 500; the mean of the last")
    assert said.findings == ()


def test_settings_are_held_against_the_defaults_under_the_preset(tmp_path):
    folder = write_run(tmp_path, config={"learning_rate": 0.05, "hidden": [32]}, episode__return_100=FLAT)
    found = next(one for one in diagnose(folder).findings if one.name.startswith("Settings"))
    assert "`learning_rate` is 0.05, usual is 0.001" in found.says       # CartPole's preset
    assert "`hidden` is 32, usual is 64, 64" in found.says               # PPO's default
    assert "entropy_coef" not in found.says
    assert "Settings differ from the defaults" not in names(write_run(
        tmp_path, "own", env="Mine-v0", config={"learning_rate": 0.05}, episode__return_100=RISING))


def test_a_peak_of_random_actions_is_nothing_that_was_learned_and_lost(tmp_path):
    curve = {"episode__return_100": [-1200.0, -1000.0] + [-1400.0] * 28}
    assert "The return collapsed after its peak" in names(write_run(tmp_path, algo="sac", env="Pendulum-v1", **curve))
    folder = write_run(tmp_path, "warm", algo="sac", env="Pendulum-v1", config={"learning_starts": 10_000}, **curve)
    assert "The return collapsed after its peak" not in names(folder)
    assert "began at -1,400" in diagnose(folder).progress


def test_how_random_a_policy_can_be_is_not_told_of_an_environment_with_options(tmp_path):
    folder = write_run(tmp_path, env="rlcore/BitFlip-v0", episode__return_100=FLAT, policy__entropy=[math.log(8)] * 30)
    assert "The policy has stayed random" in names(folder)
    spec = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(spec | {"env_options": {"bits": 16}}))    # 16 actions
    assert "The policy has stayed random" not in names(folder)


@pytest.mark.parametrize(("curve", "said"), [
    ([*RISING, *[500.0] * 10], "It has solved the task: the mean return rose from 42.5 to 500."),
    (FLAT, "It has hardly learned: the mean return began at 20 and was never above 20."),
    ([*RISING, *[40.0] * 15], "rose from 50 to 455 at step 66,666 and fell to 40."),
    ([20.0] * 3 + [100.0 * t for t in range(1, 4)] + [300.0] * 24, "It stopped improving at about step 20,000"),
    (RISING, "still rising at step 100,000"),
])
def test_the_course_of_the_return_is_told_with_its_steps(tmp_path, curve, said):
    assert said in diagnose(write_run(tmp_path, episode__return_100=curve)).progress


def test_evidence_names_the_file_the_metric_the_steps_and_the_values(tmp_path):
    folder = write_run(tmp_path, episode__return_100=FLAT, policy__entropy=[0.69] * 6 + [0.01] * 24)
    finding = next(one for one in diagnose(folder).findings if one.name == "Entropy collapse")
    curve, settings = finding.evidence
    assert (curve.file, curve.where) == ("metrics.jsonl", "policy/entropy, steps 3,333 to 100,000")
    assert curve.text.endswith("| 100,000 | 0.01 |") and curve.text.count("\n") <= 13
    assert (settings.file, settings.text) == ("config.yaml", "- `entropy_coef`: 0.0\n- `learning_rate`: 0.0003")
    assert "fell from 0.69 to 0.01 nats" in finding.says


def test_the_first_value_that_is_not_finite_is_named(tmp_path):
    folder = write_run(tmp_path, loss__value=[1.0] * 9 + [None], policy__kl=[0.01] * 9 + [None])
    assert "From step 100,000 on, `loss/value`, `policy/kl` are NaN" in diagnose(folder).findings[0].says


def test_a_row_that_is_still_being_written_is_left_out_and_a_damaged_one_is_named(tmp_path):
    folder = write_run(tmp_path, episode__return_100=RISING)
    before = diagnose(folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 200000, "episo')
    assert diagnose(folder).progress == before.progress
    (folder / "metrics.jsonl").write_text('{"step": 1}\nrubbish\n{"step": 3}\n')
    with pytest.raises(ConfigError, match="line 2 is no row of metrics"):
        diagnose(folder)


@pytest.mark.parametrize("missing", ["metrics.jsonl", "config.yaml"])
def test_a_run_that_has_hardly_begun_is_no_error(tmp_path, missing):
    folder = write_run(tmp_path, episode__return_100=RISING)
    (folder / missing).unlink()
    assert diagnose(folder).run.id == "one"


def test_what_is_no_run_costs_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="not a run folder"):
        diagnose(tmp_path)
    with pytest.raises(ConfigError, match=r"no run folder\. The latest are: one"):
        find_run("two", write_run(tmp_path / "runs", episode__return_100=FLAT).parent)


def test_numbers_read_well():
    assert [number(value) for value in (0, 0.0123, 1250, -3.1e-7, 12.34, 2.5e9)] == [
        "0", "0.0123", "1,250", "-3.1e-07", "12.3", "2.5e+09"]


@pytest.fixture(scope="module")
def assistant(tmp_path_factory) -> Assistant:
    root = tmp_path_factory.mktemp("asking")
    pages = PAGES | {"faq/ppo.md": """---
title: "FAQ: PPO"
aliases: ["PPO"]
topics: ["entropy"]
---
## Why is my PPO entropy dropping to zero?

The entropy of PPO drops to zero when the policy commits early. Raise the entropy coefficient.
"""}
    return Assistant.open(write_corpus(root / "corpus", pages), root / "index", embedder=WordEmbedder())


def test_the_answer_cites_the_run_and_the_corpus(assistant, tmp_path):
    folder = write_run(tmp_path, episode__return_100=FLAT, policy__entropy=[0.69] * 6 + [0.01] * 24)
    *_, reply = explain(assistant, folder, "why did one stop improving?")
    assert reply.done and "**Entropy collapse.**" in reply.text and "commits early" in reply.text
    assert sorted(marks(reply.text)) == [source.number for source in reply.sources]
    paths = [source.path for source in reply.sources]
    assert f"{folder.as_posix()}/metrics.jsonl" in paths and "faq/ppo.md" in paths
    source = next(one for one in reply.sources if "policy/entropy" in one.heading)
    assert source.title == "Run one" and "| 100,000 | 0.01 |" in source.text


def test_a_language_model_is_given_the_diagnosis_as_its_first_source(assistant, tmp_path):
    class Model:
        def stream(self, found, history=()):
            yield found.passages[0].text + " [1]"

        def stop(self) -> None:
            """Nothing to wait for."""

    folder = write_run(tmp_path, episode__return_100=FLAT, policy__entropy=[0.69] * 6 + [0.01] * 24)
    *_, reply = explain(Assistant(assistant.retriever, Model()), folder, "why?")
    assert "Entropy collapse" in reply.text and reply.sources[0].title == "Run one"


def test_what_a_model_read_of_the_diagnosis_is_counted(assistant, tmp_path):
    folder = write_run(tmp_path, episode__return_100=FLAT, policy__entropy=[0.69] * 6 + [0.01] * 24)
    *_, reply = explain(Assistant(assistant.retriever, Words(9000, 500, 8000)), folder, "why?")
    assert reply.context and reply.context.window == 9000
    assert reply.context.passages == reply.context.found >= 3      # the diagnosis, the run's files and the corpus


def test_a_model_that_is_stopped_before_its_first_word_leaves_the_diagnosis(assistant, tmp_path):
    class Model:
        def stream(self, found, history=()):
            raise AssertionError("it was stopped before")

        def stop(self) -> None:
            """Nothing to wait for."""

    folder = write_run(tmp_path, episode__return_100=FLAT, policy__entropy=[0.69] * 6 + [0.01] * 24)
    whole = list(explain(assistant, folder, "why?"))
    other = Assistant(assistant.retriever, Model())
    search = other.find
    other.find = lambda *args: (other.stop(), search(*args))[1]
    (reply,) = explain(other, folder, "why?")
    assert (reply.text, reply.sources) == (whole[-1].text, whole[-1].sources) and reply.sources


def test_a_real_run_is_diagnosed_from_the_command_line(tmp_path, monkeypatch, capsys):
    write_corpus(tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("copilot.assistant.SentenceEmbedder", WordEmbedder)
    rl.train("ppo", "CartPole-v1", env_steps=2_000, run_dir="runs/tiny", seed=1, progress=False)
    assert main(["ask", "why", "did", "tiny", "stop", "improving?"]) == 0
    named = capsys.readouterr().out
    assert "Run `tiny`" in named and "The run is short" in named and "runs/tiny/metrics.jsonl" in named
    assert main(["ask", "--run", "runs/tiny", "what", "is", "wrong?"]) == 0
    assert capsys.readouterr().out == named
    assert main(["ask", "--run", "nothing", "why?"]) == 2
    assert "no run folder" in capsys.readouterr().err
