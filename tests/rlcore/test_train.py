"""The front door: what a call to train does, leaves behind and refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import psutil
import pytest
import torch
import yaml
from tensorboardX.proto.event_pb2 import Event

import rlcore as rl
from rlcore import catalog, checkpoint
from rlcore.config import build
from rlcore.runs import Status, list_runs, open_run, read_metrics, read_spec, stop, write_status
from rlcore.training import Session

# With the defaults of the config classes, not the presets, which are tuned now and then.
SHORT: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ppo": ("CartPole-v1", 1500, {"num_envs": 4, "horizon": 32, "epochs": 2, "hidden": [16]}),
    "dqn": ("CartPole-v1", 1000, {"learning_starts": 100, "batch_size": 16, "hidden": [16], "target_every": 20}),
    "sac": ("Pendulum-v1", 300, {"learning_starts": 100, "batch_size": 16, "hidden": [16], "capacity": 200}),
}


def short(algo: str, run_dir: str, **options: Any) -> Any:
    """A run of a second or less."""
    env, env_steps, changes = SHORT[algo]
    return rl.train(algo, env, build(catalog.config_class(algo), changes),
                    **{"env_steps": env_steps, "seed": 1, "run_dir": run_dir, "checkpoint_s": 1e9, **options})


def rows(folder: str) -> list[dict[str, float]]:
    """The metrics of a run without what the clock says."""
    lines = Path(folder, "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.startswith("time")} for line in lines]


def weights(folder: str) -> list[list[float]]:
    """Every tensor of the last checkpoint's agent: networks, optimiser and statistics."""
    newest = checkpoint.latest(Path(folder, "checkpoints"))
    assert newest is not None
    tree, found = checkpoint.load(newest, "agent"), []

    def walk(item: Any) -> None:
        if isinstance(item, torch.Tensor):
            found.append(item.flatten().tolist())
        for child in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
            walk(child)

    walk(tree)
    return found


@pytest.mark.parametrize("algo", SHORT)
def test_one_seed_gives_one_run_and_another_seed_another(algo: str):
    short(algo, "one")
    torch.manual_seed(99)  # what happened before in the process does not matter
    short(algo, "same")
    short(algo, "other", seed=2)
    assert rows("one") == rows("same")
    steps = [row["step"] for row in rows("one")]
    assert steps == sorted(set(steps))
    assert steps[-1] >= SHORT[algo][1]
    assert len(steps) > 10
    assert weights("one") == weights("same")
    assert rows("one") != rows("other")
    assert weights("one") != weights("other")


def test_public_names_stay_what_they_are_after_the_first_use():
    rl.make_env("CartPole-v1").close()
    agent = short("dqn", "one", env_steps=200)
    rl.evaluate(agent, "CartPole-v1", episodes=2)
    for name in ("train", "evaluate", "resume", "record_video", "make_env", "load_agent"):
        assert callable(getattr(rl, name)), f"rl.{name} has become {getattr(rl, name)!r}"


def records(content: bytes) -> Iterator[Event]:
    """What TensorBoard's format holds: a length, its checksum, an event, its checksum, and so on."""
    while content:
        length = int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12:12 + length])
        content = content[16 + length:]


def test_a_run_folder_tells_everything_about_the_run():
    short("ppo", "run", target_return=500.0, backend="sync")
    spec = yaml.safe_load(Path("run/config.yaml").read_text())
    assert {key: spec[key] for key in ("algo", "env", "seed", "env_steps", "target_return", "backend")} == {
        "algo": "ppo", "env": "CartPole-v1", "seed": 1, "env_steps": 1500, "target_return": 500.0, "backend": "sync"}
    assert spec["config"]["num_envs"] == 4
    assert spec["config"]["hidden"] == [16]
    assert set(spec["versions"]) >= {"python", "torch", "numpy", "gymnasium"}
    run = open_run(Path("run"))
    assert (run.state, run.status.env_steps, run.status.total_steps) == ("finished", 1536, 1500)
    metrics = read_metrics(Path("run"))
    assert metrics["step"][-1] == 1536
    assert {"time_s", "episode/return", "episode/length", "time/env_steps_per_s", "loss/policy"} <= set(metrics)
    (events,) = Path("run").glob("events.*")
    board = [(event.step, {value.tag: value.simple_value for value in event.summary.value})
             for event in records(events.read_bytes()) if event.summary.value]
    assert [step for step, _ in board] == metrics["step"]
    assert board[-1][1]["loss/policy"] == pytest.approx(metrics["loss/policy"][-1])


def test_a_folder_that_already_holds_a_run_is_refused():
    short("dqn", "run", env_steps=50)
    before = Path("run/metrics.jsonl").read_text()
    with pytest.raises(rl.ConfigError, match=r"run already holds a run. Resume it with `python -m rlcore resume run`"):
        short("dqn", "run", env_steps=50)
    assert Path("run/metrics.jsonl").read_text() == before


def test_without_a_run_dir_the_run_gets_a_folder_of_its_own_that_is_listed():
    for _ in range(2):
        short("dqn", "", env_steps=20)
    names = [run.id for run in list_runs()]
    assert len(set(names)) == 2
    assert all(name.startswith("dqn-CartPole-v1-") for name in names)


def test_an_environment_with_a_namespace_is_listed_too():
    spec = gym.spec("One-v0")
    gym.register("probe/One-v0", entry_point=spec.entry_point, kwargs=spec.kwargs)
    config = catalog.config_for("ppo", "probe/One-v0", {"num_envs": 2, "horizon": 4})
    rl.train("ppo", "probe/One-v0", config, env_steps=8)
    gym.registry.pop("probe/One-v0")
    assert [run.config["env"] for run in list_runs()] == ["probe/One-v0"]


def test_the_folder_may_come_from_the_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("RLCORE_RUN_DIR", str(tmp_path / "chosen"))
    short("dqn", "", env_steps=20)
    assert open_run(tmp_path / "chosen").state == "finished"


def test_reaching_the_target_return_ends_the_run_early():
    # every episode of Countdown returns 3; the mean of 100 episodes is known after about 400 rows
    config = catalog.config_for("ppo", "Countdown-v0", {"num_envs": 2, "horizon": 8, "epochs": 1})
    rl.train("ppo", "Countdown-v0", config, env_steps=100_000, run_dir="run", target_return=3.0)
    run = open_run(Path("run"))
    assert run.state == "finished"
    assert 400 <= run.status.env_steps < 2000
    assert run.status.mean_return == 3.0


def test_a_target_out_of_reach_does_not():
    config = catalog.config_for("ppo", "Countdown-v0", {"num_envs": 2, "horizon": 8, "epochs": 1})
    rl.train("ppo", "Countdown-v0", config, env_steps=800, run_dir="run", target_return=3.01)
    assert open_run(Path("run")).status.env_steps == 800


def once_it_runs(folder: str, then: Any) -> threading.Thread:
    """Do something from another thread as soon as the run has taken a few steps."""
    def wait() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if Path(folder, "status.json").exists() and open_run(Path(folder)).status.env_steps > 1000:
                break
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_stop_request_ends_the_run_within_a_second_and_saves_it():
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        stop(Path("run"))

    thread = once_it_runs("run", ask)
    short("ppo", "run", env_steps=10**9)
    assert time.monotonic() - asked[0] < 2  # it looks four times a second; the rest is for a busy machine
    thread.join()
    run = open_run(Path("run"))
    assert (run.state, run.can_resume) == ("stopped", True)
    assert weights("run")


def test_control_c_ends_the_run_politely_and_gives_the_signal_back():
    before = signal.getsignal(signal.SIGINT)
    thread = once_it_runs("run", lambda: os.kill(os.getpid(), signal.SIGINT))
    agent = short("ppo", "run", env_steps=10**9)
    thread.join()
    assert isinstance(agent, rl.PPO)
    assert open_run(Path("run")).state == "stopped"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_request_made_while_the_run_was_still_starting_is_not_lost():
    Path("run").mkdir()
    stop(Path("run"))
    short("ppo", "run", env_steps=20_000)
    assert open_run(Path("run")).state == "stopped"


def test_a_stop_request_from_before_this_process_is_stale():
    Path("run").mkdir()
    stop(Path("run"))
    os.utime("run/stop", (1e9, 1e9))
    short("ppo", "run", env_steps=5_000)
    assert open_run(Path("run")).state == "finished"


def test_a_run_that_fails_says_why(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("the network exploded")

    monkeypatch.setattr(rl.PPO, "update", broken)
    with pytest.raises(RuntimeError, match="the network exploded"):
        short("ppo", "run")
    run = open_run(Path("run"))
    assert (run.state, run.status.message) == ("failed", "RuntimeError: the network exploded")


@pytest.mark.parametrize(("algo", "env", "message"), [
    ("poo", "CartPole-v1", r"Unknown algorithm 'poo'; did you mean 'ppo'\?"),
    ("ppo", "CartPol-v1", r"Unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'\?"),
    ("dqn", "Pendulum-v1", r"DQN needs a discrete action space.*SAC or PPO can act here"),
    ("sac", "CartPole-v1", r"SAC needs a continuous action space.*DQN or PPO can act here"),
])
def test_what_cannot_work_is_refused_before_a_folder_exists(algo: str, env: str, message: str):
    with pytest.raises((rl.ConfigError, rl.ShapeError), match=message):
        rl.train(algo, env, env_steps=100)
    assert not Path("runs").exists()


def test_a_config_of_another_algorithm_a_run_of_no_steps_and_a_missing_device_are_refused():
    with pytest.raises(rl.ConfigError, match="takes a DQNConfig, not PPOConfig"):
        rl.train("dqn", "CartPole-v1", rl.PPOConfig(), env_steps=100, run_dir="run")
    with pytest.raises(rl.ConfigError, match="env_steps=0 must be a whole number of at least 1"):
        rl.train("dqn", "CartPole-v1", env_steps=0, run_dir="run")
    with pytest.raises(rl.ConfigError, match="device='gpu' cannot be used here"):
        rl.train("dqn", "CartPole-v1", env_steps=10, run_dir="run", device="gpu")
    assert not Path("run").exists()


def test_an_environment_that_fails_as_it_begins_leaves_no_folder():
    for _ in range(2):  # the second time is told the same
        with pytest.raises(rl.ConfigError, match="action_mask=True, but"):
            short("ppo", "run", action_mask=True)
    assert not Path("run").exists()
    with pytest.raises(rl.ConfigError, match="action_mask=True, but"):
        short("ppo", "", action_mask=True)
    assert not Path("runs").exists()
    assert open_run(Path(short("dqn", "run", env_steps=20) and "run")).state == "finished"


def test_a_folder_that_cannot_be_is_refused_before_anything_begins():
    Path("file").write_text("mine")
    for place in ("file", "file/run"):
        with pytest.raises(rl.ConfigError, match=f"^{place} cannot be a run's folder: .*file is no folder"):
            short("dqn", place, env_steps=20)
    assert Path("file").read_text() == "mine"


def test_a_folder_in_which_another_process_is_starting_is_refused():
    other = psutil.Process(os.getppid())
    Path("run").mkdir()
    write_status(Path("run"), Status("starting", other.pid, other.create_time()))
    with pytest.raises(rl.ConfigError, match="run is already starting"):
        short("dqn", "run", env_steps=20)
    assert [path.name for path in Path("run").iterdir()] == ["status.json"]


@pytest.mark.parametrize("place", ["run", ""])
def test_a_sampler_that_cannot_be_made_leaves_no_run(place: str, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("no more processes")

    monkeypatch.setattr("rlcore.training.make_sampler", broken)
    with pytest.raises(RuntimeError, match="no more processes"):
        short("dqn", place, env_steps=20)
    assert not Path("run").exists()
    assert not Path("runs").exists()


def test_checkpoints_take_a_small_part_of_a_runs_time(monkeypatch: pytest.MonkeyPatch):
    now, saves = [0.0], []

    def update(*_: Any) -> dict[str, Any]:
        now[0] += 1
        return {}

    def save(_: Session) -> None:
        saves.append(now[0])
        now[0] += 1

    monkeypatch.setattr("rlcore.training.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(rl.PPO, "update", update)
    monkeypatch.setattr(Session, "_save", save)
    short("ppo", "run", env_steps=128 * 100, checkpoint_s=0)
    assert saves == [1, 42, 83, 103]  # a second each, forty seconds after the one before has ended; the last at the end


def test_bfloat16_where_it_is_slow_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    for found in ({}, {"amx_bf16": False}, {"amx_bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        rl.train("dqn", "CartPole-v1", {"hidden": [8], "precision": "bfloat16"}, env_steps=20, progress=False)
        said = [record.message for record in caplog.records if "AMX" in record.message]
        assert len(said) == (0 if found.get("amx_bf16") else 1)
        caplog.clear()


def test_a_made_environment_brings_its_copies_and_its_seed():
    env = rl.make_env("CartPole-v1", num_envs=3, seed=7)
    config = rl.PPOConfig(horizon=32, num_minibatches=4)
    rl.train("ppo", env, config, env_steps=96, run_dir="made")
    assert read_spec(Path("made")).config["num_envs"] == 3
    before = rows("made")
    shutil.rmtree("made/checkpoints")  # killed before the first one: it starts again, and must take the same steps
    rl.resume("made")
    assert rows("made") == before


@pytest.mark.parametrize(("given", "said"), [
    ({"env_options": {"max_episode_steps": 5}}, r"env_options=\{'max_episode_steps': 5\}"),
    ({"backend": "process"}, "backend='process'"), ({"action_mask": True}, "action_mask=True"),
    ({"config": {"num_envs": 4}}, "num_envs=4")])
def test_what_comes_too_late_for_a_made_environment_is_refused(given: dict[str, Any], said: str):
    env = rl.make_env("CartPole-v1", num_envs=2)
    with pytest.raises(rl.ConfigError, match=f"finished environment, to which {said} came too late: give it to make"):
        rl.train("ppo", env, **given, env_steps=64, progress=False)
    rl.train("ppo", env, {"num_envs": 2}, backend=env.backend, env_options={}, env_steps=64, progress=False)


@pytest.mark.parametrize("moment", [torch.zeros(1), torch.zeros(1, dtype=torch.float64), None])
def test_an_optimisers_memory_that_does_not_fit_is_refused_before_it_is_written_to(moment: torch.Tensor | None):
    config = {"horizon": 16, "num_minibatches": 2, "num_envs": 2, "hidden": [8]}
    rl.train("ppo", "CartPole-v1", config, env_steps=64, run_dir="run", progress=False)
    newest = checkpoint.latest(Path("run/checkpoints"))
    assert newest is not None
    state = checkpoint.load(newest, "agent")
    held = state["optimizer"]["state"][0]
    held.update(exp_avg=moment, exp_avg_sq=moment) if moment is not None else held.pop("exp_avg")
    forged = checkpoint.save(Path("forged"), 64, {"agent": state})
    for file in forged.iterdir():
        shutil.copy(file, newest)
    for begin in (lambda: rl.resume("run", env_steps=128, progress=False),
                  lambda: rl.train("ppo", "CartPole-v1", config, env_steps=64, start_from="run", progress=False)):
        with pytest.raises(rl.ConfigError, match=r"another kind of agent than this PPO: optimizer\.state\.0\.exp_avg"):
            begin()


def test_off_policy_agents_learn_from_several_environments_and_start_on_time():
    env, _, changes = SHORT["dqn"]
    config = build(rl.DQNConfig, {**changes, "num_envs": 4, "train_every": 2, "learning_starts": 100})
    agent = rl.train("dqn", env, config, env_steps=400, run_dir="run")
    # 8 steps a round; rounds 13 to 50 (steps 104 to 400) learn once each
    assert agent.num_updates == 38
    assert len(agent.memory) == 400


def test_a_run_does_not_wait_for_torchs_compiler_to_be_imported():
    script = ("import sys, rlcore as rl; rl.train('ppo', 'CartPole-v1', env_steps=512, run_dir='run', progress=False); "
              "rl.resume('run', env_steps=1024, progress=False); print('torch._dynamo' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(Path(rl.__file__).parents[1])})
    assert done.stdout.strip() == "False"
