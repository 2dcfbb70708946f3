"""Rewards of several answers to one prompt, which is run once: all answers stand behind one copy of it.

Each answer attends to the prompt and to itself alone, and its positions go on from the prompt's, so its reward, read at
its last token, is what it is behind a prompt of its own. A batch is laid out this way where that is less work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Row = tuple[list[int], list[list[int]]]
"""Tokens that all answers begin with, and those with which each goes on; none is empty."""

_PADDING = -1


def common_start(sequences: Sequence[list[int]]) -> Row:
    """Cuts token sequences after the longest start that they share; each keeps its last token at least."""
    low, high, most = min(sequences), max(sequences), min(map(len, sequences)) - 1
    same = next((place for place in range(most) if low[place] != high[place]), most)
    return low[:same], [sequence[same:] for sequence in sequences]


def lay_out(rows: Sequence[Row], padding: int, width: int | None) -> dict[str, Tensor]:
    """What `rewards` reads: rows that share their prompts, or each answer behind a prompt of its own.

    `width` is the model's, None of one that cannot share. The layout of less work is taken: for a row of n tokens the
    linear layers work as n and attention as n^2 / (6 width), where the linear maps of a layer have 12 width^2 weights
    and attention takes two products of `width` numbers for each pair of tokens.
    """
    alone, together = _alone(rows), [prompt + list(chain(*answers)) for prompt, answers in rows]
    if width is None or _work(together, width) >= _work(alone, width):
        return _separate(alone, padding)
    return _together(rows, padding)


def rewards(model: Any, laid: dict[str, Tensor]) -> Tensor:
    """The reward (log-odds) of each answer, (answers,), in the order of their rows."""
    if "segments" not in laid:
        inputs = {name: laid[name] for name in ("input_ids", "attention_mask")}
        return model(**inputs, use_cache=False).logits[:, 0].float()
    mask = attention_mask(laid["segments"], getattr(model, "module", model))
    with _every_score(model) as seen:
        model(input_ids=laid["input_ids"], position_ids=laid["position_ids"], attention_mask=mask, use_cache=False)
    row, place = laid["ends"].T
    return seen[0][row, place, 0].float()


def attention_mask(segments: Tensor, model: Any) -> Tensor:
    """Which tokens each token sees: (rows, 1, tokens, tokens); True where it does, or for eager attention 0.

    `segments` (rows, tokens) is 0 in a prompt and n in its n-th answer. Padding sees padding.
    """
    later, earlier = segments[:, :, None], segments[:, None, :]
    causal = torch.ones(segments.size(1), segments.size(1), dtype=torch.bool, device=segments.device).tril()
    seen = ((later == earlier) | ((earlier == 0) & (later != _PADDING))) & causal
    if _attention(model) == "sdpa":
        return seen[:, None]
    none = torch.zeros(seen.shape, dtype=model.dtype, device=seen.device)
    return none.masked_fill(~seen, torch.finfo(model.dtype).min)[:, None]


def width_if_shared(model: Any, padding: int, end: int, longest: int | None = None) -> int | None:
    """The width of a model that gives answers behind one prompt the rewards that they have alone; None of others.

    `longest` is how many tokens prompt and answer can have together; None: any number. Models that mix tokens by more
    than masked attention at given positions (state-space models, convolutions, ALiBi), that attend to a window, or
    whose padding is their end-of-text token, are among the others.
    """
    config = model.config.get_text_config()
    known = _attention(model) in ("sdpa", "eager") and padding != end and _head(model) is not None
    if not known or not _sees_all(config, longest) or not _same(model, padding):
        return None
    return config.hidden_size


@torch.no_grad()
def _same(model: Any, padding: int) -> bool:
    """Whether a small batch has the same rewards in both layouts."""
    tokens = [token for token in range(3, 30) if token != padding]
    rows = [(tokens[:8], [tokens[8:11], tokens[11:16]]), (tokens[2:7], [tokens[16:19], tokens[3:5]])]
    training = model.training
    model.eval()
    try:
        laid = _separate(_alone(rows), padding), _together(rows, padding)
        alone, shared = (rewards(model, {name: t.to(model.device) for name, t in one.items()}) for one in laid)
    except (IndexError, RuntimeError, TypeError, ValueError):  # it takes no mask of this shape
        return False
    finally:
        model.train(training)
    return bool((alone - shared).abs().max() <= _tolerance(model.dtype) * alone.abs().max())


def _tolerance(dtype: torch.dtype) -> float:
    """Well above rounding, and well below what one token too many or a position off by one changes."""
    return max(1e-3, 8 * torch.finfo(dtype).eps)


def _sees_all(config: Any, longest: int | None) -> bool:
    """Whether each layer attends to all of a text so long. A mask of ours would lift the limits of one that doesn't."""
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or [])
    if window and longest and longest <= window:
        return kinds <= {"full_attention", "sliding_attention"}
    return kinds <= {"full_attention"} and (bool(kinds) or not window)


@contextmanager
def _every_score(model: Any) -> Iterator[list[Tensor]]:
    """What the head says of every token, where the model's own output keeps the last one's.

    So the model is called as a whole, whatever it is wrapped in.
    """
    seen: list[Tensor] = []
    hook = _head(model).register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        hook.remove()


def _head(model: Any) -> Any:
    return next((module for name, module in model.named_modules() if name.rpartition(".")[2] == "score"), None)


def _attention(model: Any) -> str:
    return getattr(model.config, "_attn_implementation", "")


def _work(rows: Sequence[list[int]], width: int) -> float:
    longest = max(map(len, rows))
    return len(rows) * longest * (1 + longest / (6 * width))


def _alone(rows: Sequence[Row]) -> list[list[int]]:
    return [prompt + answer for prompt, answers in rows for answer in answers]


def _separate(sequences: list[list[int]], padding: int) -> dict[str, Tensor]:
    return {
        "input_ids": _padded(sequences, padding),
        "attention_mask": _padded([[1] * len(sequence) for sequence in sequences], 0),
    }


def _together(rows: Sequence[Row], padding: int) -> dict[str, Tensor]:
    return {
        "input_ids": _padded([prompt + list(chain(*answers)) for prompt, answers in rows], padding),
        "position_ids": _padded([_positions(*row) for row in rows], 0),
        "segments": _padded([_segments(*row) for row in rows], _PADDING),
        "ends": torch.tensor([(number, end) for number, row in enumerate(rows) for end in _ends(*row)]),
    }


def _positions(prompt: list[int], answers: list[list[int]]) -> list[int]:
    start = len(prompt)
    return [*range(start), *(place for answer in answers for place in range(start, start + len(answer)))]


def _segments(prompt: list[int], answers: list[list[int]]) -> list[int]:
    return [0] * len(prompt) + [number for number, answer in enumerate(answers, 1) for _ in answer]


def _ends(prompt: list[int], answers: list[list[int]]) -> list[int]:
    """Where each answer's last token stands."""
    return [len(prompt) + last - 1 for last in accumulate(map(len, answers))]


def _padded(rows: Sequence[list[int]], value: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)
