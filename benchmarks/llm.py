"""Language models: retrieval with redundant sources, tokens and time of evaluation, beside a linear sparse surrogate.

    python -m benchmarks.llm retrieval   # SmolLM2-135M, ten sources, all 1 024 prompts once; ten splits
    python -m benchmarks.llm synthetic   # twenty sources with known patterns and noise
    python -m benchmarks.llm tokens      # tokens that go through the model, of the plain sum
    python -m benchmarks.llm time        # seconds on one thread: one prompt at a time against a tree
    python -m benchmarks.llm equality    # five sources, Captum's ShapleyValues through its LLMAttribution: minutes
    python -m benchmarks.llm precision   # bfloat16 beside float32
    python -m benchmarks.llm absence     # MiniLM, ten words: how kinds of absence agree
    python -m benchmarks.llm gpu         # 128 sources, 1 024 prompts; needs a GPU

The linear surrogate is ours, after Cohen-Wang et al. 2024 (ContextCite): a lasso of v on which sources are there, its
penalty chosen by cross-validation on the same prompts.
"""

from __future__ import annotations

import os
import re

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor import AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.llm import AndOrLLMAttribution, ContextInput, MaskedTokenInput
from captum_andor.llm.model_call import ModelCall
from captum_andor.llm.prompts import read_prompts
from captum_andor.llm.token_tree import tree_parts
from captum_andor.sampling import PATTERNS, paired_design
from tutorials.datasets.language_models import ANSWER, QUESTION, SOURCES, TEMPLATE

WORDS = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house service friend "
    "father power hour game line end"
)
RIGHT = ("or", (1, 3, 7))
ROOT = Path(__file__).parent.parent / "data"


def long_passages() -> list[str]:
    """Ten passages of some forty tokens each, as retrieval returns them: the short ones in their surroundings."""
    before = "The regional archive keeps its records in the old town hall, beside the market square and the church."
    behind = "Visitors find the entrance on the north side, and a guide meets them at the stairs."
    return [f"{before} {text} {behind}" for text in SOURCES]


def retrieval_input(tokenizer: Any, passages: list[str] = SOURCES) -> ContextInput:
    return ContextInput(passages, QUESTION, template=TEMPLATE, separator=" ", tokenizer=tokenizer)


def smollm2() -> tuple[Any, Any]:
    import transformers

    from tutorials.datasets.language_models import smollm2 as load

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    return load()


def lasso(rows: Tensor, v: Tensor, everything: Tensor) -> np.ndarray[Any, Any]:
    """Predictions of the linear sparse surrogate on all coalitions."""
    from sklearn.linear_model import LassoCV

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = LassoCV(cv=5, random_state=0, max_iter=20_000).fit(rows.double().numpy(), v.numpy())
    return np.asarray(found.predict(everything.double().numpy()))


def r2(v: Tensor, predicted: Any) -> float:
    predicted = torch.as_tensor(np.asarray(predicted))
    return float(1 - (v - predicted).square().sum() / (v - v.mean()).square().sum())


def retrieval() -> None:
    model, tokenizer = smollm2()
    inp = retrieval_input(tokenizer)
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    kept = ROOT / "benchmark_llm_retrieval.pt"
    if not kept.exists():
        start = time.perf_counter()
        exact = method.interactions(inp, ANSWER, split="even")
        kept.parent.mkdir(exist_ok=True)
        torch.save(exact.values[0], kept)
        print(f"all 1 024 prompts: {time.perf_counter() - start:.0f} s, {method.n_tokens:,} tokens ({method.way})")
    v = torch.load(kept)
    n = 10
    everything = all_coalitions(n)
    codes = torch.arange(1 << n)
    alone = [float(v[-1] - v[(1 << n) - 1 - (1 << i)]) for i in range(n)]
    print(f"v(∅) {v[0]:.2f}, v(N) {v[-1]:.2f}; left out alone: " + ", ".join(f"{x:+.2f}" for x in alone))
    whole = LogicalModel.from_values(v, max_patterns=3, player_names=inp.values)
    print(f"exact, three patterns: {'; '.join(whole.rules())}")
    print("\nten splits: R² on the prompts that were not asked, median (lowest)")
    print("prompts  patterns  AND-OR            right OR  lasso             estimate's Shapley error  lasso's  "
          "R² over all: stated interval holds it / is NaN / misses it")  # fmt: skip
    exact_shapley = GameEstimate.from_values(v).shapley_values()
    assert isinstance(exact_shapley, Tensor)
    for budget in (32, 64, 128):
        for patterns in (3, 10):
            ours, theirs, right, error, linear_error = [], [], 0, [], []
            holds, unknown = 0, 0
            for seed in range(10):
                rows = torch.from_numpy(paired_design(n, budget, PATTERNS, seed))
                where = (rows.long() * (1 << torch.arange(n))).sum(1)
                rest = torch.ones(1 << n, dtype=torch.bool)
                rest[where] = False
                found = LogicalModel.from_values(v[where], rows, max_patterns=patterns, seed=seed)
                ours.append(r2(v[codes[rest]], found.predict(everything[rest])))
                true, (low, high) = r2(v, found.predict(everything)), found.r2_interval.flatten().tolist()
                holds, unknown = holds + (low <= true <= high), unknown + (low != low)
                first = found.patterns[0]
                right += (first.kind, first.players) == RIGHT
                theirs.append(r2(v[codes[rest]], lasso(rows, v[where], everything[rest])))
                estimate = GameEstimate.from_values(v[where], rows, seed=seed).shapley_values()
                assert isinstance(estimate, Tensor)
                error.append(float((estimate - exact_shapley).norm() / exact_shapley.norm()))
                slopes = lasso(rows, v[where], torch.eye(n, dtype=torch.bool)) - lasso(
                    rows, v[where], torch.zeros(1, n, dtype=torch.bool)
                )
                linear_error.append(float((torch.from_numpy(slopes) - exact_shapley).norm() / exact_shapley.norm()))
            print(
                f"{budget:7} {patterns:9}  {np.median(ours):.3f} ({min(ours):.3f})  {right:8}/10  "
                f"{np.median(theirs):.3f} ({min(theirs):.3f})  {np.median(error):24.3f}  {np.median(linear_error):.3f}"
                f"    {holds} / {unknown} / {10 - holds - unknown}"
            )


def synthetic() -> None:
    """2 AND{2, 5} + 2 OR{1, 3} + {7} of twenty sources, noise .3; tested without noise on 4 096 others."""
    print("prompts  AND-OR, three patterns (lowest)  as many as pay (lowest)  lasso")
    generator = torch.Generator().manual_seed(0)
    test = torch.rand(4096, 20, generator=generator) < 0.5

    def v(rows: Tensor) -> Tensor:
        z = rows.double()
        return 2 * z[:, 2] * z[:, 5] + 2 * torch.maximum(z[:, 1], z[:, 3]) + z[:, 7]

    for budget in (64, 128, 256):
        three, free, linear = [], [], []
        for seed in range(10):
            rows = torch.from_numpy(paired_design(20, budget, PATTERNS, seed))
            noisy = v(rows) + 0.3 * torch.randn(len(rows), generator=generator, dtype=torch.float64)
            for results, patterns in ((three, 3), (free, None)):
                found = LogicalModel.from_values(noisy, rows, max_patterns=patterns, exact_ends=False, seed=seed)
                results.append(r2(v(test), found.predict(test)))
            linear.append(r2(v(test), lasso(rows, noisy, test)))
        print(
            f"{budget:7}  {np.median(three):.3f} ({min(three):.3f})  {np.median(free):31.3f} ({min(free):.3f})"
            f"  {np.median(linear):14.3f}"
        )


def tokens() -> None:
    _, tokenizer = smollm2()
    target = tokenizer.encode(ANSWER, add_special_tokens=False)
    frame = "The following words were read aloud by somebody who did not know what they meant. " * 25
    games = [
        ("6 short sources, all 64", retrieval_input(tokenizer, SOURCES[:6]), 64),
        ("10 short sources, 64", retrieval_input(tokenizer), 64),
        ("10 short sources, all 1 024", retrieval_input(tokenizer), 1024),
        ("10 passages of 40 tokens, 64", retrieval_input(tokenizer, long_passages()), 64),
        ("10 passages of 40 tokens, all 1 024", retrieval_input(tokenizer, long_passages()), 1024),
    ]
    print(f"{'game':38} prompts    plain    tree  share")
    for label, inp, budget in games:
        rows = torch.from_numpy(paired_design(inp.n_itp_features, budget, PATTERNS, 0))
        texts = [inp.to_model_input(row[None]) for row in rows]
        report(label, read_prompts(texts, tokenizer, False), target)
    ends = [match.end() for match in re.finditer(r"\S+", frame)]
    listed = [match.span() for match in re.finditer(r"\S+", frame + WORDS)][len(ends) :]
    inp = MaskedTokenInput(frame + WORDS + " . Answer:", tokenizer, absent="delete", groups=lambda text: listed[:60])
    rows = torch.from_numpy(paired_design(inp.n_itp_features, 512, PATTERNS, 0))
    prompts = read_prompts([inp.to_model_input(row[None]) for row in rows], tokenizer, False)
    report("60 words behind 400 tokens, 512", prompts, target)


def report(label: str, prompts: Any, target: list[int]) -> None:
    plain = sum(len(prompt) + len(target) for prompt in prompts)
    tree = sum(len(part.ids) for part in tree_parts(list(dict.fromkeys(prompts)), target, sys.maxsize))
    print(f"{label:38} {len(prompts):7} {plain:8,} {tree:7,}  {tree / plain:.3f}")


def timing() -> None:
    model, tokenizer = smollm2()
    print("seconds for 64 prompts on one thread, medians of three; log p differs by at most")
    for label, passages in (("10 short sources", SOURCES), ("10 passages of 40 tokens", long_passages())):
        inp = retrieval_input(tokenizer, passages)
        rows = torch.from_numpy(paired_design(10, 64, PATTERNS, 0))
        prompts = read_prompts([inp.to_model_input(row[None]) for row in rows], tokenizer, False)
        target = tokenizer.encode(ANSWER, add_special_tokens=False)
        call = ModelCall(model, torch.device("cpu"))
        singly, treely = [], []
        for _ in range(3 if passages is SOURCES else 1):
            start = time.perf_counter()
            with torch.no_grad():
                alone = torch.stack([call.alone(prompt, target, False) for prompt in prompts])
            singly.append(time.perf_counter() - start)
            method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
            start = time.perf_counter()
            asked = method._game(inp, ANSWER, None, None)
            answers = asked.ask(rows)
            treely.append(time.perf_counter() - start)
        moved = float((answers - alone)[..., 0].abs().max())
        one, tree = np.median(singly), np.median(treely)
        print(f"{label:26} one by one {one:.1f}, {method.way} {tree:.1f} (share {tree / one:.2f}), {moved:.1e}")


def equality() -> None:
    from captum.attr import FeatureAblation, LLMAttribution, ShapleyValues

    model, tokenizer = smollm2()
    inp = retrieval_input(tokenizer, SOURCES[:5])
    start = time.perf_counter()
    ours = AndOrLLMAttribution(AndOrInteractions(model), tokenizer).attribute(inp, ANSWER)
    middle = time.perf_counter()
    captums = LLMAttribution(ShapleyValues(model), tokenizer).attribute(
        inp, ANSWER, use_cached_outputs=False, forward_in_tokens=False
    )
    end = time.perf_counter()
    moved = max(
        float((ours.seq_attr - captums.seq_attr).abs().max()), float((ours.token_attr - captums.token_attr).abs().max())
    )
    found = {}
    for cached in (True, False):
        found[cached] = (
            LLMAttribution(FeatureAblation(model), tokenizer)
            .attribute(inp, ANSWER, use_cached_outputs=cached)
            .token_attr
        )
    wrong = (found[True] - found[False]).abs().amax(1).tolist()
    print(f"Captum's defaults less Captum without its cache, by token: {', '.join(f'{x:.2g}' for x in wrong)}")
    print(f"five sources: {middle - start:.1f} s, Captum's {end - middle:.1f} s; attributions differ by {moved:.1e}")


def precision() -> None:
    """log p of the answer in bfloat16 less that in float32, one prompt at a time and as a tree."""
    model, tokenizer = smollm2()
    inp, rows = retrieval_input(tokenizer), torch.from_numpy(paired_design(10, 32, PATTERNS, 0))
    found = {}
    for dtype, tokens in ((torch.float32, None), (torch.bfloat16, 1), (torch.bfloat16, None)):
        method = AndOrLLMAttribution(AndOrInteractions(model.to(dtype)), tokenizer, tokens_per_batch=tokens)
        found[dtype, tokens] = method._game(inp, ANSWER, None, None).ask(rows)[..., 0].sum(1)
    exact = found.pop((torch.float32, None))
    print(
        f"32 prompts, v of standard deviation {float(exact.std()):.2f} in float32; root mean square error in bfloat16:"
    )
    for (_, tokens), v in found.items():
        print(f"  {'a tree' if tokens is None else 'a prompt a pass'}: {float((v - exact).square().mean().sqrt()):.2f}")


def absence() -> None:
    from tutorials.datasets.language_models import minilm

    torch.set_num_threads(1)
    model, tokenizer = minilm()
    text = "The old fisherman repaired his boat before the coming storm"

    def score(model: Any, batch: Any, target: Tensor) -> Tensor:
        states = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        return torch.nn.functional.cosine_similarity((states * mask).sum(1) / mask.sum(1), target)

    with torch.no_grad():
        whole = model(**tokenizer("A man mends a ship as bad weather approaches.", return_tensors="pt"))
    target = whole.last_hidden_state.mean(1)
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=score)
    games = {}
    for absent in ("attention", "delete", "[PAD]", "[UNK]", "[MASK]"):
        inp = MaskedTokenInput(text, tokenizer, absent=absent)
        games[absent] = method.interactions(inp, target, split="even").values[0]
    names = list(games)
    print(f"MiniLM, {inp.n_itp_features} words, all {1 << inp.n_itp_features} coalitions: correlation of v")
    found = torch.corrcoef(torch.stack(list(games.values())))
    print(" " * 10 + "".join(f"{name:>10}" for name in names))
    for name, row in zip(names, found, strict=True):
        print(f"{name:10}" + "".join(f"{float(x):10.3f}" for x in row))


def gpu() -> None:
    if not torch.cuda.is_available():
        print("no GPU here")
        return
    model, tokenizer = smollm2()
    for dtype in (torch.float32, torch.bfloat16):
        on_gpu = model.to("cuda", dtype)
        inp = retrieval_input(tokenizer, [f"Note {i}: {text}" for i, text in enumerate(SOURCES * 13)][:128])
        method = AndOrLLMAttribution(AndOrInteractions(on_gpu), tokenizer)
        method.estimate(inp, ANSWER, budget=16)
        torch.cuda.synchronize()
        start = time.perf_counter()
        method.estimate(inp, ANSWER, budget=1024)
        ours = time.perf_counter() - start
        rows = torch.from_numpy(paired_design(128, 1024, PATTERNS, 0))
        prompts = read_prompts([inp.to_model_input(row[None]) for row in rows], tokenizer, False)
        plain = sum(map(len, prompts))
        ids = torch.randint(0, 1000, (8, 1024), device="cuda")
        with torch.no_grad():
            on_gpu(ids, logits_to_keep=1)
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(10):
                on_gpu(ids, logits_to_keep=1)
            torch.cuda.synchronize()
        bare = 10 * ids.numel() / (time.perf_counter() - start)
        print(f"{dtype}: {plain / ours:,.0f} prompt tokens a second ({method.way}); bare model {bare:,.0f}")


COMMANDS = {
    "retrieval": retrieval,
    "synthetic": synthetic,
    "tokens": tokens,
    "time": timing,
    "equality": equality,
    "precision": precision,
    "absence": absence,
    "gpu": gpu,
}

if __name__ == "__main__":
    for command in sys.argv[1:] or COMMANDS:
        COMMANDS[command]()
