"""Judging agents: evaluation episodes, statistics and videos."""
