"""The judge: which of two answers is better under a principle, asked in one of several modes."""
