"""Train: choose an environment, an algorithm and settings; read the script they make; launch it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from copilot.plan import EPISODES, SHARE, TrainingPlan
from copilot.script import render
from gui import form
from gui.code import code_html
from gui.parts import Card, cards, count, notice, page_head, short
from gui.theme import PICK, pane, turns
from rlcore import runs
from rlcore.catalog import (
    ALGORITHMS,
    ENVIRONMENTS,
    Environment,
    algorithm,
    config_class,
    config_for,
    hindsight,
    missing_extra,
    option_settings,
    preset,
    refusal,
)
from rlcore.config import ConfigError, Setting, settings, to_dict

FAMILIES = list(dict.fromkeys(entry.family for entry in ENVIRONMENTS.values()))

# What a plan holds beside the algorithm's own config.
_STEPS = Setting("env_steps", "int", 100_000, "how long to train, over all environments together", 1, None, "steps")
_SEED = Setting("seed", "int", 1, "same seed, same machine: same run", 0, None, "")
_TARGET = Setting("target_return", "float", None,
                  "stop early once the mean return reaches this; empty trains to the end", None, None, "")
_EVERY = Setting("evaluate_every", "int", None,
                 "evaluate the agent every so many steps and keep the best; empty evaluates it at the end alone", 1,
                 None, "steps")
_PATIENCE = Setting("patience", "int", None,
                    "stop early after so many evaluations without a better one; it needs evaluate_every", 1, None,
                    "evaluations")
_EPISODES = Setting("evaluate_episodes", "int", EPISODES, "episodes played to measure the agent", 1, None, "episodes")
_VIDEO = Setting("record_video", "bool", True, "record a video of the trained agent", None, None, "")
_SHOWN = 12    # environments of a family; further ones are folded


@dataclass(frozen=True)
class Draft:
    """A plan that is being written: choices, and every text a person typed that differs from the preset."""

    env: str = "CartPole-v1"
    algo: str = "ppo"
    run: Mapping[str, str] = field(default_factory=dict)                   # setting of the run → text
    typed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)   # algorithm → setting → text


def of_goals(draft: Draft) -> list[Setting]:
    """The share of hindsight, where there are goals and the algorithm can use them."""
    return [] if hindsight(draft.algo, draft.env) is None else [SHARE]


def of_run(draft: Draft) -> list[Setting]:
    """The settings of a draft that are not its algorithm's."""
    return [_STEPS, _SEED, *of_end(draft), *option_settings(draft.env), *of_goals(draft)]


def of_end(draft: Draft) -> list[Setting]:
    """When to stop and what follows; a film, where the environment can be drawn."""
    return [_TARGET, _EVERY, _PATIENCE, _EPISODES, *[_VIDEO] * ENVIRONMENTS[draft.env].films]


def usual(draft: Draft) -> dict[str, str]:
    """The text of every field before anything is typed: the environment's preset, or the defaults."""
    config = to_dict(config_for(draft.algo, draft.env))
    run = {item.name: item.default for item in of_run(draft)}
    run["env_steps"] = preset(draft.algo, draft.env).env_steps
    run |= {item.name: hindsight(draft.algo, draft.env) for item in of_goals(draft)}
    return {name: form.text_of(value) for name, value in (run | config).items()}


def texts(draft: Draft) -> dict[str, str]:
    """The text of every field: the usual one unless another was typed."""
    known = usual(draft)
    typed = {**draft.run, **draft.typed.get(draft.algo, {})}
    return known | {name: text for name, text in typed.items() if name in known}


def edit(draft: Draft, values: Mapping[str, str]) -> Draft:
    """The draft after the form changed; what equals the usual value is not kept, so that presets still apply."""
    known, own = usual(draft), {item.name for item in of_run(draft)}
    changed = {name: text for name, text in values.items() if name in known and text != known[name]}
    run = {name: text for name, text in draft.run.items() if name not in known}    # typed for another environment
    run |= {name: text for name, text in changed.items() if name in own}
    config = {name: text for name, text in changed.items() if name not in own}
    return replace(draft, run=run, typed={**draft.typed, draft.algo: config})


def choose_env(draft: Draft, env: str) -> Draft:
    """The draft for another environment; an algorithm that cannot act there, or pursue its goals, makes way."""
    able = [name for name in (draft.algo, *ALGORITHMS) if not refusal(name, env)]
    reach = [name for name in able if hindsight(name, env) is not None] if ENVIRONMENTS[env].gives_goals else able
    return replace(draft, env=env, algo=reach[0])


def plan_of(draft: Draft) -> TrainingPlan:
    """The plan a draft describes.

    Raises:
        ConfigError: the first text that cannot work, in one sentence.
    """
    written, known = texts(draft), usual(draft)
    run = {item.name: form.value_of(item, written[item.name]) for item in of_run(draft)}
    params = {item.name: form.value_of(item, written[item.name]) for item in settings(config_class(draft.algo))
              if written[item.name] != known[item.name]}
    for item in of_run(draft):
        low, high, value = item.low, item.high, run[item.name]
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            raise ConfigError(f"{item.name}={written[item.name]} must be {form.span(item)}.")
    options = {item.name: run.pop(item.name) for item in option_settings(draft.env)}
    chosen = {name: value for name, value in options.items() if written[name] != known[name]}
    return TrainingPlan(algo=draft.algo, env=draft.env, params=params, env_options=chosen, **run)


def draft_of(plan: TrainingPlan) -> Draft:
    """The form filled in as a plan says; the inverse of `plan_of`."""
    empty = Draft(env=plan.env, algo=plan.algo)
    held = {**vars(plan), **{item.name: item.default for item in option_settings(plan.env)}, **plan.env_options}
    run = {item.name: form.text_of(held[item.name]) for item in of_run(empty)}
    return edit(empty, run | {name: form.text_of(value) for name, value in plan.params.items()})


def review(draft: Draft) -> tuple[str, str]:
    """The script the draft makes and the reason why there is none; one of the two is empty."""
    try:
        return render(plan_of(draft)), ""
    except ConfigError as error:
        return "", str(error)


def groups(draft: Draft) -> list[tuple[str, list[Setting]]]:
    """The fields in the order they are shown: common ones, then the rest."""
    items = {item.name: item for item in settings(config_class(draft.algo))}
    first = [items.pop(name) for name in [name for name in form.COMMON if name in items][:6]]
    about = [*option_settings(draft.env), *of_goals(draft)]
    return [("Common", [_STEPS, _SEED, *about, *first]),
            (f"All {algorithm(draft.algo).title} settings", list(items.values())),
            ("Stop early, evaluate, record", of_end(draft))]


def form_html(draft: Draft) -> str:
    """The settings form of the chosen algorithm, with where its preset comes from."""
    source = preset(draft.algo, draft.env).source
    note = f'<p class="form-source">Preset: {escape(source)}.</p>'
    return note + form.html(groups(draft), texts(draft), usual(draft))


def environment_cards(draft: Draft, family: str) -> str:
    """One family's environments, the first ones in sight; the chosen one is marked."""
    listed = [entry for entry in ENVIRONMENTS.values() if entry.family == family]
    choices = [Card(entry.id, entry.title, entry.summary, _facts(entry)) for entry in listed]
    shown = notice(missing_extra(listed[0].id)) + cards(choices[:_SHOWN], draft.env, "Environment")
    if more := choices[_SHOWN:]:
        is_open = "open" if draft.env in {one.value for one in more} else ""
        title = f"More of {family}"
        shown += (f'<details class="fold" {is_open}><summary>{escape(title)} <span>{len(more)}</span></summary>'
                  f"{cards(more, draft.env, title)}</details>")
    return shown


def _facts(entry: Environment) -> tuple[str, ...]:
    actions = f"{entry.act_dim} actions" if entry.acts == "discrete" else f"{entry.act_dim}-D continuous"
    solved = (f"solved at {short(entry.solved_at)}",) if entry.solved_at is not None else ()
    return (*[entry.sees] * bool(entry.sees), actions, *solved)


def algorithm_cards(draft: Draft) -> str:
    """The algorithms by what they act on; folded below them those that cannot learn here, each with the reason."""
    reasons = {name: refusal(name, draft.env) for name in ALGORITHMS}
    listed: dict[str, list[Card]] = {}
    for entry in (ALGORITHMS[name] for name, reason in reasons.items() if not reason):
        title = f"{min(entry.acts).capitalize()} actions" if len(entry.acts) == 1 else "Any kind of action"
        source = f"arXiv {entry.arxiv}" if entry.arxiv else str(entry.year)
        card = Card(entry.name, entry.title, f"{entry.long_title}. {entry.summary}", (source,))
        listed.setdefault(title, []).append(card)
    shown = [f'<h3 class="cards-title">{escape(title)}</h3>{cards(choices, draft.algo, title)}'
             for title, choices in listed.items()]
    if unable := [Card(name, ALGORITHMS[name].title, refusal=reason) for name, reason in reasons.items() if reason]:
        shown.append(f'<details class="fold"><summary>Not for {escape(ENVIRONMENTS[draft.env].title)} '
                     f"<span>{len(unable)}</span></summary>{cards(unable, draft.algo, 'Cannot learn here')}</details>")
    return "".join(shown)


def summary_html(draft: Draft, error: str) -> str:
    """What Launch will do, or the one sentence that says why it cannot."""
    if error:
        return notice(error, "bad")
    place, steps = ENVIRONMENTS[draft.env], texts(draft)["env_steps"]
    solved = place.solved_at
    goal = f" {place.title} counts as solved at a mean return of {short(solved)}." if solved is not None else ""
    return (f'<p class="launch-summary">Trains <strong>{escape(algorithm(draft.algo).title)}</strong> on '
            f"<strong>{escape(place.id)}</strong> for {escape(_grouped(steps))} steps in a process of its own: "
            f"it goes on when you close this window.{goal}</p>")


def _grouped(text: str) -> str:
    return count(int(text)) if text.isdigit() else text


def launch(draft: Draft, root: Path) -> tuple[str, str]:
    """Start training: the new run's id and an empty text, or no id and the reason."""
    if missing := missing_extra(draft.env):
        return "", missing
    try:
        script = render(plan_of(draft))
        return runs.launch(script, f"{draft.algo}-{draft.env}", root=root).name, ""
    except (ConfigError, OSError) as error:
        return "", str(error)


@dataclass(frozen=True)
class TrainPage:
    """What other pages connect to."""

    draft: gr.State
    shown: list[Any]               # outputs of `show`, in its order
    launched: gr.State             # id of the run that was launched last


def show(draft: Draft) -> tuple[Any, ...]:
    """Everything the page shows of a draft: for `TrainPage.shown`."""
    family = ENVIRONMENTS[draft.env].family
    return (draft, family, environment_cards(draft, family), algorithm_cards(draft), *_filled(draft))


def _filled(draft: Draft) -> tuple[Any, ...]:
    return (form_html(draft), *_outcome(draft))


def _outcome(draft: Draft) -> tuple[Any, ...]:
    script, error = review(draft)
    code = gr.skip() if error else code_html(script, "train.py")    # the last script that worked stays readable
    return error_html(error), code, summary_html(draft, error), gr.update(interactive=not error)


def error_html(error: str) -> str:
    """The sentence that says what cannot work, with the name of the field it is about, so that the page can mark it."""
    named = re.match(r"(?:\w+Config\.)?([a-z]\w*)", error)
    return f'<div data-field="{named[1] if named else ""}">{notice(error, "bad")}</div>'


def _step(number: int, title: str, text: str, elem_id: str) -> None:
    pane(f'<div class="step"><b>{number}</b><h2>{escape(title)}</h2><span>{escape(text)}</span></div>', elem_id)


def build(root: Path) -> TrainPage:
    """Lay the page out and connect it."""
    start = Draft()
    draft, launched, filled = gr.State(start), gr.State(""), gr.State(False)
    opened = gr.Button(visible="hidden", elem_id="opened-train")    # pressed by the script when the page is shown
    pane(page_head("Train an agent", "Five steps. Every choice is checked as you make it."), "train-head")
    with gr.Row(elem_id="train-grid"):
        with gr.Column(elem_id="train-steps"):
            with gr.Column(elem_classes="step-group"):
                _step(1, "Environment", "What should it learn?", "step-env")
                family = gr.Radio([(name[:1].upper() + name[1:], name) for name in FAMILIES], value=FAMILIES[0],
                                  show_label=False, container=False, elem_id="env-family", elem_classes="segments")
                envs = pane(environment_cards(start, FAMILIES[0]), "env-cards", PICK)
            with gr.Column(elem_classes="step-group"):
                _step(2, "Algorithm", "How should it learn?", "step-algo")
                algos = pane(algorithm_cards(start), "algo-cards", PICK)
            with gr.Column(elem_classes="step-group"):
                _step(3, "Settings", "Sensible from the start; change what you like.", "step-settings")
                fields = pane('<p class="form-source">Loading the settings…</p>', "settings", form.SCRIPT)
                wrong = pane("", "settings-error")
                reset = gr.Button("Back to the preset", size="sm", elem_id="reset-settings", scale=0, min_width=150)
        with gr.Column(elem_id="train-review"):
            _step(4, "Review the script", "This is exactly what runs.", "step-review")
            script = pane("", "script")
            _step(5, "Launch", "", "step-launch")
            summary = pane("", "launch-summary")
            go = gr.Button("Launch training", variant="primary", elem_id="launch", interactive=False)
    carrier = gr.Textbox(visible=False)               # carries what the form holds at the moment of a click

    outcome = [wrong, script, summary, go]
    shown = [draft, family, envs, algos, fields, *outcome]
    turn = turns("train")
    marked: dict[str, Any] = {"fn": None, "js": "() => window.copilot.mark()"}

    def first_opened(now: Draft, filled: bool) -> tuple[Any, ...]:
        # Not `show`: the configs take a moment to load, and by then a card may have been picked.
        return (True, *(gr.skip() for _ in [fields, *outcome])) if filled else (True, *_filled(now))

    opened.click(first_opened, [draft, filled], [filled, fields, *outcome], **turn)
    # A choice made while the one before it is still on its way must not be lost.
    choice: dict[str, Any] = {**turn, "trigger_mode": "always_last"}
    family.input(environment_cards, inputs=[draft, family], outputs=[envs], **choice)

    def pick_env(now: Draft, event: gr.EventData) -> tuple[Any, ...]:
        return show(choose_env(now, event.value))

    def pick_algo(now: Draft, event: gr.EventData) -> tuple[Any, ...]:
        return show(replace(now, algo=event.value))

    def edited(now: Draft, event: gr.EventData) -> tuple[Any, ...]:
        after = edit(now, event.values)
        return (after, *_outcome(after))

    def launched_from(now: Draft, held: str) -> tuple[Any, ...]:
        after = edit(now, json.loads(held))
        run_id, error = launch(after, root)
        return after, error_html(error), run_id or gr.skip()

    envs.pick(pick_env, inputs=[draft], outputs=shown, **choice).then(**marked)
    algos.pick(pick_algo, inputs=[draft], outputs=shown, **choice).then(**marked)
    fields.edit(edited, inputs=[draft], outputs=[draft, *outcome], **choice).then(**marked)
    reset.click(lambda now: show(Draft(now.env, now.algo)), inputs=[draft], outputs=shown, **turn)
    go.click(launched_from, inputs=[draft, carrier], outputs=[draft, wrong, launched],
             js="(draft, held) => [draft, window.copilot.settings()]", **turn)
    return TrainPage(draft, shown, launched)
