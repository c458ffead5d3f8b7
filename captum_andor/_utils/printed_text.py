"""Text that a call prints and returns."""

from __future__ import annotations


class PrintedText(str):
    """A string that was printed: a notebook that shows what a call returned does not show it again."""

    __slots__ = ()

    def __repr__(self) -> str:
        return ""


def printed(text: str) -> str:
    """Print a text and return it."""
    print(text)
    return PrintedText(text)
