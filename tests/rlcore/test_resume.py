"""A run that is killed and resumed ends with the same bits as one that was not."""

import functools
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import rlcore as rl
from rlcore import catalog, checkpoint
from rlcore.__main__ import main
from rlcore.config import to_dict
from rlcore.runs import SAMPLERS, Status, open_run, read_evaluations, read_metrics, read_spec, write_spec, write_status
from tests.rlcore.small import config_of

ROOT = Path(rl.__file__).parents[1]
KILLS = int(os.environ.get("RLCORE_KILLS", "1"))  # of each run; where it is set, of every algorithm's


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> Iterator[None]:
    """A server that has imported rlcore once: each of the many processes killed here starts from it in no time."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["rlcore.algos.ppo", "rlcore.evaluation.evaluate"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        command("list", "algorithms").join()
        yield


def command(*words: str) -> ForkServerProcess:
    """`python -m rlcore …`, under way in a process of its own."""
    process = multiprocessing.get_context("forkserver").Process(target=main, args=([*words],))
    process.start()
    return process


def kill_when(process: Any, ready: Callable[[], bool]) -> bool:
    """SIGKILL as soon as something is so; false if the process had ended by itself before."""
    deadline = time.monotonic() + 60
    while process.is_alive() and not ready() and time.monotonic() < deadline:
        time.sleep(0.002)
    over = not process.is_alive()
    process.kill()
    process.join()
    return not over


def logged(folder: Path) -> int:
    """The step of the newest row of metrics."""
    return int((read_metrics(folder)["step"] or [-1])[-1])


def saving(folder: Path) -> int:
    """The step of the newest checkpoint that is there or being written."""
    return max((int(path.name.strip(".").removesuffix(".tmp")) for path in (folder / "checkpoints").glob("*[0-9]*")),
               default=-1)


def rows(folder: Path) -> list[dict[str, float]]:
    """The metrics of a run without what the clock says."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.startswith("time")} for line in lines]


def state(folder: Path) -> dict[str, Any]:
    """Everything the last checkpoint holds that learning depends on, as plain comparable data."""
    newest = checkpoint.latest(folder / "checkpoints")
    assert newest is not None
    parts = {part: checkpoint.load(newest, part) for part in ("agent", "session")}
    if (newest / "memory.json").exists():
        parts["memory"] = checkpoint.load(newest, "memory")
    for clock in ("elapsed_s", "log_bytes"):  # a rate may print with one digit more
        parts["session"].pop(clock)
    return plain(parts)


def plain(tree: Any) -> Any:
    match tree:
        case torch.Tensor():
            return (str(tree.dtype), tuple(tree.shape), tree.flatten().tolist())
        case dict():
            return {key: plain(value) for key, value in tree.items()}
        case list():
            return [plain(item) for item in tree]
        case _:
            return tree


RUNS: dict[str, list[str]] = {
    "ppo": ["--env", "CartPole-v1", "--env_steps", "10000", "--num_envs", "4", "--horizon", "64", "--hidden", "[32]",
            "--epochs", "4", "--num_minibatches", "4",
            "--normalize_obs", "true", "--normalize_reward", "true", "--learning_rate_decay", "linear"],
    "dqn": ["--env", "CartPole-v1", "--env_steps", "3000", "--hidden", "[32]", "--capacity", "1000",
            "--learning_starts", "200", "--train_every", "4", "--updates", "1", "--batch_size", "64"],
    "sac": ["--env", "Pendulum-v1", "--env_steps", "500", "--hidden", "[32]", "--learning_starts", "100",
            "--batch_size", "32", "--train_every", "1", "--updates", "1"],
}


@pytest.mark.parametrize("algo", RUNS)
def test_killed_again_and_again_and_resumed_it_ends_like_an_unbroken_run(algo: str, tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = [algo, *RUNS[algo], "--seed", "3"]
    steps = int(words[words.index("--env_steps") + 1])
    assert main(["train", *words, "--run_dir", str(whole), "--checkpoint_s", "1e9"]) == 0

    chance = random.Random(algo)  # a fixed plan of kill points; where exactly each one falls is up to the machine
    process = command("train", *words, "--run_dir", str(broken), "--checkpoint_s", "0.02")
    kills, kept = [], []
    for point in sorted(chance.uniform(0.1, 0.9) for _ in range(3)):
        if kill_when(process, lambda point=point: logged(broken) >= point * steps):
            kills.append(open_run(broken))
            kept.append(checkpoint.latest(broken / "checkpoints"))
        process = command("resume", str(broken))
    process.join()

    assert process.exitcode == 0
    assert len(kills) >= 2
    assert {run.state for run in kills} == {"interrupted"}
    assert any(kept)  # else it only ever began again
    assert open_run(broken).state == "finished"
    assert state(broken) == state(whole)
    assert rows(broken) == rows(whole)


def words_of(algo: str, sampler: str = "serial") -> list[str]:
    """A small run of an algorithm, as the command line takes it."""
    if algo == "ppo":
        words = RUNS["ppo"]
    else:
        entry = catalog.algorithm(algo)
        env = "CartPole-v1" if "discrete" in entry.acts else "Pendulum-v1"
        loop = {"horizon": 16} if entry.loop == "on_policy" else {"train_every": 8, "learning_starts": 64, "updates": 1,
                                                                  "batch_size": 8}
        settings = to_dict(config_of(algo, num_envs=2, hidden=[8], **loop))
        words = ["--env", "rlcore/CartPoleBounds-v0" if entry.needs_cost else env, "--env_steps", "3000",
                 *(word for name, value in settings.items() for word in (f"--{name}", json.dumps(value)))]
    return [algo, *words, "--seed", "3", "--threads", "1", "--sampler", sampler,
            *([] if sampler == "serial" else ["--num_workers", "2"])]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A run from beginning to end. All samplers but async give the same bits, so that one will do for them."""
    @functools.cache
    def run(algo: str, sampler: str) -> Path:
        folder = tmp_path_factory.mktemp(algo) / "run"
        assert main(["train", *words_of(algo, sampler), "--run_dir", str(folder), "--checkpoint_s", "1e9"]) == 0
        return folder

    return lambda algo, sampler: run(algo, sampler if sampler == "async" else "serial")


KILLED = ["ppo:alternating", "ppo:parallel", "sac:async", "r2d2:parallel"]
MORE = ["ppo:batched", "ppo:async"]
ALL = [f"{algo}:{sampler}" for algo in catalog.ALGORITHMS
       for sampler in (SAMPLERS if algo in ("ppo", "sac", "r2d2") else ("serial",))]


@pytest.mark.parametrize("what", ALL if "RLCORE_KILLS" in os.environ else [
    *KILLED, *(pytest.param(what, marks=pytest.mark.slow) for what in MORE)])
def test_killed_with_its_worker_processes_it_ends_like_an_unbroken_run(
        what: str, tmp_path: Path, unbroken: Callable[[str, str], Path]):
    algo, sampler = what.split(":")
    whole, broken, chance, kills = unbroken(algo, sampler), tmp_path / "broken", random.Random(what), 0
    steps = read_spec(whole).env_steps
    process = command("train", *words_of(algo, sampler), "--run_dir", str(broken), "--checkpoint_s", "0.02")

    def trains_at(step: float) -> bool:
        return (broken / "status.json").exists() and (run := open_run(broken)).state == "running" and (
            run.status.pid == process.pid and logged(broken) >= step)

    for point in sorted(chance.uniform(0.1, 0.8) for _ in range(KILLS)):
        kills += kill_when(process, functools.partial(trains_at, point * steps))
        process = command("resume", str(broken))
    process.join()

    assert process.exitcode == 0
    assert kills > KILLS / 2
    assert open_run(broken).state == "finished"
    ours, theirs = state(broken), state(whole)
    assert ours["agent"] == theirs["agent"]
    assert ours.get("memory") == theirs.get("memory")
    assert rows(broken) == rows(whole)


def test_killed_while_it_does_nothing_but_save_it_can_always_be_resumed(tmp_path: Path):
    run = tmp_path / "run"
    words = ["ppo", "--env", "CartPole-v1", "--env_steps", "200000", "--num_envs", "2", "--horizon", "8",
             "--num_minibatches", "1", "--epochs", "1", "--hidden", "[128]"]
    process = command("train", *words, "--run_dir", str(run), "--checkpoint_s", "0")
    reached = 0
    for _ in range(4):
        assert kill_when(process, lambda far=reached + 64: saving(run) >= far)
        newest = checkpoint.latest(run / "checkpoints")
        assert newest is not None
        reached = checkpoint.load(newest, "session")["step"]
        checkpoint.load(newest, "agent")
        process = command("resume", str(run))
    assert kill_when(process, lambda: saving(run) >= reached + 64)  # the last resumed one is alive and saves as well


def test_resuming_works_from_a_shell_and_a_run_without_a_checkpoint_starts_again(tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ["dqn", "--env", "CartPole-v1", "--env_steps", "1500", "--hidden", "[16]", "--train_every", "4",
             "--updates", "1"]
    main(["train", *words, "--run_dir", str(whole)])
    process = command("train", *words, "--run_dir", str(broken), "--checkpoint_s", "1e9")
    while not (broken / "metrics.jsonl").exists() or not (broken / "metrics.jsonl").read_text():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not (broken / "checkpoints").exists()
    done = subprocess.run([sys.executable, "-m", "rlcore", "resume", str(broken)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (state(broken), rows(broken)) == (state(whole), rows(whole))


def test_a_stopped_run_resumes_and_finishes(tmp_path: Path):
    run = tmp_path / "run"
    process = command("train", "ppo", "--env", "CartPole-v1", "--env_steps", "1000000", "--run_dir", str(run))
    while not (run / "status.json").exists() or open_run(run).status.env_steps < 1000:
        time.sleep(0.01)
    (run / "stop").touch()
    process.join(20)
    stopped = open_run(run)
    assert (process.exitcode, stopped.state) == (0, "stopped")
    rl.resume(run, env_steps=stopped.status.env_steps + 2000)
    finished = open_run(run)
    assert finished.state == "finished"
    assert finished.status.env_steps >= stopped.status.env_steps + 2000


def test_a_finished_run_made_longer_is_one_that_had_that_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[float] = []
    learn = rl.PPO.update

    def watched(agent: rl.PPO, rollout: Any, progress: float) -> Any:
        seen.append(progress)
        return learn(agent, rollout, progress)

    monkeypatch.setattr(rl.PPO, "update", watched)
    config = {"num_envs": 4, "horizon": 16, "num_minibatches": 2, "epochs": 1, "hidden": [8],
              "learning_rate_decay": "constant", "clip_decay": "constant"}
    for name, env_steps in (("short", 128), ("whole", 256)):
        rl.train("ppo", "CartPole-v1", config, env_steps=env_steps, seed=1, run_dir=tmp_path / name, progress=False)
    seen.clear()
    rl.resume(tmp_path / "short", env_steps=256, progress=False)
    assert seen == [0.5, 0.75]  # what schedules follow
    assert state(tmp_path / "short") == state(tmp_path / "whole")
    assert read_spec(tmp_path / "short").env_steps == 256
    with pytest.raises(rl.ConfigError, match="short has taken 256 env steps already: env_steps=256 is counted from"):
        rl.resume(tmp_path / "short", env_steps=256)


def test_a_polite_kill_saves_where_it_is(tmp_path: Path):
    run = tmp_path / "run"
    process = command("train", "ppo", "--env", "CartPole-v1", "--env_steps", "1000000", "--run_dir", str(run),
                      "--checkpoint_s", "1e9")
    while not (run / "status.json").exists() or open_run(run).status.env_steps < 1000:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(20)
    assert (process.exitcode, open_run(run).state) == (0, "stopped")
    newest = checkpoint.latest(run / "checkpoints")
    assert newest is not None
    assert int(newest.name) == open_run(run).status.env_steps


def test_a_run_that_is_going_is_not_started_twice(tmp_path: Path):
    run = tmp_path / "run"
    process = command("train", "ppo", "--env", "CartPole-v1", "--env_steps", "1000000", "--run_dir", str(run))
    while not (run / "status.json").exists() or open_run(run).state != "running":
        time.sleep(0.01)
    with pytest.raises(rl.ConfigError, match="run is already running"):
        rl.resume(run)
    process.kill()
    process.join()
    assert open_run(run).state == "interrupted"


def test_a_run_that_another_process_is_just_starting_is_not_started_twice(tmp_path: Path):
    rl.train("dqn", "CartPole-v1", rl.DQNConfig(hidden=(8,)), env_steps=20, run_dir=tmp_path / "run")
    other = psutil.Process(os.getppid())
    write_status(tmp_path / "run", Status("starting", other.pid, other.create_time()))
    with pytest.raises(rl.ConfigError, match="run is already starting"):
        rl.resume(tmp_path / "run")


def test_of_two_processes_that_resume_a_run_at_once_one_does(tmp_path: Path):
    run = tmp_path / "run"
    rl.train("dqn", "CartPole-v1", rl.DQNConfig(hidden=(8,)), env_steps=20, run_dir=run, progress=False)
    both = [command("resume", str(run), "--env_steps", "100000") for _ in range(2)]
    while (alive := sum(process.is_alive() for process in both)) == 2 or (alive == 1 and logged(run) < 1000):
        time.sleep(0.01)
    assert alive == 1
    for process in both:
        process.kill()
        process.join()
    steps = read_metrics(run)["step"]
    assert steps == sorted({*steps})


def test_a_parallel_run_resumes_where_there_are_more_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    monkeypatch.setattr("rlcore.training._cores", lambda: 1)
    rl.train("ppo", "CartPole-v1", {"num_envs": 2, "horizon": 8, "num_minibatches": 2}, env_steps=16, run_dir=run,
             sampler="parallel", progress=False)
    spec = read_spec(run)
    assert spec.num_workers == 1
    write_spec(run, replace(spec, num_workers=None))  # as it was before that was noted
    monkeypatch.setattr("rlcore.training._cores", lambda: 2)
    rl.resume(run, env_steps=32, progress=False)
    assert open_run(run).status.env_steps == 32


@pytest.mark.parametrize(("algo", "steps"), [("ppo", 64), ("sac", 48)])
def test_a_run_of_an_older_rlcore_is_read_evaluated_and_resumed(algo: str, steps: int, tmp_path: Path):
    run = shutil.copytree(Path(__file__).parent / "old_runs" / algo, tmp_path / "run")
    agent, spec = rl.load_agent(run)
    assert (spec.env_steps, open_run(run).state, agent.cfg.hidden) == (steps, "finished", (4,))
    assert len(rl.evaluate(run, episodes=2).returns) == 2
    rl.resume(run, env_steps=2 * steps, progress=False)
    assert (open_run(run).status.env_steps, read_metrics(run)["step"][-1]) == (2 * steps, 2 * steps)
    assert len(read_evaluations(run)) == (5 if algo == "ppo" else 1)


def test_resuming_what_is_no_run_says_so(tmp_path: Path):
    with pytest.raises(rl.ConfigError, match=r"nothing is not a run folder: it has no config.yaml"):
        rl.resume(tmp_path / "nothing")
    with pytest.raises(rl.ConfigError, match=r"nothing is not a run folder"):
        rl.load_agent(tmp_path / "nothing")


def test_an_environment_that_cannot_be_saved_starts_new_episodes_and_nobody_learns_from_the_seam(
        tmp_path: Path, caplog: pytest.LogCaptureFixture):
    run = tmp_path / "run"
    config = rl.DQNConfig(hidden=(16,), learning_starts=20, capacity=1000, train_every=1)
    rl.train("dqn", "LunarLander-v3", config, env_steps=60, seed=1, run_dir=run)
    with caplog.at_level(logging.WARNING, "rlcore"):
        agent = rl.resume(run, env_steps=100)
    assert "LunarLander-v3 cannot save its environments' state: they start new episodes" in caplog.text
    assert open_run(run).status.env_steps == 100
    assert read_spec(run).env_steps == 100
    memory = agent.memory.rows
    assert memory["obs"][60, 0, 1] > 1.35  # row 60 is the start of a new episode, high above the ground …
    assert memory["obs"][59, 0, 1] < 1.2   # … and row 59 was in mid-flight, so it has no known successor
    assert not memory["valid"][59, 0]
    assert memory["valid"][60, 0]
    assert memory["valid"][:59].all()
