"""Keys and tokens are planted wherever they may rightly be, and are found nowhere else afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults import recipe_overrides
from benchmarks.faulty_server import FaultyServer
from cai.config import load_recipe
from cai.credentials import hidden, hidden_values, looks_secret, names_a_secret, secrets_in
from cai.errors import EngineError, InputError

KEY = "sk-planted-Zq81mVw0Tr55Xk29"
ENVIRONMENT = {
    "MY_SERVER": KEY,  # named by the recipe's `key_env`; nothing in its name says that it is a key
    "OPENAI_API_KEY": "sk-planted-other-99Lk3j4h5g",
    "HF_TOKEN": "hf_plantedAbCdEfGhIjKlMnOpQrStUv",
    "WANDB_API_KEY": "planted00wandb11key22of33forty44hex55digits",
    "AWS_SECRET_ACCESS_KEY": "planted/aws/wJalrXUtnFEMIK7MDENG",
    "HTTPS_PROXY": "http://planted-user:planted-pass@127.0.0.1:9",
}
SPARED = ("win_rates", "harmfulness", "over_refusal", "hhh")
PLANTED = [*(value for name, value in ENVIRONMENT.items() if name != "HTTPS_PROXY"), "planted-pass"]


def found_in(text: str) -> list[str]:
    return [secret for secret in PLANTED if secret in text]


def cai(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cai", *words]
    given = {**os.environ, **ENVIRONMENT, "NO_PROXY": "huggingface.co", "HF_HUB_OFFLINE": "1"}
    given["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_secret_leaves_the_environment(tmp_path: Path) -> None:
    server = FaultyServer(0.1, tells=True)
    (tmp_path / "many.txt").write_text("".join(f"Is item-{number} safe?\n" for number in range(24)), "utf-8")
    said: list[str] = []
    with server.running():
        settings = recipe_overrides(server.base_url, tmp_path / "many.txt", 4, 8)
        settings += ["without=[respond,rl]", "engine.key_env=MY_SERVER", *(f"{suite}=null" for suite in SPARED)]
        for words in (
            ("plan", "smoke", *settings),
            ("run", "smoke", *settings),
            ("show", "smoke"),
            ("show", "smoke", "compare"),
            ("export", "smoke", "--to", "exported"),
            (
                "run",
                "smoke",
                *settings,
                "name=other",
                "engine.base_url=http://127.0.0.1:9/v1",
                "engine.retries=0",
                "seed=1",
            ),
            ("run", "smoke", "name=third", f"engine.api_key={KEY}"),
            ("run", "smoke", "name=fourth", f"engine={{type: openai, base_url: 'http://u:{KEY}@h/v1'}}"),
        ):
            ended = cai(tmp_path, *words)
            said.append(ended.stdout + ended.stderr)
            assert (ended.returncode == 0) == ("name=" not in " ".join(words)), said[-1][-3000:]
    assert server.calls
    assert found_in("\n".join(said)) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"report.html", "report.md", "README.md", "recipe.yaml", "spec.json", "log.txt", "items.jsonl"} <= names
    assert {str(path.relative_to(tmp_path)): found_in(path.read_bytes().decode("latin-1")) for path in files} == {
        str(path.relative_to(tmp_path)): [] for path in files
    }
    kept = "".join(path.read_text("utf-8") for path in files if path.name == "items.jsonl")
    assert "You sent Bearer [key]." in kept, "the server did repeat it"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"api_key: {KEY}\n", 3),
        (f"engine: {{type: openai, base_url: http://h/v1, api_key: {KEY}}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {auth: {password: planted-pass}}}\n", 3),
        (f"engine:\n  type: openai\n  base_url: http://h/v1\n  extra: {{header: Bearer {KEY}}}\n", 6),
        ("engine: {type: vllm, args: {hf_token: planted-pass}}\n", 3),
        (f"description: use {KEY} for it\n", 3),
        (f"engine: {{type: openai, base_url: http://h/v1, key_env: {KEY}}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {proxy: 'http://me:planted-pass@h'}}\n", 3),
    ],
)
def test_a_recipe_that_holds_a_secret_is_refused_with_its_line_and_without_it(
    tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / "r.yaml").write_text(f"name: r\nmodels: {{assistant: m}}\n{text}", "utf-8")
    with pytest.raises(InputError) as caught:
        load_recipe(str(tmp_path / "r.yaml"))
    assert f"r.yaml:{line}: " in str(caught.value)
    assert "environment variable" in str(caught.value)
    assert found_in(str(caught.value) + str(caught.value.mistakes)) == []


@pytest.mark.parametrize(
    "override",
    [f"engine.api_key={KEY}", "engine={type: openai, password: planted-pass}", "engine.token='planted-pass'"],
)
def test_an_override_with_a_secret_is_refused_without_repeating_it(override: str) -> None:
    with pytest.raises(InputError, match="environment variable") as caught:
        load_recipe("smoke", [override])
    assert found_in(str(caught.value)) == []


def test_the_environment_s_secrets_are_cut_from_every_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    told = str(EngineError(f"a library said: {' '.join(ENVIRONMENT.values())}, and so on"))
    assert found_in(told) == []
    assert "[HF_TOKEN]" in told and "and so on" in told


@pytest.mark.parametrize("name", ["api_key", "API-KEY", "apikey", "hf_token", "token", "db_password", "Authorization"])
def test_a_setting_is_known_for_a_secret_by_its_name(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "eos_token", "pad_token", "key_env", "tokens", "monkey", "secretary"])
def test_a_setting_that_only_sounds_like_one_is_none(name: str) -> None:
    assert not names_a_secret(name)


@pytest.mark.parametrize("text", ["sk-short", "ask-someone-about-it-please", "http://h:80/a@b", "hf_hub", "a: b@c"])
def test_plain_words_are_no_secret(text: str) -> None:
    assert not looks_secret(text) and hidden(text) == text


def test_places_are_paths_of_keys() -> None:
    assert list(secrets_in({"a": [{"token": "x"}], "b": {"token": 3, "key": KEY}})) == [("a", 0, "token"), ("b", "key")]
    assert hidden_values("engine={api_key: abc, retries: 2}") == "engine={api_key: [hidden], retries: 2}"
