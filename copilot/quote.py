"""Quotations from a passage: what it says on a question, in its own words and order, with its citation.

A quotation never tears apart what only makes sense together: a lead-in and its list, an equation and its `where`.
Code, tables and equations are whole or absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from copilot.chunk import blocks, sentences
from copilot.cite import literal
from copilot.words import content_words, has_chinese, stem

# A sentence that starts so rests on the one before it.
_RESTS = re.compile(r"(?:It|Its|This|That|These|Those|They|Their|Such|But|However|Then|So|Therefore|Hence|Otherwise|"
                    r"Instead|Here|There|Both|Also|In exchange|For that|As a result)\b")
# Sentences that only point elsewhere, and what the glossary says a term is called.
_ASIDE = re.compile(r"See\b|\*{0,2}(?:Sources?|References?|Further reading|Chinese|Also)\b[^.]{0,20}:", re.IGNORECASE)
_FULL_STOP = re.compile(r"[.!?。！？]\W*$")

# What replies to one question says nothing, or the opposite, behind another one.
_REPLY = re.compile(r"\W*(?:(?:No|Partly|Mostly|Rarely|Usually(?: not)?|Not necessarily|It depends)\s*[,.:;]|Yes\b)")
_REPLIED = re.compile(r"\W*(?:Yes|No|Partly|Mostly|Rarely|Usually(?: not)?|Not necessarily)"
                      r"(?:[.:;]\**|,(?! (?:if|and|but|as|with|though|because|when|in|not|unless|only)\b))\s+")
_WHETHER = re.compile(r"(?:^|[,.;:!?]\s*(?:and |or |so |but )?)(?:is|are|am|was|were|do|does|did|can|could|should|"
                      r"would|will|may|must|has|have)(?:n't)?\b|吗|是否|能否|是不是|能不能", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|no|never|without|fails?)\b|n't\b|不|没", re.IGNORECASE)
_UP = re.compile(r"\b(?:higher|above|better|larger|bigger|more|faster|positive|increas\w*|ris(?:es?|ing)|grow\w*|"
                 r"improv\w*)\b", re.IGNORECASE)
_DOWN = re.compile(r"\b(?:lower|below|worse|smaller|less|slower|negative|decreas\w*|drop\w*|fall\w*|shrink\w*)\b",
                   re.IGNORECASE)
_NAME = re.compile(r"(?<![\w-])(?=[\w.+-]*[A-Za-z])[\w.+-]*\w")      # see `_names`
_ASKING = ("explain", "describe", "define", "introduce", "tell", "show", "write", "compare", "meaning", "code",
           "python", "example", "formula", "equation")     # words of the kind asked for
_GENERAL = re.compile(r"RL|[IXYQV]|NaN|RNN|LSTM|GRU|CNN|MLP|CPU|GPU|RAM|Python|PyTorch|NumPy|\w+Error|"
                      "FAQ|Tutorial|Environments")
_SHORT, _BEGIN = 4, 6              # letters that words must share at their beginning to be one: at least, and at most
_ALIKE = 0.75                      # share of common words from which a heading asks the same


@dataclass(frozen=True)
class Piece:
    """One block of a passage."""

    kind: str                      # paragraph, item, fence, math or table
    text: str

    @property
    def size(self) -> int:
        """Words."""
        return len(self.text.split())


Group = tuple[Piece, ...]          # what must not be torn apart
_MISSING = Piece("item", "- …")    # behind a list that is not whole


def chosen(found: Sequence[Group], words: int, relevance: Mapping[str, float], first: float = 0.0) -> list[Group]:
    """What of a passage says most about a question, within a number of words, in the passage's order.

    relevance   of each statement in the passage
    first       what it counts to be the passage's beginning: pages answer first and explain later
    """
    value = [worth(group, relevance) + first * (place == 0) for place, group in enumerate(found)]
    kept: dict[int, Group] = {}
    for place in sorted(range(len(found)), key=lambda place: -value[place]):
        if fitted := clipped(found[place], words - sum(map(size, kept.values())), relevance):
            kept[place] = fitted
    return [kept[place] for place in sorted(kept)]


def groups(text: str) -> list[Group]:
    """The blocks of a passage, together where they belong together; without headings, sources and cross-references."""
    found: list[list[Piece]] = []
    for block in blocks(text):
        piece = _piece(block.kind, text[block.start:block.end])
        if piece.kind == "heading" or not piece.text:
            continue
        if found and _belongs(found[-1][-1], piece):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [tuple(group) for group in found]


def opening(found: Sequence[Group]) -> bool:
    """Whether a passage begins with a paragraph, which is where it answers its heading."""
    return bool(found) and found[0][0].kind == "paragraph"


def share(question: str, heading: str) -> float:
    """The share of a question's content words that a heading has."""
    asked, own = _stems(question), _stems(heading)
    return sum(_among(word, own) for word in asked) / max(1, len(asked))


def same(question: str, heading: str, subject: str = "") -> bool:
    """Whether a heading of a page on a subject asks nearly what the question asks."""
    asked = _stems(question)
    others = sum(not _among(word, asked) for word in _stems(heading))
    return (share(question, f"{subject} {heading}") * len(asked) >= _ALIKE * (len(asked) + others)
            and bool(_NOT.search(question)) == bool(_NOT.search(heading)) and not reverses(question, heading))


def reverses(question: str, heading: str) -> bool:
    """Whether one asks why something rises, the other why it falls."""
    one, other = ((bool(_UP.search(text)), bool(_DOWN.search(text))) for text in (question, heading))
    return one in ((True, False), (False, True)) and other == one[::-1]


def asks_whether(question: str) -> bool:
    """Whether yes or no would answer a question."""
    return bool(_WHETHER.search(question.strip()))


def replies(text: str) -> bool:
    """Whether a text begins with what makes sense only behind its own question."""
    return bool(_REPLY.match(text))


def foreign(question: str, heading: str) -> bool:
    """Whether a heading names things, such as a library or a version, and none that the question names."""
    asked = _stems(question) | {word.lower() for word in re.findall("[A-Z]{2,}", question)}    # HER is no stopword
    named = [re.findall(r"[a-z0-9]{2,}", name.lower()) for name in _names(heading)]
    enough = all if " " in heading else any        # `CartPole-v1` heads what there is on CartPole
    return bool(named) and not any(enough(stem(part) in asked if re.search(r"\d", part) else _among(stem(part), asked)
                                          for part in parts) for parts in named)


def _names(heading: str) -> list[str]:
    """The words with a capital or a digit behind their first letter, or a capital behind the first word."""
    return [match.group() for match in _NAME.finditer(heading) if not _GENERAL.fullmatch(match.group()) and re.search(
        "[A-Z0-9]", match.group()[match.start() == 0 or heading[match.start() - 2] in ":.?!":])]


def _stems(text: str) -> set[str]:
    return set(map(stem, content_words(text))) - set(map(stem, _ASKING))


def _among(word: str, others: Iterable[str]) -> bool:
    """Whether a stem is among others, or begins like one of them: `eval` and `evaluation`."""
    widths = ((other, min(len(word), len(other), _BEGIN)) for other in others)
    return any(word == other or (width >= _SHORT and word[:width] == other[:width]) for other, width in widths)


def unreplied(found: Sequence[Group]) -> list[Group]:
    """A passage without the yes or no to its heading: the word alone, its sentence, or its paragraph, and all of it
    if the rest rests on that."""
    first, *others = found
    if replied := _REPLIED.match(first[0].text):
        plain = re.sub(r"^(?:a\b|[a-z](?=\w))", lambda match: match.group().upper(), first[0].text[replied.end():])
        if not _RESTS.match(plain):
            return [(Piece("paragraph", plain), *first[1:]), *others]
    _, *said = sentences(first[0].text)
    after = [(Piece("paragraph", " ".join(said)), *first[1:]), *others] if said else others
    return after if after and not _RESTS.match(after[0][0].text) else list(found)


def rows(table: str, question: str, *, described: bool = False) -> str:
    """A table's head with the rows that a question names; or with those that describe it best, if that counts too."""
    head, rule, *body = table.splitlines()
    words = content_words(question) + ["number"] * ("many" in question)
    keys = {row: re.findall(r"[a-z]+", _cells(row)[0]) for row in body}
    kept = [row for row in body if keys[row] and all(
        any(word.startswith(key.rstrip("s")) if len(key) > 2 else word == key for word in words) for key in keys[row])]
    if not kept and described:
        asked = _stems(question)
        told = {row: sum(_among(word, _stems(_cells(row)[-1])) for word in asked) for row in body}
        best = max(told.values(), default=0)
        kept = [row for row in body if told[row] == best and 2 * best >= len(asked)]
    return "\n".join([head, rule, *kept]) if kept else ""


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _piece(kind: str, raw: str) -> Piece:
    text = raw.strip("\n").rstrip()
    if kind == "paragraph" and not text.startswith(" "):
        text = " ".join(said for said in sentences(text) if not _ASIDE.match(said))
    return Piece(kind, text)


def _belongs(last: Piece, piece: Piece) -> bool:
    """Whether a block needs the one before it."""
    if piece.kind == "paragraph":
        own = piece.text.startswith("rlcore") or (has_chinese(piece.text) and not has_chinese(last.text))
        return not own and (piece.text[0].islower() or piece.text[0] == " ")       # `where …`, or a list item's rest
    if last.kind == "paragraph":
        return last.text.endswith(":") or piece.kind in ("math", "fence") or not _FULL_STOP.search(last.text)
    return piece.kind == last.kind == "item" or piece.text[0] == " "


def worth(group: Group, relevance: Mapping[str, float]) -> float:
    """The relevance of the best that a group says."""
    return max(relevance.get(said, 0.0) for piece in group
               for said in (sentences(piece.text) if piece.kind == "paragraph" else [piece.text.strip()]))


def size(group: Group) -> int:
    """Words."""
    return sum(piece.size for piece in group)


def clipped(group: Group, words: int, relevance: Mapping[str, float]) -> Group:
    """As much of a group as the words allow; nothing where the rest would not make sense."""
    kinds = {piece.kind for piece in group}
    if size(group) <= words:
        return group
    if kinds == {"paragraph"} and len(group) == 1:
        return _sentences(group[0].text, words, relevance)
    return _items(group, words, relevance) if kinds <= {"paragraph", "item"} else ()


def _sentences(text: str, words: int, relevance: Mapping[str, float]) -> Group:
    """The run of sentences around the best one; it does not start with one that rests on another."""
    said = sentences(text)
    best = max(range(len(said)), key=lambda place: relevance.get(said[place], 0.0))
    start = next(place for place in range(best, -1, -1) if place == 0 or not _RESTS.match(said[place]))
    end = next((end for end in range(len(said), best, -1) if len(" ".join(said[start:end]).split()) <= words), 0)
    return (Piece("paragraph", " ".join(said[start:end])),) if end else ()


def _items(group: Group, words: int, relevance: Mapping[str, float]) -> Group:
    """A list with its best items; where others are missing, numbers go and an ellipsis says so."""
    left = words - sum(piece.size for piece in group if piece.kind != "item")
    kept: set[int] = set()
    for place in sorted(range(len(group)), key=lambda place: -worth((group[place],), relevance)):
        if group[place].kind == "item" and group[place].size <= left:
            kept.add(place)
            left -= group[place].size
    if len(kept) < 2:
        return ()                  # one item is no list
    shown = [Piece(piece.kind, re.sub(r"^(\s*)\d+[.)]", r"\1-", piece.text))
             for place, piece in enumerate(group) if place in kept or piece.kind != "item"]
    end = 1 + max(place for place, piece in enumerate(shown) if piece.kind == "item")
    return (*shown[:end], _MISSING, *shown[end:])


def cited(group: Sequence[Piece], number: int) -> str:
    """A group as Markdown; its paragraphs and items carry the mark, other blocks follow a line that does."""
    lines = [] if group[0].kind in ("paragraph", "item") else [f"From the source [{number}]:\n"]
    for place, piece in enumerate(group):
        apart = place > 0 and not piece.kind == group[place - 1].kind == "item"
        plain = piece == _MISSING or piece.kind not in ("paragraph", "item")
        text = piece.text if plain else _marked(piece.text, number)
        lines.append("\n" * apart + text)
    return "\n".join(lines)


def _marked(text: str, number: int) -> str:
    """One paragraph or item on one line, with its mark before a final colon or else at its end."""
    text = text[:len(text) - len(text.lstrip())] + literal(" ".join(text.split()))
    return f"{text[:-1]} [{number}]:" if text.endswith(":") else f"{text} [{number}]"
