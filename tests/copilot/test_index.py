"""The index: what it finds, and that nothing which happens to it loses more than time."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from copilot.index import ELSEWHERE, open_index, quoted
from rlcore.config import ConfigError
from tests.copilot.fakes import PAGES, WordEmbedder, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def current(folder: Path) -> Path:
    return folder / (folder / "current").read_text()


def test_words_are_found_by_stem_and_the_heading_counts_most(corpus, tmp_path):
    index = open_index(corpus, tmp_path / "ix", WordEmbedder())
    found = index.match(quoted("clipping"), 10)
    assert index.chunks[next(iter(found))].heading_path[-1] == "Why does PPO clip the ratio?"


@pytest.mark.parametrize("word", ['"', "AND", "a OR b", "x*", "NEAR(", "^title:", "-", "col:x", "截断"])
def test_signs_of_the_query_language_are_only_text(corpus, tmp_path, word):
    open_index(corpus, tmp_path / "ix", WordEmbedder()).match(quoted(word), 5)


def test_chinese_words_are_found(corpus, tmp_path):
    index = open_index(corpus, tmp_path / "ix", WordEmbedder())
    places = index.match(quoted("截断"), 5)
    assert [index.chunks[place].heading_path[-1] for place in places] == ["Truncation"]


def test_how_many_chunks_have_a_word_and_whether_some_of_them_do(corpus, tmp_path):
    index = open_index(corpus, tmp_path / "ix", WordEmbedder())
    having = [place for place, chunk in enumerate(index.chunks) if "clip" in chunk.text.lower()]
    others = [place for place in range(index.size) if place not in index.match(quoted("clipping"), index.size)]
    phrases = [quoted("clipping"), quoted("zebra"), quoted("clipping")]
    assert index.having(phrases) == index.having(phrases) == [index.having(phrases)[0], 0, index.having(phrases)[0]]
    assert index.having(phrases)[0] >= len(having) > 0
    assert index.having([*map(quoted, map(str, range(10_000, 11_200))), phrases[0]])[-1] == index.having(phrases)[0]
    assert index.among(quoted("clipping"), [*others, having[0]]) and not index.among(quoted("clipping"), others)
    assert not index.among(quoted("zebra"), range(index.size))


def test_an_unchanged_corpus_is_not_embedded_again(corpus, tmp_path):
    open_index(corpus, tmp_path / "ix", WordEmbedder())
    second = WordEmbedder()
    open_index(corpus, tmp_path / "ix", second)
    assert second.encoded == []


def test_a_changed_page_costs_only_its_own_texts(corpus, tmp_path):
    first = WordEmbedder()
    open_index(corpus, tmp_path / "ix", first)
    page = corpus / "faq/debugging.md"
    page.write_text(page.read_text() + "\n## Why is it slow?\nToo many threads wait for each other.\n")
    second = WordEmbedder()
    index = open_index(corpus, tmp_path / "ix", second)
    assert 0 < len(second.encoded) < 6 < len(first.encoded)
    assert any("Why is it slow?" in chunk.heading_path for chunk in index.chunks)


def test_a_removed_page_is_gone(corpus, tmp_path):
    open_index(corpus, tmp_path / "ix", WordEmbedder())
    (corpus / "papers/sac.md").unlink()
    index = open_index(corpus, tmp_path / "ix", WordEmbedder())
    assert "papers/sac.md" not in {chunk.doc_path for chunk in index.chunks}
    assert index.match(quoted("temperature"), 5) == {}


def test_another_embedder_means_another_index(corpus, tmp_path):
    first = open_index(corpus, tmp_path / "ix", WordEmbedder("words-1"))
    other = WordEmbedder("words-2")
    second = open_index(corpus, tmp_path / "ix", other)
    assert len(other.encoded) > len(second.chunks) == len(first.chunks)  # every chunk, and its statements
    vector = other.encode_query("the temperature of SAC weighs entropy against reward")
    assert second.chunks[second.near(vector, 20)[0]].doc_path == "papers/sac.md"


def test_vectors_that_are_lost_are_made_again_and_only_those(corpus, tmp_path):
    folder = tmp_path / "ix"
    whole = open_index(corpus, folder, WordEmbedder()).size
    with closing(sqlite3.connect(current(folder) / "index.sqlite")) as sql, sql:
        sql.execute("DELETE FROM vectors WHERE hash IN (SELECT hash FROM vectors LIMIT 2)")
    fresh = WordEmbedder()
    assert open_index(corpus, folder, fresh).size == whole and len(fresh.encoded) == 2


def test_an_unfinished_build_leaves_the_old_index(corpus, tmp_path):
    class Killed(WordEmbedder):
        def encode_documents(self, texts, progress=None):
            raise KeyboardInterrupt

    folder = tmp_path / "ix"
    open_index(corpus, folder, WordEmbedder())
    before = (folder / "current").read_text()
    (corpus / "new.md").write_text("# New\n\nSomething that was not there before.\n")
    with pytest.raises(KeyboardInterrupt):
        open_index(corpus, folder, Killed())
    assert (folder / "current").read_text() == before
    assert any(c.doc_path == "new.md" for c in open_index(corpus, folder, WordEmbedder()).chunks)


def test_sqlite_that_is_no_database_is_built_again(corpus, tmp_path):
    folder = tmp_path / "ix"
    open_index(corpus, folder, WordEmbedder())
    (current(folder) / "index.sqlite").write_bytes(b"nonsense" * 500)
    vector = WordEmbedder().encode_query("the temperature of SAC weighs entropy against reward")
    index = open_index(corpus, folder, WordEmbedder())
    assert index.chunks[index.near(vector, 20)[0]].doc_path == "papers/sac.md"


def test_two_processes_may_open_it_at_once(corpus, tmp_path):
    code = ("import sys; from pathlib import Path; from copilot.index import open_index; "
            "from tests.copilot.fakes import WordEmbedder; "
            "print(len(open_index(Path(sys.argv[1]), Path(sys.argv[2]), WordEmbedder()).chunks))")
    command = [sys.executable, "-c", code, str(corpus), str(tmp_path / "ix")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sizes = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0] and len(sizes) == 1


def test_whoever_waits_for_another_window_says_so(corpus, tmp_path):
    said = []
    (tmp_path / "index").mkdir()
    with closing(sqlite3.connect(tmp_path / "index" / "lock", isolation_level=None)) as gate:
        gate.execute("BEGIN EXCLUSIVE")

        def heard(done, text):
            said.append((done, text))
            if gate.in_transaction:
                gate.execute("ROLLBACK")           # the other one has ended

        open_index(corpus, tmp_path / "index", WordEmbedder(), heard)
    assert said[0] == (0.0, ELSEWHERE)
    assert all(text != ELSEWHERE for _, text in said[1:])
    said.clear()
    open_index(corpus, tmp_path / "index", WordEmbedder(), heard)
    assert said == []


def test_the_vectors_are_stored_where_the_truth_is(corpus, tmp_path):
    folder = tmp_path / "ix"
    index = open_index(corpus, folder, WordEmbedder())
    with closing(sqlite3.connect(current(folder) / "index.sqlite")) as sql:
        (owners,) = sql.execute("SELECT count(DISTINCT place) FROM entries").fetchone()
    assert owners == len(index.chunks) > len(PAGES)


def test_a_missing_corpus_is_said_in_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        open_index(tmp_path / "nowhere", tmp_path / "ix", WordEmbedder())
