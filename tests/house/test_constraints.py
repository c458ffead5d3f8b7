"""One table says what arguments may be, and its errors name the argument, what came and what is expected."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from captum_andor._utils.checks import CONSTRAINTS, COUNT, check_arguments, constrained, one_of, optional

ALLOWED: dict[str, list[Any]] = {
    "k": [1, np.int64(3)],
    "max_patterns": [None, 1],
    "tolerance": [1e-9, np.float32(0.5)],
    "missing_share": [0, 0.5],
    "min_r2": [None, 1, 0.1],
    "seed": [0, np.int32(5)],
    "threshold": [None, -math.inf, 3],
    "exact_ends": [True, np.False_],
}
REFUSED: dict[str, list[Any]] = {
    "k": [0, -1, True, 1.0, "1", None],
    "max_patterns": [0, 2.5],
    "tolerance": [0, 1, math.nan, None, True],
    "missing_share": [1, -0.1],
    "min_r2": [0, 1.1, math.nan],
    "seed": [-1, 0.0],
    "threshold": [math.nan, "high"],
    "exact_ends": [1, "yes", None],
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_an_argument_may_be(name: str) -> None:
    for given in ALLOWED[name]:
        check_arguments({name: given})
    for given in REFUSED[name]:
        with pytest.raises(CONSTRAINTS[name].error, match=name) as error:
            check_arguments({name: given})
        assert repr(given) in str(error.value) and CONSTRAINTS[name].expected in str(error.value)


def test_a_call_is_checked_before_it_begins_and_keeps_its_signature() -> None:
    @constrained(way=one_of(("up", "down")), k=optional(COUNT))
    def call(way: str, k: int | None = None, *, seed: int = 0) -> str:
        return f"{way} {k} {seed}"

    assert call("up", k=2) == "up 2 0"
    assert list(inspect.signature(call).parameters) == ["way", "k", "seed"]
    with pytest.raises(ValueError, match=r"way must be one of \['up', 'down'\]; got 'left'"):
        call("left")
    with pytest.raises(ValueError, match="k must be None or an int ≥ 1; got 0"):
        call("up", 0)
    with pytest.raises(ValueError, match="seed must be an int ≥ 0; got -1"):
        call("up", seed=-1)
    with pytest.raises(TypeError, match=r"call\(\) missing 1 required"):
        call()  # type: ignore[call-arg]
