"""A model's repository can bring Python code; it is never run, and nobody is asked whether it should be."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

from cai.engine_config import TransformersEngine
from cai.engines.loading import load
from cai.models import ModelConfig
from cai.weights import resolve

PACKAGE = Path(__file__).resolve().parent.parent / "cai"


def calls() -> list[tuple[str, ast.Call]]:
    """Every `from_pretrained` of transformers in the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = getattr(node.func.value, "id", "")
                if node.func.attr == "from_pretrained" and owner != "PeftModel":
                    found.append((f"{path.name}:{node.lineno}", node))
    return found


def test_every_model_and_tokenizer_is_loaded_without_remote_code() -> None:
    assert len(calls()) > 10
    for place, call in calls():
        told = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        assert told.get("trust_remote_code") is False, place


@pytest.mark.parametrize("code", ["auto_map", "tokenizer"])
def test_code_beside_a_model_is_not_run(tmp_path: Path, code: str) -> None:
    folder = Path(shutil.copytree(resolve("tiny-random"), tmp_path / "model"))
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\nclass Evil: pass\n")
    name, key = (
        ("config.json", "AutoModelForCausalLM") if code == "auto_map" else ("tokenizer_config.json", "AutoTokenizer")
    )
    settings = json.loads((folder / name).read_text("utf-8"))
    mapped = ["evil.Evil", None] if key == "AutoTokenizer" else "evil.Evil"
    settings["auto_map"] = {"AutoConfig": "evil.Evil", key: mapped}
    if code == "auto_map":
        settings["model_type"] = "llama"
    (folder / name).write_text(json.dumps(settings), "utf-8")
    model, _ = load(TransformersEngine(device="cpu"), ModelConfig(model=str(folder)))
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not mark.exists()
