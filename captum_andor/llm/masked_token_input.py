"""``MaskedTokenInput``: words, sentences or lines of a text as players, and four ways for them to be absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from captum.attr import InterpretableInput
from torch import Tensor

from captum_andor.games import Groups, Spans, numbered_names, text_spans

_ABSENT = ("attention", "delete")


class MaskedTokenInput(InterpretableInput):  # type: ignore[misc]  # captum ships no usable types
    """A text as the tokens of a model, whose words, sentences or lines are the players.

    Tokens that belong to no player stay in every coalition: those of the tokenizer's own, such as ``[CLS]``, and what
    ``groups`` leaves out, such as a template.

    Args:
        text (str): The text.
        tokenizer: A fast tokenizer of transformers, which tells where in the text its tokens stand.
        absent (str or int, optional): What becomes of the tokens of a player that is left out: ``"attention"``, they
            stay where they are and the attention mask hides them; ``"delete"``, they go, and later ones move up; or a
            token, by text or id, that takes the place of each, e.g. ``"[MASK]"``. Default: "attention"
        groups (str or Callable, optional): ``"words"``, ``"sentences"``, ``"lines"`` or ``"tokens"``, each a player; or
            a function of the text that returns the spans ``(start, end)`` of its players in characters. A token belongs
            to the first span that it overlaps. Default: "words"
        skip_tokens (sequence of str or int, optional): Tokens, by text or id, that belong to no player. Default: None
        names (sequence of str, optional): What prints and figures call the players. Default: None (their texts, with
            numbers where these repeat)

    Attributes:
        values (list of str): The names of the players.
        n_itp_features (int): How many there are.
        spans (list of tuple): Where each stands in the text.

    Raises:
        TypeError: If an argument is of the wrong kind, or the tokenizer tells no places.
        ValueError: If no token belongs to a player, there is no such token, or names are of another number.

    Examples::

        >>> inp = MaskedTokenInput("not a bad film", tokenizer)  # doctest: +SKIP
        >>> inp.values  # doctest: +SKIP
        ['not', 'a', 'bad', 'film']
    """

    def __init__(
        self,
        text: str,
        tokenizer: Any,
        absent: str | int = "attention",
        groups: Groups = "words",
        skip_tokens: Sequence[str | int] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(text, str):
            raise TypeError(f"text must be a string; got {type(text).__name__}.")
        if not getattr(tokenizer, "is_fast", False):
            raise TypeError(
                "tokenizer must be a fast one of transformers, which tells where tokens stand in the text; got "
                f"{type(tokenizer).__name__}. TextTemplateInput of Captum needs none."
            )
        encoded = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        self.text = text
        self.ids: list[int] = list(encoded["input_ids"])
        skipped = {_token_id(token, tokenizer, "skip_tokens") for token in skip_tokens or ()}
        kept = [bool(s) or i in skipped for s, i in zip(encoded["special_tokens_mask"], self.ids, strict=True)]
        places = _trimmed(text, list(encoded["offset_mapping"]))
        spans = _spans(text, groups, places, kept)
        self.player_of_token = _players(spans, places, kept)
        used = sorted({player for player in self.player_of_token if player >= 0})
        if not used:
            raise ValueError(f"text has no token that belongs to a player (groups={groups!r:.60}, text {text!r:.60}).")
        number = {player: i for i, player in enumerate(used)}
        self.player_of_token = [number.get(player, -1) for player in self.player_of_token]
        self.spans = [spans[player] for player in used]
        self.n_itp_features = len(self.spans)
        self.values = _names(names, [text[start:end] for start, end in self.spans])
        self.absent = absent
        self._replacement = None
        if absent not in _ABSENT:
            self._replacement = _token_id(absent, tokenizer, "absent")
        words = {"attention": "hidden from attention", "delete": "left out, later tokens move up"}
        self.absent_in_words = words.get(str(absent), f"replaced by {absent!r}")

    def to_tensor(self) -> Tensor:
        """All players present: ones, shape ``(1, n)``."""
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> dict[str, Tensor]:
        """The tokens of a coalition.

        Args:
            perturbed_tensor (Tensor, optional): Shape ``(1, n)``, 0 where a player is left out. Default: None (all)

        Returns:
            - **model_input** (*dict*): ``input_ids`` and ``attention_mask``, int64, shape ``(1, L)``.
        """
        n = self.n_itp_features
        kept = [True] * n if perturbed_tensor is None else perturbed_tensor.flatten().bool().tolist()
        if len(kept) != n:
            raise ValueError(f"perturbed_tensor must be of {n} players; got {len(kept)}.")
        present = [player < 0 or kept[player] for player in self.player_of_token]
        ids, mask = self.ids, [1] * len(self.ids)
        if self.absent == "attention":
            mask = [int(here) for here in present]
        elif self.absent == "delete":
            ids = [token for token, here in zip(ids, present, strict=True) if here]
            mask = [1] * len(ids)
        else:
            ids = [token if here else self._replacement for token, here in zip(ids, present, strict=True)]  # type: ignore[misc]
        return {"input_ids": torch.tensor([ids]).long(), "attention_mask": torch.tensor([mask]).long()}


def _token_id(token: Any, tokenizer: Any, name: str) -> int:
    """The id of a token, from its text or id."""
    if isinstance(token, bool) or not isinstance(token, (str, int)):
        raise TypeError(f"{name} must be of strings or ids; got {token!r}.")
    if isinstance(token, int):
        if not 0 <= token < len(tokenizer):
            raise ValueError(f"{name} has the id {token}; the tokenizer has ids from 0 to {len(tokenizer) - 1}.")
        return token
    vocabulary = tokenizer.get_vocab()
    if token not in vocabulary:
        extra = ', "attention", "delete"' if name == "absent" else ""
        raise ValueError(f"{name}={token!r} is no token of the tokenizer{extra}; pass one by its text or id.")
    return int(vocabulary[token])


def _trimmed(text: str, places: list[tuple[int, int]]) -> Spans:
    """Where tokens stand, without the white space that some tokenizers count to the token behind it."""
    result = []
    for start, end in places:
        while start < end and text[start].isspace():
            start += 1
        result.append((start, end))
    return result


def _spans(text: str, groups: Groups, places: Spans, kept: list[bool]) -> Spans:
    if groups == "tokens":
        return [place for place, is_kept in zip(places, kept, strict=True) if not is_kept and place[0] < place[1]]
    return text_spans(text, groups, further=("tokens",))


def _players(spans: Spans, places: Spans, kept: list[bool]) -> list[int]:
    """The number of the first span that each token overlaps; -1 for those of nobody."""
    result = []
    for (start, end), is_kept in zip(places, kept, strict=True):
        mine = (i for i, (first, last) in enumerate(spans) if start < last and end > first)
        result.append(-1 if is_kept or start >= end else next(mine, -1))
    return result


def _names(names: Any, texts: list[str]) -> list[str]:
    if names is None:
        return numbered_names(texts)
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"names must be a sequence of strings; got {names!r:.60}.")
    if len(names) != len(texts):
        raise ValueError(f"names has {len(names)} entries for {len(texts)} players.")
    return list(names)
