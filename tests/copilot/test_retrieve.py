"""Finding: by words, by meaning, in Chinese, for both sides of a comparison; and knowing when there is nothing."""

from pathlib import Path

import pytest

from copilot.index import open_index
from copilot.retrieve import Recipe, Retriever
from copilot.vocabulary import Vocabulary
from copilot.words import content_words
from tests.copilot.fakes import WordEmbedder, write_corpus


def retriever(folder: Path, pages: dict[str, str] | None = None, recipe: Recipe | None = None) -> Retriever:
    embedder = WordEmbedder()
    return Retriever(open_index(write_corpus(folder / "corpus", pages), folder / "index", embedder), embedder, recipe)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return retriever(tmp_path_factory.mktemp("finding")).find


def test_scores_fall_from_at_most_one(found):
    scores = [passage.score for passage in found("Why does PPO clip the ratio?").passages]
    assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] < scores[0] <= 1


@pytest.mark.parametrize("question", ["", "???", '" OR NEAR(', "the of and", "\x00", "🤖", "截", "a" * 5000])
def test_no_question_breaks_the_search(found, question):
    assert not found(question).covered


def test_names_that_no_passage_has_are_told_and_one_that_is_also_a_common_word_is_not(found):
    assert found("Does the ratio of HER need TPUv5?").unknown == ("TPUv5",)
    assert found("Does the ratio need a ValueFunction or a ValueFountain?").unknown == ("ValueFountain",)


def test_a_chinese_question_is_read_in_english(found):
    best = found("什么是价值函数?").passages[0]
    assert best.chunk.heading_path[-1] == "Value function"


def test_chinese_that_nothing_translates_counts_against_the_corpus(found):
    assert found("红烧肉怎么做").evidence < 0.1 < 0.5 < found("PPO 的截断和价值函数").evidence


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    index = open_index(write_corpus(folder / "corpus"), folder / "index", WordEmbedder())
    return Vocabulary(list(index.documents.values()), index.chunks)


@pytest.mark.parametrize(("question", "english"), [
    ("怎么写 DQN 的训练循环", "how to write DQN training loop"),
    ("循环网络", "recurrent network"),
    ("得分没有提高", "score does not improve"),
    ("动作只输出-1或者1", "action only output -1 or 1; actions saturate at the bounds"),
    ("机器人一直抖", "robot always jitter; jittery actions, smooth control"),
])
def test_chinese_is_read_by_its_longest_words_and_tells_what_english_tells(vocabulary, question, english):
    assert vocabulary.english(question) == english


@pytest.mark.parametrize(("question", "english"), [
    ("vf_coef", "vf_coef (value coefficient)"),
    ("buffer_size of SAC", "buffer_size (replay buffer size, capacity) of SAC"),
    ("approx_kl and self.ent_coef", "approx_kl and self.ent_coef"),
])
def test_the_names_that_libraries_give_to_settings_are_explained(vocabulary, question, english):
    assert vocabulary.english(question) == english


def test_a_story_that_means_a_term_is_told_from_one_that_means_none(vocabulary):
    assert vocabulary.read("机器人一直抖").told and not vocabulary.read("机器人").told


def test_a_story_in_everyday_words_finds_the_passage_that_never_uses_them(tmp_path):
    pages = {"faq/a.md": "# A\n\n## How do I handle a sparse reward?\nShape it.\n",
             "faq/b.md": "# B\n\n## Which robots are there?\nMany, some with an arm.\n"}
    finds = retriever(tmp_path, pages).find
    story = finds("My robot arm only gets a point when the door is open.")
    assert story.passages[0].page.path == "faq/a.md"
    assert story.evidence > 10 * finds("My robot arm opens the door with a key.").evidence


def test_a_settings_name_in_code_is_no_word_that_the_corpus_lacks(tmp_path):
    pages = {"faq/a.md": "# A\n\n## What does the entropy coefficient do?\nIt weighs the entropy.\n"}
    finds = retriever(tmp_path, pages).find
    assert finds("ent_coef").covered and finds("ent_coef").unknown == ()
    assert not finds("ent_cxef").covered


def test_an_abbreviation_also_finds_what_is_written_in_short(tmp_path):
    pages = {"faq/a.md": "# A\n\n## Hosts\nRun on two.\n", "faq/b.md": "# B\n\n## Warm-up\nBegin with lr 0.\n"}
    index = open_index(write_corpus(tmp_path / "corpus", pages), tmp_path / "index", WordEmbedder())
    best = Retriever(index, WordEmbedder(), Recipe(dense=0.0)).find("lr").passages[0]
    assert best.page.path == "faq/b.md"


def test_sizes_and_counts_are_neither_names_nor_what_a_question_is_about(found):
    plain, sized = found("PPO clips at some height"), found("PPO clips at 4x84x84 200k some height")
    assert sized.unknown == ()
    assert sized.evidence == pytest.approx(plain.evidence)


@pytest.mark.parametrize(("question", "defines"), [
    ("什么是价值函数?", True),
    ("价值函数", True),
    ("价值函数的损失爆炸怎么办", False),
])
def test_a_chinese_question_gets_definitions_only_if_it_asks_for_them(found, question, defines):
    assert bool(found(question).definitions) is defines


def test_a_variant_of_what_is_asked_comes_behind_it_unless_it_is_asked_for(tmp_path):
    pages = {"glossary.md": "# Glossary\n\n### DQN\nx.\n\n### Double DQN\ny.\n",
             "faq/a.md": "# A\n\n## Why does Double DQN have a target network?\nIt has two networks.\n",
             "faq/b.md": "# B\n\n## Why does DQN have a frozen target network?\nIt has two networks and more.\n"}
    finds = retriever(tmp_path, pages).find
    assert finds("Why does DQN have a target network?").passages[0].page.path == "faq/b.md"
    assert finds("Why does Double DQN have a target network?").passages[0].page.path == "faq/a.md"
    finds = retriever(tmp_path, pages, Recipe(longer=0.0)).find
    assert finds("Why does DQN have a target network?").passages[0].page.path == "faq/a.md"


def test_a_comparison_brings_both_sides_and_their_facts(found):
    result = found("Should I use PPO or SAC?")
    assert [side.name for side in result.sides] == ["PPO", "SAC"]
    assert [result.passages[place].chunk.id for place in result.facts] == ["papers/ppo.md#facts", "papers/sac.md#facts"]
    assert {passage.page.path for passage in result.passages[:3]} >= {"papers/ppo.md", "papers/sac.md"}


@pytest.mark.parametrize("question", [
    "I use PPO. Which observations does it need, now that the temperature of my room with SAC in it is high?",
    "Does PPO clip?",
    "What is the difference?",
])
def test_two_names_in_one_question_are_not_always_compared(found, question):
    assert found(question).sides == ()


def test_a_misspelt_question_finds_what_the_right_one_finds_and_stays_as_it_was_asked(found):
    wrong, right = found("why does PPO clip the rattio?"), found("why does PPO clip the ratio?")
    assert wrong.question == "why does PPO clip the rattio?"
    assert [one.chunk.id for one in wrong.passages] == [one.chunk.id for one in right.passages]
    assert wrong.evidence == right.evidence


@pytest.mark.parametrize("asked", ["why does PPO clip the ratio in rlcore?", "In rlcore, why does PPO clip the ratio?",
                                   "why does PPO clip the ratio, using rlcore?"])
def test_in_rlcore_says_nothing_of_which_page(found, asked):
    there, plain = found(asked), found("why does PPO clip the ratio?")
    assert there.question == asked and "rlcore" not in there.wording
    assert [one.chunk.id for one in there.passages] == [one.chunk.id for one in plain.passages]


@pytest.mark.parametrize("asked", ["what does PPO of SB3 call clip in rlcore?", "what is in rlcore?"])
def test_it_counts_beside_another_library_or_where_nothing_else_is_asked(found, asked):
    assert "rlcore" in found(asked).wording


def test_what_follows_an_accented_letter_in_a_heading_does_not_repair_itself(tmp_path):
    finds = retriever(tmp_path, {"a.md": "# What éstimators are\n\nThey guess.\n"}).find
    assert finds("stimators").question == "stimators"


def test_who_asks_what_an_unknown_name_is_gets_no_answer_and_a_known_one_beside_it_counts(found):
    assert found("What is the TPUv5 of PPO?").evidence == 0.0
    assert found("Why does PPO clip the ratio on a TPUv5?").evidence > 0.0


def test_lists_of_sources_are_not_answers(found, tmp_path):
    headings = [passage.chunk.heading_path[-1] for passage in found("Schulman PPO sources").passages]
    assert headings and "Sources for PPO" not in headings
    found = retriever(tmp_path, recipe=Recipe(unsourced=False)).find
    assert found("Schulman PPO sources").passages[0].chunk.heading_path[-1] == "Sources for PPO"


def test_what_says_the_same_is_found_once(tmp_path):
    text = "# {}\n\n## Why?\n\nReplay breaks the correlation of consecutive steps and lets each be used many times.\n"
    twice = {"a.md": text.format("One"), "b.md": text.format("One"), "c.md": "# Other\n\nSomething else on replay.\n"}
    paths = [passage.page.path for passage in retriever(tmp_path, twice).find("replay correlation").passages]
    assert sorted(paths) == ["a.md", "c.md"]


@pytest.mark.parametrize(("question", "terms"), [
    ("does HER paper use PER?", ["Hindsight", "PER"]),
    ("she lost her card per accident", []),
    ("what is per?", ["PER"]),
    ("TDs", ["TD"]),
    ("LunarLander-v3 crashes", ["Lunar Lander"]),
])
def test_abbreviations_that_are_words_count_only_in_capitals(tmp_path, question, terms):
    index = open_index(write_corpus(tmp_path / "c", {"glossary.md": (
        "# Glossary\n\n### Hindsight (HER)\nRelabels.\n\n### PER\n*Also:* prioritized replay\n\nx.\n\n### TD\ny.\n")}),
        tmp_path / "i", WordEmbedder())
    read = Vocabulary(list(index.documents.values()), index.chunks).read(question)
    assert [term.name.split(" (")[0] for term in read.terms] == terms
    assert ("prioritized replay" in read.english) == ("PER" in terms)    # of which a search knows the words


@pytest.mark.parametrize(("question", "longer"), [
    ("Why does DQN work?", (" double dqn ",)),
    ("Does a DQN that is double work?", ()),
    ("Is Double DQN better than DQN?", ()),
])
def test_a_longer_name_is_another_matter_unless_all_its_words_are_said(tmp_path, question, longer):
    text = "# Glossary\n\n### DQN\nx.\n\n### Double DQN\ny.\n"
    index = open_index(write_corpus(tmp_path / "c", {"glossary.md": text}), tmp_path / "i", WordEmbedder())
    assert Vocabulary(list(index.documents.values()), index.chunks).read(question).longer == longer


@pytest.mark.parametrize(("question", "sides"), [
    ("PPO vs SAC vs DQN", ["PPO", "SAC", "DQN"]),
    ("PPO, SAC or DQN: which one is stable?", ["PPO", "SAC", "DQN"]),
    ("Compare PPO, SAC, DQN, TD3 and A2C", ["PPO", "SAC", "DQN", "TD3"]),
    ("SAC or PPO for robots?", ["SAC", "PPO"]),
    ("Can I use PPO or SAC?", []),
    ("Is PPO better than SAC? I also have DQN.", ["PPO", "SAC"]),
])
def test_a_comparison_has_up_to_four_sides(tmp_path, question, sides):
    text = "# Glossary\n\n" + "".join(f"### {name}\nx.\n\n" for name in ("PPO", "SAC", "DQN", "TD3", "A2C"))
    index = open_index(write_corpus(tmp_path / "c", {"glossary.md": text}), tmp_path / "i", WordEmbedder())
    read = Vocabulary(list(index.documents.values()), index.chunks).read(question)
    assert [side.name for side in read.sides] == sides


def test_content_words_leave_out_what_every_question_has():
    assert content_words("How do I use the Q-learning update, please?") == ["q-learning", "learning", "update"]
    assert content_words("价值函数") == ["价值", "值函", "函数"]


@pytest.mark.parametrize(("question", "first"), [
    ("ratio", "docs/ratio.md"),
    ("the ratio of my agent falls on a slope whenever the robot turns left near walls although nothing else changes "
     "between episodes", "faq/ratio.md"),
])
def test_a_long_question_tells_a_case_which_the_faq_does_too(tmp_path, question, first):
    words = "The ratio falls here and there. " * 3
    pages = {"docs/ratio.md": f"# Ratio\n\n## Ratio\n\n{words}Walls.\n",
             "faq/ratio.md": f"# FAQ: It falls\n\n## Falls\n\n{words}\n"}
    assert retriever(tmp_path, pages).find(question).passages[0].page.path == first
