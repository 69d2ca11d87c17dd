"""Source code as HTML."""

from __future__ import annotations

import re
from html import unescape

import pytest

from gui.code import code_html

SCRIPT = '"""Trains <it>."""\n\nimport rlcore as rl  # the library\n\nrl.train("ppo", steps=100_000, é="ü")\n'


@pytest.mark.parametrize("text", [SCRIPT, "", "x = 1", "no python: (", "if x:\n    '''open", "# only\n# comments"])
def test_no_character_of_the_source_is_lost(text: str) -> None:
    inside = re.search(r"<code>(.*)</code>", code_html(text, "train.py"), re.DOTALL)
    assert inside is not None
    assert unescape(re.sub(r"<[^>]+>", "", inside[1])) == text


def test_words_have_the_colour_of_their_kind() -> None:
    html = code_html(SCRIPT, "train.py")
    assert '<span class="keyword">import</span>' in html
    assert '<span class="comment"># the library</span>' in html
    assert '<span class="number">100_000</span>' in html
    assert '<span class="string">&quot;ppo&quot;</span>' in html
