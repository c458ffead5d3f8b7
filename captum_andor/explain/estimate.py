"""``GameEstimate``: a game from a budget of coalitions, with a mean and a standard deviation for every question."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import constrained
from captum_andor._utils.user_warnings import warn
from captum_andor.explain.groups import standard_groups
from captum_andor.explain.logical_model import LogicalModel, sampled_model
from captum_andor.games import Inputs, flat_games, game_values
from captum_andor.games.indices import Index, interaction_index
from captum_andor.games.transforms import all_coalitions, coalition_codes, count_players
from captum_andor.process import (
    BackgroundPosterior,
    Fidelity,
    Posterior,
    ProcessPosterior,
    SparseGame,
    estimate_fidelity,
    owen_values,
)
from captum_andor.results import Axes, IndexedResult, Names, Picks, ResultPlayers, take
from captum_andor.sampling import DrawnRows, checked_coalitions, each_once, n_passes
from captum_andor.search import (
    BesideProcess,
    FoundPatterns,
    ModelOptions,
    Options,
    game_posteriors,
    restored_games,
    stored_parts,
    unfitted_game,
)
from captum_andor.visualization import plot_shapley_values

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

_TABLED_PLAYERS = 16  # an index needs a functional over 2^n coalitions for each set of players
_ROWS_SHOWN, _PATTERNS_SHOWN = 10, 3
_MOST_STATED = 0.9999  # R² of what is not known exactly is printed as no more
_GAMES_AT_ONCE = 16  # fitted together; Ctrl-C loses the fits of so many at most


@dataclass(frozen=True, repr=False, eq=False)
class GameEstimate(IndexedResult):
    r"""The posterior of v given its values on some coalitions: of every value, and of everything linear in it.

    Where all 2^n values are known it is exact, with standard deviations of 0. Where a search finds few patterns that
    explain every value, also those that it did not see, and the coalitions tell each of them from every other, these
    are the game. Else it is a Gaussian process whose prior holds every AND, every OR and every parity, with a relevance
    for each player.

    Attributes:
        values (Tensor): v on the coalitions evaluated, float64, shape ``(…, m)``.
        coalitions (Tensor): These, bool, shape ``(m, n)``, each once; None for all 2^n in the order of their bit codes.
            With a :class:`~captum_andor.games.Background`, those of the forward passes, and values what each said.
        seed (int): Of everything random.

    Examples::

        >>> from captum_andor.games.transforms import all_coalitions
        >>> z = all_coalitions(8)[::2]  # half of the coalitions: those without player 0
        >>> estimate = GameEstimate.from_values(z.double() @ torch.arange(8.0).double(), z)
        >>> [round(float(x), 2) for x in estimate.shapley_values()]
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]

    Source: Gaussian processes: Rasmussen and Williams 2006.
    """

    values: Tensor
    coalitions: Tensor | None
    seed: int
    axes: Axes
    players: ResultPlayers
    posteriors: tuple[Posterior, ...]
    continued: Callable[[int | str], GameEstimate] | None = field(default=None)
    drawn: DrawnRows | None = field(default=None)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: everything but the explained model."""
        return {**self.__dict__, "continued": None}

    @classmethod
    @constrained()
    def from_values(
        cls,
        v: Tensor | np.ndarray[Any, Any] | list[Any],
        coalitions: Tensor | None = None,
        *,
        seed: int = 0,
        player_names: Names = None,
    ) -> GameEstimate:
        """Estimate games from values; no model needed.

        Args:
            v (Tensor, array or list): Values, last axis the coalitions.
            coalitions (Tensor, optional): These, bool, shape ``(m, n)``, True where a player is kept; values of
                repeated ones are averaged. Default: None (all 2^n in the order of the bit codes)
            seed (int, optional): Of everything random. Default: 0
            player_names (sequence or mapping, optional): What prints and figures call the players. Default: None

        Returns:
            - **estimate** (*GameEstimate*): Leading shape ``v.shape[:-1]``.

        Raises:
            TypeError: If v is not real or coalitions are not bool.
            ValueError: If shapes do not fit, a value is not finite, there are fewer than two coalitions, or the seed is
                no int ≥ 0.
        """
        values = game_values(v)
        if coalitions is None:
            players = ResultPlayers.numbered(count_players(values, name="v"), player_names)
            return estimate_of(values, None, seed, players)
        rows = checked_coalitions(coalitions, values)
        players = ResultPlayers.numbered(rows.shape[1], player_names)
        rows, values = each_once(rows, values)
        if len(rows) < 2:
            raise ValueError(f"coalitions must hold at least two different ones; got {len(rows)}.")
        return estimate_of(values, rows, seed, players)

    @property
    def n_evaluations(self) -> int:
        """How many coalitions were evaluated; with a background, how many forward passes there were."""
        if self.drawn is not None and self.coalitions is None:
            return n_passes(self.n_players, self.drawn.n_rows)
        return self.values.shape[-1]

    @property
    def is_exact(self) -> bool:
        """Whether all 2^n values are known."""
        return self.coalitions is None

    @property
    def kinds(self) -> list[str]:
        """How each output is known: ``"complete"``, ``"patterns"`` or ``"process"``, in the flattened leading shape."""
        return [posterior.kind for posterior in self.posteriors]

    @property
    def noise(self) -> Tensor:
        """Standard deviation of v that no game explains, e.g. of a random model: float64, shape ``(…)``."""
        return self._gathered(
            [
                p.process.noise if isinstance(p, (ProcessPosterior, BackgroundPosterior)) else torch.zeros(())
                for p in self.posteriors
            ]
        )

    def predict(self, coalitions: Tensor, return_std: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Values v on given coalitions.

        Args:
            coalitions (Tensor): bool, shape ``(k, n)`` for all outputs or ``(…, k, n)`` for each.
            return_std (bool, optional): Return the standard deviations, too. Default: False

        Returns:
            - **mean** (*Tensor*): float64, shape ``(…, k)``.
            - **std** (*Tensor*): The same; only if asked for.

        Raises:
            TypeError: If the coalitions are not a bool tensor.
            ValueError: If their shape does not match.
        """
        self._check_coalitions(coalitions)
        coalitions = coalitions.to(self.values.device)
        each = coalitions.flatten(0, -3) if coalitions.ndim > 2 else [coalitions] * len(self.posteriors)
        return self._answers([p.predict(some) for p, some in zip(self.posteriors, each, strict=True)], return_std)

    def shapley_values(self, return_std: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Shapley values, which add up to v(N) - v(∅) where both were evaluated.

        Args:
            return_std (bool, optional): Return the standard errors, too. Default: False

        Returns:
            - **mean** (*Tensor*): float64, shape ``(…, n)``.
            - **std** (*Tensor*): The same; only if asked for.
        """
        if not return_std:
            return self._gathered([p.shapley_means() for p in self.posteriors], trailing=(self.n_players,))
        return self._answers([p.shapley_values() for p in self.posteriors], return_std)

    def banzhaf_values(self, return_std: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Banzhaf values; arguments and returns as for :meth:`shapley_values`."""
        return self._answers([p.banzhaf_values() for p in self.posteriors], return_std)

    def owen_values(self, groups: Any, return_std: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Owen values: groups join whole, the players of one group one by one; they add up to its Shapley value.

        Args:
            groups (Tensor, tuple of Tensors or list): Integer ids like the feature mask, broadcast to the inputs, each
                player in one group; or a list with an id for each player, in the order of ``feature_ids``.
            return_std (bool, optional): Return the standard errors, too. Default: False

        Returns:
            - **mean** (*Tensor*): float64, shape ``(…, n)``.
            - **std** (*Tensor*): The same; only if asked for.

        Raises:
            TypeError: If groups are of another kind.
            ValueError: If shapes do not fit, or a group cuts a player.

        Examples::

            >>> both_and_one = GameEstimate.from_values([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0])
            >>> both_and_one.owen_values([0, 0, 1])
            tensor([0.7500, 0.7500, 1.5000], dtype=torch.float64)

        Source: Owen 1977.
        """
        mean, std = self._owen_values(standard_groups(groups, self.players))
        return (mean, std) if return_std else mean

    def _owen_values(self, members: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Owen values and their standard errors, by the numbers of the players of each group."""
        groups = [torch.tensor(group, device=self.values.device) for group in members]
        found = self._answers([owen_values(posterior, groups) for posterior in self.posteriors], True)
        assert isinstance(found, tuple)
        return found

    def interaction_index(
        self, index: Index = "k-SII", order: int = 2, return_std: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """An index of interaction; see :mod:`captum_andor.games.indices`.

        Args:
            index (str, optional): ``"SII"``, ``"k-SII"``, ``"BII"``, ``"STII"`` or ``"FSII"``. Default: "k-SII"
            order (int, optional): Largest number of players. Default: 2
            return_std (bool, optional): Return the standard errors, too. Default: False

        Returns:
            - **mean** (*Tensor*): float64, shape ``(…, 2^n)``, by the bit code of the players; 0 elsewhere.
            - **std** (*Tensor*): The same; only if asked for.

        Raises:
            ValueError: If there is no such index, the order is not 1 to n, or there are more than 16 players.
        """
        n = self.n_players
        if n > _TABLED_PLAYERS:
            raise ValueError(
                f"interaction_index() takes up to {_TABLED_PLAYERS} players; this estimate has {n}. Use "
                "logical_model(), whose patterns are interactions."
            )
        mean = interaction_index(torch.stack([p.all_values() for p in self.posteriors]), index, order)
        mean = mean.view(*self.shape, 1 << n)
        if not return_std:
            return mean
        unit = torch.eye(1 << n, dtype=torch.float64, device=mean.device)
        weights = interaction_index(unit, index, order).T
        sets = weights.abs().sum(1).nonzero()[:, 0]
        std = torch.zeros(len(self.posteriors), 1 << n, dtype=torch.float64, device=mean.device)
        for row, posterior in zip(std, self.posteriors, strict=True):
            row[sets] = posterior.functionals(weights[sets])[1]
        return mean, std.view_as(mean)

    def attributions(self, return_std: bool = False) -> Inputs | tuple[Inputs, Inputs]:
        """Shapley values scattered over the inputs, as ``AndOrInteractions.attribute`` returns them.

        Args:
            return_std (bool, optional): Return their standard errors, too. Default: False

        Returns:
            - **attributions** (*Tensor or tuple of Tensors*): Each ``(*outputs, *input.shape[1:])``.
            - **standard_errors** (*the same*): Only if asked for.

        Raises:
            ValueError: If the estimate was made from values, without inputs.
        """
        if not return_std:
            return self.players.scatter(torch.as_tensor(self.shapley_values()))
        mean, std = self.shapley_values(return_std=True)
        return self.players.scatter(mean), self.players.scatter(std)

    def logical_model(self, **options: Unpack[ModelOptions]) -> LogicalModel:
        """A few patterns that explain the most of v; no further evaluation of the model.

        Args:
            **options: ``max_patterns``, ``min_r2``, ``max_order``, ``effort``, ``exact_ends``, ``kinds``, ``weights``,
                as in :meth:`LogicalModel.from_values`.

        Returns:
            - **model** (*LogicalModel*): Its ``estimate`` is this one.

        Raises:
            TypeError: If there is no such option.
            ValueError: If the coalitions are too few for so many patterns, or an option is out of range.
        """
        return self._modelled(Options.of("logical_model", options, self.seed))

    def effects(self, **options: Unpack[ModelOptions]) -> pd.DataFrame:
        """Measured effects, with standard errors, of the patterns of :meth:`logical_model`.

        Args:
            **options: As there.

        Returns:
            - **effects** (*pandas.DataFrame*): As :meth:`LogicalModel.effects`.

        Raises:
            TypeError: As :meth:`logical_model`.
            ValueError: As :meth:`logical_model`.
        """
        return self.logical_model(**options).effects()

    def _modelled(self, options: Options) -> LogicalModel:
        """The logical model by options that are checked."""
        model = sampled_model(self.values, self.coalitions, options, self.players, self.posteriors, self.drawn)
        return replace(model, axes=self.axes, estimate=self)

    @property
    def r2(self) -> Tensor:
        """R² of the posterior mean over all coalitions: float64, shape ``(…)``; NaN where no coalition tells."""
        return self._gathered([torch.tensor(fidelity.r2, dtype=torch.float64) for fidelity in self._fidelities])

    @property
    def r2_interval(self) -> Tensor:
        """95 % interval of :attr:`r2`: shape ``(…, 2)``."""
        return self._gathered(
            [torch.tensor([f.low, f.high], dtype=torch.float64) for f in self._fidelities], trailing=(2,)
        )

    @property
    def _fidelities(self) -> list[Fidelity]:
        shares = Options().size_shares(self.n_players)
        return [_fidelity(posterior, shares) for posterior in self.posteriors]

    def more(self, budget: int | str) -> GameEstimate:
        """Continue with a larger budget; what was evaluated is not evaluated again.

        Args:
            budget (int or str): How many coalitions in all, or ``"auto"``.

        Returns:
            - **estimate** (*GameEstimate*): Of all coalitions.

        Raises:
            ValueError: If the estimate has no model to ask: it was made from values, or loaded.
        """
        if self.continued is None:
            raise ValueError(
                "more() needs the model: this estimate was made from values or loaded. Use "
                "AndOrInteractions.estimate(..., budget=…, previous=estimate)."
            )
        return self.continued(budget)

    def to_dataframe(self) -> pd.DataFrame:
        """Shapley values as a table: one row per output and player.

        Returns:
            - **table** (*pandas.DataFrame*): Columns ``sample`` and ``output`` (as many as there are leading axes),
              ``player`` (its id), ``name`` (where players have some), ``value``, ``std``.
        """
        import pandas as pd

        mean, std = (part.cpu().numpy() for part in self.shapley_values(return_std=True))
        count, n = math.prod(self.shape), self.n_players
        columns: dict[str, Any] = dict(self.axes.columns(np.repeat(np.arange(count), n)))
        columns["player"] = np.tile(np.asarray(self.feature_ids), count)
        if self.player_names is not None:
            columns["name"] = list(self.player_names) * count
        return pd.DataFrame({**columns, "value": mean.reshape(-1), "std": std.reshape(-1)})

    def plot(self, k: int = 15, **options: Any) -> Any:
        """Draw the Shapley values of one output with error bars; see :func:`visualization.plot_shapley_values`.

        Args:
            k (int, optional): Most players shown, largest values first. Default: 15
            **options: As there: title, fig_size, plt_fig_axis, use_pyplot.

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.

        Raises:
            ValueError: If the estimate is of several outputs.
        """
        if math.prod(self.shape) != 1:
            raise ValueError(f"plot() is of one output; this has {self.shape}. Index it first.")
        mean, std = (part.flatten().tolist() for part in self.shapley_values(return_std=True))
        names = list(self.player_names or map(str, self.feature_ids))
        return plot_shapley_values(mean, std, names, k, title=options.pop("title", self._title()), **options)

    def _state(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "coalitions": self.coalitions,
            "seed": self.seed,
            "axes": self.axes,
            "players": self.players,
            "drawn": self.drawn,
            **stored_parts(self.posteriors),
        }

    @classmethod
    def _of_state(cls, state: dict[str, Any]) -> GameEstimate:
        axes = state.pop("axes")
        return replace(estimate_of(**state), axes=axes)

    def _answers(self, found: list[tuple[Tensor, Tensor]], return_std: bool) -> Tensor | tuple[Tensor, Tensor]:
        mean, std = (torch.stack(part).view(*self.shape, -1) for part in zip(*found, strict=True))
        return (mean, std) if return_std else mean

    def _gathered(self, numbers: list[Tensor], trailing: tuple[int, ...] = ()) -> Tensor:
        device = self.values.device
        return torch.stack([x.to(device, torch.float64) for x in numbers]).view((*self.shape, *trailing))

    def _select(self, picks: Picks) -> GameEstimate:
        places = take(torch.arange(math.prod(self.shape)).view(self.shape), picks)
        return replace(
            self,
            values=take(self.values, picks),
            axes=self.axes.pick(picks),
            players=self.players.pick(picks),
            posteriors=tuple(self.posteriors[i] for i in places.flatten().tolist()),
            continued=None,
        )

    def _title(self) -> str:
        absent = self.players.question.absent
        behind = f"\nabsent: {absent}" if absent else ""
        if self.is_exact:
            return f"Shapley values, exact from all {self.values.shape[-1]:,} coalitions{behind}"
        if self.drawn is not None:
            return f"Shapley values ± 95 %, {self.drawn.in_words(self.n_evaluations)}{behind}"
        return f"Shapley values ± 95 %, {self.n_evaluations:,} of 2^{self.n_players} coalitions{behind}"

    def _caveats(self) -> list[str]:
        """Which patterns of a sum that explains every value are not told from others; of a single output."""
        posterior = self.posteriors[0]
        if not isinstance(posterior, ProcessPosterior) or not posterior.unidentified:
            return []
        names = list(self.player_names or map(str, self.feature_ids))
        shown = [
            f"{'OR' if is_or else 'AND'} {{{', '.join(names[i] for i in players)}}}"
            for is_or, players in posterior.unidentified[:_PATTERNS_SHOWN]
        ]
        more = len(posterior.unidentified) - len(shown)
        return [
            "Few patterns explain every value, and yet are not known: these coalitions do not tell "
            + ", ".join(shown)
            + (f" and {more} more" if more else "")
            + " from patterns of other players. Evaluate more coalitions."
        ]

    def _headline(self) -> str:
        if self.is_exact:
            return f"{self.n_players} players, exact: all {self.values.shape[-1]:,} coalitions"
        if self.drawn is not None:
            return f"{self.n_players} players, {self.drawn.in_words(self.n_evaluations)}"
        return f"{self.n_players} players, {self.n_evaluations:,} of 2^{self.n_players} coalitions"

    def _table(self) -> list[str]:
        mean, std = (part.flatten() for part in self.shapley_values(return_std=True))
        r2, (low, high) = float(self.r2.squeeze()), self.r2_interval.flatten().tolist()
        how = {"complete": "exact", "patterns": "few patterns explain every value", "process": "Gaussian process"}
        kind = self.kinds[0]
        interval = f" [{low:.3f}, {high:.3f}]" if kind == "process" else ""
        if kind == "process":
            r2 = min(r2, _MOST_STATED)
        quality = "R² unknown: no coalition tells" if math.isnan(r2) else f"R² {r2:.4f}{interval}"
        known = [*self.players.question.doubts, *self._caveats()]
        unit = self.players.question.unit
        lines = [
            f"{how[kind]}, {quality}{f'; values in {unit}' if unit else ''}",
            *known,
            f"  {'Shapley':>9}  {'± std':>8}  player",
        ]
        names = list(self.player_names or map(str, self.feature_ids))
        order = mean.abs().argsort(descending=True, stable=True).tolist()
        lines += [f"  {float(mean[i]):>+9.4g}  {float(std[i]):>8.2g}  {names[i]}" for i in order[:_ROWS_SHOWN]]
        if len(order) > _ROWS_SHOWN:
            lines.append(f"  … {len(order) - _ROWS_SHOWN} more players")
        return lines


def estimate_of(
    values: Tensor,
    coalitions: Tensor | None,
    seed: int,
    players: ResultPlayers,
    theta: Sequence[Tensor | None] | None = None,
    kept: Sequence[SparseGame | BesideProcess | None] | None = None,
    found: Sequence[FoundPatterns | None] | None = None,
    noise: Tensor | None = None,
    drawn: DrawnRows | None = None,
) -> GameEstimate:
    """Fit the posterior of every output from v, ``(…, m)``, on coalitions ``(m, n)``, each once; None for all.

    ``theta`` and ``kept`` are what a file holds of each posterior; ``found`` is what a search for few patterns found on
    a part of the coalitions; ``noise`` the standard deviation of v of a random model; ``drawn`` which row of a
    background each pass saw.
    """
    if drawn is not None and coalitions is not None:
        n = coalitions.shape[1]
        if len(coalitions) == n_passes(n, drawn.n_rows):
            values, coalitions, drawn = _means(values, coalitions), None, replace(drawn, rows=None)
    elif coalitions is not None and len(coalitions) == 1 << min(coalitions.shape[1], 62):
        values, coalitions = values[..., coalition_codes(coalitions).argsort()], None
    rows = all_coalitions(players.n_players, values.device) if coalitions is None else coalitions
    games = flat_games(values)
    if theta is None or kept is None:
        posteriors = _fitted(rows, games, seed, found, None if noise is None else noise.reshape(-1), drawn)
    else:
        posteriors = restored_games(rows, games, theta, kept, seed, drawn)
    axes = Axes.of(values.shape[:-1])
    return GameEstimate(values, coalitions, seed, axes, players, tuple(posteriors), drawn=drawn)


def _means(values: Tensor, coalitions: Tensor) -> Tensor:
    """Means over the rows of values of all passes ``(…, m)``, in the order of the codes: ``(…, 2^n)``."""
    codes = coalition_codes(coalitions)
    count = torch.bincount(codes)
    return values.new_zeros(*values.shape[:-1], len(count)).index_add_(-1, codes, values) / count


def _fidelity(posterior: Posterior, shares: tuple[float, ...]) -> Fidelity:
    if isinstance(posterior, BackgroundPosterior):
        return posterior.fidelity(shares)
    return estimate_fidelity(posterior, shares) if isinstance(posterior, ProcessPosterior) else Fidelity(1.0, 1.0, 1.0)


def _fitted(
    rows: Tensor,
    games: Tensor,
    seed: int,
    found: Sequence[FoundPatterns | None] | None,
    noise: Tensor | None,
    drawn: DrawnRows | None,
) -> list[Posterior]:
    """The posteriors of all games; after Ctrl-C, those that are left have the hyperparameters of the prior."""
    posteriors: list[Posterior] = []
    try:
        for start in range(0, len(games), _GAMES_AT_ONCE):
            some = slice(start, start + _GAMES_AT_ONCE)
            posteriors += game_posteriors(
                rows,
                games[some],
                seed,
                None if found is None else found[some],
                None if noise is None else noise[some],
                drawn,
            )
    except KeyboardInterrupt:  # the evaluations are not to be lost
        left = len(games) - len(posteriors)
        warn(f"interrupted: the estimates of {left} of {len(games)} outputs have hyperparameters that were not fitted.")
        posteriors += [unfitted_game(rows, v, seed, drawn) for v in games[len(posteriors) :]]
    return posteriors
