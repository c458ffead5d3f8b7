"""Sources and words as players: what is left out goes, what is no player stays."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

from language_models import WORDS, word_tokenizer

from captum_andor.llm import ContextInput, MaskedTokenInput

SOURCES = ["a b .", "c .", "d {query} ."]


def kept(*bits: int) -> torch.Tensor:
    return torch.tensor([bits])


def test_sources_keep_their_numbers_and_take_their_separator_along() -> None:
    inp = ContextInput(SOURCES, "who ?", separator=" | ", numbering=True, system="Be brief.")
    assert inp.to_model_input(kept(1, 0, 1)) == (
        "Be brief.\n\nContext:\n[1] a b . | [3] d {query} .\n\nQuestion: who ?"
    )
    assert inp.to_model_input() == inp.to_model_input(kept(1, 1, 1))
    assert inp.to_model_input(kept(0, 0, 0)) == "Be brief.\n\nContext:\n\n\nQuestion: who ?"
    assert inp.values == ["d1", "d2", "d3"] and inp.n_itp_features == 3 and inp.sources == SOURCES
    assert torch.equal(inp.to_tensor(), torch.ones(1, 3)) and inp.add_special_tokens


def test_names_numbering_and_templates_of_ones_own() -> None:
    inp = ContextInput({"left": "a", "right": "a"}, template="<{context}> {x}", numbering="({number}) {source}")
    assert inp.to_model_input() == "<(1) a\n(2) a> {x}" and inp.values == ["left", "right"]
    assert ContextInput(["a", "b"], names=["one", "two"]).values == ["one", "two"]


def test_a_chat_template_stands_around_the_prompt() -> None:
    inp = ContextInput(
        ["a", "b"], "who", system="yes", tokenizer=word_tokenizer(chat=True), template="{context} {query}"
    )
    assert inp.to_model_input(kept(0, 1)) == "<s> system . yes . <s> user . b who . <s> "
    assert not inp.add_special_tokens  # the template has them


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), ValueError, "sources is empty"),
        (("a",), TypeError, "sources must be a sequence"),
        ((["a", "  "],), ValueError, r"sources\[1\] is empty"),
        ((["a", 3],), TypeError, r"sources\[1\] must be a string"),
        ((["a"], 3), TypeError, "query must be a string"),
    ],
)
def test_bad_sources(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        ContextInput(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"names": ["x", "x"]}, ValueError, "stand twice"),
        ({"names": ["x"]}, ValueError, "names has 1 entries for 2 sources"),
        ({"template": "no field"}, ValueError, "template must hold"),
        ({"template": "{context}"}, ValueError, "template must hold {query}"),
        ({"numbering": "({number})"}, ValueError, "numbering must be"),
        ({"system": 1}, TypeError, "system must be"),
        ({"tokenizer": word_tokenizer()}, ValueError, "no chat template"),
    ],
)
def test_bad_options(options, error, message) -> None:
    with pytest.raises(error, match=message):
        ContextInput(["a", "b"], "who", **options)


def test_words_are_hidden_deleted_or_replaced() -> None:
    tokenizer = word_tokenizer()
    ids = [2, *(WORDS.index(w) for w in "abc")]
    hidden = MaskedTokenInput("a b c", tokenizer).to_model_input(kept(1, 0, 1))
    assert hidden["input_ids"].tolist() == [ids] and hidden["attention_mask"].tolist() == [[1, 1, 0, 1]]
    deleted = MaskedTokenInput("a b c", tokenizer, absent="delete").to_model_input(kept(1, 0, 1))
    assert deleted["input_ids"].tolist() == [[2, ids[1], ids[3]]] and deleted["attention_mask"].tolist() == [[1, 1, 1]]
    for absent in ("<unk>", 1):
        replaced = MaskedTokenInput("a b c", tokenizer, absent=absent).to_model_input(kept(1, 0, 1))
        assert replaced["input_ids"].tolist() == [[2, ids[1], 1, ids[3]]]
        assert replaced["attention_mask"].tolist() == [[1, 1, 1, 1]]


def test_groups_of_words() -> None:
    tokenizer = word_tokenizer()
    text = "a b . c d .\n\ne f"
    assert MaskedTokenInput(text, tokenizer).values == ["a", "b", ". (1)", "c", "d", ". (2)", "e", "f"]
    assert MaskedTokenInput(text, tokenizer, groups="sentences").values == ["a b .", "c d .", "e f"]
    assert MaskedTokenInput(text, tokenizer, groups="lines").values == ["a b . c d .", "e f"]
    assert len(MaskedTokenInput(text, tokenizer, groups="tokens").values) == 8
    own = MaskedTokenInput(text, tokenizer, groups=lambda t: [(0, 3), (t.index("e"), len(t))], names=["head", "tail"])
    assert own.values == ["head", "tail"] and own.spans == [(0, 3), (13, 16)]
    mask = own.to_model_input(kept(0, 1))["attention_mask"][0].tolist()
    assert mask == [1, 0, 0, 1, 1, 1, 1, 1, 1]  # what is in no span stays, as does the token that begins the text


def test_skipped_tokens_are_no_players() -> None:
    inp = MaskedTokenInput("a . b .", word_tokenizer(), skip_tokens=["."])
    assert inp.values == ["a", "b"]
    assert inp.to_model_input(kept(0, 0))["attention_mask"].tolist() == [[1, 0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"absent": "[nothing]"}, ValueError, "no token of the tokenizer"),
        ({"absent": 99}, ValueError, "has ids from 0 to"),
        ({"absent": 0.5}, TypeError, "absent must be"),
        ({"groups": "letters"}, ValueError, "groups must be one of"),
        ({"groups": lambda t: [(0, 99)]}, ValueError, "outside the text"),
        ({"groups": lambda t: []}, ValueError, "no token that belongs to a player"),
        ({"names": ["x"]}, ValueError, "names has 1 entries for 2 players"),
        ({"skip_tokens": ["a", "b"]}, ValueError, "no token that belongs"),
    ],
)
def test_bad_masks(options, error, message) -> None:
    with pytest.raises(error, match=message):
        MaskedTokenInput("a b", word_tokenizer(), **options)


def test_a_slow_tokenizer_is_named() -> None:
    with pytest.raises(TypeError, match="tokenizer must be a fast one"):
        MaskedTokenInput("a b", object())
