"""What a logical model may look like: number and kind of patterns, effort, weights of coalitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from captum_andor._utils.checks import check_arguments, one_of
from captum_andor._utils.storage import storable

Budget: TypeAlias = int | Literal["auto"] | None
Effort: TypeAlias = Literal["auto", "stable", "accurate", "high"]
_SMALL = 8  # players up to which "auto" shortens exact models: some 60 ms each


Weights: TypeAlias = Literal["uniform", "size", "shapley"] | Sequence[float]


class ModelOptions(TypedDict, total=False):
    """Options of a logical model of values that are there, as keyword arguments."""

    max_patterns: int | None
    min_r2: float | None
    max_order: int | None
    effort: Effort
    exact_ends: bool
    kinds: str | Sequence[str]
    weights: Weights


@storable
@dataclass(frozen=True)
class Options:
    """What a logical model may look like; see :meth:`captum_andor.LogicalModel.from_values`."""

    max_patterns: int | None = 10
    min_r2: float | None = None
    max_order: int | None = None
    effort: Effort = "auto"
    exact_ends: bool = True
    seed: int = 0
    kinds: str | Sequence[str] = ("and", "or")
    weights: Weights = "uniform"

    @classmethod
    def of(cls, caller: str, options: ModelOptions, seed: int) -> Options:
        """The options that keyword arguments name; a TypeError names the first that there is not."""
        unknown = next((name for name in options if name not in ModelOptions.__annotations__), None)
        if unknown is not None:
            known = ", ".join(ModelOptions.__annotations__)
            raise TypeError(f"{caller}() got an unexpected keyword argument {unknown!r}; it takes {known}.")
        return cls(**options, seed=seed)

    @property
    def is_stable(self) -> bool:
        """Whether patterns are chosen by forward selection alone."""
        return self.effort in ("auto", "stable")

    def shortens(self, n: int) -> bool:
        """Whether an exact model of n players, all of whose values are known, is searched for a shorter one."""
        return self.effort == "high" or (self.effort == "auto" and n <= _SMALL)

    def __post_init__(self) -> None:
        check_arguments(vars(self), effort=one_of(get_args(Effort)))
        kinds = (self.kinds,) if isinstance(self.kinds, str) else _entries(self.kinds)
        if not kinds or not set(kinds) <= {"and", "or"}:
            raise ValueError(f'kinds must hold "and", "or" or both; got {self.kinds!r}.')
        object.__setattr__(self, "kinds", kinds)
        if not isinstance(self.weights, str):
            weights = _numbers(self.weights)
            if not weights:
                raise ValueError(
                    f'weights must be "uniform", "size", "shapley" or n + 1 numbers; got {self.weights!r}.'
                )
            object.__setattr__(self, "weights", weights)

    def size_shares(self, n_players: int) -> tuple[float, ...]:
        """Weight of all coalitions of each size together: n + 1 numbers that sum to 1."""
        n = n_players
        even = [math.comb(n, s) / (1 << n) for s in range(n + 1)]
        if self.weights == "uniform":
            shares = even
        elif self.weights == "size":
            shares = [1.0] * (n + 1)
        elif self.weights == "shapley":
            shares = [1 / (s * (n - s)) if 0 < s < n else float(n < 2) for s in range(n + 1)]
        elif isinstance(self.weights, str):
            raise ValueError(f'weights must be "uniform", "size", "shapley" or n + 1 numbers; got {self.weights!r}.')
        elif len(self.weights) != n + 1 or not all(0 <= w < math.inf for w in self.weights) or not any(self.weights):
            raise ValueError(
                f"weights must be {n + 1} finite numbers ≥ 0, not all 0, one for each size of a coalition of {n} "
                f"players; got {list(self.weights)}."
            )
        else:
            largest = max(self.weights)
            shares = [w / largest * share for w, share in zip(self.weights, even, strict=True)]
        total = sum(shares)
        return tuple(share / total for share in shares)


def _entries(given: Any) -> tuple[Any, ...]:
    """The entries of a sequence; none of what is no sequence."""
    try:
        return tuple(given)
    except TypeError:
        return ()


def _numbers(given: Any) -> tuple[float, ...]:
    """The entries of a sequence as floats; none if one is no number."""
    try:
        return tuple(float(number) for number in _entries(given))
    except (TypeError, ValueError):
        return ()
