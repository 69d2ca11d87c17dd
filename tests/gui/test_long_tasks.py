"""Long work in a thread: one at a time, watched, cancelled, and its failures told."""

from __future__ import annotations

import threading

from test_documents_page import finished

from gui.jobs import Step, Task
from rlcore.config import ConfigError


def test_a_task_reports_and_says_what_came_of_it() -> None:
    task, go = Task(), threading.Event()

    def work(report):  # type: ignore[no-untyped-def]
        report(0.5, "Half")
        go.wait(60)
        return "All of it"

    assert task.start(work)
    while task.now.text == "Starting":
        pass
    assert task.now == Step("working", 0.5, "Half")
    assert not task.start(work)                      # one at a time
    go.set()
    assert finished(task) == Step("done", 1.0, "All of it")


def test_a_cancelled_task_ends_at_its_next_report_and_another_can_begin() -> None:
    task, go = Task(), threading.Event()

    def work(report):  # type: ignore[no-untyped-def]
        go.wait(60)
        report(0.5, "Half")
        raise AssertionError("it went on")

    task.start(work)
    task.cancel()
    go.set()
    assert finished(task).state == "cancelled"
    assert task.start(lambda _report: "Again")
    assert finished(task).text == "Again"


def test_a_failure_is_told_in_its_own_words() -> None:
    task = Task()

    def work(_report):  # type: ignore[no-untyped-def]
        raise ConfigError("There is no room.")

    task.start(work)
    assert finished(task) == Step("failed", 0.0, "There is no room.")
