"""Patterns as sentences that a person can paste."""

from __future__ import annotations

from captum_andor.results.interactions import Interaction


def rule_of(pattern: Interaction, n_players: int) -> str:
    """A pattern as a sentence: who, how, and by how much v moves.

    Examples::

        >>> rule_of(Interaction((), "or", (2, 4, 8), 16.07), 10)
        'any one of 2, 4, 8: +16.1'
        >>> rule_of(Interaction((), "and", (2, 5), 3.2, ("d2", "d5")), 10)
        'd2 and d5 only together: +3.2'
        >>> rule_of(Interaction((), "and", (7,), 1.4), 10)
        'without 7: −1.4'
    """
    names = [str(name) for name in pattern.names or pattern.players]
    if len(names) == 1:
        # what a single player adds is what its absence costs; what it takes is said of its presence
        return (
            f"without {names[0]}: {signed(-pattern.value)}"
            if pattern.value > 0
            else f"with {names[0]}: {signed(pattern.value)}"
        )
    everyone = len(names) == n_players
    if pattern.kind == "or":
        return f"any one of {f'all {n_players}' if everyone else ', '.join(names)}: {signed(pattern.value)}"
    who = f"all {n_players}" if everyone else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{who} only together: {signed(pattern.value)}"


def signed(value: float) -> str:
    """Three digits with a sign, the minus of typography."""
    return f"{value:+.3g}".replace("-", "−")
