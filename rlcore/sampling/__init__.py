"""Samplers: they step environments and return what happened."""
