"""What a run can be asked for beside its algorithm: evaluations, kept checkpoints, patience, callbacks, samplers."""

import inspect
import logging
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import rlcore as rl
from rlcore import checkpoint
from rlcore.__main__ import main
from rlcore.catalog import config_for
from rlcore.config import build, to_dict
from rlcore.data.replay import Ring
from rlcore.envs.make import Backend
from rlcore.restore import agent_state, make_agent, run_env
from rlcore.runs import BACKENDS, SAMPLERS, checked, open_run, read_evaluations, read_metrics, read_spec
from rlcore.training import SELECTION_SEED, SamplerName, _plain, make_sampler
from tests.rlcore.small import config_of

SMALL = {"num_envs": 4, "horizon": 32, "epochs": 1, "hidden": [8], "num_minibatches": 2}


def short(run_dir: str, env: str = "CartPole-v1", **options: Any) -> Any:
    """Eight updates of 128 steps."""
    return rl.train("ppo", env, build(rl.PPOConfig, SMALL), run_dir=run_dir, progress=False,
                    **{"env_steps": 1024, "seed": 1, "checkpoint_s": 1e9, **options})


def weights(state: Any) -> list[float]:
    return [float(value.double().sum()) for value in state["model"].values()]


def test_evaluations_in_training_are_noted_at_their_steps_and_the_best_agent_is_kept():
    short("run", evaluate_every=256, evaluate_episodes=4)
    noted = read_evaluations(Path("run"))
    assert [row["step"] for row in noted] == [256, 512, 768, 1024]
    assert all(len(row["returns"]) == 4 for row in noted)
    best_step, state = agent_state(Path("run"), "best")
    assert best_step == max(noted, key=lambda row: row["mean"])["step"]
    again = rl.evaluate("run", episodes=4, which="best", seed=SELECTION_SEED)
    assert again.mean == max(row["mean"] for row in noted)
    agent, _ = rl.load_agent("run", "best")
    assert weights(agent.state_dict()) == weights(state)


def test_a_run_that_ends_before_its_first_evaluation_has_one_then():
    short("run", env="One-v0", target_return=1.0, evaluate_every=1024, evaluate_episodes=1)
    (row,) = read_evaluations(Path("run"))
    assert row["step"] == open_run(Path("run")).status.env_steps < 1024
    assert agent_state(Path("run"), "best")[0] == row["step"]


def test_evaluations_change_nothing_about_learning():
    short("plain")
    short("watched", evaluate_every=128, evaluate_episodes=2)
    assert weights(agent_state(Path("plain"))[1]) == weights(agent_state(Path("watched"))[1])


def test_patience_ends_a_run_that_no_longer_gets_better():
    short("run", env="One-v0", evaluate_every=128, evaluate_episodes=1, patience=2)  # every episode returns 1
    assert [row["step"] for row in read_evaluations(Path("run"))] == [128, 256, 384]
    assert read_metrics(Path("run"))["step"][-1] <= 384


def test_a_run_begun_again_notes_each_evaluation_once_and_replaces_what_it_kept():
    def fail(moment: rl.Moment) -> None:
        if moment.step == 640:
            raise RuntimeError

    options = {"evaluate_every": 256, "evaluate_episodes": 2, "keep_every": 256}
    short("whole", **options)
    with pytest.raises(RuntimeError):
        short("run", callbacks=[fail], **options)
    for place, step in (("best", agent_state(Path("run"), "best")[0]), ("kept", 512), ("kept", 900)):
        checkpoint.save(Path("run", place), step, {"agent": "of another course"}, keep_others=True, replace=True)
    rl.resume("run", progress=False)
    for folder in ("run", "whole"):
        assert [row["step"] for row in read_evaluations(Path(folder))] == [256, 512, 768, 1024]
        assert [int(path.name) for path in sorted(Path(folder, "kept").iterdir())] == [256, 512, 768, 1024]
    for which in ("best", 512):
        assert weights(agent_state(Path("run"), which)[1]) == weights(agent_state(Path("whole"), which)[1])


def test_checkpoints_are_kept_at_their_steps_and_can_be_loaded():
    short("run", keep_every=512)
    assert [int(path.name) for path in sorted(Path("run/kept").iterdir())] == [512, 1024]
    assert weights(rl.load_agent("run", 512)[0].state_dict()) != weights(rl.load_agent("run", 1024)[0].state_dict())
    assert weights(rl.load_agent("run", 1024)[0].state_dict()) == weights(rl.load_agent("run")[0].state_dict())
    with pytest.raises(rl.ConfigError, match=r"has kept no checkpoint of step 7\. Kept: 512, 1024"):
        rl.load_agent("run", 7)
    with pytest.raises(rl.ConfigError, match="no best checkpoint: train with evaluate_every"):
        rl.load_agent("run", "best")


def test_a_run_can_begin_as_another_ones_agent():
    short("first")
    short("second", start_from="first", env_steps=128)
    short("fresh", env_steps=128)
    first, second, fresh = (torch.tensor(weights(agent_state(Path(run))[1])) for run in ("first", "second", "fresh"))
    assert (second - first).abs().sum() < (fresh - first).abs().sum()
    assert read_spec(Path("second")).start_from == "first"
    with pytest.raises(rl.ConfigError, match="start_from='first' holds another kind of agent"):
        rl.train("ppo", "CartPole-v1", build(rl.PPOConfig, SMALL | {"hidden": [5]}), env_steps=128, run_dir="third",
                 start_from="first", progress=False)


def test_callbacks_see_every_row_and_may_end_the_run():
    seen: list[rl.Moment] = []

    def watch(moment: rl.Moment) -> bool:
        seen.append(moment)
        return moment.step >= 512

    short("run", callbacks=[watch, lambda _: None])
    assert [moment.step for moment in seen] == [128, 256, 384, 512]
    assert seen[0].row["loss/value"] > 0
    assert read_metrics(Path("run"))["step"][-1] == 512


@pytest.mark.parametrize("end", [
    {"target_return": 1.0}, {"evaluate_every": 128, "evaluate_episodes": 1, "patience": 2}])
def test_callbacks_see_the_last_row_too_whatever_ends_the_run(end: dict[str, Any]):
    seen: list[int] = []
    short("run", env="One-v0", env_steps=100_000, callbacks=[lambda moment: seen.append(moment.step)], **end)
    assert seen == read_metrics(Path("run"))["step"]
    assert seen[-1] == open_run(Path("run")).status.env_steps < 100_000


@pytest.mark.parametrize(("options", "message"), [
    ({"patience": 2}, "counts evaluations: give evaluate_every too"),
    ({"evaluate_every": 0}, "evaluate_every=0 must be a whole number of at least 1"),
    ({"sampler": "parallel", "backend": "native"}, "sampler='parallel' steps environments with backend='sync'"),
    ({"num_workers": 2}, "num_workers=2 asks for processes, but sampler='serial' with backend='native' has none"),
    ({"env_options": {"reward": len}}, r"env_options\['reward'\] must be plain data, .*, not <built-in function len>"),
    ({"env_options": {"a": [{"b": b"x"}]}}, r"env_options\['a'\]\['b'\] must be plain data"),
    ({"threads": 0}, "threads=0 must be a whole number of at least 1"),
    ({"start_from": "nowhere"}, "nowhere has no checkpoint yet"),
    ({"sampler": "serail"}, "sampler='serail' must be one of serial, .*, async; did you mean 'serial'"),
    ({"env_steps": 10.5}, "env_steps=10.5 must be a whole number of at least 1"),
    ({"env_steps": float("nan")}, "env_steps=nan must be a whole number of at least 1"),
    ({"env_steps": True}, "env_steps=True must be a whole number of at least 1"),
    ({"seed": -1}, "seed=-1 must be a whole number from 0"),
    ({"seed": None}, "seed=None must be a whole number from 0"),
    ({"seed": 2**64}, r"must be a whole number from 0 to 2\*\*63 - 1"),
    ({"target_return": "high"}, "target_return='high' must be a number"),
    ({"target_return": float("inf")}, "target_return=inf must be a number"),
    ({"checkpoint_s": -3}, "checkpoint_s=-3 must be a number of seconds, at least 0"),
    ({"checkpoint_s": "often"}, "checkpoint_s='often' must be a number of seconds"),
    ({"timeout_s": 0}, "timeout_s=0 must be a number of seconds, at least 0.001"),
    ({"hindsight": 1.5}, "hindsight=1.5 must be a number between 0 and 1"),
    ({"env_options": 3}, "env_options=3 must be options by name"),
    ({"env_options": {1: 2}}, "env_options={1: 2} must be options by name"),
    ({"freeze": 3}, "freeze=3 must be a word or a list of words"),
    ({"freeze": [3]}, r"freeze=\[3\] must be a word or a list of words"),
    ({"device": torch.device("cpu")}, "must be text, such as 'cpu' or 'cuda'"),
    ({"backend": "ray"}, "backend='ray' must be one of native, sync, process, envpool"),
    ({"action_mask": "yes"}, "action_mask='yes' must be true or false"),
    ({"compiled": 1}, "compiled=1 must be true or false"),
    ({"callbacks": print}, "must be a list of functions"),
    ({"callbacks": [3]}, r"callbacks=\[3\] must be a list of functions"),
    ({"run_dir": 5}, "run_dir=5 must be the path of a folder"),
])
def test_what_cannot_work_is_refused_before_anything_is_written(options: dict[str, Any], message: str):
    with pytest.raises(rl.ConfigError, match=message):
        short(**{"run_dir": "run", **options})
    assert not Path("run").exists()


@pytest.mark.parametrize("algo", [None, rl.PPO, 5])
def test_an_algorithm_is_named_by_text(algo: Any):
    with pytest.raises(rl.ConfigError, match=r"must be an algorithm's name, such as 'ppo'\."):
        rl.train(algo, "CartPole-v1", env_steps=10)


def test_every_option_has_a_rule_and_every_choice_is_listed():
    for name in inspect.signature(rl.train).parameters.keys() - {"progress"}:
        with pytest.raises(rl.ConfigError, match=f"^{name}=.* must be "):  # an object is none of them
            checked(name, object())
    assert get_args(SamplerName) == SAMPLERS
    assert {*get_args(Backend)} == {*BACKENDS}


def test_numpys_numbers_and_tuples_among_an_environments_options_become_what_yaml_can_hold():
    options = {"max_episode_steps": np.int64(20), "sutton_barto_reward": np.bool_(True)}
    short("run", env_steps=128, env_options=options)
    assert read_spec(Path("run")).env_options == {"max_episode_steps": 20, "sutton_barto_reward": True}
    assert _plain({"a": (np.float64(0.5), {"b": (None, "c")})}, "") == {"a": [0.5, {"b": [None, "c"]}]}


def test_numbers_may_be_text_as_yaml_gives_1e5():
    assert [checked("env_steps", text) for text in ("1e5", "250", 1e3)] == [100_000, 250, 1000]
    assert type(checked("env_steps", "1e5")) is int
    assert (checked("target_return", "-1.5e2"), checked("checkpoint_s", 3)) == (-150.0, 3.0)
    assert checked("seed", str(2**53 + 1)) == 2**53 + 1  # no detour over a float


def test_how_long_a_worker_may_be_silent_reaches_whoever_waits_for_it():
    for sampler in ("batched", "parallel"):
        spec = read_spec(Path(run_of(sampler)))
        assert spec.timeout_s == 7.5
        env = run_env(spec, 0, 4 if sampler == "batched" else 1)
        made = make_sampler(spec, env, make_agent(spec, env.single_observation_space, env.single_action_space))
        assert (made.env.env if sampler == "batched" else made).timeout_s == 7.5
        made.close()


def run_of(sampler: str) -> str:
    short(sampler, sampler=sampler, num_workers=1, timeout_s=7.5, env_steps=128)
    return sampler


def test_describe_takes_an_agent():
    with pytest.raises(rl.ConfigError, match=r"describe\('run'\) takes an agent, such as .*load_agent"):
        rl.describe("run")


def test_an_algorithm_that_needs_its_newest_policy_is_refused_async():
    with pytest.raises(rl.ConfigError, match=r"A2C cannot use sampler='async'.*PPO"):
        rl.train("a2c", "CartPole-v1", env_steps=100, run_dir="run", sampler="async", progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["alternating", "parallel"])
def test_a_runs_bits_do_not_depend_on_its_sampler(sampler: str):
    short("serial", backend="sync")
    short("other", sampler=sampler, num_workers=2)
    assert weights(agent_state(Path("serial"))[1]) == weights(agent_state(Path("other"))[1])


@pytest.mark.slow
def test_an_async_run_weighs_old_actions_and_resumes_exactly():
    short("whole", sampler="async", num_workers=1)
    short("part", sampler="async", num_workers=1, callbacks=[lambda moment: moment.step >= 512])
    assert read_spec(Path("part")).sampler == "async"
    rl.resume("part", progress=False)
    assert weights(agent_state(Path("whole"))[1]) == weights(agent_state(Path("part"))[1])


def test_a_mapping_changes_the_preset_and_a_length_may_be_written_as_a_float():
    rl.train("ppo", "CartPole-v1", {"gamma": 0.9, "hidden": [8]}, env_steps=1e3, run_dir="run", progress=False)
    spec = read_spec(Path("run"))
    preset = to_dict(config_for("ppo", "CartPole-v1"))
    assert spec.config == preset | {"gamma": 0.9, "hidden": [8]}
    assert (spec.env_steps, type(spec.env_steps)) == (1000, int)


def test_describe_can_be_called_twice_and_no_public_name_is_also_a_module():
    agent = short("run", env_steps=128)
    assert rl.describe(agent) == rl.describe(agent)
    modules = {path.stem for path in Path(rl.__path__[0]).iterdir()}
    assert not modules & {*rl.__all__}


def test_describe_names_every_network_optimiser_and_shape(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        assert main(["describe", "sac", "--env", "Pendulum-v1"]) == 0
    for part in ("SAC: continuous actions", "critics: Critics", "weights.0 [2, 4, 256]", "actor: Sequential",
                 "0.weight [256, 3]",
                 "critic_optimizer: Adam, step size 0.001", "memory: the last 20,000 steps"):
        assert part in caplog.text


def test_the_command_line_has_the_same_options(caplog: pytest.LogCaptureFixture):
    words = ["train", "ppo", "--env", "CartPole-v1", "--env_steps", "512", "--num_envs", "4", "--horizon", "32",
             "--hidden", "[8]", "--run_dir", "run", "--evaluate_every", "256", "--evaluate_episodes", "2",
             "--keep_every", "256", "--env_options", "{max_episode_steps: 20}", "--threads", "2"]
    assert main(words) == 0
    assert (read_spec(Path("run")).threads, torch.get_num_threads()) == (2, 2)
    assert {len(row["returns"]) for row in read_evaluations(Path("run"))} == {2}
    assert max(max(row["returns"]) for row in read_evaluations(Path("run"))) <= 20
    with caplog.at_level(logging.INFO):
        assert main(["evaluate", "run", "--episodes", "2", "--checkpoint", "256"]) == 0
        assert main(["check", "CartPole-v1"]) == 0
    assert "2 episodes" in caplog.text
    assert "No fault was found." in caplog.text


def test_a_memory_on_disk_learns_the_same_and_resumes_the_same(tmp_path: Path):
    settings = config_of("dqn")
    ram = rl.train("dqn", "CartPole-v1", settings, env_steps=300, progress=False)
    folder = tmp_path / "disk"
    rl.train("dqn", "CartPole-v1", settings, env_steps=200, run_dir=folder, replay_on_disk=True, progress=False)
    assert {file.name for file in (folder / "replay").iterdir()} >= {"obs.bin", "reward.bin"}
    disk = rl.resume(folder, env_steps=300, progress=False)
    assert disk.memory.folder == folder / "replay"
    assert torch.equal(ram.memory.rows["obs"][:50], disk.memory.rows["obs"][:50])
    with pytest.raises(rl.ConfigError, match="PPO has no replay memory"):
        rl.train("ppo", "CartPole-v1", env_steps=10, replay_on_disk=True)


def test_a_memory_on_a_gpu_is_refused_where_it_cannot_be(tmp_path: Path):
    for algo, options, why in [
        ("dqn", {}, "device='cpu' contradicts"),
        ("dqn", {"device": "cuda", "replay_on_disk": True}, "replay_on_disk=True contradicts"),
        ("ppo", {"device": "cuda"}, "PPO has no replay memory"),
    ]:
        with pytest.raises(rl.ConfigError, match=why):
            rl.train(algo, "CartPole-v1", env_steps=10, run_dir=tmp_path / "run", replay_on_gpu=True, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("algo", "env", "changes", "options"), [
    ("dqn", "CartPole-v1", {"prioritized": True, "n_step": 3}, {}),
    ("dqn", "rlcore/BitFlip-v0", {}, {"hindsight": 0.8}),
    ("r2d2", "CartPole-v1", {}, {}), ("sac", "Pendulum-v1", {}, {}),
])
def test_what_torch_picks_is_what_numpy_picks(monkeypatch, algo: str, env: str, changes: Any, options: Any):
    learned = []
    for on_cpu in (True, False):   # off the CPU, torch picks the rows; here it does so on the CPU
        monkeypatch.setattr(Ring, "on_cpu", on_cpu)
        agent = rl.train(algo, env, config_of(algo, **changes), env_steps=400, progress=False, **options)
        learned.append(weights({"model": agent.online.state_dict() if hasattr(agent, "online") else
                                agent.critics.state_dict()}))
    assert learned[0] == learned[1]
