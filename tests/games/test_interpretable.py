"""Captum's interpretable inputs as players."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import TextTemplateInput

from captum_andor import AndOrInteractions
from captum_andor.games.interpretable import InterpretableModel

attr = pytest.importorskip("captum.attr")


def sentiment(text: str) -> float:
    """Bad alone is negative, not bad positive, either of two praises is enough."""
    words = text.split()
    score = -1.0 if "bad" in words else 0.0
    score += 2.0 if {"not", "bad"} <= set(words) else 0.0
    return score + (0.5 if {"lovely", "fine"} & set(words) else 0.0)


def test_words_of_a_template_are_players_with_their_names() -> None:
    text = TextTemplateInput("it is {} {} , {} and {}", values=["not", "bad", "lovely", "fine"])
    game = InterpretableModel(sentiment, text)
    model = AndOrInteractions(game).logical_model(game.inputs, player_names=game.player_names, max_patterns=3)
    found = {(p.kind, p.names): p.value for p in model.patterns}
    assert found == pytest.approx(
        {("and", ("not", "bad")): 2.0, ("and", ("bad",)): -1.0, ("or", ("lovely", "fine")): 0.5}
    )
    assert float(model.r2) == pytest.approx(1.0)


def test_a_batch_gives_the_same_as_one_at_a_time() -> None:
    text = TextTemplateInput("{} {} {}", values=["bad", "bad", "fine"])
    single = InterpretableModel(sentiment, text)
    batch = InterpretableModel(lambda rows: torch.tensor([sentiment(row) for row in rows]), text, in_batches=True)
    assert single.player_names == ["bad (1)", "bad (2)", "fine"]
    values = [AndOrInteractions(game).interactions(game.inputs).values for game in (single, batch)]
    assert torch.equal(*values)
    with pytest.raises(ValueError, match=r"a row for each of 3 inputs; got \(1,\)"):
        InterpretableModel(lambda rows: torch.zeros(1), text, in_batches=True)(torch.ones(3, 3))


def test_outputs_of_several_classes_keep_them() -> None:
    text = TextTemplateInput("{} {}", values=["bad", "fine"])
    game = InterpretableModel(lambda s: torch.tensor([[sentiment(s), 1.0]]), text)
    assert game(torch.ones(4, 2)).shape == (4, 2)
    assert AndOrInteractions(game).attribute(game.inputs, target=0).shape == (1, 2)


@pytest.mark.skipif(not hasattr(attr, "ImageMaskInput"), reason="newer Captum only")
def test_masks_of_an_image_are_players() -> None:
    picture = pytest.importorskip("PIL.Image")
    image = picture.new("RGB", (4, 4), (255, 0, 0))
    mask = torch.tensor([[0, 0, 1, 1]] * 4)
    masked = attr.ImageMaskInput(
        processor_fn=lambda im: torch.from_numpy(np.array(im)).flatten(0, 1).float(), image=image, mask=mask
    )
    game = InterpretableModel(lambda pixels: (pixels[:, 1] > 0).sum()[None].float(), masked)
    assert game.inputs.shape == (1, 2) and game(torch.tensor([[1.0, 1.0], [0.0, 1.0]])).shape == (2,)


def test_what_is_no_interpretable_input_is_named() -> None:
    with pytest.raises(TypeError, match="one of Captum's"):
        InterpretableModel(sentiment, "a sentence")
    with pytest.raises(TypeError, match="forward_func must be callable"):
        InterpretableModel("model", TextTemplateInput("{}", values=["a"]))  # type: ignore[arg-type]


def test_words_of_a_text_and_a_pipeline_of_strings() -> None:
    """A function of a text that answers with a NumPy row: one call from words to patterns."""
    linear_model, text = (
        pytest.importorskip("sklearn.linear_model"),
        pytest.importorskip("sklearn.feature_extraction.text"),
    )
    pipeline = pytest.importorskip("sklearn.pipeline")
    pipe = pipeline.make_pipeline(text.CountVectorizer(), linear_model.LogisticRegression())
    pipe.fit(["good fine film", "bad dull film", "lovely fine", "awful bad"], [1, 0, 1, 0])
    words = ["a", "lovely", "film", "not", "bad"]
    template = TextTemplateInput(" ".join(["{}"] * len(words)), values=words)
    game = InterpretableModel(lambda whole: pipe.predict_proba([whole])[0], template)
    lm = AndOrInteractions(game).logical_model(game.inputs, target=1, player_names=game.player_names)
    assert float(lm.values[0, -1]) == pytest.approx(pipe.predict_proba([" ".join(words)])[0, 1], abs=1e-6)
    assert {p.names[0] for p in lm.top(2)} == {"bad", "lovely"} and "left out of the text" in repr(lm)
