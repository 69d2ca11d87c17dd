"""From a plan to a Python file that a person would be happy to own."""

from __future__ import annotations

import textwrap
from math import isfinite

from copilot.plan import EPISODES, SHARE, TrainingPlan
from rlcore import catalog
from rlcore.config import settings

WIDTH = 110


def render(plan: TrainingPlan) -> str:
    """A runnable script: only settings that differ from the defaults, each with what it means.

    Everything in it comes from the catalogue or is a checked value of a config, never the text of a request.
    """
    method, place = catalog.algorithm(plan.algo), catalog.environment(plan.env)
    folder = plan.env.replace("/", "-")    # rlcore/Foo-v0 is one folder, not two
    solved = f" A mean return of {place.solved_at:g} counts as solved." if place.solved_at is not None else ""
    lines = [
        *_wrapped(f'"""Trains {plan.title} on {plan.env}. {place.summary}'),
        "",
        *_wrapped(f"Settings: {catalog.preset(plan.algo, plan.env).source}.{solved}"),
        "Interrupted? `python -m rlcore resume` with the run's folder goes on where it was.",
        '"""',
        "",
        "import os",
        "",
        "import rlcore as rl",
        "",
        f"CONFIG = rl.{method.class_name}Config({_arguments(plan)})",
        "# The app chooses the folder of a run it starts.",
        f'RUN = os.environ.get("RLCORE_RUN_DIR", "runs/{plan.algo}-{folder}-seed{plan.seed}")',
        "",
        'if __name__ == "__main__":',
    ]
    chosen, meanings = _chosen(plan)
    lines += [f"    # {meaning}" for meaning in meanings]
    stop = f"target_return={_literal(plan.target_return)}, " if plan.target_return is not None else ""
    best = ', which="best"' if plan.evaluate_every is not None else ""
    lines += [
        f'    rl.train("{plan.algo}", "{plan.env}", CONFIG,{chosen}',
        *_evaluations(plan),
        f"             env_steps={plan.env_steps:_}, seed={plan.seed}, {stop}run_dir=RUN)",
        f"    print(rl.evaluate(RUN, episodes={plan.evaluate_episodes}{best}))",
    ]
    if plan.record_video:
        lines.append(f'    print("Video:", rl.record_video(RUN{best}))')
    return "\n".join(lines) + "\n"


def _evaluations(plan: TrainingPlan) -> list[str]:
    """The line for evaluations in training, which keep the best agent; none where there are none."""
    if plan.evaluate_every is None:
        return []
    patience = f" patience={plan.patience}," if plan.patience is not None else ""
    episodes = f" evaluate_episodes={plan.evaluate_episodes}," if plan.evaluate_episodes != EPISODES else ""
    return [f"             evaluate_every={plan.evaluate_every:_},{episodes}{patience}"]


def _chosen(plan: TrainingPlan) -> tuple[str, list[str]]:
    """The arguments for a plan's goals and its environment's options, and what each means."""
    helps = {item.name: item.help for item in [*catalog.option_settings(plan.env), SHARE]}
    given, named = "", [*plan.env_options]
    if plan.env_options:
        options = ", ".join(f'"{name}": {_literal(value)}' for name, value in plan.env_options.items())
        given += f" env_options={{{options}}},"
    if plan.hindsight is not None:
        given, named = f"{given} hindsight={_literal(plan.hindsight)},", [*named, SHARE.name]
    return given, [f"{name}: {helps[name]}" for name in named]


def _arguments(plan: TrainingPlan) -> str:
    """The changed settings, one per line, with their meaning behind or, where that is too long, above them."""
    helps = {item.name: item.help for item in settings(catalog.config_class(plan.algo))}
    lines = []
    for name, value in plan.changes.items():
        argument, comment = f"    {name}={_literal(value)},", f"# {helps[name]}"
        if len(argument) + 2 + len(comment) <= WIDTH:
            lines.append(f"{argument}  {comment}")
        else:
            lines += [*textwrap.wrap(comment, WIDTH, initial_indent="    ", subsequent_indent="    # "), argument]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def _literal(value: object) -> str:
    if isinstance(value, list | tuple):
        return repr(tuple(value))
    return f'float("{value}")' if isinstance(value, float) and not isfinite(value) else repr(value)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)
