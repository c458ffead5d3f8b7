"""The picture of the docs' first page: ten sources, and which of them an answer of a language model needed.

python -m tutorials.scripts.answer_sources [--out docs/_static/answer.html]

SmolLM2-135M-Instruct on the question of the tutorial on retrieval; 64 prompts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import transformers

from captum_andor import AndOrInteractions
from captum_andor.llm import AndOrLLMAttribution, ContextInput
from captum_andor.visualization import sources_html
from tutorials.datasets.language_models import ANSWER, QUESTION, SOURCES, TEMPLATE, smollm2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/_static/answer.html"))
    out = parser.parse_args().out
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model, tokenizer = smollm2()
    inp = ContextInput(
        SOURCES,
        QUESTION,
        template=TEMPLATE,
        separator=" ",
        tokenizer=tokenizer,
    )
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    patterns = method.logical_model(inp, ANSWER, budget=64, max_patterns=3)
    for rule in patterns.rules():
        print(rule)
    page = sources_html(patterns, inp.sources, k=1, title=f"{QUESTION} – {ANSWER}: which sources did it need?")
    out.write_text(f"{page}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
