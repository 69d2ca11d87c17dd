"""Citations that hold: every sentence is tied to the passage that supports it, and to no other.

A mark `[n]` names the n-th passage. Code and mathematics are left alone: `x[1]` is not a citation. The numbers of a
sentence must stand in what it cites.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from copilot.chunk import blocks, sentences
from copilot.words import STOPWORDS, content_words, stem, stems

Readings = frozenset[float]        # what a number may mean: `5 %` is 5 or 0.05

_SUPPORTED = 0.6                   # share of a sentence's content words that its passage must have
_UNSTATED = " *(number not in the sources)*"
_ELSEWHERE = " *(number not in the source cited)*"

_APART = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|\\\(.*?\\\)|\\\[.*?\\\])", re.DOTALL)
_MARK = re.compile(r"\s?\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\](?!\()")

# `8`, `.5`, `1,000`, `1 000`, `1_000`, `1{,}000`, `3e-4`, `3 \times 10^{-4}`, `10⁻⁴`, `2k`, `2 million`, `5 %`, `84x84`
_NUMBER = re.compile(
    r"(?:(?<![A-Za-z0-9_.])|(?<=[0-9]x))"
    r"(?P<digits>[0-9]{1,3}(?:(?:[,_ \u00a0\u202f]|\{,\}|\\,)[0-9]{3})+(?![0-9])(?:\.[0-9]+)?"
    r"|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE](?P<e>[+-]?[0-9]+)|\s?(?:[×·*]|\\times|\\cdot)\s?10(?:\^|\*\*)\{?(?P<times>[-−]?[0-9]+)\}?"
    r"|(?<=\b10)(?:\^|\*\*)\{?(?P<power>[-−]?[0-9]+)\}?)?"
    r"(?:\s?(?P<unit>\\?%|percent|thousand|million|billion|百万|[千万亿])|(?P<letter>[kKMB]))?"
    r"(?:(?=x(?![A-Za-z]))|(?![A-Za-z0-9_]))")
_RAISED = re.compile(r"(?<=[0-9])[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_RAISED_DIGITS = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))
_BETWEEN = re.compile(r"[,_ \u00a0\u202f]|\{,\}|\\,")         # the digits of a large number
_UNITS = {"": 0, "k": 3, "K": 3, "M": 6, "B": 9, "hundred": 2, "thousand": 3, "million": 6, "billion": 9,
          "千": 3, "万": 4, "百万": 6, "亿": 8}     # powers of ten
_WORDS = {"zero": 0, "half": 0.5, "quarter": 0.25, "one": 1, "once": 1, "single": 1, "unit": 1, "two": 2, "twice": 2,
          "both": 2, "pair": 2, "double": 2, "doubles": 2, "doubled": 2, "doubling": 2, "three": 3, "four": 4,
          "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12,
          "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "a hundred": 100, "a thousand": 1e3, "a million": 1e6}
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b(?:[ -](hundred|thousand|million|billion)\b)?", re.IGNORECASE)

# What a number stands at without saying anything: the items of a list, what is called by a number, what only counts.
_LISTED = re.compile(r"^[ \t]*(?:[-*+] )?\d{1,3}[.)](?=\s|$)", re.MULTILINE)
_NAMED = re.compile(
    r"(?:\b(?:steps?|stages?|phases?|parts?|points?|items?|cases?|options?|examples?|(?:sub)?sections?|secs?|chapters?|ch|"
    r"figures?|figs?|tables?|tabs?|equations?|eqs?|algorithms?|appendix|theorems?|lemmas?|lines?|pages?|pp?|nos?|sources?|"
    r"passages?|versions?|tutorials?|players?|volumes?|vol)\.?\s?(?:[0-9]+\s?(?:,|and|or|to|-|–)\s?)*[(#]?"
    r"|#|第\s?|(?:步骤|阶段|步|图|表|式|公式|章|节|来源)\s?)$", re.IGNORECASE)
_COUNTS = re.compile(r"(?:reason|way|difference|thing|idea|factor|aspect|approach|main|key|common|major|important|"
                     r"different|simple|practical)(?:s|es)?$", re.IGNORECASE)
_NOUN_BEHIND = re.compile(r"(?:\s?(?:-|–|to|or|and)\s?[0-9.]+)?[x×]?(?:\s|-)+[`*]*([A-Za-z]{3,})")
_CHINESE_BEHIND = re.compile(r"\s?(?![是和或与到的在时为])[\u4e00-\u9fff]")
_SET = re.compile(r"(?<![=!<>])=\s?$|[\w`\"'*]:\**\s?$")          # `epochs = 8`, `epochs: 8`
_NOUN_BEFORE = re.compile(r"[a-z_`*\u4e00-\u9fff]\s?$")
_NAME_BEFORE = re.compile(r"\s[A-Z]\w*\s$")
_TERM = re.compile(r"(?:[+*/^±]|[A-Za-z)\]}][-−–])$")     # before a number it is part of a sum, a product, a name


def renumbered(text: str, count: int) -> tuple[str, list[int]]:
    """The text with its marks numbered as they appear, and the passage (1 … count) behind each new number.

    Marks of passages that do not exist are dropped.
    """
    order: list[int] = []

    def renumber(match: re.Match[str]) -> str:
        known = [int(number) for number in match.group(1).split(",") if 1 <= int(number) <= count]
        order.extend(number for number in known if number not in order)
        space = match.group()[:match.group().index("[")]
        return space + "".join(f"[{order.index(number) + 1}]" for number in known) if known else ""

    return _prose(text, lambda plain: _MARK.sub(renumber, plain)), order


def marks(text: str) -> list[int]:
    """The passages a text cites, in order, code and mathematics aside."""
    plain = " ".join(_APART.split(text)[::2])
    return list(dict.fromkeys(int(number) for found in _MARK.findall(plain) for number in found.split(",")))


def literal(text: str) -> str:
    """A quotation whose own bracketed numbers, such as `[64, 64]`, are code, so that nobody takes them for marks."""
    return _prose(text, lambda plain: _MARK.sub(
        lambda match: f"{' ' * match.group()[0].isspace()}`{match.group().strip()}`", plain))


def verified(text: str, passages: Sequence[str]) -> str:
    """The text with marks that hold.

    Those that do not are dropped; a sentence without one gets it if a passage supports the sentence; a sentence with
    a number that what it cites does not state says so.
    """
    known, numbers = [stems(passage) for passage in passages], [stated(passage) for passage in passages]
    parts: list[str] = []
    for block in blocks(text):
        piece = text[block.start:block.end]
        if block.kind not in ("paragraph", "item"):
            parts.append(piece)
            continue
        tail = piece[len(piece.rstrip()):]
        parts.append(" ".join(_tied(sentence, known, numbers) for sentence in _joined(sentences(piece))) + tail)
    return "".join(parts)


def _tied(sentence: str, known: Sequence[set[str]], numbers: Sequence[Readings]) -> str:
    """A sentence with the marks that it deserves."""
    plain = _prose(sentence, lambda part: _MARK.sub("", part))
    own = {stem(word) for word in content_words(plain) if not word[0].isdigit()}       # numbers have their own check
    claimed = claims(plain).values()
    if not own and not claimed:
        return sentence
    shares = [len(own & words) / len(own) if own else _SUPPORTED for words in known]
    able = [place for place, share in enumerate(shares) if share >= _SUPPORTED]
    kept = [number for number in marks(sentence) if number - 1 in able]
    if not kept and own and able:
        kept = [1 + max(able, key=lambda place: (-len(unstated(claimed, [numbers[place]])), shares[place]))]
    doubt = ""
    if missing := unstated(claimed, [numbers[number - 1] for number in kept] or numbers):
        doubt = _UNSTATED if unstated(missing, numbers) else _ELSEWHERE
    return plain.rstrip() + doubt + (" " + "".join(f"[{number}]" for number in kept) if kept else "")


def _joined(split: Sequence[str]) -> list[str]:
    """Sentences, each with the marks that stand behind its full stop."""
    whole: list[str] = []
    for sentence in split:
        leading = re.match(r"(?:\[\d{1,2}(?:\s*,\s*\d{1,2})*\]\s*)+", sentence)
        if leading and whole:
            whole[-1] += " " + leading.group().strip()
            sentence = sentence[leading.end():]
        if sentence:
            whole.append(sentence)
    return whole


def unstated(claimed: Iterable[Readings], numbers: Sequence[Readings]) -> list[Readings]:
    """Those of the numbers claimed that none of the texts states."""
    return [claim for claim in claimed if not any(claim & own for own in numbers)]


def claims(text: str) -> dict[str, Readings]:
    """The numbers by which a text says something, as it writes them: none that only count its list or name a figure."""
    text, found, offset = _plain(text), {}, 0
    for part in _APART.split(text):
        for match in _NUMBER.finditer(part):
            before, behind = text[:offset + match.start()], text[offset + match.end():]
            says = len(match.group()) > 1 or _is_quantity(match.group(), before, behind, part)
            if says and not _NAMED.search(before):
                found[match.group()] = _readings(match)
        offset += len(part)
    return found


@lru_cache(maxsize=64)
def stated(text: str) -> Readings:
    """All the numbers of a text, those in words too."""
    text = _plain(text)
    found = {_WORDS[word.lower()] * 10.0 ** _UNITS[unit.lower()] for word, unit in _WORD.findall(text)}
    for match in _NUMBER.finditer(text):
        groups = _BETWEEN.split(match["digits"])
        if len(groups) > 1 and all(group[0] != "0" for group in groups[1:]):   # `64,256` may be a pair
            found |= set(map(float, groups))
        found |= _readings(match)
    return frozenset(found)


def _plain(text: str) -> str:
    """The text without the numbers of its lists, powers of ten with a `^`."""
    return _RAISED.sub(lambda match: "^" + "".join(_RAISED_DIGITS[sign] for sign in match.group()),
                       _LISTED.sub("", text))


def _is_quantity(digit: str, before: str, behind: str, part: str) -> bool:
    """Whether a single digit says how much or how many: with a noun before or behind it, or as a setting's value.

    In code only settings count. 0 and 1 bound so much that they count only with a noun behind them, or as a value.
    """
    if part.startswith(("$", "\\(", "\\[")):
        return False
    if part.startswith("`"):
        return digit > "1" and bool(_SET.search(before))
    if _TERM.search(before) or behind[:1] in ("+", "*", "/", "^", "±"):
        return False
    if behind.startswith(")") and before.count("(") <= before.count(")"):
        return False               # `1) collect`
    noun = _NOUN_BEHIND.match(behind)
    if noun and noun.group(1).lower() not in STOPWORDS:
        return not _COUNTS.match(noun.group(1))
    return bool(_CHINESE_BEHIND.match(behind) or _SET.search(before)
                or (digit > "1" and _NOUN_BEFORE.search(before) and not _NAME_BEFORE.search(before)))


def _readings(match: re.Match[str]) -> Readings:
    """What a number may mean, rounded so that equal ones are equal."""
    digits = _BETWEEN.sub("", match["digits"])
    power = (match["e"] or match["times"] or "0").replace("−", "-")
    value = float(f"1e{match['power'].replace('−', '-')}" if match["power"] else f"{digits}e{power}")
    unit = match["unit"] or match["letter"] or ""
    values = (value, value / 100) if unit.endswith(("%", "percent")) else (value * 10.0 ** _UNITS[unit],)
    return frozenset(float(f"{one:.9g}") for one in values)


def _prose(text: str, change: Callable[[str], str]) -> str:
    """The text with its prose changed; code and mathematics stay."""
    parts = _APART.split(text)
    parts[::2] = [change(part) for part in parts[::2]]
    return "".join(parts)
