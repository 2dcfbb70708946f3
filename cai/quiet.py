"""Keeps the libraries' own bars and notices off the terminal, which belongs to our progress."""

from __future__ import annotations

import logging
import os
import warnings

for name, value in (("TQDM_DISABLE", "1"), ("TOKENIZERS_PARALLELISM", "false"), ("TRL_EXPERIMENTAL_SILENCE", "1")):
    os.environ.setdefault(name, value)  # read when those libraries are imported


def hush() -> None:
    """Leaves errors alone. Called by the modules that import transformers."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("trl", "accelerate", "datasets", "torch.utils.flop_counter"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|trl|transformers|accelerate)\b.*")
