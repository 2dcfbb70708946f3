"""Records in, checkpoint out. The only home of trl."""
