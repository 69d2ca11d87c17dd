"""Misspelt words: what they should be, and which are none."""

import pytest

from copilot.words import Spelling, plain_words, respelt

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
