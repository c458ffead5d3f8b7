"""Search for logical models of games: choice, number and weights of patterns."""

from captum_andor.search.complete_games import complete_models as complete_models
from captum_andor.search.estimated_games import (
    BesideProcess as BesideProcess,
    game_posteriors as game_posteriors,
    restored_games as restored_games,
    stored_parts as stored_parts,
    unfitted_game as unfitted_game,
)
from captum_andor.search.estimated_models import models_of_estimates as models_of_estimates
from captum_andor.search.least_squares import Models as Models
from captum_andor.search.options import (
    Budget as Budget,
    Effort as Effort,
    ModelOptions as ModelOptions,
    Options as Options,
    Weights as Weights,
)
from captum_andor.search.sampled_games import (
    check_budget as check_budget,
    check_sample as check_sample,
    check_sample_size as check_sample_size,
    choose as choose,
    single_player_models as single_player_models,
)
from captum_andor.search.sparse_games import (
    FoundPatterns as FoundPatterns,
    find_patterns as find_patterns,
    untold_neighbours as untold_neighbours,
)

__all__: list[str] = []
