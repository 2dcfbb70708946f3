"""Constitutions and worked examples of other projects: read into files of ours, and written as they write them."""
