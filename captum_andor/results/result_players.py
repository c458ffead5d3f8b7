"""Players of a result: their ids and names, and where they sit in the inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from captum_andor._utils.storage import storable
from captum_andor.games import Inputs, PlayerLayout, Question
from captum_andor.results.interactions import PlayerKey
from captum_andor.results.leading_axes import Picks, take
from captum_andor.results.player_names import Names, standard_names


@storable
@dataclass(frozen=True)
class ResultPlayers:
    """Ids, names and input positions of the players of a result.

    Attributes:
        feature_ids: Id of each player, as in the feature mask, sorted.
        names: Name of each player in the same order; None where none were given.
        layout: Where the players sit in the inputs; None for results made from values.
        attribution_dtype: Dtype of attributions.
        question: What the call asked.
    """

    feature_ids: tuple[int, ...]
    names: tuple[str, ...] | None = None
    layout: PlayerLayout | None = None
    attribution_dtype: torch.dtype = torch.float64
    question: Question = field(default_factory=Question)

    @classmethod
    def numbered(cls, n: int, names: Names = None) -> ResultPlayers:
        """Players 0 to n − 1 of a game that was given by its values."""
        ids = tuple(range(n))
        return cls(ids, standard_names(names, ids))

    @classmethod
    def of_inputs(
        cls, layout: PlayerLayout, output_dtype: torch.dtype, names: Names = None, question: Question | None = None
    ) -> ResultPlayers:
        """Players of a model's inputs; attributions get the dtype of its output, at least float32."""
        names = standard_names(names, layout.feature_ids)
        return cls(
            layout.feature_ids, names, layout, torch.promote_types(output_dtype, torch.float32), question or Question()
        )

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.feature_ids)

    @property
    def key(self) -> PlayerKey:
        """Ids and names of the players, for tables and prints."""
        return PlayerKey(self.feature_ids, self.names)

    def scatter(self, per_player: Tensor) -> Inputs:
        """One number per player, shape ``(…, n)``, spread over the elements of the inputs that each player is."""
        if self.layout is None:
            raise ValueError(
                "attributions() needs inputs, but this result was made from game values. "
                "Use shapley_values(), one number per player."
            )
        return self.layout.scatter(per_player.to(self.attribution_dtype))

    def pick(self, picks: Picks) -> ResultPlayers:
        """The players of some examples; masks of each example follow the index, shared ones stay."""
        if self.layout is None or not picks:
            return self
        first = picks[0]
        rows = first if isinstance(first, slice) else slice(first, first + 1 or None)
        indices = tuple(player if len(player) == 1 else take(player, (rows,)) for player in self.layout.indices)
        layout = replace(self.layout, indices=indices)
        return replace(self, layout=layout, question=self.question.of_examples(rows))
