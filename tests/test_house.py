"""The architecture, as a test: who may import whom, what a module may do when imported, what may never be written."""

import ast
import fnmatch
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from rlcore import catalog

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rlcore", "copilot", "gui")

# Room → the rooms it may open onto, beside itself. A new room is entered here first.
ALLOWED: dict[str, set[str]] = {
    "rlcore.arrays": set(),
    "rlcore.config": set(),
    "rlcore.schedule": set(),
    "rlcore.log": set(),
    "rlcore.catalog": {"rlcore.config"},
    "rlcore.runs": {"rlcore.config"},
    "rlcore.checkpoint": {"rlcore.config"},
    "rlcore.spaces": {"rlcore.arrays", "rlcore.config"},
    "rlcore.ops": set(),
    "rlcore.nets": {"rlcore.arrays", "rlcore.config", "rlcore.data", "rlcore.ops", "rlcore.spaces"},
    "rlcore.data": {"rlcore.arrays", "rlcore.config", "rlcore.ops"},
    "rlcore.fast": {"rlcore.arrays", "rlcore.data", "rlcore.nets", "rlcore.ops", "rlcore.spaces"},
    "rlcore.protocols": {"rlcore.arrays", "rlcore.data", "rlcore.spaces"},
    "rlcore.processes": {"rlcore.config"},
    "rlcore.player": {"rlcore.config", "rlcore.envs", "rlcore.evaluation", "rlcore.protocols", "rlcore.restore"},
    "rlcore.envs": {"rlcore.arrays", "rlcore.config", "rlcore.data", "rlcore.processes"},
    "rlcore.restore": {"rlcore.catalog", "rlcore.checkpoint", "rlcore.config", "rlcore.envs", "rlcore.nets",
                       "rlcore.protocols", "rlcore.runs"},
    "rlcore.finetune": {"rlcore.config", "rlcore.nets", "rlcore.protocols", "rlcore.restore"},
    "rlcore.hindsight": {"rlcore.config", "rlcore.data", "rlcore.envs", "rlcore.protocols"},
    "rlcore.summary": {"rlcore.config", "rlcore.data", "rlcore.protocols"},
    "rlcore.sampling": {"rlcore.arrays", "rlcore.config", "rlcore.data", "rlcore.envs", "rlcore.processes",
                        "rlcore.protocols", "rlcore.spaces"},
    "rlcore.algos": {"rlcore.arrays", "rlcore.config", "rlcore.data", "rlcore.nets", "rlcore.ops", "rlcore.protocols",
                     "rlcore.schedule", "rlcore.spaces", "rlcore.fast"},
    "rlcore.training": {"rlcore.catalog", "rlcore.checkpoint", "rlcore.config", "rlcore.data", "rlcore.envs",
                        "rlcore.evaluation", "rlcore.fast", "rlcore.finetune", "rlcore.hindsight", "rlcore.log",
                        "rlcore.nets", "rlcore.protocols", "rlcore.restore", "rlcore.runs", "rlcore.sampling"},
    "rlcore.evaluation": {"rlcore.arrays", "rlcore.checkpoint", "rlcore.config", "rlcore.envs", "rlcore.protocols",
                          "rlcore.restore", "rlcore.runs", "rlcore.spaces"},
    "rlcore": {"rlcore.*"},            # the front door, by name only
    "rlcore.__main__": {"rlcore.*"},
    "copilot": {"rlcore.catalog", "rlcore.config", "rlcore.runs"},
    "gui": {"copilot", "rlcore", "rlcore.*"},
}

# Room → the third-party packages it may use, where that is part of what the room is.
OUTSIDE: dict[str, set[str]] = {
    "rlcore.ops": {"torch"},
    "rlcore.nets": {"torch", "numpy", "gymnasium"},
    "rlcore.data": {"torch", "numpy"},
    "rlcore.algos": {"torch", "numpy", "gymnasium"},
    "rlcore.sampling": {"torch", "numpy", "gymnasium"},
    "rlcore.schedule": set(),
    "rlcore.catalog": set(),
    "rlcore.config": {"pydantic"},
    "rlcore.arrays": {"numpy"},
    "rlcore.runs": {"psutil", "yaml"},
}

# Files that are command lines: what they are for is to print.
COMMANDS = {"__main__.py", "terminal.py"}

# What a module-level assignment may call beside our own functions: it makes a value and touches nothing.
HARMLESS = {"compile", "dict", "escape", "field", "format", "frozenset", "fromkeys", "get", "getLogger", "items",
            "join", "keys", "len", "list", "log", "max", "min", "range", "replace", "resolve", "set", "sorted", "split",
            "sqrt", "str", "strip", "sub", "sum", "tuple", "type", "values", "zip"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def sources(*packages: str) -> list[Path]:
    found = [path for package in packages or PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert found
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sources()}


def room_of(module: str) -> str:
    """rlcore's folders and files are rooms of their own; copilot and gui are one each."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "rlcore" else parts[0]


def is_typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(tree: ast.Module, *, at_import_only: bool = False) -> set[str]:
    """The modules a file imports. at_import_only leaves out what is inside functions or for type checkers."""
    def nodes(parent: ast.AST) -> Iterator[ast.AST]:
        for node in ast.iter_child_nodes(parent):
            if at_import_only and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                                   or (isinstance(node, ast.stmt) and is_typing_only(node))):
                continue
            yield node
            yield from nodes(node)

    found: set[str] = set()
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute: a reader sees which room a name comes from"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


def ours(name: str) -> bool:
    return name.split(".")[0] in PACKAGES


@pytest.mark.parametrize("module", MODULES)
def test_rooms_open_only_onto_allowed_rooms(module: str):
    room = room_of(module)
    assert room in ALLOWED, f"{room} is a new room: enter it in ALLOWED"
    if module == "rlcore":
        return
    doors = {room_of(name) for name in imported(parsed(MODULES[module])) if ours(name)} - {room}
    stray = {door for door in doors if not any(fnmatch.fnmatch(door, pattern) for pattern in ALLOWED[room])}
    assert not stray, f"{module} may not import {sorted(stray)}"


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) in OUTSIDE])
def test_a_room_uses_only_the_packages_that_belong_to_it(module: str):
    names = {name.split(".")[0] for name in imported(parsed(MODULES[module])) if not ours(name)}
    assert names - sys.stdlib_module_names - OUTSIDE[room_of(module)] == set()


def test_each_algorithm_stands_alone():
    for path in sources("rlcore/algos"):
        others = {name for name in imported(parsed(path)) if name.startswith("rlcore.algos")}
        assert not others, f"{path.name} imports {others}: the shared part is a formula, find it and put it in ops"


def test_only_the_screens_know_gradio_and_only_the_copilot_knows_its_libraries():
    for module, path in MODULES.items():
        packages = {name.split(".")[0] for name in imported(parsed(path))}
        if not module.startswith("gui"):
            assert "gradio" not in packages, module
        if not module.startswith("copilot"):
            assert not packages & {"chromadb", "sentence_transformers", "llama_cpp", "transformers"}, module


def test_no_imports_go_in_a_circle():
    graph = {module: (imported(parsed(path), at_import_only=True) & MODULES.keys()) - {module}
             for module, path in MODULES.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_body_only_defines_things(module: str):
    tree = parsed(MODULES[module])
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    functions |= {alias.asname or alias.name for node in tree.body
                  if isinstance(node, ast.ImportFrom) and ours(str(node.module)) for alias in node.names}
    strays = [f"line {node.lineno}: {ast.unparse(node)[:80]}" for node in tree.body
              if not is_definition(node, functions)]
    assert not strays, f"{module} acts when it is imported: {strays}"


def is_definition(node: ast.stmt, functions: set[str]) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Expr(value=ast.Constant(value=str())):  # a docstring, also of the assignment above it
            return True
        case ast.Assign() | ast.AnnAssign():
            calls = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
            names = {call.attr if isinstance(call, ast.Attribute) else ast.unparse(call) for call in calls}
            return not {name for name in names if name not in HARMLESS | functions and not name[:1].isupper()}
        case ast.If():
            return is_typing_only(node) or ast.unparse(node.test) == "__name__ == '__main__'"
        case _:
            return False


def test_importing_the_libraries_leaves_the_process_as_it_was(tmp_path: Path):
    modules = [name for name in MODULES if name.startswith(("rlcore", "copilot")) and not name.endswith("__main__")]
    code = f"""
import importlib, os, random, signal, sys, threading
import gymnasium, numpy, tensorboardX, threadpoolctl, torch  # they set an environment variable or two of their own
def state():
    return dict(cwd=os.getcwd(), environ=dict(os.environ), threads=threading.enumerate(), files=os.listdir(),
                sigint=signal.getsignal(signal.SIGINT), draws=(torch.get_rng_state().tolist(), random.getstate(),
                numpy.random.get_state()[1].tolist()), torch=(torch.get_num_threads(), torch.get_default_dtype()))
before = state()
for name in {modules!r}:
    importlib.import_module(name)
after = state()
print([(name, before[name], after[name]) for name in before if before[name] != after[name]])
"""
    # a test that filmed leaves MUJOCO_GL behind in this process, by which MuJoCo sets another variable at its import
    told = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False,
                          env=told | {"PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_what_only_looks_at_the_catalogue_or_a_run_does_not_wait_for_torch():
    heavy = "torch", "gymnasium", "numpy", "gradio", "tensorboardX"
    code = ("import sys, rlcore, rlcore.catalog, rlcore.config, rlcore.runs; dir(rlcore); "
            f"print([name for name in {heavy!r} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_copilot_imports_neither_torch_nor_gradio_before_it_needs_them():
    modules = [name for name in MODULES if name.startswith("copilot") and not name.endswith("__main__")]
    code = (f"import importlib, sys; [importlib.import_module(name) for name in {modules!r}]; "
            "print([name for name in ('torch', 'gradio', 'llama_cpp', 'chromadb') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_front_door_leads_to_every_public_name():
    import rlcore

    for name in rlcore.__all__:
        assert getattr(rlcore, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = rlcore.trian  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_may_never_be_written(path: Path):
    found = [f"line {node.lineno}: {complaint}" for node in ast.walk(parsed(path))
             if (complaint := complaint_about(node, is_command=path.name in COMMANDS))]
    assert not found


def complaint_about(node: ast.AST, *, is_command: bool) -> str:
    match node:
        case ast.ExceptHandler(type=None):
            return "a bare except hides every mistake"
        case ast.ExceptHandler(type=kind, body=[ast.Pass() | ast.Continue() | ast.Expr(value=ast.Constant())]) if (
                kind is not None and ast.unparse(kind) in ("Exception", "BaseException")):
            return "an exception is swallowed"
        case ast.Call(func=function):
            name, words = ast.unparse(function), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name == "print" and not is_command and "file" not in words:
                return "libraries do not print; they log or return"
            if name in ("eval", "exec", "torch.load", "yaml.load", "os.system"):
                return f"{name} runs what it reads"
            if words.get("trust_remote_code") == "True" or words.get("shell") == "True":
                return "it runs somebody else's code"
            if name.endswith("suppress") and {ast.unparse(arg) for arg in node.args} & {"Exception", "BaseException"}:
                return "an exception is swallowed"
        case ast.Import(names=names) if {alias.name for alias in names} & {"pickle", "dill", "cloudpickle", "joblib"}:
            return "a pickle runs what it reads"
        case ast.ImportFrom(module="pickle" | "dill" | "cloudpickle" | "joblib"):
            return "a pickle runs what it reads"
    return ""


def test_the_catalogue_the_files_and_the_pages_name_the_same_algorithms():
    files = {path.stem for path in (ROOT / "rlcore/algos").glob("*.py")} - {"__init__"}
    assert set(catalog.ALGORITHMS) == files
    missing = [name for name in catalog.ALGORITHMS if not (ROOT / f"corpus/docs/{name}.md").exists()]
    assert not missing, f"corpus/docs lacks a page for {missing}"


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_every_setting_is_explained_where_it_is_written(algo: str):
    config = catalog.config_class(algo)
    assert config.__dataclass_params__.frozen
    assert all(item.kw_only for item in fields(config))
    assert [item.name for item in fields(config) if not item.metadata.get("help")] == []


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_every_algorithm_is_told_in_the_same_five_names(algo: str):
    tree = parsed(ROOT / f"rlcore/algos/{algo}.py")
    title = catalog.ALGORITHMS[algo].class_name
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    agent = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == title)
    methods = [node.name for node in agent.body if isinstance(node, ast.FunctionDef)]
    assert [name for name in names if name in (f"{title}Config", title, f"{algo}_targets", f"{algo}_loss")] == [
        f"{title}Config", title, f"{algo}_targets", f"{algo}_loss"]
    assert methods.index("act") < methods.index("update")
    assert "arXiv" in (ast.get_docstring(tree) or "")


def test_no_text_names_a_place_on_somebodys_machine():
    place = re.compile(r"(?<![\w.~$}/])/(?:" + "|".join(("work", "root", "tmp", "home")) + r")(?:/|\b(?=[\s\"'`)]))")
    found = [f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}" for path in texts()
             for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if place.search(line)]
    assert not found, "\n".join(found)


TEXT = {"", ".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".js", ".css", ".html", ".json", ".jsonl", ".sh", ".cfg"}


def texts() -> Iterator[Path]:
    """Every text file that belongs to the project: what .gitignore names is left out."""
    ignored = [line.strip().strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()]
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if ".git" in parts or any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in ignored):
            continue
        if path.is_file() and path.suffix in TEXT:
            yield path
