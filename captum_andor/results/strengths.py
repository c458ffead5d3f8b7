"""Patterns of many outputs side by side: the strength of each pattern in each output."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from captum_andor.results.interactions import Interaction
from captum_andor.results.result import Result

Strengths: TypeAlias = dict[tuple[str, tuple[int, ...]], float]


def several_results(results: Result | Iterable[Result]) -> list[Result]:
    """One or several results as a list."""
    several = [results] if isinstance(results, Result) else list(results)
    for result in several:
        if not isinstance(result, Result):
            raise TypeError(f"results must be LogicalModels or AndOrExplanations; got {type(result).__name__}.")
    if not several or len({result.feature_ids for result in several}) > 1:
        raise ValueError("results must be of the same players, and at least one.")
    return several


def strengths_of(result: Result) -> list[Strengths]:
    """Signed strength of each pattern, a dict for each output; of an explanation its salient interactions."""
    columns = result.axes.places(np.arange(math.prod(result.shape)))
    places = [tuple(map(int, row)) for row in zip(*columns, strict=True)] if columns else [()]
    position = {place: i for i, place in enumerate(places)}
    found: list[Strengths] = [{} for _ in places]
    for pattern in result._compared_patterns():
        found[position[pattern.index]][pattern.kind, pattern.players] = pattern.value
    return found


def strength_table(results: Result | Iterable[Result]) -> tuple[list[Interaction], npt.NDArray[np.float64]]:
    """All patterns of some results, those of most strength in all first, and their strength in every output.

    Returns:
        - **patterns, strengths** (*tuple*): P patterns, of which only kind, players and names count; shape ``(P,
          outputs)``, 0 where an output lacks one.
    """
    several = several_results(results)
    outputs = [strengths for result in several for strengths in strengths_of(result)]
    names = {p.players: p.names for result in several for p in result._compared_patterns()}
    keys = sorted({key for mine in outputs for key in mine})
    table = np.array([[mine.get(key, 0.0) for mine in outputs] for key in keys]).reshape(len(keys), len(outputs))
    order = np.argsort(-np.abs(table).sum(1), kind="stable")
    patterns = []
    for i in order:
        kind, players = keys[i]
        patterns.append(Interaction((), "or" if kind == "or" else "and", players, 0.0, names[players]))
    return patterns, table[order]
