"""A run's data as data sets that `datasets` and TRL load, with a card."""
