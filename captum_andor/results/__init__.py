"""AND and OR patterns, tables of patterns, and the base class of all results."""

from captum_andor.results.effects import PatternEffect as PatternEffect
from captum_andor.results.interactions import (
    Interaction,
    Interactions as Interactions,
    PatternTable as PatternTable,
    salience_threshold as salience_threshold,
)
from captum_andor.results.result import IndexedResult as IndexedResult, Result as Result, shown_count as shown_count
from captum_andor.results.result_players import (
    Axes as Axes,
    Names as Names,
    Picks as Picks,
    ResultPlayers as ResultPlayers,
    standard_names as standard_names,
    take as take,
)
from captum_andor.results.rules import (
    effect_cells as effect_cells,
    named as named,
    rule_of as rule_of,
    shown_patterns as shown_patterns,
    signed as signed,
)
from captum_andor.results.shapiq_bridge import from_shapiq as from_shapiq
from captum_andor.results.strengths import (
    Strengths as Strengths,
    several_results as several_results,
    strength_table as strength_table,
    strengths_of as strengths_of,
)

__all__ = ["Interaction"]
