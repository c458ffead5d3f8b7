"""Choice of the coalitions to evaluate, and checks of coalitions that a caller chose."""

from captum_andor.sampling.given_coalitions import (
    checked_coalitions as checked_coalitions,
    each_once as each_once,
    held_out_at_random as held_out_at_random,
    is_inner as is_inner,
    size_strata as size_strata,
)
from captum_andor.sampling.pairs import PATTERNS as PATTERNS, SHAPLEY as SHAPLEY, paired_design as paired_design
from captum_andor.sampling.sampling_plan import (
    DICTIONARY_PLAYERS as DICTIONARY_PLAYERS,
    Design as Design,
    design as design,
    n_held_out as n_held_out,
    orders_seen as orders_seen,
)

__all__: list[str] = []
