"""Run folders: reading them while somebody writes, and the processes behind them."""

import json
import logging
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import rlcore as rl
from rlcore import checkpoint, runs
from rlcore.__main__ import main
from rlcore.config import ConfigError
from rlcore.evaluation.evaluate import evaluate
from rlcore.log import RunLog
from rlcore.runs import Status, delete, list_runs, new_folder, open_run, read_metrics, tail_log, write_status
from rlcore.runs.process import _wait

SCRIPT = """
import rlcore as rl

config = rl.PPOConfig(num_envs=4, horizon=32, hidden=(16,))
agent = rl.train("ppo", "CartPole-v1", config, env_steps={env_steps}, seed=1, checkpoint_s=0.2)
print(rl.evaluate(agent, "CartPole-v1", episodes=2))
"""


def me(state: str = "running") -> Status:
    """The status of a run that this very process is doing."""
    process = psutil.Process()
    return Status(state, process.pid, process.create_time())


def a_dead_process() -> tuple[int, float]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    process.communicate(b"\n")
    return process.pid, started


def run_folder(name: str, status: Status | None = None, age_s: float = 0) -> Path:
    path = Path("runs", name)
    path.mkdir(parents=True)
    write_status(path, status or Status("finished"))
    (path / "config.yaml").write_text("algo: ppo\n")
    os.utime(path / "config.yaml", (time.time() - age_s,) * 2)
    return path


def until(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.fixture
def launched() -> Iterator[Callable[..., Path]]:
    """`runs.launch`, with an end to whatever is still alive after the test."""
    started: list[Path] = []

    def launch(script: str) -> Path:
        started.append(runs.launch(script, "launched"))
        return started[-1]

    yield launch
    for path in started:
        if path.exists() and open_run(path).state in ("starting", "running"):
            psutil.Process(open_run(path).status.pid).kill()


# Reading

def write_rows(path: Path, rows: list[dict[str, float | None]], tail: str = "") -> None:
    path.mkdir(exist_ok=True)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def test_metrics_come_in_columns_with_nan_where_a_row_lacks_a_value():
    write_rows(Path("run"), [{"step": 1, "a": 0.5}, {"step": 2, "a": None, "b": 3.0}])
    found = read_metrics(Path("run"))
    assert found["step"] == [1, 2]
    assert found["a"][0] == 0.5
    assert math.isnan(found["a"][1])
    assert math.isnan(found["b"][0])
    assert found["b"][1] == 3.0


def test_asked_for_keys_come_alone_and_an_unknown_one_is_all_nan():
    write_rows(Path("run"), [{"step": 1, "a": 0.5, "b": 1.0}])
    found = read_metrics(Path("run"), keys=["a", "never"])
    assert list(found) == ["step", "a", "never"]
    assert math.isnan(found["never"][0])


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_a_long_curve_is_thinned_evenly_and_keeps_its_newest_row(count: int):
    write_rows(Path("run"), [{"step": step} for step in range(count)])
    found = read_metrics(Path("run"), max_points=100)["step"]
    assert 50 <= len(found) <= 100
    assert found[-1] == count - 1
    assert len({later - earlier for earlier, later in pairwise(found)}) == 1


def test_a_line_that_is_still_being_written_waits_for_the_next_read():
    write_rows(Path("run"), [{"step": 1}, {"step": 2}], tail='{"step": 3, "episode/ret')
    assert read_metrics(Path("run"))["step"] == [1, 2]


@pytest.mark.parametrize("line", ["{}", "[1]", "3", '{"step": "x"}', "{", "\0\0\0", "[" * 100_000, '{"step": true}'])
def test_a_line_that_cannot_be_read_costs_nothing_but_itself(line: str):
    write_rows(Path("run"), [{"step": 1}], tail=f'{line}\n{{"step": 3}}\n')
    assert read_metrics(Path("run"))["step"] == [1, 3]
    Path("run/evaluations.jsonl").write_text(f'{{"step": 1, "in_training": true}}\n{line}\n{{"step": 4}}\n')
    assert [row["step"] for row in runs.read_evaluations(Path("run"))] == [1, 4]
    runs.drop_evaluations_after(Path("run"), 0)
    assert Path("run/evaluations.jsonl").read_text() == '{"step": 4}\n'


def test_a_row_of_broken_bytes_costs_nothing_but_itself():
    Path("run").mkdir()
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        (Path("run") / name).write_bytes(b'{"step": 1}\n\xff\xfe\n{"step": 2}\n')
    assert read_metrics(Path("run"))["step"] == [1, 2]
    assert len(runs.read_evaluations(Path("run"))) == 2


def test_a_run_without_metrics_has_none():
    Path("run").mkdir()
    assert read_metrics(Path("run")) == read_metrics("run") == {"step": []}
    assert runs.read_evaluations(Path("run")) == runs.read_evaluations("run") == []
    assert tail_log(Path("run")) == ""


def test_half_a_line_of_evaluations_from_a_full_disk_costs_nothing_but_itself():
    Path("run").mkdir()
    Path("run/evaluations.jsonl").write_text('{"step": 1, "in_training": true}\n{"step": 2, "me')
    assert [row["step"] for row in runs.read_evaluations(Path("run"))] == [1]
    runs.append_evaluation(Path("run"), {"step": 3, "in_training": True})
    runs.append_evaluation(Path("run"), {"step": 4})
    runs.drop_evaluations_after(Path("run"), 1)
    assert Path("run/evaluations.jsonl").read_text() == '{"step": 1, "in_training": true}\n{"step": 4}\n'


@pytest.mark.parametrize(("text", "keep_bytes"), [('{"step": 1}\n{"ste', 500), ('{"step": 1}\n{"step": 2}\n', 12)])
def test_a_log_goes_on_after_the_last_whole_row_its_checkpoint_knew(text: str, keep_bytes: int):
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text(text)
    log = RunLog(Path("run"), keep_bytes=keep_bytes)
    log.write(3, {"a": 0.5})
    log.close()
    assert Path("run/metrics.jsonl").read_text() == '{"step": 1}\n{"step": 3, "a": 0.5}\n'


def test_the_logs_tail_is_its_last_lines_also_when_they_are_long():
    Path("run").mkdir()
    lines = [f"{number} {'x' * 1000}" for number in range(300)]
    Path("run/train.log").write_text("\n".join(lines) + "\n")
    assert tail_log(Path("run"), lines=50).splitlines() == lines[-50:]
    Path("run/train.log").write_bytes(b"\xff\xfe broken bytes\nlast")
    assert tail_log(Path("run")).splitlines()[-1] == "last"


def test_runs_are_listed_newest_first():
    for name, age_s in (("middle", 50), ("newest", 0), ("oldest", 500)):
        run_folder(name, age_s=age_s)
    assert [run.id for run in list_runs()] == ["newest", "middle", "oldest"]
    assert list_runs(Path("nowhere")) == []


def test_one_damaged_folder_does_not_hide_the_others():
    run_folder("good")
    (run_folder("bad") / "status.json").write_text("{")
    for number, text in enumerate(("a: [1", "a: 2024-13-45", "a: " + "[" * 5000, "a: !!timestamp x")):
        (run_folder(f"worse{number}") / "config.yaml").write_text(text)
    (run_folder("deep") / "status.json").write_text("[" * 100_000)
    states = {run.id: run.state for run in list_runs()}
    assert states.pop("good") == "finished"
    assert [*states.values()] == ["failed"] * 6


@pytest.mark.parametrize("odd", [{"pid": -1}, {"pid": 2**80}, {"pid": 0, "updated": "x"}, {"env_steps": None},
                                 {"mean_return": "high"}, {"state": 3}])
def test_a_status_of_the_wrong_kinds_is_listed_like_any_other(odd: dict[str, object], caplog: pytest.LogCaptureFixture):
    path = run_folder("run", Status("running", 1))
    text = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps(text | odd))
    with caplog.at_level(logging.INFO):
        assert main(["list"]) == 0
    assert "interrupted" in caplog.text or "failed" in caplog.text


SPEC = "algo: ppo\nenv: CartPole-v1\nseed: 1\nenv_steps: 10\nconfig: {}\nbackend: sync\nformat: 1\n"


@pytest.mark.parametrize(("text", "said"), [
    ("!!python/object/apply:os.system ['touch it_ran']", "config.yaml cannot be read: could not determine a constr"),
    ("a: [1", "config.yaml cannot be read: expected ',' or ']', but got '<stream end>' in line 1"),
    ("a: 2024-13-45", "config.yaml cannot be read: a value in it cannot be read (month must be in 1..12)."),
    ("a: " + "[" * 5000, "config.yaml cannot be read: it is nested too deeply."),
    ("", "config.yaml must hold `name: value` lines, not nothing"),
    ("- 1", "config.yaml must hold `name: value` lines, not a list"),
    (SPEC.replace("format: 1\n", ""), "config.yaml is not a run's: it lacks format"),
    (SPEC.replace("env: CartPole-v1\n", "").replace("seed: 1\n", ""), "config.yaml is not a run's: it lacks env, seed"),
    (SPEC.replace("format: 1", "format: 99"), "has run format 99; this rlcore reads up to 1"),
    (SPEC.replace("format: 1", "format: new"), "config.yaml: format='new' must be a whole number of at least 1"),
    (SPEC + "7: 8\n", "config.yaml has unknown entries: 7."),
    (SPEC.replace("seed: 1", "seed: abc"), "config.yaml: seed='abc' must be a whole number from 0 to 2**63 - 1."),
    (SPEC.replace("config: {}", "config: [1]"), "config.yaml: config=[1] must be settings by name"),
    (SPEC.replace("env_steps: 10", "env_steps: null"), "config.yaml: env_steps=None must be a whole number"),
])
def test_a_damaged_or_foreign_config_is_named_in_one_sentence(text: str, said: str):
    path = run_folder("run")
    (path / "config.yaml").write_text(text)
    for read in (runs.read_spec, rl.load_agent, rl.resume):
        with pytest.raises(ConfigError) as refused:
            read(path)
        assert said in str(refused.value)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert open_run(path).id == "run"  # whatever its files hold, it is listed
    assert runs.foreign(open_run(path)) == ()
    assert not Path("it_ran").exists()


@pytest.mark.parametrize(("text", "said"), [
    (SPEC.replace("config: {}", "config: {gama: 1}"), "no setting 'gama'; did you mean 'gamma'?"),
    (SPEC.replace("algo: ppo", "algo: poo"), "Unknown algorithm 'poo'; did you mean 'ppo'?"),
])
def test_a_config_with_unknown_names_is_refused_when_it_is_resumed(text: str, said: str):
    (run_folder("run") / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        rl.resume("runs/run")
    assert said in str(refused.value)


def test_a_config_may_lack_what_has_a_default():
    path = run_folder("run")
    (path / "config.yaml").write_text(SPEC)
    spec = runs.read_spec(path)
    assert (spec.sampler, spec.freeze, spec.timeout_s, spec.checkpoint_s) == ("serial", [], None, 30.0)
    runs.write_spec(path, spec)
    assert runs.read_spec(path) == spec


def test_a_checkpoint_of_other_sizes_is_refused_in_one_sentence():
    rl.train("ppo", "CartPole-v1", {"hidden": [8], "num_envs": 2, "horizon": 16}, env_steps=32, run_dir="run")
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace("- 8\n", "- 9\n"))
    for read in (rl.load_agent, lambda path: rl.resume(path, env_steps=64)):
        with pytest.raises(ConfigError, match=r"^The checkpoint (of step 32 in run|run/.*000000000032) holds") as no:
            read("run")
        assert "[8, 4] there and [9, 4] here" in str(no.value)


def test_folders_made_in_the_same_second_differ():
    assert len({new_folder("ppo-CartPole-v1") for _ in range(5)}) == 5


def test_what_is_no_run_says_so():
    with pytest.raises(ConfigError, match="nowhere is not a run folder"):
        open_run(Path("nowhere"))


def test_a_copy_of_a_checkpoint_neither_stops_a_run_nor_is_loaded():
    rl.train("ppo", "CartPole-v1", {"hidden": [8], "num_envs": 2, "horizon": 16}, env_steps=32, run_dir="run")
    shutil.copytree("run/checkpoints/000000000032", "run/checkpoints/000000000032 (copy)")
    assert rl.load_agent("run")[1].env_steps == 32
    (Path("run/evaluations.jsonl")).write_text("{}\n")
    rl.resume("run", env_steps=64, progress=False)
    assert open_run(Path("run")).status.env_steps == 64


# States

def test_a_live_process_is_running_and_a_dead_one_interrupted():
    assert open_run(run_folder("alive", me())).state == "running"
    pid, started = a_dead_process()
    dead = open_run(run_folder("dead", Status("running", pid, started)))
    assert (dead.state, dead.can_resume) == ("interrupted", True)


def test_a_later_process_with_the_same_number_is_not_the_run():
    assert open_run(run_folder("recycled", Status("running", os.getpid(), 12345.0))).state == "interrupted"


def test_what_has_ended_stays_ended_whatever_its_process_does():
    for state in ("finished", "stopped", "failed"):
        run = open_run(run_folder(state, me(state)))
        assert (run.state, run.can_resume) == (state, state != "finished")


def test_a_running_run_is_not_deleted_and_another_is():
    with pytest.raises(ConfigError, match=r"alive is still running. Stop it first"):
        delete(run_folder("alive", me()))
    assert Path("runs/alive").exists()
    delete(run_folder("done"))
    assert not Path("runs/done").exists()


@pytest.mark.parametrize("state", ["running", "finished"])
def test_only_what_is_unfinished_and_idle_can_be_resumed(state: str):
    with pytest.raises(ConfigError, match=f"run is {state}, and only a stopped, failed or interrupted run"):
        runs.resume(run_folder("run", me(state)))


# Processes

def test_a_folder_is_one_process_at_a_time_and_who_fails_gives_it_back():
    path = run_folder("run", Status("stopped", env_steps=7))
    before = (path / "status.json").read_text()
    again = "from pathlib import Path; from rlcore.runs import claimed; claimed(Path('runs/run')).__enter__()"
    environment = {**os.environ, "PYTHONPATH": str(Path(rl.__file__).parents[1])}
    with pytest.raises(ZeroDivisionError), runs.claimed(path):
        assert (open_run(path).state, open_run(path).status.env_steps) == ("starting", 7)
        other = subprocess.run([sys.executable, "-c", again], stderr=subprocess.PIPE, text=True, env=environment,
                               check=False)
        assert "run is already starting." in other.stderr
        (path / "config.yaml").write_text("half a change")
        _ = 1 / 0
    assert (path / "status.json").read_text() == before
    assert (path / "config.yaml").read_text() == "algo: ppo\n"
    with pytest.raises(ZeroDivisionError), runs.claimed(Path("runs/new")):
        _ = 1 / 0
    assert not Path("runs/new").exists()


def test_of_many_processes_that_want_a_folder_at_once_one_gets_it():
    script = ("import time; from pathlib import Path; from rlcore.runs import claimed; print(flush=True); input(); "
              "held = claimed(Path('run')); held.__enter__(); print('mine', flush=True); time.sleep(60)")
    environment = {**os.environ, "PYTHONPATH": str(Path(rl.__file__).parents[1])}
    crowd = [subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    for process in crowd:
        process.stdout.readline()
    for process in crowd:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.stdout.readline() for process in crowd)
    for process in crowd:
        process.kill()
        process.communicate()
    assert said == ["", "", "", "mine\n"]
    assert open_run(Path("run")).state == "interrupted"
    with runs.claimed(Path("run")):  # a dead process holds nothing
        pass


def test_a_script_is_written_in_utf_8_whatever_the_machines_locale():
    script = ("from rlcore.runs import process; process._train = lambda *_: None; "
              "process.launch('# \\u03b2 = 0.4', 'run', process.Path('.'))")
    environment = {**os.environ, "PYTHONPATH": str(Path(rl.__file__).parents[1]), "LC_ALL": "C", "PYTHONUTF8": "0",
                   "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert next(Path().glob("run-*/train.py")).read_text(encoding="utf-8") == "# β = 0.4"


def test_a_launched_run_is_stopped_resumed_and_evaluated_by_processes_of_its_own(
        launched: Callable[..., Path]):
    path = launched(SCRIPT.format(env_steps=10**7))
    assert (path / "train.py").read_text() == SCRIPT.format(env_steps=10**7)
    assert open_run(path).state == "starting"
    until(lambda: open_run(path).status.env_steps > 2000, "the first steps")
    run = open_run(path)
    process = psutil.Process(run.status.pid)
    assert run.state == "running"
    assert os.getsid(process.pid) != os.getsid(0)  # a session of its own: it outlives whoever started it
    runs.stop(path)
    until(lambda: open_run(path).state == "stopped", "the stop")
    stopped_at = open_run(path).status.env_steps

    runs.resume(path)
    assert open_run(path).state == "starting"
    with pytest.raises(ConfigError, match="is starting"):
        runs.resume(path)  # a second click
    until(lambda: open_run(path).status.env_steps > stopped_at + 1000, "the resumed run")
    steps = read_metrics(path)["step"]
    assert steps == sorted(set(steps))

    assert runs.evaluate(path, episodes=3).wait(60) == 0, (path / "evaluate.log").read_text()  # while it trains
    row = runs.read_evaluations(path)[-1]
    assert (row["episodes"], len(row["returns"])) == (3, 3)
    assert row["low"] <= row["iqm"] <= row["high"]
    psutil.Process(open_run(path).status.pid).kill()
    until(lambda: open_run(path).state == "interrupted", "the kill to be noticed", seconds=5)


def test_a_script_that_fails_before_it_trains_is_not_starting_for_ever(launched: Callable[..., Path]):
    path = launched("raise RuntimeError('no such module')")
    until(lambda: open_run(path).state in ("failed", "interrupted"), "the failure to be noticed", seconds=20)
    assert "no such module" in tail_log(path)
    delete(path)


def test_a_run_can_be_deleted_while_its_last_status_is_being_written(monkeypatch: pytest.MonkeyPatch):
    path = run_folder("begun", Status("starting", *a_dead_process()))
    waiting = subprocess.Popen([sys.executable, "-c", "pass"])
    waiting.wait()

    def remove(folder: Path) -> None:
        _wait(path, waiting)    # it writes what became of the run where that was
        assert list_runs(folder.parent) == []
        shutil.rmtree(folder)

    monkeypatch.setattr("rlcore.runs.folder.shutil", SimpleNamespace(rmtree=remove))
    delete(path)
    assert list(path.parent.iterdir()) == []


def test_a_stop_right_after_the_launch_is_honoured(launched: Callable[..., Path]):
    path = launched(SCRIPT.format(env_steps=60_000))
    runs.stop(path)
    until(lambda: open_run(path).state in ("stopped", "finished", "failed"), "the stop")
    assert open_run(path).state == "stopped", tail_log(path)


OWN_ENV = """
import rlcore as rl

rl.train("ppo", "lamp.py:Lamp", rl.PPOConfig(num_envs=2, horizon=32, hidden=(8,), num_minibatches=2), env_steps=128)
"""
LAMP = "import pathlib; pathlib.Path('it_ran').touch(); from tests.rlcore.test_env_functions import Light as Lamp"


@pytest.mark.slow
def test_code_of_a_run_that_was_launched_here_is_its_own_and_any_other_needs_consent(
        launched: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    Path("lamp.py").write_text(LAMP)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    path = launched(OWN_ENV)
    until(lambda: open_run(path).state in ("finished", "failed"), "the run")
    assert (open_run(path).config["env"], runs.foreign(open_run(path))) == ("lamp.py:Lamp", ())
    assert runs.evaluate(path, episodes=1).wait(60) == 0, (path / "evaluate.log").read_text()
    assert runs.record(path).wait(60) == 0, (path / "video.log").read_text()

    monkeypatch.setattr("rlcore.runs.process._LAUNCHED", set())  # as in an app that was started anew
    Path("it_ran").unlink()
    assert runs.foreign(open_run(path)) == ("lamp.py:Lamp",)
    assert runs.evaluate(path, episodes=1, agreed=["lamp.py:Other"]).wait(60) == 2
    assert "which only its folder names" in (path / "evaluate.log").read_text()
    assert not Path("it_ran").exists()
    assert runs.evaluate(path, episodes=1, agreed=["lamp.py:Lamp"]).wait(60) == 0
    assert len(runs.read_evaluations(path)) == 2


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_from_the_newer_one(monkeypatch: pytest.MonkeyPatch):
    config = rl.DQNConfig(hidden=(16,), learning_starts=20)
    rl.train("dqn", "CartPole-v1", config, env_steps=100, run_dir="run")
    folder, real = Path("run/checkpoints"), checkpoint.latest
    state, moved = checkpoint.load(folder / f"{100:012d}", "agent"), []

    def latest(asked: Path) -> Path | None:
        found = real(asked)
        if not moved:  # the trainer saves between our looking and our reading
            moved.append(checkpoint.save(folder, 200, {"agent": state}))
        return found

    monkeypatch.setattr(checkpoint, "latest", latest)
    evaluate(Path("run"), episodes=1)
    assert runs.read_evaluations(Path("run"))[0]["step"] == 200  # what was evaluated, not what was there before
