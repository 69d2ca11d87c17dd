"""Answers without a model: quotations that are whole, true to their passage and short enough to read."""

import pytest

from copilot.answer import compose, not_covered
from copilot.assistant import Assistant
from copilot.cite import marks, verified
from copilot.quote import groups, quote
from tests.copilot.fakes import WordEmbedder, write_corpus

PASSAGE = """## How do I clip?

Clip the norm of the gradient. It keeps one bad batch from wrecking the weights. See [the docs](docs.md).

The update is

$$
g = g / |g|
$$

where $g$ is the gradient.

Do this, in order:

1. Compute the loss on the whole batch.
2. Take the gradient of the loss.
3. Clip its norm at one half of a nat.

```python
clip(parameters, 0.5)
```

*Chinese:* 梯度裁剪

梯度裁剪限制每一步的大小。

Sources: practice.
"""


def quoted(words: int, *best: str, opening: bool = False, chinese: bool = False) -> str:
    return quote(PASSAGE, 1, words, dict.fromkeys(best, 1.0), opening=opening, chinese=chinese)


def test_what_belongs_together_is_one_group():
    kinds = [[piece.kind for piece in group] for group in groups(PASSAGE)]
    equation, steps = ["paragraph", "math", "paragraph"], ["paragraph", "item", "item", "item"]
    assert kinds == [["paragraph"], equation, steps, ["fence"], ["paragraph"]]


def test_an_equation_comes_with_its_lead_in_and_its_where():
    assert quoted(15, "The update is") == "The update is [1]\n\n$$\ng = g / |g|\n$$\n\nwhere $g$ is the gradient. [1]"


def test_a_listing_is_whole_and_follows_a_line_with_its_source():
    assert quoted(8, "```python\nclip(parameters, 0.5)\n```").startswith(
        "From the source [1]:\n\n```python\nclip(parameters, 0.5)\n```")


def test_a_list_too_long_keeps_its_best_items_in_order_and_loses_its_numbers():
    best = ("3. Clip its norm at one half of a nat.", "1. Compute the loss on the whole batch.")
    assert quoted(22, *best) == ("Do this, in order [1]:\n\n- Compute the loss on the whole batch. [1]\n"
                                 "- Clip its norm at one half of a nat. [1]")


def test_a_quotation_does_not_begin_with_it():
    text = "Clip the norm. It keeps the weights. " + "Nothing else matters here at all. " * 9
    assert quote(text, 2, 9, {"It keeps the weights.": 1.0}, opening=False, chinese=False) == (
        "Clip the norm. It keeps the weights. [2]")


def test_cross_references_sources_and_other_languages_are_left_out():
    assert not {"See", "Sources", "梯度"} & {word for word in ("See", "Sources", "梯度") if word in quoted(500)}
    assert "梯度裁剪限制每一步的大小。 [1]" in quoted(500, chinese=True)


def test_an_opening_longer_than_the_room_is_better_than_nothing():
    table = "| a | b |\n|---|---|\n" + "| one | two |\n" * 50
    assert quote(table, 1, 20, {}, opening=True, chinese=False).count("| one | two |") == 50
    assert quote(table, 1, 20, {}, opening=False, chinese=False) == ""


@pytest.fixture(scope="module")
def assistant(tmp_path_factory):
    root = tmp_path_factory.mktemp("answers")
    return Assistant.open(write_corpus(root / "corpus"), root / "index", embedder=WordEmbedder())


@pytest.mark.parametrize("question", ["Why does PPO clip the ratio?", "PPO or SAC?", "NaN losses", "SAC temperature",
                                      "What is the difference between PPO and SAC?", "截断 PPO"])
def test_an_answer_can_be_read_in_a_minute_and_every_block_of_it_is_cited(assistant, question):
    answer = compose(assistant.find(question))
    assert 20 < len(answer.split()) < 320
    for block in answer.split("\n\n"):
        assert marks(block) or block.startswith(("**", ">", "$$", "```")), block


def test_nothing_is_named_to_read_on_that_was_quoted(assistant):
    answer = compose(assistant.find("Why does PPO clip the ratio?"))
    quotations, read_on = answer.split("**Read on:**")
    assert not set(marks(quotations)) & set(marks(read_on))


def test_a_chinese_question_is_told_that_the_corpus_is_english(assistant):
    assert compose(assistant.find("PPO 的截断")).startswith("> 语料库是英文的")
    assert "没有涵盖" in not_covered(assistant.find("红烧肉怎么做"))


def test_verifying_leaves_code_headings_and_tables_alone():
    text = "# Title\n\n```python\nx[1] = y[9]\n```\n\n| a |\n|---|\n| b [1] |\n"
    assert verified(text, ["nothing in common"]) == text


@pytest.mark.parametrize(("written", "expected"), [
    ("SAC learns the temperature.", "SAC learns the temperature. [2]"),
    ("SAC learns the temperature. [1]", "SAC learns the temperature. [2]"),
    ("SAC learns the temperature [2].", "SAC learns the temperature. [2]"),
    ("Bananas are yellow fruit. [1]", "Bananas are yellow fruit."),
    ("PPO clips at 0.2. [1] It clips the ratio. [7]", "PPO clips at 0.2. [1] It clips the ratio. [1]"),
    ("PPO clips the ratio at 0.3. [1]", "PPO clips the ratio at 0.3. *(number not in the sources)* [1]"),
])
def test_a_sentence_keeps_only_the_mark_of_a_passage_that_supports_it(written, expected):
    assert verified(written, ["PPO clips the ratio at 0.2.", "SAC learns the temperature."]) == expected
