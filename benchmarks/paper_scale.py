"""What the paper's full size would cost on 1, 8 and 64 GPUs: an estimate from `cai.rates`, not a measurement.

`python -m benchmarks.paper_scale` prints the table of docs/scale.md; `--parameters`, `--gpus`, `--hourly` and the
lengths change what it assumes.
"""

import argparse
from dataclasses import dataclass, fields, replace
from typing import Literal

from cai.rates import H100, Device, tokens_per_second


@dataclass(frozen=True)
class Paper:
    """The paper's counts (Bai et al. 2022, sections 3.2 and 4.2), and lengths in tokens, which are ours.

    Answers of PPO have 128 tokens at most (Bai et al. 2022a, App. B.1), a chain's replies here `reply` in the mean.
    """

    red_team: int = 182_831
    helpful: int = 135_296
    answers: int = 2
    rounds: int = 4
    comparisons: int = 182_831 + 135_296
    judged: int = 182_831
    rl_prompts: int = 1_283_569
    prompt: int = 40
    reply: int = 150
    shown: int = 400
    rl_reply: int = 128


@dataclass(frozen=True)
class Stage:
    """A stage's tokens by kind. `models`: trained ones that each learned token passes through."""

    name: str
    read: float = 0.0
    write: float = 0.0
    train: float = 0.0

    def hours(self, parameters: float, device: Device, devices: int) -> float:
        """On so many devices, one kind of work after the other."""
        work: dict[Literal["read", "write", "train"], float] = {
            "read": self.read, "write": self.write, "train": self.train}  # fmt: skip
        rates = {kind: tokens_per_second(kind, parameters, device, devices) for kind in work}
        return sum(tokens / rates[kind] for kind, tokens in work.items()) / 3600


def stages(paper: Paper) -> list[Stage]:
    """The paper's pipeline. A prefix that all calls of a stage share, its worked examples, is read once and is free.

    `shown`: tokens of a call beside its conversation that no other call shares, such as the instruction. A round asks
    for a critique and a revision, which read the conversation and, the revision, the critique.
    """
    said = paper.prompt + paper.reply
    chains, helpful = paper.red_team, paper.helpful * paper.answers
    round_read = 2 * (said + paper.shown) + paper.reply
    rows = chains * paper.rounds + helpful
    answered = paper.prompt + paper.rl_reply
    return [
        Stage("respond", helpful * paper.prompt, helpful * paper.reply),
        Stage("revise", chains * (paper.prompt + paper.rounds * round_read),
              chains * (1 + 2 * paper.rounds) * paper.reply),
        Stage("sft", train=rows * said),
        Stage("compare", paper.judged * (2 * paper.prompt + 2 * (said + paper.reply + paper.shown)),
              paper.judged * 2 * paper.reply),
        Stage("preference model", train=paper.comparisons * 2 * said),
        Stage("rl (PPO)", paper.rl_prompts * (paper.prompt + 4 * answered), paper.rl_prompts * paper.rl_reply,
              2 * paper.rl_prompts * answered),
    ]  # fmt: skip


def table(paper: Paper, parameters: float, device: Device, counts: list[int]) -> str:
    """Hours by stage and number of GPUs, as Markdown."""
    found = stages(paper)
    lines = ["| stage | read, M tokens | written | learned | " + " | ".join(f"{n} GPU, h" for n in counts) + " |"]
    lines += ["|---|" + "---:|" * (3 + len(counts))]
    for one in found:
        tokens = [f"{value / 1e6:,.0f}" for value in (one.read, one.write, one.train)]
        hours = [f"{one.hours(parameters, device, n):,.1f}" for n in counts]
        lines.append(f"| {one.name} | {' | '.join([*tokens, *hours])} |")
    sums = [sum(one.hours(parameters, device, n) for one in found) for n in counts]
    lines.append("| all | | | | " + " | ".join(f"{one:,.0f}" for one in sums) + " |")
    gpu_hours = " | ".join(f"{one * n:,.0f}" for one, n in zip(sums, counts, strict=True))
    lines.append(f"| GPU hours | | | | {gpu_hours} |")
    if device.hourly:
        costs = " | ".join(f"{one * n * device.hourly:,.0f}" for one, n in zip(sums, counts, strict=True))
        lines.append(f"| dollars | | | | {costs} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table and what it assumes."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.paper_scale")
    options.add_argument("--parameters", type=float, default=7.25e9, help="of every model")
    options.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    options.add_argument("--hourly", type=float, default=0.0, help="dollars for a GPU and hour; 0: no price is told")
    for one in fields(Paper):
        options.add_argument(f"--{one.name.replace('_', '-')}", type=int, default=one.default)
    given = options.parse_args()
    paper = Paper(**{one.name: getattr(given, one.name) for one in fields(Paper)})
    device = replace(H100, hourly=given.hourly)
    print(table(paper, given.parameters, device, given.gpus))
    print(f"\nEstimated, not measured. {given.parameters:.3g} parameters a model. {device}. {paper}.")


if __name__ == "__main__":
    main()
