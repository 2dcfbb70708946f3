"""Runs a data stage over its items. One file a place to run."""
