"""Numbers of README and pages are those of the committed results of benchmarks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="benchmarks/results is not in this copy")


def page(name: str) -> str:
    """A page in one line, numbers as Python writes them."""
    return re.sub(r"\s+", " ", (ROOT / name).read_text(encoding="utf-8"))


def test_errors_of_shapley_values_are_those_of_the_report() -> None:
    """``python -m benchmarks.budget report``: networks alone, ours and the best peer of each cell."""
    pytest.importorskip("shapiq")
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.budget", "report"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    part = ran.stdout[ran.stdout.index("networks alone") :]
    rows = {
        int(n): (ours, best) for n, ours, best in re.findall(r"^ *(\d+)  (\S+e-\d+)  (\S+e-\d+)$", part, re.MULTILINE)
    }
    assert set(rows) == {128, 256, 512, 1024}
    ours, best = rows[512]
    assert f"is {ours} of their size" in page("README.md") and f"beside {best} for the best" in page("README.md")
    short = [[f"{float(number):.1e}".replace("e-0", "e-") for number in pair] for pair in rows.values()]
    for place in (0, 1):
        a, b, c, d = (pair[place] for pair in short)
        assert f"{a}, {b}, {c} and {d}" in page("docs/measured_estimates.rst")


def test_errors_against_a_background_are_those_of_the_table() -> None:
    lines = (RESULTS / "background.txt").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("passes  error by"))
    rows = [line.split() for line in lines[start + 1 :] if line.strip()]
    errors = [float(row[1]) for row in rows]
    covered = [float(row[3]) for row in rows]
    span = f"{min(errors):.2f} to {max(errors):.2f}".replace("0.", ".")
    assert f"{span} of the squared error of antithetic permutations" in page("README.md")
    assert rows[-1][2].replace("0.", ".") + " of LeverageSHAP" in page("README.md")
    held = f"{min(covered):.2f} to {max(covered):.2f}".replace("0.", ".")
    assert f"antithetic permutations {span} of their squared error, coverage {held}" in page("docs/choosing.rst")


def test_coverage_of_the_factorial_study_is_that_of_its_worlds() -> None:
    """Small shares, large ones, and large ones of heavy tails; copies of eight cells and of one."""
    worlds = pd.read_csv(RESULTS / "factorial" / "coverage.csv")
    small, large = worlds[worlds["low"] <= 0.1], worlds[worlds["low"] == 0.5]
    heavy = (large["tails"] == "t3") & (large["interaction"] == "no")
    text = page("docs/factorial.rst")
    assert f"hold small shares, .1 and less, in {said(small['held: low'].min())} and more" in text
    assert f"shares of .5 in {said(large[~heavy]['held: low'].min())} and more" in text
    tails = large[heavy]["held: low"]
    assert f"only {said(tails.min())} to {said(tails.max())} where" in text
    stable = pd.read_csv(RESULTS / "factorial" / "coverage_stable.csv")
    least = stable.groupby("cells")["held"].min()
    assert f"they hold in {said(least[8])} and more of 200 worlds" in text and f"as few as {said(least[1])}" in text
    copies = pd.read_csv(RESULTS / "factorial" / "coverage_copies.csv")["held"]
    assert f"``instability()`` held {said(copies.min())} to {said(copies.max())}" in text


def test_scores_of_the_paper_are_those_of_their_table() -> None:
    table = pd.read_csv(RESULTS / "factorial-scores" / "mlp.csv", dtype=str)
    own = table[table["images"] == "training"].set_index("score")["mean of 32 repeats"]
    assert f"they repeat ({own['offset']} and {own['unrecurring']})" in page("docs/factorial.rst")


def test_the_default_score_agrees_as_the_page_says() -> None:
    """Of the differences between networks, what two baselines agree on, over the six settings."""
    tables = [pd.read_csv(path).set_index("score")["of_differences"] for path in RESULTS.glob("factorial/*/retest.csv")]
    spans = {
        score: "{} to {}".format(
            *(f"{x:.2f}".removeprefix("0") for x in (min(t[score] for t in tables), max(t[score] for t in tables)))
        )
        for score in ("net_order", "flip_rate", "masked_margin")
    }
    text = page("docs/confusing_samples.rst")
    assert f"agree on {spans['masked_margin']} ({spans['flip_rate']}, {spans['net_order']};" in text
    measured = page("docs/measured_factorial.rst")
    assert f"they agree on {spans['net_order']}, by ``masked_margin`` on {spans['masked_margin']}" in measured


def test_coverage_of_estimates_is_that_of_the_table() -> None:
    lines = (RESULTS / "budget" / "intervals.txt").read_text(encoding="utf-8").splitlines()
    parts = [part for part in (line.split("|") for line in lines) if len(part) > 1 and part[1].split()[0][0].isdigit()]
    columns = [[float(part[i].split()[0]) for part in parts if len(part) > i] for i in (1, 2, 3)]
    least = [f"{min(column):.2f}".removeprefix("0") for column in columns]
    text = page("docs/estimates.rst")
    for held, of in zip(least, ("Shapley values hold", "R²", "R² of ten patterns"), strict=True):
        assert f"{of} {held} to 1.0" in text
    assert all(max(column) == 1 for column in columns)


def said(number: float, places: int = 2) -> str:
    """As pages write numbers below one."""
    return f"{number:.{places}f}".removeprefix("0")


def test_r2_of_ten_patterns_is_that_of_the_benchmark() -> None:
    """``python -m benchmarks.logical_model effort``, ``noise``, ``sentences``: default effort, ten patterns, exact totals."""
    rows = [
        line.split() for line in (RESULTS / "logical_model" / "effort.txt").read_text(encoding="utf-8").splitlines()
    ]
    default = {row[0]: [float(x) for x in row[2:] if x != "/"] for row in rows if row[1:2] == ["stable"]}
    exact = {family: row[3] for family, row in default.items()}
    photos, census = said(exact["photo12"]), said(exact["census12"])
    assert (min(exact.values()), max(exact.values())) == (exact["photo12"], exact["census12"])
    assert f"reproduce {photos} (photos) to {census} (a census)" in page("README.md")
    price = max(row[2] - row[3] for row in default.values())
    assert f"costs {said(price, 3)} of R² at most" in page("docs/logical_models.rst")
    told = (RESULTS / "logical_model" / "sentences.txt").read_text(encoding="utf-8")
    families = re.findall(r"^(\S+) +both ways", told, re.MULTILINE)
    means = [said(sum(default[family][place] for family in families) / len(families), 3) for place in (1, 3, 5)]
    assert f"now {means[0]}, {means[1]} and {means[2]}" in page("docs/measured_models.rst")
    noise = (RESULTS / "logical_model" / "noise.txt").read_text(encoding="utf-8")
    ten = [float(share) for share in re.findall(r" 10: (\S+)/", noise)]
    assert f"1 % of its range, {said(min(ten))} to {said(max(ten))} of ten" in page("docs/logical_models.rst")
    other = [tuple(map(int, pair)) for pair in re.findall(r"other sign +(\d+)/(\d+)", told)]
    both = re.findall(r"both ways +(\d+)/", told)
    assert set(both) == {"0"}
    assert f"of {sum(of for _, of in other)} patterns had the other sign (now {sum(n for n, _ in other)})" in page(
        "docs/measured_models.rst"
    )


def test_what_the_scores_find_is_what_their_tables_say() -> None:
    """``python -m tutorials.scripts.confusing_samples``, one run; ``benchmarks.confusing held_out``, by its page."""
    measured, text = page("docs/measured_samples.rst"), page("docs/confusing_samples.rst")
    printed = (RESULTS / "tutorials" / "confusing_samples.txt").read_text(encoding="utf-8")
    auc = [float(x) for x in re.findall(r"^masked_margin +(\S+) / +\S+ +(\S+) / ", printed, re.MULTILINE)[0]]
    assert f"(AUC {span(auc)})" in text
    early = float(re.findall(r"^loss after 5 epochs +(\S+) /", printed, re.MULTILINE)[0])
    assert f"score** (AUC {said(early)})" in text
    seeds = printed[printed.index("Agreement of seeds") :]
    overlap = {name: float(iou) for name, iou in re.findall(r"^(\w+) +(\S+) ", seeds, re.MULTILINE) if iou[0] == "0"}
    of_v = span([overlap[name] for name in ("net_order", "flip_rate", "masked_margin")])
    assert f"overlaps nearly as much ({said(overlap['loss'])}, the scores of v {of_v})" in text
    two = re.findall(r"^attribution_cosine +(\S+) +(\S+) \(own, other baseline: (\S+)\)", seeds, re.MULTILINE)[0][:2]
    alike = [float(x) for x in two]
    own = re.findall(r"^attribution_cosine .*: (\S+)\)", seeds, re.MULTILINE)[0]
    assert f"a cosine of {span(alike)}, those of one seed under two baselines {said(float(own))}" in text
    rows = {}
    for name in ("flip_rate", "masked_margin", "loss"):
        row = re.findall(rf"{name}`* +((?:−?\.\d\d +){{4,}})", measured[measured.index("held out, 8") - 900 :])[0]
        rows[name] = row.split()
    ours, loss = rows["masked_margin"], rows["loss"]
    assert f"rank correlation of {ours[1]}, as the network's own loss does ({loss[1]})" in text
    assert f"beyond it ({ours[2]}, given" in text
    assert f"memorization ({rows['flip_rate'][5]} against {ours[5]})" in text
    least, median = re.findall(r"\* - IoU of the sets - (\S+) - (\S+) -", measured)[0]
    assert (
        f"hold {said(float(least))} of 400 simulations and more in every cell, {said(float(median))} in the median"
        in text
    )


def test_what_is_said_of_language_models_is_what_their_benchmark_printed() -> None:
    """``python -m benchmarks.llm retrieval``, ``equality``, ``precision``."""

    def printed(name: str) -> str:
        return (RESULTS / "llm" / f"{name}.txt").read_text(encoding="utf-8")

    text = page("docs/language_models.rst")
    rows = re.findall(r"^ +(\d+) +3  (\S+) \(\S+\) +(\d+)/10  (\S+)", printed("retrieval"), re.MULTILINE)
    ours, right, lasso = next(row[1:] for row in rows if row[0] == "64")
    assert f"three patterns explain {said(float(ours), 3)} of prompts" in text
    assert f"a linear surrogate {said(float(lasso), 3)}," in text
    assert right == "10" and "the right OR in ten of ten choices of prompts" in text
    assert "the right OR in ten of ten choices of 64 prompts" in page("README.md")
    took, captum, apart = re.findall(
        r"sources: (\S+) s, Captum's (\S+) s; attributions differ by (\S+)", printed("equality")
    )[0]
    assert f"{took} s instead of {captum} s, attributions {apart} apart" in text
    alone, tree = (said(float(x)) for x in re.findall(r": (0\.\d\d)$", printed("precision"), re.MULTILINE))
    assert f"off by {alone} as root mean square one prompt at a time and by {tree} as a tree" in text


def span(numbers: list[float]) -> str:
    return f"{said(min(numbers))} to {said(max(numbers))}"


def test_the_paper_page_says_what_its_script_printed() -> None:
    """``python -m tutorials.scripts.paper_figures``, one run; the study of layers is compared elsewhere."""
    printed = (RESULTS / "tutorials" / "paper_figures.txt").read_text(encoding="utf-8")
    text = page("docs/paper.rst")
    median, least = re.findall(r"ten patterns: R2 (\S+) \(median\), (\S+) \(least\)", printed)[0]
    assert f"R² {said(float(median))} (median of 50 images, least {said(float(least))})" in text
    offset = [
        [float(x) for x in row] for row in re.findall(r"high order +most of it 30 .* (\S+) +(\S+)$", printed, re.M)
    ]
    whole = [float(x) for x in re.findall(r"all orders +most of it 30 .* (\S+) +\S+$", printed, re.M)]
    assert f"holds {span([row[0] for row in offset])} of the offsetting" in text and f"({span(whole)});" in text
    assert f"holds {span([row[1] for row in offset])} under the other" in text
    ends = {order: row for order, *row in re.findall(r"^ +(\d) +(\S+) +(\S+) *$", printed, re.M)}
    between, within = ([said(float(ends[order][place])) for order in "17"] for place in (0, 1))
    assert f"falls from {between[0]} (order 1) to {between[1]} (order 7)" in text
    assert f"set, from {within[0]} to {within[1]}." in text
    high = dict(re.findall(r"epoch +(\d+): .* high-order share (\S+)", printed))
    assert high["1"] == high["2"] == "0.00"
    assert f"{said(float(high['10']))} at 10, {said(float(high['20']))} at 20" in text
    hard, easy = re.findall(r"hard \S+ \[(.*?)\], easy \S+ \[(.*?)\]", printed)[0]
    assert f"hold {span([float(x) for x in hard.split()])} of the strength" in text
    assert f"{span([float(x) for x in easy.split()])} of the tenth of least" in text
    pairs = [[float(x) for x in row.split()] for row in re.findall(r"^\(seed \d, seed \d\) (.*)$", printed, re.M)]
    iou, ceiling, loss = ([row[place] for row in pairs] for place in (0, 5, 6))
    assert f"overlap by {span(iou)} (" in text and f"loss {span(loss)}, while" in text
    assert f"with itself by {span(ceiling)} under" in text


def test_the_page_on_training_says_what_its_script_printed() -> None:
    """``python -m tutorials.scripts.dynamics``, one run."""
    printed = (RESULTS / "tutorials" / "dynamics.txt").read_text(encoding="utf-8")
    text = page("docs/dynamics.rst")
    turned = {
        int(float(step)): int(n)
        for step, n in re.findall(r"(?:train)? +(\d+\.0) +(\d+)$", printed[printed.index("\ntrain ") :], re.M)
    }
    late = sum(n for step, n in turned.items() if step >= 20)
    wrong = re.findall(r"of 30 confusing training samples (\d+) have", printed)[0]
    assert f"training samples {late} turned so at epoch 20 or later; {wrong} have wrong labels" in text
    train, test = (re.findall(rf"^ +20 +{kind} .* (\S+)$", printed, re.M)[0] for kind in ("train", "test"))
    assert f"(ρ {said(float(train))} on training, {said(float(test))} on test samples)" in text
    last = re.findall(r"^60 +(.*)$", printed, re.M)[0].split()
    assert f"({said(float(last[0]))} at order 1 to {said(float(last[7]))} at order 8 in the end)" in text
    assert "the second phase begins at 20" in printed and "for good from epoch 20 on" in text


def test_what_noise_does_to_salient_sets_is_what_was_printed() -> None:
    """``python -m benchmarks.split noise``."""
    rows = (RESULTS / "split_noise.txt").read_text(encoding="utf-8").splitlines()[1:]
    shared = {row.split()[0]: said(float(row.split()[1])) for row in rows}
    assert f"share {shared['0.00']} at a noise bound of 0, {shared['0.08']} at .08" in page("docs/concepts.rst")


def test_what_is_said_of_photos_is_what_their_script_printed() -> None:
    """``python -m tutorials.scripts.photo_patterns``."""
    printed = (RESULTS / "tutorials" / "photo_patterns.txt").read_text(encoding="utf-8")
    table = re.findall(r"^ +(5|10|20) +(\S+) +(\S+)$", printed, re.MULTILINE)
    for k, chosen, strongest in table:
        assert f"* - {k} - {chosen.removeprefix('0')} - {strongest.removeprefix('0')}" in page(
            "docs/logical_models.rst"
        )
    salient = int(re.findall(r"(\d+) salient interactions", printed)[0])
    assert f"of {salient // 1000} {salient % 1000} salient ones" in page("docs/logical_models.rst")
    _, chosen, strongest = table[1]
    short = f"interactions {said(float(strongest))} of a photo, ten patterns chosen together {said(float(chosen))}"
    assert short in page("README.md")
    alone, most, together = re.findall(r"(\+\S+) to (\+\S+) +(\S+)  OR \{1, 3, 4, 5, 7, 8, 9, 10, 11\}", printed)[0]
    caption = f"each alone {float(alone):+.1f} to {float(most):+.1f}, all nine {float(together):+.1f}"
    assert caption in page("docs/idea.rst")


def test_what_left_out_patches_do_is_what_their_script_printed() -> None:
    """``python -m tutorials.scripts.removed_patches``, one training."""
    printed = (RESULTS / "tutorials" / "removed_patches.txt").read_text(encoding="utf-8")
    grey, out = re.findall(r"^(?:grey patches|patches left out) +(\S+)%", printed, re.MULTILINE)
    cosine = said(float(re.findall(r"mean (\S+),", printed)[0]))
    assert (
        f"right in {grey} % (grey) and {out} % (left out); Shapley values of both kinds have a cosine of {cosine}"
        in page("docs/choosing.rst")
    )
