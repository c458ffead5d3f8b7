"""What the players of a pattern do to v, measured: each alone, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PatternEffect:
    """Mean effects on v of the players T of a pattern, over all contexts S ⊆ N∖T alike.

    Attributes:
        alone: Of each player i, the mean of v(S ∪ {i}) − v(S): the others of the pattern are absent.
        together: The mean of v(S ∪ T) − v(S).
        alone_se: Standard errors of these; 0 where they are exact.
        together_se: Likewise.
    """

    alone: tuple[float, ...]
    together: float
    alone_se: tuple[float, ...]
    together_se: float

    @property
    def surplus(self) -> float:
        """What all do beyond the sum of what each does alone."""
        return self.together - sum(self.alone)

    @property
    def largest_se(self) -> float:
        """The largest of the standard errors."""
        return max(self.together_se, *self.alone_se)
