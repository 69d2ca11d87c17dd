"""What the Runs page shows of folders, and which buttons can work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from page_fakes import write_evaluation, write_run, write_video

from gui import runs as page
from gui import runview
from gui.jobs import Jobs
from gui.runs import Look
from gui.runview import Can
from rlcore import runs
from rlcore.runs import open_run


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    started = Jobs()
    yield started
    for job in (job for listed in started._jobs.values() for job in listed):
        job.process.wait()


def python(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def test_without_runs_the_page_says_what_to_do(tmp_path: Path, jobs: Jobs) -> None:
    new = page.view(tmp_path, Look(), {}, jobs)
    assert new.run_id == ""
    assert new.parts["any"] is False
    assert new.parts["alive"] is False
    assert "Train page" in new.parts["list"]


@pytest.mark.parametrize(("state", "alive", "checkpoint", "expected"), [
    ("running", True, True, Can(stop=True, evaluate=True, record=True)),
    ("running", True, False, Can(stop=True)),
    ("stopping", True, True, Can(evaluate=True, record=True)),
    ("finished", False, True, Can(evaluate=True, record=True, delete=True)),
    ("stopped", False, True, Can(resume=True, evaluate=True, record=True, delete=True)),
    ("failed", False, False, Can(resume=True, delete=True)),
    ("running", False, True, Can(resume=True, evaluate=True, record=True, delete=True)),     # its process is gone
])
def test_buttons_are_enabled_only_where_they_can_work(
    tmp_path: Path, state: str, alive: bool, checkpoint: bool, expected: Can,
) -> None:
    run = open_run(write_run(tmp_path, "a", state, alive=alive, checkpoint=checkpoint))
    assert runview.can(run, ()) == expected


def test_a_job_at_work_blocks_a_second_one_and_deleting(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, "a"))
    assert runview.can(run, {"evaluation"}) == Can(record=True)


def test_a_run_whose_process_is_gone_offers_to_resume(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, "a", "running"))
    html = runview.head_html(run, (), {})
    assert "This run was interrupted" in html
    assert "from the last checkpoint" in html
    assert 'data-state="interrupted"' in html


def test_a_run_that_is_done_while_its_script_goes_on_is_watched(tmp_path: Path, jobs: Jobs) -> None:
    write_run(tmp_path, "a", "finished", alive=True)
    new = page.view(tmp_path, Look(), {}, jobs)
    assert new.parts["alive"] is True
    assert "now evaluates the agent" in new.parts["head"]


def test_the_head_shows_progress_and_time_left(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, "a", "running", alive=True, steps=3000, total=12_000, mean=120.5))
    html = runview.head_html(run, (), {})
    assert 'aria-valuenow="25"' in html
    assert "of 12,000" in html
    assert "120.5" in html
    assert "9 s" in html
    assert 'class="solved"' not in html


def test_a_solved_return_is_marked(tmp_path: Path) -> None:
    assert 'class="solved">480<' in runview.head_html(open_run(write_run(tmp_path, "a")), (), {})


def test_curves_show_the_goal_the_evaluations_and_chosen_metrics(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a")
    write_evaluation(path, 490.0)
    html = runview.curves_html(open_run(path), 0.6, "steps", ["loss/value"])
    assert "solved at 475" in html
    assert 'data-points="3"' in html
    assert "plot-dot" in html
    assert 'id="curve-loss-value"' in html
    assert "seconds" in runview.curves_html(open_run(path), 0.6, "time", [])


def test_a_metric_that_a_run_has_not_got_is_an_empty_chart(tmp_path: Path) -> None:
    html = runview.curves_html(open_run(write_run(tmp_path, "a")), 0.0, "steps", ["loss/q"])
    assert "No values yet" in html


def test_metrics_to_choose_leave_out_what_is_shown_anyway(tmp_path: Path) -> None:
    assert runview.metric_names(write_run(tmp_path, "a")) == ["loss/value"]


def test_the_script_and_the_log_are_shown_as_they_are(tmp_path: Path, jobs: Jobs) -> None:
    path = write_run(tmp_path, "a")
    (path / "train.log").write_text("loss < 1\n")
    new = page.view(tmp_path, Look(), {}, jobs)
    assert '<span class="keyword">import</span> rlcore' in new.parts["script"]
    assert "loss &lt; 1" in new.parts["log"]
    (path / "train.py").unlink()
    assert "command line" in runview.script_html(path)


def test_evaluations_are_listed_newest_first(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a")
    assert "Not evaluated yet" in runview.evaluations_html(path)
    write_evaluation(path, 300.0)
    write_evaluation(path, 490.0)
    html = runview.evaluations_html(path)
    assert html.index("490.0") < html.index("300.0")
    assert "485.0 to 495.0" in html


def test_the_newest_video_is_played_and_older_ones_are_linked(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a")
    assert "No video yet" in runview.videos_html(open_run(path))
    write_video(path, "000000001000.mp4", age_s=60)
    write_video(path, "000000003000.mp4")
    (path / "videos" / ".000000004000.mp4").write_bytes(b"unfinished")
    html = runview.videos_html(open_run(path))
    assert '<video id="run-video" src="/videos/a/000000003000.mp4?v=' in html
    assert 'href="/videos/a/000000001000.mp4"' in html
    assert "4000" not in html


def test_nothing_is_made_again_while_nothing_changes(tmp_path: Path, jobs: Jobs) -> None:
    write_run(tmp_path, "a")
    first = page.view(tmp_path, Look(), {}, jobs)
    again = page.view(tmp_path, Look(first.run_id), first.seen, jobs)
    assert set(again.parts) <= {"list"}              # ages change with the clock
    assert {"head", "curves", "log", "script", "settings", "buttons"} <= set(first.parts)


def test_only_what_changed_is_made_again(tmp_path: Path, jobs: Jobs) -> None:
    path = write_run(tmp_path, "a")
    first = page.view(tmp_path, Look("a"), {}, jobs)
    with (path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4000, "time_s": 4.0, "episode/return": 500.0}) + "\n")
    again = page.view(tmp_path, Look("a"), first.seen, jobs)
    assert set(again.parts) - {"list"} == {"curves"}
    assert 'data-points="4"' in again.parts["curves"]


def test_another_run_is_shown_whole(tmp_path: Path, jobs: Jobs) -> None:
    write_run(tmp_path, "a")
    write_run(tmp_path, "b")
    first = page.view(tmp_path, Look("a"), {}, jobs)
    other = page.view(tmp_path, Look("b"), first.seen, jobs)
    assert other.run_id == "b"
    assert {"head", "curves", "log", "script", "settings", "evaluations", "videos"} <= set(other.parts)


def test_the_view_becomes_one_update_per_component(tmp_path: Path, jobs: Jobs) -> None:
    write_run(tmp_path, "a")
    full, none = page.updates(page.view(tmp_path, Look(), {}, jobs)), page.updates(page.View("", {}, {}))
    assert len(full) == len(none) == 20


def name_code(path: Path, **named: str) -> None:
    """Let a run's folder name an environment or an encoder."""
    config = path / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | named))


def test_a_run_that_names_code_waits_until_somebody_trusts_it(tmp_path: Path, jobs: Jobs) -> None:
    path = write_run(tmp_path, "a", "stopped")
    name_code(path, env="<i>.py:Mine", encoder="nets:Tower")
    first = page.view(tmp_path, Look(), {}, jobs)
    assert first.parts["buttons"] == Can(delete=True)
    assert first.parts["trust"] == ("<i>.py:Mine", "nets:Tower")
    assert "<code>&lt;i&gt;.py:Mine</code>, <code>nets:Tower</code>" in runview.trust_html(first.parts["trust"])
    jobs.agreed.add("nets:Tower")
    again = page.view(tmp_path, Look("a"), first.seen, jobs)
    assert (again.parts["trust"], "buttons" in again.parts) == (("<i>.py:Mine",), False)
    jobs.agreed.add("<i>.py:Mine")
    last = page.view(tmp_path, Look("a"), again.seen, jobs)
    assert (last.parts["trust"], last.parts["buttons"]) == (
        (), Can(resume=True, evaluate=True, record=True, delete=True))


def test_a_run_of_a_registered_environment_asks_nothing(tmp_path: Path, jobs: Jobs) -> None:
    path = write_run(tmp_path, "a", "stopped")
    for env in ("CartPole-v1", "rlcore/BitFlip-v0", "ALE/Pong-v5"):
        name_code(path, env=env)
        assert page.view(tmp_path, Look(), {}, jobs).parts["trust"] == ()


def test_a_script_that_was_not_launched_here_is_code_too(tmp_path: Path, jobs: Jobs) -> None:
    path = write_run(tmp_path, "a", "stopped", checkpoint=False)
    (path / "config.yaml").unlink()
    assert page.view(tmp_path, Look(), {}, jobs).parts["trust"] == (str(path / "train.py"),)
    assert "its script train.py was not launched from here" in page.act(tmp_path, "a", runs.resume)
    assert open_run(path).state == "stopped"


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    write_run(tmp_path, "a", "running", alive=True)
    assert "Stop it first" in page.act(tmp_path, "a", runs.delete)
    assert (tmp_path / "a").is_dir()
    assert page.act(tmp_path, "a", runs.stop) == ""
    assert "gone is not there any more: its folder was deleted" in page.act(tmp_path, "gone", runs.stop)


def test_a_job_is_started_once_and_its_failure_is_told(tmp_path: Path, jobs: Jobs) -> None:
    path = write_run(tmp_path, "a")
    jobs.start("a", "video", lambda: python("import time; time.sleep(0.3); raise SystemExit(2)"))
    jobs.start("a", "video", lambda: pytest.fail("a second one was started"))
    assert jobs.working("a") == {"video"}
    assert jobs.any()
    deadline = time.monotonic() + 20
    while jobs.any() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert jobs.failed("a") == {"video": 2}
    (path / "video.log").write_text("working\nIt cannot be drawn on this machine.\n\n")
    assert "It cannot be drawn on this machine." in runview.head_html(open_run(path), (), jobs.failed("a"))


def test_a_job_that_ends_well_leaves_nothing_behind(jobs: Jobs) -> None:
    process = python("")
    jobs.start("a", "evaluation", lambda: process)
    process.wait()
    assert jobs.working("a") == frozenset()
    assert jobs.failed("a") == {}
