"""Ghost attention: conversations in which an instruction of the first turn holds to the end.

Llama 2 (Touvron et al. 2023, arXiv 2307.09288), section 3.3 and App. A.3.5. The assistant answers turn by turn, and the
instruction stands before every question of the person; SL-CAI learns the last answer with the instruction in the first
turn alone, and nothing of the turns before it.

Deviations: Llama 2 takes the questions from its dialogues; here they are helpful prompts that need not have to do with
each other. It words half of the instructions more briefly; here they are shown as they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cai.config import GhostConfig
from cai.engines.base import Speaker
from cai.hygiene import answer_flags, expected_language
from cai.identity import seed_of
from cai.records import Completion, Dialogue, Ghost, Message, Prompt


@dataclass(frozen=True)
class HaveDialogue:
    """Yields one Ghost a conversation. `language`: of answers to prompts that do not tell theirs; none: any."""

    assistant: Speaker
    config: GhostConfig
    language: str | None
    seed: int

    async def __call__(self, dialogue: Dialogue, done: Sequence[Ghost]) -> AsyncIterator[Ghost]:
        """The conversation, unless it is stored."""
        if done:
            return
        replies: list[Completion] = []
        for turn in range(len(dialogue.questions)):
            messages = _turns(dialogue, replies, every=True)
            seed = seed_of(self.seed, "ghost", dialogue.id, turn)
            replies.append(await self.assistant.reply("respond", self.config, seed, messages=messages))
        *earlier, response = replies
        yield Ghost(
            id=dialogue.id,
            prompt=Prompt.of(_turns(dialogue, earlier, every=False), "helpful", dialogue.source),
            instruction=dialogue.instruction,
            earlier=tuple(earlier),
            response=response,
            flags=answer_flags(response, expected_language(dialogue.questions[-1], self.language)),
        )


def _turns(dialogue: Dialogue, replies: Sequence[Completion], every: bool) -> tuple[Message, ...]:
    """The conversation up to the question that waits, with the instruction in the first turn or in `every` one."""
    told = [
        f"{dialogue.instruction}\n\n{question}" if every or not turn else question
        for turn, question in enumerate(dialogue.questions)
    ]
    asked = [Message(role="user", content=text) for text in told]
    answered = [Message(role="assistant", content=reply.text) for reply in replies]
    before = [message for pair in zip(asked, answered, strict=False) for message in pair]
    return (*before, asked[len(replies)])
