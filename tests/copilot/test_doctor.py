"""The doctor: finds what is wrong with an index or a collection, says so by its exit code, and makes it well."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from copilot import store
from copilot.__main__ import main
from copilot.collection import Collection, collection
from copilot.doctor import Report, examine, examine_collection, examine_corpus, repair
from copilot.index import current_build, open_index
from tests.copilot.fakes import WordEmbedder, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def own(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    monkeypatch.setattr(store, "_EXACT", 5)
    open_index(corpus, tmp_path / "ix", WordEmbedder())
    made = collection(tmp_path / "ix", "mine", new=True)
    notes = {f"{n}.md": f"# P{n}\n\nSubject {'abcdefghijkl'[n] * 5} of many.\n" for n in range(12)}
    made.add([write_corpus(tmp_path / "notes", notes)], WordEmbedder())
    return made


def healed(report: Report, tmp_path: Path, embedder: WordEmbedder) -> Report:
    return repair(report, tmp_path / "corpus", tmp_path / "ix", embedder, lambda *_: None)


def sql(own: Collection, *statements: str) -> None:
    with store.opened(own.folder) as opened:
        for statement in statements:
            opened.execute(statement)


def chroma(own: Collection) -> Path:
    (folder,) = own.folder.glob("chroma-*")
    return folder


DAMAGE = {
    "a passage is lost": (lambda own: sql(own, "DELETE FROM chunks WHERE place = 3"), "do not cover"),
    "a passage is there twice": (
        lambda own: sql(own, "INSERT INTO chunks (file, id, heading, text, start, end, found) "
                             "SELECT file, id || 'x', heading, text, start, end, found FROM chunks WHERE place = 3"),
        "do not cover"),
    "a word is lost": (lambda own: sql(own, "DELETE FROM words WHERE rowid = 3"), "full-text table lacks 1"),
    "a vector is lost": (lambda own: sql(own, "DELETE FROM vectors WHERE place = 3"), "1 passages have no vectors"),
    "a vector is another": (
        lambda own: sql(own, "UPDATE vectors SET vectors = (SELECT vectors FROM vectors WHERE place = 4) "
                             "WHERE place = 3"),
        "has 1 others"),
    "a vector belongs to nothing": (lambda own: sql(own, "INSERT INTO vectors VALUES (999, '', x'00')"), "no passage"),
    "the database is scribbled on": (
        lambda own: (own.folder / "collection.sqlite").write_bytes(b"nonsense" * 999), "damaged"),
    "the database is gone": (lambda own: (own.folder / "collection.sqlite").unlink(), "missing"),
    "Chroma is gone": (lambda own: shutil.rmtree(chroma(own)), "Chroma"),
    "Chroma is scribbled on": (lambda own: (chroma(own) / "chroma.sqlite3").write_bytes(b"nonsense" * 99), "Chroma"),
    "a file has changed": (
        lambda own: Path(own.sources.paths[0], "3.md").write_text("# P3\n\nAnother subject.\n"), "1 files are changed"),
    "a file is gone": (lambda own: Path(own.sources.paths[0], "3.md").unlink(), "1 files are gone"),
    "a file is new": (lambda own: Path(own.sources.paths[0], "new.md").write_text("# N\n\nNew.\n"), "1 files are new"),
}


@pytest.mark.usefixtures("own")
def test_all_is_well(tmp_path):
    corpus, mine = examine(tmp_path / "corpus", tmp_path / "ix", WordEmbedder())
    assert corpus.problems == mine.problems == ()
    assert mine.contents == "12 files, 0 not taken, 12 passages, Chroma search"


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_made_well(own, tmp_path, damage):
    harm, complaint = DAMAGE[damage]
    harm(own)
    for leftover in own.folder.glob("collection.sqlite-*"):
        if "database" in damage:
            leftover.unlink()
    report = examine_collection(own, WordEmbedder())
    assert complaint in " ".join(report.problems)
    assert healed(report, tmp_path, WordEmbedder()).problems == ()


def test_vectors_of_another_embedder_are_made_again(own, tmp_path):
    other = WordEmbedder("words-2")
    report = examine_collection(own, other)
    assert "words-1, not of words-2" in " ".join(report.problems)
    assert healed(report, tmp_path, other).problems == ()


@pytest.mark.parametrize("damage", ["words", "vectors", "sqlite", "page", "all"])
def test_the_corpus_is_examined_too(tmp_path, corpus, damage):
    open_index(corpus, tmp_path / "ix", WordEmbedder())
    build = current_build(tmp_path / "ix")
    if damage in {"words", "vectors"}:
        with closing(sqlite3.connect(build / "index.sqlite")) as database, database:
            database.execute(f"DELETE FROM {damage} WHERE rowid = 1")
    elif damage == "sqlite":
        (build / "index.sqlite").write_bytes(b"nonsense" * 99)
    elif damage == "page":
        (corpus / "new.md").write_text("# New\n\nA page.\n")
    else:
        (tmp_path / "ix" / "current").unlink()
        shutil.rmtree(build)
    report = examine_corpus(corpus, tmp_path / "ix", WordEmbedder())
    assert report.problems
    fresh = WordEmbedder()
    assert healed(report, tmp_path, fresh).problems == ()
    assert bool(fresh.encoded) == (damage != "words")     # vectors that are whole serve again


def test_the_exit_code_says_whether_all_is_well(own, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("copilot.__main__.open_embedder", lambda _spec: WordEmbedder())
    command = ["doctor", "--corpus", str(tmp_path / "corpus"), "--index", str(tmp_path / "ix")]
    assert main(command) == 0
    DAMAGE["a word is lost"][0](own)
    assert main(command) == 1
    assert "lacks 1 passages" in capsys.readouterr().out
    assert main([*command, "--fix"]) == 0 and main(command) == 0


def test_the_command_line_adds_lists_updates_and_removes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("copilot.__main__.open_embedder", lambda _spec: WordEmbedder())
    notes = write_corpus(tmp_path / "notes", {"a.md": "# A\n\nText.\n"})
    (notes / "b.docx").write_text("x")

    def run(*words: str) -> str:
        assert main(["index", *words, "--index", str(tmp_path / "ix")]) == 0
        return capsys.readouterr().out

    assert "1 files read" in run("add", str(notes), "--collection", "lab") and "lab: 1 files" in run("list")
    listed = run("list", "--collection", "lab")
    assert f"taken    {notes}/a.md" in listed and "b.docx is of a kind that is not read" in listed
    (notes / "c.md").write_text("# C\n\nMore.\n")
    assert "1 files read, 0 removed, 1 unchanged" in run("update")
    assert "1 files removed" in run("remove", str(notes / "c.md"), "--collection", "lab")
    assert "removed as a whole" in run("remove", "--collection", "lab") and run("list") == ""
    assert main(["index", "remove", "--index", str(tmp_path / "ix")]) == 2
