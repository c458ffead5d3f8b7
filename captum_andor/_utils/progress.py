"""A tqdm bar, or nothing in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """Interface of a progress bar."""

    def update(self, n: int) -> Any:
        """Advance the bar by n units."""


@contextmanager
def progress_bar(show: bool, total: int | None, description: str, unit: str = "coalition") -> Iterator[Progress]:
    """A tqdm bar, or nothing."""
    if not show:
        yield _Silent()
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=description, unit=unit) as bar:
        yield bar


class _Silent:
    def update(self, n: int) -> None:
        pass
