"""What a safety preamble changed in the assistant's answers, and what of it SL-CAI could learn."""

from __future__ import annotations

from collections.abc import Sequence

from cai.config import SelectionConfig
from cai.records import Distilled
from cai.stages.report_caveats import Fact
from cai.stages.report_effects import finite_mean, signed
from cai.stages.report_excerpts import spread
from cai.stages.report_flags import share

_SHOWN = 3


def distill_facts(distilled: Sequence[Distilled], rule: SelectionConfig, resamples: int) -> list[Fact]:
    """How many prompts were asked, how often the preamble raised the score, and by how much; nothing without any."""
    if not distilled:
        return []
    rose = [one for one in distilled if one.gain > 0]
    clean = [one for one in rose if one.guarded.text and not set(one.flags) & set(rule.drop)]
    gain = finite_mean([one.gain for one in sorted(distilled, key=lambda one: one.id)], resamples)
    mean = (
        "{} ({} to {})".format(*(signed(x, 2) for x in (gain.value, gain.low, gain.high))) if gain else "not measured"
    )
    return [
        Fact("Prompts asked", str(len(distilled)), "each with and without the preamble"),
        Fact("Score rose", share(len(rose), len(distilled)), "only these answers may be learned"),
        Fact("Mean gain", mean, "score under the preamble less that without, log-odds, over all prompts"),
        Fact("Left to learn", str(len(clean)), "of those that rose, the ones without a flag that this recipe drops"),
    ]


def distill_examples(distilled: Sequence[Distilled]) -> list[Distilled]:
    """A few, evenly spread from the largest loss to the largest gain."""
    return spread(sorted(distilled, key=lambda one: (one.gain, one.id)), _SHOWN)
