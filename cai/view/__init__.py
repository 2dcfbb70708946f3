"""A web viewer over the run store, for one's own machine: it reads records and writes labels, nothing else."""
