"""The reward of a run of cai, without cai: the file that an export for OpenRLHF or verl carries.

OpenRLHF calls `reward_func` (`--reward.remote_url FILE`), verl `compute_score` (`reward.custom_reward_function.path`).
What is added up stands in reward.json beside this file, the preference models in folders beside it. They run on
CAI_REWARD_DEVICE; unset, on a GPU where this process sees one, else on the CPU.
"""

import importlib.util
import json
import os
import re
import threading
from pathlib import Path

import jinja2
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

HERE = Path(__file__).resolve().parent
_loaded, _loading = {}, threading.RLock()


def reward_func(queries, prompts, labels):
    """The rewards of a batch of OpenRLHF's: `queries` are prompts with answers, `labels` what the export wrote."""
    rated = [
        rewards(json.loads(label), _said(query, prompt))
        for query, prompt, label in zip(queries, prompts, labels, strict=True)
    ]
    total = torch.tensor([one["score"] for one in rated])
    parts = {name: torch.tensor([one[name] for one in rated]) for name in rated[0] if name != "score"}
    return {"rewards": total, "scores": total, "extra_logs": parts}


def compute_score(data_source, solution_str, ground_truth, extra_info, **_):
    """The reward of one answer of verl's; `extra_info` holds what the export wrote. Parts are logged beside it."""
    return rewards(json.loads(extra_info["asked"]), solution_str)


def rewards(asked, answer):
    """The weighted sum, as `score`, and every part before its weight. `asked`: {"messages": [...], "kind": "..."}."""
    total, parts = 0.0, {}
    for part in _settings()["parts"]:
        found = _PARTS[part["type"]](part, asked, answer.strip())
        parts[part["name"]] = found
        total += part["weight"] * found
    return {"score": total, **parts}


def _preference(part, asked, answer):
    return _score(part["model"], asked["messages"], answer)


def _llama2(part, asked, answer):
    """Safety first (Llama 2, arXiv 2307.09288, section 3.2.3); not whitened, since a call sees no whole step."""
    safety = _score(part["safety"], asked["messages"], answer)
    threshold = torch.logit(torch.tensor(part["threshold"], dtype=torch.float64)).item()
    if asked["kind"] == "harmful" or safety < threshold:
        return safety
    return _score(part["helpfulness"], asked["messages"], answer)


def _length(part, asked, answer):
    if part["per"] == "word":
        count = _repeats().word_count(answer)
    else:
        tokenizer = _model(_settings()["tokenizer"])[1]
        count = len(tokenizer(answer, add_special_tokens=False)["input_ids"]) + 1  # the token that ends it
    return -float(max(0, count - part["target"]))


def _repetition(part, asked, answer):
    return -_repeats().share_repeated(answer, part["words"])


_PARTS = {"preference_model": _preference, "llama2": _llama2, "length": _length, "repetition": _repetition}


@torch.inference_mode()
def _score(name, messages, answer):
    """What a preference model says of an answer, log-odds."""
    model, tokenizer = _model(name)
    ids = torch.tensor([tokens(tokenizer, messages, answer)], device=model.device)
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, 0].item()


def tokens(tokenizer, messages, answer):
    """The tokens of a conversation and its answer up to the end-of-text token, as the model was trained on them."""
    turns = [*messages, {"role": "assistant", "content": _plain(tokenizer, answer)}]
    ids = tokenizer(_chat(tokenizer, turns), add_special_tokens=False)["input_ids"]
    start = len(
        tokenizer(_chat(tokenizer, messages, add_generation_prompt=True), add_special_tokens=False)["input_ids"]
    )
    end = tokenizer.eos_token_id
    return [*ids[: ids.index(end, start) if end in ids[start:] else len(ids)], end]


def _chat(tokenizer, turns, **options):
    """By the chat template; of one that knows no system turn, its text opens the user's first."""
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, **options)
    except jinja2.TemplateError:
        if turns[0]["role"] != "system":
            raise
    system, first, *rest = turns
    joined = {"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}
    return tokenizer.apply_chat_template([joined, *rest], tokenize=False, **options)


def _plain(tokenizer, text):
    """An answer in which no special token is spelt out, so that it opens no turn."""
    for marker in (token for token in tokenizer.all_special_tokens if len(token) > 1):
        broken = f"{marker[:-1]} {marker[-1]}"
        while marker in text and marker not in broken:
            text = text.replace(marker, broken)
    return text


def _said(query, prompt):
    """The answer within what OpenRLHF decoded, which is the prompt's tokens and the answer's, special ones included."""
    tokenizer = _model(_settings()["tokenizer"])[1]
    decoded = tokenizer.decode(tokenizer(prompt, add_special_tokens=False)["input_ids"], skip_special_tokens=False)
    start = next((text for text in (prompt, decoded) if query.startswith(text)), None)
    if start is None:
        raise ValueError("the query does not begin with its prompt; give OpenRLHF a --data.max_len that no prompt cuts")
    said = query[len(start) :]
    ends = "|".join(re.escape(token) for token in tokenizer.all_special_tokens if len(token) > 1)
    return re.split(ends, said, maxsplit=1)[0] if ends else said


def _settings():
    with _loading:
        if "settings" not in _loaded:
            _loaded["settings"] = json.loads((HERE / "reward.json").read_text("utf-8"))
        return _loaded["settings"]


def _repeats():
    with _loading:
        if "repeats" not in _loaded:
            spec = importlib.util.spec_from_file_location("repeats", HERE / "repeats.py")
            assert spec and spec.loader
            _loaded["repeats"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(_loaded["repeats"])
        return _loaded["repeats"]


def _model(name):
    """A preference model beside this file, in evaluation, and its tokenizer."""
    with _loading:
        if name not in _loaded:
            device = os.environ.get("CAI_REWARD_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
            tokenizer = AutoTokenizer.from_pretrained(HERE / name, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(
                HERE / name, num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            )
            _loaded[name] = model.to(device).eval(), tokenizer
        return _loaded[name]
