"""``ContextInput``: a question with sources, each a player that can be left out of the prompt.

Source: The question after Cohen-Wang et al. 2024 (ContextCite, arXiv 2409.00729).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from captum.attr import TextTemplateInput
from torch import Tensor

_TEMPLATE = "Context:\n{context}\n\nQuestion: {query}"
_NUMBERING = "[{number}] {source}"


class ContextInput(TextTemplateInput):  # type: ignore[misc]  # captum ships no usable types
    r"""A prompt of sources and a question; the sources are the players.

    A source that is left out takes its separator and its number along; the others keep theirs. Everything else stays:
    system text, template, question. Captum's own ``LLMAttribution`` takes it, too.

    Args:
        sources (sequence of str or mapping of str to str): The texts, e.g. retrieved passages; of a mapping the keys
            are their names. The same text twice is two players.
        query (str, optional): The question. Default: "" (a template without ``{query}``)
        template (str, optional): What is asked, with ``{context}`` where the sources stand and ``{query}`` where the
            question does. Default: ``"Context:\n{context}\n\nQuestion: {query}"``
        separator (str, optional): Between two sources. Default: a line break
        numbering (bool or str, optional): True writes ``[2]`` before the second source, whichever others are there; or
            a format of ``{number}`` and ``{source}``. Default: False
        system (str, optional): System message, of a chat template, or put before the prompt. Default: None
        tokenizer (optional): Of a chat model, whose ``apply_chat_template`` makes the prompt a user's message with the
            answer to follow. Default: None (the template alone)
        names (sequence of str, optional): What prints and figures call the sources. Default: None (``d1``, ``d2``, …)

    Attributes:
        sources (list of str): The texts.
        values (list of str): Their names, as Captum's results show them.
        n_itp_features (int): How many there are.
        add_special_tokens (bool): Whether a tokenizer is to add its special tokens; a chat template has them.

    Raises:
        TypeError: If sources are no texts, or an argument is of the wrong kind.
        ValueError: If there are no sources, one is empty, names repeat or are of another number, or the template lacks
            a field.

    Examples::

        >>> inp = ContextInput(["It rained.", "It was dry."], "How was the weather?", numbering=True)
        >>> print(inp.to_model_input(torch.tensor([[0, 1]])))
        Context:
        [2] It was dry.
        <BLANKLINE>
        Question: How was the weather?
    """

    def __init__(
        self,
        sources: Sequence[str] | Mapping[str, str],
        query: str = "",
        *,
        template: str = _TEMPLATE,
        separator: str = "\n",
        numbering: bool | str = False,
        system: str | None = None,
        tokenizer: Any = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.sources = _checked_sources(sources)
        super().__init__(template=lambda *texts: separator.join(filter(None, texts)), values=self.sources)
        given = list(sources) if isinstance(sources, Mapping) and names is None else names
        self.values = _checked_names(given, len(self.sources))
        self.n_itp_features = len(self.sources)
        for name, text in (("query", query), ("template", template), ("separator", separator)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a string; got {type(text).__name__}.")
        if "{context}" not in template:
            raise ValueError(f"template must hold {{context}}, where the sources stand; got {template!r:.80}.")
        if query and "{query}" not in template:
            raise ValueError(f"template must hold {{query}}, where the question stands; got {template!r:.80}.")
        if system is not None and not isinstance(system, str):
            raise TypeError(f"system must be a string or None; got {type(system).__name__}.")
        self.query, self.template, self.separator, self.system = query, template, separator, system
        form = _NUMBERING if numbering is True else numbering
        if form is not False and (not isinstance(form, str) or "{source}" not in form):
            raise ValueError(f"numbering must be True, False or a format that holds {{source}}; got {numbering!r:.80}.")
        self._shown = [
            source if form is False else _filled(form, number=str(i + 1), source=source)
            for i, source in enumerate(self.sources)
        ]
        self.absent_in_words = "left out of the prompt"
        self.add_special_tokens = tokenizer is None
        self._before, self._behind = _frame(tokenizer, system)

    def to_tensor(self) -> Tensor:
        """All sources present: ones, shape ``(1, n)``."""
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> str:
        """The prompt of some of the sources.

        Args:
            perturbed_tensor (Tensor, optional): Shape ``(1, n)``, 0 where a source is left out. Default: None (all)

        Returns:
            - **prompt** (*str*): The text.
        """
        kept = [True] * len(self._shown) if perturbed_tensor is None else perturbed_tensor.flatten().bool().tolist()
        if len(kept) != len(self._shown):
            raise ValueError(f"perturbed_tensor must be of {len(self._shown)} sources; got {len(kept)}.")
        context = self.separator.join(text for text, keep in zip(self._shown, kept, strict=True) if keep)
        return self._before + _filled(self.template, context=context, query=self.query) + self._behind


def _filled(form: str, **fields: str) -> str:
    """A format with its fields put in; all other braces, in the texts, too, stand for themselves."""
    names = "|".join(map(re.escape, fields))
    return re.sub(f"{{({names})}}", lambda field: fields[field[1]], form)


def _frame(tokenizer: Any, system: str | None) -> tuple[str, str]:
    """What a chat template puts before and behind a user's message."""
    if tokenizer is None:
        return ("" if system is None else f"{system}\n\n"), ""
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "tokenizer has no chat template: it is of a model that was not trained to chat. Leave it out, so that "
            "template makes the whole prompt."
        )
    mark = "captum-andor-content"
    messages = [] if system is None else [{"role": "system", "content": system}]
    whole = tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": mark}], tokenize=False, add_generation_prompt=True
    )
    before, found, behind = str(whole).partition(mark)
    if not found:
        raise ValueError("tokenizer's chat template does not show the user's message as it is.")
    return before, behind


def _checked_sources(sources: Any) -> list[str]:
    if isinstance(sources, str) or not isinstance(sources, (Sequence, Mapping)):
        raise TypeError(f"sources must be a sequence of texts, or a mapping of names to texts; got {sources!r:.60}.")
    texts = list(sources.values()) if isinstance(sources, Mapping) else list(sources)
    if not texts:
        raise ValueError("sources is empty: pass at least one text.")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"sources[{i}] must be a string; got {type(text).__name__}.")
        if not text.strip():
            raise ValueError(f"sources[{i}] is empty: a source without text says nothing. Leave it out.")
    return texts


def _checked_names(names: Any, count: int) -> list[str]:
    if names is None:
        return [f"d{i + 1}" for i in range(count)]
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"names must be a sequence of strings; got {names!r:.60}.")
    if len(names) != count:
        raise ValueError(f"names has {len(names)} entries for {count} sources.")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ValueError(f"names must differ, so that results can tell the sources apart; {repeated} stand twice.")
    return list(names)
