"""What is done with so many players and coalitions: one table, and the constants that it rests on."""

from __future__ import annotations

from dataclasses import dataclass

DICTIONARY_PLAYERS = 20  # up to so many players all patterns are listed: 2 million columns, two transforms a block
COMPLETED_PLAYERS = 16  # 65 536 values; the search on them takes a tenth of a second, and sixteen times that at 20
PREDICTED = 2048  # coalitions of games that are not completed: 40 patterns have 50 each
REFITTED = 256  # coalitions up to which parts have hyperparameters of their own; above, they differ little
TELLING_SHARE = 10  # one pass in so many may go to coalitions that tell patterns apart
FEWEST_SEARCHED = 32  # coalitions; in fewer a search finds patterns that explain anything


@dataclass(frozen=True)
class Regime:
    """What is done with a game of n players of which v is known on m coalitions.

    Attributes:
        is_complete: v is known on all 2^n coalitions; nothing is estimated.
        n_telling: Most of the coalitions that may be chosen to tell patterns apart, the others come in pairs by size.
        search: How few patterns that explain every value are looked for: in a list of all (``"all patterns"``), by
            growing them (``"beams"``), or not at all (``"none"``).
        model: On what logical models are chosen: ``"all values"``, all 2^n as ``"completed"``, or a ``"sample"`` of
            2 048 predicted ones.
        refits: Whether intervals rest on hyperparameters fitted anew to parts of the coalitions.

    Examples::

        >>> Regime.of(12, 512)
        Regime(is_complete=False, n_telling=51, search='all patterns', model='completed', refits=False)
    """

    is_complete: bool
    n_telling: int
    search: str
    model: str
    refits: bool

    @classmethod
    def of(cls, n_players: int, n_coalitions: int) -> Regime:
        """Of n players and m coalitions."""
        if n_coalitions >= 1 << n_players:
            return cls(True, 0, "none", "all values", False)
        search = "all patterns" if n_players <= DICTIONARY_PLAYERS else "beams"
        return cls(
            is_complete=False,
            n_telling=n_coalitions // TELLING_SHARE,
            search=search if n_coalitions >= FEWEST_SEARCHED else "none",
            model="completed" if n_players <= COMPLETED_PLAYERS else "sample",
            refits=n_coalitions <= REFITTED,
        )


def regimes() -> str:
    """What is done for how many players and coalitions, as a table.

    Examples::

        >>> print(regimes())
        players  passes  few patterns are searched  models are chosen on  intervals by refits  telling passes
              8     256  none                       all values            no                                0
             12      24  none                       completed             yes                               2
             12     128  all patterns               completed             yes                              12
             12     512  all patterns               completed             no                               51
             16     512  all patterns               completed             no                               51
             20     512  all patterns               sample                no                               51
             24     256  beams                      sample                yes                              25
             64    1024  beams                      sample                no                              102
    """
    lines = ["players  passes  few patterns are searched  models are chosen on  intervals by refits  telling passes"]
    for n, m in ((8, 256), (12, 24), (12, 128), (12, 512), (16, 512), (20, 512), (24, 256), (64, 1024)):
        regime = Regime.of(n, m)
        lines.append(
            f"{n:>7}  {m:>6}  {regime.search:<25}  {regime.model:<20}  {'yes' if regime.refits else 'no':<19}  "
            f"{regime.n_telling:>14}"
        )
    return "\n".join(lines)
