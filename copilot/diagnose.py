"""What a run's own files say about how its training went: `diagnose(folder)`, without a corpus and without torch.

Each check looks for one thing that goes wrong in reinforcement learning and yields findings that name the file, the
steps and the values they rest on. The ranges are those of the page on metrics.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from typing import Any, Literal

from rlcore import catalog
from rlcore.config import ConfigError, to_dict
from rlcore.runs import Run, open_run, read_evaluations, tail_log

_RETURN = "episode/return_100"
_LATE = 2 / 3                      # "in the end" is the last third of a curve
_ROWS = 12                         # of a curve, as a citation shows it
_FEW = 5                           # episodes from which their returns can be said not to move
_NEARLY_ALL = 0.95
_NAMED = 6                         # settings that a finding tells


@dataclass(frozen=True)
class Evidence:
    """A piece of a run's files."""

    file: str                      # in the run folder
    where: str                     # the metric and its steps, or the setting
    text: str                      # what stands there, Markdown


@dataclass(frozen=True)
class Finding:
    """One thing that went wrong, or may have."""

    name: str                      # as a heading
    says: str                      # what was seen, with its values
    advice: str                    # what to change
    evidence: tuple[Evidence, ...]
    ask: str                       # what to look up about it


@dataclass(frozen=True)
class Diagnosis:
    """How a run went."""

    run: Run
    summary: str                   # what it is and how far it came
    progress: str                  # how the return went
    evidence: tuple[Evidence, ...]     # for summary and progress
    findings: tuple[Finding, ...]  # most serious first


@dataclass(frozen=True)
class Series:
    """The finite values of one metric."""

    key: str
    points: tuple[tuple[int, float], ...] = ()     # (env steps, value)

    @property
    def values(self) -> list[float]:
        """Without their steps."""
        return [value for _, value in self.points]

    def part(self, start: float, end: float = 1.0) -> Series:
        """From one share of the points to another; never empty if the whole is not."""
        low = min(int(start * len(self.points)), len(self.points) - 1)
        return Series(self.key, self.points[max(low, 0):max(low + 1, math.ceil(end * len(self.points)))])

    @property
    def evidence(self) -> Evidence:
        """The curve as a citation: its steps, and a table of at most a dozen points."""
        stride = -(-len(self.points) // _ROWS)
        shown = self.points[::-1][::stride][::-1]
        rows = "\n".join(f"| {step:,} | {number(value)} |" for step, value in shown)
        return Evidence("metrics.jsonl", f"{self.key}, steps {self.points[0][0]:,} to {self.points[-1][0]:,}",
                        f"| step | {self.key} |\n|---|---|\n{rows}")


@dataclass(frozen=True)
class Course:
    """How the mean return went, in one word and in numbers."""

    kind: Literal["solved", "flat", "lost", "stalled", "rising"]
    start: float
    end: float
    best: float
    best_step: int
    reached: int                   # the step by which nearly all of the gain was made


@dataclass(frozen=True)
class Record:
    """A run's files, read."""

    run: Run
    rows: list[dict[str, Any]]     # metrics.jsonl
    evaluations: list[dict[str, Any]]
    config: Mapping[str, Any] = field(default_factory=dict)    # the algorithm's settings

    @property
    def algo(self) -> catalog.Algorithm | None:
        """The catalogue's entry, if it has one."""
        return catalog.ALGORITHMS.get(str(self.run.config.get("algo")))

    @property
    def env(self) -> catalog.Environment | None:
        """The catalogue's entry, if it has one."""
        return catalog.ENVIRONMENTS.get(str(self.run.config.get("env")))

    @property
    def chosen(self) -> bool:
        """Whether the environment was made with options, and may be another than the catalogue describes."""
        return bool(self.run.config.get("env_options"))

    @property
    def title(self) -> str:
        """The algorithm and the environment in words."""
        return f"{self.algo.title if self.algo else self.run.config.get('algo')} on {self.run.config.get('env')}"

    @property
    def steps(self) -> int:
        """Env steps so far."""
        return int(self.rows[-1]["step"]) if self.rows else self.run.status.env_steps

    @cached_property
    def returns(self) -> Series:
        """The mean return of the last hundred episodes."""
        return self.series(_RETURN)

    @cached_property
    def episodes(self) -> Series:
        """The returns of the episodes that ended between two rows."""
        return self.series("episode/return")

    @property
    def newest(self) -> Series:
        """The same in the end."""
        return self.episodes.part(_LATE)

    @property
    def goal(self) -> float | None:
        """The mean return that counts as solved, where there is one."""
        return self.env.solved_at if self.env else None

    @cached_property
    def solved(self) -> bool:
        """Whether the return in the end counts as solved; a mean of a hundred episodes lags behind the newest ones."""
        newest = self.newest.values
        return self.goal is not None and bool(self.returns.points) and (
            self.returns.points[-1][1] >= self.goal or (len(newest) >= _FEW and mean(newest) >= self.goal))

    @cached_property
    def course(self) -> Course | None:
        """How the mean return went since learning began; None before there is one."""
        curve, goal = self.returns, self.goal
        if not curve.points:
            return None
        warm_up = self.config.get("learning_starts") or 0      # a peak of random actions is nothing to lose
        curve = Series(curve.key, tuple(point for point in curve.points if point[0] > warm_up) or curve.points)
        start, end = median(curve.part(0, 0.1).values), median(curve.part(0.9).values)
        best_step, best = max(curve.points, key=lambda point: point[1])
        gain, last_step = best - start, curve.points[-1][0]
        least = 0.1 * abs(goal - start) if goal is not None else 0.05 * max(abs(best), abs(start))
        reached = next(step for step, value in curve.points if value >= start + 0.95 * gain)
        kind: Literal["solved", "flat", "lost", "stalled", "rising"] = "rising"
        if self.solved:
            kind = "solved"
        elif gain <= least:
            kind = "flat"
        elif end < best - 0.3 * gain and best_step < 0.9 * last_step:
            kind = "lost"
        elif reached <= 0.7 * last_step:
            kind = "stalled"
        return Course(kind, start, end, best, best_step, reached)

    @property
    def suffers(self) -> bool:
        """Whether the return is worse than it was or should be, and does not rise."""
        kind = self.course.kind if self.course else ""
        return kind in ("flat", "lost") or (kind == "stalled" and self.goal is not None)

    @cached_property
    def stuck(self) -> bool:
        """Whether the episodes have never differed, or nearly all of them, the newest too, had the lowest return."""
        values = self.episodes.values
        return len(values) >= _FEW and not self.solved and all(
            some.count(min(values)) >= _NEARLY_ALL * len(some)
            for some in (values, self.newest.values))

    @property
    def has_preset(self) -> bool:
        """Whether the catalogue has settings known to work for this algorithm in this environment."""
        return bool(self.algo and self.env and self.algo.name in self.env.presets)

    @cached_property
    def usual(self) -> dict[str, Any]:
        """What the settings are where nobody changes them: the algorithm's defaults under the preset."""
        return to_dict(catalog.config_for(self.algo.name, str(self.run.config.get("env")))) if self.algo else {}

    @cached_property
    def changed(self) -> dict[str, Any]:
        """The settings that differ from the usual ones, with the usual values."""
        return {name: value for name, value in self.usual.items()
                if name in self.config and self.config[name] != value}

    def series(self, key: str) -> Series:
        """One metric, without what is missing or not finite."""
        return Series(key, tuple((int(row["step"]), float(row[key])) for row in self.rows
                                 if isinstance(row.get(key), int | float)))

    def setting(self, *names: str) -> Evidence:
        """Settings as a citation: the algorithm's, or else the run's."""
        own = {**self.run.config, **self.config}
        return Evidence("config.yaml", ", ".join(names), "\n".join(f"- `{name}`: {own.get(name)}" for name in names))


Check = Callable[[Record], Iterator[Finding]]


def diagnose(folder: Path) -> Diagnosis:
    """How the run in a folder went, and what its files say about why.

    Raises:
        ConfigError: the folder is no run.
    """
    record = read(folder)
    progress, evidence = _progress(record)
    findings = tuple(finding for check in _CHECKS for finding in check(record))
    return Diagnosis(record.run, _summary(record), progress, evidence, findings)


def read(folder: Path) -> Record:
    """The files of the run in a folder.

    Raises:
        ConfigError: the folder is no run.
    """
    run = open_run(folder)
    config = run.config.get("config")
    return Record(run, _rows(folder / "metrics.jsonl"), read_evaluations(folder),
                  config if isinstance(config, Mapping) else {})


def number(value: float) -> str:
    """A value as people read it: 0.0123, 1,250, -3.1e-07."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown(value: Any) -> str:
    """A setting as people read it; [64] would be taken for a citation."""
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line still being written is left out.

    Raises:
        ConfigError: another line is no JSON.
    """
    if not path.exists():
        return []
    rows = []
    *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for place, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise ConfigError(f"{path}, line {place} is no row of metrics: {line[:60]!r}. Remove the line to read "
                              "the rest.")
        rows.append(row)
    return rows


def _summary(record: Record) -> str:
    """What the run is and how far it came."""
    run = record.run
    planned = run.config.get("env_steps") or run.status.total_steps
    reached = f"{record.steps:,} of {planned:,} env steps" if planned else f"{record.steps:,} env steps"
    goal = record.goal
    last = f", mean return {number(record.returns.points[-1][1])}" if record.returns.points else ""
    against = f" ({number(goal)} counts as solved)" if last and goal is not None else ""
    return f"{record.title}, {run.state} after {reached}{last}{against}."


def _progress(record: Record) -> tuple[str, tuple[Evidence, ...]]:
    """How the return went: where it stopped rising, or that it did not."""
    course = record.course
    if course is None:
        return "No episode has ended yet, so there is no return to judge.", ()
    start, end, best = number(course.start), number(course.end), number(course.best)
    last_step, last = record.returns.points[-1]
    if record.goal is not None and course.kind == "solved" and last < record.goal:
        says = (f"It has solved the task: its newest episodes return {number(mean(record.newest.values))}; the "
                f"mean of the last hundred rose from {start} to {number(last)} and still counts older ones.")
        return says, (record.returns.evidence, record.episodes.evidence)
    says = {
        "solved": f"It has solved the task: the mean return rose from {start} to {end}.",
        "flat": f"It has hardly learned: the mean return began at {start} and was never above {best}.",
        "lost": f"It learned and then lost it: the mean return rose from {start} to {best} at step "
                f"{course.best_step:,} and fell to {end}.",
        "stalled": f"It stopped improving at about step {course.reached:,}: the mean return rose from {start} to "
                   f"{best} and has stayed near {end} since.",
        "rising": f"It had not stopped improving: the mean return rose from {start} to {end} and was still rising at "
                  f"step {last_step:,}.",
    }[course.kind]
    return says, (record.returns.evidence,)


def _not_finite(record: Record) -> Iterator[Finding]:
    """A value that is not finite is written as null; a metric that a row lacks is simply not there."""
    for row in record.rows:
        broken = [key for key, value in row.items() if value is None]
        if broken:
            where = Evidence("metrics.jsonl", f"{', '.join(broken)}, step {row['step']:,}",
                             "```json\n" + json.dumps(row) + "\n```")
            yield Finding("Values that are not finite",
                          f"From step {row['step']:,} on, {_listed(broken)} {'is' if len(broken) == 1 else 'are'} NaN "
                          "or infinite.",
                          "Nothing after it can be trusted: start again with a lower `learning_rate` or gradient "
                          "clipping, and look for NaN and huge values in observations and rewards.",
                          (where,), "Why do I get NaN losses or NaN actions?")
            return


def _failed(record: Record) -> Iterator[Finding]:
    run = record.run
    if run.state in ("failed", "interrupted"):
        log = tail_log(run.path, 5)
        evidence = [Evidence("status.json", "state and message", f"{run.state}: {run.status.message or 'no message'}")]
        evidence += [Evidence("train.log", "its last lines", f"```\n{log}\n```")] if log else []
        yield Finding(f"The run {run.state if run.state == 'failed' else 'was interrupted'}",
                      f"Its process is gone; the last it said was: {run.status.message or 'nothing'}.",
                      f"Mend the cause and resume it with `python -m rlcore resume {run.path}`.", tuple(evidence),
                      "How do I resume a run?")


def _never_began(record: Record) -> Iterator[Finding]:
    starts = record.config.get("learning_starts")
    if isinstance(starts, int) and record.rows and not record.series("loss/value").points:
        yield Finding("Learning has not begun",
                      f"No row has a loss yet: `learning_starts` is {starts:,}, and the run took {record.steps:,} "
                      "steps.",
                      "Train for longer, or lower `learning_starts`.", (record.setting("learning_starts"),),
                      "What is learning_starts (the warm-up) for?")


def _never_moved(record: Record) -> Iterator[Finding]:
    """Without a better episode no action looks better than another, whatever the settings."""
    if not record.stuck:
        return
    values = record.episodes.values
    lowest, best = number(min(values)), number(max(values))
    says = (f"Every episode returned {lowest}: none did better than another, so no success was ever seen and there is "
            "nothing to learn from." if lowest == best else
            f"Nearly every episode returned {lowest}, the lowest of all; the best returned {best}. A success is too "
            "rare to learn from.")
    knobs = [name for name in ("epsilon_steps", "entropy_coef", "target_entropy", "noise_std") if name in record.config]
    longer = f", explore more or for longer ({_listed(knobs)})" if knobs else ""
    yield Finding("The return has never moved: exploration", says,
                  "Make a success more likely to be seen before you tune anything else: shape the reward with a "
                  f"potential, repeat actions{longer}, or start episodes nearer to the goal.",
                  (record.episodes.evidence, *([record.setting(*knobs)] if knobs else [])),
                  "The agent never finds the goal. How do I know that exploration is the problem?")


def _collapsed(record: Record) -> Iterator[Finding]:
    curve, course = record.returns, record.course
    if course and course.kind == "lost" and len(curve.points) >= 5:
        yield Finding("The return collapsed after its peak",
                      f"The mean return was {number(course.best)} at step {course.best_step:,} and is "
                      f"{number(course.end)} now.",
                      "Keep the best agent with `evaluate_every`, and make updates smaller: a lower or decaying "
                      "`learning_rate`.", (curve.evidence,), "My reward goes up and then collapses")


def _values_diverge(record: Record) -> Iterator[Finding]:
    """The mean value is held against what any policy seen could earn."""
    values, lengths = record.series("value/mean"), dict(record.series("episode/length").points)
    scaled = record.config.get("normalize_reward") or record.config.get("reward_scale", 1.0) != 1.0
    episodes = record.episodes.points
    if scaled or not values.points or not episodes:
        return
    gamma = float(record.config.get("gamma", 0.99))
    per_step = max(abs(value) / max(lengths.get(step, 1.0), 1.0) for step, value in episodes)
    # Where no reward was seen yet, a success may still be worth 1.
    bound = max(max(abs(value) for _, value in episodes), per_step / max(1 - gamma, 1e-4)) or 1.0
    last = median(values.part(_LATE).values)
    if abs(last) > 2 * bound:
        yield Finding("The action values run away",
                      f"The mean value is {number(last)} in the end, while no policy of this run could earn more than "
                      f"about {number(bound)}.",
                      "Lower `learning_rate`, move the target network more slowly, and use Double DQN or twin critics; "
                      "check that `terminated` ends the bootstrap.", (values.evidence, record.episodes.evidence),
                      "Why do my DQN Q-values explode, keep growing or become far too high?"
                      if "discrete" in (record.algo.acts if record.algo else ()) else "Why does SAC's Q-value explode?")


def _entropy(record: Record) -> Iterator[Finding]:
    curve, env = record.series("policy/entropy"), record.env
    if len(curve.points) < 3 or record.solved or not (record.algo and record.algo.loop == "on_policy"):
        return
    first, last = median(curve.part(0, 0.1).values), median(curve.part(0.9).values)
    coef = record.setting("entropy_coef", "learning_rate")
    if env and env.acts == "continuous":
        if (first - last) / env.act_dim > 2.0:
            yield Finding("Entropy collapse",
                          f"The entropy fell from {number(first)} to {number(last)} nats, so the standard deviation of "
                          f"each action shrank {math.exp((first - last) / env.act_dim):.0f}-fold.",
                          f"Raise `entropy_coef` (now {record.config.get('entropy_coef')}) or lower `learning_rate`.",
                          (curve.evidence, coef), "entropy collapse policy stops exploring entropy_coef")
        return
    if last < 0.1 * first:
        yield Finding("Entropy collapse",
                      f"The policy's entropy fell from {number(first)} to {number(last)} nats: it nearly always takes "
                      "the same action in a state, and explores no more.",
                      f"Raise `entropy_coef` (now {record.config.get('entropy_coef')}), lower `learning_rate` (now "
                      f"{record.config.get('learning_rate')}), or use fewer `epochs`.",
                      (curve.evidence, coef), "Why is my PPO entropy dropping to zero?")
    elif env and not record.chosen and not record.stuck and last > 0.98 * math.log(env.act_dim):
        yield Finding("The policy has stayed random",
                      f"The entropy is still {number(last)} of at most {number(math.log(env.act_dim))} nats.",
                      "The policy gets no signal: check that rewards differ between actions, lower `entropy_coef`, or "
                      "raise `learning_rate`.", (curve.evidence, coef), "My agent is not learning anything at all")


def _too_large_updates(record: Record) -> Iterator[Finding]:
    divergence, clipped = record.series("policy/kl"), record.series("policy/clip_fraction")
    late_kl = mean(divergence.part(_LATE).values) if divergence.points else 0.0
    late_clip = mean(clipped.part(_LATE).values) if clipped.points else 0.0
    if late_kl > 0.05:
        yield Finding("Each update moves the policy too far",
                      f"The KL divergence per update is {number(late_kl)} nats on average in the last third; 0.001 to "
                      "0.03 is usual.",
                      f"Halve `learning_rate` (now {record.config.get('learning_rate')}), use fewer `epochs`, or set "
                      "`target_kl`.", (divergence.evidence, record.setting("learning_rate", "epochs")),
                      "Why is the approximate KL in PPO too large?")
    if late_clip > 0.4:
        yield Finding("Most samples are clipped",
                      f"The clip fraction is {number(late_clip)} on average in the last third; 0.02 to 0.3 is usual.",
                      "Lower `learning_rate` or `epochs`: clipped samples teach nothing.",
                      (clipped.evidence, record.setting("clip", "learning_rate", "epochs")),
                      "What clip fraction should PPO have?")


def _too_small_updates(record: Record) -> Iterator[Finding]:
    divergence = record.series("policy/kl")
    if record.solved or record.stuck or len(divergence.points) < 3:
        return
    if max(divergence.part(_LATE).values) < 1e-4:
        yield Finding("Updates hardly change the policy",
                      f"The KL divergence per update is at most {number(max(divergence.part(_LATE).values))} nats in "
                      "the last third; 0.001 to 0.03 is usual.",
                      f"Raise `learning_rate` (now {record.config.get('learning_rate')}) unless the run has converged.",
                      (divergence.evidence, record.setting("learning_rate")),
                      "Which learning rate should I use for PPO, and should it decay?")


def _critic(record: Record) -> Iterator[Finding]:
    if record.solved or record.stuck:
        return
    explained = record.series("value/explained_variance")
    if len(explained.points) >= 3 and (late := median(explained.part(_LATE).values)) < 0:
        yield Finding("The critic predicts worse than a constant",
                      f"The explained variance is {number(late)} (median of the last third); above 0.5 is usual once "
                      "a policy learns.",
                      "Try `normalize_reward`, a longer `horizon` or another `learning_rate`, and check that time "
                      "limits are reported as truncation.",
                      (explained.evidence,), "Why is my value function's explained variance negative?")
    loss = record.series("loss/value")
    if len(loss.points) >= 6:
        early, late = median(loss.part(0, 1 / 3).values), median(loss.part(_LATE).values)
        if early > 0 and late > 1000 * early:
            yield Finding("The critic's loss grows without end",
                          f"Its median rose from {number(early)} in the first third to {number(late)} in the last.",
                          "Lower `learning_rate`, scale the rewards, and check that `terminated` ends the bootstrap.",
                          (loss.evidence,), "Loss goes down but reward does not go up")


def _gradients(record: Record) -> Iterator[Finding]:
    """The norm alone says little: it falls when all is learned, and has peaks in good runs too."""
    norms = record.series("loss/grad_norm")
    if len(norms.points) < 6 or record.stuck or not record.suffers:
        return
    early, late = median(norms.part(0, 1 / 3).values), median(norms.part(_LATE).values)
    usual, limit = max(early, median(norms.values)), float(record.config.get("max_grad_norm") or 1.0)
    step, peak = max(norms.points, key=lambda point: point[1])
    if late < 1e-7 or (early > 0 and late < 1e-4 * early):
        yield Finding("Dying gradients",
                      f"The gradient's norm fell from {number(early)} to {number(late)}: nothing is learned any more.",
                      "Look for saturated or dead units (try `tanh`, a lower `learning_rate`), a schedule that has "
                      "reached zero, and constant rewards.", (norms.evidence,),
                      "Why does my network stop learning late in training (loss of plasticity)?")
    elif usual > 0 and peak > 100 * usual and peak > 10 * limit:
        yield Finding("Exploding gradients",
                      f"The gradient's norm was {number(peak)} at step {step:,}, where {number(usual)} is usual.",
                      f"Scale the rewards, lower `learning_rate`, or lower `max_grad_norm` (now "
                      f"{record.config.get('max_grad_norm')}).", (norms.evidence, record.setting("max_grad_norm")),
                      "Should I clip gradients, and at what norm?")


def _exploration(record: Record) -> Iterator[Finding]:
    """ε as the schedule has it at the end of the run."""
    config = record.config
    if config.get("noisy") or not {"epsilon_start", "epsilon_end", "epsilon_steps"} <= config.keys() or record.solved:
        return
    start, end, over = (float(config[f"epsilon_{name}"]) for name in ("start", "end", "steps"))
    now = start + (end - start) * min(1.0, record.steps / over)
    evidence = (record.setting("epsilon_start", "epsilon_end", "epsilon_steps"),)
    ask = "How should I schedule epsilon in epsilon-greedy exploration?"
    if now > 0.2 and not record.stuck:
        yield Finding("Most of the run was exploration",
                      f"ε was still {number(now)} at step {record.steps:,}: that share of the actions is random, and "
                      "the return shows it.",
                      f"Lower `epsilon_steps` (now {over:,.0f}) or train for longer.", evidence, ask)
    elif over < 0.02 * record.steps and end < 0.02:
        yield Finding("Exploration ended early",
                      f"ε reached {number(end)} after {over:,.0f} of {record.steps:,} steps.",
                      "Raise `epsilon_steps` to a tenth of the run, or `epsilon_end` to 0.05.", evidence, ask)


def _earned(record: Record) -> float | None:
    """The size of the reward of one step as the algorithm sees it; None before an episode has ended."""
    lengths = dict(record.series("episode/length").points)
    earned = [abs(value) / lengths[step] for step, value in record.episodes.points if lengths.get(step)]
    if record.config.get("normalize_reward"):
        return 1.0
    return median(earned) * float(record.config.get("reward_scale", 1.0)) if earned else None


def _temperature(record: Record) -> Iterator[Finding]:
    alpha = record.series("policy/alpha")
    if len(alpha.points) < 3 or not record.config.get("adjust_alpha") or record.solved:
        return
    first, last = alpha.points[0][1], median(alpha.part(0.9).values)
    earned = _earned(record) or 1.0
    if last > 20 * first and last > earned:
        yield Finding("The temperature grows without end",
                      f"α rose from {number(first)} to {number(last)}: the policy cannot reach its target entropy.",
                      "Lower `target_entropy`.", (alpha.evidence, record.setting("target_entropy")),
                      "What is the SAC temperature alpha, and should I tune it?")
    elif last < 1e-4 * earned:
        yield Finding("Exploration has stopped",
                      f"α fell to {number(last)}, so entropy is worth nothing to the policy beside its rewards.",
                      "Raise `target_entropy`, or scale the rewards up.", (alpha.evidence,),
                      "What is the SAC temperature alpha, and should I tune it?")


def _fixed_temperature(record: Record) -> Iterator[Finding]:
    """A fixed α is held against what a step earns."""
    alpha, per_step = record.config.get("alpha"), _earned(record)
    if record.config.get("adjust_alpha") is not False or not alpha or per_step is None or not record.suffers or (
            record.stuck or record.config.get("normalize_reward")):
        return
    if alpha > 2 * per_step:
        yield Finding("The entropy bonus outweighs the reward",
                      f"α is fixed at {number(alpha)}, while a step earns {number(per_step)}: acting at random pays "
                      "more than acting well.",
                      "Set `adjust_alpha` true, or lower `alpha` far below what a step earns.",
                      (record.setting("alpha", "adjust_alpha"), record.episodes.evidence),
                      "What is the SAC temperature alpha, and should I tune it?")


def _replay(record: Record) -> Iterator[Finding]:
    """Gradient steps per env step, of algorithms with a replay memory."""
    config = record.config
    if not {"updates", "train_every", "num_envs", "capacity"} <= config.keys():
        return
    ratio = config["updates"] / (config["train_every"] * config["num_envs"])
    names = ("updates", "train_every", "num_envs", "batch_size")
    usual = 20.0 if record.algo and record.algo.name == "redq" else 1.0
    ask = "What is the replay ratio (update-to-data ratio) and what should it be?"
    if ratio > 4 * usual:
        yield Finding("The replay ratio is high",
                      f"There are {number(ratio)} gradient steps per env step: the critics may overfit to what is in "
                      "memory.",
                      "Lower `updates`, or use an algorithm made for it, such as REDQ.", (record.setting(*names),), ask)
    elif ratio < 0.02 and not record.solved:
        yield Finding("The replay ratio is low",
                      f"There are only {number(ratio)} gradient steps per env step, "
                      f"{number(ratio * record.steps)} in the whole run.",
                      "Raise `updates` or lower `train_every`.", (record.setting(*names),), ask)


def _evaluation_gap(record: Record) -> Iterator[Finding]:
    if not record.evaluations or not record.returns.points:
        return
    row = record.evaluations[-1]
    at = int(row.get("step", record.steps))
    step, training = min(record.returns.points, key=lambda point: abs(point[0] - at))
    judged, spread = float(row["mean"]), max(record.returns.values) - min(record.returns.values)
    if judged < training - 0.3 * max(spread, 0.1 * abs(training)):
        text = "\n".join(f"- {key}: {row[key]}" for key in ("step", "episodes", "mean", "std") if key in row)
        evidence = (Evidence("evaluations.jsonl", f"the evaluation at step {at:,}", text), record.returns.evidence)
        yield Finding("Worse in evaluation than in training",
                      f"The evaluation at step {at:,} has a mean return of {number(judged)}, while training had "
                      f"{number(training)} at step {step:,}.",
                      "Evaluate more episodes, and look for what differs: normalisation statistics, time limits, or a "
                      "policy that needs its randomness.", evidence,
                      "The agent does well in training but badly in evaluation")


def _settings(record: Record) -> Iterator[Finding]:
    """Settings that differ from those known to solve the task; without such, from defaults that could have done."""
    if record.solved or not record.changed or not (record.has_preset or record.suffers):
        return
    told = [f"`{name}` is {shown(record.config[name])}, usual is {shown(value)}"
            for name, value in record.changed.items()]
    says = "; ".join(told[:_NAMED]) + (f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else "")
    algo, env = record.run.config["algo"], str(record.run.config.get("env"))
    first = next(iter(record.changed)).replace("_", " ")
    yield Finding(f"Settings differ from {'those known to work' if record.has_preset else 'the defaults'}",
                  f"{says}.", f"The usual ones ({catalog.preset(algo, env).source}) before anything else.",
                  (record.setting(*record.changed),),
                  f"Which {first} should I use for {catalog.algorithm(algo).title}?")


def _too_short(record: Record) -> Iterator[Finding]:
    if record.solved or not record.algo or not record.env:
        return
    known, run = record.env.presets.get(record.algo.name), record.run
    # One that goes on, or ended as it was told to, is as long as it was planned.
    steps = record.steps if run.state == "stopped" else max(record.steps, run.config.get("env_steps") or 0)
    if known and steps < 0.8 * known.env_steps:
        goal = record.goal
        worth = f" a return of {number(goal)}" if goal is not None else " its usual score"
        yield Finding("The run is short",
                      f"It has {steps:,} env steps; the preset takes {known.env_steps:,} to reach{worth}.",
                      f"Lengthen it: `python -m rlcore resume {run.path} --env_steps {known.env_steps}`.",
                      (Evidence("config.yaml", "env_steps", f"- `env_steps`: {run.config.get('env_steps')}"),),
                      "How do I train a finished run for longer?")


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_CHECKS: tuple[Check, ...] = (
    _not_finite, _failed, _never_began, _never_moved, _collapsed, _fixed_temperature, _settings, _values_diverge,
    _entropy, _too_large_updates, _critic, _gradients, _exploration, _temperature, _replay, _too_small_updates,
    _evaluation_gap, _too_short,
)
