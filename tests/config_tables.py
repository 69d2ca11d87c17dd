"""The tables in corpus/docs of settings, presets, results and environments, made from what they tell of.

`python -m tests.config_tables` rewrites every block between `<!-- config:NAME -->` and `<!-- /config -->`, and every
one between `<!-- presets:NAME -->` and `<!-- /presets -->`, `<!-- results:NAME -->` and `<!-- /results -->` or
`<!-- environments:FAMILY -->` and `<!-- /environments -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.learning import CASES, LONG, kept
from rlcore.catalog import ENVIRONMENTS, PROBES, Preset, config_class
from rlcore.config import Setting, settings

DOCS = Path(__file__).resolve().parents[1] / "corpus" / "docs"
_BLOCK = re.compile(r"(<!-- (config|presets|results|environments):(\w+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def settings_table(algo: str) -> str:
    """One row per setting of an algorithm; values as a YAML file or the command line takes them."""
    rows = ["| setting | default | range | meaning |", "|---|---|---|---|"]
    for item in settings(config_class(algo)):
        meaning = f"{item.help} ({item.unit})" if item.unit else item.help
        rows.append(f"| `{item.name}` | `{as_yaml(item.default)}` | {span(item)} | {meaning} |")
    return "\n".join(rows)


def presets_table(algo: str) -> str:
    """One row per preset of an algorithm, with the environments that share it."""
    shared: list[tuple[Preset, list[str]]] = []
    for env, presets in [*((place.id, place.presets) for place in ENVIRONMENTS.values()), *PROBES.items()]:
        if algo in presets:
            one = presets[algo]
            homes = next((names for known, names in shared if known == one), None)
            if homes is None:
                shared.append((one, [env]))
            else:
                homes.append(env)
    rows = ["| environment | env steps | settings | source |", "|---|---|---|---|"]
    for one, names in shared:
        changed = ", ".join(f"`{name}: {as_yaml(value)}`" for name, value in one.config.items())
        rows.append(f"| {_homes(names)} | {one.env_steps:,} | {changed} | {one.source} |")
    return "\n".join(rows)


def _homes(names: list[str]) -> str:
    """Environments that share a preset; of a crowd the first two and how many there are."""
    if len(names) <= 15:
        return ", ".join(names)
    return f"{', '.join(names[:2])}, … ({len(names)} of {ENVIRONMENTS[names[0]].family})"


def results_table(algo: str) -> str:
    """One row per measured task of an algorithm: the mean return of each seed's evaluation."""
    rows = ["| task | env steps | changes to the preset | mean return of each seed | counts as solved |",
            "|---|---|---|---|---|"]
    for case in (*CASES, *LONG):
        if case.algo == algo and (runs := kept(case)["seeds"]):
            changed = ", ".join(f"`{name}: {as_yaml(value)}`" for name, value in case.changes.items())
            scores = ", ".join(f"{one['evaluation']:.4g}" for one in runs.values())
            solved = "–" if case.goal is None else f"{case.goal:g}"
            rows.append(f"| {case.name} | {case.env_steps:,} | {changed or '–'} | {scores} | {solved} |")
    return "\n".join(rows)


def environments_table(family: str) -> str:
    """One row per environment of a family."""
    rows = ["| id | name | actions | time limit | what is to be done |", "|---|---|---|---|---|"]
    rows += [f"| `{place.id}` | {place.title} | {place.act_dim} | {place.max_steps:,} | {place.summary} |"
             for place in ENVIRONMENTS.values() if place.family == family]
    return "\n".join(rows)


def as_yaml(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple() | list():
            return f"[{', '.join(str(item) for item in value)}]"
        case _:
            return str(value)


def span(item: Setting) -> str:
    """What a setting may be, in words."""
    if item.kind == "choice":
        return " or ".join(f"`{choice}`" for choice in item.choices)
    if item.kind == "bool":
        return "`true` or `false`"
    if item.kind == "ints":
        return "a list of whole numbers, at least 1 each"
    low, high = (None if bound is None else f"{bound:,.10g}" for bound in (item.low, item.high))
    if low is None:
        return "any number" if high is None else f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def refreshed(text: str) -> str:
    """A page with its tables made anew."""
    makers = {"config": settings_table, "presets": presets_table, "results": results_table,
              "environments": environments_table}
    return _BLOCK.sub(lambda block: f"{block[1]}{makers[block[2]](block[3])}\n{block[4]}", text)


def main() -> None:
    """Rewrite the pages whose tables are out of date."""
    for page in sorted(DOCS.rglob("*.md")):
        old = page.read_text()
        if (new := refreshed(old)) != old:
            page.write_text(new)
            print("rewritten:", page.name)


if __name__ == "__main__":
    main()
