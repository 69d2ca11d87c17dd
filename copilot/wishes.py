"""Reads the settings in a request: pairs every name with the number that belongs to it.

"8 envs", "lr=3e-4", "2 million steps", "学习率设为 0.001", "一百万步". What cannot be paired is kept as a stray, so
that a plan can say what it left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from copilot import lexicon
from copilot.lexicon import pattern
from copilot.request import Mention, declined, mentions_in
from rlcore.config import Setting


@dataclass(frozen=True)
class Wishes:
    """The settings a request names, under rlcore's or the field's name, and what in it was not understood."""

    values: dict[str, object] = field(default_factory=dict)
    strays: tuple[str, ...] = ()
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)    # where in the text each value was said


@dataclass(frozen=True)
class _Number(Mention):
    value: float    # an int where it is whole


# ---------------------------------------------------------------- numbers

_UNITS = {"hundred": 1e2, "hundred thousand": 1e5, "k": 1e3, "thousand": 1e3, "m": 1e6, "mio": 1e6, "mil": 1e6,
          "million": 1e6, "b": 1e9, "billion": 1e9,
          "千": 1e3, "万": 1e4, "十万": 1e5, "百万": 1e6, "千万": 1e7, "亿": 1e8}
_SCALES = ("thousand", "million", "billion")
_ONES = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
_TEENS = {"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
          "seventeen": 17, "eighteen": 18, "nineteen": 19}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_WORDS = _ONES | _TEENS | _TENS | {"half": 0.5}
_DIGITS_ZH = dict(zip("零一二三四五六七八九两", (*range(10), 2), strict=True))


def _one_of(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


# 65; 365; two and a half; half a, a quarter of a; then thousands and what is left of them.
_TO_99 = rf"(?:(?:{_one_of(_TENS)})(?:[\s-](?:{_one_of(_ONES)})\b)?|(?:{_one_of(_TEENS | _ONES)})\b)"
_TO_999 = rf"(?:(?:{_TO_99}|a)[\s-]hundred(?:(?:\s+and)?[\s-]{_TO_99})?|{_TO_99})"
_SCALE = rf"[\s-](?:{_one_of(_SCALES)})\b"
_PART = rf"(?:half(?: an?)?|(?:(?:an?|one|three)\s)?quarters?(?: of)?(?: an?)?|a|hundred)(?={_SCALE})"
_SAID = (rf"\b(?:{_PART}|{_TO_999}(?:\s+and\s+a\s+half)?)(?:{_SCALE}(?:(?:\s+and)?[\s-]{_TO_999}(?:{_SCALE})?"
         r"(?!\w))?)?\b")
# 200000, 200,000, 200 000, 200.000.000; 0,5 is a half.
_FIGURES = (r"[-+]?(?:[1-9]\d{0,2}(?:(?:,\d{3})+(?![\d,])|(?:'\d{3})+|(?:\.\d{3}){2,}(?![\d.])|"
            r"(?:\s\d{3})+(?![\d,.])(?:(?<=000)|(?=\s?(?:(?:env\w*|time|training)[\s-]?)?(?:steps|frames|步))))|"
            r"(?<![\[(,])0,\d+(?![\d,])|\d+,\d+(?=e[-+]?\d)|\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?")
_NUMBER = re.compile(
    rf"(?<![a-z0-9_.])(?P<figures>{_FIGURES})(?:\s*[x×*·]\s*10\s*(?:\^|\*\*)\s*(?P<tens>[-+]?\d+))?"
    rf"(?:\s*(?:\^|\*\*)\s*(?P<power>-?\d+))?(?:\s*(?P<unit>{_one_of(_UNITS)})(?![a-z]))?|(?P<word>{_SAID})|"
    r"(?P<zh>[零一二三四五六七八九两十百千万亿]+(?:点[零一二三四五六七八九]+[百千]?[万亿]?)?)", re.IGNORECASE)


def _numbers(text: str) -> list[_Number]:
    """Every number in the text: figures, English number words and Chinese numerals."""
    found: list[_Number] = []
    for match in _NUMBER.finditer(text):
        if match["figures"]:
            value = _figures(match["figures"]) * 10.0 ** max(-300, min(int((match["tens"] or "0")[:5]), 300))
            if match["power"]:    # 10^6, not 10^(10^6)
                value = min(value, 1e3) ** max(-30, min(int(match["power"][:5]), 30))
            value *= _UNITS[match["unit"].lower()] if match["unit"] else 1
        elif match["word"]:
            value = _english(match["word"].lower())
        else:
            value = _chinese(match["zh"])
        start, shown = match.start(), match.group()
        if found and found[-1].end == start and found[-1].text[-1] in "万亿" and value < found[-1].value:
            one = found.pop()    # 1万5千
            start, shown, value = one.start, one.text + shown, one.value + value
        value = float(f"{value:.12g}")    # 1.1 million is whole
        whole = value.is_integer() and abs(value) < 1e18
        found.append(_Number("", start, match.end(), shown, int(value) if whole else value))
    return found


def _figures(text: str) -> float:
    """1,000,000 and 1.000.000 → a million; 0,001 and 2,5e-4 with a decimal comma."""
    if re.match(r"[-+]?(?:0,|\d+,\d+e)", text, re.IGNORECASE) and "," in text:
        return float(text.replace(",", "."))
    plain = re.sub(r"[,_'\s]", "", text)
    return float(plain.replace(".", "") if plain.count(".") > 1 else plain)


def _english(said: str) -> float:
    """`one hundred and fifty thousand`, `a quarter of a million`, `one and a half million`."""
    total = section = 0.0
    for word in re.findall(r"[a-z]+", said):
        if word in _WORDS:
            section += _WORDS[word]
        elif word.startswith("quarter"):
            section = (section or 1) * 0.25
        elif word == "hundred":
            section = (section or 1) * 100
        elif word in _SCALES:
            total, section = total + (section or 1) * _UNITS[word], 0.0
    return total + section


def _chinese(numeral: str) -> float:
    """一千五百万 → 15,000,000; 一点五百万 → 1,500,000."""
    if "点" in numeral:
        whole, _, part = numeral.partition("点")
        digits = "".join(str(_DIGITS_ZH[sign]) for sign in part if sign in _DIGITS_ZH)
        return float(f"{int(_chinese(whole))}.{digits}") * (_chinese(part[len(digits):]) or 1)
    total = section = digit = 0.0
    for sign in numeral:
        if sign in _DIGITS_ZH:
            digit = _DIGITS_ZH[sign]
        elif sign in "万亿":
            total, section, digit = (total + section + digit or 1) * _UNITS[sign], 0, 0
        else:
            section, digit = section + (digit or 1) * {"十": 10, "百": 100, "千": 1000}[sign], 0
    return total + section + digit


# ---------------------------------------------------------------- what stands between a name and its number

_EQUALS = re.compile(r"""["']?\s*(?:=|:|->)\s*["']?[\[(]?""")
_THEN_NUMBER = re.compile(r"\s*(?:(?:\(|\[|of|to|be|is|at|as|set to|from|about|around|for|equals?|~|"
                          r"not|不[要是用]|设[置定]?[为成]|改[为成]|[调增减降提升][加少低高]?[到至为]|取值?|等于|为|是|用|从|"
                          r"大小|到)\s*){0,3}", re.IGNORECASE)
_THEN_COUNT = re.compile(r"[\s-]*[x个条种次轮]?\s*(?:(?:parallel|vectorized|vec|sync|async|simultaneous|concurrent|"
                         r"consecutive|random|different|independent|total|training|copies of|gym|并行|随机|不同)"
                         r"[\s-]*){0,3}的?", re.IGNORECASE)
_THEN_NAME = re.compile(r"[\s-]*的?\s*")
_EVERY = re.compile(r"(?:\bevery|\beach|\bper|每隔?)\s*$", re.IGNORECASE)
_TEST = re.compile(r"evaluat|\beval|\btest|评估|测试|评测", re.IGNORECASE)
_SAVE = re.compile(r"\bsav|checkpoint|保存", re.IGNORECASE)
# What may stand before the return at which to stop, and after a number that is none.
_UNTIL = re.compile(
    r"(?:\b(?:until|till|stop(?:s|ping)?|reach(?:es|ed|ing)?|hits?|exceeds?|(?:end|finish|quit) (?=when|once|if|as|at))"
    r"\b|直到|达到|超过|停)"
    r"(?:[\s#>=≥:,]|(?:\d+ )?(?:consecutive )?episodes?\b|\b(?:its?|the|an?|at|to|is|of|over|per|mean|averaged?|avg|"
    r"median|episodic|training|evaluation|eval|test|returns?|rewards?|scores?|performance|agent|policy|when|once|if|"
    r"reach(?:es|ed)?|hits?|gets?|goes|crosses|exceeds?|surpasses|passes|above|beyond|least|more|greater|higher|than|"
    r"around|about|roughly|equals?|target|value|that|has|you|we|get|see|with|early|as|soon)\b|"
    r"[\d一二三四五六七八九十百]*\s*个?回合|平均|每|局|奖励|回报|得分|分数|训练|评估|测试|模型|智能体|大于|等于|至少|高于|"
    r"超过|达到|到|至|的|时|了|为|在|累计|总)*$", re.IGNORECASE)
_CONDITION = re.compile(r"(?:\b(?:until|till|when|once|if)\b|直到)\s*(?:the |its |mean |average |policy )*$",
                        re.IGNORECASE)
_IN_EPISODES = re.compile(r"\s*(?:episodes?|games?)\b|\s*个?(?:episode|回合|局|轮)", re.IGNORECASE)
_MEAN_OF = re.compile(r"\bmean\b|\baverage|\bavg\b|consecutive|连续|平均", re.IGNORECASE)
_NO_RETURN = re.compile(
    r"\s*(?:%|percent|s(?:ec\w*)?\b|h(?:ours?|rs?)?\b|min|days?\b|evaluat|evals?\b|updates?\b|iterations?\b|epochs?\b|"
    r"times\b|rounds?\b|steps?\b|个?小时|分钟|秒|天|次|轮|步)", re.IGNORECASE)
_AT = re.compile(r"(?:[,;。]|到|至|得|[超大高][过于]|平均|回报|奖励|得分|分数)\s*$")
_THEN_STOP = re.compile(r"\s*分?\s*(?:以上|左右|就|后|时|则|便)*\s*(?:停|结束|终止)")
_RATHER = re.compile(r"(?:[\s,;。]|\b(?:but|use|using|rather|instead|with|take)\b|[而是要]|改?用|[改换]成|设为)*",
                     re.IGNORECASE)
_SOLVED = re.compile(r"(?:until|till|when|once)\s+(?:it(?:'s| is)?\s+|[#\s]+is\s+)?solved|直到解决", re.IGNORECASE)
_NO_VIDEO = re.compile(r"\b(?:no|without|skip|don'?t \w+)(?: an?| the| any)? (?:video|recording)|"
                       r"(?:不要|不用|无需|不需要|不)(?:录制?|保存|生成)?(?:录像|视频)", re.IGNORECASE)
_WIDTHS = r"""["']?\s*(?:=|:|of|is|为|是)?\s*["']?[\[(]?\s*(?P<widths>\d+(?:\s*(?:,|x|×|\*|and)\s*\d+)*)"""
_TO_ZERO = r"[^,;]{0,12}?\d[\d.e-]*\s*(?:down )?(?:to|到)\s*(?P<zero>zero|0(?:\.0+)?)(?![.\d])"
_LAYERS = re.compile(r"\b(?P<count>\d|one|two|three|four)\s+(?:hidden\s+)?layers\s+(?:of|with)\s+"
                     r"(?P<width>\d+(?:(?:\s*(?:,|x|×)\s*|\s+and\s+|\s*,\s*and\s+)\d+)*)(?![\d.]|\s*[km]?\s*(?:\w+\s)?(?:"
                     r"envs?|environments?|seeds?|steps?|workers?|actors?|epochs?|episodes?|threads|processes)\b)",
                     re.IGNORECASE)
_UNITS_OF_ALL = re.compile(r"(?<![\w.,-])(?P<width>\d+)\s+(?:hidden\s+)?(?:units|neurons)\b(?!\s+and\s+\d)",
                           re.IGNORECASE)
_COUNT = r"(?P<count>\d+|[a-z]+|[一二三四五六七八九十两]+)"
_NO_GAIN = (    # stop after 5 evaluations without improvement
    re.compile(r"\b(?:no|not|without|never|stops?|n't)\b[^.;]{0,30}?\b(?:improv\w+|better|progress\w*|gain\w*)"
               rf"[^.;\d]{{0,24}}?\b(?:for|in|over|after|during|within|across)\s+(?:the last\s+)?{_COUNT}\s+"
               r"(?:consecutive\s+|successive\s+|straight\s+)?(?:evaluations?|evals?|tests?)\b", re.IGNORECASE),
    re.compile(rf"\b{_COUNT}\s+(?:consecutive\s+|successive\s+|straight\s+)?(?:evaluations?|evals?|tests?)\s+"
               r"(?:(?:in a row|go by|pass)\s+)?(?:without|with no|bring no|show no|do not|don't|fail to)\b",
               re.IGNORECASE),
    re.compile(rf"(?:连续)?\s*{_COUNT}\s*次(?:评估|测试|评测)[^,;。]{{0,8}}?(?:没有?|不再?|未|无)[^,;。]{{0,4}}?"
               r"(?:提[升高]|改[善进]|进步|上升|变好)"),
)
_DECAY = re.compile(    # a learning rate of 3e-4, decaying linearly
    r"(?:\blearning rate|\blr|学习率)(?:(?!\beps|epsilon|ε)[^;。]){0,40}?"
    r"(?:\blinear(?:ly)?[\s-]+(?:decay|anneal|decreas)\w*|\b(?:decay|anneal|decreas)\w*\s+linearly|线性(?:衰减|递减|下降|退火))|"
    r"\blinear(?:ly)?[\s-]+(?:decay|anneal|decreas)\w*\s+(?:(?:the|of|a)\s+)*(?:learning rate|lr)\b|"
    r"线性(?:衰减|递减|下降|退火)的?学习率", re.IGNORECASE)
_CLIP_DECAY = re.compile(r"\bclip\w*\b[^,;。]{0,20}?\b(?:anneal|decay|decreas)\w*|"
                         r"\b(?:anneal|decay|decreas)\w*\s+(?:the\s+)?clip\w*|裁剪\S{0,6}(?:衰减|退火)", re.IGNORECASE)
_NO_ENTROPY = re.compile(r"\b(?:no|without|zero|drop the)\s+(?:an?\s+|any\s+|the\s+)?entropy"
                         r"(?:\s+(?:bonus|term|regulari[sz]ation|coefficient|loss))?\b|(?:不[加用要]|无|没有)熵(?:正则化?|奖励)?",
                         re.IGNORECASE)
_NOT_STICKY = re.compile(r"\b(?:no|non-?|not|without)\s*sticky(?:[\s-]+actions?)?|\bdeterministic actions\b|"
                         r"(?:不用|不要|没有|无)粘性动作", re.IGNORECASE)
_FROM_TO = re.compile(r"(?<!clip )(?:epsilon|eps|ε|探索率)(?:decay\w*|anneal\w*|linearly|from|从|[\s:=])*"
                      r"(?P<start>\d*\.?\d+)\s*(?:to|->|[降减]?到|衰减到)\s*(?P<end>\d*\.?\d+)", re.IGNORECASE)
_NAME = re.compile(r"(?<![^\W\d_])[^\W\d_]{1,12}(?:\s+(?:is|to|than|below|above|under))*[\s=]*$")    # patience 5
_STRAY = re.compile(r"(?<![\w.])[a-z_]\w*\s*=\s*[^\s,;)]{1,30}|\w+ (?:hours?|minutes?|mins?)\b|"
                    r"[\d零一二三四五六七八九十两半]+\s*个?(?:小时|分钟)",
                    re.IGNORECASE)


def read_wishes(text: str, own: Sequence[Setting]) -> Wishes:
    """The settings named in a text whose algorithms and environments are blanked.

    `own` are the settings of the algorithm; their names are understood as they are.
    """
    reader = _Reader(text, own)
    reader.read_words()
    reader.read_numbers()
    return Wishes(reader.values, reader.strays(), reader.spans)


class _Reader:
    """Pairs the names and numbers of one text, the surest pairs first; each is used once."""

    def __init__(self, text: str, own: Sequence[Setting]):
        self.text, self.own = text, own
        self.values: dict[str, object] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.used: list[tuple[int, int]] = []
        self.declined: dict[str, tuple[int, int]] = {}    # settings with a number that is not wanted, and its place
        names = {item.name: " | ".join(filter(None, (item.name.replace("_", " "), lexicon.SETTINGS.get(item.name))))
                 for item in sorted(own, key=lambda item: -len(item.name))}    # the actor's learning rate before any
        # Own settings first: where two share a name, the algorithm's own is meant.
        self.patterns = {key: pattern(listed) for key, listed in (names | lexicon.SETTINGS | names).items()}
        counted = {item.name: item.name[4:].replace("_", " ") for item in own if item.name.startswith("num_")}
        self.counts = {f"#{key}": pattern(listed) for key, listed in (counted | lexicon.COUNTS).items()}
        self.numbers: list[_Number] = []

    def read_words(self) -> None:
        """Settings whose value is not one number, or whose number stands in a phrase of its own."""
        self._read_choices()
        self._read_widths()
        self._read_phrases()
        self._read_lone_words()

    def _read_choices(self) -> None:
        for item in self.own:
            if item.kind in ("bool", "choice"):
                options = item.choices or ("true", "false", "on", "off")
                # "double on CartPole" is no switch: names are blanked by #
                behind = self._find(item.name, rf"(?:{_EQUALS.pattern}|\s+)(?P<word>{_one_of(options)})\b(?!\s+#)")
                before = self._find(item.name, "", rf"\b(?P<word>{_one_of(item.choices or ['no'])})\s+")
                for match in (*behind, *before):
                    word = match["word"].lower()
                    # of "gaussian exploration noise 0.2" the name is needed once more
                    span = match.span("word" if match.start() == match.start("word") else 0)
                    self._take(item.name, word if item.choices else word in ("true", "on"), span)

    def _read_widths(self) -> None:
        depth = next((len(item.default) for item in self.own if item.name == "hidden"), 1)
        for match in _LAYERS.finditer(self.text):
            count, widths = int(_numbers(match["count"])[0].value), [*map(int, re.findall(r"\d+", match["width"]))]
            end = match.end() if len(widths) == count else match.start("width") + len(str(widths[0]))
            self._take("hidden", widths if len(widths) == count else widths[:1] * count, (match.start(), end))
        for match in self._find("hidden", _WIDTHS, r"(?<!lstm[\s_-])(?<!gru[\s_-])(?<!rnn[\s_-])"):
            widths = [int(width) for width in re.findall(r"\d+", match["widths"])]
            alone = len(widths) == 1 and not re.search(r"[\[(]", match.group())
            self._take("hidden", widths * depth if alone else widths, match.span())
        for match in _UNITS_OF_ALL.finditer(self.text):
            self._take("hidden", [int(match["width"])] * depth, match.span())

    def _read_phrases(self) -> None:
        for match in self._find("learning_rate", _TO_ZERO):
            self._take("learning_rate_decay", "linear", match.span("zero"))
        for match in _DECAY.finditer(self.text):
            self._take("learning_rate_decay", "linear", (match.end(), match.end()))
        for match in chain.from_iterable(one.finditer(self.text) for one in _NO_GAIN):
            for count in _numbers(match["count"])[:1]:
                self._take("patience", count.value, match.span())
        for match in _FROM_TO.finditer(self.text):
            self._take("epsilon_start", float(match["start"]), match.span("start"))
            self._take("epsilon_end", float(match["end"]), match.span("end"))
        for key, value, said in (("target_return", "solved", _SOLVED), ("record_video", False, _NO_VIDEO),
                                 ("repeat_action_probability", 0.0, _NOT_STICKY)):
            for match in said.finditer(self.text):
                self._take(key, value, match.span())

    def _read_lone_words(self) -> None:
        known = {item.name: item for item in self.own}
        for match in _NO_ENTROPY.finditer(self.text) if "entropy_coef" in known else ():
            self._take("entropy_coef", 0.0, match.span())
        for match in _CLIP_DECAY.finditer(self.text) if "clip_decay" in known else ():
            self._take("clip_decay", "linear", (match.end(), match.end()))
        if "activation" in known:
            for match in re.finditer(rf"(?i)\b(?:{_one_of(known['activation'].choices)})\b", self.text):
                if not declined(self.text, match.start()):
                    self._take("activation", match.group().lower(), match.span())

    def read_numbers(self) -> None:
        """Settings whose value is one number, before or after the name."""
        self.numbers = [number for number in _numbers(self.text) if self._free(number)]
        exact = [(item.name, pattern(item.name.replace("_", " "))) for item in self.own]
        for mention in mentions_in(self.text, exact):    # frames=4 is a setting, 4 frames are steps
            self._pair(mention, self._after(mention, _EQUALS))
        self.mentions = mentions_in(self.text, [*self.counts.items(), *self.patterns.items()])
        self.numbers = [number for number in _numbers(self.text) if self._free(number)]
        kinds = {item.name: item.kind for item in self.own}
        counted = [one for one in self.mentions if one.key.startswith("#")]
        named = [one for one in self.mentions if not one.key.startswith("#")]
        for mention in self.mentions:
            self._pair(mention, self._after(mention, _EQUALS))
        for mention in named:
            number = self._after(mention, _THEN_NUMBER)
            elsewhere = kinds.get(mention.key) == "float" or self._before(mention, _THEN_NAME)
            if number and not (elsewhere and self._claimed(number, counted)):
                self._pair(mention, number)
        for mention in counted:
            self._pair(mention, self._before(mention))
        for mention in counted:
            self._pair(mention, self._after(mention, _THEN_NUMBER))
        for mention in named:
            self._pair(mention, self._before(mention, _THEN_NAME))
        for number in self.numbers:
            self._read_alone(number)

    def _read_alone(self, number: _Number) -> None:
        """A number without a name: in place of one that is not wanted (not 8 envs but 4), or the return to stop at."""
        for key, (start, end) in self.declined.items():
            if key not in self.values and self._free(number) and _RATHER.fullmatch(self.text, end, number.start):
                self._take(key, number.value, (start, number.end))
        before = self.text[: number.start]
        until = _UNTIL.search(before) and not _NO_RETURN.match(self.text, number.end)
        if self._free(number) and (until or (_AT.search(before) and _THEN_STOP.match(self.text, number.end))):
            self._take("target_return", number.value, (number.start, number.end))

    def strays(self) -> tuple[str, ...]:
        """Assignments and numbers that belong to no known setting."""
        left = [match.span() for match in _STRAY.finditer(self.text) if self._free(Mention("", *match.span(), ""))
                and not re.match(r"(?i)continuous", match.group())]
        for number in self.numbers:
            inside = any(start <= number.start < end for start, end in left)
            if number.text[0] in "+-.0123456789" and self._free(number) and not (
                    inside or declined(self.text, number.start)):
                word = re.match(r"\s?(?:%|(?!(?:and|or|with|but|for|on)\b)[^\W\d_]{0,12})", self.text[number.end :])
                end = number.end + (word.end() if word else 0)
                name = _NAME.search(self.text[: number.start]) if not self.text[number.end : end].strip() else None
                left.append((name.start() if name else number.start, end))
        told = [self.text[start:end] for start, end in sorted(left)]
        told += [f"not {self.text[start:end]}" for key, (start, end) in self.declined.items() if key not in self.values]
        return tuple(re.sub(r"[^\w.,=+%-]+", " ", one).strip() for one in told)

    def _after(self, mention: Mention, gap: re.Pattern[str]) -> _Number | None:
        return next((one for one in self.numbers
                     if one.start >= mention.end and gap.fullmatch(self.text, mention.end, one.start)), None)

    def _before(self, mention: Mention, gap: re.Pattern[str] = _THEN_COUNT) -> _Number | None:
        return next((one for one in self.numbers
                     if one.end <= mention.start and gap.fullmatch(self.text, one.end, mention.start)), None)

    def _claimed(self, number: _Number, counted: Sequence[Mention]) -> bool:
        """Whether a number stands before a noun that it counts: the 8 of "GAE 8 envs"."""
        return any(self._before(one) is number for one in counted)

    def _pair(self, mention: Mention, number: _Number | None) -> None:
        if number is None or not self._free(number) or not self._free(mention):
            return
        key, around = mention.key.lstrip("#"), self.text[max(0, number.start - 30) : mention.end + 12]
        if mention.key.startswith("#"):
            if _EVERY.search(self.text[: number.start]):
                tests = "evaluate_every" if key == "env_steps" else "eval_every"    # in episodes: not in a plan
                key = tests if _TEST.search(around) else "save_every" if _SAVE.search(around) else "interval"
            elif key == "num_episodes" and _TEST.search(re.split(r"[,;。]", self.text[: number.start])[-1]):
                key = "evaluate_episodes"
        if key == "evaluate_every" and _IN_EPISODES.match(self.text, number.end):
            key = "eval_every"
        if key == "num_episodes" and number.value == 100 and _MEAN_OF.search(around):
            self.used.append((number.start, mention.end))    # the mean that a target is held against
            return
        if _CONDITION.search(self.text[: mention.start]) and mention.start < number.start and key not in (
                "env_steps", "num_episodes", "target_return"):
            return    # until the entropy is 0.1
        if key == "env_steps" and re.search(r"[x×*]\s*$", self.text[: number.start]):
            key = "horizon"    # 8 envs × 128 steps
        start, end = min(mention.start, number.start), max(mention.end, number.end)
        if declined(self.text, start) or declined(self.text, number.start):    # not 8 envs
            self.declined[key] = (start, end)
            self.used.append((start, end))
        else:
            self._take(key, number.value, (start, end))

    def _find(self, key: str, behind: str, before: str = "") -> Iterator[re.Match[str]]:
        """Where a setting's name stands between such things."""
        return re.finditer(f"{before}(?:{self.patterns[key].pattern}){behind}", self.text, re.IGNORECASE)

    def _free(self, one: Mention) -> bool:
        return not any(start < one.end and one.start < end for start, end in self.used)

    def _take(self, key: str, value: object, span: tuple[int, int]) -> None:
        if self.values.setdefault(key, value) == value:    # a second, different value stays a stray
            self.used.append(span)
            self.spans.setdefault(key, span)
