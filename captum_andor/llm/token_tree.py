"""Prompts that share beginnings as trees of tokens: what is common is processed once.

A part of a tree is one sequence of tokens, each of which attends to its ancestors alone and stands at its depth, so
that a model with a mask of two dimensions and given positions sees every prompt as if it were alone. Parts follow each
other in the order of a walk in depth; what the next part shares with the last sequence before it is taken from the
cache of keys and values.

Source: After the tree attention of Miao et al. 2024 (arXiv 2305.09781).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captum_andor.llm.prompts import Prompt

_Token = tuple[int, int]  # position and id


@dataclass(frozen=True)
class TreePart:
    """A stretch of the tree that goes through the model at once.

    Attributes:
        kept: Which keys and values are left of those before it, in the order of their depth: places among the previous
            part's own kept ones and, behind these, its tokens.
        ids: Its tokens.
        positions: Their positions in their prompts.
        attends: What each may attend to, bool, shape ``(len(ids), len(kept) + len(ids))``.
        prompts: Which prompts end in it.
        predictors: For each of these the tokens of this part that predict the target's, one for each of the target's.
    """

    kept: list[int]
    ids: list[int]
    positions: list[int]
    attends: npt.NDArray[np.bool_]
    prompts: list[int]
    predictors: list[list[int]]


def _sequences(prompts: Sequence[Prompt], target: Sequence[int]) -> list[tuple[list[_Token], int]]:
    """The tokens that are processed for each prompt, and how many of these are the prompt's own."""
    behind = list(target[:-1])  # nothing is asked of what follows the last token
    result = []
    for prompt in prompts:
        own = [(i, prompt.ids[i]) for i in prompt.visible]
        result.append((own + [(len(prompt) + i, token) for i, token in enumerate(behind)], len(own)))
    return result


def _shared(before: list[_Token], sequence: list[_Token], own: int) -> int:
    """How many tokens two sequences begin with in common; the last one of a prompt is always its own.

    What it predicts is read where it is processed, which may have been in an earlier part.
    """
    most = min(len(before), own - 1)
    count = 0
    while count < most and before[count] == sequence[count]:
        count += 1
    return count


def tree_parts(prompts: Sequence[Prompt], target: Sequence[int], most_tokens: int) -> Iterator[TreePart]:
    """Walk the tree of the prompts, each followed by the target.

    Args:
        prompts: Each once.
        target: Ids of the target, at least one.
        most_tokens: In a part, unless a single prompt needs more.
    """
    sequences = _sequences(prompts, target)
    order = sorted(range(len(prompts)), key=lambda i: sequences[i])
    before: list[_Token] = []
    path: list[int] = []  # places of the tokens of the last sequence, among the kept ones and this part's
    at = 0
    while at < len(order):
        sequence, own = sequences[order[at]]
        depth = _shared(before, sequence, own)
        kept, path = path[:depth], list(range(depth))
        ids: list[int] = []
        positions: list[int] = []
        parents: list[int] = []
        done: list[int] = []
        predictors: list[list[int]] = []
        while at < len(order):
            sequence, own = sequences[order[at]]
            count = _shared(before, sequence, own)
            if ids and len(ids) + len(sequence) - count > most_tokens:
                break
            path = path[:count]
            for position, token in sequence[count:]:
                parents.append(path[-1] if path else -1)
                path.append(depth + len(ids))
                ids.append(token)
                positions.append(position)
            predictors.append([place - depth for place in path[own - 1 :]])
            done.append(order[at])
            before, at = sequence, at + 1
        yield TreePart(kept, ids, positions, _ancestors(parents, depth), done, predictors)


def _ancestors(parents: list[int], depth: int) -> npt.NDArray[np.bool_]:
    """Each token's ancestors and itself, the kept ones first."""
    attends = np.zeros((len(parents), depth + len(parents)), dtype=np.bool_)
    for token, parent in enumerate(parents):
        if parent >= depth:
            attends[token] = attends[parent - depth]
        else:
            attends[token, : parent + 1] = True
        attends[token, depth + token] = True
    return attends
