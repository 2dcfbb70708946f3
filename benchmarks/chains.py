"""Critique-revision chains on vLLM: our `revise` stage against bare `LLM.generate`, step by step over full lists."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.vllm_work import CHAINS, ROUNDS, TOKENS, Bare, Kept, KeptPool, opened, our_stage, recipe, timed
from cai.config import Recipe
from cai.engines.base import Request
from cai.identity import seed_of
from cai.material import Material
from cai.records import Prompt, Revision

Limit = Callable[[Request], int]
IN_FLIGHT = CHAINS // 4


def uneven(request: Request) -> int:
    """A limit from 12 to 96 tokens, by the chain: its question stands in every one of its prompts."""
    asked = next(m.content for m in request.prompt.messages[::-1] if m.role == "user" and m.content.startswith("What"))
    return 12 * (1 + seed_of(asked) % 8)


def _bare_chains(bare: Bare, recipe: Recipe, group: int, limit: Limit | None) -> None:
    """The same chains with the same prompts, limits and seeds; every step waits for the slowest of its group."""
    material = Material(recipe)
    templates, shown = material.templates(recipe.models.assistant), material.revision_examples
    config, prompts = recipe.revise, list(material.prompts["harmful"].train)

    def ask(step: Any, purpose: str, number: int, group: Sequence[Prompt], values: list[dict[str, Any]]) -> list[str]:
        seeds = [seed_of(recipe.seed, purpose, prompt.id, 0, number) for prompt in group]
        rendered = [templates.render(step, messages=p.messages, **v) for p, v in zip(group, values, strict=True)]
        requests = [Request(r, config.max_tokens, 1.0, 1.0, s) for r, s in zip(rendered, seeds, strict=True)]
        return bare.generate([Request(r.prompt, limit(r), 1.0, 1.0, r.seed) for r in requests] if limit else requests)

    for some in _groups(prompts, group):
        answers = ask("respond", "respond", 0, some, [{} for _ in some])
        for number in range(1, ROUNDS + 1):
            values: list[dict[str, Any]] = []
            for prompt, answer in zip(some, answers, strict=True):
                seed = seed_of(recipe.seed, "principle", prompt.id, 0, number)
                drawn = material.constitution.draw("revision", seed)
                values.append({"few_shot": shown, "principles": drawn, "response": answer})
            critiques = ask("critique", "critique", number, some, values)
            values = [{**v, "critique": critique} for v, critique in zip(values, critiques, strict=True)]
            answers = ask("revise", "revise", number, some, values)


def _groups(prompts: list[Prompt], size: int) -> Iterator[list[Prompt]]:
    for start in range(0, len(prompts), size):
        yield prompts[start : start + size]


def _tokens(records: list[Revision]) -> int:
    return sum(r.response.tokens + (r.critique.tokens if r.critique else 0) for r in records)


def _ours(folder: Path) -> dict[str, tuple[float, int, float]]:
    """Seconds, tokens written, and share of prompt tokens found in the prefix cache."""
    engine, found = opened(), {}
    pool = KeptPool(Kept(engine))
    try:
        for name, kept in (
            ("warm", Kept(engine, lambda _: 2)),
            ("even", Kept(engine)),
            ("uneven", Kept(engine, uneven)),
        ):
            pool.engine, kept.concurrency = kept, IN_FLIGHT if name == "uneven" else CHAINS
            seconds, records = our_stage(pool, recipe(folder), folder / name)
            replies = [c for r in records for c in (r.response, r.critique) if c]
            hits = sum(c.cached_tokens for c in replies) / sum(c.prompt_tokens for c in replies)
            found[name] = seconds, _tokens(records), hits
    finally:
        engine.close()
    return found


def _theirs(folder: Path) -> dict[str, tuple[float, int]]:
    bare, found = Bare(), {}
    try:
        for name, group, limit in (
            ("warm", CHAINS, lambda _: 2),
            ("even", CHAINS, None),
            ("uneven", IN_FLIGHT, uneven),
        ):
            bare.tokens = 0
            settings = recipe(folder)
            found[name] = timed(lambda g=group, at=limit, r=settings: _bare_chains(bare, r, g, at)), bare.tokens
    finally:
        bare.close()
    return found


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = _ours(folder), _theirs(folder)
    about = f"{CHAINS} chains, {ROUNDS} rounds, 5 examples, SmolLM2-135M, vLLM on the CPU"
    even = _row("chain_vs_barrier", 1.02, ours["even"], theirs["even"], f"{about}, {TOKENS} tokens a reply")
    limits = f"{about}, 12 to 96 tokens by chain, {IN_FLIGHT} in flight"
    return [even, _row("uneven_chains", 0.85, ours["uneven"], theirs["uneven"], limits)]


def _row(
    name: str, reach: float, ours: tuple[float, int, float], theirs: tuple[float, int], about: str
) -> dict[str, Any]:
    ratio = ours[0] / theirs[0]
    detail = (
        f"{about}: ours {ours[0]:.1f} s for {ours[1]} tokens, step by step {theirs[0]:.1f} s for {theirs[1]} tokens; "
        f"{ours[2]:.0%} of prompt tokens from the prefix cache"
    )
    return {"name": name, "value": ratio, "reach": reach, "reached": ratio <= reach, "unit": "wall / wall",
            "command": "python -m benchmarks chains", "detail": detail}  # fmt: skip
