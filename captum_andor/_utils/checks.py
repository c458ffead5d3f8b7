"""Checks of arguments: one table of what they may be, by name, and the decorator that checks them before the call."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ParamSpec, TypeVar

import numpy as np

ParametersT = ParamSpec("ParametersT")
ReturnT = TypeVar("ReturnT")


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


def is_frame(given: Any) -> bool:
    """Whether it has named columns and is none of Python's mappings."""
    return hasattr(given, "columns") and hasattr(given, "to_numpy")


def is_series(given: Any) -> bool:
    """Whether it is one named column, or one row."""
    return hasattr(given, "to_numpy") and not hasattr(given, "columns")


@dataclass(frozen=True)
class Constraint:
    """What one argument may be.

    Attributes:
        expected: The rest of the sentence "the argument must …".
        holds: Whether a value is allowed.
        error: What is raised if not.
    """

    expected: str
    holds: Callable[[Any], bool]
    error: type[Exception] = ValueError

    def check(self, name: str, given: Any) -> None:
        """Raise unless the argument is allowed."""
        if not self.holds(given):
            raise self.error(f"{name} must {self.expected}; got {given!r}.")


def whole(least: int, error: type[Exception] = ValueError) -> Constraint:
    """A whole number from some least one on."""
    return Constraint(f"be an int ≥ {least}", lambda given: is_int(given) and given >= least, error)


def one_of(choices: tuple[str, ...]) -> Constraint:
    """One of some names."""
    return Constraint(f"be one of {list(choices)}", lambda given: isinstance(given, str) and given in choices)


def optional(constraint: Constraint) -> Constraint:
    """None, too."""
    return Constraint(
        f"be None or {constraint.expected.removeprefix('be ')}",
        lambda given: given is None or constraint.holds(given),
        constraint.error,
    )


COUNT = whole(1)


SHARE = Constraint("lie in (0, 1)", lambda given: is_real(given) and 0 < float(given) < 1)


NON_NEGATIVE = Constraint("be a finite number ≥ 0", lambda given: is_real(given) and 0 <= float(given) < math.inf)


POSITIVE = Constraint("be a finite number > 0", lambda given: is_real(given) and 0 < float(given) < math.inf)


FLAG = Constraint("be True or False", lambda given: isinstance(given, (bool, np.bool_)), TypeError)


# An argument means the same wherever it occurs; where it does not, the decorator says what it may be.
CONSTRAINTS: dict[str, Constraint] = {
    **dict.fromkeys(
        ("batch_size", "k", "max_players", "max_sets", "n_patterns", "n_resamples", "n_samples", "num_trials", "top"),
        COUNT,
    ),
    **dict.fromkeys(("high_order", "max_order", "max_patterns", "steps"), optional(COUNT)),
    **dict.fromkeys(("error_tolerance", "fraction", "r2_tolerance", "tolerance"), SHARE),
    **dict.fromkeys(("check_repeats", "exact_ends"), FLAG),
    "missing_share": Constraint("lie in [0, 1)", lambda given: is_real(given) and 0 <= float(given) < 1),
    "min_r2": Constraint(
        "be None or lie in (0, 1]", lambda given: given is None or (is_real(given) and 0 < float(given) <= 1)
    ),
    "parallel_requests": whole(1, TypeError),
    "retries": whole(0, TypeError),
    "seed": whole(0),
    "threshold": optional(Constraint("be a number", lambda given: is_real(given) and not math.isnan(float(given)))),
    "tokens_per_batch": optional(whole(1, TypeError)),
    # of studies
    **dict.fromkeys(("epochs", "folds", "levels", "n_points", "n_references", "n_shuffles", "repeats"), COUNT),
    "confidence": SHARE,
}


def check_arguments(given: Mapping[str, Any], **further: Constraint) -> None:
    """Raise at the first of some arguments that is not what the table, or a further constraint, says."""
    for name, constraint in {**CONSTRAINTS, **further}.items():
        if name in given:
            constraint.check(name, given[name])


def constrained(**further: Constraint) -> Callable[[Callable[ParametersT, ReturnT]], Callable[ParametersT, ReturnT]]:
    """A function whose arguments are checked before it is called.

    Args:
        **further: Arguments that the table lacks, or that mean something else here.
    """

    def decorate(function: Callable[ParametersT, ReturnT]) -> Callable[ParametersT, ReturnT]:
        signature = inspect.signature(function)
        known = {name: one for name, one in {**CONSTRAINTS, **further}.items() if name in signature.parameters}

        @functools.wraps(function)
        def checked(*args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ReturnT:
            try:
                bound = signature.bind(*args, **kwargs).arguments
            except TypeError:  # Python's own message names the function
                return function(*args, **kwargs)
            for name, constraint in known.items():
                if name in bound:
                    constraint.check(name, bound[name])
            return function(*args, **kwargs)

        return checked

    return decorate
