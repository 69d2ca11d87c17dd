"""Words: misspelt ones, what is written in short, what is told in everyday words, and Chinese ones."""

import pytest

from copilot.words import CHINESE, Spelling, meant, plain_words, respelt, spelt_out

HEADINGS = "What is a value? The value of a policy. Entropy coefficient. Police the bread of Carlo. Learning"


@pytest.mark.parametrize(("word", "meant"), [
    ("vlaue", "value"),            # two letters swapped
    ("polcy", "policy"),           # one missing
    ("entropyy", "entropy"),       # one too many
    ("lerninf", None),             # two slips in seven letters
    ("coefficnt", "coefficient"),  # two in nine
    ("coffficnt", None),           # three
    ("vlue", None),                # too short
    ("optical", None),             # English, though a slip away from nothing here
])
def test_a_word_is_repaired_within_one_slip_and_a_long_one_within_two(word, meant):
    assert Spelling(HEADINGS).repairs([word]).get(word) == meant


def test_a_common_english_word_is_never_repaired():
    assert Spelling("policy optimal").repairs(["police", "optical"]) == {}


def test_the_nearest_word_goes_before_the_commonest():
    assert Spelling("policy policy policies").repairs(["policis"]) == {"policis": "policies"}


def test_a_foreign_question_with_one_word_that_resembles_another_is_left_alone():
    assert Spelling("carlo").repairs(["melhor", "carro", "usado", "comprar"]) == {}


def test_names_and_parts_of_names_are_no_plain_words():
    assert plain_words("tune Vlaue vlaue_net, vlaue-net vlaue2 and model.vlaue, then vlaue.") == [
        "tune", "and", "then", "vlaue"]
    assert respelt("vlaue_net has a vlaue.", {"vlaue": "value"}) == "vlaue_net has a value."


@pytest.mark.parametrize(("told", "term"), [
    ("They only get a point when the ball is in", "sparse reward"),
    ("there is 1 at the door and 0 everywhere else", "sparse reward"),
    ("It succeeds once in 5000", "sparse reward"),
    ("we stop every match after 300 moves", "truncation at the time limit"),
    ("its legs trembled", "jittery actions, smooth control"),
    ("everything was going fine until midnight", "reward goes up and then collapses"),
    ("the output is always -1 or 1", "actions saturate at the bounds"),
])
def test_what_is_told_in_everyday_words_gets_the_corpus_word_for_it(told, term):
    assert term in meant(told)


@pytest.mark.parametrize("said", [
    "What is a value function?",
    "only the learning rate was changed, and I do not know whether any point of the curve matters when",     # too far
    "points only",                 # the wrong order
    "we stop after lunch",         # no number
])
def test_what_tells_nothing_gets_no_word(said):
    assert meant(said) == []


@pytest.mark.parametrize(("short", "full"), [
    ("lr for PPO?", "learning rate for PPO?"),
    ("ent  coef and obs norm", "entropy coefficient and observation normalisation"),
    ("the grad norm of the env", "the gradient norm of the environment"),
    ("env.step(action), lr_schedule, my-env, envy", "env.step(action), lr_schedule, my-env, envy"),
])
def test_what_is_written_in_short_is_spelt_out_but_not_within_names(short, full):
    assert spelt_out(short) == full


def test_every_chinese_word_is_translated_once():
    from copilot.words import _CHINESE

    entries = [entry.split() for entry in _CHINESE.split("|")]
    assert all(len(entry) > 1 for entry in entries)
    assert len(entries) == len(CHINESE)
