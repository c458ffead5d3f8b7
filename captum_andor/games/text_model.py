"""Models of texts: the words of a text as a tensor, and back to the text without those that are absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from captum_andor.games.interpretable import numbered_names
from captum_andor.games.scores import method_to_pass


def split_words(text: str) -> list[str]:
    """Words with the spaces behind them, which joined are the text."""
    return re.findall(r"(?:^\s+)?\S+\s*", text)


class TextModel:
    """A model of texts, such as a fitted pipeline's ``predict_proba``, as a forward function of tensors.

    The input is a text, its words are the players unless a feature mask joins some, and absent words are left out.
    Inside, a word is its place in a list of those seen, so that :meth:`encode` gives tensors that Captum's own methods
    take, too, with ``baselines=-1``.

    Args:
        function (Callable): Takes a list of texts and returns numbers: an array or a tensor, a row each.
        split (Callable, optional): Takes a text and returns its parts, such as sentences; joined they are the text.
            Default: None (words, each with the spaces beside it)

    Attributes:
        absent (int): Marks an absent word: -1.

    Raises:
        TypeError: If ``function`` or ``split`` cannot be called.

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

    def __init__(
        self, function: Callable[[list[str]], Any], split: Callable[[str], Sequence[str]] | None = None
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"function must take a list of texts and return numbers; got {type(function).__name__}."
                + method_to_pass(function)
            )
        if split is not None and not callable(split):
            raise TypeError(f"split must take a text and return its parts; got {type(split).__name__}.")
        self.function, self.split = function, split_words if split is None else split
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
            ValueError: If it has no words, or the parts that ``split`` returns do not make up the text.
        """
        if not isinstance(text, str):
            raise TypeError(f"inputs must be a text; got {type(text).__name__}. Explain texts one by one.")
        parts = list(self.split(text))
        if not text.strip() or not parts:
            raise ValueError(f"inputs must be a text with words; got {text!r:.40}.")
        if "".join(parts) != text:
            raise ValueError(
                f"split must return parts that joined are the text; got {''.join(parts)!r:.60} of {text!r:.60}. Leave "
                "spaces and punctuation in the parts."
            )
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
        return numbered_names([self._parts[int(place)].strip() or "␣" for place in row.tolist()])

    def of_function(self, function: Callable[[list[str]], Any]) -> TextModel:
        """Another function of the same encoded rows."""
        other = TextModel(function, self.split)
        other._parts, other._places = self._parts, self._places
        return other

    def __call__(self, rows: Tensor) -> Any:
        """What the function returns for the texts of encoded rows ``(N, words)``."""
        return self.function(self.decode(rows))
