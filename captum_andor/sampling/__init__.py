"""Choice of the coalitions to evaluate, checks of coalitions that a caller chose, and what is done with them."""

from captum_andor.sampling.chains import DrawnRows as DrawnRows, chained_design as chained_design, n_passes as n_passes
from captum_andor.sampling.coalitions import (
    PATTERNS as PATTERNS,
    SHAPLEY as SHAPLEY,
    checked_coalitions as checked_coalitions,
    each_once as each_once,
    held_out_at_random as held_out_at_random,
    in_pairs as in_pairs,
    is_inner as is_inner,
    n_held_out as n_held_out,
    orders_seen as orders_seen,
    paired_design as paired_design,
    row_keys as row_keys,
    size_strata as size_strata,
)
from captum_andor.sampling.nested import nested_design as nested_design
from captum_andor.sampling.regime import (
    COMPLETED_PLAYERS as COMPLETED_PLAYERS,
    DICTIONARY_PLAYERS as DICTIONARY_PLAYERS,
    FEWEST_SEARCHED as FEWEST_SEARCHED,
    PREDICTED as PREDICTED,
    REFITTED as REFITTED,
    Regime as Regime,
    regimes as regimes,
)

__all__: list[str] = []
