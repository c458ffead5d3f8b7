"""Base class of all results: leading shape, attributions, indices, printing, files."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.storage import Stored
from captum_andor.games import Inputs, flat_games
from captum_andor.games.indices import Index, banzhaf_values, interaction_index, multi_order_interaction
from captum_andor.results.effects import PatternEffect
from captum_andor.results.interactions import Interaction
from captum_andor.results.result_players import Axes, Picks, ResultPlayers, standard_index
from captum_andor.results.rules import WEIGHT
from captum_andor.results.shapiq_bridge import moebius_terms, to_shapiq

if TYPE_CHECKING:
    import shapiq

_SHOWN = 3  # outputs that a print shows
_MANY = 100  # outputs, more than anyone asks for but by leaving out the target
IndexedT = TypeVar("IndexedT", bound="IndexedResult")


class IndexedResult(Stored, ABC):
    """A result for outputs of some leading shape ``(…)``, over players with ids.

    Players are called by their ids wherever a person reads or writes them: patterns, tables, :meth:`coalitions_of`.
    Tensors with an axis of players have them in the order of ``feature_ids``.

    Attributes:
        axes: The axes of the leading shape: what tables call them, and where parts of a result stood in the whole.
        players: Ids and names of the players, where they sit in the inputs, and the dtype of attributions.
    """

    axes: Axes
    players: ResultPlayers

    @abstractmethod
    def _select(self: IndexedT, picks: Picks) -> IndexedT:
        """The result of some outputs, by an integer or slice for each axis."""

    @abstractmethod
    def _headline(self) -> str:
        """First line of the print, less the class and the number of outputs."""

    @abstractmethod
    def _table(self) -> list[str]:
        """Lines of the print for a single output."""

    def _legend(self) -> list[str]:
        """What the columns of the tables in a print mean."""
        return []

    def _caveats(self) -> list[str]:
        """What prints of a single output say of what is not known."""
        return []

    @property
    def shape(self) -> tuple[int, ...]:
        """Leading shape: that of the explained outputs."""
        return self.axes.shape

    @property
    def feature_ids(self) -> tuple[int, ...]:
        """Id of each player, as in the feature mask, sorted."""
        return self.players.feature_ids

    @property
    def player_names(self) -> tuple[str, ...] | None:
        """Name of each player in the order of the ids, which prints and tables show; None where none were given."""
        return self.players.names

    @property
    def output_names(self) -> tuple[str, ...] | None:
        """Name of each output in the flattened leading shape, e.g. the tokens of an answer; None where it has none."""
        labels = self.axes.output_labels()
        return None if labels is None else tuple(labels)

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return self.players.n_players

    def coalitions_of(self, players: Sequence[Iterable[int]]) -> Tensor:
        """Coalitions by the feature ids of their players, as :meth:`predict` takes them.

        Args:
            players (sequence of iterables of int): The ids of the players that each coalition keeps.

        Returns:
            - **coalitions** (*Tensor*): bool, shape ``(m, n)``, columns in the order of ``feature_ids``.

        Raises:
            TypeError: If it is no sequence of iterables.
            ValueError: If an id is none of a player.
        """
        if not isinstance(players, Sequence) or not all(isinstance(ids, Iterable) for ids in players):
            raise TypeError(
                f"players must be a sequence of sets of feature ids, e.g. [{{3, 7}}, ()]; got {players!r:.80}."
            )
        result = torch.zeros(len(players), self.n_players, dtype=torch.bool, device="cpu")
        position = {player: i for i, player in enumerate(self.feature_ids)}
        for row, ids in enumerate(players):
            for player in ids:
                if player not in position:
                    raise ValueError(f"players has {player!r}, which is none of the feature ids {self.feature_ids}.")
                result[row, position[player]] = True
        return result

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"this {type(self).__name__} is of a single game and has no length.")
        return self.shape[0]

    def __getitem__(self: IndexedT, index: Any) -> IndexedT:
        """The result of some outputs: integers, slices and an ellipsis over the leading shape.

        It shares no memory with this one. Its tables and patterns keep the positions that its outputs have here.
        """
        return self._select(standard_index(index, self.shape))

    def __iter__(self: IndexedT) -> Iterator[IndexedT]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        count = math.prod(self.shape)
        lines = [f"{type(self).__name__} of {shown_count(self.shape)}, {self._headline()}"]
        question = self.players.question
        lines += [f"players: {question.note}"] if question.note else []
        labels = self.axes.output_labels()
        for place, index in enumerate(islice(product(*map(range, self.shape)), _SHOWN)):
            name = f"{list(index)} " if count > 1 else ""
            name += f"{labels[place]!r}: " if labels is not None else ""
            if len(question.called) in (1, count):
                name += f"{question.called[place % len(question.called)]}: "
            first, *rest = self[index]._table()
            lines += [name + first, *rest]
        if count > _SHOWN:
            lines.append(f"… and {count - _SHOWN:,} more; index the result to see them.")
        if count > _MANY:
            lines.append("Explain one class with target=.")
        lines += self._legend() if any(line.split()[:1] == [WEIGHT] for line in lines) else []
        lines += [f"absent: {question.absent}"] if question.absent else []
        return "\n".join(lines)

    def _check_coalitions(self, coalitions: Tensor) -> None:
        if not isinstance(coalitions, Tensor) or coalitions.dtype != torch.bool:
            got = coalitions.dtype if isinstance(coalitions, Tensor) else type(coalitions).__name__
            raise TypeError(f"coalitions must be a bool tensor, True where a player is kept; got {got}.")
        leading = tuple(coalitions.shape[:-2])
        if coalitions.ndim < 2 or coalitions.shape[-1] != self.n_players or leading not in ((), self.shape):
            raise ValueError(
                f"coalitions must have shape (m, {self.n_players}) or (*{self.shape}, m, {self.n_players}); "
                f"got {tuple(coalitions.shape)}."
            )

    @classmethod
    def _of_state(cls: type[IndexedT], state: dict[str, Any]) -> IndexedT:
        found = super()._of_state(state)
        shape = tuple(found.values.shape[:-1])  # type: ignore[attr-defined]
        if shape != found.shape:
            raise ValueError(f"its axes have shape {found.shape}, its values {shape}")
        return found


class Result(IndexedResult):
    """A result that consists of AND and OR patterns."""

    @abstractmethod
    def shapley_values(self) -> Tensor:
        """One number per player, float64, shape ``(…, n)``."""

    @abstractmethod
    def top(self, k: int = 10) -> list[Interaction]:
        """The k strongest patterns of each output, strongest first."""

    @abstractmethod
    def _findings(self, k: int | None = None) -> list[Interaction]:
        """The k strongest patterns that prints and figures of a single output list."""

    @abstractmethod
    def _measured(self, k: int | None = None) -> list[tuple[Interaction, PatternEffect]]:
        """The same with their measured effects."""

    def _within_noise(self) -> int:
        """How many patterns of a single output are left out of these, since noise alone has stronger ones."""
        return 0

    _is_sparse = False  # whether few of the 2^n interactions are not 0

    def _surrogate_values(self) -> Tensor:
        """The surrogate h on all coalitions: float64, shape ``(…, 2^n)``."""
        return self._all_values()

    @abstractmethod
    def _compared_patterns(self) -> Iterable[Interaction]:
        """The patterns that comparisons count: all of a logical model, the salient interactions of a split."""

    @abstractmethod
    def _refit_with_noise(self, noise: float, generator: torch.Generator) -> Result:
        """Refit the result after adding normal noise to v, its standard deviation relative to |v(N) − v(∅)|."""

    @abstractmethod
    def _all_values(self) -> Tensor:
        """Values that the result predicts for all coalitions: float64, shape ``(…, 2^n)``."""

    def interaction_index(self, index: Index = "k-SII", order: int = 2) -> Tensor:
        """Another index of interaction that follows from this result; see :mod:`captum_andor.games.indices`.

        Args:
            index (str, optional): ``"SII"``, ``"k-SII"``, ``"BII"``, ``"STII"`` or ``"FSII"``. Default: "k-SII"
            order (int, optional): Largest number of players. Default: 2

        Returns:
            - **index** (*Tensor*): float64, shape ``(…, 2^n)``, by the bit code of the players; 0 elsewhere.

        Raises:
            ValueError: If there is no such index, the order is not 1 to n, or there are more than 20 players.
        """
        return interaction_index(self._all_values(), index, order)

    def pair_interactions(self, index: Index = "SII") -> Tensor:
        """Interactions of every two players as a matrix, as ``shap_interaction_values`` of shap.

        Args:
            index (str, optional): As in :meth:`interaction_index`. Default: "SII"

        Returns:
            - **pairs** (*Tensor*): float64, shape ``(…, n, n)``, symmetric: half of each pair's interaction above and
              half below the diagonal and, on it, what is left of the player's Shapley value, so that rows add up to
              Shapley values, and all of it to v(N) - v(∅).

        Raises:
            ValueError: As :meth:`interaction_index`.

        Examples::

            >>> from captum_andor import LogicalModel
            >>> lm = LogicalModel.from_values([0.0, 1.0, 0.0, 3.0])  # a: 1; a and b: 2 more
            >>> lm.pair_interactions().tolist()
            [[1.0, 1.0], [1.0, 0.0]]
        """
        n = self.n_players
        by_code = self.interaction_index(index, min(2, n))
        pairs = torch.zeros(*by_code.shape[:-1], n, n, dtype=by_code.dtype, device=by_code.device)
        for i in range(n):
            for j in range(i):
                pairs[..., i, j] = pairs[..., j, i] = by_code[..., 1 << i | 1 << j] / 2
        shapley = self.shapley_values().to(pairs)
        pairs[..., range(n), range(n)] = shapley - pairs.sum(-1)
        return pairs

    def banzhaf_values(self) -> Tensor:
        """Banzhaf values: float64, shape ``(…, n)``; see :func:`captum_andor.games.indices.banzhaf_values`."""
        return banzhaf_values(self._all_values())

    def multi_order_interaction(self) -> Tensor:
        """Interaction of every two players in contexts of every size: float64, shape ``(…, n - 1, n, n)``.

        See :func:`captum_andor.games.indices.multi_order_interaction`.
        """
        return multi_order_interaction(self._all_values())

    def to_shapiq(
        self, index: Index | Literal["Moebius"] = "Moebius", max_order: int | None = None
    ) -> shapiq.InteractionValues | list[shapiq.InteractionValues]:
        """The surrogate's interactions as shapiq's ``InteractionValues``, for its plots and tools.

        Args:
            index (str, optional): ``"Moebius"``, AND terms, as which OR terms are rewritten that they equal; or as in
                :meth:`interaction_index`. Default: "Moebius"
            max_order (int, optional): Largest number of players. Default: None (all of Möbius terms, else 2)

        Returns:
            - **interactions** (*shapiq.InteractionValues or list*): Keyed by player positions; a list of these for
              several outputs, in the order of the flattened leading shape.

        Raises:
            ImportError: If shapiq is not installed.
            ValueError: If there are more than 20 players, no such index, or the order is not 1 to n.
        """
        if index != "Moebius":
            order = min(2, self.n_players) if max_order is None else max_order
            games = flat_games(self._all_values())
            terms = list(flat_games(self.interaction_index(index, order)))
        else:
            order = self.n_players if max_order is None else max_order
            games = flat_games(self._surrogate_values())
            terms = [moebius_terms(game, order) for game in games]
        is_sparse = self._is_sparse or index != "Moebius"
        found = [to_shapiq(*pair, index, order, is_sparse) for pair in zip(games, terms, strict=True)]
        return found[0] if len(found) == 1 else found

    def to_shap(self, data: Any = None) -> Any:
        """Shapley values as shap's ``Explanation``, for its plots.

        Args:
            data (array, optional): What shap shows beside each player, shape ``(n,)`` or one row an output ``(N, n)``.
                Default: None

        Returns:
            - **explanation** (*shap.Explanation*): ``values`` ``(…, n)``, ``base_values`` v(∅) ``(…,)``, ``data``, and
              ``feature_names``; of one output without its dimension.

        Raises:
            ImportError: If shap is not installed.
            ValueError: If data have another shape.
        """
        try:
            from shap import Explanation
        except ImportError as error:
            raise ImportError("to_shap() needs shap: pip install shap") from error
        values = self.shapley_values().detach().cpu().numpy()
        each = product(*map(range, self.shape))
        base: Any = np.array([self[index]._ends()[0] for index in each]).reshape(values.shape[:-1])
        if math.prod(self.shape) == 1:
            values, base = values.reshape(-1), float(base.sum())
        names = [str(name) for name in (self.player_names or self.feature_ids)]
        shown = None if data is None else np.asarray(data)
        if shown is not None and shown.shape not in (values.shape, values.shape[-1:]):
            raise ValueError(f"data must have the shape {values.shape} or {values.shape[-1:]}; got {shown.shape}.")
        if shown is not None:
            shown = np.broadcast_to(shown, values.shape)  # as shap's figures of several rows want it
        return Explanation(values=values, base_values=base, data=shown, feature_names=names)

    def attributions(self) -> Inputs:
        """Shapley values scattered over the inputs, as ``AndOrInteractions.attribute`` returns them.

        Returns:
            - **attributions** (*Tensor or tuple of Tensors*): Each ``(*outputs, *input.shape[1:])``; every element
              carries its player's value. A tuple if the inputs were one.

        Raises:
            ValueError: If the result was made from values, without inputs.
        """
        return self.players.scatter(self.shapley_values())

    @abstractmethod
    def _ends(self) -> tuple[float, float]:
        """Values h(∅) and h(N) of the surrogate, for a result of a single output."""

    @abstractmethod
    def order_strength(self) -> Tensor:
        """Sums of positive and of negative strengths by order: float64, shape ``(…, 2, n + 1)``."""


def shown_count(shape: Sequence[int]) -> str:
    """The leading shape of a result in words."""
    if math.prod(shape) == 1:
        return "one output"
    return f"{' × '.join(f'{size:,}' for size in shape)} outputs"
