"""The command line: what each command prints, what it says of a mistake, and with which exit code it ends."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from cai import __version__, cli
from cai.commands.runs import run_recipe
from cai.config import load_recipe
from cai.engine_config import EngineConfig
from cai.engines.base import Request
from cai.models import ModelConfig
from cai.plan import STAGES
from cai.records import Completion
from cai.resources import shipped
from cai.store import RunFolder
from cai.weights import resolve
from cai.yamlfile import read_yaml

SMOKE = [stage for stage in STAGES if load_recipe("smoke").runs(stage)]
COMMANDS = (
    "chat",
    "config",
    "diff",
    "evaluate",
    "export",
    "import",
    "init",
    "judge",
    "labels",
    "lint",
    "plan",
    "prompts",
    "report",
    "run",
    "score",
    "show",
    "test",
    "try",
    "verify",
    "version",
    "view",
)
SHIPPED = [(kind, path) for kind in ("recipe", "constitution") for path in sorted(shipped(f"{kind}s").glob("*.yaml"))]

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

absent, *arguments = sys.argv[1:]

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent.split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["cai", *arguments]
from cai.cli import main
main()
"""
"""The command line where some packages are not installed."""

MISTAKES = """\
name: mine
principles:
  - id: a
    critique: Say what is wrong.
    weigth: 2
  - id: b
    comparison: Which one?
    weight: -1
  - id: c
    comparison: Which one?
"""
CLASHES = """\
name: mine
principles:
  - id: a
    comparison: Which one?
  - id: a
    comparison: Which one?
  - id: b
    critique: Say what is wrong.
  - id: c
"""


@dataclass(frozen=True)
class Result:
    """What a command left."""

    code: int
    out: str
    err: str


Cai = Callable[..., Result]


@pytest.fixture
def cai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cai:
    """Runs the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "console", Console(width=160))

    def call(*arguments: str, typed: str = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["cai", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, printed.out, printed.err)

    return call


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder after `cai run smoke --until revise`."""
    runs = tmp_path_factory.mktemp("two_stages")
    run_recipe(Console(file=io.StringIO()), "smoke", [], runs, "revise")
    return runs


@pytest.fixture
def scripted(cai: Cai, two_stages: Path, tmp_path: Path) -> Cai:
    """As `cai`, in a folder that has run the first two stages of `smoke`."""
    shutil.copytree(two_stages, tmp_path / "runs")
    return cai


def refused(result: Result, code: int) -> str:
    """The message of a command that failed as it should: on stderr, with nothing on stdout and no traceback."""
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    return result.err.removeprefix("error: ").rstrip("\n")


def in_a_process(folder: Path, *command: str, typed: str = "", **environment: str) -> Result:
    surroundings = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=surroundings,
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Result(done.returncode, done.stdout, done.stderr)


# Help and version.


def test_the_help_lists_every_command(cai: Cai) -> None:
    result = cai("--help")
    listed = re.findall(r"^  ([a-z]+)  +\S", result.out.split("Commands:")[1], flags=re.M)
    assert (result.code, sorted(listed)) == (0, sorted(COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cai: Cai, command: str) -> None:
    result = cai(command, "--help")
    assert result.code == 0
    assert f"Usage: cai {command}" in result.out
    assert len(result.out.splitlines()[2].split()) >= 3


def test_the_version_is_printed_alone(cai: Cai) -> None:
    assert cai("version") == Result(0, f"{__version__}\n", "")


def test_the_module_is_the_command(tmp_path: Path) -> None:
    assert in_a_process(tmp_path, "-m", "cai", "version") == Result(0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("run",), ("diff", "a"), ("chat", "x", "--max-tokens", "many")]
)
def test_wrong_usage_is_told_with_exit_code_2(cai: Cai, arguments: tuple[str, ...]) -> None:
    result = cai(*arguments)
    assert result.code == 2
    assert "Usage: cai" in result.out + result.err


# Constitutions.


def test_lint_says_what_a_good_constitution_holds(cai: Cai) -> None:
    result = cai("lint", "harmless")
    assert result.code == 0
    assert result.out == ("harmless: 20 principles, 16 for critique and revision, 16 for comparison: no mistakes\n")


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            MISTAKES,
            [
                "mine.yaml:5: principles.0.weigth: unknown key; did you mean 'weight'?",
                "mine.yaml:8: principles.1.weight: input should be greater than 0 (found -1)",
            ],
        ),
        (
            CLASHES,
            [
                "mine.yaml:5: principles.1.id: the id 'a' is taken on line 3; give each principle its own",
                "mine.yaml:7: principles.2.revision: 'b' has a 'critique' and no 'revision'; give both",
                "mine.yaml:9: principles.3: 'c' serves no stage; give critique and revision, or comparison",
            ],
        ),
    ],
)
def test_lint_tells_every_mistake_with_its_line(cai: Cai, tmp_path: Path, text: str, mistakes: list[str]) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    told = refused(cai("lint", "mine.yaml"), 2).splitlines()
    assert told == mistakes


def test_lint_exits_with_1_for_warnings_where_it_is_strict(cai: Cai, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nprinciples: [{id: a, comparison: The kinder answer.}]\n")
    result = cai("lint", "mine.yaml")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0].startswith("mine.yaml:2: warning: principles: none has 'critique'")
    assert cai("lint", "mine.yaml", "--strict").code == 1
    assert cai("lint", "harmless", "--strict").code == 0


@pytest.mark.parametrize(("text", "code"), [(MISTAKES, 2), ("name: x\nprinciples: [{id: a, comparison: Kind.}]\n", 0)])
def test_lint_prints_json_and_nothing_else(cai: Cai, tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    result = cai("lint", "mine.yaml", "--json")
    assert (result.code, result.err) == (code, "")
    assert bool(json.loads(result.out)["mistakes"]) == (code == 2)


def test_init_writes_what_lint_and_plan_can_read(cai: Cai) -> None:
    assert cai("init", "mine").out.endswith("  cai run mine-recipe.yaml\n")
    assert cai("lint", "mine.yaml", "--strict").code == 0
    assert cai("plan", "mine-recipe.yaml").code == 0
    assert "mine.yaml is there already" in refused(cai("init", "mine"), 2)


def test_a_long_message_is_not_folded(cai: Cai, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 50)
    folder.mkdir()
    (folder / "mine.yaml").write_text(MISTAKES)
    assert len(refused(cai("lint", str(folder / "mine.yaml")), 2).splitlines()) == 2


def test_a_message_is_not_read_as_markup(cai: Cai) -> None:
    assert "no file '[red]a[/red]'" in refused(cai("lint", "[red]a[/red]"), 2)


# Settings.


def test_config_prints_every_setting(cai: Cai) -> None:
    result = cai("config")
    assert result.code == 0
    for name in ("learning_rate", "few_shot_file", "helpful_share", "orders", "bootstrap", "concurrency"):
        assert re.search(rf"^ *{name}: ", result.out, flags=re.M)


def test_config_lists_the_models(cai: Cai) -> None:
    lines = cai("config", "--models").out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["smollm2-135m", "tiny-random"]
    assert all(re.search(r"[\d,]+ parameters$", line) for line in lines)


@pytest.mark.parametrize("kind", ["recipe", "constitution"])
def test_a_printed_schema_takes_what_ships_and_no_typo(cai: Cai, kind: str) -> None:
    schema = json.loads(cai("config", "--schema", kind).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name, path in SHIPPED:
        data = read_yaml(path).data
        assert validator.is_valid(data) == (name == kind)
        assert not validator.is_valid({**data, "descripton": "a typo"})


def test_an_unknown_schema_lists_those_there_are(cai: Cai) -> None:
    assert refused(cai("config", "--schema", "nope"), 2) == "no schema 'nope'; expected one of recipe, constitution"


# Mistakes in a recipe: told before anything is written.


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("quikstart",), "did you mean 'quickstart'? shipped: ablation, direct-rlaif, dpo"),
        (("smoke", "rl.stepz=3"), "override 'rl.stepz=3': rl.stepz: unknown key; did you mean 'steps'?"),
        (("smoke", "rl.steps=many"), "override 'rl.steps=many': rl.steps: input should be a valid integer"),
        (("smoke", "rl.steps"), "override 'rl.steps': expected key=value, such as rl.steps=20"),
        (("smoke", "engine.type=vlm"), "override 'engine.type=vlm': engine.type: expected one of 'auto', 'vllm'"),
        (("smoke", "prompts.harmful=empty.txt"), "empty.txt: holds no prompts; expected one a line or row"),
        (("smoke", "constitution=clashes.yaml"), "clashes.yaml:5: principles.1.id: the id 'a' is taken on line 3"),
        (("smoke", "revise.few_shot=99"), "few_shot: 99 examples asked for, few_shot/critique_revision holds 5"),
        (("broken.yaml",), "broken.yaml:3: not valid YAML"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(
    cai: Cai, tmp_path: Path, command: str, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "clashes.yaml").write_text(CLASHES)
    (tmp_path / "broken.yaml").write_text("name: a\nmodels: [\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert told in refused(cai(command, *arguments), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_stage_to_stop_after_must_be_one(cai: Cai, tmp_path: Path) -> None:
    told = refused(cai("run", "smoke", "--until", "nonsense"), 2)
    assert told == f"no stage 'nonsense'; expected one of {', '.join(STAGES)}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_runs_folder_that_is_a_file(cai: Cai, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    result = cai(command, "smoke", "--runs", "file")
    if command == "plan":
        assert result.code == 0
    else:
        assert "file/smoke: cannot be written" in refused(result, 4)


# Running.


def test_a_run_is_told_in_plain_lines_where_there_is_no_terminal(cai: Cai, tmp_path: Path) -> None:
    result = cai("run", "smoke", "--until", "revise")
    assert result.code == 0
    assert re.findall(r"^(respond|revise): 8/8 items, [\d,]+ tokens/s$", result.out, flags=re.M) == [
        "respond",
        "revise",
    ]
    assert "\x1b" not in result.out
    assert "\r" not in result.out
    assert (tmp_path / "runs" / "smoke" / "run.json").is_file()


def test_a_second_run_does_nothing_again(scripted: Cai) -> None:
    result = scripted("run", "smoke", "--until", "revise")
    assert re.findall(r"^(\w+): done before", result.out, flags=re.M) == ["respond", "revise"]
    assert "items," not in result.out


def test_a_run_says_how_far_off_its_plan_was(cai: Cai) -> None:
    arguments = ("run", "smoke", "--until", "sft")
    first = cai(*arguments).out
    assert re.search(r"stage +┃ seconds +┃ items +┃ tokens +┃ tokens/s +┃ prefix cache +┃ planned +┃ off by", first)
    assert re.search(r"^│ sft +│ .*│ [\d.]+ +│ [\d.]+ x +│$", first, flags=re.M)
    told = r"^planned: [\d.]+ s for what ran; it took [\d.]+ s, [\d.]+ times that\."
    assert re.search(
        told + " The plan had only built-in rates, since no run like this one was here before", first, re.M
    )
    again = cai(*arguments, "sft.epochs=2").out
    assert re.search(told + "$", again, flags=re.M)
    assert "planned:" not in cai(*arguments).out, "nothing was run"


def test_an_override_changes_the_stage_it_belongs_to(scripted: Cai) -> None:
    result = scripted("run", "smoke", "revise.rounds=1", "--until", "revise")
    assert re.findall(r"^(\w+): done before", result.out, flags=re.M) == ["respond"]
    assert "revise: 8/8 items" in result.out


def test_a_run_has_its_own_folder_by_name_and_root(cai: Cai, tmp_path: Path) -> None:
    assert cai("run", "smoke", "name=mine", "--runs", "odd [bold]", "--until", "respond").code == 0
    assert [path.name for path in (tmp_path / "odd [bold]").iterdir()] == ["mine"]
    assert "odd [bold]/mine/respond-" in cai("show", "mine", "--runs", "odd [bold]").out


def test_a_mistake_after_a_run_leaves_it_as_it_was(scripted: Cai) -> None:
    before = scripted("show", "smoke").out
    assert scripted("run", "smoke", "revise.few_shot=99").code == 2
    assert scripted("show", "smoke").out == before


def test_a_missing_model_is_told_and_nothing_half_written_stands_in_the_way(
    cai: Cai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("cai.engines.pool.open_engine", lambda config, model, share: resolve(model.model))
        result = cai("run", "smoke", "models.assistant=nope", "--until", "respond")
    assert result.code == 5
    assert "no model 'nope': not an alias (smollm2-135m, tiny-random), not a folder" in result.err
    assert re.search(r"respond +│ begun ", cai("show", "smoke").out)
    assert list(tmp_path.rglob("DONE")) == []
    assert cai("run", "smoke", "models.assistant=nope", "--until", "revise").code == 0
    assert len(list(tmp_path.rglob("DONE"))) == 2


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("torch", ("run", "smoke", "--until", "sft")),
        ("torch", ("run", "smoke", "engine={type: transformers}", "--until", "respond")),
        ("torch", ("chat", "tiny-random")),
    ],
)
def test_a_package_that_is_not_installed_is_met_by_the_pip_line(
    tmp_path: Path, package: str, arguments: tuple[str, ...]
) -> None:
    result = in_a_process(tmp_path, "-c", WITHOUT, package, *arguments)
    assert result.code == 3
    assert "Traceback" not in result.err
    assert f"error: the package '{package}' is needed here and is not installed" in result.err
    assert re.search(r"pip install (-e '.+\[train\]'|'constitutional-ai\[train\]')$", result.err.rstrip())
    if "smoke" in arguments and "sft" in arguments:
        assert re.findall(r"^(\w+): 8/8 items", result.out, flags=re.M) == ["respond", "revise"]


def test_what_needs_no_model_runs_without_the_heavy_packages(tmp_path: Path) -> None:
    heavy = "torch,transformers,trl,datasets,accelerate,matplotlib"
    result = in_a_process(tmp_path, "-c", WITHOUT, heavy, "run", "smoke", "--until", "revise")
    assert (result.code, result.err) == (0, "")


# Plans.


def test_a_plan_shows_what_is_left_and_writes_nothing(cai: Cai, tmp_path: Path) -> None:
    result = cai("plan", "quickstart")
    assert result.code == 0
    rows = re.findall(r"^│ (\w+) +│ (to do|begun|done) +│ +([\d,]+) ", result.out, flags=re.M)
    assert [stage for stage, _, _ in rows] == [stage for stage in STAGES if load_recipe("quickstart").runs(stage)]
    assert {state for _, state, _ in rows} == {"to do"}
    calls = {stage: int(count.replace(",", "")) for stage, _, count in rows}
    assert calls["revise"] == 5 * calls["respond"]
    assert re.search(r"^memory: \d+ GB$", result.out, flags=re.M)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_holds_each_stage_against_the_gpu_that_the_recipe_names(cai: Cai) -> None:
    fits = cai("plan", "quickstart", "train.gpu_gb=24").out
    assert re.search(
        r"^memory by stage: sft \d+ GB, preference_model \d+ GB, rl \d+ GB, evaluate \d+ GB$", fits, flags=re.M
    )
    assert "warning" not in fits
    out = cai("plan", "quickstart", "train.gpu_gb=4").out
    warned = re.findall(r"^warning: (\w+) takes \d+ GB, and train.gpu_gb is 4; take an? `?\w+", out, flags=re.M)
    assert "rl" in warned and "sft" not in warned


def test_a_plan_after_a_run_has_less_to_do(scripted: Cai) -> None:
    out = scripted("plan", "smoke").out
    assert re.findall(r"^│ (\w+) +│ done +│ 0 +│ 0 +│ 0 ", out, flags=re.M) == ["respond", "revise"]


def test_a_plan_of_an_unknown_model_says_what_it_cannot_know(cai: Cai) -> None:
    out = cai("plan", "smoke", "models.assistant=owner/[bold]name", "engine={type: transformers}").out
    assert "memory: unknown" in out
    assert re.search(r"^time left: unknown", out, flags=re.M)
    assert re.search(r"^disk: unknown more", out, flags=re.M)
    for part in ("assistant", "helpful", "feedback", "pretrained"):
        assert f"{part}: owner/[bold]name, engine: transformers" in out


def test_a_plan_names_the_engine_of_each_part(cai: Cai) -> None:
    out = cai("plan", "smoke", "models.feedback={model: big, engine: {type: openai, base_url: 'http://h'}}").out
    assert "feedback: big, engine: openai" in out
    assert "assistant: tiny-random, engine: scripted" in out


# Runs on disk.


def test_show_tells_states_and_counts(scripted: Cai) -> None:
    out = scripted("show", "smoke").out
    states = dict(re.findall(r"^│ (\w+) +│ (to do|begun|done) ", out, flags=re.M))
    assert states == {stage: "done" if stage in ("respond", "revise") else "to do" for stage in SMOKE}
    assert re.search(r"revise +│ done +│ 24 ", out)
    assert re.search(r"seconds +┃ tokens/s +┃ prefix cache", out)
    assert re.search(r"^│ revise +│ done +│ 24 +│ [\d.]+ +│ [\d,]+ +│ 0% +│", out, flags=re.M)
    assert "verdicts unparsed: 0" in out


@pytest.mark.parametrize("arguments", [("show", "nope"), ("diff", "nope", "smoke"), ("diff", "smoke", "nope")])
def test_an_unknown_run_lists_the_runs_there_are(scripted: Cai, arguments: tuple[str, ...]) -> None:
    assert scripted("run", "smoke", "name=other", "--until", "respond").code == 0
    assert refused(scripted(*arguments), 4) == "no run 'nope' in runs/; found: other, smoke"


def test_without_runs_there_are_none_to_list(cai: Cai) -> None:
    assert refused(cai("show", "nope"), 4) == "no run 'nope' in runs/; found: none"


def test_a_damaged_record_is_named_with_its_line(scripted: Cai, tmp_path: Path) -> None:
    comparisons = RunFolder(tmp_path / "runs", "smoke").steps["compare"].path
    comparisons.mkdir()
    (comparisons / "items.jsonl").write_text('{"id": 3}\n')
    result = scripted("show", "smoke")
    assert result.code == 4
    assert re.search(r"items\.jsonl:1: not a Comparison record", result.err)


def test_diff_of_like_runs_says_so(scripted: Cai) -> None:
    scripted("run", "smoke", "name=other", "respond.max_tokens=32", "--until", "respond")
    result = scripted("diff", "smoke", "other")
    assert result.code == 0
    assert "the same settings, texts and models" in result.out


def test_diff_names_every_setting_that_differs_and_exits_with_1(scripted: Cai) -> None:
    changes = ("respond.max_tokens=16", "revise.rounds=1", "revise.temperature=0.5")
    scripted("run", "smoke", "name=other", *changes, "--until", "revise")
    result = scripted("diff", "smoke", "other")
    assert result.code == 1
    rows = re.findall(r"^│ (\w+) +│ ([\w.]+) +│ (\S+) +│ (\S+) +│$", result.out, flags=re.M)
    assert rows == [
        ("respond", "settings.max_tokens", "32", "16"),
        ("revise", "settings.rounds", "2", "1"),
        ("revise", "settings.temperature", "1.0", "0.5"),
    ]


def test_diff_does_not_compare_what_one_run_has_not_begun(scripted: Cai) -> None:
    scripted("run", "smoke", "name=other", "revise.rounds=1", "--until", "respond")
    result = scripted("diff", "smoke", "other")
    assert result.code == 0
    waiting = [stage for stage in SMOKE if stage != "respond"]
    assert f"not begun in both, so not compared: {', '.join(waiting)}" in " ".join(result.out.split())


# Talking.


class Engine:
    """Answers with its model's name, and with what a terminal would obey."""

    concurrency = 1

    def __init__(self, config: EngineConfig, model: ModelConfig) -> None:
        self.name = model.model

    async def generate(self, request: Request) -> Completion:
        text = f"I am {self.name}.\x1b[2J\x07"
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=request.seed)

    async def score(self, prompt: object, labels: Sequence[str]) -> list[float]:
        raise NotImplementedError

    def close(self) -> None: ...


def test_two_models_answer_side_by_side(cai: Cai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cai.chat.open_engine", Engine)
    result = cai("chat", "one", "--against", "two", typed="hello\nagain\n")
    assert result.code == 0
    assert len(re.findall(r"^.*I am one\..*I am two\..*$", result.out, flags=re.M)) == 2
    assert "\x1b" not in result.out
    assert "\x07" not in result.out


@pytest.mark.parametrize("option", ["--max-tokens=0", "--temperature=-1", "--temperature=nan"])
def test_an_option_of_chat_that_is_out_of_range(cai: Cai, option: str) -> None:
    assert refused(cai("chat", "tiny-random", option), 2).startswith(f"{option.split('=')[0]}: ")


def test_a_run_without_a_model_to_talk_to(scripted: Cai) -> None:
    assert refused(scripted("chat", "smoke/sft"), 2) == "run 'smoke' has no model 'sft' to talk to; it has: none yet"


@pytest.mark.slow
def test_a_real_model_answers_piped_lines(tmp_path: Path) -> None:
    arguments = ("chat", "tiny-random", "--max-tokens", "12", "--temperature", "1.5")
    result = in_a_process(tmp_path, "-m", "cai", *arguments, typed="hello\nagain\n\n")
    assert (result.code, result.err) == (0, "")
    assert result.out.count("─ tiny-random ─") == 2
    assert {char for char in result.out if not char.isprintable()} == {"\n"}
    assert list(tmp_path.iterdir()) == []
