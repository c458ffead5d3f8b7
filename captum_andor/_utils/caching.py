"""Results of methods that are computed once per object and arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

Owner = TypeVar("Owner", bound=Any)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def computed_once(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Keep what a method returns in the dictionary ``_cache`` of its object, by the method's name and arguments.

    The object holds the dictionary itself, so that what is kept goes with it, is not copied by
    ``dataclasses.replace(…, _cache={})``, and can be left out of a pickle. Arguments must be hashable.
    """
    name = method.__name__

    @functools.wraps(method)
    def lookup(self: Owner, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        key = (name, args, tuple(sorted(kwargs.items())))
        if key not in self._cache:
            self._cache[key] = method(self, *args, **kwargs)
        found: Result = self._cache[key]
        return found

    return cast(Callable[Concatenate[Owner, Arguments], Result], lookup)
