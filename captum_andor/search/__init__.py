"""Search for logical models of games: choice, number and weights of patterns."""

from captum_andor.search.budget import (
    Budget as Budget,
    Known as Known,
    searched_models as searched_models,
    single_player_models as single_player_models,
    spend as spend,
)
from captum_andor.search.complete_games import complete_models as complete_models
from captum_andor.search.estimated_games import (
    COMPLETED_PLAYERS as COMPLETED_PLAYERS,
    estimated_game as estimated_game,
    game_posteriors as game_posteriors,
    model_of_estimate as model_of_estimate,
    unfitted_game as unfitted_game,
)
from captum_andor.search.least_squares import Models as Models, joined_models as joined_models
from captum_andor.search.options import (
    Effort as Effort,
    ModelOptions as ModelOptions,
    Options as Options,
    Weights as Weights,
)
from captum_andor.search.process_pursuit import budgeted_models as budgeted_models
from captum_andor.search.sampled_games import (
    check_budget as check_budget,
    check_sample as check_sample,
    check_sample_size as check_sample_size,
    choose as choose,
)

__all__: list[str] = []
