"""Follow-up questions: what one leaves unsaid is taken from the questions before it.

By words alone, so that no language model is needed: a pronoun, another subject of the same kind, or nothing but an
aspect that many subjects have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache, partial

from copilot.lexicon import pattern
from copilot.request import Mention, algorithms, blank, environments, mentions_in
from copilot.vocabulary import Term
from copilot.words import CHINESE_STOPWORDS, STOPWORDS, content_words, has_chinese, stem, without_chinese

_RECALLED = 8                      # how many earlier questions a follow-up may refer to
_SHORT = 3                         # a question with fewer content words of its own may lack its subject
_LONGEST = 40                      # words of an earlier question that are carried on
# What is asked of a subject, and what many have: words that leave open which one is meant.
_ASPECT_WORDS = """
adjust advantages advice affect alternatives answer application apply author bad basics begin benefits big
bigger briefly case cases caveats change cheap choice choose citation code common compare comparison complicated
concretely cons continue cost criticism decrease default define definition derive describe detail differ
difference disadvantages downside drawback easy effect elaborate enough equation evidence example expensive
explain explanation fast faster first formula hard help high higher hold hyperparameter idea implement important
improve improvement increase influence introduced intuition intuitively invented kind large larger last length
library limit list long longer low lower main math matter meaning mention next normal number ok optimal option
order paper parameters part pick pitfalls practice problem program proof proposed pros published python pytorch
question raise range ratio reason reasonable recommend reduce reference related relation requirement result right rlcore
script sensible set setting shorter shown similar simple simpler simply size slow slower small smaller snippet
source start step strategy strength suitable suited summarise summarize summary tell terms time tips trade
tradeoff trick true tune tuned type types typical usual value variant version way ways weakness weaknesses words
worth write wrong year
"""
_PARAMETER_WORDS = """
alpha batch beta clip coefficient discount epochs epsilon eps gamma lambda learning lr minibatch rate seed tau
temperature threshold
"""
_ASPECT_WORDS_ZH = """
大小 优点 缺点 优缺点 利弊 局限 局限性 不足 好处 坏处 优势 劣势 作用 意义 原因 原理 思想 直觉 公式 方程 推导
证明 代码 例子 示例 举例 举 写 脚本 程序 实现 论文 文献 作者 年 参数 超参数 超参 默认 取值 数值 值 范围
建议 常用 常见 一般 通常 典型 合适 最好 效果 影响 区别 差别 不同 关系 联系 对比 比较 相比 步骤 细节 详细
展开 讲 继续 简单 通俗 总结 概括 怎么 怎样 如何 为什么 为何 多大 多久 多长 哪里 设 设置 设定 设成 设为 调
调整 调参 选 选择 取 适用 适合 场景 情况 大 小 高 低 好 坏 快 慢 长 短 稳定 重要 还有 另外 其他 别的
什么时候 的话 嘛 更多 多 怎么样 换 改 改成 换成 问题 注意 技巧 版本 变体 种类 类型 点 么 谁 提出 出 那么 给出 看看 段 份
些 例 推荐 类似 替代 方案 办法 方法 详 细
"""
_ASPECTS, _PARAMETERS = ({stem(word) for word in words.split()} for words in (_ASPECT_WORDS, _PARAMETER_WORDS))
_ASPECTS_ZH = re.compile("|".join(sorted({*CHINESE_STOPWORDS, *_ASPECT_WORDS_ZH.split()}, key=len, reverse=True)))
_PARAMETERS_ZH = re.compile("学习率|批大小|批量|折扣因子|折扣|温度|步长|阈值|系数|策略")
_REFERS = re.compile(
    r"\b(?:it|its|they|them|their|former|latter|these|those)\b|\b(?:which|this|that|the|good|better) ones?\b(?!-)|"
    r"\bthis\b(?!\s+(?:library|copilot|app|tool|software|program|machine|computer|project|page)\b|[^?]*:)|"
    r"(?:^\W*|\b(?:is|was|are|does|do|did|would|will|can|could|about|like|for|with|to|than|and|but|use|why)\s+)that\b"
    r"(?!\s+(?:my|the|an?|i|we|you|there|all|each|every)\b)|"
    r"它们?|这个|那个|这种|那种|这样|前者|后者|其(?![他它中实余次])", re.IGNORECASE)
# An "it" that stands for nothing: `is it normal that …`, `it seems that …`.
_EXPLETIVE = re.compile(r"\b(?:is it|it is|it's)\s+(?:(?:\w+\s+){0,2}(?:to|if|when|worth)|(?:\w+\s+){0,6}that)\b|"
                        r"\bit (?:seems|looks|appears)\b", re.IGNORECASE)
# What stands before a pronoun and is none of its own: `how often should I update`, `how many frames will`, `怎么计算`.
_DONE_TO = re.compile(
    r"\b(?:i|we|you|one|how to|not|just)\s+\w+|"
    r"\b(?:how (?:many|much)|what|which)\s+\w+(?=\s+(?:do|does|did|will|would|can|could|should|is|are)\b)|"
    r"(?:怎么|如何|怎样|怎|多久|应该|可以|能)[^，。；]{0,4}$", re.IGNORECASE)
_REPLACED = re.compile(r"it|they|them|它们?|(?P<whose>its|their)", re.IGNORECASE)
_LEAD = re.compile(r"^\W*(?:(?:and|but|so|ok|okay|then)\W+)+|^那么?", re.IGNORECASE)
_GOES_ON = re.compile(r"[\s,.!]*(?:(?:ok|okay|well|hm+|yes|no|thanks|good|great|please)\b[\s,.!]*)*"
                      r"(?:(?:and|but|so|then|also|or|what about|how about|what if)\b|那|还有|另外|换成|如果)",
                      re.IGNORECASE)
_LIKEWISE = re.compile(            # the subject stands at #
    r"\b(?:too|as well|also|either|neither|same|likewise|instead(?! of))\b|[也呢]|换成|一样|"
    r"#\W*(?:do|does|did|have|has|use|need|get|want)\s+(?:it|that|this|so|one|them)\b", re.IGNORECASE)
_INSTEAD = re.compile(r"\b(?:instead|as well|too|then)\W*$|呢\W*$", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:better|worse|than|versus|vs|compar\w*|differ\w*|prefer\w*|relat\w*|faster|slower|or|combin\w*)\b|"
    r"区别|不同|关系|相比|比较|对比|更|比|还是|结合", re.IGNORECASE)
_QUESTION = re.compile(r"\b(?:how(?! about)|why|what(?! about| if)|which|when|where|who|define|explain|describe)\b|"
                       r"怎么(?!样)|如何|为什么|什么|哪", re.IGNORECASE)
_DEFINES = re.compile(r"\W*(?:(?:so|ok|and|but|then)\W+)*(?:what(?:'s| is| are)|define|explain|describe)\b|"
                      r".*(?:什么是|是什么)|\W*(?:解释|介绍)", re.IGNORECASE)
_POLITE = re.compile(r"(?:hi|hello|hey|ok|okay|thanks|thank you|thx|great|good|nice|cool|yes|no|bye|help|谢谢|好的?|"
                     r"你好|[\s,.!！。])+|.*\b(?:what (?:can|do|are)|who are|how are) you\b.*|你是谁.*", re.IGNORECASE)
_WISH = re.compile(
    r"\W*(?:(?:please|pls|ok|and|now|then|can you|could you|would you)\W+)*(?:tell|give|show|explain|write|list|"
    r"describe|elaborate|summari[sz]e|continue|go on|more|some|an|a|in(?! which)|with|code|example|details?)\b|"
    r"请?\s*能?\s*(?:再|给|写|举|详|展开|讲|说|继续|解释|总结|代码|例子|更多|来)", re.IGNORECASE)
# Questions that only ask what their subject is.
_WHOLE = tuple(re.compile(frame, re.IGNORECASE) for frame in (
    r"(?:.*[,.!]\s*)?(?:(?:so|ok|and|please) )*(?:what(?:'s| is| are| does| do)|explain|define|describe|introduce|"
    r"tell me about|can you explain)\s+(?:to me\s+)?"
    r"(?:the (?:role|purpose|point|idea|meaning|function|use) (?:of|behind) )?(?:an? )?"
    r"(?P<subject>(?:the )?[^\s,?]+(?: [^\s,?]+){0,5}?)"
    r"(?: (?:for|mean|do|does|stand for|work|about|exactly))*",
    r"(?:.*[,.!]\s*)?(?:(?:so|ok|and) )*how do(?:es)? (?:an? )?(?P<subject>(?:the )?[^\s,?]+(?: [^\s,?]+){0,5}?)"
    r"(?: actually)? work",
    r"请?(?:什么是|解释一?下?|介绍一?下?)(?P<subject>.{1,20}?)",
    r"(?P<subject>.{1,20}?)(?:是什么(?:意思)?|是啥|有什么用|怎么工作|的原理)"))
_NAME = re.compile(r"(?=.*[A-Z].*[A-Z0-9]|.*\d.*[A-Z])[\w+²-]+")     # as GAE is one; `Reward`, `KL penalty` are not
# Who builds an algorithm by hand wants it explained, whatever can be trained.
BUILDS = re.compile(r"\bimplement|\bfrom scratch\b|\bminimal\b|\bin (?:plain |pure )?(?:pytorch|torch|numpy|jax)\b|"
                    r"实现|从零|手写", re.IGNORECASE)
CODE = re.compile(r"\b(?:code|script|program|snippet|python)\b|代码|脚本|程序", re.IGNORECASE)
ASKS = re.compile(r"[?？]|\b(?:how|what|why|which)\b|怎么|如何|为什么"
                   # a complaint asks too
                   r"|\b(?:do|does|did|is|will|would)(?:n't| not)\b|\b(?:never|stuck|stays|fails|loses|explodes|"
                   r"collapses|diverges|error|nan)\b|不涨|不收敛|不动|报错|失败|崩溃", re.IGNORECASE)


def standalone(
    question: str,
    history: Sequence[tuple[str, str]],
    named: Callable[[str], Sequence[Term]] = lambda _question: (),
) -> str:
    """The question with what it leaves unsaid, from the ones before it; unchanged if it stands alone.

    One that only names another subject of the same kind (`and in DQN?`) asks the earlier question of that. Any other
    follow-up is read with what the earlier question was about.
    """
    subjects = cache(partial(_subjects, named=named))
    about = ""
    for earlier, _ in history[-_RECALLED:]:
        about = _joined(earlier, about, subjects, named)[1]
    return _joined(question, about, subjects, named)[0]


def _joined(
    question: str, about: str, subjects: Callable[[str], Sequence[Mention]], named: Callable[[str], Sequence[Term]],
) -> tuple[str, str]:
    """A question that stands alone, and the one that those after it follow up on."""
    if not about or _POLITE.fullmatch(question):
        return question, about or question
    own, others = subjects(question), subjects(about)
    rest = blank(question, own)
    extra, pronoun = _topics(rest), _pronoun(rest)
    goes_on = (_GOES_ON.match(rest) or (not own and _INSTEAD.search(rest))) and not (
        _QUESTION.search(rest) if own else _DEFINES.search(rest))
    if own:
        old = next((one for one in reversed(others) if one.key == own[0].key), None)
        also = bool(goes_on or _LIKEWISE.search(rest)) and not extra and len(own) == 1
        if also and not _COMPARES.search(rest) and old and old.text.lower() != own[0].text.lower():
            first = old.text.split()[0]            # `PPO clip` is a name too
            asked = pattern(first if algorithms(first) else old.text).sub(lambda _: own[0].text, about)
            return asked, asked
        follows = also or (bool(pronoun or goes_on) and len(extra) < _SHORT)
    else:
        # A word of the earlier question says little, or a parameter if that named none; unless it is to be explained.
        said = set(map(stem, content_words(about)))
        little = said if said & _PARAMETERS or _PARAMETERS_ZH.search(about) else said | _PARAMETERS
        little = little if others and not _DEFINES.search(rest) else set()
        follows = not _topics(rest, little) or (bool(pronoun or goes_on) and len(extra) < _SHORT + bool(pronoun))
    if not follows:
        return question, question
    asked = _completed(question, about, pronoun, named)
    return asked, about if question in asked or not extra else asked


def _subjects(text: str, named: Callable[[str], Sequence[Term]]) -> list[Mention]:
    """The algorithms, environments and other things with a proper name in a text; glossary's plain words are none."""
    found = [replace(one, key="algorithm") for one in algorithms(text)]
    found += [replace(one, key="environment") for one in environments(blank(text, found))]
    forms = [form for term in named(text) for form in term.forms if _NAME.fullmatch(form)]
    plain = [stem(form.lower()) in _ASPECTS.union(STOPWORDS) for form in forms]        # SimPLe, but not `simple`
    names = [("method", pattern(f"!{form}" if also else form)) for form, also in zip(forms, plain, strict=True)]
    return sorted([*found, *mentions_in(blank(text, found), names)], key=lambda one: one.start)


def _pronoun(rest: str) -> re.Match[str] | None:
    """What refers to the earlier question: a pronoun with nothing before it that it may stand for."""
    match = _REFERS.search(_EXPLETIVE.sub(lambda one: " " * len(one.group()), rest))
    before = _DONE_TO.sub(" ", rest[:match.start()]) if match else ""
    return None if "#" in before or _topics(before, _PARAMETERS) else match


def _topics(text: str, also: Collection[str] = ()) -> list[str]:
    """The words of a text that say what it is about, without those that can be said of many subjects."""
    words = [word for word in content_words(without_chinese(text)) if word.isalpha()]
    chinese = _ASPECTS_ZH.sub("", _PARAMETERS_ZH.sub("", text) if _PARAMETERS.issubset(also) else text)
    words += [word for word in content_words(chinese) if has_chinese(word)]
    return [word for word in words if stem(word) not in _ASPECTS and stem(word) not in also]


def _completed(
    question: str, about: str, pronoun: re.Match[str] | None, named: Callable[[str], Sequence[Term]],
) -> str:
    """A follow-up with its subject: in the place of its pronoun if that reads well, else before it."""
    said = " ".join(about.split()[:_LONGEST])
    plain = said.rstrip(" ?？。.!")
    whole = next((match for frame in _WHOLE if (match := frame.fullmatch(plain))), None)
    subject = whole["subject"] if whole and not _QUESTION.search(whole["subject"]) else ""
    called = [term.name for term in named(subject) if subject.lower() in map(str.lower, term.forms)]
    subject = next(filter(_NAME.fullmatch, called), subject)       # SAC, which pages rather say than its long name
    if subject and pronoun and (replaced := _REPLACED.fullmatch(pronoun.group())):
        before, after = question[:pronoun.start()], question[pronoun.end():]
        return _LEAD.sub("", before) + subject + ("'s" if replaced["whose"] else "") + after
    if _WISH.match(question):
        wish = _LEAD.sub("", question)
        ended = said if said != plain else plain + ("?" if ASKS.search(said) else ".")
        return f"{ended}{'' if ended[-1] in '？。' else ' '}{wish[:1].upper()}{wish[1:]}"
    return f"{subject or plain}{'：' if has_chinese(question) else ': '}{question}"
