"""How replies are sampled, and how principles and worked examples come to a stage."""

from __future__ import annotations

from cai.identity import Config, identity


class Sampling(Config):
    """How replies are sampled, and how principles and worked examples come to a stage."""

    max_tokens: int = identity(512, "Longest reply, tokens.", ge=1)
    temperature: float = identity(1.0, "0 is greedy; the paper samples at 1 (section 3.2).", ge=0)
    top_p: float = identity(1.0, "Nucleus sampling; 1 is off.", gt=0, le=1)


class DrawConfig(Sampling):
    """How principles and worked examples come to a stage."""

    tags: tuple[str, ...] = identity((), "Only principles with one of these tags are drawn; none: all.")
    few_shot_file: str | None = identity(
        None, "Where the examples come from: shipped, or a path; none: as the constitution says."
    )
