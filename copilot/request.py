"""Reads a request in words: which algorithm and environment it names, and whether it asks to train.

English and Chinese, by names and word order alone. `wishes.py` reads its settings, `plan.py` decides what is possible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from copilot import lexicon
from copilot.lexicon import pattern, spoken
from rlcore import catalog

LONGEST = 2_000    # characters of a message that are read; nobody orders a training run in more
Names = list[tuple[str, re.Pattern[str]]]


@dataclass(frozen=True)
class Mention:
    """Something named in a text, at text[start:end]."""

    key: str
    start: int
    end: int
    text: str


_COUNT = r"(?<![\w.])(?:\d+|four|five|six|seven|eight|nine|ten|twelve|sixteen|twenty|thirty-two|fifty|sixty-four)"
# How many bits are to be flipped, where the task's name would swallow the noun of its number → both, apart.
_BITS = (
    (rf"({_COUNT})[\s-]*bits?[\s-]*(?=flip)", r"\1 bits bit "),                              # 10-bit flipping
    (rf"\bflip(?:ping)?\s+({_COUNT})\s*bits?\b", r"bit flipping with \1 bits"),              # flip 10 bits
    (r"\b(bit[\s_-]?flip(?:ping)?)[\s(-]*(\d+)\b(?!\.\d|\s*(?!with|for|using|and|by)[a-z%])\)?",
     r"\1 with \2 bits"),                                                                    # BitFlip(10), BitFlip10
    (r"(?<=\d)bits?\b", " bits"),                                                            # 10bit
    (r"([\d二三四五六七八九十])\s*个?(?:比特|位)(?=翻转)", r"\1 位的比特"),                     # 10 位翻转
    (r"(?<!比特)(?<!位)翻转\s*([\d二三四五六七八九十]+)\s*个?(?:比特|位)", r"比特翻转 \1 位"),    # 翻转 10 个比特
)


def tidy(request: str) -> str:
    """The text with one form for full-width characters, raised digits, minus signs, English spellings and bits."""
    text = re.sub(r"⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda power: "^" + power.group(), request[:LONGEST])
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("ehaviour", "ehavior")
    text = re.sub(r"(?<=\de)[‐-―](?=\d)|−", "-", text)    # the minus of 1e–4, also as a typesetter writes it
    for said, plain in _BITS:
        text = re.sub(said, plain, text, flags=re.IGNORECASE)
    return re.sub(r"(?i)(optim|normal|priorit|initial|discret|vector)is(?=[aei])", r"\1iz", text)


# ---------------------------------------------------------------- names


def mentions_in(text: str, names: Names) -> list[Mention]:
    """Every name in the text in reading order; where two overlap, the longer one."""
    found = [Mention(key, *match.span(), match.group()) for key, one in names for match in one.finditer(text)]
    kept: list[Mention] = []
    for mention in sorted(found, key=lambda one: one.start - one.end):
        if not any(mention.start < other.end and other.start < mention.end for other in kept):
            kept.append(mention)
    return sorted(kept, key=lambda one: one.start)


def blank(text: str, mentions: Iterable[Mention], mark: str = "#") -> str:
    """The text with every mention replaced by marks of the same length, so that positions stay."""
    for one in mentions:
        text = text[: one.start] + mark * (one.end - one.start) + text[one.end :]
    return text


@lru_cache(maxsize=1)
def _algorithm_names() -> Names:
    names = {key: entry.names for key, entry in lexicon.ALGORITHMS.items()}
    for one in catalog.ALGORITHMS.values():
        own = (f"{one.name} | {one.title}".replace("_", " ").replace("-", " "), one.title, one.long_title)
        names[one.name] = " | ".join((*own, names.get(one.name, one.name)))
    return [(key, pattern(listed)) for key, listed in names.items()]


@lru_cache(maxsize=1)
def _environment_names() -> Names:
    names = {name: spoken(name) for name in lexicon.COLLECTIONS}
    names |= {name: spoken(name) for family in lexicon.FAMILIES for name in family.names.split()}
    names |= {base(one.id): f"{spoken(base(one.id))} | {one.title}" for one in catalog.ENVIRONMENTS.values()}
    names |= {name: f"{names[name]} | {others}" for name, others in lexicon.ENV_NAMES.items()}
    head = r"(?:(?:ale|gymnasium|dm_control|rlcore)/)?"
    tail = r"(?:no[\s_-]*frameskip)?(?:[\s_-]*v\d+)?"
    return [(name, pattern(listed, head, tail)) for name, listed in names.items()]


def base(environment: str) -> str:
    """An environment's id without its namespace and version: `rlcore/Foo-v0` → `Foo`."""
    return re.sub(r"^\w+/|-v\d+$", "", environment)


def algorithms(text: str) -> list[Mention]:
    """The algorithms of the field that a text names, by the key rlcore has or would have for them."""
    return mentions_in(text, _algorithm_names())


_OF_A_COLLECTION = re.compile(r"(?<![\w./-])(?:ALE/|(?:MiniGrid|BabyAI)-)[\w-]+?-v\d+(?!\w)", re.IGNORECASE)


def environments(text: str) -> list[Mention]:
    """The environments of the field that a text names, by their id without version; the clearest first.

    Where there is none, what is written like an id (`Foo-v3`, `gym.make("Foo")`), under its own name.
    """
    weak = lexicon.WEAK_ENV_NAMES
    found = mentions_in(text, _environment_names())
    known = {one.lower().rpartition("-v")[0] for one in catalog.ENVIRONMENTS}
    for match in _OF_A_COLLECTION.finditer(text):    # one that is not listed is none of those whose names it contains
        if match.group().lower().rpartition("-v")[0] not in known:
            found = [one for one in found if one.end <= match.start() or match.end() <= one.start]
            found.append(Mention(match.group(), *match.span(), match.group()))
    found.sort(key=lambda one: one.key in weak or one.text in weak)
    ids = re.compile(r"""make\(\s*(["'])(?P<made>.{1,60}?)\1\s*[,)]|"""
                     r"(?<![\w./-])[A-Za-z][\w./:]*(?:-[A-Za-z]\w*)*[-_]v\d+(?!\w)")
    unknown = (Mention(match["made"] or match.group(), *match.span(), match.group()) for match in ids.finditer(text))
    return found or list(unknown)


_NOT = re.compile(
    r"(?:\b(?:no|not(?! (?:only|just)\b)|never|without|except(?: for)?|excluding|other than|anything but|instead of|"
    r"rather than|avoid(?:ing)?|(?<!frame[ _-])skip|replac(?:e|ing))\b|n't\b|"
    r"不(?:要|用|使用|想|加|带|需要)|(?<!是)不是|别|勿|无需|没有|除了?|代替|替代|取代|替换)"
    r"(?:\s*(?:(?:us(?:e|ing)|train(?:ing)?|run(?:ning)?|try|with|want|need|have|on|in|at|an?|any|the|my|for|to|"
    r"#+,? (?:n?or|and))(?![a-z])|再|用|使用|训练|跑|在|有|#+[和或、]))*\s*$", re.IGNORECASE)
_LEAVE = re.compile(r"\b(?:swap|exchange|change|switch|move|go)(?: from)?(?: the)?\s+$", re.IGNORECASE)
_FOR = re.compile(r"\s*(?:(?:with|by|for|to|into)\s+(?:(?:an?|the)\s+)?|(?P<zh>换[成为]|改[成为用]|替换[成为])\s*)",
                  re.IGNORECASE)


def declined(text: str, start: int) -> bool:
    """Whether what stands at a place in a text is said not to be wanted: `not …`, `anything but …`, `不用…`."""
    return bool(_NOT.search(text[max(0, start - 60) : start]))


def wanted(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """Those of some names, in order, that are not declined or given up for another: the DQN of "swap PPO for DQN"."""
    kept = []
    ordered = sorted(mentions, key=lambda one: one.start)
    for one, after in zip(ordered, [*ordered[1:], None], strict=False):
        given = _FOR.fullmatch(text, one.end, after.start) if after else None
        if declined(text, one.start) or (given and (given["zh"] or _LEAVE.search(text[: one.start]))):
            text = blank(text, [one])
        else:
            kept.append(one)
    return [one for one in mentions if one in kept]


_GENERIC = (r"an?|the|my|your|our|some|any|anything|one|this|that|it|both|each|every|top|time|average|gpus?|cpus?|cuda|"
            r"mps|tpus?|colab|linux|windows|mac|laptop|gym|gymnasium|python|pytorch|discrete|continuous|default|with|for|me")
_GENERIC_ZH = (r"强化学习|智能体|代理|模型|算法|策略|网络|环境|游戏|任务|程序|脚本|代码|机器人?|训练|学习|"
               r"默认|简单|一个|一下|这个|那个|来|去|我|下|的|个|吧|上|里|中|用|在|[#\s]+|agent|gpu|cpu|gym|model|policy")


def unknown_place(text: str) -> str:
    """The name after "on" or 训练 in a request without any known environment; empty if nothing is named there.

    The text has its algorithms blanked.
    """
    if re.search(r"(?i)\b(?:my|our) (?:own |custom )*env|\bcustom (?:gym )?env|自定义\S{0,4}环境|自己的环境", text):
        return "your own environment"
    name = r"[a-z][a-z0-9_-]*(?:\s+(?!with|for|using|and|at|in|to|until|lr)[a-z][a-z0-9_-]*)?"
    if match := re.search(rf"\b(?:on|solve|beat|play)\s+(?:the\s+)?(?!(?:{_GENERIC})\b)({name})", text, re.IGNORECASE):
        return match.group(1)
    word = r"[\w-]{2,20}"
    for match in re.finditer(rf"(?:训练|求解|解决|玩|打|跑|在)\s*({word})", text):
        left = re.sub(rf"(?i){_GENERIC_ZH}", "", match.group(1))
        if len(left) > 1 and not re.search(r"[\d步次轮回合种并分小时一二三四五六七八九十百千万亿]", left):
            return left
    return ""


def unknown_algorithm(text: str) -> str:
    """The name after "train" or 用 in a request without any known algorithm, whose environments are blanked."""
    match = re.search(r"\b(?:[Tt]rain|[Rr]un)\s+(?:(?:an?|the)\s+)?(?!RL\b|AI\b)([A-Z][\w+-]*)\s+(?:agent\s+)?"
                      r"(?:on|in|for)\b|用\s*([A-Za-z][\w+-]*)\s*(?:算法)?\s*[来去]?(?:训练|玩|打|跑|解决)", text)
    return (match[1] or match[2]) if match else ""


# ---------------------------------------------------------------- intent

# What may stand before the verb of an order, and the verbs. Sentences are in small letters; names are Ⓐ and Ⓔ.
_LEAD = (r"(?:(?:please|pls|plz|ok(?:ay)?|hey|hi|hello|now|then|so|and|also|just|quickly|first|next|finally|"
         r"kindly|great|thanks|yes|sure|let'?s|let us|(?:can|could|would|will) (?:you|we)|"
         r"(?:i|we)(?:'d| would| really| just)? (?:want|like|love|need|wish)|want|need|help me|help|"
         r"you to|to|try(?:ing)? to|go ahead and|go)[\s,!:.]+)*")
_START = rf"(?:^|[,;:]\s*|\bthen\s+|\band\s+)[^\wⒶⒺ]*{_LEAD}"
_TRAIN = (r"(?:re-?)?(?:train|run|launch|solve|teach|tackle|beat|master|"
          r"(?:start|begin|do|kick off)(?: a| the)?(?: new)? (?:training|run)\w*)"
          r"\b(?! (?:reward|return|loss|time|curve|set|data|score|step|speed)s?\b)")
_ORDER = re.compile(rf"{_START}(?:{_TRAIN}|learn\b(?! (?:about|how|why|what|more))(?=.*Ⓔ)).*[ⒶⒺ]")
# As a verb: with what, what or how long is trained, or for whom; `DPO 训练的 loss` orders nothing.
_ORDER_ZH = re.compile(
    r"(?:(?:(?:^|[，,。；：])[\s'\"（(]*|[用拿请帮给要想来去让][^，,。；]{0,24}|Ⓔ\s*[上里中](?:用\s*Ⓐ\s*)?[来去]?)"
    r"(?:训练|求解|解决|跑|学会|学习(?=.*Ⓔ))|"
    r"(?:训练|跑|求解|解决|学会)\s*(?:[出好]?一?[个下]?\s*[ⒶⒺ\d一二两三四五六七八九十百千万]))"
    r"(?![的了时后中出得不完集率器]|过程|结果|曲线|速度|效果|误差|奖励|数据|\s*(?:reward|loss|kl)\b)", re.ASCII)
_MAKE = re.compile(rf"{_START}(?:use|try|apply|write|generate|create|make|build|give me|show me|set ?up|get|prepare|"
                   r"plan|have(?! (?:you|we|they|i)\b)|let|play|swing|land|balance|code|script|implement|benchmark|"
                   r"configure|open|start|spin up|fire up|replace|swap|switch|change)\b(?P<rest>.*)")
_MAKE_ZH = re.compile(r"(?:帮我|给我|请|写|生成|运行|启动|开始|建|做).*(?:代码|脚本|程序|智能体|训练)|"
                      r"(?:玩|打)\s*(?=Ⓔ)|(?:用|使用).*(?:玩|打)")
_PROGRAM = re.compile(rf"{_START}(?:an?|some|the|me)?\s*(?:[\w-]+\s)?(?:script|code|program|example)s?\b(?: \w+)?\s"
                      r"(?:to|for|that|which)\s(?:(?:train|run|solve|teach|play)(?:s|ing)?\s)?(?:(?:an?|the)\s)?"
                      r"[ⒶⒺ](?:\W*$|\W*\s(?:on|in|with|for|using|agents?|and|please|pls)\b(?P<rest>.*))")
# An algorithm without a place to train it in, and no more asked of it than a part that it may have.
_ALONE = (r"Ⓐ(?: (?:agents?|polic(?:y|ies)|models?|networks?|algorithm))*"
          r"(?: (?:with|using|in)(?: (?:an?|the))? [\w-]+(?: [\w-]+)?)?\W*$")
_HOW_TO = re.compile(rf"\bhow (?:do|can|could|should|would|might|to)\b ?(?:(?:i|you|we|one)\b )?"
                     rf"(?:\w+ly |best |go about )?(?:(?:{_TRAIN}|use|set up|get|start).*Ⓔ|"
                     rf"{_TRAIN}(?: (?:with|using|an?|the|my|agents?))* {_ALONE})|"
                     rf"\b(?:can|may|could) i (?:{_TRAIN}|use)\b.*(?:Ⓐ.*Ⓔ|Ⓔ.*Ⓐ)|"
                     r"(?:怎么|如何|怎样)\S{0,12}?(?:训练|跑|求解|解决|玩).*Ⓔ|"
                     r"(?:怎么|如何|怎样).*Ⓔ.*(?:训练|跑)|"
                     r"(?:怎么|如何|怎样)[\s去来才能可以]*(?:(?:训练|跑)\s*(?:一?个)?\s*Ⓐ|用\s*Ⓐ\s*[来去]?(?:训练|跑))"
                     r"\s*(?:智能体|模型|策略|算法|agent)?\W*$")
_POLITE_ZH = re.compile(r"^[\s,]*你?(?:能不能|可不可以|能否|可否|可以|能|麻烦|请)[你请]?[帮给替为]?我?(.*?)吗?[?。]?$")
# What makes a sentence a question, a report of trouble or a statement instead.
_ASKING = re.compile(r"\b(?:why|what|which|whether|who|how|difference|explain|describe|versus|vs|hyper-?parameters|"
                     r"paper|equation)\b")
_ASKING_ZH = re.compile(r"为什么|为啥|为何|什么|怎么|如何|怎样|区别|是否|哪|多少|多久|原理|解释|介绍|对比|比较|"
                        r"是不是|应该|推荐|吗|呢")
_TROUBLE = re.compile(
    r"(?<!do)n't\b|\bdon't (?:learn|work|converg|improv)|\bcannot\b|\bnot (?:learn|work|converg|improv|train)|"
    r"\bfail|\berror|\bbugs?\b|\bcrash|\bnan\b|\bdiverg|\bexplo(?:de|ding)|\bcollaps|\bstuck\b|\bplateau|"
    r"\bunstable|\binstabil|\bbroken|\bwrong|\bproblem|\bissue|\bworse|\btraceback|报错|错误|[出有]问题|遇到问题|失败|不收敛|发散|崩|"
    r"卡在|卡住|上不去|没有?(?:上升|提[高升]|变化|收敛|学)(?!.{0,6}停)|越来越|[还一]直?在?下降|不涨|不动|变[低差慢大]|显示|出现|震荡|抖动|波动|"
    r"不上升|不学|学不|很慢|太慢|(?:别|不要)训练(?!.*[，,。].*Ⓐ)|正在|已经|(?<![帮给替为])我在|我的(?!电脑|机器|笔记本)")
_TELLING = re.compile(
    r"n't\b|\b(?:i|i'm|i've|my|we|our|it|is|are|was|were|am|do|does|did|has|have|had|can|could|should|would|will|not|seems?|"
    r"keeps?|gets|got|works?|worked|needs?|takes?|trained|outperforms?|beats|uses|used|goes|went|drops|rises|grows|stays)\b")


_REPORTED = re.compile(r"(?<!target )(?<!until )(?<!reach )(?<!to )(?<!a )\b(?:return|reward|score)s?"
                       r"(?:\s+(?:of|is|around|about|at|near|only))?\s*[:=]?\s*-?\d")


# Who says so wants to be told something about a name, not to have it trained.
_KNOW = re.compile(
    rf"^[^\wⒶⒺ]*{_LEAD}(?:explain|describe|define|summari[sz]e|outline|discuss|introduce|compare|contrast|list|tell|review|"
    r"recap|derive|prove|translate|quote|cite|recommend|suggest|find|search|look up|talk|walk (?:me|us) through)\b|"
    r"^[^ⒶⒺ]*\b(?:understand|know|learn (?:about|how|more)|read|hear|think|wonder|curious|interested|familiar|"
    r"help (?:me |us )?(?:with|on|in)|some help|any help)\b|"
    r"^[\s,，]*(?:请|能|你|帮|给|我|想|再|可以|麻烦|一下)*(?:解释|介绍|讲[讲解一述]|说[说明]|谈[谈一]|聊|总结|概[述括]|"
    r"描述|推导|证明|比较|对比|分析|了解|理解|知道|列[出举]|推荐)")
_NOUNS = (r"(?:papers?|articles?|blogs?|posts?|books?|tutorials?|surveys?|literature|advice|tips?|hints?|tricks?|"
          r"pitfalls?|summary|overview|introduction|intro|comparison|explanation|description|definition|derivation|proof|"
          r"intuition|equations?|formulas?|objective|pseudo-?code|theory|background|history|essay|paragraph|slides?|"
          r"report|numbers|statistics|tables?|charts?|graphs?|figures?|plots?|curves?|results?|performance|advantages?|disadvantages?|"
          r"drawbacks?|strengths?|weakness(?:es)?|pros|cons|limitations?|differences?|similarities|reasons?|"
          r"ingredients|components|meaning|bias|overestimation|losse?s?|gradients?|scores?|hyper-?parameters|questions?|"
          r"speed|complexity|architecture|rule|temperature|variance|entropy|explanations?|success rates?|"
          r"(?:training|wall[- ]clock|run|compute) ?time|memory (?:use|usage|footprint|requirements?)|"
          r"(?:reward|value|q-?)[ -]?functions?|(?:action|observation|state) spaces?|rewards?|returns?|q-values?)")
_NO_PREPOSITION = r"(?!(?:with|for|until|till|using|at|and|on|in|to|of|from|by|but|or|without)\b)"
_TOLD = re.compile(
    r"^[^ⒶⒺ]*\b(?:compar|explain|describ|summari[sz]|discuss|introduc|review|study|analy[sz]|understand|debugg|tun)ing\b|"
    rf"^[^ⒶⒺ]*\b{_NOUNS}(?:\s*:|\s+(?:of|for|about|on|behind|in|when|between|from)\b)\s*[^ⒶⒺ,;.]*[ⒶⒺ]|"
    rf"[ⒶⒺ](?:'s)?\s+(?:{_NO_PREPOSITION}[a-z][\w-]*\s+){{0,2}}?{_NOUNS}(?![\w-]|\s*[=:]?\s*-?[\d.]|"
    r"[ _](?:scal|clip|norm|coef|bonus|weight|target|threshold))|"
    r"\bv(?:s|ersus)\b|"
    r"[ⒶⒺ]\s*[上中里]?\s*的\s*(?![ⒶⒺ]|(?:训练|实验)?\s*(?:脚本|代码|程序|智能体|实验|训练|计划|任务|模型|环境)(?![一-鿿]))")
# What can be given to who asks for it, before the name: `a script for Ⓐ`, but not `papers about Ⓐ`.
_THING = re.compile(
    r"\b(?:scripts?|code|programs?|agents?|polic(?:y|ies)|baselines?|runs?|train(?:s|ing)?|experiments?|tests?|plans?|models?|"
    r"examples?|demos?|starts?|begins?|go|notebooks?|bots?|players?|controllers?|solvers?|functions?|class|set-?ups?|"
    r"commands?|snippets?|files?|configs?|configurations?|implementations?|pipelines?|jobs?|loops?)\b|\d")
_GIVE = re.compile(r"\b(?:write|give|show)\b(?: (?:me|us))?(?P<what>[^ⒶⒺ]*)")
_ABOUT = re.compile(r"\w\s+(?:of|for|about|behind|with|by|on|in)(?: (?:an?|the))?\s*$")
# What may follow the names of a line without a verb; settings have numbers.
_FOLLOWS = re.compile(
    r"\W*(?:$|[^a-z\s]|(?:with|for|using|use|at|and|in|on|to|until|till|without|but|plus|via|from|by|or|no|please|pls|now|"
    r"again|too|agents?|baselines?|runs?|training|experiments?|policy|script|code|tests?|demo|env|environment|game|task|"
    r"model|then|next|first|instead|thanks|continuous|discrete)\b)|.*\d")
_FOLLOWS_ZH = re.compile(
    r"(?!.*(?:[练跑试]了|没[有能]))(?:"
    r"(?:[上中里吧呢\W]|环境|游戏|任务|训练|试[试一]下?|一下|跑|谢谢|实验|脚本|代码|程序|智能体|agent)*$|"
    r".*(?:\d|[一二两三四五六七八九十百]\s*[百千万步个轮])|[^一-鿿]*[，,。；:带加用])")
_CHANGED = re.compile(
    r"(?<!until )(?<!until the )(?<!when )(?<!if )(?<!once )\b(?:return|reward|score|loss|entropy|kl|value|agent|"
    r"policy|episode length|success rate|performance)s?\s+(?:\w+ly |just |only |always |never |still |then |not )?(?:"
    r"drop|f[ae]ll|decreas|declin|ris[ei]|increas|go(?:es|ing)|stay|keep|plateau|oscillat|stagnat|jump|vanish|degrad|"
    r"fluctuat|saturat|hover|becom|doubl|halv|improv)")
_DEFINITE = re.compile(r"\b(?:the|my|our|this|that|these|all) [ⒶⒺ] (?:runs?|agents?|policy|training|experiments?)\b")
_BUT = re.compile(r"\b(?:but|yet|however|although|though)\b(?! (?:with|without|us(?:e|ing)|stop|no|not|on|for|only|"
                  rf"make|keep|set|at|if|when|in)\b)[^.;]*?(?:{_TROUBLE.pattern})")


# ---------------------------------------------------------------- orders to a run that is there

_ANY = (r"(?: (?:the|my|our|this|that|these|all|last|latest|newest|previous|current|running|interrupted|stopped|failed|"
        r"finished|trained|saved|best|whole|Ⓐ|Ⓔ|on|of|in|for))* ")
_RUN = r"(?:runs?|training|experiment|job)\b"
_AGENT = r"(?:runs?|agents?|polic(?:y|ies)|models?|checkpoints?)\b"
_RUN_ZH, _SAME = "(?:训练|运行|任务|实验)", "[^，,。；]*"    # in the same clause
_HANDLED = {    # in English, in Chinese
    "stop": (rf"(?:stop|cancel|abort|halt|kill|end|interrupt|pause|terminate){_ANY}(?:Ⓐ|{_RUN})",
             rf"(?:停[止掉下]|终止|中止|中断|取消|结束|暂停){_SAME}(?:{_RUN_ZH}|Ⓐ)|"
             rf"把{_SAME}(?:{_RUN_ZH}|Ⓐ){_SAME}(?:停|取消|终止|中断)"),
    "resume": (rf"resume{_ANY}(?:Ⓐ|{_RUN})|(?:continue|restart|go on with|pick up|keep){_ANY}{_RUN}",
               rf"(?:恢复|接着|继续)(?!用){_SAME}{_RUN_ZH}|把{_SAME}{_RUN_ZH}{_SAME}(?:恢复|继续)"),
    "evaluate": (rf"evaluate{_ANY}(?:Ⓐ|{_AGENT})|"
                 rf"test(?: (?:the|my|our|Ⓐ))* (?:trained|saved|finished|best|last|Ⓐ {_AGENT})",
                 rf"(?:评估|评测|测评){_SAME}Ⓐ|(?:评估|评测|测试){_SAME}(?:训练好|训好|运行)"),
    "delete": (rf"(?:delete|remove|discard|erase){_ANY}(?:{_RUN}|agent)", rf"(?:删除|删掉|删了){_SAME}{_RUN_ZH}"),
    "open": (r"(?:open|view|display|look at|plot|draw|graph|visuali[sz]e|monitor|inspect|load|watch)"
             rf"(?= (?:the|my|our|this|that|last|latest|all|Ⓐ run)\b){_ANY}(?:{_RUN}|agent)",
             rf"(?:打开|查看|画出?|绘制|可视化|加载){_SAME}(?:的训练|运行|曲线)"),
    "play": (r"(?:use|play|run|deploy|load)\b[^.;]*\b(?:(?:the|my|our|this|that)(?: [Ⓐ\w]+)? (?:already )?(?:trained|"
             r"saved)|i (?:have )?trained)\b", rf"{_SAME}(?:训练好|训好|已训练)的\s*Ⓐ"),
}


_HANDLES = tuple(
    (what, re.compile(rf"^[^\wⒶⒺ]*{_LEAD}(?:{said})|^[\s,，]*(?:请|帮我?|麻烦|给我|你|我想|能|可以)*(?:{zh})"))
    for what, (said, zh) in _HANDLED.items())


def handles_run(text: str) -> str:
    """What is to be done to a run that is there: stop, resume, evaluate, delete, open, play; empty if nothing."""
    text = tidy(text)
    marked = " ".join(_marked(text, algorithms(text), environments(text)).split())
    if re.search(r"\b(?:how|why|what)\b|怎么|如何|什么", marked):
        return ""
    return next((what for what, said in _HANDLES if said.search(marked)), "")


def wants_to_know(text: str) -> bool:
    """Whether a message asks to be told about what it names: `explain SAC`, `DQN 的损失函数`."""
    text = tidy(text)
    marked = _marked(text, algorithms(text), environments(text))
    return bool(_KNOW.search(marked) or _TOLD.search(marked))


def asks_to_train(text: str, named: Sequence[Mention], places: Sequence[Mention]) -> bool:
    """Whether some sentence orders a training run, rather than asking or telling about one."""
    sentences = re.split(r"(?<=[.!?;])\s+|(?<=[!?;])(?=[一-鿿])|(?<=。)|\n", _marked(text, named, places))
    return any(_orders(" ".join(sentence.split())) for sentence in sentences)


def _marked(text: str, named: Sequence[Mention], places: Sequence[Mention]) -> str:
    """The text in small letters, with Ⓐ for each algorithm and Ⓔ for each environment."""
    chars = [char.lower() for char in text]
    for mentions, mark in ((named, "Ⓐ"), (places, "Ⓔ")):
        for one in mentions:
            chars[one.start : one.end] = [mark] + [""] * (one.end - one.start - 1)
    return "".join(chars)


def _orders(sentence: str) -> bool:
    """One sentence, in small letters, with Ⓐ for algorithms and Ⓔ for environments."""
    if "Ⓐ" not in sentence and "Ⓔ" not in sentence:
        return False
    if _HOW_TO.search(sentence):
        return not _TROUBLE.search(sentence) and not re.search(r"\bwhy\b|为什么", sentence)
    question = (sentence.endswith("?") and _ASKING.search(sentence)) or re.search(r"\bwhy\b", sentence)
    plain = polite.group(1) if (polite := _POLITE_ZH.match(sentence)) else sentence
    if question or _ASKING_ZH.search(plain):
        return False
    if _ORDER.search(sentence):
        return not _BUT.search(sentence)
    if _TROUBLE.search(sentence) or _KNOW.search(plain):
        return False
    if _ORDER_ZH.search(plain):
        return True
    if _TOLD.search(plain):
        return False
    return bool(_MAKE_ZH.search(plain)) or (not _ASKING.search(sentence) and _asks_for(sentence))


def _asks_for(sentence: str) -> bool:
    """Whether a sentence that asks nothing wants a program, or has an algorithm used on an environment."""
    both = "Ⓐ" in sentence and "Ⓔ" in sentence
    if (program := _PROGRAM.search(sentence)) and not _TELLING.search(program["rest"] or ""):
        return True
    if make := _MAKE.search(sentence):
        gift = _GIVE.search(make.group())
        if gift and _ABOUT.search(gift["what"]) and not _THING.search(gift["what"]):
            return False
        return both or bool(re.search(r"\b(?:train|learn|solv|agent|baseline|script|run|policy|anything)",
                                      make["rest"]))
    return both and _is_fragment(sentence)


def _is_fragment(sentence: str) -> bool:
    """`quick baseline: PPO on CartPole, …`: a line without a verb that names both, and near its start."""
    body = re.sub(rf"^[^\wⒶⒺ]*{_LEAD}", "", sentence)
    last = max(body.find("Ⓐ"), body.find("Ⓔ"))
    head = re.split(r"[,;:(]|\b(?:so that|so i|because|in order)\b", body[last:])[0]
    before, after = re.split(r"[ⒶⒺ]", body)[0], re.split(r"[ⒶⒺ]", body)[-1]
    follows = _FOLLOWS_ZH if re.search(r"[一-鿿]", after) else _FOLLOWS
    if not follows.match(after) and not any(pattern(one.names).search(after) for one in lexicon.VARIANTS):
        return False
    if _REPORTED.search(body) or _CHANGED.search(body) or _DEFINITE.search(body) or (
            re.search(r"\b(?:not|never|don't)\b", before) or (_ABOUT.search(before) and not _THING.search(before))):
        return False
    return len(before.split()) <= 4 and not body.endswith("?") and not _TELLING.search(body[:last] + head)
