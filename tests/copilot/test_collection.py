"""Collections: what changes on disk costs only itself, and whatever ends an update, the next one goes on."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from copilot import store
from copilot.assistant import Assistant
from copilot.collection import Collection, collection, collections
from copilot.index import Damaged, open_index, quoted
from copilot.ingest.child import Read, Reader
from copilot.ingest.text import Unreadable
from copilot.library import CollectionIndex, Library, open_collection
from copilot.retrieve import Retriever
from rlcore.config import ConfigError
from tests.copilot.fakes import WordEmbedder, write_corpus
from tests.copilot.files import pdf

NOTES = {
    "robot.md": "# Robot\n\n## What is the torque limit?\n\nThe joints of Wally take at most 12 Nm of torque.\n",
    "lab/rules.txt": "Visitors of the laboratory wear goggles. The laser stays off.\n",
    "lab/drive.py": 'def brake(force):\n    """Slows the vehicle down."""\n    return -force\n',
}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "notes", NOTES)


@pytest.fixture
def own(tmp_path: Path, notes: Path) -> Collection:
    made = collection(tmp_path / "ix", "mine", new=True)
    made.add([notes], WordEmbedder())
    return made


def rows(own: Collection) -> list[tuple[str, str]]:
    with store.opened(own.folder) as sql:
        return sql.execute("SELECT id, text FROM chunks ORDER BY id").fetchall()


def updated(own: Collection) -> tuple[int, int, int, int]:
    """Files read, removed and unchanged, and texts embedded by an update."""
    embedder = WordEmbedder()
    outcome = own.update(embedder)
    return outcome.read, outcome.removed, outcome.unchanged, len(embedder.encoded)


def test_what_has_not_changed_costs_nothing(own, notes):
    assert updated(own) == (0, 0, 3, 0)
    os.utime(notes / "robot.md")       # touched, not changed
    assert updated(own) == (0, 0, 3, 0)


def test_a_changed_file_costs_only_its_own_changed_passages(own, notes):
    page = notes / "robot.md"
    page.write_text(page.read_text() + "\n## How fast is it?\n\nWally drives 3 m/s.\n")
    assert updated(own) == (1, 0, 2, 3)        # the new passage, its heading, and its one statement
    assert any("3 m/s" in text for _, text in rows(own))


def test_a_file_that_moved_is_not_embedded_again(own, notes):
    before = [text for _, text in rows(own)]
    (notes / "lab").rename(notes / "laboratory")
    assert updated(own) == (2, 2, 1, 0)
    assert sorted(text for _, text in rows(own)) == sorted(before)


def test_a_file_that_is_gone_is_gone_from_every_search(own, notes):
    (notes / "robot.md").unlink()
    assert updated(own) == (0, 1, 2, 0)
    index = CollectionIndex(own.folder, "words-1")
    assert index.match(quoted("torque"), 5) == {}
    assert all("torque" not in index.chunk(place).text
               for place in index.near(WordEmbedder().encode_query("torque limit of the joints"), 50))


def test_adding_twice_leaves_no_passage_twice(own, notes):
    before = rows(own)
    own.add([notes, notes / "lab", notes / "robot.md"], WordEmbedder())
    assert rows(own) == before
    assert len({text for _, text in before}) == len(before)


def test_a_passage_that_a_file_repeats_is_taken_once_and_all_that_it_says_is_there(tmp_path):
    lines = [f"Line {number} of the log says that all is well with the arm and its torque." for number in range(40)]
    notes = write_corpus(tmp_path / "notes", {"log.txt": "\n".join(lines * 400), "b.md": "# B\n\n## One\n\nSame.\n\n"
                                              "## Two\n\nSame.\n"})
    own, embedder = collection(tmp_path / "ix", "mine", new=True), WordEmbedder()
    own.add([notes], embedder)
    with store.opened(own.folder) as sql:
        kept = sql.execute("SELECT file, heading, text FROM chunks").fetchall()
    assert len(set(kept)) == len(kept) < 400
    assert set(lines) <= set("\n".join(text for _, _, text in kept).split("\n"))
    assert sum(text.endswith("Same.") for *_, text in kept) == 2       # below headings of their own they differ
    assert len(embedder.encoded) == len(set(embedder.encoded))


def test_a_text_that_many_passages_share_is_embedded_once(tmp_path):
    pages = {f"{n}.md": f"# Log\n\n## Day {n}\n\nAll is well with the arm. All is well with the arm.\n"
             for n in range(300)}
    own, embedder = collection(tmp_path / "ix", "mine", new=True), WordEmbedder()
    own.add([write_corpus(tmp_path / "notes", pages)], embedder)
    assert len(embedder.encoded) == 300 + 300 + 1      # the passages, their headings, and the one thing that all say
    with store.opened(own.folder) as sql:
        (blob,) = sql.execute("SELECT vectors FROM vectors WHERE place = 300").fetchone()
    vectors = store.vectors_of(blob, embedder.dim)
    said = WordEmbedder().encode_documents(["All is well with the arm."])[0]
    assert len(vectors) == 4 and np.allclose(vectors[2:], said, atol=1e-2)


def test_copies_are_taken_once_and_take_over_when_the_first_is_gone(own, notes):
    shutil.copy(notes / "robot.md", notes / "zz-copy.md")
    left = own.update(WordEmbedder()).left
    assert [(Path(file.path).name, "same content" in file.reason) for file in left] == [("zz-copy.md", True)]
    (notes / "robot.md").unlink()
    assert own.update(WordEmbedder()).left == ()
    assert any("12 Nm" in text for _, text in rows(own))


def test_files_and_folders_can_be_removed_and_stay_so(own, notes):
    assert own.remove([notes / "lab"]) == 2
    assert updated(own) == (0, 0, 1, 0)
    own.add([notes / "lab"], WordEmbedder())
    assert len(own.files()) == 3
    assert own.remove([notes]) == 3 and own.sources.paths == ()
    with pytest.raises(ConfigError, match="has nothing at"):
        own.remove([notes])


def test_a_folder_out_of_reach_keeps_its_passages(own, notes):
    before = rows(own)
    notes.rename(notes.with_name("unplugged"))
    outcome = own.update(WordEmbedder())
    assert rows(own) == before and "cannot be opened" in outcome.left[0].reason


def test_collections_are_named_listed_and_removed(own, tmp_path):
    index_dir = tmp_path / "ix"
    assert collections(index_dir) == ["mine"]
    with pytest.raises(ConfigError, match=r"no collection 'other'.*mine"):
        collection(index_dir, "other")
    with pytest.raises(ConfigError, match="cannot be called"):
        collection(index_dir, "../other", new=True)
    with pytest.raises(ConfigError, match="does not exist"):
        own.add([tmp_path / "nowhere"], WordEmbedder())
    own.delete()
    assert collections(index_dir) == [] and not own.folder.exists()


def test_another_embedder_never_meets_the_vectors_of_the_first(own):
    other = WordEmbedder("words-2")
    index = open_collection(own, other)
    assert len(other.encoded) >= 3 * len(rows(own))
    best = index.nearest(other.encode_query("The joints of Wally take at most 12 Nm of torque."), 3)
    assert "12 Nm" in index.chunk(next(iter(best))).text


def test_an_open_collection_sees_at_the_next_question_what_another_process_did(own, notes):
    index = CollectionIndex(own.folder, "words-1")
    (notes / "new.md").write_text("# News\n\nThe zebra escaped.\n")
    own.update(WordEmbedder())
    assert index.match(quoted("zebra"), 5) == {}       # until then, all that it says belongs together
    assert index.having([quoted("zebra")]) == [0]
    index.refresh()
    assert [len(index.match(quoted("zebra"), 5))] == index.having([quoted("zebra")]) == [1]
    assert index.near(WordEmbedder().encode_query("zebra escaped"), 5)


def test_while_somebody_changes_a_collection_what_has_vectors_is_searched(own, notes, assistant):
    (notes / "fast.md").write_text("# Speed of Wally\n\nWally drives at most 3 m/s in the laboratory.\n")
    with pytest.raises(KeyboardInterrupt):
        own.update(Cut())
    with held(own):
        index = open_collection(own, WordEmbedder())       # does not wait
        *_, reply = assistant.ask("What is the torque limit of the joints of Wally?")
        assert "12 Nm" in reply.text
        with pytest.raises(ConfigError, match=r"'mine' is being changed by somebody else .*\. Try again when"):
            open_collection(own, WordEmbedder("words-2"))
    (place,) = index.match(quoted("speed"), 5)
    close = index.closeness(WordEmbedder().encode_query("speed"), [place])[place]
    assert (close.passage, close.heading, close.statements) == (0.0, 0.0, (0.0,))      # found by its words alone
    assert len(open_collection(own, WordEmbedder()).near(WordEmbedder().encode_query("speed"), 50)) == len(rows(own))


class Cut(WordEmbedder):
    """Embeds nothing: its process ends."""

    def encode_documents(self, texts, progress=None):
        raise KeyboardInterrupt


@contextmanager
def held(own: Collection) -> Iterator[None]:
    """As if another process changed the collection."""
    with closing(sqlite3.connect(own.folder / "lock", isolation_level=None)) as gate:
        gate.execute("BEGIN EXCLUSIVE")
        yield


def test_who_waits_too_long_for_another_process_is_told(own, monkeypatch):
    monkeypatch.setattr("copilot.collection.alone.__wrapped__.__defaults__", (0.0, None))
    with held(own), pytest.raises(ConfigError, match="'mine' is being changed by somebody else"):
        own.update(WordEmbedder())


def test_a_collection_that_somebody_changes_is_not_removed(own):
    with held(own), pytest.raises(ConfigError, match="'mine' is being changed by somebody else"):
        own.delete()
    assert own.folder.is_dir()


@pytest.mark.parametrize(("reason", "again"), [
    ("took longer than 60 s to read", 1), ("needs more than 1,000 MB of memory to read", 1),
    ("ended the process that read it", 1), ("is too large or nested too deeply (MemoryError)", 1),
    ("is encrypted", 0),
])
def test_a_file_that_was_refused_for_want_of_time_or_memory_is_tried_again(own, notes, reason, again):
    class Weak(Reader):
        def read(self, path: str) -> Read:
            raise Unreadable(reason)

    (notes / "new.md").write_text("# News\n\nThe zebra escaped.\n")
    (left,) = Collection(own.folder, Weak).update(WordEmbedder()).left
    assert left.reason == reason
    outcome = own.update(WordEmbedder())
    assert (outcome.read, len(outcome.left)) == (again, 1 - again)


@pytest.mark.parametrize("stage", ["Reading: 60", "Indexing: 256"])
def test_an_update_that_is_killed_goes_on_where_it_was(tmp_path, stage):
    notes = write_corpus(tmp_path / "notes", {
        f"{number}.md": f"# Page {number}\n\n" + "".join(f"## Part {part} of {number}\n\nWord{number}x{part}.\n\n"
                                                         for part in range(5)) for number in range(120)})
    code = ("import sys; from pathlib import Path; from copilot.collection import collection; "
            "from tests.copilot.fakes import WordEmbedder; "
            "collection(Path(sys.argv[1]), 'mine', new=True).add([Path(sys.argv[2])], WordEmbedder(), "
            "lambda done, text: print(text, flush=True))")
    index_dir = tmp_path / "ix"
    with subprocess.Popen([sys.executable, "-c", code, index_dir, notes], stdout=subprocess.PIPE, text=True) as process:
        assert any(line.startswith(stage) for line in process.stdout)
        process.kill()
    own, embedder = collection(index_dir, "mine"), WordEmbedder()
    outcome = own.update(embedder)
    unbroken = collection(index_dir, "unbroken", new=True)
    unbroken.add([notes], WordEmbedder())
    assert rows(own) == rows(unbroken) and len(rows(own)) == 600
    if stage.startswith("Reading"):
        assert 0 < outcome.read <= 120 - 32
    else:
        assert outcome.read == 0 and 0 < len(embedder.encoded) <= 3 * (600 - 256)
    with store.opened(own.folder) as sql:
        assert store.pending(sql) == 0
        assert sql.execute("SELECT count(*) FROM words").fetchone() == (600,)


def test_a_large_collection_is_searched_through_chroma_and_what_came_later_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_EXACT", 10)
    notes = write_corpus(tmp_path / "notes", {f"{n}.md": f"# P{n}\n\nSubject {'abcdefghij'[n % 10] * 6} number {n}.\n"
                                              for n in range(40)})
    own, embedder = collection(tmp_path / "ix", "mine", new=True), WordEmbedder()
    own.add([notes], embedder)
    index = CollectionIndex(own.folder, "words-1")
    assert index._chroma.count() == 80 and len(index._fresh) == 0
    query = embedder.encode_query("subject cccccc")
    titles = {index.document(index.chunk(place).doc_path).title for place in index.near(query, 4)}
    assert titles == {"P2", "P12", "P22", "P32"}
    (notes / "2.md").unlink()
    (notes / "new.md").write_text("# Cccccc\n\nSubject cccccc.\n")
    own.update(embedder)
    index.refresh()
    assert index._chroma.count() == 80 and len(index._fresh) == 2      # Chroma is as it was
    assert index.document(index.chunk(index.near(query, 4)[0]).doc_path).title == "Cccccc"
    assert all(not index.chunk(place).doc_path.endswith("/2.md") for place in index.near(query, 80))
    for n in range(40, 55):
        (notes / f"{n}.md").write_text(f"# P{n}\n\nOther {n}.\n")
    own.update(embedder)
    index.refresh()
    assert index._chroma.count() == 2 * 55 and len(index._fresh) == 0
    exact = {place: np.dot(store.vectors_of(blob, embedder.dim)[0], query)
             for place, blob in index._rows("SELECT place, vectors FROM vectors")}
    assert list(index.nearest(query, 1)) == [max(exact, key=exact.get)]


def test_an_open_collection_reads_only_the_vectors_that_are_new_and_searches_all(tmp_path):
    notes = write_corpus(tmp_path / "notes", {f"{n}.md": f"# P{n}\n\nSubject {'abcdefghij'[n % 10] * 6} number {n}.\n"
                                              for n in range(30)})
    own, embedder = collection(tmp_path / "ix", "mine", new=True), WordEmbedder()
    own.add([notes], embedder)
    index, statements = CollectionIndex(own.folder, "words-1"), []
    index._sql.set_trace_callback(statements.append)

    def vectors_read(embedder: WordEmbedder) -> int:
        """How many passages' vectors it reads at the next question, whose similarities are then the true ones."""
        statements.clear()
        index.refresh()
        read = sum(one.count(",") - 1 for one in statements if "substr(vectors" in one)
        query = embedder.encode_query("subject cccccc")
        true = {place: (store.vectors_of(blob, embedder.dim)[:2] @ query).max()
                for place, blob in index._rows("SELECT place, vectors FROM vectors")}
        assert index.nearest(query, 2 * len(true)) == pytest.approx(true, abs=0.02)        # bfloat16
        return read

    assert vectors_read(embedder) == 0     # all were read when it was opened
    (notes / "2.md").unlink()
    for n in range(30, 33):
        (notes / f"{n}.md").write_text(f"# P{n}\n\nOther {n}.\n")
    own.update(embedder)
    assert vectors_read(embedder) == 3 and len(index._fresh) == 2 * (30 - 1 + 3)


def test_an_open_collection_that_another_embedder_was_given_is_not_searched(own):
    embedder = WordEmbedder()
    index = open_collection(own, embedder)
    open_collection(own, WordEmbedder("words-2"))
    for _ in range(2):                     # it stays so
        with pytest.raises(ConfigError, match=r"'mine' now has the vectors of words-2, .* encoded by words-1\."):
            index.refresh()
    own.ready(embedder)
    index.refresh()
    best = index.nearest(embedder.encode_query("The joints of Wally take at most 12 Nm of torque."), 3)
    assert "12 Nm" in index.chunk(next(iter(best))).text and max(best.values()) > 0.5


def test_a_collection_without_a_passage_finds_nothing(tmp_path):
    (tmp_path / "notes").mkdir()
    own, embedder = collection(tmp_path / "ix", "mine", new=True), WordEmbedder()
    own.add([tmp_path / "notes"], embedder)
    assert CollectionIndex(own.folder, "words-1").near(embedder.encode_query("anything"), 5) == []


def test_a_damaged_database_says_what_helps(own):
    (own.folder / "collection.sqlite").write_bytes(b"nonsense" * 500)
    for suffix in ("-wal", "-shm"):
        (own.folder / f"collection.sqlite{suffix}").unlink(missing_ok=True)
    with pytest.raises(Damaged, match="doctor --fix"):
        open_collection(own, WordEmbedder())


@pytest.fixture
def assistant(own: Collection, tmp_path: Path) -> Assistant:
    corpus = write_corpus(tmp_path / "corpus")
    return Assistant.open(corpus, tmp_path / "ix", embedder=WordEmbedder(), collections=[own.name])


def test_the_corpus_and_a_collection_are_asked_together(assistant, notes):
    *_, reply = assistant.ask("What is the torque limit of the joints of Wally?")
    assert "12 Nm" in reply.text and reply.sources[0].path == (notes / "robot.md").as_posix()
    *_, reply = assistant.ask("Why does PPO clip the ratio?")
    assert reply.sources[0].path == "papers/ppo.md"


def test_a_citation_names_file_and_page(assistant, own, notes):
    pages = ["The cover of the manual.", "The zebra sleeps in the gearbox at night."]
    (notes / "manual.pdf").write_bytes(pdf(pages, "Manual"))
    own.update(WordEmbedder())
    *_, reply = assistant.ask("Where does the zebra sleep at night?")
    assert (reply.sources[0].title, reply.sources[0].heading) == ("Manual", "page 2")
    assert reply.sources[0].path == (notes / "manual.pdf").as_posix()


def test_a_chinese_question_finds_a_chinese_file(assistant, own, notes):
    (notes / "arm.md").write_text("# 机械臂\n\n机械臂的力矩上限是十二牛米，奖励函数按能耗扣分。\n", encoding="utf-8")
    own.update(WordEmbedder())
    for question in ("机械臂的力矩上限是多少？", "机械臂的奖励函数怎么扣分？"):
        *_, reply = assistant.ask(question)
        assert not reply.abstained and (notes / "arm.md").as_posix() in [source.path for source in reply.sources]
        assert "十二牛米" in reply.text
    *_, reply = assistant.ask("红烧肉应该怎么做才好吃？")
    assert reply.abstained


def test_a_question_about_nothing_in_either_is_still_refused(assistant):
    *_, reply = assistant.ask("Which wine goes with roast duck in France?")
    assert reply.abstained


def test_words_that_are_common_in_a_small_collection_count_as_rare_ones(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", {f"docs/{n}.md": f"# Page {n}\n\nGeneral remark {n} on torque.\n"
                                                for n in range(30)})
    notes = write_corpus(tmp_path / "notes", {f"{n}.md": f"# N{n}\n\nThe gearbox has part {n}.\n" for n in range(4)})
    embedder = WordEmbedder()
    own = collection(tmp_path / "ix", "mine", new=True)
    own.add([notes], embedder)
    library = Library(open_index(corpus, tmp_path / "ix", embedder), [open_collection(own, embedder)])
    best = next(iter(library.match(f"{quoted('gearbox')} OR {quoted('remark')}", 50)))
    assert "gearbox" in library.chunks[best].text
    assert Retriever(library, embedder).size == 34


def test_nothing_of_a_removed_passage_stays_in_the_database(own, notes):
    (notes / "robot.md").write_text("# Robot\n\nAll else is forgotten.\n")
    own.update(WordEmbedder())
    with closing(sqlite3.connect(own.folder / "collection.sqlite")) as sql:
        places = {place for place, in sql.execute("SELECT place FROM chunks")}
        assert {place for place, in sql.execute("SELECT rowid FROM words")} == places
        assert {place for place, in sql.execute("SELECT place FROM vectors")} == places
