"""Models of texts: the words of a text as a tensor, and back to the text without those that are absent."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from captum_andor.games.interpretable import numbered_names
from captum_andor.games.scores import method_to_pass

Spans: TypeAlias = "list[tuple[int, int]]"
Groups: TypeAlias = "str | Callable[[str], Iterable[tuple[int, int]]]"

_PATTERNS = {"words": r"\S+", "sentences": r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|\Z)", "lines": r"[^\n]*\S[^\n]*"}


def text_spans(text: str, groups: Groups, further: tuple[str, ...] = ()) -> Spans:
    """Where words, sentences or lines of a text stand, or where a function says; the caller knows ``further`` ones."""
    if callable(groups):
        spans = [(int(start), int(end)) for start, end in groups(text)]
        if not all(0 <= start < end <= len(text) for start, end in spans):
            raise ValueError(f"groups returned spans outside the text of {len(text)} characters: {spans!r:.80}.")
        return spans
    if groups not in _PATTERNS:
        known = sorted([*_PATTERNS, *further])
        raise ValueError(f"groups must be one of {known} or a function of the text; got {groups!r}.")
    flags = re.DOTALL if groups == "sentences" else 0
    return [found.span() for found in re.finditer(_PATTERNS[groups], text, flags) if found[0].strip()]


class TextModel:
    """A model of texts, such as a fitted pipeline's ``predict_proba``, as a forward function of tensors.

    The input is a text; its words are the players, or other parts, and absent ones are left out. Inside, a word is its
    place in a list of those seen, so that :meth:`encode` gives tensors that Captum's own methods take, too, with
    ``baselines=-1``.

    Args:
        function (Callable): Takes a list of texts and returns numbers: an array or a tensor, a row each.
        groups (str or Callable, optional): ``"words"``, ``"sentences"`` or ``"lines"``, each a player; or a function of
            the text that returns the spans ``(start, end)`` of its players in characters, one behind the other. What
            stands between two of them goes with the first, what stands before all with the first of all.
            Default: "words"

    Attributes:
        absent (int): Marks an absent word: -1.

    Raises:
        TypeError: If ``function`` cannot be called.
        ValueError: If there are no such groups.

    Examples::

        >>> from captum_andor import AndOrInteractions
        >>> from captum_andor.games import TextModel
        >>> praise = lambda texts: torch.tensor([2.0 * ("not" in text and "bad" in text) for text in texts])
        >>> lm = AndOrInteractions(TextModel(praise)).logical_model("not a bad film")
        >>> [str(pattern) for pattern in lm.patterns]
        ['AND {not, bad} +2']
        >>> lm.players.question.absent
        'left out of the text'
    """

    absent: ClassVar[int] = -1
    absent_in_words: ClassVar[str] = "left out of the text"

    def __init__(self, function: Callable[[list[str]], Any], groups: Groups = "words") -> None:
        if not callable(function):
            raise TypeError(
                f"function must take a list of texts and return numbers; got {type(function).__name__}."
                + method_to_pass(function)
            )
        if not callable(groups):
            text_spans("", groups)
        self.function, self.groups = function, groups
        self._parts: list[str] = []
        self._places: dict[str, int] = {}

    def encode(self, text: str) -> Tensor:
        """The words of a text as a tensor, which the model turns back into the text.

        Args:
            text (str): One text.

        Returns:
            - **row** (*Tensor*): int64, shape ``(1, words)``.

        Raises:
            TypeError: If it is no text.
            ValueError: If it has no words, or spans overlap.
        """
        if not isinstance(text, str):
            raise TypeError(f"inputs must be a text; got {type(text).__name__}. Explain texts one by one.")
        spans = text_spans(text, self.groups)
        if not spans:
            raise ValueError(f"inputs must be a text with words; got {text!r:.40}.")
        if any(start < end for (_, end), (start, _) in itertools.pairwise(spans)):
            raise ValueError(f"groups must return spans one behind the other; got {spans!r:.80}.")
        ends = [0, *(start for start, _ in spans[1:]), len(text)]
        parts = [text[start:end] for start, end in itertools.pairwise(ends)]
        for part in parts:
            if part not in self._places:
                self._places[part] = len(self._parts)
                self._parts.append(part)
        return torch.tensor([[self._places[part] for part in parts]], device="cpu")

    def decode(self, rows: Tensor) -> list[str]:
        """The texts that encoded rows stand for, without absent words.

        Args:
            rows (Tensor): As :meth:`encode` gives them, shape ``(N, words)``, -1 for absent.

        Raises:
            ValueError: If a number stands for no word that was encoded.
        """
        places = rows.detach().cpu().tolist()
        if any(not -1 <= place < len(self._parts) or place != int(place) for row in places for place in row):
            raise ValueError(
                f"rows must hold places of the {len(self._parts)} words seen, or -1 where one is absent: pass what "
                "encode(text) returns, and baselines=-1."
            )
        return ["".join(self._parts[int(place)] for place in row if place >= 0).strip() for row in places]

    def shown(self, row: Tensor) -> list[str]:
        """The words of an encoded row ``(words,)``, with numbers where one repeats."""
        return numbered_names([self._parts[int(place)].strip() for place in row.tolist()])

    def of_function(self, function: Callable[[list[str]], Any]) -> TextModel:
        """Another function of the same encoded rows."""
        other = TextModel(function, self.groups)
        other._parts, other._places = self._parts, self._places
        return other

    def __call__(self, rows: Tensor) -> Any:
        """What the function returns for the texts of encoded rows ``(N, words)``."""
        return self.function(self.decode(rows))
