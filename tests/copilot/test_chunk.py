"""Chunks: nothing that belongs together is broken, nothing of a page is lost."""

import pytest

from copilot.chunk import blocks, facts, sentences, split, tokens
from copilot.corpus import Document
from tests.copilot.fakes import PAGES, write_corpus


def page(text: str, path: str = "docs/page.md", **meta: object) -> Document:
    return Document(path, str(meta.get("title", "Page")), text, dict(meta))


LONG = "Every sentence here says one more thing about replay memory and its size. " * 60


@pytest.mark.parametrize("whole", [
    "```python\n" + "x = 1  # a line of code\n" * 120 + "```",
    "$$\n" + "L(\\theta) = a + b \\\\\n" * 80 + "$$",
    "| setting | value |\n|---|---|\n" + "| learning rate | 0.001 and so on |\n" * 80,
], ids=["fence", "equation", "table"])
def test_a_fence_an_equation_and_a_table_stay_whole_however_long(whole):
    chunks = split(page(f"# Title\n\n{LONG}\n\n{whole}\n\n{LONG}"))
    assert sum(whole.strip() in chunk.text for chunk in chunks) == 1
    assert len(chunks) > 3


def test_the_chunks_of_a_page_cover_every_character():
    text = f"\n\nBefore any heading.\n\n# One\n\n{LONG}\n\n## Two\n\n- item\n- item\n\n{LONG}\n"
    chunks = split(page(text))
    assert "".join(text[chunk.start:chunk.end] for chunk in chunks) == text


def test_no_chunk_of_prose_is_much_longer_than_the_embedder_reads():
    assert max(tokens(chunk.text) for chunk in split(page(f"# A\n\n{LONG}"))) <= 330


def test_the_path_of_headings_is_kept():
    chunks = split(page("# A\n\nx.\n\n## B\n\ny.\n\n### C\n\nz.\n\n## D\n\nw.\n"))
    assert [chunk.heading_path for chunk in chunks] == [("A",), ("A", "B"), ("A", "B", "C"), ("A", "D")]


def test_every_question_and_every_term_is_a_chunk_of_its_own():
    asked = split(page("# FAQ\n\n## One?\n\nYes.\n\n## Two?\n\nNo.\n", "faq/x.md", title="FAQ"))
    assert [chunk.heading_path[-1] for chunk in asked if "?" in chunk.text] == ["One?", "Two?"]
    terms = split(page("# Glossary\n\n### A\n\nOne.\n\n### B\n\nTwo.\n", "glossary.md", title="Glossary"))
    assert [chunk.heading_path[-1] for chunk in terms][-2:] == ["A", "B"]


def test_a_heading_inside_a_fence_is_code():
    chunks = split(page("# A\n\n```sh\n# not a heading\nls\n```\n"))
    assert [chunk.heading_path for chunk in chunks] == [("A",)]


def test_a_fence_that_never_closes_loses_nothing():
    text = "# A\n\n```python\nx = 1\n\n## B\n\nText.\n"
    assert "".join(text[c.start:c.end] for c in split(page(text))) == text
    assert [block.kind for block in blocks(text)].count("fence") == 0


def test_sentences_end_at_chinese_marks_and_not_in_formulas():
    assert sentences("策略改进了。价值估计也改进了！") == ["策略改进了。", "价值估计也改进了！"]
    assert sentences("It is `a. B`, i.e. $x. Y$ here. Next one.") == ["It is `a. B`, i.e. $x. Y$ here.", "Next one."]


@pytest.mark.parametrize("text", [
    "The loss is clipped (see eq. 7 and fig. 3).", "See ch. 5, sec. 2, eqs. (3) and vol. 2.",
    "Cf. pp. 12 and no. 4 here.", "It takes approx. 5 h, resp. 7 h.", "As in Eq. 7 and Fig. A and Sec. 2.",
    "EQ. 7 and approx. $3$ hold.",
])
def test_an_abbreviation_ends_no_sentence(text):
    assert sentences(text) == [text]


def test_a_word_that_looks_like_an_abbreviation_ends_a_sentence_before_another():
    assert sentences("Does it learn? No. It stops.") == ["Does it learn?", "No.", "It stops."]
    assert sentences("It took 5 sec. Then it fell. We ate a fig. Good.") == [
        "It took 5 sec.", "Then it fell.", "We ate a fig.", "Good."]


def test_a_papers_front_matter_can_be_found(tmp_path):
    from copilot.corpus import load

    papers = {document.path: document for document in load(write_corpus(tmp_path))}
    (chunk,) = facts(papers["papers/ppo.md"])
    assert "2017" in chunk.text and "on-policy" in chunk.text and chunk.is_facts
    assert facts(papers["faq/debugging.md"]) == []
    assert set(papers) == set(PAGES)
