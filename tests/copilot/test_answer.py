"""Answers without a model: quotations that are whole, true to their passage and short enough to read."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.answer import compose, name, not_covered
from copilot.assistant import Assistant
from copilot.chunk import blocks, sentences, split, statements
from copilot.cite import marks, verified
from copilot.corpus import load, page
from copilot.quote import asks_whether, chosen, cited, foreign, groups, replies, reverses, rows, same, unreplied
from copilot.retrieve import Found, Passage
from copilot.vocabulary import Term
from copilot.words import stems
from tests.copilot.fakes import PAGES, WordEmbedder, write_corpus

ROOT = Path(__file__).resolve().parents[2]

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


def quoted(words: int, *best: str) -> str:
    return "\n\n".join(cited(group, 1) for group in chosen(groups(PASSAGE), words, dict.fromkeys(best, 1.0)))


def test_what_belongs_together_is_one_group():
    kinds = [[piece.kind for piece in group] for group in groups(PASSAGE)]
    equation, steps = ["paragraph", "math", "paragraph"], ["paragraph", "item", "item", "item"]
    assert kinds == [["paragraph"], equation, steps, ["fence"], ["paragraph"]]


def test_an_equation_comes_with_its_lead_in_and_its_where():
    assert quoted(15, "The update is") == "The update is [1]\n\n$$\ng = g / |g|\n$$\n\nwhere $g$ is the gradient. [1]"


def test_a_listing_is_whole_and_follows_a_line_with_its_source():
    assert quoted(8, "```python\nclip(parameters, 0.5)\n```").startswith(
        "From the source [1]:\n\n```python\nclip(parameters, 0.5)\n```")


def test_a_list_too_long_keeps_its_best_items_in_order_loses_its_numbers_and_says_that_items_are_missing():
    best = ("3. Clip its norm at one half of a nat.", "1. Compute the loss on the whole batch.")
    assert quoted(22, *best) == ("Do this, in order [1]:\n\n- Compute the loss on the whole batch. [1]\n"
                                 "- Clip its norm at one half of a nat. [1]\n- …")


def test_a_quotation_does_not_begin_with_it():
    text = "Clip the norm. It keeps the weights. " + "Nothing else matters here at all. " * 9
    (group,) = chosen(groups(text), 9, {"It keeps the weights.": 1.0})
    assert cited(group, 2) == "Clip the norm. It keeps the weights. [2]"


def test_cross_references_and_sources_are_left_out():
    assert "See" not in quoted(500) and "Sources" not in quoted(500)


def test_a_table_is_whole_or_absent():
    table = "| a | b |\n|---|---|\n" + "| one | two |\n" * 50
    assert chosen(groups(table), 20, {}) == []
    assert cited(chosen(groups(table), 500, {})[0], 1).count("| one | two |") == 50


TRAINING = {
    "papers/ppo.md": PAGES["papers/ppo.md"].replace("## When to use PPO", "## When to use PPO and when not"),
    "papers/sac.md": PAGES["papers/sac.md"].replace("## When to use SAC", "## When to use SAC and when not"),
    "docs/runs.md": """---
title: "Runs"
---
# Runs

## How do I resume a run?
Resume a run with `python -m rlcore resume`, which goes on from the last checkpoint of the run.

In a program:

```python
rl.resume("runs/NAME")
```
""",
}


@pytest.fixture(scope="module")
def assistant(tmp_path_factory) -> Assistant:
    root = tmp_path_factory.mktemp("answers")
    return Assistant.open(write_corpus(root / "corpus", PAGES | TRAINING), root / "index", embedder=WordEmbedder())


QUESTIONS = ["Why does PPO clip the ratio?", "PPO or SAC?", "why are my losses NaN", "What is the temperature in SAC?",
             "What is the difference between PPO and SAC?", "截断 PPO", "价值函数是什么", "How do I resume a run?",
             "my losses are NaN and I clip nothing", "When should I use SAC?"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_can_be_read_in_a_minute_and_nothing_in_it_is_invented(assistant, question):
    found = assistant.find(question)
    answer = compose(found)
    assert 20 < len(answer.split()) < 340
    assert invented(answer, found) == []


def test_nothing_is_invented_in_answers_from_the_corpus():
    """Three hundred headings are asked, of each passage beside three others; how they were found does not matter."""
    draw = random.Random(1)
    known = [(page, chunk) for page in load(ROOT / "corpus") for chunk in split(page) if chunk.heading_path]
    for turn, first in enumerate(draw.sample(known, 300)):
        question = f"{('', 'how do I ', 'write code: ')[turn % 3]}{first[1].heading_path[-1]}"
        passages = tuple(Passage(chunk, page, 0.95 - 0.05 * place)
                         for place, (page, chunk) in enumerate([first, *draw.sample(known, 3)]))
        asked = stems(question)
        relevance = {said: len(stems(said) & asked) / (len(asked) or 1)
                     for passage in passages for said in statements(passage.chunk.text)}
        found = Found(question, passages, relevance, 1.0)
        assert invented(compose(found), found) == [], question


def test_the_test_for_invented_sentences_finds_one():
    text = ("**PPO clips the ratio.** It never fails. [1]\n\n- *Two:* SAC learns a temperature. [2]\n"
            "- *Three:* Lower the rate. [2]\n\n**Nobody's heading**\n\nNobody said this.\n\n```\nno code\n```\n\n"
            "**Read on:** Elsewhere [1]")
    told = found("Does PPO clip?", (0.9, "## One\n\nPPO clips the ratio.\n\n- Lower the rate."),
                 (0.8, "## Two\n\nSAC learns\na temperature."))
    assert invented(text, told) == ["It never fails.", "*Three:* Lower the rate.", "Nobody's heading",
                                    "Nobody said this.", "no code", "Elsewhere [1]"]


FIXED = re.compile(
    r"> My sources cover this only in part\. The nearest that they say:|> 语料库只涵盖一部分，最接近的是：|"
    r"> 语料库是英文的，以下引用原文。|> (?:My sources do not mention|语料库没有提到) \*.*\*[.。]|"
    r"\*\*(?:On each side|双方要点)\*\*|From the source \[\d\]:|- …")


def invented(answer: str, found: Found) -> list[str]:
    """What in an answer neither stands, word for word, in the passage that is cited behind it, nor names a passage."""
    told = [plain(passage.chunk.text) for passage in found.passages]
    names = {name(passage) for passage in found.passages} | {one.chunk.heading_path[-1] for one in found.passages}
    answer, _, read_on = re.sub("延伸阅读：", "Read on:", answer).partition("**Read on:** ")
    stray = []
    for block in blocks(answer):
        text = answer[block.start:block.end].strip()
        if block.kind in ("fence", "math", "table"):       # a line at a time, of tables a cell
            said = re.split(r"\n|(?<!\\)\|", re.sub(r"^```.*|\s\[\d+\](?= \|)", "", text, flags=re.MULTILINE))
            stray += [one for one in said if one.strip("$-: –") and not any(plain(one) in passage for passage in told)]
        elif not FIXED.fullmatch(text):
            head = re.match(r"(?:- \*|\*\*)(.+?)(?::\*|\*\*：|\*\*$)", text)
            own = text[head.end():] if head and head[1] in names else text
            bare = re.sub(r"^(?:[-*]|\d+[.)])\s+|\s\[\d+\](?=(?:[^`]*`[^`]*`)*[^`]*$)", "", own)    # code has its own
            stray += [one for one in sentences(bare) if not any(
                plain(one).rstrip(":")[1:] in told[number - 1] for number in marks(text))]     # `No, a` is now `A`
    elsewhere = {f"{name(passage)} [{number}]" for number, passage in enumerate(found.passages, start=1)}
    further = re.split(r"(?<=\]) · ", read_on)
    return [plain(one) for one in stray] + [one for one in further if one and one not in elsewhere]


def plain(text: str) -> str:
    """Without marks of bold, of code and of items, and line ends."""
    return " ".join(re.sub(r"\*\*|`|^\s*(?:[-*]|\d+[.)])\s", "", text, flags=re.MULTILINE).split())


def test_an_answer_begins_with_the_answer_in_bold(assistant):
    answer = compose(assistant.find("Why does PPO clip the probability ratio?"))
    assert answer.startswith("**PPO clips the probability ratio so that")


def test_trouble_gets_what_to_do_as_a_list(assistant):
    answer = compose(assistant.find("Why are my losses NaN?"))
    assert "**Losses become NaN when a gradient explodes" in answer
    assert "1. Print the largest observation. [1]\n2. Clip the gradient norm at 0.5. [1]" in answer


def test_a_comparison_has_a_table_and_what_decides_for_each_side(assistant):
    answer = compose(assistant.find("Should I use PPO or SAC?"))
    assert re.search(r"\|  \| PPO \[\d+\] \| SAC \[\d+\] \|", answer) and "| on-policy | off-policy |" in answer
    assert all(f"Use {side}" in answer for side in ("PPO if environment steps are cheap.",
                                                    "SAC if environment steps are expensive."))


def test_a_comparison_does_not_begin_with_what_is_on_one_side_only(assistant):
    answer = compose(assistant.find("Should I use PPO or SAC?"))
    assert not re.search(r"^\*\*Use", answer.split("|")[0], re.MULTILINE)


def test_who_asks_how_gets_code(assistant):
    answer = compose(assistant.find("How do I resume a run?"))
    assert "**Resume a run with `python -m rlcore resume`" in answer and 'rl.resume("runs/NAME")' in answer


def test_a_chinese_question_gets_the_chinese_definition_of_its_terms_first(assistant, tmp_path):
    pages = PAGES | {"glossary.md": "# Glossary\n\n### Value function\n*Chinese:* 价值函数\n\n"
                                    "The value function predicts the return.\n\n价值函数预测之后的回报。\n"}
    own = Assistant.open(write_corpus(tmp_path / "c", pages), tmp_path / "i", embedder=WordEmbedder())
    answer = compose(own.find("价值函数是什么？"))
    assert "> 语料库是英文的" in answer
    assert re.search(r"\*\*Value function\*\*：价值函数预测之后的回报。 \[\d\]", answer)
    assert "没有涵盖" in not_covered(assistant.find("红烧肉怎么做"))


def test_what_is_known_in_part_is_said(assistant):
    answer = compose(assistant.find("Why does PPO clip the ratio on TPUv5?"))
    assert answer.startswith("> My sources do not mention *TPUv5*.")
    assert "do not mention" not in compose(assistant.find("Why does PPO clip the ratio?"))


def test_nothing_is_named_to_read_on_that_was_quoted(assistant):
    quotations, _, read_on = compose(assistant.find("Why does PPO clip the ratio?")).partition("**Read on:**")
    assert quotations and not set(marks(quotations)) & set(marks(read_on))


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


def test_bracketed_numbers_of_a_passage_are_no_citations():
    told = cited(groups("Two layers, [64, 64], are `net[1]` and [2].")[0], 1)
    assert told == "Two layers, `[64, 64]`, are `net[1]` and `[2]`. [1]" and marks(told) == [1]


LEADS = {
    "faq/evaluation.md": """# FAQ: evaluation

## My evaluation is higher than the training return. Is that a mistake?
No, a higher evaluation return is normal: training explores. Nothing needs to change.

## What makes the evaluation return lower in Unity ML-Agents 4?
The evaluation return is lower if the ML-Agents academy is reset by hand.

## Do I need a graphics card?
No, small networks train on the processor. Pixels need a card.
""",
    "docs/ppo.md": """---
title: "PPO in rlcore"
aliases: [PPO]
---
# PPO in rlcore

## Config
The settings of PPO are the fields of its config.

| setting | default | range | meaning |
|---|---|---|---|
| `num_envs` | `8` | 1 to 100 | parallel environments |
| `learning_rate` | `0.001` | 0 to 1 | Adam's step size |
| `learning_rate_decay` | `constant` | `constant` or `linear` | how it changes |
| `gamma` | `0.99` | 0 to 1 | discount per step |
""",
    "docs/sac.md": """---
title: "SAC in rlcore"
aliases: [SAC]
---
# SAC in rlcore

## Equations
SAC's critic moves to

$$
y = r + \\gamma (Q - \\alpha \\log \\pi)
$$
""",
}


@pytest.fixture(scope="module")
def broad(tmp_path_factory) -> Assistant:
    root = tmp_path_factory.mktemp("leads")
    return Assistant.open(write_corpus(root / "c", PAGES | LEADS), root / "i", embedder=WordEmbedder())


@pytest.mark.parametrize("question", [
    "my evaluation return is lower than the training return", "training return above the evaluation", "what should the "
    "evaluation return look like", "can I train without a graphics card", "reward is not increasing in evaluation"])
def test_no_answer_begins_with_a_reply_to_another_question(broad, question):
    answer = compose(broad.find(question))
    first = next(part for part in answer.split("\n\n") if not part.startswith(">"))
    assert not replies(first)
    assert not re.search(r"normal: training explores.*?\n", answer) or "**My evaluation is higher" in answer


def test_a_reply_to_another_question_loses_its_yes_or_no_and_keeps_what_it_says(broad):
    answer = compose(broad.find("can I train without a graphics card"))
    assert answer.startswith("**Do I need a graphics card?**\n\nSmall networks train on the processor.")


@pytest.mark.parametrize(("said", "left"), [
    ("No: a loss that grows is expected. Look at the return.", "A loss that grows is expected. Look at the return."),
    ("**Yes.** PPO is on-policy.", "PPO is on-policy."),
    ("Yes, n = 3 is cheap.", "n = 3 is cheap."),
    ("Yes, if it is small. A large one needs care.", "A large one needs care."),
    ("No, it is Double DQN. DQN takes the maximum.", "DQN takes the maximum."),
    ("Both learn a value. The target differs.", "Both learn a value. The target differs."),
])
def test_a_passage_without_its_yes_or_no_is_a_whole_sentence(said, left):
    told = unreplied(groups(said)) if replies(said) else groups(said)
    assert told[0][0].text == left


def test_a_heading_that_asks_the_same_is_not_repeated(broad):
    answer = compose(broad.find("Do I need a graphics card?"))
    assert answer.startswith("**No, small networks train on the processor.**")


@pytest.mark.parametrize(("question", "heading", "expected"), [
    ("Why does PPO clip the ratio?", "Why does PPO clip the probability ratio?", True),
    ("why is the evaluation lower than training", "Why is the evaluation higher than training?", False),
    ("can I train without a GPU", "Can I train on a GPU?", False),
    ("what should the loss look like in PPO", "Is a negative PPO loss that does not fall normal?", False),
    ("reward not increasing", "The reward model's score is not increasing in RLHF", False),
    ("normalise observations", "Should I normalize observations?", True),
])
def test_a_heading_asks_the_same_if_it_shares_the_words_and_adds_none(question, heading, expected):
    assert same(question, heading) is expected


def test_what_a_heading_names_is_foreign_unless_the_question_names_it():
    assert foreign("DQN learns nothing on LunarLander", "Why is LunarLander-v2 deprecated?")
    assert foreign("no episode was completed", 'Unity ML-Agents says "No episode was completed"')
    assert not foreign("LunarLander-v2 is deprecated", "Why is LunarLander-v2 deprecated?")
    assert not foreign("my value loss explodes", "The value loss explodes")
    assert foreign("my loss is NaN", "DPO gives NaN rewards")      # NaN and errors are no names
    assert not foreign("A2C gives NaN", '"ValueError: found invalid values: nan"')
    assert not foreign("do I need a memory", "Do I need an LSTM?")
    assert foreign("a SAC loop in PyTorch", "A DQN loop in PyTorch")
    assert not foreign("HER relabelling", "HER and its goals")     # though `her` is a stopword
    assert not foreign("which score solves CartPole", "CartPole-v1")


def test_rising_and_falling_are_opposites_and_both_at_once_are_not():
    assert reverses("the return is dropping", "The return keeps growing")
    assert not reverses("the return is dropping", "The loss falls but the return does not improve")


def test_yes_and_no_reply_but_no_algorithm_does_not():
    assert replies("**Yes.** PPO is.") and replies("No, not always.") and not replies("No algorithm does.")
    assert asks_whether("is that bad?") and asks_whether("KL is 0.3, is that bad?")
    assert not asks_whether("what is that?")


def test_who_asks_for_a_default_gets_its_row_of_the_table_alone(broad):
    for question, row in (("default learning rate of PPO", "| `learning_rate` | `0.001` |"),
                          ("how many environments does PPO use by default", "| `num_envs` | `8` |"),
                          ("gamma of PPO", "| `gamma` | `0.99` |")):
        answer = compose(broad.find(question))
        assert answer.startswith("**PPO: Config**\n\nFrom the source [")
        assert row in answer and len(re.findall(r"^\| `", answer, re.MULTILINE)) == 1


def test_a_setting_that_no_table_has_brings_no_table(broad):
    assert "| setting |" not in compose(broad.find("default temperature of PPO"))


def test_rows_are_found_by_name_or_where_that_counts_by_what_they_mean():
    table = "| setting | meaning |\n|---|---|\n| `gamma` | discount per step |\n| `tau` | share |"
    assert rows(table, "tau").splitlines()[2:] == ["| `tau` | share |"]
    assert rows(table, "discount factor") == ""
    assert "`gamma`" in rows(table, "discount factor", described=True)


@pytest.mark.parametrize("question", ["In which year was PPO published?", "Who wrote the PPO paper?"])
def test_who_asks_for_year_or_authors_gets_them_from_the_papers_facts(broad, question):
    answer = compose(broad.find(question))
    assert re.search(r"- Authors: John Schulman, Filip Wolski \[(\d+)\]\n- Year: 2017 \[\1\]", answer)
    assert "action spaces" not in answer.lower()


def test_who_asks_for_a_formula_gets_that_of_what_was_named(broad):
    answer = compose(broad.find("What is the loss function of SAC?"))
    assert answer.startswith("**SAC: Equations**\n\nSAC's critic moves to [")
    assert "\\alpha \\log \\pi" in answer.split("**")[2]


def test_a_comparison_of_three_has_a_column_for_each(broad):
    found = broad.find("Should I use PPO or SAC?")
    three = replace(found, sides=(*found.sides, Term("TRPO", ("TRPO",))), facts=(*found.facts, found.facts[0]))
    head = next(line for line in compose(three).splitlines() if line.startswith("|  |"))
    assert [cell.split()[0] for cell in head.strip("| ").split(" | ")] == ["PPO", "SAC", "TRPO"]


def found(question: str, *passages: tuple[float, str], aliases: tuple[str, ...] = (), **relevant: float) -> Found:
    """What a search may find: passages with their scores, and how much statements with a word have to do with it."""
    told = []
    for number, (score, text) in enumerate(passages):
        one = page(f"faq/{number}.md", "", text, {"title": "FAQ", "aliases": list(aliases)})
        told.append(Passage(split(one)[0], one, score))
    relevance = {said: max([value for word, value in relevant.items() if word in said], default=0.1)
                 for passage in told for said in statements(passage.chunk.text)}
    return Found(question, tuple(told), relevance, 1.0)


GROWS = """## My critic loss keeps growing while the return improves. Is that bad?

No: a loss that grows with the return is expected. Errors have the units of the return.

Check in this order:

1. Explained variance.
2. The mean value.

In rlcore it is `value/explained_variance`.
"""
CRITICS = ("## Which batch size and how many critics does SAC need when the critic loss keeps growing?\n\n"
           "Two critics are enough for SAC.")


def test_the_best_passage_answers_however_it_begins_and_whatever_words_another_heading_shares():
    answer = compose(found("SAC critic loss keeps growing", (0.95, GROWS), (0.86, CRITICS)))
    assert answer.startswith("**My critic loss keeps growing while the return improves. Is that bad?**\n\n"
                             "A loss that grows with the return is expected. Errors have")


def test_no_answer_begins_with_a_passage_that_is_nothing_without_its_yes_or_no():
    no = "## Is a stack of frames a memory?\n\nNo, it is a window. That is simple."
    answer = compose(found("how good is a memory of frames", (0.9, no), (0.8, "## Windows\n\nA window is short.")))
    assert answer.startswith("**Windows**\n\nA window is short.")


def test_of_two_close_passages_that_answers_whose_heading_asks_the_same_and_not_that_which_names_other_things():
    when, what = "## When to use shaping and when not\n\nIf rewards are rare.", "## Shaping\n\nShaping adds rewards."
    assert compose(found("shaping meaning", (0.9, when), (0.88, what))).startswith("**Shaping adds rewards.**")
    other, own = "## DPO loses its reward\n\nLower beta.", "## The reward is lost\n\nLower the rate."
    assert compose(found("reward lost", (0.9, other), (0.88, own))).startswith("**Lower the rate.**")


def test_a_comparison_may_begin_with_a_passage_that_shortens_a_name():
    sides = (Term("Double DQN", ("Double DQN",)), Term("Dueling DQN", ("Dueling DQN",)))
    both = "## Double or dueling: what does each change in DQN?\n\nDouble DQN changes the target, dueling the network."
    one = "## Dueling DQN in short\n\nIt splits the network."
    answer = compose(replace(found("dueling dqn vs double dqn", (0.95, one), (0.9, both)), sides=sides))
    assert answer.split("\n\n")[1].startswith("Double DQN changes the target")


def test_a_comparison_without_a_table_begins_with_the_best_passage_if_none_is_on_both_sides():
    sides = (Term("Memory", ("Memory",)), Term("Frame stacking", ("Frame stacking",)))
    memory = "## Do I need a memory?\n\nNot necessarily: first try a short history."
    answer = compose(replace(found("is a memory better than frame stacking", (0.9, memory)), sides=sides))
    assert answer.startswith("**Do I need a memory?**\n\nFirst try a short history.")


def test_the_list_of_the_passage_that_answers_is_quoted_whatever_the_trouble_is_called():
    assert "1. Explained variance. [1]" in compose(found("my critic loss oscillates", (0.9, GROWS)))
    assert "1. Explained variance." not in compose(found("what is the critic loss", (0.9, GROWS)))


def test_who_asks_how_also_gets_what_that_passage_says_of_rlcore():
    assert "In rlcore it is" in compose(found("how do I stop my growing critic loss", (0.9, GROWS)))
    assert "In rlcore it is" not in compose(found("my critic loss oscillates", (0.9, GROWS)))


def test_a_passage_whose_heading_asks_the_same_is_quoted_to_its_end():
    page = ("## Why does the return fall late in training?\n\nThe steps are too large.\n\nLook at:\n\n"
            "- The clip fraction.\n- The divergence.\n\nIf neither moves, the reward changed.\n\nRemedies:\n\n"
            "- A lower rate.\n- Fewer epochs.")
    same = compose(found("why does the return fall late in training?", (0.9, page)))
    places = [same.index(part) for part in ("- The divergence. [1]", "the reward changed. [1]", "- Fewer epochs. [1]")]
    assert places == sorted(places)
    other = compose(found("what moved the clip fraction in an old experiment?", (0.9, page)))
    assert "- The divergence. [1]" in other
    assert "the reward changed" not in other


BUFFER = ("## How do I write a buffer?\n\nSubclass the buffer and change what is drawn.\n\nRules:\n\n"
          "- Keep the shapes.\n- Keep the names.")
TREE = "## My sampling is slow\n\nWalk the tree with arrays.\n\n```python\n" + "tree.set(1)\n" * 150 + "```"


def test_who_asks_for_code_gets_the_listing_that_is_about_it_under_its_own_name():
    question, passages = "write a buffer with a tree in python", [(0.9, BUFFER), (0.8, TREE)]
    answer = compose(found(question, *passages, tree=0.4))
    assert answer.index("- Keep the names. [1]") < answer.index("**My sampling is slow**") < answer.index("```python")
    assert "```" not in compose(found(question, *passages, tree=0.3))          # it is about something else


def test_who_asks_how_gets_a_listing_of_the_page_that_answers_only():
    question, listing = "how do I draw from a buffer", "```python\ntree.draw()\n```"
    other = f"## Trees\n\nDraw.\n\n- From leaves.\n- From roots.\n\n{listing}"
    assert "tree.draw()" not in compose(found(question, (0.9, BUFFER), (0.8, other), tree=0.4))
    assert "tree.draw()" in compose(found(question, (0.9, f"{BUFFER}\n\n{listing}"), tree=0.1))


def test_the_formula_is_that_whose_heading_has_most_of_the_question():
    target = "## Equations\n\nThe target is\n\n$$\ny = r\n$$"
    loss = "## Equations: target and loss\n\nThe loss is\n\n$$\nL = (y - Q)^2\n$$"
    both = found("loss formula of DQN", (0.9, target), (0.5, loss), aliases=("DQN",), target=0.9)
    answer = compose(replace(both, asked={"formula": (0,)}))
    assert answer.startswith("**DQN: Equations: target and loss**\n\nThe loss is [2]")


def test_a_paragraph_in_chinese_or_on_rlcore_that_begins_with_a_small_letter_stands_alone():
    assert len(groups("An n-step return sums rewards.\n\nn 步回报累加奖励。")) == 2
    assert len(groups("NaN is rare.\n\nrlcore writes it as null.")) == 2
    assert len(groups("The loss is L,\n\nwhere L is small.")) == len(groups("It is θ.\n\nθ is small.")) == 1


def test_the_ellipsis_of_a_list_stands_behind_its_last_item():
    steps = groups("Do this:\n\n- One thing.\n- Another thing.\n- A third thing.\n\n  It rests here.")
    (group,) = chosen(steps, 12, {})
    assert [piece.text for piece in group[-2:]] == ["- …", "  It rests here."]


def test_a_follow_up_is_led_by_what_has_not_just_been_said(broad):
    question = "Why are my losses NaN?"
    found = broad.find(question)
    first = compose(found)
    again = compose(replace(found, before=first))
    assert first.split("\n\n")[0] != again.split("\n\n")[0]
    assert broad.find(question).before == ""
    assert broad.find("why?", [(question, first)]).before == first
