"""The command line: python -m rlcore train ppo --env CartPole-v1 --learning_rate 5e-4"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import logging
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from rlcore import catalog
from rlcore.config import ConfigError, MissingExtra, ShapeError, nearest, settings
from rlcore.processes import WorkerError
from rlcore.runs import BACKENDS, RUNS, SAMPLERS, RunSpec, checked, list_runs, parse_yaml, read_yaml


def main(arguments: list[str] | None = None) -> int:
    """Run one command; bad input costs one clear sentence and exit status 2, an environment with faults, or that raised
    in a worker, status 1.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options, strange = _parser(arguments).parse_known_args(arguments)
        if strange:
            raise _unknown_option(strange[0], options)
        return int(options.run_command(options) or 0)
    except (ConfigError, ShapeError, MissingExtra) as error:
        logging.error("%s", error)
        return 2
    except WorkerError as error:    # its message has the traceback that matters, the worker's
        logging.error("%s", error)
        return 1


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, without a page of usage, and knows -1e3 from an option."""

    def __init__(self, **how: Any):
        super().__init__(**how)
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|-\.?(inf|nan)$", re.IGNORECASE)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")


def _yaml(text: str) -> Any:
    try:
        return parse_yaml(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no YAML: {error}") from None


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m rlcore", description=__doc__)
    parser.add_argument("--version", action="version", version=f"rlcore {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    trainer = commands.add_parser("train", help="train an agent into a new run folder", allow_abbrev=False,
                                  argument_default=argparse.SUPPRESS)
    _add_run_options(trainer)
    _add_settings(trainer, arguments)
    for name, command, text in (("resume", _resume, "continue a run from its last checkpoint"),
                                ("evaluate", _evaluate, "play evaluation episodes with a run's policy"),
                                ("video", _video, "film one episode of a run's policy")):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("run", type=Path, help="a run's folder")
        sub.set_defaults(run_command=command)
        sub.add_argument("--encoder", metavar="MODULE:CLASS", help="the run's own encoder, whose module you trust")
        if name == "evaluate":
            sub.add_argument("--episodes", type=_yaml, default=20)
            sub.add_argument("--seed", type=_yaml, default=10_000, help="of the first environment")
            sub.add_argument("--explore", action="store_true", help="act with noise, as at the end of training")
        if name == "resume":
            sub.add_argument("--env", help="the run's own environment, module:Class or file.py:Class, which you trust")
            sub.add_argument("--env_steps", type=_yaml, help="a new length, counted from the run's beginning")
        else:
            sub.add_argument("--env", help="another environment with the same spaces, or the run's own where it is a "
                             "module:Class or file.py:Class, which you trust")
            sub.add_argument("--env_options", type=_yaml, metavar="YAML",
                             help="what to change of the environment's options, such as '{max_episode_steps: 200}'")
            sub.add_argument("--checkpoint", default="last", type=lambda word: int(word) if word.isdecimal() else word,
                             help="last, best, or the step of one that was kept")
    shower = commands.add_parser("describe", help="print an agent's networks, shapes and optimisers",
                                 allow_abbrev=False, argument_default=argparse.SUPPRESS)
    shower.add_argument("algo", help=", ".join(catalog.ALGORITHMS))
    shower.add_argument("--env", required=True, help="an environment's name, such as CartPole-v1")
    shower.add_argument("--action_mask", action="store_true", help="as for train")
    shower.set_defaults(run_command=_describe)
    _add_settings(shower, arguments)
    checker = commands.add_parser("check", help="look an environment over for faults; exit status 1 if it has any")
    checker.add_argument("env", help="a name as train takes it: CartPole-v1, module:Class, file.py:Class")
    checker.set_defaults(run_command=_check)
    for sub in (shower, checker):
        sub.add_argument("--env_options", type=_yaml, metavar="YAML", default={}, help=_ENV_OPTIONS)
    lister = commands.add_parser("list", help="list runs, algorithms or environments")
    lister.add_argument("what", nargs="?", choices=("runs", "algorithms", "environments"), default="runs")
    lister.add_argument("--root", type=Path, default=RUNS, help="the folder that holds the runs")
    lister.set_defaults(run_command=_list)
    return parser


def _version() -> str:
    try:
        return version("rl-copilot")
    except PackageNotFoundError:
        return "(not installed)"


def _unknown_option(word: str, options: argparse.Namespace) -> ConfigError:
    name, known = word.lstrip("-").split("=")[0], {*vars(options)}
    if options.run_command in (_train, _describe):
        known |= _setting_names(options.algo)
    if options.run_command is _train:
        known |= _run_options()
    return ConfigError(f"Unknown option '{name}'{nearest(name, known) or '. See --help.'}")


def _run_options() -> set[str]:
    """What `train` can be asked for beside the algorithm's settings."""
    from rlcore.training import train

    return {*inspect.signature(train).parameters} - {"algo", "config", "callbacks", "progress"}


def _setting_names(algo: str) -> set[str]:
    return {item.name for item in settings(catalog.config_class(algo))}


_ENV_OPTIONS = "for the environment's constructor, such as '{max_episode_steps: 200}'"


def _add_run_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("algo", help=", ".join(catalog.ALGORITHMS))
    sub.add_argument("--env", help="an environment's name, such as CartPole-v1")
    sub.add_argument("--config", type=Path, help="a YAML file with settings and options such as these, or the "
                     "config.yaml of a run; the command line wins")
    sub.add_argument("--env_steps", type=_yaml, help="length of the run; the preset's if not given")
    sub.add_argument("--seed", type=_yaml)
    sub.add_argument("--run_dir", type=Path, help="the run's folder; a new one under runs/ if not given")
    sub.add_argument("--target_return", type=_yaml, help="stop once the last 100 episodes average this")
    sub.add_argument("--device", help="cpu or cuda")
    sub.add_argument("--backend", choices=BACKENDS, help="engine of the environments")
    sub.add_argument("--env_options", type=_yaml, metavar="YAML", help=_ENV_OPTIONS)
    sub.add_argument("--action_mask", action="store_true", help="choose among info['action_mask']'s legal actions only")
    sub.add_argument("--sampler", choices=SAMPLERS,
                     help="who steps environments; only async changes what is learned")
    sub.add_argument("--num_workers", type=_yaml, help="processes of the sampler; one per core if not given")
    sub.add_argument("--timeout_s", type=_yaml, help="of silence after which a process of the sampler counts as hung")
    sub.add_argument("--evaluate_every", type=_yaml, help="env steps between evaluations; the best agent is kept")
    sub.add_argument("--evaluate_episodes", type=_yaml)
    sub.add_argument("--patience", type=_yaml, help="stop after so many evaluations without a better one")
    sub.add_argument("--keep_every", type=_yaml, help="env steps between checkpoints of the agent that stay")
    sub.add_argument("--start_from", type=Path, help="a run whose last agent this one begins as")
    sub.add_argument("--freeze", nargs="+", metavar="WORD",
                     help="parameters whose names, as describe prints them, contain one of these stay as they are")
    sub.add_argument("--encoder", metavar="MODULE:CLASS", help="a torch.nn.Module of yours that reads observations")
    sub.add_argument("--hindsight", type=_yaml, metavar="SHARE",
                     help="share of replayed steps that pursue a goal their episode reached later; 0.8 is usual")
    sub.add_argument("--compiled", action=argparse.BooleanOptionalAction,
                     help="compile the gradient step; where it can be and a run is long enough, if not given")
    sub.add_argument("--threads", type=_yaml,
                     help="that torch computes with; few enough to share the machine, if not given")
    sub.add_argument("--replay_on_disk", action="store_true", help="keep the replay memory in the run's folder")
    sub.add_argument("--replay_on_gpu", action="store_true", help="keep the replay memory on the device that trains")
    sub.add_argument("--checkpoint_s", type=_yaml, help="seconds between checkpoints")
    sub.set_defaults(run_command=_train)


def _add_settings(sub: argparse.ArgumentParser, arguments: list[str]) -> None:
    """The settings of the algorithm that the command names."""
    command = sub.prog.split()[-1]
    chosen = _algorithm_in(arguments[1:], sub) if arguments[:1] == [command] else None
    if chosen is not None:
        group = sub.add_argument_group(f"settings of {chosen.title}")
        for item in settings(catalog.config_class(chosen.name)):
            switch: dict[str, Any] = {"nargs": "?", "const": "true"} if item.kind == "bool" else {}
            group.add_argument(f"--{item.name}", type=_yaml, metavar=item.kind, **switch,
                               help=f"{item.help} (default: {item.default})".replace("%", "%%"))


def _algorithm_in(words: list[str], sub: argparse.ArgumentParser) -> catalog.Algorithm | None:
    """What the first word names that is neither an option nor the value of one."""
    left = 0.0  # how many of the words that follow are values of the option before them
    for word in words:
        if word.startswith("--") or word == "-h":
            left = 0 if "=" in word else _num_values(word, sub)
        elif left:
            left -= 1
        else:
            with contextlib.suppress(catalog.UnknownName):
                return catalog.algorithm(word)
            return None
    return None


def _num_values(option: str, sub: argparse.ArgumentParser) -> float:
    action = sub._option_string_actions.get(option)
    if action is None or action.nargs is None:  # what `sub` does not know yet is a setting
        return 1
    return 0 if action.nargs == 0 else math.inf


def _train(options: argparse.Namespace) -> None:
    from rlcore.training import train

    algo = catalog.algorithm(options.algo)
    run_options, names = _run_options(), _setting_names(algo.name)
    given = {name: value for name, value in vars(options).items() if name in names | run_options}
    if "config" in options:
        given = _read_config(options.config, algo, given) | given
    if "env" not in given:
        raise ConfigError("train needs an environment, such as --env CartPole-v1.")
    changes = {name: given.pop(name) for name in names & given.keys()}
    train(algo.name, config=changes, **given)


def _read_config(path: Path, algo: catalog.Algorithm, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings and run options of a file: a flat one, or a run's own config.yaml.

    given: the command line's, which win.
    """
    content = read_yaml(path)
    named = catalog.algorithm(checked("algo", content.pop("algo", algo.name)))
    if named is not algo:
        raise ConfigError(f"--config {path} holds settings of {named.title}, not of {algo.title}.")
    run_options = _run_options()
    known = run_options | _setting_names(algo.name)
    if isinstance(content.get("config"), dict):  # a run's also tells what `train` found out, such as versions
        found_out = {item.name for item in fields(RunSpec)} - run_options
        content = {name: value for name, value in content.items() if name not in found_out} | content["config"]
        if "sampler" in given:  # another one may need another engine, and has other processes
            content = {name: value for name, value in content.items() if name not in ("backend", "num_workers")}
    code = {"encoder": content.get("encoder"), "env": content.get("env") if ":" in str(content.get("env")) else None}
    for option, name in code.items():
        if name and option not in given:
            raise ConfigError(f"--config {path} names the {option} '{name}'. If you trust its module, add "
                              f"--{option} {name}.")
    for name in content.keys() - known:
        raise ConfigError(f"--config {path}: {algo.title} has no setting and train no option "
                          f"'{name}'{nearest(name, known) or '.'}")
    return content


def _resume(options: argparse.Namespace) -> None:
    from rlcore.training import resume

    resume(options.run, env=options.env, encoder=options.encoder, env_steps=options.env_steps)


def _evaluate(options: argparse.Namespace) -> None:
    from rlcore.evaluation.evaluate import evaluate

    logging.info("%s", evaluate(options.run, options.env, env_options=options.env_options,
                                episodes=options.episodes, which=options.checkpoint, seed=options.seed,
                                explore=options.explore, encoder=options.encoder))


def _video(options: argparse.Namespace) -> None:
    from rlcore.evaluation.video import record_video

    logging.info("%s", record_video(options.run, options.env, env_options=options.env_options,
                                    which=options.checkpoint, encoder=options.encoder))


def _describe(options: argparse.Namespace) -> None:
    from rlcore.envs.make import make_env
    from rlcore.summary import describe

    names = _setting_names(options.algo)
    changes = {name: value for name, value in vars(options).items() if name in names}
    config = catalog.config_for(options.algo, options.env, changes)
    env = make_env(options.env, options=checked("env_options", options.env_options),
                   action_mask="action_mask" in options)
    build_agent = catalog.agent_class(options.algo)
    logging.info("%s", describe(build_agent(env.single_observation_space, env.single_action_space, config)))
    env.close()


def _check(options: argparse.Namespace) -> int:
    from rlcore.envs.checker import check_env

    faults = check_env(options.env, options=checked("env_options", options.env_options))
    for sentence in faults or ["No fault was found."]:
        logging.info("%s", sentence)
    return 1 if faults else 0


def _list(options: argparse.Namespace) -> None:
    if options.what == "algorithms":
        for entry in catalog.ALGORITHMS.values():
            logging.info("%-6s %s: %s", entry.name, entry.long_title, entry.summary)
    elif options.what == "environments":
        for place in catalog.ENVIRONMENTS.values():
            logging.info("%-26s %-16s %-10s %s", place.id, place.family, place.acts, place.summary)
    else:
        for run in list_runs(options.root):
            score = "" if run.status.mean_return is None else f"return {run.status.mean_return:.1f}"
            logging.info("%-44s %-12s %12s steps  %s", run.id, run.state, f"{run.status.env_steps:,}", score)


if __name__ == "__main__":
    sys.exit(main())
