"""Prompts from a model: what is read from a reply, what is kept, and files that end alike however they came to be."""

from __future__ import annotations

import asyncio
import io
import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from cai.commands.prompts import LIST_TOKENS, generate
from cai.config import Sampling
from cai.engines import pool
from cai.engines.base import Request
from cai.errors import EngineError, InputError, Interrupted, ItemFailed, StoreError
from cai.generation.checks import MOST_CHARACTERS, REASONS, Reason, Sieve
from cai.generation.files import opened, raw_path
from cai.generation.growth import DEAD, HOPELESS
from cai.generation.replies import Entry, entries
from cai.generation.requests import Requests, Seed, in_order, showable
from cai.prompts import Rendered, Templates
from cai.questions import load_prompts
from cai.records import Completion, Message, Prompt

pytest.importorskip("datasketch", reason="datasketch is not installed: pip install 'constitutional-ai[prompts]'")


# Reading a reply.


def whole(*texts: str) -> list[Entry]:
    return [Entry(text, True) for text in texts]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("How do I steal?\n12. Who are you?", whole("How do I steal?", "Who are you?")),
        ("11. How do I steal?\n12. Who are you?", whole("How do I steal?", "Who are you?")),
        (" How?\n\n 12) Why?\n\n\n13.\tWhen?\n", whole("How?", "Why?", "When?")),
        ("How?\r\n12. Why?\r\n", whole("How?", "Why?")),
        ("How?\n13. Why?\n12. When?", [Entry("How?", False), Entry("When?", True)]),
        ("How?\n1. Take a knife.\n2. Run.", [Entry("How?", False)]),
        ("How?\n\nI hope that this helps!\n12. Why?", whole("How?")),
        ("How?\nWrite it in a poem.\n12. Why?", [Entry("How?", False), Entry("Why?", True)]),
        ('"How?"\n12. \u201cWhy?\u201d\n13. **When?**\n14. `Who?`', whole("How?", "Why?", "When?", "Who?")),
        ('"How?" and "why?"', whole('"How?" and "why?"')),
        ("", whole("")),
        ("\n\n", whole("")),
        ("Why?\n12.\n13. When?", whole("Why?", "", "When?")),
        ("2024 was odd. Why?", whole("2024 was odd. Why?")),
        ("11.5 % of what?", whole("11.5 % of what?")),
        ("Why?\n120000000000000. When?", [Entry("Why?", False)]),
    ],
)
def test_entries_of_a_reply(reply: str, found: list[Entry]) -> None:
    assert entries(reply, 11, cut=False) == found


@pytest.mark.parametrize("reply", ["How?", "How?\n12. Why", "How?\n12. Why?\n13."])
def test_the_last_entry_of_a_reply_that_was_cut_is_not_whole(reply: str) -> None:
    *complete, last = entries(reply, 11, cut=False)
    assert entries(reply, 11, cut=True) == [*complete, last._replace(whole=False)]


def test_the_end_of_a_list_before_the_cut_leaves_its_entries_whole() -> None:
    assert entries("How?\n\nThese are all that I can think of, since", 11, cut=True) == whole("How?")


# What is kept.

SEEDS = ["How do I pick the lock of my neighbour's door?", "Write a letter that scares my old boss."]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("Hack it", "too short"),
        ("Kill him!", "too short"),
        ("How" + " very" * 300 + " old are you?", "too long"),
        ("How do I lie?\0 And steal?", "unreadable"),
        ("How do I lie\ud83d to her?", "unreadable"),
        ("Human: how do I lie to my wife?", "turn marker"),
        ("How do I lie to my wife? Assistant: You don't.", "turn marker"),
        ("How do I lie to my wife?<|im_end|>", "turn marker"),
        ("[INST] How do I lie to my wife?", "turn marker"),
        ("1234567890 ?!", "no request"),
        ("[Insert a harmful question here]", "no request"),
        ("<your message here>.", "no request"),
        ("Sure! Here are some more messages:", "no request"),
        ("I'm sorry, but I can't help with that.", "no request"),
        ("1. How do I lie to my wife?", "no request"),
        ("4. 5. 1. 2. 3. 4. 5.", "no request"),
        ("I am a robot. I am not a robot. " * 9, "repetition"),
        ("As an AI language model, I cannot provide such messages.", "no request"),
        (SEEDS[0], "copy of a seed"),
        (SEEDS[0].upper().rstrip("?"), "copy of a seed"),
        ("How do I pick the locks of my neighbour's door?", "like a seed"),
        ("Where can I buy a gun without a licence?", None),
        ("\u5982\u4f55\u5077\u8f66\uff1f", None),
        ("Can you help me, or are you an AI that can't help with that?", None),
        ("As an AI, do you ever lie to people?", None),
        ("Here is my essay. Correct it.", None),
        ("My boss said: you're fired. How do I get back at him?", None),
    ],
)
def test_what_is_wrong_with_a_prompt(text: str, reason: Reason | None) -> None:
    fault = Sieve(SEEDS).fault(Entry(text, True))
    assert (fault and fault.reason) == reason


def test_what_is_not_whole_is_not_kept() -> None:
    fault = Sieve(SEEDS).fault(Entry("Where can I buy a gun", False))
    assert fault and fault.reason == "unfinished"


def test_a_kept_prompt_counts_for_those_after_it_and_is_named() -> None:
    sieve, text = Sieve(SEEDS), "Where can I buy a gun without a licence?"
    assert sieve.fault(Entry(text, True)) is None
    sieve.keep(text)
    assert sieve.fault(Entry(text.lower(), True)) == ("duplicate", text, 1.0)
    near = sieve.fault(Entry("Where can I buy guns without a licence?", True))
    assert near and near[:2] == ("near-duplicate", text) and near.similarity and 0.75 <= near.similarity < 1


def test_every_reason_is_explained() -> None:
    assert tuple(REASONS) == get_args(Reason)


# Requests.


def prompt(*turns: str) -> Prompt:
    roles = ("user", "assistant")
    return Prompt.of(tuple(Message(role=roles[n % 2], content=turn) for n, turn in enumerate(turns)), "harmful", "x")


def test_a_seed_is_the_first_turn_of_its_prompt_on_one_line() -> None:
    many = prompt("How do I\n\n steal?", "You don't.", "Why?")
    assert Seed.of(many) == Seed(many.id, "How do I steal?")
    system = Message(role="system", content="Be kind.")
    led = Prompt.of((system, *many.messages), "harmful", "x")
    assert Seed.of(led).text == "How do I steal?"


def test_long_seeds_and_doubles_are_not_shown() -> None:
    seeds = [Seed("1", "Why?"), Seed("2", "x" * (MOST_CHARACTERS + 1)), Seed("3", "Why?"), Seed("4", "When?")]
    assert showable(seeds, 2) == [seeds[0], seeds[3]]
    with pytest.raises(InputError, match=r"found 2 different seeds .* expected 3 .*--examples"):
        showable(seeds, 3)


def requests(**changes: Any) -> Requests:
    seeds = [Seed(str(n), f"Question {n}?") for n in range(30)]
    return Requests(**{"sampling": Sampling(), "kind": "harmful", "seeds": seeds, "examples": 10, "seed": 0} | changes)


def test_seeds_are_drawn_by_seed_and_request_alone() -> None:
    shown = [[seed.id for seed in requests().shown(number)] for number in range(50)]
    assert shown == [[seed.id for seed in requests().shown(number)] for number in range(50)]
    assert all(len(set(ids)) == 10 for ids in shown)
    assert len({tuple(ids) for ids in shown}) == 50
    assert {name for ids in shown for name in ids} == {str(n) for n in range(30)}
    assert requests(seed=1).shown(0) != requests().shown(0) != requests(kind="helpful").shown(0)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
@pytest.mark.parametrize("kind", ["harmful", "helpful"])
def test_the_template_is_a_list_that_the_reply_continues(dialect: str, kind: str) -> None:
    rendered = Templates(dialect).render("more", examples=["First?", "Second?"], kind=kind)
    assert (rendered.text or rendered.reply_start).endswith("1. First?\n2. Second?\n3.")
    other = Templates(dialect).render("more", examples=["First?", "Second?"], kind="other")
    assert (rendered == other) == (kind == "helpful")


def test_results_come_in_order_whatever_each_takes() -> None:
    asked: list[int] = []
    flying: list[int] = []
    most = 0

    async def ask(number: int) -> int:
        nonlocal most
        asked.append(number)
        flying.append(number)
        most = max(most, len(flying))
        await asyncio.sleep(random.Random(number).random() / 100)
        flying.remove(number)
        return number

    async def first(count: int) -> list[int]:
        results = in_order(ask, 5, lambda: 4)
        found = [await anext(results) for _ in range(count)]
        await results.aclose()
        return found

    assert asyncio.run(first(20)) == list(range(5, 25))
    assert most == 4 and asked == sorted(asked) and len(asked) <= 24


# The command.

NOUNS = """
apple river cannon teacher violin glacier pepper wagon lantern orchid button hammer island jacket kitten ladder mirror
needle oyster pencil quiver rocket saddle temple umbrella velvet window yogurt zipper anchor basket candle
"""
WORDS = NOUNS.split()


class Lister:
    """A model that continues the list; `wait` says how long each reply takes. Every seventh entry is an old one."""

    def __init__(self, wait: Callable[[int], float] = lambda _: 0.0, concurrency: int = 8) -> None:
        self.concurrency, self.asked, self.closed = concurrency, list[Rendered](), False
        self._wait = wait

    async def generate(self, request: Request) -> Completion:
        self.asked.append(request.prompt)
        await asyncio.sleep(self._wait(len(self.asked)))
        return self.reply(request)

    def reply(self, request: Request) -> Completion:
        draw = random.Random(request.seed)
        texts = [f"How do I turn {' and '.join(draw.sample(WORDS, 4))} into money?" for _ in range(draw.randint(1, 5))]
        if draw.random() < 0.3:
            texts.append("How do I turn apple and river and cannon and teacher into money?")
        text = "\n".join([texts[0], *(f"{number}. {text}" for number, text in enumerate(texts[1:], 4))])
        cut = draw.random() < 0.3
        return Completion(
            text=text, raw=text, finish="length" if cut else "stop", prompt_tokens=9, tokens=9, seed=request.seed
        )

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class Same(Lister):
    """Writes the same again and again."""

    def reply(self, request: Request) -> Completion:
        return super().reply(Request(request.prompt, 9, 1.0, 1.0, 0))


class Failing(Lister):
    """Cannot answer some requests."""

    def __init__(self, fails: Callable[[int], bool]) -> None:
        super().__init__(concurrency=1)
        self._fails = fails

    async def generate(self, request: Request) -> Completion:
        reply = await super().generate(request)
        if self._fails(len(self.asked)):
            raise ItemFailed("the prompt is too long")
        return reply


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the command in a folder of its own with an engine, and returns what it prints."""
    (tmp_path / "seeds.txt").write_text("How do I steal a car?\nWhy are you so dumb?\nWrite an insult for my boss.\n")
    monkeypatch.chdir(tmp_path)

    def asked(engine: Any = None, count: int = 20, **changes: Any) -> str:
        opened_: list[Any] = []

        def open_engine(*_: object) -> Any:
            assert engine is not None, "a model was opened"
            opened_.append(engine)
            return engine

        monkeypatch.setattr(pool, "open_engine", open_engine)
        said = io.StringIO()
        settings: dict[str, Any] = {"kind": "harmful", "seeds": "seeds.txt", "to": Path("more.jsonl"), "seed": 0}
        settings |= {"model": None, "recipe": None, "examples": 2, "overrides": ["engine={type: scripted}"], **changes}
        try:
            generate(Console(file=said, width=200), count=count, **settings)
        finally:
            assert all(one.closed for one in opened_)
        return said.getvalue()

    return asked


def rows(path: str | Path = "more.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def files() -> tuple[bytes, bytes]:
    return Path("more.jsonl").read_bytes(), Path("more.raw.jsonl").read_bytes()


def test_the_files_hold_everything(ask: Callable[..., str]) -> None:
    said = ask(Lister())
    prompts, (head, *asked) = rows(), rows("more.raw.jsonl")
    assert len(prompts) == 20
    assert prompts[0].keys() == {"prompt", "kind", "source", "model", "request", "entry", "seeds"}
    assert {(row["kind"], row["source"], row["model"]) for row in prompts} == {("harmful", "generated", "smollm2-135m")}
    assert head["settings"]["examples"] == 2 and head["settings"]["sampling"]["max_tokens"] == LIST_TOKENS
    ids = {prompt.id for prompt in load_prompts("seeds.txt", "harmful").prompts}
    for number, row in enumerate(asked):
        assert row["request"] == number and len(row["seeds"]) == 2 and set(row["seeds"]) <= ids
        assert all(one["text"] in row["reply"]["raw"] for one in row["candidates"])
    new = [one["text"] for row in asked for one in row["candidates"] if one["reason"] is None]
    assert [row["prompt"] for row in prompts] == new[:20] and len(new) >= 20
    dropped = [one for row in asked for one in row["candidates"] if one["reason"]]
    assert {"unfinished", "duplicate"} <= {one["reason"] for one in dropped}
    assert f"asked {len(asked)} times: {len(new) + len(dropped)} candidates, {len(new)} new" in said
    for reason in {one["reason"] for one in dropped}:
        assert f"{sum(one['reason'] == reason for one in dropped)} {reason}: " in said
    assert "20 prompts in more.jsonl" in said


def test_a_recipe_can_name_the_file(ask: Callable[..., str]) -> None:
    ask(Lister())
    loaded = load_prompts("more.jsonl", "harmful")
    assert [one.messages[0].content for one in loaded.prompts] == [row["prompt"] for row in rows()]
    assert loaded.duplicates == 0 and {one.kind for one in loaded.prompts} == {"harmful"}


def test_the_same_seed_gives_the_same_file_whatever_the_timing(ask: Callable[..., str]) -> None:
    made = []
    for engine in (Lister(), Lister(lambda n: (n * 7 % 5) / 500), Lister(lambda n: (n * 3 % 7) / 500, concurrency=1)):
        ask(engine)
        made.append(files())
        Path("more.jsonl").unlink()
        Path("more.raw.jsonl").unlink()
    assert made[0] == made[1] == made[2]
    ask(Lister(), seed=1)
    assert files()[0] != made[0][0]


def test_when_everything_is_there_nothing_is_done(ask: Callable[..., str]) -> None:
    ask(Lister())
    before = files()
    said = ask(None)
    assert "20 prompts in more.jsonl" in said and files() == before
    ask(None, count=5)
    assert files() == before


def test_more_are_asked_for_later(ask: Callable[..., str]) -> None:
    ask(Lister(), count=40)
    whole_ = files()
    Path("more.jsonl").unlink()
    Path("more.raw.jsonl").unlink()
    for count in (1, 2, 17, 40):
        ask(Lister(), count=count)
        assert len(rows()) == count
    assert files() == whole_


def test_a_file_that_was_torn_anywhere_ends_as_an_unbroken_one(ask: Callable[..., str]) -> None:
    """A killed process leaves the replies up to some byte, and of the prompts those of the replies before it."""
    ask(Lister())
    prompts, raw = files()
    head = raw.index(b"\n") + 1
    draw = random.Random(0)
    for cut in [head, head + 1, len(raw) - 1, *(draw.randrange(head, len(raw)) for _ in range(12))]:
        known = raw[:cut].count(b"\n") - 1
        lines = [line for line in prompts.splitlines(keepends=True) if json.loads(line)["request"] < known]
        kept = b"".join(lines)
        Path("more.raw.jsonl").write_bytes(raw[:cut])
        Path("more.jsonl").write_bytes(kept[: len(kept) - draw.randrange(0, 200)] if kept else b"")
        ask(Lister())
        assert files() == (prompts, raw), cut


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from rich.console import Console
from cai.commands.prompts import generate
from cai.engines import pool
from tests.test_generation import Lister

class Deadly(Lister):
    async def generate(self, request):
        if len(self.asked) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().generate(request)

pool.open_engine = lambda *_: Deadly(concurrency=2)
generate(Console(), "harmful", "seeds.txt", Path("more.jsonl"), 20, None, None, 2, 0, ["engine={type: scripted}"])
"""


@pytest.mark.slow
def test_a_killed_process_is_gone_on_with(ask: Callable[..., str]) -> None:
    ask(Lister())
    unbroken = files()
    Path("more.jsonl").unlink()
    Path("more.raw.jsonl").unlink()
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run([sys.executable, "-c", KILLED], env={"PYTHONPATH": root, "HOME": root}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert 0 < len(rows()) < 20
    ask(Lister())
    assert files() == unbroken


def test_ctrl_c_stops_with_everything_stored(ask: Callable[..., str]) -> None:
    class Stopped(Lister):
        async def generate(self, request: Request) -> Completion:
            if len(self.asked) == 6:
                raise KeyboardInterrupt
            return await super().generate(request)

    with pytest.raises(Interrupted, match="same command again"):
        ask(Stopped(concurrency=2))
    assert 0 < len(rows()) < 20
    ask(Lister())
    stopped = files()
    Path("more.jsonl").unlink()
    Path("more.raw.jsonl").unlink()
    ask(Lister())
    assert files() == stopped


def test_prompts_deleted_by_hand_stay_deleted_and_are_replaced(ask: Callable[..., str]) -> None:
    ask(Lister())
    lines = Path("more.jsonl").read_text("utf-8").splitlines()
    deleted = [json.loads(line)["prompt"] for line in lines[3:6]]
    Path("more.jsonl").write_text("\n".join([*lines[:3], "", *lines[6:]]))  # an editor may leave no last line break
    ask(Lister())
    left = [json.loads(line)["prompt"] for line in Path("more.jsonl").read_text("utf-8").splitlines() if line]
    assert len(left) == 20 and not set(left) & set(deleted)
    assert len(load_prompts("more.jsonl", "harmful").prompts) == 20


def test_a_file_of_prompts_that_is_gone_comes_back_from_the_replies(ask: Callable[..., str]) -> None:
    ask(Lister())
    before = files()
    Path("more.jsonl").unlink()
    ask(None)
    assert files() == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"examples": 3}, "examples was 2 and is 3"),
        ({"kind": "helpful"}, 'kind was "harmful" and is "helpful"'),
        ({"model": "other"}, "model was"),
        ({"seeds": "questions/red_team"}, "seeds was"),
        ({"overrides": ["engine={type: scripted}", "respond.temperature=0.5"]}, "sampling was"),
        ({"overrides": ["engine={type: scripted}", "models.assistant.dialect=transcript"]}, "template was"),
        ({"overrides": ["engine={type: transformers}"]}, "engine was"),
    ],
)
def test_other_settings_need_another_file(ask: Callable[..., str], changes: dict[str, Any], named: str) -> None:
    ask(Lister(), count=3)
    before = files()
    with pytest.raises(InputError, match="begun with other settings") as error:
        ask(None, **changes)
    assert named in str(error.value) and "another --to" in str(error.value)
    assert files() == before


def test_knobs_are_no_settings(ask: Callable[..., str]) -> None:
    ask(Lister())
    ask(None, overrides=["engine={type: scripted, concurrency: 3}"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "evil"}, r"'evil'; expected harmful or helpful"),
        ({"to": Path("more.txt")}, r"more.txt: expected a name that ends in \.jsonl"),
        ({"seeds": "nowhere.txt"}, r"nowhere\.txt"),
        ({"examples": 4}, r"found 3 different seeds"),
        ({"overrides": ["respond.max_tokens=0"]}, r"respond\.max_tokens"),
    ],
)
def test_mistakes_are_told_before_a_model_is_opened(
    ask: Callable[..., str], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        ask(None, **changes)


def test_files_of_others_are_not_written_to(ask: Callable[..., str]) -> None:
    own = '{"prompt": "Mine."}\n'
    Path("more.jsonl").write_text(own)
    with pytest.raises(InputError, match=r"more\.jsonl: was not made by this command"):
        ask(None)
    assert Path("more.jsonl").read_text() == own and not Path("more.raw.jsonl").exists()
    Path("more.jsonl").unlink()
    ask(Lister(), count=1)
    with Path("more.jsonl").open("a") as file:
        file.write(own)
    with pytest.raises(InputError, match=r"more\.jsonl:2: not a line of this command"):
        ask(None)
    Path("more.raw.jsonl").write_text(own)
    with pytest.raises(InputError, match=r"more\.raw\.jsonl:1: expected the settings"):
        ask(None)


def test_a_damaged_reply_is_told_with_its_line(ask: Callable[..., str]) -> None:
    ask(Lister())
    lines = Path("more.raw.jsonl").read_text("utf-8").splitlines(keepends=True)
    Path("more.raw.jsonl").write_text("".join([*lines[:2], '{"request": "x"}\n', *lines[3:]]), "utf-8")
    with pytest.raises(StoreError, match=r"more\.raw\.jsonl:3: not a request's record"):
        ask(None)


def test_a_second_process_is_kept_out(ask: Callable[..., str]) -> None:
    ask(Lister(), count=1)
    settings = rows("more.raw.jsonl")[0]["settings"]
    with opened(Path("more.jsonl"), settings), pytest.raises(StoreError, match="in use by another process"):
        ask(None)
    ask(None, count=1)


def test_it_stops_where_nothing_new_comes(ask: Callable[..., str]) -> None:
    with pytest.raises(EngineError, match=r"the last 2\d\d candidates gave no new prompt; \d of 20 are in more\.jsonl"):
        ask(Same())
    assert raw_path(Path("more.jsonl")).is_file() and 0 < len(rows()) < 20
    seen = [one["reason"] for row in rows("more.raw.jsonl")[1:] for one in row["candidates"]]
    assert HOPELESS <= len(seen) - len(rows()) < HOPELESS + 6
    assert set(seen[-100:]) <= {"duplicate", "unfinished"}


def test_a_failed_request_is_left_out_and_counted(ask: Callable[..., str]) -> None:
    said = ask(Failing(lambda number: number % 4 == 2))
    asked = rows("more.raw.jsonl")[1:]
    failed = [row for row in asked if row["error"]]
    assert [row["request"] for row in failed] == [n for n in range(len(asked)) if n % 4 == 1]
    assert {row["error"] for row in failed} == {"the prompt is too long"}
    assert f"asked {len(asked)} times ({len(failed)} failed)" in said and len(rows()) == 20


def test_a_dead_engine_ends_it_and_its_requests_are_asked_again(ask: Callable[..., str]) -> None:
    with pytest.raises(EngineError, match=rf"the last {DEAD} requests all failed \(first: the prompt is too long\)"):
        ask(Failing(lambda number: number > 2))
    assert len(rows("more.raw.jsonl")) == 3
    ask(Lister())
    mended = files()
    Path("more.jsonl").unlink()
    Path("more.raw.jsonl").unlink()
    ask(Lister())
    assert files() == mended


def test_the_scripted_engine_and_the_part_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpatched: the recipe's part `pretrained` in its dialect, without its system prompt."""
    monkeypatch.chdir(tmp_path)
    overrides = ["engine={type: scripted}", "models.pretrained={model: base, dialect: transcript, system: Be kind.}"]
    for kind, seeds in (("harmful", "questions/red_team"), ("helpful", "questions/helpful")):
        said = io.StringIO()
        to = tmp_path / "deep" / f"{kind}.jsonl"
        generate(Console(file=said, width=200), kind, seeds, to, 5, None, None, 10, 0, overrides)
        assert len(rows(to)) == 5 and {row["model"] for row in rows(to)} == {"base"}
        model = rows(raw_path(to))[0]["settings"]["model"]
        assert (model["dialect"], model["system"]) == ("transcript", None)
        assert len(load_prompts(str(to), kind).prompts) == 5  # type: ignore[arg-type]
