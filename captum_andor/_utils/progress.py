"""How far a call is: a bar, one line where it takes long, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

_LONG = 10.0  # seconds: what takes longer is announced
_LOOK = 1.5  # seconds after which the first look is taken
_WORTH = 0.3  # of these seconds must be left, or it is over before one has read it


class Progress(Protocol):
    """Interface of a progress bar."""

    def update(self, n: int) -> Any:
        """Advance the bar by n units."""


@contextmanager
def progress_bar(show: bool | None, total: int | None, description: str, unit: str = "coalition") -> Iterator[Progress]:
    """A tqdm bar where ``show`` is True; where it is None, one line if the work takes long; where False, nothing."""
    if show:
        from tqdm.auto import tqdm

        with tqdm(total=total, desc=description, unit=unit) as bar:
            yield bar
    elif show is None:
        announced = Announced(total, description, unit)
        try:
            yield announced
        finally:
            announced.close()
    else:
        yield _Silent()


class _Silent:
    def update(self, n: int) -> None:
        pass


class Announced:
    """Says once, within two seconds, how many units work has and how long it will take, if that is long.

    Where the first unit takes longer than that, how long all will take is a second line, after it.

    Args:
        total: How many units; None where nobody knows.
        description: Of the work.
        unit: What is counted.
    """

    def __init__(self, total: int | None, description: str, unit: str) -> None:
        self._total, self._work, self._unit = total, description or "captum_andor", unit
        self._done, self._start, self._is_said = 0, time.monotonic(), False
        self._counted = 0.0  # seconds until the last unit that is done
        self._timer = threading.Timer(_LOOK, self._look)
        self._timer.daemon = True
        self._timer.start()

    def update(self, n: int) -> None:
        """Count n more units; late enough, say how long what is left takes."""
        if not n:
            return
        is_owed = self._is_said and not self._done
        self._done += n
        self._counted = time.monotonic() - self._start
        if is_owed:
            self._is_said = False
        if is_owed or self._counted > _LONG:
            self._look()

    def close(self) -> None:
        """Nothing is said from now on."""
        self._is_said = True
        self._timer.cancel()

    def _look(self) -> None:
        spent = time.monotonic() - self._start
        if self._is_said:
            return
        if self._total is None:
            words = f"{self._done:,} {self._unit}s so far" if spent > _LONG else ""
        elif not self._done:
            words = f"{self._total:,} {self._unit}s, the first of which take longer than {spent:.1f} s"
        else:
            left = self._counted / self._done * (self._total - self._done)
            is_long = left > _WORTH * _LONG and spent + left > _LONG
            words = f"{self._total:,} {self._unit}s, about {duration(left)} to go" if is_long else ""
        if words:
            self._is_said = True
            print(
                f"{self._work}: {words} (show_progress=True: a bar, False: no such line)", file=sys.stderr, flush=True
            )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, rounded."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
