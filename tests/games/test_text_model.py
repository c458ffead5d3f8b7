"""Models of texts: words are players, absent ones are left out; brute force over subsets is the oracle."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, ShapleyValues
from hypothesis import given, strategies as st

from captum_andor import AndOrInteractions
from captum_andor.games import TextModel

TEXT = "not a good film,  not bad"


def score(texts: list[str]) -> torch.Tensor:
    """Depends on which words a text has, and on its length."""
    return torch.tensor([2.0 * ("good" in t and "not" not in t) - ("bad" in t) + 0.1 * len(t) for t in texts])


def shapley_by_permutations(text: str) -> list[float]:
    parts = re.findall(r"\S+\s*", text)
    n = len(parts)

    def v(kept: tuple[int, ...]) -> float:
        return float(score(["".join(parts[i] for i in sorted(kept)).strip()])[0])

    values = [0.0] * n
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - 1 - size) / math.factorial(n)
            values[i] += weight * sum(v((*s, i)) - v(s) for s in itertools.combinations(others, size))
    return values


def test_values_are_those_of_texts_without_the_absent_words() -> None:
    method = AndOrInteractions(TextModel(score))
    torch.testing.assert_close(
        method.attribute(TEXT)[0].double(), torch.tensor(shapley_by_permutations(TEXT)).double(), atol=1e-5, rtol=0
    )
    lm = method.logical_model(TEXT, max_patterns=None)
    assert lm.player_names == ("not (1)", "a", "good", "film,", "not (2)", "bad")
    assert float(lm.r2) > 1 - 1e-6 and "absent: left out of the text" in repr(lm)
    assert float(lm.values[0, -1]) == pytest.approx(float(score([TEXT])[0]))
    assert "good" in {t.get_text() for t in lm[0].plot("tokens", use_pyplot=False)[1].texts}


def test_captums_methods_take_the_encoded_text() -> None:
    model = TextModel(score)
    row = model.encode("a good film")
    ablated = FeatureAblation(model).attribute(row, baselines=-1)
    whole = float(score(["a good film"]))
    expected = [whole - float(score([t])) for t in ("good film", "a film", "a good")]
    assert ablated[0].tolist() == pytest.approx(expected, abs=1e-5)
    ours = AndOrInteractions(model).attribute(row)
    torch.testing.assert_close(
        ours.float(), ShapleyValues(model).attribute(row, baselines=-1).float(), atol=1e-5, rtol=0
    )


@given(st.text(alphabet="ab,\n é日", min_size=1).filter(str.strip))
def test_decoded_words_are_the_text(text: str) -> None:
    model = TextModel(score)
    assert model.decode(model.encode(text)) == [text.strip()]
    assert model.decode(torch.full_like(model.encode(text), -1)) == [""]
    assert model.encode(text).shape == (1, len(text.split()))


def test_parts_of_ones_own_and_masks_that_join_words() -> None:
    for groups in ("sentences", lambda text: [(0, 10), (11, len(text))]):
        lm = AndOrInteractions(TextModel(score, groups=groups)).logical_model("It is bad. It is good.")
        assert lm.player_names == ("It is bad.", "It is good.")
        assert lm.values.flatten().tolist() == pytest.approx(
            score(["", "It is bad.", "It is good.", "It is bad. It is good."]).tolist()
        )
    joined = AndOrInteractions(TextModel(score)).attribute("a good film", feature_mask=torch.tensor([[0, 1, 1]]))
    a, rest, both, nothing = score(["a", "good film", "a good film", ""]).tolist()
    assert joined[0, 1] == joined[0, 2] == pytest.approx((both - a + rest - nothing) / 2, abs=1e-6)


def test_two_models_of_texts_are_compared_on_the_same_words() -> None:
    new, old = TextModel(score), TextModel(lambda texts: torch.tensor([float("film" in t) for t in texts]))
    old.encode("words that the old model has seen before")
    change = AndOrInteractions(new, reference=old).attribute("a good film")
    apart = AndOrInteractions(new).attribute("a good film") - AndOrInteractions(old).attribute("a good film")
    torch.testing.assert_close(change, apart, atol=1e-6, rtol=0)


def test_a_pipeline_of_strings_from_a_text_to_patterns_in_one_call() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    vectorizers = pytest.importorskip("sklearn.feature_extraction.text")
    pipeline = pytest.importorskip("sklearn.pipeline")
    pipe = pipeline.make_pipeline(vectorizers.CountVectorizer(), linear_model.LogisticRegression())
    pipe.fit(["good fine film", "bad dull film", "lovely fine", "awful bad"], [1, 0, 1, 0])
    lm = AndOrInteractions(TextModel(pipe.predict_proba)).logical_model("a lovely film not bad", target=1)
    assert float(lm.values[0, -1]) == pytest.approx(pipe.predict_proba(["a lovely film not bad"])[0, 1], abs=1e-6)
    assert {p.names[0] for p in lm.top(2)} == {"bad", "lovely"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.attribute(["a", "b"]), "inputs must be a text; got list. Explain texts one by one"),
        (lambda m: m.attribute(np.array(["a b"])), "inputs must be a text; got ndarray"),
        (lambda m: m.attribute(" \n"), "inputs must be a text with words"),
        (lambda m: m.attribute("a b", baselines="x"), "baselines: absent words are left out"),
        (lambda m: m.attribute(torch.tensor([[7, 8]])), "rows must hold places of the 0 words seen"),
        (
            lambda m: AndOrInteractions(torch.nn.Linear(2, 1)).attribute("a b"),
            r"AndOrInteractions\(TextModel\(function\)\)",
        ),
        (lambda m: TextModel(score, groups="tokens"), r"groups must be one of \['lines', 'sentences', 'words'\]"),
        (lambda m: TextModel(score, groups=lambda t: [(0, 9)]).encode("a b"), "groups returned spans outside the text"),
        (lambda m: TextModel(score, groups=lambda t: [(0, 2), (1, 3)]).encode("a b"), "spans one behind the other"),
        (lambda m: TextModel(3), "function must take a list of texts"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(AndOrInteractions(TextModel(score)))


def test_refined_groups_of_words_are_called_by_their_words() -> None:
    method, phrases = AndOrInteractions(TextModel(score)), torch.tensor([[0, 0, 1, 1]])
    coarse = method.estimate("not a good film", feature_mask=phrases)
    assert coarse.player_names == ("not & a", "good & film")
    fine = method.refine(coarse, "not a good film", budget=16, top=1)
    assert set(fine.player_names) in ({"not", "a", "good & film"}, {"not & a", "good", "film"})
