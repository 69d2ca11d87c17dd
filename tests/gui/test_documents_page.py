"""My documents: what a collection holds, adding, updating and removing, on a desk with a real collection."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from page_fakes import FakeDesk, failing_library, library, places

from copilot.collection import Outcome, collection
from gui import documents
from gui.documents import Shelf
from gui.jobs import Step, Task
from gui.service import Library, Places
from tests.copilot.fakes import WordEmbedder


class Desk(FakeDesk):
    """Takes real files into real collections, with vectors that need no model."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def add(self, name: str, paths: list[Path], progress: object) -> Outcome:
        return collection(self.folder, name, new=True).add(paths, WordEmbedder(), progress)  # type: ignore[arg-type]

    def update(self, name: str, progress: object) -> Outcome:
        return collection(self.folder, name).update(WordEmbedder(), progress)  # type: ignore[arg-type]

    def remove(self, name: str) -> None:
        collection(self.folder, name).delete()


@pytest.fixture
def at(tmp_path: Path) -> Places:
    return places(tmp_path)


@pytest.fixture
def shelf(at: Places) -> Library:
    return library(Desk(at.documents))


def finished(task: Task) -> Step:
    deadline = time.monotonic() + 60
    while task.now.state == "working" and time.monotonic() < deadline:
        time.sleep(0.01)
    return task.now


def notes(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nThe gripper lifts a cup.\n")
    (folder / "b.bin").write_bytes(b"\0\1")
    return folder


def test_a_folder_is_added_and_what_is_skipped_has_its_reason(at: Places, shelf: Library, tmp_path: Path) -> None:
    task = Task()
    assert documents.add(shelf, at, task, "mine", str(notes(tmp_path / "notes")), []) == ""
    assert finished(task).state == "done"
    (one,) = documents.shelves(at.documents)
    assert (one.name, one.files, one.passages) == ("mine", 1, 1)
    assert [Path(file.path).name for file in one.left] == ["b.bin"]
    html = documents.shelves_html([one])
    assert "1 file · 1 passage" in html
    assert "of a kind that is not read" in html


def test_what_is_new_on_disk_comes_with_an_update(at: Places, shelf: Library, tmp_path: Path) -> None:
    folder, task = notes(tmp_path / "notes"), Task()
    documents.add(shelf, at, task, "mine", str(folder), [])
    finished(task)
    (folder / "c.md").write_text("# C\n\nAnother page.\n")
    assert documents.update(shelf, task, "mine") == ""
    assert "mine: 1 files read" in finished(task).text
    assert documents.shelves(at.documents)[0].files == 2


def test_files_from_the_browser_are_kept_with_their_collection_and_go_with_it(
    at: Places, shelf: Library, tmp_path: Path,
) -> None:
    uploaded, task = tmp_path / "page.md", Task()
    uploaded.write_text("# Page\n\nText.\n")
    assert documents.add(shelf, at, task, "papers", "", [str(uploaded)]) == ""
    finished(task)
    copy = at.documents / "uploads" / "papers" / "page.md"
    assert copy.is_file()
    assert "papers was removed" in documents.remove(shelf, at, "papers")
    assert documents.shelves(at.documents) == []
    assert not copy.exists()


def test_files_from_the_browser_wait_until_other_work_has_ended(at: Places, shelf: Library, tmp_path: Path) -> None:
    uploaded, task = tmp_path / "page.md", Task()
    uploaded.write_text("# Page\n\nText.\n")
    task.now = Step("working")
    assert "being read already" in documents.add(shelf, at, task, "papers", "", [str(uploaded)])
    task.now = Step("done")
    assert documents.add(shelf, at, task, "papers", "", [str(uploaded)]) == ""     # it is still there
    assert finished(task).state == "done"


def test_another_file_of_the_same_name_gets_a_name_of_its_own(at: Places, shelf: Library, tmp_path: Path) -> None:
    for number, text in enumerate(("One.", "Two.", "Two.", "Three.")):
        uploaded, task = tmp_path / str(number) / "page.md", Task()
        uploaded.parent.mkdir()
        uploaded.write_text(text)
        assert documents.add(shelf, at, task, "papers", "", [str(uploaded)]) == ""
        assert finished(task).state == "done"
    kept = {path.name: path.read_text() for path in (at.documents / "uploads" / "papers").iterdir()}
    assert kept == {"page.md": "One.", "page-2.md": "Two.", "page-3.md": "Three."}


def test_what_cannot_be_added_is_said(at: Places, shelf: Library) -> None:
    task = Task()
    assert "Give the path" in documents.add(shelf, at, task, "mine", " ", [])
    assert "cannot be called 'no/name'" in documents.add(shelf, at, task, "no/name", "notes", [])
    assert "home directory" in documents.add(shelf, at, task, "mine", "~nobody-of-this-name/notes", [])
    assert documents.add(shelf, at, task, "mine", "/nowhere/at/all", []) == ""
    assert finished(task) == Step("failed", 0.0, "'/nowhere/at/all' does not exist. Give files or folders that are "
                                                 "there.")
    assert "There is no collection" in documents.remove(shelf, at, "gone")


def test_an_index_that_cannot_be_opened_is_explained(at: Places, tmp_path: Path) -> None:
    task = Task()
    documents.add(failing_library(ValueError("disk full")), at, task, "mine", str(tmp_path), [])
    assert "disk full" in finished(task).text


def test_names_and_reasons_are_shown_as_text() -> None:
    html = documents.shelves_html([Shelf("mine", ("/a/<b>",), 0, 0, (), "cannot be <read>")])
    assert "/a/&lt;b&gt;" in html
    assert "cannot be &lt;read&gt;" in html
    assert "No documents yet" in documents.shelves_html([])


@pytest.mark.parametrize(("step", "text"), [
    (Step("working", 0.42, "Reading: 1 of 2 files"), 'aria-valuenow="42"'), (Step("failed", 0, "No <room>"), "No &lt;"),
    (Step("done", 1, "2 files read"), "notice good"), (Step(), 'data-state="idle"'),
])
def test_progress_is_shown(step: Step, text: str) -> None:
    assert text in documents.step_html(step)
