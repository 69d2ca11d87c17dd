"""What a run can be asked for beside its algorithm: evaluations, kept checkpoints, patience, callbacks, samplers."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import rlcore as rl
from rlcore.__main__ import main
from rlcore.catalog import config_for
from rlcore.config import build, to_dict
from rlcore.restore import agent_state
from rlcore.runs import read_evaluations, read_metrics, read_spec
from rlcore.training import SELECTION_SEED
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


def test_evaluations_change_nothing_about_learning():
    short("plain")
    short("watched", evaluate_every=128, evaluate_episodes=2)
    assert weights(agent_state(Path("plain"))[1]) == weights(agent_state(Path("watched"))[1])


def test_patience_ends_a_run_that_no_longer_gets_better():
    short("run", env="One-v0", evaluate_every=128, evaluate_episodes=1, patience=2)  # every episode returns 1
    assert [row["step"] for row in read_evaluations(Path("run"))] == [128, 256, 384]
    assert read_metrics(Path("run"))["step"][-1] <= 384


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


@pytest.mark.parametrize(("options", "message"), [
    ({"patience": 2}, "counts evaluations: give evaluate_every too"),
    ({"evaluate_every": 0}, "evaluate_every=0 must be a whole number of at least 1"),
    ({"sampler": "parallel", "backend": "native"}, "sampler='parallel' steps environments with backend='sync'"),
    ({"threads": 0}, "threads=0 must be a whole number of at least 1"),
    ({"start_from": "nowhere"}, "nowhere has no checkpoint yet"),
    ({"sampler": "serail"}, r"Unknown sampler 'serail'; did you mean 'serial'\? Known: serial, batched, "),
    ({"env_steps": 10.5}, "env_steps=10.5 must be a whole number of at least 1"),
])
def test_what_cannot_work_is_refused_before_anything_is_written(options: dict[str, Any], message: str):
    with pytest.raises(rl.ConfigError, match=message):
        short("run", **options)
    assert not Path("run/config.yaml").exists()


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
