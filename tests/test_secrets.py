"""Keys and tokens are planted wherever they may rightly be, and are found nowhere else afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faulty_server import FaultyServer
from cai.config import load_recipe
from cai.credentials import hidden, hidden_values, looks_secret, names_a_secret, secrets_in, spellings
from cai.errors import EngineError, InputError
from cai.plan import STAGES

KEY = "sk-planted-Zq81mVw0Tr55Xk29"
ENVIRONMENT = {
    "MY_SERVER": KEY,  # named by the recipe's `key_env`; nothing in its name says that it is a key
    "OPENAI_API_KEY": "sk-planted-other-99Lk3j4h5g",
    "HF_TOKEN": "hf_plantedAbCdEfGhIjKlMnOpQrStUv",
    "WANDB_API_KEY": "planted00wandb11key22of33forty44hex55digits",
    "AWS_SECRET_ACCESS_KEY": "planted/aws/wJalrXUtnFEMIK7MDENG",
    "HTTPS_PROXY": "http://planted-user:planted-pass@127.0.0.1:9",
}
SHIPPED = Path(__file__).resolve().parent.parent / "recipes"
ASK_NOBODY = {"helpfulness_model", "dpo", "rejection_sampling"}
"""Trainings that are not in the run below: they learn from what others asked, or as `rl` does."""
PLANTED = [*(value for name, value in ENVIRONMENT.items() if name != "HTTPS_PROXY"), "planted-pass"]


def found_in(text: str) -> list[str]:
    return [secret for secret in PLANTED if secret in text]


def cai(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cai", *words]
    given = {**os.environ, **ENVIRONMENT, "NO_PROXY": "huggingface.co", "HF_HUB_OFFLINE": "1"}
    given["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=500)


def overrides(base_url: str, prompts: Path) -> list[str]:
    """Of recipe `smoke`: whatever can be asked through a server is, reinforcement learning's judge as well."""
    return [
        f"prompts.harmful={prompts}", "prompts.limit=4", "revise.few_shot=0", "compare.judge.few_shot=0",
        f"engine={{type: openai, base_url: {base_url}, key_env: MY_SERVER, concurrency: 32, timeout: 2, retries: 8}}",
        "models={assistant: served, helpful: served, pretrained: {model: tiny-random, engine: {type: scripted}}}",
        "ablate={limit: 2, principles: [1]}", "ghost={turns: 2, limit: 2, max_tokens: 16}", "guests={other: served}",
        "rl.steps=1", "rl.rewards=[{type: judge}]", "evaluate.limit=2", "over_refusal.limit=1", "hhh.limit=2",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_secret_leaves_the_environment(tmp_path: Path) -> None:
    server = FaultyServer(0.1, tells=True)
    (tmp_path / "many.txt").write_text("".join(f"Is item-{number} safe?\n" for number in range(24)), "utf-8")
    said: list[str] = []
    with server.running():
        settings = overrides(server.base_url, tmp_path / "many.txt")
        distilled = "distill={preference_model: smoke/preference_model, max_tokens: 16}"
        for words in (
            ("plan", "smoke", *settings),
            ("run", "smoke", *settings),
            ("show", "smoke"),
            ("show", "smoke", "compare"),
            ("export", "smoke", "--to", "exported"),
            ("run", "smoke", *settings, "name=second", distilled, "--until", "distill"),
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
            failing = {"name=other", "name=third", "name=fourth"} & set(words)
            assert (ended.returncode == 0) == (not failing), said[-1][-3000:]
    assert server.calls
    steps = {path.parent.name.rpartition("-")[0] for path in tmp_path.glob("runs/*/*/DONE")}
    assert steps == STAGES.keys() - ASK_NOBODY
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
        ("engine: {type: openai, base_url: http://h/v1, extra: {auth: {password: 12345678}}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {auth: {user: planted-pass}}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {auth: {token: [planted-pass]}}}\n", 3),
        ("engine:\n  type: vllm\n  args:\n    api_key: [planted-pass]\n", 6),
        ("engine: {type: vllm, args: {token: {value: planted-pass}}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {base_url: 'http://me:planted-pass@h'}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {engine: {base_url: 'http://me:planted-pass@h'}}}\n", 3),
        ("engine: {type: openai, base_url: 'http://me:planted-pass@h/v1'}\n", 3),
        (f"engine: {{type: openai, base_url: http://h/{KEY}/v1}}\n", 3),
        ("engine: {type: openai, base_url: 'http://h/v1#token=planted-pass'}\n", 3),
        ("engine: {type: openai, base_url: 'http://h/v1?api_key=planted-pass'}\n", 3),
        (f"models: {{assistant: m, helpful: {{model: m, engine: {{type: openai, base_url: http://h/{KEY}}}}}}}\n", 3),
        (f"engine:\n  type: vllm\n  args: {{{KEY}: 1}}\n", 5),
        ("engine: {type: openai, base_url: http://h/v1, extra: {url: 'https://h/?n=1&api_key=planted-pass'}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {url: 'https://h/?n=1#key=planted-pass'}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {url: 'https://planted-pass@h/'}}\n", 3),
        ("engine: {type: openai, base_url: http://h/v1, extra: {headers: ['X-Api-Key: planted-pass']}}\n", 3),
        ("executor: {type: ray, shards: 's3://AKID:planted/aws/wJalrXUtnFEMIK7MDENG@bucket/x'}\n", 3),
    ],
)
def test_a_recipe_that_holds_a_secret_is_refused_with_its_line_and_without_it(
    tmp_path: Path, text: str, line: int
) -> None:
    models = "description: r" if text.startswith("models:") else "models: {assistant: m}"
    (tmp_path / "r.yaml").write_text(f"name: r\n{models}\n{text}", "utf-8")
    with pytest.raises(InputError) as caught:
        load_recipe(str(tmp_path / "r.yaml"))
    assert f"r.yaml:{line}: " in str(caught.value)
    assert "environment" in str(caught.value)
    assert found_in(str(caught.value) + str(caught.value.mistakes)) == []


@pytest.mark.parametrize(
    "override",
    [
        f"engine.api_key={KEY}",
        "engine={type: openai, password: planted-pass}",
        "engine.token='planted-pass'",
        "engine.args.api_key=[planted-pass, planted-pass]",
        "engine={type: vllm, args: {auth: {user: planted-pass}}}",
        "engine.extra.url='https://h/?token=planted-pass'",
    ],
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


@pytest.mark.parametrize("override", ["models.assistant.engine.x.token.y=planted-pass", "seed.password=planted-pass"])
def test_an_override_that_fits_nowhere_is_not_repeated_with_its_secret(override: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("smoke", [override])
    assert found_in(str(caught.value)) == []


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "API-KEY", "apikey", "hf_token", "token", "db_password", "Authorization", "x-api-key",
        "openaiApiKey", "auth", "basicAuth", "pwd", "passphrase", "credentials", "credential", "aws_secret_access_key",
        "apiKeys", "Token", "Ocp-Apim-Subscription-Key", "openai_key", "X-Auth-Token", "api_token_value", "accessToken",
        "access_tokens", "Proxy-Authorization", "Cookie", "clientSecret",
    ],
)  # fmt: skip
def test_a_setting_is_known_for_a_secret_by_its_name(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens", "eos_token", "pad_token", "key_env", "tokens", "monkey", "secretary", "token_budget", "tokenizer",
        "tokenizer_mode", "skip_special_tokens", "thinking_token_budget", "eosToken", "image_token", "stop_token_ids",
        "special_tokens", "added_tokens", "max_num_batched_tokens", "detokenize", "author", "key", "keys", "keyword",
        "primary_key", "pass_at_k", "compass", "authored", "auth_env", "password_env", "min_token", "cookies_per_box",
        "max_completion_tokens", "logprobs_token_ids", "encryption", "signature",
    ],
)  # fmt: skip
def test_a_setting_that_only_sounds_like_one_is_none(name: str) -> None:
    assert not names_a_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "sk-short", "ask-someone-about-it-please", "http://h:80/a@b", "hf_hub", "a: b@c", "https://h:8000/v1?page=2#top",
        "https://h/?max_tokens=9&tokenizer=x", "s3://bucket/prefix", "ssh://git@host/x", "hf:owner/name/folder:split",
        "https://medium.example/@writer/a:b", "verify: true", "a = b", "http://h:80", "10.0.0.1:6379", "a key: none",
    ],
)  # fmt: skip
def test_plain_words_are_no_secret(text: str) -> None:
    assert not looks_secret(text) and hidden(text) == text


def test_honest_settings_are_read() -> None:
    trained = "models.pretrained={model: tiny-random, engine: {type: scripted}}"
    args = "{tokenizer: m, max_num_batched_tokens: 9, skip_tokenizer_init: true, trust: {key_env: A}, use_auth: false}"
    load_recipe(
        "smoke", [f"engine={{type: vllm, args: {args}}}", trained, "executor={type: ray, shards: 's3://bucket/x'}"]
    )
    extra = "{min_tokens: 3, eos_token: 2, thinking_token_budget: 9, api_key: null, auth: '', monkey: 1}"
    recipe = load_recipe(
        "smoke", [trained, f"engine={{type: openai, base_url: http://h:1/v1, key_env: MY_KEY, extra: {extra}}}"]
    )
    assert "monkey" in recipe.model_dump_json()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_shipped_recipe_is_taken_for_one_with_secrets(path: Path) -> None:
    load_recipe(str(path), trains=False)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://h/?n=1&api_key=planted-pass is wrong", "https://h/?n=1&api_key=[hidden] is wrong"),
        ("at https://planted-pass@h/x", "at https://[hidden]@h/x"),
        ("s3://AKID:planted/aws@bucket/x", "s3://[hidden]@bucket/x"),
    ],
)
def test_an_address_is_told_without_its_secret(text: str, left: str) -> None:
    assert hidden(text) == left


@pytest.mark.parametrize(
    "spelled",
    ["planted/key+1", r"planted\/key+1", r"planted\u002fkey\u002B1", r"plant\\u0065d\\/key+1", "planted%2Fkey%2b1"],
)
def test_a_key_is_known_however_it_is_spelled(spelled: str) -> None:
    assert spellings("planted/key+1").sub("[key]", f"<{spelled}>") == "<[key]>"


def test_places_are_paths_of_keys() -> None:
    plain = {
        "a": [{"token": "x"}],
        "b": {"token": 3, "key": KEY},
        "auth": [{"on": True, "key_env": "A"}, {"user": 1.5}],
    }
    assert list(secrets_in(plain)) == [("a", 0, "token"), ("b", "token"), ("b", "key"), ("auth", 1, "user")]
    assert list(secrets_in({"a": {KEY: 1}, "token": None, "secret": ""})) == [("a", "[key]")]
    assert hidden_values("engine={api_key: abc, retries: 2}") == "engine={api_key: [hidden], retries: 2}"
