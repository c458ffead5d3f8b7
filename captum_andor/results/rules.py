"""Patterns as sentences that their measured effects bear out."""

from __future__ import annotations

from collections.abc import Sequence

from captum_andor.results.effects import PatternEffect
from captum_andor.results.interactions import Interaction

WEIGHT = "weight"  # head of the first column
_NEAR = 0.1  # of the effect of all players: closer effects count as about equal
_KNOWN = 0.25  # of it, that the 95 % intervals of effects may reach for such a sentence
_NORMAL = 1.96  # standard errors that a 95 % interval reaches to either side
_EXACT = 1e-6  # of it: rounding of a float32 model
_LISTED = 4  # players whose effects stand one by one
_ALL_BUT = 8  # players, above which a pattern of all but one is named by the one


def rule_of(pattern: Interaction, effect: PatternEffect, players: Sequence[str]) -> str:
    """A pattern as a sentence: what the presence of its players does to the score.

    "Only together" where none does anything alone and all do what the pattern weighs; "any one of" where each alone
    does what all do; "about" where that is so within the standard errors and a tenth of the effect. Else the effects
    themselves. Where presence moves the score to the other side than the pattern's weight, the weight stands behind.

    Args:
        pattern: Of one output.
        effect: Its measured effect.
        players: Names of all players of the game.

    Examples::

        >>> names = ["d1", "d2", "d3"]
        >>> effect = PatternEffect((16.07, 16.07), 16.07, (0.0, 0.0), 0.0)
        >>> rule_of(Interaction((), "or", (0, 1), 16.07, ("d1", "d2")), effect, names)
        'any one of d1, d2: +16.1'
        >>> effect = PatternEffect((5.2, 2.16), 7.55, (0.0, 0.0), 0.0)
        >>> rule_of(Interaction((), "and", (0, 1), 0.19, ("d1", "d2")), effect, names)
        'd1 alone +5.2, d2 alone +2.16, both +7.55'
    """
    names = [str(name) for name in pattern.names or pattern.players]
    scale = max(abs(effect.together), abs(pattern.value))
    agrees = pattern.value * effect.together > _EXACT * scale**2 or not scale
    aside = "" if agrees else f"beside the other patterns {signed(pattern.value)}"
    if len(names) == 1:
        return f"{names[0]}: {_measured(effect.together, effect.together_se, scale)}{f' ({aside})' * bool(aside)}"
    about = _about(pattern, effect)
    if about is not None:
        joined = _joined(names, players, "or" if pattern.kind == "or" else "and")
        kind = f"any one of {joined}" if pattern.kind == "or" else f"{joined} only together"
        return f"{kind}: {about}{signed(effect.together)}"
    whole = _measured(effect.together, effect.together_se, scale)
    if len(names) <= _LISTED:
        each = ", ".join(
            f"{name} alone {_measured(value, error, scale)}"
            for name, value, error in zip(names, effect.alone, effect.alone_se, strict=True)
        )
        text = f"{each}, {'both' if len(names) == 2 else f'all {len(names)}'} {whole}"
    else:
        low, high = (_measured(end, 0.0, scale) for end in (min(effect.alone), max(effect.alone)))
        text = f"{_joined(names, players, 'and')}: each alone {low} to {high}, all of them {whole}"
    remarks = "; ".join(filter(None, (_surplus(effect, scale), aside)))
    return f"{text} ({remarks})" if remarks else text


def effect_cells(effect: PatternEffect) -> tuple[str, str]:
    """The effects of each player alone and of all as cells of a table; the first is empty for a single player."""
    scale = max(abs(effect.together), *map(abs, effect.alone))
    alone = [0.0 if abs(value) < _EXACT * scale else value for value in effect.alone]
    if len(alone) == 1:
        return "", _plain(effect.together)
    if len(alone) < _LISTED:
        return ", ".join(map(_plain, alone)), _plain(effect.together)
    return f"{_plain(min(alone))} to {_plain(max(alone))}", _plain(effect.together)


def shown_patterns(
    measured: Sequence[tuple[Interaction, PatternEffect]], t: Sequence[float] | None, n_players: int
) -> list[str]:
    r"""Patterns as lines of a table under a head: weights and effects, and a column of \|t\| where that is given."""
    cells = [effect_cells(effect) for _, effect in measured]
    width = max(len("alone"), *(len(alone) for alone, _ in cells))
    middle = "" if t is None else f"{'|t|':>7}  "
    lines = [f"  {WEIGHT:>8}  {middle}{'alone':>{width}}  {'together':>8}  pattern"]
    for i, ((pattern, _), (alone, together)) in enumerate(zip(measured, cells, strict=True)):
        noise = "" if t is None else f"{t[i]:>7.3g}  "
        lines.append(
            f"  {_plain(pattern.value):>8}  {noise}{alone:>{width}}  {together:>8}  {named(pattern, n_players)}"
        )
    return lines


def named(pattern: Interaction, n_players: int | None = None) -> str:
    """A pattern without its weight: a single player by its name, several as ``AND {a, b}``."""
    names = [str(name) for name in pattern.names or pattern.players]
    if len(names) == 1:
        return names[0]
    if n_players is not None and len(names) == n_players > _ALL_BUT:
        names = [f"all {n_players} players"]
    return f"{pattern.kind.upper()} {{{', '.join(names)}}}"


def signed(value: float) -> str:
    """Three digits with a sign, the minus of typography; no sign for 0."""
    return _plain(value).replace("-", "−")


def _plain(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def _about(pattern: Interaction, effect: PatternEffect) -> str | None:
    """What stands before the number of "only together" or "any one of"; None where neither is borne out."""
    size, reach = abs(effect.together), _NORMAL * effect.largest_se
    if pattern.kind == "or":
        off = [abs(value - effect.together) for value in effect.alone]
        agrees = pattern.value * effect.together > 0
    else:  # singles near 0 are not enough for three: two of them may do it
        off, agrees = [*map(abs, effect.alone), abs(effect.together - pattern.value)], True
    if not size or not agrees or reach > _KNOWN * size or max(off) > reach + _NEAR * size:
        return None
    return "" if max(off) <= _EXACT * size and reach <= _EXACT * size else "about "


def _surplus(effect: PatternEffect, scale: float) -> str:
    """How much more all players do than the sum of what each does alone, or how much less, where that is known."""
    more, unsure = effect.surplus, _NORMAL * (effect.together_se + sum(effect.alone_se))
    if abs(more) <= max(unsure, _NEAR * scale):
        return ""
    if more * effect.together > 0:
        return f"{signed(more)} more together"
    largest = max(map(abs, effect.alone))
    if min(effect.alone) * max(effect.alone) <= 0 or effect.together * effect.alone[0] <= 0:
        return ""
    if abs(effect.together) < (1 - _NEAR) * largest:
        return "together less than one alone"
    return f"{signed(-more)} of it already by one" if len(effect.alone) == 2 else "less than the sum"


def _measured(value: float, error: float, scale: float) -> str:
    """A number without rounding error, with the half-width of its 95 % interval where it has one."""
    shown = signed(0.0 if abs(value) < _EXACT * scale else value)
    return f"{shown} ± {_NORMAL * error:.2g}" if error > _EXACT * scale else shown


def _joined(names: list[str], players: Sequence[str], word: str) -> str:
    if len(names) == len(players):
        return f"all {len(players)}"
    missing = [name for name in players if name not in names]
    if len(missing) == 1 and len(names) > _ALL_BUT:
        return f"all but {missing[0]}"
    return ", ".join(names) if word == "or" else f"{', '.join(names[:-1])} and {names[-1]}"
