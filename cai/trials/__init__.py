"""A constitution tried on a model, without a run: its tests, and chains under chosen principles."""
