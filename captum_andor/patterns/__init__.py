"""Patterns, the tables that hold them, and what every result has in common."""

from captum_andor.patterns.interactions import (
    Interaction,
    Interactions as Interactions,
    PatternTable as PatternTable,
    check_count as check_count,
    salience_threshold as salience_threshold,
)
from captum_andor.patterns.leading_axes import Axes as Axes, Picks as Picks, take as take
from captum_andor.patterns.result import (
    Names as Names,
    Result as Result,
    flat_games as flat_games,
    game_values as game_values,
    standard_names as standard_names,
    stored_ids as stored_ids,
)
from captum_andor.patterns.shapiq_bridge import from_shapiq as from_shapiq
from captum_andor.patterns.strengths import (
    Strengths as Strengths,
    several_results as several_results,
    strength_table as strength_table,
    strengths_of as strengths_of,
)

__all__ = ["Interaction"]
