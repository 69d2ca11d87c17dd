"""From a request in words to a training plan that holds, or to a refusal that says why and what would work.

No language model: names come from `request.py`, settings from `wishes.py`, and the catalogue decides what is possible.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import isfinite
from typing import Any

from copilot.followup import ASKS, CODE
from copilot.lexicon import (
    ALGORITHMS,
    COLLECTIONS,
    FAMILIES,
    HINDSIGHT,
    INCLUDED,
    NOT_IN_A_PLAN,
    RECURRENT,
    RUN_OPTIONS,
    USUAL_MEMORY,
    VARIANTS,
    WEAK_ENV_NAMES,
    Family,
    Variant,
    pattern,
)
from copilot.request import (
    Mention,
    algorithms,
    asks_to_train,
    base,
    blank,
    declined,
    environments,
    handles_run,
    mentions_in,
    tidy,
    unknown_algorithm,
    unknown_place,
    wanted,
    wants_to_know,
)
from copilot.wishes import read_wishes
from rlcore import catalog
from rlcore.config import ConfigError, Setting, settings, to_dict

_CONTINUOUS = re.compile(r"(?<!not )(?<!non-)(?<![a-z])continuous(?!\s*=\s*false)|"
                         r"连续(?!\s*[\d一二三四五六七八九十百]|训练)", re.IGNORECASE)
_USUAL = ("ppo", "dqn", "sac")    # where the first choice is not wanted
# A kind of algorithm, where none is named → the usual ones of it.
_KINDS = (
    ("off-policy", re.compile(r"\boff[- ]?policy\b|[异离]策略", re.IGNORECASE), ("dqn", "sac")),
    ("on-policy", re.compile(r"\bon[- ]?policy\b|\bpolicy gradients?\b|同策略|策略梯度", re.IGNORECASE), ("ppo",)),
    ("value-based", re.compile(r"\bvalue[- ]based\b|\bq[- ]learning\b|基于价值", re.IGNORECASE), ("dqn",)),
)
_FIRST = ("CartPole-v1", "Pendulum-v1")    # quick ones, where no environment is named
_WITH_GOALS = ("rlcore/BitFlip-v0", "rlcore/ReacherGoal-v5")    # likewise, for hindsight
_HOW = re.compile(r"\bhow\b|怎么|如何|怎样", re.IGNORECASE)
_GPU = re.compile(r"(?<![a-z])(?:gpus?|cuda)(?![a-z])", re.IGNORECASE)
_SAMPLER = re.compile(
    r"\b(?P<name>parallel|batched|alternating|async(?:hronous)?)\s+sampl(?:er|ing)\b(?:\s+(?:with|on|in|and|using)\s+"
    r"(?P<workers>\d+)\s+(?:workers?|processes))?|\bsampler\s*=?\s*[\"']?(?P<given>parallel|batched|alternating|async)\b",
    re.IGNORECASE)
_GENERAL = {"num_envs", "env_steps", "seed", "target_return"}    # mean the same whatever the algorithm
_OF_RUN = ("env_steps", "seed", "target_return", "evaluate_every", "patience", "evaluate_episodes", "record_video")
_AS_IT_IS = {"frame_stack": 4}    # how the games of Atari are seen
EPISODES = 20    # of an evaluation, where nobody says how many
_EVALUATIONS = 20    # of a run whose patience is counted in them, where nobody says how often
# What a plan with goals holds beside the algorithm's own config.
SHARE = Setting("hindsight", "float", None, "share of replayed steps that pursue a goal their episode reached later",
                0, 1, "")
_SHORT, _CURT = 15, 5    # words of a message that changes an order, and of one that does so without saying it
_CHANGES = re.compile(
    r"\W*(?:(?:please|pls|ok(?:ay)?|and|but|now|also|then|actually|yes|no|hm+|can you|could you|let's|the|i want|"
    r"i'd like)\b\W*)*(?:(?P<does>use|using|set|make|change|increase|decrease|raise|reduce|lower|double|halve|bump|cut|"
    r"drop|try|run|add|go with|switch|replace|swap|train|test|evaluate)|with|without|for|on|same|instead|only|let|do|"
    r"give|in|at|show|write|not)\b|"
    r"[那再请]*(?:(?P<does_zh>用|换|改|设|加|把|增|减|训练)|同样|给|写|只|不)", re.IGNORECASE)
# Words that change nothing in what a message names.
_IDLE = re.compile(
    r"\b(?:an?|the|and|or|but|also|now|then|so|ok(?:ay)?|again|too|well|just|only|it|that|this|one|with|without|on|in|at|"
    r"for|to|of|from|use|using|set|make|try|run|training|train|same|as|thing|instead|please|pls|thanks|agents?|env|"
    r"environments?|game|task|i|want|would|like|let's|no|not|do|don't|rather|than|anything|gpus?|cpu|cuda|version|my|"
    r"time|until|till|stop|show|give|write|me|settings?|continuous|discrete)\b|"
    r"[那再请就来用换改成为吧呢了试跑训练环境上的在里也同样一下和把给我算法个智能体还是不要别设置玩写只先次到达得分时停]",
    re.IGNORECASE)


@dataclass(frozen=True)
class TrainingPlan:
    """One training run that the catalogue allows.

    Raises:
        ConfigError: an unknown name, an action space that does not fit or a setting out of range.
    """

    algo: str
    env: str
    env_steps: int
    seed: int
    params: Mapping[str, Any]      # settings that differ from the preset, num_envs among them
    target_return: float | None = None
    evaluate_every: int | None = None    # env steps; the best agent by these evaluations is the one that counts
    patience: int | None = None    # evaluations without a better one, after which the run stops
    evaluate_episodes: int = EPISODES
    record_video: bool = True
    env_options: Mapping[str, Any] = field(default_factory=dict)    # that the environment is made with
    hindsight: float | None = None    # share of replayed steps with another goal
    notes: tuple[str, ...] = ()    # what the reader of the request assumed or left out

    def __post_init__(self) -> None:
        if problem := catalog.refusal(self.algo, self.env):
            raise ConfigError(problem)
        checked = to_dict(catalog.config_for(self.algo, self.env, self.params))
        object.__setattr__(self, "env_options", catalog.options_for(self.env, self.env_options))
        object.__setattr__(self, "record_video", self.record_video and catalog.environment(self.env).films)
        self._check_hindsight(checked.get("n_step", 1))
        object.__setattr__(self, "algo", catalog.algorithm(self.algo).name)
        object.__setattr__(self, "params", {name: checked[name] for name in self.params})
        for name, low in (("env_steps", 1), ("seed", 0), ("evaluate_episodes", 1), ("evaluate_every", 1),
                          ("patience", 1)):
            value = getattr(self, name)
            if value is None and name in ("evaluate_every", "patience"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**53:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least {low}.")
        if self.patience is not None and self.evaluate_every is None:
            raise ConfigError(f"patience={self.patience} counts evaluations: give evaluate_every too.")
        if self.target_return is not None and not isfinite(self.target_return):
            raise ConfigError(f"target_return={self.target_return!r} must be a finite number.")

    def _check_hindsight(self, n_step: int) -> None:
        if self.hindsight is None:
            return
        if problem := catalog.no_hindsight(self.algo, self.env):
            raise ConfigError(problem)
        if not 0 <= self.hindsight <= 1:
            raise ConfigError(f"hindsight={self.hindsight} must be {SHARE.range}.")
        if n_step != 1:
            raise ConfigError(f"hindsight={self.hindsight} asks for the reward of single steps: n_step={n_step} must "
                              "be 1.")

    @property
    def title(self) -> str:
        """The algorithm with the additions that were asked for: `Double DQN`."""
        has = {**self.params, "hindsight": self.hindsight is not None}
        added = [one for one in VARIANTS if has.get(one.setting) == one.value]
        return _titled(self.algo, catalog.algorithm(self.algo).title, added)

    @property
    def config(self) -> dict[str, Any]:
        """Every setting of the run: defaults, the environment's preset, the plan's own changes."""
        return to_dict(catalog.config_for(self.algo, self.env, self.params))

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that differ from the algorithm's defaults, by preset or by request."""
        defaults = to_dict(catalog.config_class(self.algo)())
        return {name: value for name, value in self.config.items() if value != defaults[name]}


@dataclass(frozen=True)
class Refusal:
    """Why a request cannot be met, and a request that can."""

    reason: str
    alternative: str
    algo: str
    env: str


def plan_from_text(request: str) -> TrainingPlan | Refusal | None:
    """The plan that a chat message orders; None if it does not order any."""
    text = tidy(request)
    named, places = algorithms(text), environments(text)
    methods = named or mentions_in(text, [("hindsight", pattern(HINDSIGHT.names))])    # "use HER on …" orders a run
    if not methods and _HOW.search(text) and {one.key for one in places} <= COLLECTIONS.keys():
        return None    # how to use Atari: its page says
    asks = asks_to_train(text, wanted(text, methods), wanted(text, places)) and not handles_run(text)
    return _decide(text, named, places) if asks else None


def amended(order: str, change: str) -> str | None:
    """An order with what a short message changes of it: `with 8 envs`, `same on Acrobot`, `show me the code`.

    None if the message changes nothing.
    """
    old, new = tidy(order), tidy(change)
    if ASKS.search(new) or len(new.split()) > _SHORT or wants_to_know(new) or handles_run(new):
        return None
    named, places, before, where = algorithms(new), environments(new), algorithms(old), environments(old)
    known = next((one.key for one in [*wanted(new, named), *before] if one.key in catalog.ALGORITHMS), "ppo")
    own = [*_own(known).values()]
    wishes = read_wishes(blank(new, [*named, *places]), own)
    lead = _CHANGES.match(new)
    if not lead and (len(new.split()) > _CURT or not (wishes.values or named or places)):
        return None
    # `SAC temperature` and `on Pong the loss is high` name an algorithm or a place, and speak of it.
    if not (lead and (lead["does"] or lead["does_zh"] or CODE.search(new) or not (named or places))) and _rest(
            blank(new, [*named, *places, *(Mention("", *span, "") for span in wishes.spans.values())], " ")):
        return None
    spans = read_wishes(blank(old, [*before, *where]), own).spans
    gone = [*before * bool(named), *where * bool(places)]
    gone += [Mention(name, *spans[name], "") for name in wishes.values if name in spans]
    both = f"{new}. {blank(old, gone, ' ')}"
    changes = _wants_gpu(new) or CODE.search(new) or _bare(plan_for(both)) != _bare(plan_for(old))
    return both if changes else None


def _rest(text: str) -> bool:
    """Whether a text says more than additions, numbers and words that change nothing."""
    for one in VARIANTS:
        text = pattern(one.names).sub(" ", text)
    return bool(re.search(r"[^\W\d_]{2}|[一-鿿]", _IDLE.sub(" ", CODE.sub(" ", text))))


def _wants_gpu(text: str) -> bool:
    return any(not declined(text, match.start()) for match in _GPU.finditer(text))


def _bare(plan: TrainingPlan | Refusal) -> TrainingPlan | Refusal:
    return replace(plan, notes=()) if isinstance(plan, TrainingPlan) else plan


def plan_for(request: str) -> TrainingPlan | Refusal:
    """The plan for a text that is known to be a request, such as a line in a file of requests."""
    text = tidy(request)
    named, places = algorithms(text), environments(text)
    if not named and not places:
        reason = "I found neither an algorithm nor an environment in this request."
        return Refusal(reason, "Train PPO on CartPole-v1.", "", "")
    return _decide(text, named, places)


# ---------------------------------------------------------------- what the names stand for


@dataclass(frozen=True)
class _Method:
    """The algorithm asked for: in the catalogue, in the field (with what it acts on) or unknown (acts empty)."""

    name: str
    title: str
    acts: frozenset[str]
    like: tuple[str, ...]      # what to offer instead, nearest first
    agents: bool = False


@dataclass(frozen=True)
class _Place:
    """The environment asked for: in the catalogue, in the field (with its family) or unknown (acts empty)."""

    name: str
    acts: frozenset[str] = frozenset()
    family: Family | None = None
    note: str = ""

    @property
    def goal(self) -> bool:
        return self.family.goal if self.family else self.listed and catalog.environment(self.name).gives_goals

    @property
    def listed(self) -> bool:
        return self.name in catalog.ENVIRONMENTS

    @property
    def agents(self) -> bool:
        return self.family is not None and self.family.agents


def _method(name: str) -> _Method:
    known = ALGORITHMS.get(name)
    if name in catalog.ALGORITHMS:
        entry = catalog.algorithm(name)
        like, agents = (name, *entry.instead.values()), known is not None and known.agents
        return _Method(name, entry.title, frozenset(entry.acts), like, agents)
    assert known is not None, f"{name} is neither in the catalogue nor in the lexicon"
    return _Method(name, known.title, known.acts, known.like, known.agents)


def _place(name: str, written: str, continuous: bool) -> _Place:
    current = {base(one): one for one in catalog.ENVIRONMENTS}
    if name in COLLECTIONS:
        first = COLLECTIONS[name]
        return _Place(first, frozenset({catalog.environment(first).acts}),
                      note=f"{name} is many environments; {first} is a good first one.")
    if continuous and f"{name}Continuous" in current:
        name = f"{name}Continuous"
    if name in current:
        newest = current[name]
        asked = int(version[1]) if (version := re.search(r"v(\d+)$", written, re.IGNORECASE)) else None
        latest = int(newest.rpartition("-v")[2])
        if asked is not None and asked > latest:
            return _Place(f"{name}-v{asked}")
        note = f"{name}-v{asked} is now {newest}." if asked not in (None, latest) else ""
        note += " Its actions are sticky." if note and newest.startswith("ALE/") else ""
        return _Place(newest, frozenset({catalog.environment(newest).acts}), note=note)
    for family in FAMILIES:
        if {name, re.split("[/-]", name)[0]} & {*family.names.split()}:
            acts = family.acts & {"continuous"} if continuous else family.acts
            return _Place(name, acts or family.acts, family)
    return _Place(_clean(name))


def _variants(text: str, algo: str, named: Sequence[Mention]) -> dict[Variant, object]:
    """The additions that a text names → their value; a switch that is declined ("no …") is False.

    Of what stands inside an algorithm's name only its own additions count: the LSTM of "LSTM-PPO", but not the
    transformer of "Decision Transformer".
    """
    found: dict[Variant, object] = {}
    for one in VARIANTS:
        match = next((seen for seen in pattern(one.names).finditer(text) if _is_addition(one, seen, named)), None)
        if match and (not one.of or algo in one.of):
            asked = not declined(text, match.start())
            if asked or one.value is True:
                found[one] = asked if one.value is True else one.value
    return found


def _is_addition(one: Variant, match: re.Match[str], named: Sequence[Mention]) -> bool:
    around = next((name for name in named if name.start < match.end() and match.start() < name.end), None)
    return around is None or around.key in (one.of or catalog.ALGORITHMS)


def _with_memory(method: _Method, variants: dict[Variant, object]) -> tuple[_Method, dict[Variant, object]]:
    """The algorithm that has a memory for the one that was named with it: recurrent SAC is one of its own."""
    cores = [one for one, value in variants.items() if one.setting == "core" and value]
    if cores and method.name in RECURRENT and method.name in catalog.ALGORITHMS:
        method = _method(RECURRENT[method.name])
    if len(cores) > 1 or _included(method.name, "core"):
        variants = {one: value for one, value in variants.items() if one is not USUAL_MEMORY}
    return method, variants


def _included(algo: str, setting: str) -> bool:
    """Whether an algorithm always has what this setting is for others."""
    return setting in INCLUDED.get(algo, ())


def _titled(algo: str, title: str, added: Sequence[Variant]) -> str:
    """An algorithm's title with its additions, without those that it always has."""
    for form in dict.fromkeys(one.title for one in added if one.essential and not _included(algo, one.setting)):
        title = form.format(title)
    return title


def _clean(name: str) -> str:
    """A name of the user's, fit to be shown back."""
    return re.sub(r"[^\w./:+-]+", " ", name).strip()[:60]


def _own(algo: str) -> dict[str, Setting]:
    return {item.name: item for item in settings(catalog.config_class(algo))}


# ---------------------------------------------------------------- the decision


def _decide(text: str, named: Sequence[Mention], places: Sequence[Mention]) -> TrainingPlan | Refusal:
    bare = blank(text, [*named, *places])
    said = {one.key for one in [*named, *places]}
    named, places = wanted(text, named), wanted(text, places)
    method, place, notes = _subject(bare, named, places, said - {one.key for one in [*named, *places]})
    method, variants = _with_memory(method, _variants(blank(text, places), method.name, named))
    added = [one for one, value in variants.items() if one.essential and value]
    title = _titled(method.name, method.title, added)
    back = HINDSIGHT in added
    reason = _why_not(method, place, title, added)
    if not reason:
        try:
            return _draft(bare, method.name, place.name, variants, notes)
        except ConfigError as error:
            reason = str(error)
    return Refusal(reason, _offer(bare, method, place, back=back), title, place.name)


def _subject(bare: str, named: Sequence[Mention], places: Sequence[Mention],
             avoided: Collection[str]) -> tuple[_Method, _Place, list[str]]:
    """The algorithm and the environment of a request, chosen where only the other one is named, or one to avoid."""
    continuous, notes = bool(_CONTINUOUS.search(bare)), []
    back = bool(_variants(bare, "", ()).get(HINDSIGHT))
    place = _place(places[0].key, places[0].text, continuous) if places else None
    if place is None and (name := unknown_place(bare)):
        place = _Place(_clean(name))
    if named:
        method = _method(named[0].key)
    elif (name := unknown_algorithm(bare)) and not any(pattern(one.names).fullmatch(name) for one in VARIANTS):
        method = _Method("", _clean(name), frozenset(), ("ppo",))
    else:
        goals = place.goal if place else back
        first = "sac" if (place.acts == {"continuous"} if place else continuous) else "dqn" if goals else "ppo"
        kind, usual = _kind(bare)
        method = next((one for one in map(_method, (*usual, first, *_USUAL, *catalog.ALGORITHMS))
                       if one.name not in avoided and (not place or not place.acts or one.acts & place.acts)),
                      _method(first))
        notes.append(f"{_method(first).title} is not wanted; {method.title} is the next choice here."
                     if first in avoided else
                     f"No algorithm was named; {method.title} is the usual {kind} choice here.")
    if place is None:
        first = (_WITH_GOALS if back else _FIRST)[continuous or method.acts == {"continuous"}]
        quick = [_place(base(name), "", False) for name in (first, *catalog.ENVIRONMENTS) if base(name) not in avoided]
        place = next(one for one in quick if not method.acts or method.acts & one.acts)
        notes.append(f"No environment was named; {place.name} is a quick first one.")
    others = {one.text for one in named if one.key != named[0].key and not _only_adds(one, method)}
    others |= {one.text for one in places if one.key != places[0].key and not {one.key, one.text} & WEAK_ENV_NAMES}
    if others:
        notes.append(f"A plan is one algorithm on one environment; left out: {', '.join(sorted(others))}.")
    return method, place, notes + [place.note] * bool(place.note)


def _kind(text: str) -> tuple[str, tuple[str, ...]]:
    """The kind of algorithm that a text asks for, and the usual ones of it; "first" and none if it asks for none."""
    for kind, said, usual in _KINDS:
        if any(not declined(text, match.start()) for match in said.finditer(text)):
            return kind, usual
    return "first", ()


def _only_adds(mention: Mention, method: _Method) -> bool:
    """Whether an algorithm's name is here an addition to another: the C51 of "Rainbow with C51"."""
    return any(method.name in one.of and pattern(one.names).fullmatch(mention.text) for one in VARIANTS)


def _why_not(method: _Method, place: _Place, title: str, added: Sequence[Variant]) -> str:
    """Why this cannot be trained: what no library could do comes first, then what rlcore has not got."""
    known = method.name in catalog.ALGORITHMS
    if place.acts and not place.goal and any(one.setting == "hindsight" for one in added):
        return (f"{title} needs a goal-conditioned environment, whose observations hold an achieved and a desired "
                f"goal, and {place.name} has no goals. "
                f"Try {' or '.join(catalog.with_goals(method.acts or place.acts))}.")
    if place.acts and method.acts and not method.acts & place.acts:
        has = "a continuous (Box)" if "continuous" in place.acts else "a discrete"
        needs = " or ".join(sorted(method.acts))
        return (catalog.refusal(method.name, place.name) if known and not place.family else
                f"{title} needs a {needs} action space, but {place.name} has {has} one.")
    back = HINDSIGHT in added and place.listed
    if back and known and (reason := catalog.no_hindsight(method.name, place.name)):
        return reason
    if place.acts and method.agents and not place.agents:
        return f"{title} trains several agents together, and {place.name} has a single one."
    missing = []
    if not place.acts:
        missing.append(f"'{place.name}' is an unknown environment")
    options = [one.setting for one in added if one.setting in RUN_OPTIONS and known and not (back and one is HINDSIGHT)]
    if not method.acts:
        missing.append(f"'{title}' is an unknown algorithm")
    elif not known or {one.setting for one in added} - {*_own(method.name), *RUN_OPTIONS,
                                                        *INCLUDED.get(method.name, ())}:
        missing.append(f"rlcore does not have {title} yet")
    if place.family:
        extra = f"; rl.train takes it by its id once rl-copilot[{place.family.extra}] is installed"
        missing.append(f"{place.name} ({place.family.title}) is not bundled yet{extra if place.family.extra else ''}")
    return " ".join([f"{', and '.join(missing)}."] * bool(missing) + [RUN_OPTIONS[name] for name in options])


def _offer(bare: str, method: _Method, place: _Place, *, back: bool) -> str:
    """The nearest request that can be met, as a sentence that `plan_from_text` reads.

    back: hindsight was asked for.
    """
    algos = [name for name in (*method.like, "ppo") if name in catalog.ALGORITHMS]
    env = place.family.like if place.family else place.name
    if back and env in catalog.ENVIRONMENTS and catalog.environment(env).gives_goals:
        algos = [name for name in (*algos, *catalog.ALGORITHMS) if catalog.ALGORITHMS[name].looks_back]
    if method.acts and not method.acts & place.acts:    # LunarLander has a continuous twin
        twin = env.replace("Continuous-", "-") if "Continuous-" in env else env.replace("-", "Continuous-")
        env = twin if twin in catalog.ENVIRONMENTS and not place.family else env
    if env not in catalog.ENVIRONMENTS or _lacks_cost(algos[0], env):
        alike = sorted((*_FIRST, *catalog.ENVIRONMENTS),
                       key=lambda one: catalog.environment(one).acts not in place.acts)
        able = {one.lower(): one for one in alike if not catalog.refusal(algos[0], one)}
        env = able[(get_close_matches(place.name.lower(), able, n=1, cutoff=0.6) or list(able))[0]]
    algo = next(name for name in algos if not catalog.refusal(name, env))
    try:
        plan = _draft(bare, algo, env, {}, ())
    except ConfigError:    # the request's own settings are what cannot be
        plan = _draft("", algo, env, {}, ())
    kept = {*_GENERAL, *plan.env_options}
    shared = {name: value for name, value in _asked(plan).items() if algo == method.name or name in kept}
    asked = ", ".join(f"{name}={value}" for name, value in shared.items())
    how = " with hindsight" if plan.hindsight is not None else ""
    return f"Train {catalog.algorithm(algo).title}{how} on {env}{f' with {asked}' if asked else ''}."


def _lacks_cost(algo: str, env: str) -> bool:
    """Whether an algorithm learns from the cost of steps where nothing tells it."""
    return catalog.algorithm(algo).needs_cost and not catalog.environment(env).gives_cost


def _draft(bare: str, algo: str, env: str, variants: Mapping[Variant, object], notes: Sequence[str]) -> TrainingPlan:
    """The plan for a text whose names are blanked; what it leaves out is in its notes.

    Raises:
        ConfigError: a setting that cannot be.
    """
    own, title, said = _own(algo), catalog.algorithm(algo).title, list(notes)
    options, back = {item.name: item for item in catalog.option_settings(env)}, variants.get(HINDSIGHT)
    if sampler := _SAMPLER.search(bare):
        bare = blank(bare, [Mention("", *sampler.span(), "")])
        said.append(_of_sampler(sampler))
    wishes = read_wishes(bare, [*own.values(), *options.values(), *[SHARE] * bool(back)])
    takes = {*own, *options} | ({"learning_rate_decay"} if "learning_rate_steps" in own else set())    # said as steps
    values = {one.setting: value for one, value in variants.items() if one.setting in takes} | wishes.values
    for one in variants:
        said += _unheeded(algo, one, variants[one]) if one.setting not in takes and one is not HINDSIGHT else []
    if _wants_gpu(bare):
        said.append("This plan trains on the CPU; for a GPU, pass device=\"cuda\" to rl.train in the script.")
    run: dict[str, Any] = {"env_steps": catalog.preset(algo, env).env_steps, "seed": 1}
    run |= {name: values.pop(name) for name in _OF_RUN if name in values}
    said += _ends(env, run)
    run["env_options"] = {name: values.pop(name) for name in options if name in values}
    if back is not False:
        run["hindsight"] = values.pop("hindsight", catalog.hindsight(algo, env))
    if back is None:
        said += _on_goals(algo, env, run["hindsight"])
    said += _translate(algo, env, run["env_steps"], values)
    for name, value in values.items():
        if env.startswith("ALE/") and value == _AS_IT_IS.get(name):
            said.append(f"{name}={value} is how games are seen here anyway.")
        elif name not in own:
            said.append(f"{name}={value} is left out: {NOT_IN_A_PLAN.get(name, f'{title} has no such setting')}.")
    if wishes.strays:
        said.append(f"Not understood, left out: {', '.join(wishes.strays)}.")
    params = {name: values[name] for name in own if name in values}
    return TrainingPlan(algo, env, params=params, notes=tuple(said), **run)


def _of_sampler(said: re.Match[str]) -> str:
    """What to say of a sampler that was asked for."""
    name = (said["name"] or said["given"]).lower().removesuffix("hronous")
    workers = f", num_workers={said['workers']}" if said["workers"] else ""
    return f'This plan samples in one process; for others, pass sampler="{name}"{workers} to rl.train in the script.'


def _ends(env: str, run: dict[str, Any]) -> list[str]:
    """Fits, in place, when a run is to stop; and what to say of that."""
    said = []
    if run.get("target_return") == "solved":
        run["target_return"] = catalog.environment(env).solved_at
        said += [] if run["target_return"] is not None else [f"{env} has no agreed score at which to stop."]
    if "patience" in run and "evaluate_every" not in run:
        run["evaluate_every"] = max(1, run["env_steps"] // _EVALUATIONS)
        said.append(f"evaluate_every={run['evaluate_every']}, because patience counts evaluations.")
    return said


def _on_goals(algo: str, env: str, share: float | None) -> list[str]:
    """What to say of hindsight where nobody spoke of it."""
    if not catalog.environment(env).gives_goals:
        return []
    if share is None:
        return [f"{catalog.no_hindsight(algo, env)} Without it next to nothing is learned here."]
    return [f"hindsight={share}, because chance hardly ever reaches a goal here; without hindsight leaves it out."]


def _unheeded(algo: str, one: Variant, value: object) -> list[str]:
    """What to say of an addition that is no setting of the algorithm."""
    title = catalog.algorithm(algo).title
    if _included(algo, one.setting):
        return [] if value else [f"'{one.setting}' is part of {title} and stays."]
    return [f"{title} has no setting for {one.title}; left out."] if value else []


def _translate(algo: str, env: str, env_steps: int, values: dict[str, Any]) -> list[str]:
    """Says in the algorithm's own settings what was said in others', in place."""
    own, said = _own(algo), []
    if "adjust_alpha" in own:
        said += _hold_alpha(values)
    if "learning_rate_steps" in own and (decay := values.pop("learning_rate_decay", None)):
        values.setdefault("learning_rate_steps", env_steps if decay == "linear" else None)
    if "num_minibatches" in own:
        said += _split_rollout(algo, env, values)
    return said


def _hold_alpha(values: dict[str, Any]) -> list[str]:
    """Takes a temperature that is named, also under its other name, as one to keep; in place."""
    for name in ("entropy_coef", "temperature"):
        if name in values:
            values.setdefault("alpha", values.pop(name))
    if "alpha" not in values or "adjust_alpha" in values:
        return []
    values["adjust_alpha"] = False
    return [f"alpha is held at {values['alpha']}; adjust_alpha=True would tune it."]


def _split_rollout(algo: str, env: str, values: dict[str, Any]) -> list[str]:
    """Turns a minibatch size into the number of minibatches, in place, and fits numbers that nobody asked for."""
    config = to_dict(catalog.config_for(algo, env)) | values
    rows, count = config["num_envs"] * config["horizon"], config["num_minibatches"]
    length = config["sequence_length"] if config.get("core", "none") != "none" else 1
    if not all(isinstance(number, int) and number > 0 for number in (rows, length)):
        return []    # the config will say so
    if rows > 10**7:
        raise ConfigError(f"num_envs × horizon = {config['num_envs']:.3g} × {config['horizon']:.3g} steps is too long "
                          "a rollout; 10 million is the most.")
    if (size := values.pop("batch_size", None)) is not None:
        if not isinstance(size, int) or size < 1 or rows % size:
            fits = next(n for n in range(min(int(min(max(size, 1), rows)), 10**6), 0, -1) if rows % n == 0)
            raise ConfigError(f"batch_size={size} must divide the rollout of {rows} steps (num_envs × horizon). "
                              f"Try {fits}.")
        values["num_minibatches"] = rows // size
        return [f"batch_size={size} is num_minibatches={rows // size}, as a rollout has {rows} steps."]
    said = []
    if "sequence_length" not in values and config["horizon"] % length:
        values["sequence_length"] = _divisor(config["horizon"], length)
        said.append(f"sequence_length={values['sequence_length']}, because {length} would not divide "
                    f"horizon={config['horizon']}.")
        length = values["sequence_length"]
    if "num_minibatches" not in values and (rows // length) % count:
        values["num_minibatches"] = _divisor(rows // length, count)
        what = f"{rows} steps" if length == 1 else f"{rows // length} sequences"
        said.append(f"num_minibatches={values['num_minibatches']}, because {count} would not divide a rollout of "
                    f"{what}.")
    return said


def _divisor(number: int, wish: int) -> int:
    """The largest divisor of a number that is not above the wish."""
    return next(n for n in range(min(wish, number), 0, -1) if number % n == 0)


# ---------------------------------------------------------------- showing it


def _asked(plan: TrainingPlan) -> dict[str, Any]:
    """What makes this plan differ from the plain one for its algorithm and environment."""
    usual = {"env_steps": catalog.preset(plan.algo, plan.env).env_steps, "seed": 1, "target_return": None,
             "evaluate_every": None, "patience": None, "evaluate_episodes": EPISODES,
             "hindsight": catalog.hindsight(plan.algo, plan.env)}
    options = {item.name: item.default for item in catalog.option_settings(plan.env)}
    always = catalog.environment(plan.env).always
    chosen = {name: value for name, value in plan.env_options.items() if value != options[name] or name not in always}
    return {**plan.params, **chosen} | {
        name: getattr(plan, name) for name in usual if getattr(plan, name) != usual[name]}


def describe(plan: TrainingPlan) -> str:
    """The plan as a short Markdown text: what will run, what differs from the defaults, what to expect."""
    place, preset = catalog.environment(plan.env), catalog.preset(plan.algo, plan.env)
    items = {item.name: item for item in settings(catalog.config_class(plan.algo))}
    rows = [("env_steps", f"{plan.env_steps:,}", f"{preset.env_steps:,}", "environment steps in all"),
            ("seed", plan.seed, "", "same seed, same machine: same run"),
            *((name, value, items[name].default, items[name].help) for name, value in plan.changes.items())]
    options = {item.name: item for item in catalog.option_settings(plan.env)}
    rows += [(name, value, options[name].default, options[name].help) for name, value in plan.env_options.items()]
    if plan.hindsight is not None:
        rows.append((SHARE.name, plan.hindsight, "", SHARE.help))
    if plan.target_return is not None:
        rows.append(("target_return", plan.target_return, "", "stop early at this mean return"))
    if plan.evaluate_every is not None:
        rows.append(("evaluate_every", f"{plan.evaluate_every:,}", "", "steps between evaluations that keep the best"))
    if plan.patience is not None:
        rows.append(("patience", plan.patience, "", "stop after so many evaluations without a better one"))
    lines = [f"**{plan.title} on {plan.env}** — {place.summary}", "",
             "| setting | value | default | meaning |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    then = f"{plan.evaluate_episodes} evaluation episodes{' and a video' * plan.record_video}"
    then += " of the best agent" * (plan.evaluate_every is not None)
    lines += ["", f"Settings: {preset.source}. Afterwards: {then}."]
    if place.solved_at is not None:
        lines.append(f"A mean return of {place.solved_at:g} counts as solved.")
    missing = catalog.missing_extra(plan.env)
    return "\n".join(lines + [f"- {note}" for note in (*plan.notes, *[missing] * bool(missing))])


def _cell(value: object) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return shown.replace("|", r"\|")


# Our names → the ones in common use, for a table that is compared with others.
_COMMON_NAMES = {"learning_rate_decay": "lr_schedule", "train_every": "train_freq", "updates": "gradient_steps",
                 "target_every": "target_update_interval", "env_steps": "total_timesteps"}


def to_row(result: TrainingPlan | Refusal | None, request_id: str) -> dict[str, Any]:
    """One line of `python -m copilot plan --requests`."""
    if isinstance(result, TrainingPlan):
        params = _asked(result) | {"env_steps": result.env_steps}
        params = {_COMMON_NAMES.get(name, name): value for name, value in params.items()}
        return {"id": request_id, "algo": result.title, "env": result.env, "params": params, "refused": False,
                "reason": " ".join(result.notes)}
    if isinstance(result, Refusal):
        reason = f"{result.reason} {result.alternative}"
        return {"id": request_id, "algo": result.algo, "env": result.env, "params": {}, "refused": True,
                "reason": reason}
    return {"id": request_id, "algo": "", "env": "", "params": {}, "refused": False,
            "reason": "Not a training request."}
