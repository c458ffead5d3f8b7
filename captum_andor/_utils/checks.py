"""Checks of numbers that several rooms share; each error names the argument, what came and what is expected."""

from __future__ import annotations

from numbers import Real
from typing import Any, TypeVar

import numpy as np


def is_int(number: object) -> bool:
    """Whether it is a whole number of Python or NumPy; ``True`` and ``False`` are not."""
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def is_real(number: object) -> bool:
    """Whether it is a real number of Python or NumPy, NaN and infinity included; ``True`` and ``False`` are not."""
    return isinstance(number, Real) and not isinstance(number, bool)


NameT = TypeVar("NameT", bound=str)


def check_choices(name: str, given: Any, known: tuple[NameT, ...]) -> tuple[NameT, ...]:
    """Some of the known names, one alone or several, in the order of these."""
    chosen = (given,) if isinstance(given, str) else tuple(given)
    if not chosen or any(one not in known for one in chosen):
        raise ValueError(f"{name} must be some of {list(known)}; got {list(chosen)}.")
    return tuple(one for one in known if one in chosen)


def check_count(name: str, count: Any) -> None:
    """Raise unless an argument is a whole number of at least 1."""
    if not is_int(count) or count < 1:
        raise ValueError(f"{name} must be an int ≥ 1; got {count!r}.")


def check_seed(seed: Any) -> None:
    """Raise unless a seed is a whole number of at least 0."""
    if not is_int(seed) or seed < 0:
        raise ValueError(f"seed must be an int ≥ 0; got {seed!r}.")


def check_share(name: str, share: Any) -> None:
    """Raise unless an argument lies between 0 and 1, both excluded."""
    if not is_real(share) or not 0 < float(share) < 1:
        raise ValueError(f"{name} must lie in (0, 1); got {share!r}.")
