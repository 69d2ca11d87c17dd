"""The command line: python -m rlcore train ppo --env CartPole-v1 --learning_rate 5e-4"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import yaml

from rlcore import catalog
from rlcore.config import ConfigError, MissingExtra, ShapeError, nearest, settings
from rlcore.runs import RUNS, list_runs


def main(arguments: list[str] | None = None) -> int:
    """Run one command; bad input costs one clear sentence and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options, strange = _parser(arguments).parse_known_args(arguments)
        if strange:
            raise _unknown_option(strange[0], options)
        options.run_command(options)
    except (ConfigError, ShapeError, MissingExtra) as error:
        logging.error("%s", error)
        return 2
    return 0


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rlcore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train an agent into a new run folder", allow_abbrev=False), arguments)
    for name, command, text in (("resume", _resume, "continue a run from its last checkpoint"),
                                ("evaluate", _evaluate, "play evaluation episodes with a run's policy"),
                                ("video", _video, "film one episode of a run's policy")):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("run", type=Path, help="a run's folder")
        sub.set_defaults(run_command=command)
        if name == "evaluate":
            sub.add_argument("--episodes", type=int, default=20)
            sub.add_argument("--checkpoint", default="last", type=lambda word: int(word) if word.isdigit() else word,
                             help="last, best, or the step of one that was kept")
    shower = commands.add_parser("describe", help="print an agent's networks, shapes and optimisers")
    shower.add_argument("algo", help=", ".join(catalog.ALGORITHMS))
    shower.add_argument("--env", required=True, help="an environment's name, such as CartPole-v1")
    shower.set_defaults(run_command=_describe)
    checker = commands.add_parser("check", help="look an environment over for faults")
    checker.add_argument("env", help="a name as train takes it: CartPole-v1, module:Class, file.py:Class")
    checker.set_defaults(run_command=_check)
    lister = commands.add_parser("list", help="list runs, algorithms or environments")
    lister.add_argument("what", nargs="?", choices=("runs", "algorithms", "environments"), default="runs")
    lister.add_argument("--root", type=Path, default=RUNS, help="the folder that holds the runs")
    lister.set_defaults(run_command=_list)
    return parser


def _unknown_option(word: str, options: argparse.Namespace) -> ConfigError:
    name, known = word.lstrip("-").split("=")[0], [*vars(options)]
    if "algo" in options:
        known += [item.name for item in settings(catalog.config_class(options.algo))]
    return ConfigError(f"Unknown option '{name}'{nearest(name, known) or '. See --help.'}")


def _add_train(sub: argparse.ArgumentParser, arguments: list[str]) -> None:
    sub.add_argument("algo", help=", ".join(catalog.ALGORITHMS))
    sub.add_argument("--env", required=True, help="an environment's name, such as CartPole-v1")
    sub.add_argument("--config", type=Path, help="a YAML file with settings; options on the command line win")
    sub.add_argument("--env_steps", type=int, help="length of the run; the preset's if not given")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--run_dir", type=Path, help="the run's folder; a new one under runs/ if not given")
    sub.add_argument("--target_return", type=float, help="stop once the last 100 episodes average this")
    sub.add_argument("--device", default="cpu", help="cpu or cuda")
    sub.add_argument("--backend", choices=("native", "sync", "process", "envpool"), help="engine of the environments")
    sub.add_argument("--env_options", type=yaml.safe_load, default={}, metavar="YAML",
                     help="for the environment's constructor, such as '{max_episode_steps: 200}'")
    sub.add_argument("--action_mask", action="store_true", help="choose among info['action_mask']'s legal actions only")
    sub.add_argument("--sampler", choices=("serial", "batched", "alternating", "parallel", "async"), default="serial",
                     help="who steps environments; only async changes what is learned")
    sub.add_argument("--num_workers", type=int, help="processes of the sampler; one per core if not given")
    sub.add_argument("--evaluate_every", type=int, help="env steps between evaluations; the best agent is kept")
    sub.add_argument("--evaluate_episodes", type=int, default=10)
    sub.add_argument("--patience", type=int, help="stop after so many evaluations without a better one")
    sub.add_argument("--keep_every", type=int, help="env steps between checkpoints of the agent that stay")
    sub.add_argument("--start_from", type=Path, help="a run whose last agent this one begins as")
    sub.add_argument("--freeze", nargs="+", default=[], metavar="WORD",
                     help="parameters whose names, as describe prints them, contain one of these stay as they are")
    sub.add_argument("--hindsight", type=float, metavar="SHARE",
                     help="share of replayed steps that pursue a goal their episode reached later; 0.8 is usual")
    sub.add_argument("--checkpoint_s", type=float, default=30.0, help="seconds between checkpoints")
    sub.set_defaults(run_command=_train)
    chosen = next((word for word in arguments[1:] if word.lower() in catalog.ALGORITHMS), None)
    if arguments[:1] == ["train"] and chosen:
        group = sub.add_argument_group(f"settings of {catalog.algorithm(chosen).title}")
        for item in settings(catalog.config_class(chosen)):
            group.add_argument(f"--{item.name}", default=argparse.SUPPRESS, metavar=item.kind,
                               help=f"{item.help} (default: {item.default})".replace("%", "%%"))


def _train(options: argparse.Namespace) -> None:
    from rlcore.training import train

    algo = catalog.algorithm(options.algo).name
    changes: dict[str, Any] = {}
    if options.config is not None:
        changes = _read_yaml(options.config)
    for item in settings(catalog.config_class(algo)):
        if item.name in vars(options):
            changes[item.name] = yaml.safe_load(vars(options)[item.name])
    train(algo, options.env, catalog.config_for(algo, options.env, changes), env_steps=options.env_steps,
          seed=options.seed, run_dir=options.run_dir, target_return=options.target_return, device=options.device,
          backend=options.backend, env_options=options.env_options, action_mask=options.action_mask,
          sampler=options.sampler, num_workers=options.num_workers, evaluate_every=options.evaluate_every,
          evaluate_episodes=options.evaluate_episodes, patience=options.patience, keep_every=options.keep_every,
          start_from=options.start_from, freeze=options.freeze, hindsight=options.hindsight,
          checkpoint_s=options.checkpoint_s)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path} must hold `name: value` lines, not a {type(content).__name__}.")
    return content


def _resume(options: argparse.Namespace) -> None:
    from rlcore.training import resume

    resume(options.run)


def _evaluate(options: argparse.Namespace) -> None:
    from rlcore.evaluation.evaluate import evaluate

    logging.info("%s", evaluate(options.run, episodes=options.episodes, which=options.checkpoint))


def _video(options: argparse.Namespace) -> None:
    from rlcore.evaluation.video import record_video

    logging.info("%s", record_video(options.run))


def _describe(options: argparse.Namespace) -> None:
    from rlcore.describe import describe
    from rlcore.envs.make import make_env

    env = make_env(options.env)
    build_agent, config = catalog.agent_class(options.algo), catalog.config_for(options.algo, options.env)
    logging.info("%s", describe(build_agent(env.single_observation_space, env.single_action_space, config)))
    env.close()


def _check(options: argparse.Namespace) -> None:
    from rlcore.envs.checker import check_env

    for sentence in check_env(options.env) or ["No fault was found."]:
        logging.info("%s", sentence)


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
