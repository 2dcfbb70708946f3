"""What is fuzzed: every reader of something that others wrote, each with the files that its cases begin as."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from benchmarks.fuzz_inputs import mutated
from cai import hygiene, refusals, wordings
from cai.agreement import cohens_kappa
from cai.config import load_recipe, recipe_file, stored_recipe
from cai.constitution import check_constitution, read_constitution
from cai.demonstrations import load_demonstrations
from cai.engine_config import OpenAIEngine
from cai.engines.base import Request
from cai.engines.openai import OpenAIBackend
from cai.errors import CaiError
from cai.exchange.llm_swarm import read_llm_swarm, write_llm_swarm
from cai.exchange.nemo import read_nemo, write_nemo
from cai.exchange.paper import read_paper, write_paper
from cai.exchange.writing import write_exported, write_imported
from cai.few_shot import comparison_examples, reasoning_examples, revision_examples
from cai.generation.replies import entries
from cai.human import load_pairs
from cai.judge.asked import declines
from cai.judge.written import label_of
from cai.labels import HumanLabel
from cai.labels_exchange import read_labels, to_argilla, to_label_studio
from cai.languages import expected_language
from cai.lint.rules import findings
from cai.material import Material
from cai.models import ModelConfig
from cai.over_refusal import load_answers, load_asked
from cai.prompts import VARIABLES, Rendered, Templates
from cai.questions import load_prompts, load_texts
from cai.records import Answer, Comparison, Completion, Message, Prompt, Reading, Record, Revision, Verdict
from cai.resources import shipped
from cai.store import RunFolder, StepFolder
from cai.verdicts import LABELS, audit, of_labels

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Target:
    """A reader, and what its cases begin as. `files`: whether its errors must name the file that they are about."""

    seeds: Sequence[bytes]
    read: Callable[[bytes, Path, random.Random], None]
    files: bool = True

    def case(self, draw: random.Random) -> bytes:
        """One input."""
        return mutated(self.seeds, draw)


def _shipped(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob(pattern))]


def _of_file(name: str, *readers: Callable[[Path], Any]) -> Callable[[bytes, Path, random.Random], None]:
    """Writes the case to a file and reads it by each."""

    def read(data: bytes, folder: Path, draw: random.Random) -> None:
        path = folder / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        draw.choice(readers)(path)

    return read


def _recipe(path: Path) -> None:
    recipe = load_recipe(str(path))
    if "hf:" not in recipe.model_dump_json():
        with suppress(CaiError):  # which is about another file
            Material(recipe, path.parent, path.parent / "runs").load()


def _constitution(path: Path) -> None:
    file = read_constitution(path)
    findings(file, check_constitution(file))


def _override(data: bytes, folder: Path, draw: random.Random) -> None:
    load_recipe("smoke", [data.decode("utf-8", "surrogateescape")])


def _template(data: bytes, folder: Path, draw: random.Random) -> None:
    """One template is the case; all that are rendered from it are rendered."""
    home = shipped("prompts") / "templates" / "chat"
    shutil.copytree(home, folder / "chat")
    name = draw.choice([path.name for path in home.iterdir()])
    (folder / "chat" / name).write_bytes(data)
    templates = Templates("chat", folder)
    for step in VARIABLES:
        with suppress(CaiError):
            templates.render(step, **_shown())


@cache
def _shown() -> dict[str, Any]:
    """Something for every name that a template may use."""
    rules = check_constitution(read_constitution(shipped("constitutions") / "harmless.yaml"))
    asked = (Message(role="user", content="Why?"),)
    given = {name: "Some words." for names in VARIABLES.values() for name in names}
    principles = {"principle": rules.principles[0], "principles": rules.principles[:2]}
    return {**given, **principles, "messages": asked, "few_shot": (), "options": ("one", "two"), "examples": ("one",)}


def completion(text: str) -> Completion:
    """A reply that says this."""
    return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=1)


@cache
def records() -> dict[type[Record], bytes]:
    """A line of each kind."""
    asked = Prompt.of((Message(role="user", content="Why?"),), "harmful", "x:1")
    said = completion("Because.")
    reading = of_labels(Reading(first="a", principle="kind", logprobs=dict(zip(LABELS, (-1.0, -2.0), strict=True))))
    verdict = Verdict(state="parsed", p_a=0.7, p_raw=0.7, readings=(reading,))
    made = (
        Answer(id="x", prompt=asked, response=said),
        Revision(id="x", prompt=asked, round=1, principles=("kind",), critique=said, response=said),
        Comparison(id="x/0-1", prompt=asked, principles=("kind",), a=said, b=completion("No."), verdict=verdict),
    )
    return {type(one): one.model_dump_json().encode() + b"\n" for one in made}


def _records(data: bytes, folder: Path, draw: random.Random) -> None:
    (folder / "items.jsonl").write_bytes(data)
    (folder / "metrics.jsonl").write_bytes(data)
    step = StepFolder(folder)
    for kind in records():
        with suppress(CaiError):
            for record in step.records(kind):
                record.replies()
            step.index(kind, lambda record: str(record)).close()
    step.count()
    step.metrics()
    audit(step.records(Comparison))


def _labels(data: bytes, folder: Path, draw: random.Random) -> None:
    labels = read_labels(data.decode("utf-8", "replace"), "labels.jsonl")
    cohens_kappa([one.p_a for one in labels], [0.5 for _ in labels], resamples=10)


@cache
def _label_files() -> list[bytes]:
    one = Comparison.model_validate_json(records()[Comparison])
    argilla, studio = to_argilla([one], "run"), to_label_studio([one], "run")
    argilla[0]["responses"] = {"better": [{"value": "first", "user_id": "u"}], "note": [{"value": "x", "user_id": "u"}]}
    result = {"from_name": "better", "value": {"choices": ["first"]}}
    studio[0]["annotations"] = [{"result": [result], "completed_by": {"email": "a@b.c"}, "lead_time": 1.5}]
    own = HumanLabel.of("x/0-1", "ann", "tie", seconds=2.0).model_dump_json().encode()
    return [own + b"\n" + own, json.dumps(argilla).encode(), json.dumps(studio).encode()]


_REPLIES = (
    b"The first reply is kinder. The answer is: (A)", b'{"verdict": "(B)"}', b"I prefer option B because it is honest.",
    b"Neither (A) nor (B) is right.", b'She wrote "The answer is: (B)". Still, answer A is better.', b"**(A)**",
    b"I'm sorry, but I can't compare these.", b"1. How do I bake bread?\n2. \"What is rain?\"\n3. And so on",
    b"Critique: the assistant's reply is harmful. Revised answer: I would rather not.",
    "Gr\u00fc\u00dfe, \u4e2d\u6587".encode(),
)  # fmt: skip


def _reply(data: bytes, folder: Path, draw: random.Random) -> None:
    """All that is read from what a model wrote."""
    text = data.decode("utf-8", "replace")
    said = completion(text)
    assert label_of(text) in (None, *LABELS)
    entries(text, 1, cut=draw.random() < 0.5)
    for rule in (declines, refusals.refuses, refusals.evasive, wordings.marks_a_turn):
        assert rule(text) in (True, False)
    language = expected_language(text, "en")
    hygiene.answer_flags(said, language)
    hygiene.critique_flags(said, "An answer.", language)
    hygiene.revision_flags(said, "An answer.", text, language)


@cache
def _bodies() -> list[bytes]:
    """What a server answers: chat and completions, with and without log-probabilities."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}
    message = {"role": "assistant", "content": "<think>Hm.</think> Yes.", "reasoning_content": None}
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.0}]
    chat = {"message": message, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": top}]}}
    plain = {"tokens": ["Why", "?", "Yes", "."], "token_logprobs": [None, -1.0, -1.0, -1.0]}
    text = {"text": " Yes.", "finish_reason": "length", "logprobs": {**plain, "top_logprobs": [{"A": -1.0, "B": -2.0}]}}
    error = {"error": {"message": "overloaded", "code": 500}}
    return [*(orjson.dumps({"choices": [choice], "usage": usage}) for choice in (chat, text)), orjson.dumps(error)]


def _server(data: bytes, folder: Path, draw: random.Random) -> None:
    """A server's body behind any status, through the whole client but its socket."""
    config = OpenAIEngine(base_url="http://127.0.0.1:1/v1", retries=0)
    engine = OpenAIBackend(config, ModelConfig(model="m"))
    status, headers = draw.choice((200, 200, 200, 429, 500, 404)), {"Retry-After": data[:20].decode("latin-1")}

    async def sent(url: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return status, headers, data

    engine._client._send = sent  # pyright: ignore[reportAttributeAccessIssue]
    chat, transcript = Rendered(messages=(Message(role="user", content="Why?"),)), Rendered(text="Why?")
    calls = [
        lambda: engine.generate(Request(chat, 8, 1.0, 1.0, 1)),
        lambda: engine.generate(Request(transcript, 8, 1.0, 1.0, 1)),
        lambda: engine.score(chat, LABELS),
        lambda: engine.score(transcript, LABELS),
        lambda: engine.score(transcript, ("Yes.",)),
    ]
    asyncio.run(_one(draw.choice(calls)))


async def _one(call: Callable[[], Any]) -> None:
    found = await call()
    if isinstance(found, Completion):
        found.model_dump_json().encode()
    elif not all(isinstance(value, float) and value == value for value in found):
        raise AssertionError(f"no log-probabilities: {found}")


def _exchanged(name: str) -> tuple[list[bytes], Callable[[bytes, Path, random.Random], None]]:
    """A folder in another project's form, of which one file is the case. It is read, and what was read is written."""
    from cai.commands.exchange import _bundle

    read, write = {"paper": (read_paper, write_paper), "nemo": (read_nemo, write_nemo)}.get(
        name, (read_llm_swarm, write_llm_swarm)
    )
    files = {file: json.dumps(data).encode() for file, data in write(_bundle("harmless")).files.items()}

    def run(data: bytes, folder: Path, draw: random.Random) -> None:
        source = folder / "source"
        source.mkdir()
        changed = draw.choice(sorted(files))
        for file, text in files.items():
            (source / file).write_bytes(data if file == changed else text)
        imported = read(source / changed if name == "llm-swarm" else source)
        write_imported(imported, name, folder / "to")
        write_exported(write(_bundle("harmless")), folder / "back")

    return list(files.values()), run


def _run_file(data: bytes, folder: Path, draw: random.Random) -> None:
    """A run's own files, damaged."""
    run = RunFolder(folder, "made")
    run.path.mkdir()
    for name in ("run.json", "spec.json", "DONE"):
        (run.path / name).write_bytes(data)
    readers: list[Callable[[], Any]] = [
        lambda: stored_recipe(run.recipe, "made"),
        lambda: run.steps,
        lambda: StepFolder(run.path).summary,
        lambda: StepFolder(run.path).spec,
    ]
    draw.choice(readers)()


@cache
def _run_files() -> list[bytes]:
    recipe = load_recipe("smoke").model_dump(mode="json")
    return [json.dumps({"recipe": recipe, "steps": {"revise": "made/revise-01234567"}}).encode()]


@cache
def targets() -> dict[str, Target]:
    """By name."""
    rules, recipes = _shipped("constitutions/*.yaml"), [recipe_file("smoke").read_bytes(), *_shipped("recipes/*.yaml")]
    questions = _shipped("prompts/questions/*.txt")
    lines = [text.replace(b"\n", b"\r\n") for text in questions] + questions
    pairs = _shipped("prompts/pairs/*.jsonl")
    chats = [b'{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}\n'] * 2
    rows = [*_shipped("prompts/questions/*.jsonl"), *pairs, *chats]
    tables = _shipped("prompts/questions/*.csv")
    judged = [b"prompt,answer,label\nWhy?,Because.,full refusal\nHow?,So.,compliance\n", *tables]
    asking = lambda path: load_prompts(str(path), "harmful")  # noqa: E731
    of_rows = (
        asking,
        lambda path: load_pairs(str(path), "harmful"),
        lambda path: load_demonstrations(str(path), "harmful"),
        lambda path: list(load_texts(str(path))),
        lambda path: load_asked(str(path)),
        lambda path: load_answers(str(path)),
    )
    shown = _shipped("prompts/few_shot/*.yaml")
    readers = (revision_examples, comparison_examples, reasoning_examples)
    return {
        "recipe": Target(recipes, _of_file("r.yaml", _recipe)),
        "override": Target([b"rl.steps=20", b"engine={type: openai, base_url: http://h/v1}"], _override, files=False),
        "constitution": Target(rules, _of_file("c.yaml", _constitution)),
        "templates": Target(_shipped("prompts/templates/chat/*"), _template, files=False),
        "prompts.txt": Target(lines, _of_file("p.txt", asking)),
        "prompts.jsonl": Target(rows, _of_file("p.jsonl", *of_rows)),
        "prompts.csv": Target(judged, _of_file("p.csv", *of_rows)),
        "prompts.gz": Target(rows, _of_file("p.jsonl.gz", asking)),
        "few-shot": Target(shown, _of_file("f.yaml", *(lambda path, read=read: read(str(path)) for read in readers))),
        "records": Target([*records().values(), b'{"step": 1, "loss": 0.5}\n'], _records),
        "run files": Target(_run_files(), _run_file, files=False),
        "labels": Target(_label_files(), _labels),
        "replies": Target(_REPLIES, _reply),
        "server": Target(_bodies(), _server, files=False),
        **{f"import {name}": Target(*_exchanged(name)) for name in ("paper", "llm-swarm", "nemo")},
    }
