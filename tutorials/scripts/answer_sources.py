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
from tutorials.datasets.language_models import smollm2

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
QUESTION, ANSWER = "Who won the Halden Prize in 2019?", "Elena Marsh"


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
        template="Context: {context}\nQuestion: {query} Answer in a few words, from the context only.",
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
