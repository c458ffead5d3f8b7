"""The game v(S): players, masked inputs, the score of the model on every coalition, and transforms of its values."""

from captum_andor.games import indices, masks, transforms
from captum_andor.games.background import Background
from captum_andor.games.frame_model import FrameModel
from captum_andor.games.game import Game as Game
from captum_andor.games.given_inputs import (
    absent_in_words as absent_in_words,
    baseline_row as baseline_row,
    check_number as check_number,
    column_names as column_names,
    players_of as players_of,
    said_of_absent as said_of_absent,
)
from captum_andor.games.interpretable import (
    InterpretableModel,
    absent_feature as absent_feature,
    feature_names as feature_names,
    numbered_names as numbered_names,
)
from captum_andor.games.players import (
    NO_PLAYER as NO_PLAYER,
    Baselines as Baselines,
    Inputs as Inputs,
    InputsT as InputsT,
    PlayerLayout as PlayerLayout,
    Players as Players,
    Question as Question,
    present_elements as present_elements,
)
from captum_andor.games.removed_parts import RemovedPatches, RemovedTokens
from captum_andor.games.scores import (
    OutputField as OutputField,
    Score as Score,
    Target as Target,
    are_probabilities as are_probabilities,
    by_name as by_name,
    check_output_field as check_output_field,
    check_score as check_score,
    margin as margin,
    method_to_pass as method_to_pass,
    named_call as named_call,
    picked_output as picked_output,
    repeat_target as repeat_target,
    score_output as score_output,
    standard_target as standard_target,
)
from captum_andor.games.subgames import Subgames as Subgames, active_players as active_players
from captum_andor.games.text_model import Groups as Groups, Spans as Spans, TextModel, text_spans as text_spans
from captum_andor.games.transforms import flat_games as flat_games, game_values as game_values

__all__ = [
    "Background",
    "FrameModel",
    "InterpretableModel",
    "RemovedPatches",
    "RemovedTokens",
    "TextModel",
    "indices",
    "masks",
    "transforms",
]
