"""The house stays as DESIGN drew it: imports point left, heavy libraries stay in their rooms, files stay small."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cai"
FILES = sorted(PACKAGE.rglob("*.py"))

LEVELS = (
    {"credentials", "disk", "energy", "errors", "identity", "records", "resources", "quiet", "stopping"},
    {"yamlfile", "transcripts"},
    {
        "engine_config",
        "executor_config",
        "models",
        "constitution",
        "prompts",
        "sandbox",
        "config",
        "store",
        "checksums",
        "verdicts",
        "quotations",
        "written_verdicts",
        "stats",
        "refusals",
        "few_shot",
        "questions",
        "index",
        "spool",
        "compose",
        "principle_tests",
        "lint",
        "hygiene",
        "wordings",
        "wording_rules",
        "repeats",
        "languages",
        "near_duplicates",
        "selection",
        "human",
        "sampling",
        "feedback_config",
        "train_config",
        "launch_config",
        "reward_config",
        "functions",
        "rl_prompts",
        "rl_config",
        "panel_config",
        "preferences",
        "preference_figures",
        "agreement",
        "reliability",
        "judged",
        "judge_figures",
        "learned_pairs",
        "sameness",
        "elo",
        "length_control",
        "contestants",
        "win_rates",
        "refusal_figures",
        "over_refusal",
        "evaluation_config",
        "evaluation",
        "evaluation_tables",
        "against",
        "differences",
        "lm_eval",
        "demonstrations",
        "dialogues",
        "sizes",
        "labels",
        "labels_exchange",
        "labelled_pairs",
    },
    {
        "encoding",
        "weight_files",
        "weights",
        "material",
        "reward_material",
        "evaluation_material",
        "addressed",
        "exchange",
        "checkpoints",
    },
    {"engines", "trainers", "executors"},
    {"judge"},
    {"stages"},
    {
        "comparing",
        "rewarding",
        "online_dpo",
        "preflight",
        "plan",
        "job",
        "runners",
        "launch",
        "rank",
        "suite_inputs",
        "suite_costs",
        "suites",
        "evaluated",
        "findings",
        "verify",
        "pipeline",
        "walk",
        "estimate",
        "rates",
        "memory_plan",
        "costs",
        "timings",
        "schemas",
        "shown",
        "progress",
        "terminal",
        "trials",
        "generation",
        "export",
        "chat",
    },
    {"view"},
    {"commands"},
    {"cli"},
    {"docs", "__main__"},
)
"""From left to right; a room may import its own level and those before it."""

HOMES = {
    "aiohttp": {"engines"},
    "fsspec": {"executors"},
    "orjson": {"engines", "store"},
    "psutil": {"engines"},
    "uvloop": {"engines"},
    "pynvml": {"energy"},
    "vllm": {"engines"},
    "torch": {"engines", "trainers", "weights"},
    "transformers": {"engines", "trainers", "weights", "quiet"},
    "trl": {"trainers"},
    "datasets": {"trainers", "questions"},
    "huggingface_hub": {"engines", "weights", "export"},
    "matplotlib": {"stages"},
    "ray": {"executors"},
    "py3langid": {"languages"},
    "datasketch": {"near_duplicates"},
    "starlette": {"view"},
    "typer": {"cli", "docs"},
    "uvicorn": {"view"},
    "yaml": {"yamlfile"},
}
"""Which rooms may name a library."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return named | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def level(name: str) -> int:
    return next(index for index, rooms in enumerate(LEVELS) if name in rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    if room(path) == "__init__":
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("cai.")}
    assert {name for name in used if level(name) > level(room(path))} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)}
    assert {library for library in used & HOMES.keys() if room(path) not in HOMES[library]} == set()


METHOD = (
    "respond",
    "revise",
    "ablate",
    "distill",
    "ghost",
    "pairs",
    "compare",
    "evaluate",
    "matches",
    "harm",
    "classify",
)


def test_stages_have_never_heard_of_machinery() -> None:
    strangers = {"json", "sys", "argparse", "torch", "ray", "cai.store", "cai.trainers"}
    method = [PACKAGE / "stages" / f"{name}.py" for name in METHOD]
    for path in method:
        assert imports(path) & strangers == set(), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text("utf-8")
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno and f.end_lineno - f.lineno >= 70}
    assert long == {}
    assert len(source.splitlines()) <= 400


def test_functions_are_short_in_general() -> None:
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 40


def test_exceptions_are_not_swallowed() -> None:
    broad = [path for path in FILES for _ in re.findall(r"except (?:Base)?Exception\b", path.read_text("utf-8"))]
    assert len(broad) <= 4, broad


def test_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys, cai.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "trl", "vllm", "ray", "datasets", "matplotlib", "pydantic"} & set(loaded) == set()
