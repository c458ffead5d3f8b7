"""Choice of the coalitions to evaluate, and checks of coalitions that a caller chose."""

from captum_andor.sampling.coalitions import (
    COMPLETED_PLAYERS as COMPLETED_PLAYERS,
    DICTIONARY_PLAYERS as DICTIONARY_PLAYERS,
    PATTERNS as PATTERNS,
    SHAPLEY as SHAPLEY,
    checked_coalitions as checked_coalitions,
    each_once as each_once,
    held_out_at_random as held_out_at_random,
    is_inner as is_inner,
    n_held_out as n_held_out,
    orders_seen as orders_seen,
    paired_design as paired_design,
    size_strata as size_strata,
)

__all__: list[str] = []
