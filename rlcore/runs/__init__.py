"""Run folders: what a run is, and starting, stopping, resuming and reading it. Imports no torch."""

from rlcore.runs.folder import (
    RUNS,
    Run,
    RunSpec,
    Status,
    append_evaluation,
    claimed,
    delete,
    drop_evaluations_after,
    list_runs,
    new_folder,
    open_run,
    parse_yaml,
    read_evaluations,
    read_metrics,
    read_spec,
    read_yaml,
    tail_log,
    write_spec,
    write_status,
)
from rlcore.runs.options import BACKENDS, SAMPLERS, checked
from rlcore.runs.process import evaluate, foreign, launch, record, resume, stop

__all__ = [
    "BACKENDS", "RUNS", "SAMPLERS", "Run", "RunSpec", "Status", "append_evaluation", "checked", "claimed", "delete",
    "drop_evaluations_after", "evaluate", "foreign", "launch", "list_runs", "new_folder", "open_run", "parse_yaml",
    "read_evaluations", "read_metrics", "read_spec", "read_yaml", "record", "resume", "stop", "tail_log", "write_spec",
    "write_status",
]
