"""`python -m copilot index | ask | measure | plan`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from copilot.assistant import Assistant, Reply
from copilot.measure import answer_all, plan_all
from copilot.plan import TrainingPlan, plan_from_text
from copilot.script import render
from rlcore.config import ConfigError, MissingExtra


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; 0 if it worked, 2 with one sentence on stderr if it could not."""
    options = _parser().parse_args(arguments)
    try:
        {"index": _index, "ask": _ask, "measure": _measure, "plan": _plan}[options.command](options)
    except (ConfigError, MissingExtra) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except BrokenPipeError:                # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m copilot", description="Ask the corpus; turn a request into a plan.")
    commands = parser.add_subparsers(dest="command", required=True)
    opened = argparse.ArgumentParser(add_help=False)
    opened.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder of Markdown pages")
    opened.add_argument("--index", type=Path, default=Path(".index"), help="folder that holds the index")
    opened.add_argument("--llm", type=Path, metavar="MODEL.gguf", help="let this local model write the answers")
    commands.add_parser("index", parents=[opened], help="build the index or bring it up to date")
    ask = commands.add_parser("ask", parents=[opened], help="answer a question, with sources")
    ask.add_argument("question", nargs="+")
    measure = commands.add_parser("measure", parents=[opened], help="answer a file of questions and time it")
    measure.add_argument("--questions", type=Path, required=True, help='JSONL of {"id", "question"}')
    measure.add_argument("--out", type=Path, required=True)
    plan = commands.add_parser("plan", help="turn a request, or a file of requests, into training plans")
    plan.add_argument("request", nargs="*", help="in words; prints the plan's script")
    plan.add_argument("--requests", type=Path, help='JSONL of {"id", "request"}')
    plan.add_argument("--out", type=Path)
    return parser


def _open(options: argparse.Namespace) -> Assistant:
    answerer = None
    if options.llm:
        from copilot.llms.gguf import GGUFAnswerer

        answerer = GGUFAnswerer(options.llm)
    return Assistant.open(options.corpus, options.index, answerer, _progress)


def _progress(done: float, text: str) -> None:
    if sys.stderr.isatty() or done == 1.0:
        print(f"\r{done:4.0%} {text:<60}", end="\n" if done == 1.0 else "", file=sys.stderr, flush=True)


def _index(options: argparse.Namespace) -> None:
    print(f"{_open(options).retriever.size} passages from {options.corpus} in {options.index}")


def _ask(options: argparse.Namespace) -> None:
    assistant = _open(options)
    reply = Reply("", (), False, False)
    written = ""
    try:
        for reply in assistant.ask(" ".join(options.question)):
            if not reply.done and reply.text.startswith(written):
                print(reply.text[len(written):], end="", flush=True)
                written = reply.text
    except KeyboardInterrupt:
        assistant.stop()
    print(reply.text if not written else "" if reply.text == written else f"\n\n{reply.text}")
    for source in reply.sources:
        print(f"[{source.number}] {source.path} · {source.heading} {source.url}".rstrip())


def _measure(options: argparse.Namespace) -> None:
    retrieval, answer = answer_all(_open(options), options.questions, options.out)
    print(f"retrieval {retrieval}; answer {answer}; written to {options.out}")


def _plan(options: argparse.Namespace) -> None:
    if options.requests and options.out:
        print(f"{plan_all(options.requests, options.out)} requests planned; written to {options.out}")
        return
    if options.requests or not options.request:
        raise ConfigError("plan needs a request in words, or both --requests FILE.jsonl and --out RESULTS.jsonl.")
    plan = plan_from_text(" ".join(options.request))
    if plan is None:
        raise ConfigError("This asks for no training run. Say what to train: train PPO on CartPole with 8 envs.")
    print(render(plan) if isinstance(plan, TrainingPlan) else f"{plan.reason} {plan.alternative}")


if __name__ == "__main__":
    sys.exit(main())
