"""Whole gradient steps with their gradient written out, each tested against the readable one."""
