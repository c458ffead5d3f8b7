"""``MaskedOutputs``: outputs of a model on all masked inputs, from which any target and score can be explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_andor.explain.explanation import AndOrExplanation, split_explanation
from captum_andor.explain.logical_model import LogicalModel, complete_model
from captum_andor.games import Inputs, Score, Target, check_score, repeat_target, score_output, standard_target
from captum_andor.games.transforms import shapley_values
from captum_andor.results import Names, ResultPlayers, shown_count, standard_names
from captum_andor.search import Effort, Options, Weights
from captum_andor.split import Split, check_split

_ROWS = 1 << 16  # scored at once


@dataclass(frozen=True, repr=False, eq=False)
class MaskedOutputs:
    """Outputs of a model on all 2^n masked inputs, kept to explain several targets and scores from one pass.

    Made by :meth:`AndOrInteractions.outputs`.

    Attributes:
        outputs (Tensor): float64, shape ``(N, …, 2^n)``, or ``(…, 2^n)`` of a model that returns values of the whole
            batch; coalitions as bit codes.
        n_examples (int): N.
        is_aggregate (bool): Whether outputs are of the whole batch.
        score (str or Callable): What v is where a call does not say.
        players: Ids of the players, where they sit in the inputs, and the dtype of attributions.

    Examples::

        >>> from captum_andor import AndOrInteractions
        >>> kept = AndOrInteractions(torch.nn.Linear(3, 4), score="log_odds").outputs(torch.rand(2, 3))
        >>> [kept.interactions(target=k).shape for k in (0, 3)]
        [(2,), (2,)]
        >>> kept.attribute(target=1, score="prob").shape
        torch.Size([2, 3])
    """

    outputs: Tensor
    n_examples: int
    is_aggregate: bool
    score: Score
    players: ResultPlayers

    @property
    def feature_ids(self) -> tuple[int, ...]:
        """Id of each player, sorted."""
        return self.players.feature_ids

    def values(self, target: Target = None, score: Score | None = None) -> Tensor:
        """Values v of all coalitions.

        Args:
            target (int, tuple, Tensor or list, optional): As in :meth:`AndOrInteractions.attribute`. Default: None
            score (str or Callable, optional): As in :class:`AndOrInteractions`. Default: None (that of the method)

        Returns:
            - **values** (*Tensor*): float64, shape ``(*outputs, 2^n)``.

        Raises:
            ValueError: If the score is unknown or needs other outputs, or a target is out of range.
            TypeError: If the target is of the wrong kind.
        """
        score = self.score if score is None else score
        check_score(score)
        target = standard_target(target, self.n_examples)
        if self.is_aggregate:
            scored = [score_output(output, target, score) for output in self.outputs.movedim(-1, 0)]
            values = torch.stack(scored, dim=-1)
        else:
            step = max(_ROWS // self.n_examples, 1)
            values = torch.cat(
                [self._scored(part, target, score) for part in torch.split(self.outputs, step, -1)], dim=-1
            )
        if not bool(values.isfinite().all()):
            raise ValueError("score is not finite on every coalition; interactions need finite scores.")
        return values

    def _scored(self, outputs: Tensor, target: Target, score: Score) -> Tensor:
        k = outputs.shape[-1]
        scored = score_output(outputs.movedim(-1, 0).flatten(0, 1), repeat_target(target, k), score)
        return scored.view(k, self.n_examples, *scored.shape[1:]).movedim(0, -1)

    def attribute(self, target: Target = None, score: Score | None = None) -> Inputs:
        """Compute :meth:`AndOrInteractions.attribute` without a further forward pass.

        Args:
            target (int, tuple, Tensor or list, optional): As in :meth:`values`. Default: None
            score (str or Callable, optional): As in :meth:`values`. Default: None

        Returns:
            - **attributions** (*Tensor or tuple[Tensor, ...]*): For each input ``(*outputs, *input.shape[1:])``.

        Raises:
            ValueError: As :meth:`values`.
            TypeError: As :meth:`values`.
        """
        return self.players.scatter(shapley_values(self.values(target, score)))

    def interactions(
        self,
        target: Target = None,
        score: Score | None = None,
        split: Split = "sparse",
        noise_bound: float = 0.0,
        tolerance: float = 1e-3,
        *,
        player_names: Names = None,
    ) -> AndOrExplanation:
        """Compute :meth:`AndOrInteractions.interactions` without a further forward pass.

        Args:
            target (int, tuple, Tensor or list, optional): As in :meth:`values`. Default: None
            score (str or Callable, optional): As in :meth:`values`. Default: None
            split (str, optional): As in :meth:`AndOrInteractions.interactions`. Default: "sparse"
            noise_bound (float, optional): Likewise; ``"auto"`` would need the model. Default: 0.0
            tolerance (float, optional): Likewise. Default: 1e-3
            player_names (sequence or mapping, optional): Likewise. Default: None

        Returns:
            - **explanation** (*AndOrExplanation*): Of the outputs that the target leaves.

        Raises:
            ValueError: As :meth:`values`, and if the split or its options are out of range.
            TypeError: As :meth:`values`.
        """
        check_split(split, noise_bound, tolerance, len(self.feature_ids))
        return split_explanation(
            self.values(target, score),
            split,
            noise_bound,
            tolerance,
            self._named(player_names),
        )

    def logical_model(
        self,
        target: Target = None,
        score: Score | None = None,
        max_patterns: int | None = 10,
        min_r2: float | None = None,
        max_order: int | None = None,
        effort: Effort = "auto",
        exact_ends: bool = True,
        seed: int = 0,
        *,
        kinds: str | Sequence[str] = ("and", "or"),
        weights: Weights = "uniform",
        player_names: Names = None,
    ) -> LogicalModel:
        """Compute :meth:`AndOrInteractions.logical_model` from all coalitions, without a further forward pass.

        Args:
            target (int, tuple, Tensor or list, optional): As in :meth:`values`. Default: None
            score (str or Callable, optional): As in :meth:`values`. Default: None
            max_patterns (int, optional): As in :meth:`LogicalModel.from_values`, and so are the others. Default: 10
            min_r2 (float, optional): Default: None
            max_order (int, optional): Default: None
            effort (str, optional): Default: "auto"
            exact_ends (bool, optional): Default: True
            seed (int, optional): Default: 0
            kinds (str or sequence of str, optional): Default: ("and", "or")
            weights (str or sequence of float, optional): Default: "uniform"
            player_names (sequence or mapping, optional): Default: None

        Returns:
            - **model** (*LogicalModel*): Its R² is exact.

        Raises:
            ValueError: As :meth:`values`, and if an option is out of range.
            TypeError: As :meth:`values`.
        """
        options = Options(max_patterns, min_r2, max_order, effort, exact_ends, seed, kinds, weights)
        return complete_model(self.values(target, score), options, self._named(player_names))

    def _named(self, names: Names) -> ResultPlayers:
        return replace(self.players, names=standard_names(names, self.feature_ids) or self.players.names)

    def __repr__(self) -> str:
        shape = shown_count(self.outputs.shape[:-1])
        return f"MaskedOutputs of {shape}, {len(self.feature_ids)} players, score={self.score!r}"
