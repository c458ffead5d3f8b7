"""Insertion and deletion curves: what v does as the strongest players leave, or enter, one after another."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captum_andor._utils.checks import constrained
from captum_andor._utils.progress import progress_bar
from captum_andor.explain.attribution import AndOrInteractions
from captum_andor.explain.estimate import GameEstimate
from captum_andor.explain.explanation import AndOrExplanation
from captum_andor.explain.logical_model import LogicalModel
from captum_andor.games import NO_PLAYER, Baselines, Game, Players, Target
from captum_andor.results import ResultPlayers
from captum_andor.sampling import row_keys
from captum_andor.visualization import plot_deletion_curve

if TYPE_CHECKING:
    import pandas as pd

_MOST_STEPS = 64  # of so many players one leaves at a step; of more, several


@dataclass(frozen=True, repr=False, eq=False)
class DeletionCurve:
    """What v does as players leave or enter, those of the largest attributions first.

    Attributes:
        deletion (Tensor): v with the first 0, … players removed, float64, shape ``(N, steps + 1)``: v(N) to v(∅).
        insertion (Tensor): v with the first 0, … players alone, same shape: v(∅) to v(N).
        counts (Tensor): How many players have left or entered, int64, shape ``(steps + 1,)``.
        order (Tensor): Ids of the players, those of the largest attributions first, int64, shape ``(N, n)``.
        n_evaluations (int): How many coalitions of each example the model was asked for.
        absent (str): What players that are absent are replaced by.
        unit (str): Of v; empty where it has none.
    """

    deletion: Tensor
    insertion: Tensor
    counts: Tensor
    order: Tensor
    n_evaluations: int
    absent: str = ""
    unit: str = ""

    @property
    def deletion_area(self) -> Tensor:
        """Mean of v along the deletion curve, by the share of players removed: shape ``(N,)``; less is better."""
        return torch.trapezoid(self.deletion, self._shares, dim=-1)

    @property
    def insertion_area(self) -> Tensor:
        """Mean of v along the insertion curve, by the share of players there: shape ``(N,)``; more is better."""
        return torch.trapezoid(self.insertion, self._shares, dim=-1)

    @property
    def _shares(self) -> Tensor:
        return self.counts.to(self.deletion.device, torch.float64) / self.order.shape[1]

    def to_dataframe(self) -> pd.DataFrame:
        """The curves as a table.

        Returns:
            - **table** (*pandas.DataFrame*): Columns ``sample``, ``count``, ``share``, ``deletion``, ``insertion``.
        """
        import pandas as pd

        n, steps = self.deletion.shape
        return pd.DataFrame(
            {
                "sample": torch.arange(n, device="cpu").repeat_interleave(steps).numpy(),
                "count": self.counts.repeat(n).cpu().numpy(),
                "share": self._shares.repeat(n).cpu().numpy(),
                "deletion": self.deletion.flatten().cpu().numpy(),
                "insertion": self.insertion.flatten().cpu().numpy(),
            }
        )

    def plot(self, **options: Any) -> Any:
        """Draw both curves, of several examples their means over thin lines; see :func:`plot_deletion_curve`.

        Args:
            **options: As there: title, fig_size, plt_fig_axis, use_pyplot.

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        title = options.pop("title", f"absent: {self.absent}" if self.absent else None)
        curves = (part.cpu().numpy() for part in (self._shares, self.deletion, self.insertion))
        return plot_deletion_curve(*curves, unit=self.unit, title=title, **options)

    def __repr__(self) -> str:
        """The areas, averaged over examples."""
        count = len(self.deletion)
        of = f"DeletionCurve of {count} example{'s' * (count != 1)}, {self.order.shape[1]} players"
        lines = [
            f"{of}, {self.n_evaluations} coalitions asked of the model",
            f"deletion area {float(self.deletion_area.mean()):.4g} (less is better), insertion area "
            f"{float(self.insertion_area.mean()):.4g} (more is better)",
        ]
        return "\n".join([*lines, *([f"absent: {self.absent}"] if self.absent else [])])


@torch.no_grad()
@constrained()
def deletion_curve(
    method: AndOrInteractions,
    inputs: Any,
    attributions: Any,
    baselines: Baselines = None,
    target: Target = None,
    additional_forward_args: Any = None,
    feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
    perturbations_per_eval: int | None = None,
    show_progress: bool | None = None,
    *,
    steps: int | None = None,
) -> DeletionCurve:
    """Insertion and deletion curves of any attributions: ours, or those of any method of Captum.

    Players leave, and enter, in the order of their attributions, the largest first. Of attributions by element a player
    has the sum over its elements, or, where all of them have one value, as methods return it that take a feature mask,
    that value.

    Args:
        method (AndOrInteractions): Of the model, with the score that is drawn.
        inputs (Tensor, tuple, frame or dict): As in :meth:`AndOrInteractions.attribute`, and so are the others.
        attributions (Tensor, tuple, dict or result): Shaped like the inputs; or an :class:`AndOrExplanation`,
            :class:`LogicalModel` or :class:`GameEstimate` of these inputs, one output of each example, whose Shapley
            values order the players and whose values are not asked for again.
        baselines (scalar, Tensor, tuple of these, optional): Default: None
        target (int, tuple, Tensor or list, optional): Default: None
        additional_forward_args (Any, optional): Default: None
        feature_mask (Tensor, tuple or str, optional): The players. Default: None
        perturbations_per_eval (int, optional): Default: None
        show_progress (bool, optional): Show a tqdm bar. None: one line on stderr where it takes more than ten seconds;
            False: nothing. Default: None
        steps (int, optional): In how many steps all players leave; None takes one player at a step, of more than 64
            players 64 steps. Default: None

    Returns:
        - **curve** (*DeletionCurve*): For each example; of at most 2n coalitions.

    Raises:
        TypeError: If attributions are of another kind.
        ValueError: If shapes do not fit, an attribution is not finite, v has several values an example, or steps are
            not 1 to n.

    Examples::

        >>> from captum.attr import InputXGradient
        >>> model = lambda x: x[:, 0] * x[:, 1] + x[:, 2]
        >>> x = torch.tensor([[2.0, 1.0, 1.0]])
        >>> curve = deletion_curve(AndOrInteractions(model), x, InputXGradient(model).attribute(x))
        >>> curve.deletion, curve.insertion
        (tensor([[3., 1., 1., 0.]], dtype=torch.float64), tensor([[0., 0., 2., 3.]], dtype=torch.float64))
        >>> float(curve.deletion_area)
        1.1666666666666667

    Source: Petsiuk, Das and Saenko 2018 (RISE); Samek et al. 2017 (region perturbation).
    """
    players, game = method._game(
        inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, budgeted=True
    )
    values = _by_player(attributions, players)
    order = values.argsort(dim=1, descending=True, stable=True)
    n = players.n_players
    if steps is not None and steps > n:
        raise ValueError(f"steps must be 1 to the number of players, {n}; got {steps}.")
    counts = torch.linspace(0, n, (steps or min(n, _MOST_STEPS)) + 1, device="cpu").round().long()
    rank = torch.arange(n, device="cpu")
    entered = rank < counts[:, None]
    asked = torch.cat([~entered, entered[1:-1]])  # of ranks: the strongest player is player 0 of every example
    known = _known_values(attributions, order, asked)
    missing = known.isnan().any(0).nonzero()[:, 0]
    if len(missing):
        with progress_bar(show_progress, len(missing), "Deletion curve") as bar:
            fresh = _ranked(game, order).evaluate(asked[missing], bar)
        if fresh.shape[:-1] != (players.n_examples,):
            raise ValueError(
                f"v must be one number for each of {players.n_examples} examples; it has shape "
                f"{tuple(fresh.shape[:-1])}. Pass a target, or a score that reduces outputs."
            )
        if fresh.shape[-1] < len(missing):
            raise KeyboardInterrupt(f"after {fresh.shape[-1]} of {len(missing)} coalitions")
        known = known.to(fresh.device)
        known[:, missing] = fresh
    last = len(counts)
    deletion = known[:, :last]
    insertion = torch.cat([known[:, last - 1 : last], known[:, last:], known[:, :1]], 1)
    ids = torch.tensor(players.layout.feature_ids, device="cpu")[order.cpu()]
    question = players.question
    return DeletionCurve(deletion, insertion, counts, ids, len(missing), question.absent, question.unit)


def _by_player(attributions: Any, players: Players) -> Tensor:
    """One number for each player of each example: float64, shape ``(N, n)``, on the CPU."""
    if isinstance(attributions, (AndOrExplanation, LogicalModel, GameEstimate)):
        return _of_result(attributions, players)
    given = attributions
    if isinstance(given, Mapping):
        missing = [name for name in players.layout.names or () if name not in given]
        if missing:
            raise ValueError(f"attributions lack {missing[0]!r}, which is one of the inputs.")
        given = tuple(given[name] for name in players.layout.names or given)
    parts = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(
            "attributions must be a tensor, a tuple or a dict of tensors, or a result of AndOrInteractions; got "
            f"{type(attributions).__name__}."
        )
    shapes = [tuple(part.shape) for part in parts]
    expected = [tuple(x.shape) for x in players.inputs]
    if shapes != expected:
        raise ValueError(
            f"attributions must be shaped like the inputs, {', '.join(map(str, expected))}; got "
            f"{', '.join(map(str, shapes))}. Of several outputs pass those of one, with its target."
        )
    if not all(bool(part.isfinite().all()) for part in parts):
        raise ValueError("attributions must be finite; some are NaN or infinite.")
    n, count = players.n_players, players.n_examples
    flat = torch.cat([part.detach().cpu().double().flatten(1) for part in parts], 1)
    each = zip(players.layout.indices, players.inputs, strict=True)
    owner = torch.cat([index.cpu().expand(x.shape).flatten(1) for index, x in each], 1)
    owner = torch.where(owner == NO_PLAYER, n, owner)  # elements of nobody count for nobody
    sums = torch.zeros(count, n + 1, dtype=torch.float64, device="cpu").scatter_add_(1, owner, flat)
    low = torch.full((count, n + 1), torch.inf, dtype=torch.float64, device="cpu").scatter_reduce_(
        1, owner, flat, "amin"
    )
    high = torch.full((count, n + 1), -torch.inf, dtype=torch.float64, device="cpu").scatter_reduce_(
        1, owner, flat, "amax"
    )
    return torch.where(low == high, low, sums)[:, :n]


def _of_result(result: AndOrExplanation | LogicalModel | GameEstimate, players: Players) -> Tensor:
    own: ResultPlayers = result.players
    if own.feature_ids != players.layout.feature_ids or tuple(result.shape) != (players.n_examples,):
        raise ValueError(
            f"attributions are a result of shape {tuple(result.shape)} with feature ids {own.feature_ids}; these "
            f"inputs have {players.n_examples} examples and {players.layout.feature_ids}. It must be of one output of "
            "each of them, with their feature_mask."
        )
    return torch.as_tensor(result.shapley_values()).cpu().double()


def _known_values(attributions: Any, order: Tensor, asked: Tensor) -> Tensor:
    """What a result knows of v on coalitions of ranks ``(k, n)`` for each example: ``(N, k)``, NaN where nothing."""
    found = torch.full((len(order), len(asked)), torch.nan, dtype=torch.float64, device="cpu")
    if not isinstance(attributions, (AndOrExplanation, LogicalModel, GameEstimate)):
        return found
    values = attributions.values.cpu()
    coalitions = None if isinstance(attributions, AndOrExplanation) else attributions.coalitions
    if not isinstance(attributions, AndOrExplanation) and attributions.drawn is not None and coalitions is not None:
        return found  # each value is of one row of a background
    place = {} if coalitions is None else {key: i for i, key in enumerate(row_keys(coalitions))}
    for example, ranks in enumerate(order):
        mine = torch.zeros_like(asked).scatter_(1, ranks.expand(len(asked), -1), asked)
        if coalitions is None:
            codes = (mine.long() << torch.arange(mine.shape[1], device="cpu")).sum(1)
            found[example] = values[example, codes]
            continue
        for i, key in enumerate(row_keys(mine)):
            if key in place:
                found[example, i] = values[example, place[key]]
    return found


def _ranked(game: Game, order: Tensor) -> Game:
    """The game with players numbered by their place in each example's order."""
    rank = order.argsort(dim=1)
    players = copy.copy(game.players)
    indices = []
    for index in players.layout.indices:
        whole = index.cpu().expand(len(order), *index.shape[1:])
        known = rank.gather(1, whole.flatten(1).clamp(min=0)).view(whole.shape)
        indices.append(torch.where(whole == NO_PLAYER, NO_PLAYER, known).to(index.device))
    players.layout = replace(players.layout, indices=tuple(indices))
    ranked = copy.copy(game)
    ranked.players = players
    if ranked._reference is not None:
        ranked._reference = copy.copy(ranked._reference)
        ranked._reference.players = players
    return ranked
