"""`rl-copilot index | doctor | ask | conversations | measure | plan | models | serve`, or `python -m copilot …`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from copilot.ablation import ablation, table
from copilot.assistant import Assistant
from copilot.collection import Collection, Outcome, collection, collections
from copilot.corpus import load
from copilot.doctor import Report, examine, repair
from copilot.embed import open_embedder
from copilot.index import open_index
from copilot.llms.choose import KINDS, open_answerer
from copilot.measure import answer_all, plan_all
from copilot.models import MODELS, address, download, models, offer, readable
from copilot.plan import TrainingPlan, plan_from_text
from copilot.rerank import CrossEncoder, Reranker
from copilot.script import render
from copilot.serve import MODEL, PORT, serving
from copilot.terminal import add_ask, add_conversations, agrees, answer, conversations
from rlcore.config import ConfigError, MissingExtra

_PROJECT = Path(__file__).resolve().parents[1]
_RESULTS = Path("results")
_MINE = "mine"                     # the collection of who names none
_SHOWN = 20                        # files that are not taken, after an update


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; 0 if it worked, 1 if the index is not well, 2 with a sentence on stderr if it could not."""
    options = _parser().parse_args(arguments)
    try:
        commands = {"index": _index, "doctor": _doctor, "ask": _ask, "conversations": conversations,
                    "measure": _measure, "plan": _plan, "models": _models, "serve": _serve}
        return commands[options.command](options) or 0
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
    home = next((place for place in (Path(), _PROJECT) if (place / "corpus").is_dir()), Path())
    opened.add_argument("--corpus", type=Path, default=home / "corpus", help="folder of Markdown pages")
    opened.add_argument("--index", type=Path, default=home / ".index", help="folder that holds the index")
    opened.add_argument("--llm", default="builtin", metavar="SPEC",
                        help=f"who writes the answers: {' | '.join(KINDS.values())}".replace("%", "%%"))
    opened.add_argument("--embedder", default="minilm", metavar="SPEC",
                        help="minilm, a sentence-transformers FOLDER, or instructor:FOLDER")
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--collection", action="append", default=[], metavar="NAME",
                        help="search this collection of your own files as well; may be repeated")
    chosen.add_argument("--reranker", type=Path, metavar="FOLDER",
                        help="a cross-encoder that reads the best passages again with the question: better, slower")
    _add_index(commands.add_parser("index", parents=[opened], help="build the index, or take in your own files"))
    checks = commands.add_parser("doctor", parents=[opened], help="check the index and all collections; 1: not well")
    checks.add_argument("--fix", action="store_true", help="make again what is not well")
    add_ask(commands.add_parser("ask", parents=[opened, chosen], help="answer questions, with sources"))
    add_conversations(commands.add_parser("conversations", help="list, search, show, rename, delete, export them"))
    measure = commands.add_parser("measure", parents=[opened, chosen], help="answer a file of questions and time it")
    measure.add_argument("--questions", type=Path, default=_PROJECT / "benchmarks" / "questions.jsonl",
                         help='JSONL of {"id", "question"}; the questions of the benchmark if you give none')
    measure.add_argument("--out", type=Path, help="file of results; of --ablation, which is what you get without a "
                                                  f"file, a folder of them ({_RESULTS})")
    measure.add_argument("--ablation", nargs="*", metavar="RECIPE",
                         help="compare other recipes, ours, and ours without each step; all of them, or those named")
    measure.add_argument("--scorer", type=Path, help="Python file with score(questions, rows), for --ablation")
    plan = commands.add_parser("plan", help="turn a request, or a file of requests, into training plans")
    plan.add_argument("request", nargs="*", help="in words; prints the plan's script")
    plan.add_argument("--requests", type=Path, help='JSONL of {"id", "request"}')
    plan.add_argument("--out", type=Path)
    _add_models(commands.add_parser("models", help="list the models here, or download one"))
    serve = commands.add_parser("serve", parents=[opened, chosen], help="answer editors here as OpenAI does")
    serve.add_argument("--port", type=int, default=PORT)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    here = argparse.ArgumentParser(add_help=False)
    here.add_argument("--to", type=Path, default=MODELS, metavar="FOLDER", help="where models lie")
    actions.add_parser("list", parents=[here], help="the models here, and how --llm names them")
    fetch = actions.add_parser("download", parents=[here], help="show size and SHA-256 of a model, ask, and fetch it")
    fetch.add_argument("model", metavar="URL|hf:OWNER/REPO/FILE")
    fetch.add_argument("--sha256", default="", help="what the file must have")
    fetch.add_argument("--yes", action="store_true", help="do not ask")


def _add_index(parser: argparse.ArgumentParser) -> None:
    """The actions of `index`; without one it brings the index of the corpus up to date."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    # What stands before the action counts: an option that is not given behind it has no default there.
    opened = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    opened.add_argument("--index", type=Path, help="folder that holds the index")
    opened.add_argument("--embedder", metavar="SPEC", help="as for the index")
    opened.add_argument("--collection", metavar="NAME", help=f"which of your collections ({_MINE} if you name none)")
    parser.set_defaults(collection=None, reranker=None)
    add = actions.add_parser("add", parents=[opened], help="take in files and folders")
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    actions.add_parser("update", parents=[opened], help="take in what has changed, in one collection or in all")
    actions.add_parser("list", parents=[opened], help="the collections, or the files of one and why some are not taken")
    remove = actions.add_parser("remove", parents=[opened], help="remove files and folders, or a whole collection")
    remove.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="without: the collection that you name")


def _open(options: argparse.Namespace) -> Assistant:
    embedder = None if options.embedder == "minilm" else open_embedder(options.embedder)
    return Assistant.open(options.corpus, options.index, open_answerer(options.llm), _progress, embedder,
                          options.collection or (), _reranker(options))


def _reranker(options: argparse.Namespace) -> Reranker | None:
    return CrossEncoder(options.reranker) if options.reranker else None


def _progress(done: float, text: str) -> None:
    if sys.stderr.isatty() or done == 1.0:
        print(f"\r{done:4.0%} {text:<60}", end="\n" if done == 1.0 else "", file=sys.stderr, flush=True)


def _index(options: argparse.Namespace) -> None:
    if options.action is None:
        print(f"{_open(options).retriever.size} passages from {options.corpus} in {options.index}")
    else:
        {"add": _add, "update": _update, "list": _list, "remove": _remove}[options.action](options)


def _add(options: argparse.Namespace) -> None:
    own = collection(options.index, options.collection or _MINE, new=True)
    _tell(own, own.add(options.paths, open_embedder(options.embedder), _progress))


def _update(options: argparse.Namespace) -> None:
    names = [options.collection] if options.collection else collections(options.index)
    for own in [collection(options.index, name) for name in names]:
        _tell(own, own.update(open_embedder(options.embedder), _progress))


def _tell(own: Collection, outcome: Outcome) -> None:
    print(f"{own.name}: {outcome}")
    for file in outcome.left[:_SHOWN]:
        print(f"  {file.path} {file.reason}")
    if len(outcome.left) > _SHOWN:
        print(f"  and {len(outcome.left) - _SHOWN:,} more: rl-copilot index list --collection {own.name}")


def _list(options: argparse.Namespace) -> None:
    if options.collection:
        for file in collection(options.index, options.collection).files():
            print(f"{file.state:<8} {file.path} {file.reason}".rstrip())
        return
    for name in collections(options.index):
        own = collection(options.index, name)
        taken = sum(file.state == "taken" for file in own.files())
        print(f"{name}: {taken:,} files from {', '.join(own.sources.paths) or 'nowhere'}")


def _remove(options: argparse.Namespace) -> None:
    if not options.paths and not options.collection:
        raise ConfigError("remove needs files or folders, or the name of a whole collection: --collection NAME.")
    own = collection(options.index, options.collection or _MINE)
    if options.paths:
        print(f"{own.name}: {own.remove(options.paths):,} files removed")
    else:
        own.delete()
        print(f"{own.name}: removed as a whole")


def _doctor(options: argparse.Namespace) -> int:
    embedder, ill = open_embedder(options.embedder), 0
    for report in examine(options.corpus, options.index, embedder):
        _show(report)
        if report.problems and options.fix:
            report = repair(report, options.corpus, options.index, embedder, _progress)
            _show(report)
        ill += bool(report.problems)
    return 1 if ill else 0


def _show(report: Report) -> None:
    print(f"{report.name}: {report.contents}" + "".join(f"\n  {problem}" for problem in report.problems or ("well",)))


def _ask(options: argparse.Namespace) -> None:
    answer(options, partial(_open, options))


def _measure(options: argparse.Namespace) -> None:
    if options.ablation is not None or options.out is None:
        fresh = partial(open_embedder, options.embedder)
        results = ablation(open_index(options.corpus, options.index, fresh(), _progress), load(options.corpus),
                           fresh, options.questions, options.out or _RESULTS, options.scorer, options.ablation or (),
                           _progress, _reranker(options))
        print(table(results))
        return
    retrieval, answer = answer_all(_open(options), options.questions, options.out)
    print(f"retrieval {retrieval}; answer {answer}; written to {options.out}")


def _models(options: argparse.Namespace) -> None:
    if options.action == "list":
        for model in models(options.to):
            state = "" if model.complete else "  (download broke off)"
            print(f"{model.spec}  {readable(model.size)}  {model.sha256 or 'SHA-256 unknown'}{state}")
        return
    what = offer(address(options.model), options.sha256)
    print(what)
    if not options.yes and not agrees(f"Download it to {options.to}? [y/N] "):
        raise ConfigError("Nothing was downloaded. Answer y, or give --yes.")
    got = download(what, options.to, _progress)
    print(f"{got.path}  SHA-256 {got.sha256}\nUse it with: --llm {got.spec}")


def _serve(options: argparse.Namespace) -> None:
    with serving(_open(options), port=options.port) as server:
        print(f"Serving {MODEL} at http://127.0.0.1:{server.server_address[1]}/v1 (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


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
    for note in plan.notes if isinstance(plan, TrainingPlan) else ():
        print(note, file=sys.stderr)    # the script may be on its way into a file


if __name__ == "__main__":
    sys.exit(main())
