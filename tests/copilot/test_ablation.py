"""The comparison of recipes: what is compared, how it is counted, and the questions that it counts with."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from copilot.__main__ import main
from copilot.ablation import LOCALGPT, RECIPES, is_one_of, recursive_split
from copilot.chunk import split
from copilot.corpus import load
from copilot.index import open_index
from copilot.retrieve import Recipe, Retriever
from tests.copilot.fakes import WordEmbedder, write_corpus

ROOT = Path(__file__).resolve().parents[2]


def test_the_recursive_splitter_cuts_at_paragraphs_and_repeats_the_last_ones():
    text = "a" * 30 + "\n\n" + "b" * 10 + "\n\n" + "c" * 30 + "\n\n" + "d" * 20
    assert [text[start:end].split() for start, end in recursive_split(text, size=50, overlap=14)] == [
        ["a" * 30, "b" * 10], ["b" * 10, "c" * 30], ["d" * 20]]


def test_what_has_no_separator_is_cut_anywhere_and_nothing_is_lost():
    spans = recursive_split("x" * 2500, size=1000, overlap=200)
    assert max(end - start for start, end in spans) <= 1000
    assert spans[0][0] == 0 and spans[-1][1] == 2500 and all(one[1] >= two[0] for one, two in pairwise(spans))


def test_measuring_prints_one_table_of_all_recipes(tmp_path, monkeypatch, capsys):
    write_corpus(tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("copilot.__main__.open_embedder", lambda _spec: WordEmbedder())
    rows = [{"id": "a", "question": "Why does PPO clip the ratio?", "pages": ["papers/ppo.md#why does PPO clip"]},
            {"id": "b", "question": "and when should I use it?", "before": "What is PPO?", "pages": ["papers/ppo.md"]},
            {"id": "c", "question": "How do I bake sourdough bread?", "pages": []}]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert main(["measure", "--questions", "q.jsonl", "--out", "results", "--ablation"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [LOCALGPT, *RECIPES]
    ours = dict(zip((cell.strip() for cell in lines[0].split("|")),
                    (cell.strip() for cell in next(line for line in lines if line.startswith("| ours ")).split("|")),
                    strict=True))
    assert (ours["page@1"], ours["refused outside"]) == ("1.000", "1.000")
    assert len(list(Path("results").iterdir())) == len(lines) - 2


@pytest.mark.parametrize("name", ["BM25", "dense", "RRF-60"])
def test_the_recipes_of_others_take_no_step_of_ours(name, tmp_path):
    index = open_index(write_corpus(tmp_path / "corpus"), tmp_path / "index", WordEmbedder())
    finds = Retriever(index, WordEmbedder(), RECIPES[name]).find
    assert finds("rattio").english == "rattio" and Retriever(index, WordEmbedder()).find("rattio").english == "ratio"
    assert "Sources for PPO" in [passage.chunk.heading_path[-1] for passage in finds("Schulman PPO sources").passages]
    ours = vars(Recipe())
    assert [step for step, value in vars(RECIPES[name]).items() if step not in ("dense", "fusion")
            and value == ours[step]] == []


def test_every_step_of_ours_is_left_out_once():
    left_out = {step for name, recipe in RECIPES.items() if name.startswith("ours") for step, value in
                vars(recipe).items() if value != getattr(Recipe(), step)}
    assert left_out == vars(Recipe()).keys()


def test_a_scorer_of_ones_own_gives_the_columns(tmp_path, monkeypatch, capsys):
    write_corpus(tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("copilot.__main__.open_embedder", lambda _spec: WordEmbedder())
    Path("q.jsonl").write_text('{"id": "a", "question": "Why does PPO clip the ratio?"}', encoding="utf-8")
    Path("judge.py").write_text("def score(items, rows):\n    return {'length': float(len(rows[0]['contexts']))}, ''\n")
    assert main(["measure", "--questions", "q.jsonl", "--out", "r", "--scorer", "judge.py", "--ablation", "BM25"]) == 0
    assert "| length |" in capsys.readouterr().out
    assert main(["measure", "--questions", "q.jsonl", "--out", "r", "--ablation", "magic"]) == 2
    assert "No recipe is called 'magic'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def questions() -> list[dict]:
    lines = (ROOT / "benchmarks/questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_questions_are_many_and_of_many_kinds(questions):
    kinds = Counter(row["kind"] for row in questions)
    assert len({row["id"] for row in questions}) == len({row["question"] for row in questions}) == len(questions) > 200
    assert kinds["outside"] > 50 and len(kinds) > 10
    assert sum(row["lang"] == "zh" for row in questions) > 30
    assert all(bool(row["pages"]) == (row["kind"] != "outside") for row in questions)


def test_every_page_that_should_answer_exists(questions):
    chunks = [chunk for page in load(ROOT / "corpus") for chunk in split(page)]
    paths = {chunk.doc_path for chunk in chunks}
    missing = [(row["id"], page) for row in questions for page in row["pages"]
               if page.partition("#")[0] not in paths or not any(is_one_of(chunk, [page]) for chunk in chunks)]
    assert missing == []
