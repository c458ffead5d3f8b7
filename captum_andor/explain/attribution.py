"""``AndOrInteractions``: the Captum attribution class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from captum.log import log_usage
from torch import Tensor

from captum_andor._utils.checks import check_share
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.user_warnings import warn
from captum_andor.explain.budgeted import check_same_ends, ends_of, evaluated_estimate, known_by, model_error
from captum_andor.explain.explanation import AndOrExplanation, split_explanation
from captum_andor.explain.logical_model import LogicalModel, fitted_model
from captum_andor.explain.masked_outputs import MaskedOutputs
from captum_andor.explain.shapley_attribution import ShapleyAttribution
from captum_andor.games import Baselines, Target
from captum_andor.results import Names, ResultPlayers, standard_names
from captum_andor.sampling import PATTERNS
from captum_andor.search import COMPLETED_PLAYERS, Budget, Effort, Options, Weights, check_budget, spend
from captum_andor.split import NoiseBound, Split, check_split

_MANY_PLAYERS = 512  # of a logical model, that are worth a word before it starts


class AndOrInteractions(ShapleyAttribution):
    r"""Exact AND and OR interactions between the input variables of any PyTorch model.

    The model is evaluated on all 2^n coalitions of its n players: a coalition's players keep their value, the others
    take the baseline. :meth:`attribute` returns Shapley values, equal to those of ``captum.attr.ShapleyValues`` at 2^n
    instead of n·n! evaluations; :meth:`interactions` returns which sets of players act together (AND) and which stand
    in for each other (OR). The model runs as it is: call ``model.eval()`` first where dropout or batch norm matter.

    Args:
        forward_func (Callable or torch.nn.Module): The model or any function of the inputs; it returns ``(N,)``,
            ``(N, K, …)``, or one value or a fixed number of values for the whole batch.
        score (str or Callable, optional): What v(S) is, taken from the model's output in float64: ``"output"``, the
            target's output as it is; ``"log_odds"``, log p/(1-p) of the target class from logits; ``"log_prob"`` and
            ``"prob"``, likewise (dimension 1 holds the classes); or a callable ``f(output)``, whose result is selected
            by ``target``, or ``f(output, target)``, whose result is v. Default: "output"
        max_players (int, optional): Above this number of players an error names the cost instead of starting a run that
            would not end. Raise it if you can afford the passes. Default: 20
        check_repeats (bool, optional): Ask for a handful of coalitions once more at the end of each call, each alone
            and one example without the others, in eight forward passes at most, and warn if the score has moved by more
            than half of its digits: the model is random, keeps state, or its answer for a row depends on the other
            rows, their number or padding (dropout, batch norm in training mode). Default: True
        output (str or int, optional): Which part of what the model returns is explained: the name of a field, as of
            Hugging Face's ``ModelOutput`` or a dict, or a position in a tuple. Default: None (the tensor itself, or
            ``logits`` where there are some)

    Raises:
        TypeError: If ``forward_func`` is not callable or ``max_players`` not an int.
        ValueError: If ``score`` is unknown.

    Examples::

        >>> both = lambda x: x[:, 0] * x[:, 1]
        >>> method = AndOrInteractions(both)
        >>> method.attribute(torch.ones(1, 2))
        tensor([[0.5000, 0.5000]])
        >>> method.interactions(torch.ones(1, 2)).top(1)
        [Interaction(index=(0,), kind='and', players=(0, 1), value=1.0)]

    Source: Chen et al. 2024, arXiv 2401.16318 (AND-OR interactions); Harsanyi 1963; Shapley 1953.
    """

    @log_usage()  # type: ignore[untyped-decorator]
    def outputs(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
    ) -> MaskedOutputs:
        """Run the model on all masked inputs once and keep what it returns, to explain several targets and scores.

        Memory holds 8 · 2^n bytes for each output of each example.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`.
            baselines (scalar, Tensor, tuple of these, optional): As in :meth:`attribute`. Default: None
            additional_forward_args (Any, optional): As in :meth:`attribute`. Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): As in :meth:`attribute`. Default: None
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): As in :meth:`attribute`. Default: False

        Returns:
            - **outputs** (*MaskedOutputs*): With methods ``attribute``, ``interactions`` and ``logical_model``, which
              take a target and a score.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`.

        Examples::

            >>> kept = AndOrInteractions(torch.nn.Linear(3, 4)).outputs(torch.rand(2, 3))
            >>> kept.interactions(target=0, score="log_odds").shape
            (2,)
        """
        players, game = self._game(
            inputs, baselines, None, additional_forward_args, feature_mask, perturbations_per_eval, score="output"
        )
        values = self._values(game, show_progress)
        return MaskedOutputs(
            values,
            players.n_examples,
            game.aggregates,
            self.score,
            ResultPlayers.of_inputs(players.layout, game.output_dtype, players.names, players.question),
        )

    @log_usage()  # type: ignore[untyped-decorator]
    def interactions(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        split: Split = "sparse",
        noise_bound: NoiseBound = 0.0,
        tolerance: float = 1e-3,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        player_names: Names = None,
    ) -> AndOrExplanation:
        r"""AND and OR interactions, whose sums give the score on every masked input.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`.
            baselines (scalar, Tensor, tuple of these, optional): As in :meth:`attribute`. Default: None
            target (int, tuple, Tensor or list, optional): As in :meth:`attribute`. Default: None
            additional_forward_args (Any, optional): As in :meth:`attribute`. Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): As in :meth:`attribute`. Default: None
            split (str, optional): How v is split into AND and OR: ``"sparse"``, the split of least l1, up to 16
                players; ``"and"`` or ``"or"``, all in one kind; ``"even"``, half each. Default: "sparse"
            noise_bound (float or str, optional): Largest \|q(S)\| that the sparse split may leave unexplained, relative
                to \|v(N) - v(∅)\|. ``"auto"`` measures how far v moves when the model is asked again in other batches,
                and takes twice the largest move, or twice the rounding of v in the model's own precision if that is
                more. Default: 0.0
            tolerance (float, optional): Duality gap at which a sparse split is accepted. Default: 1e-3
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): As in :meth:`attribute`; a second bar follows the sparse splits.
                Default: False
            player_names (sequence or mapping, optional): What prints and tables call the players: a string for
                each, in the order of the sorted feature ids, or a mapping of ids. Default: None

        Returns:
            - **explanation** (*AndOrExplanation*): Its leading shape is that of the outputs, e.g. ``(N,)`` or
              ``(N, K)``. After Ctrl-C during the splits, those that are left are not sparse, with a duality gap of 1
              and a warning.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`, and if the split or its options are out of range.

        Examples::

            >>> either = lambda x: x.amax(1)
            >>> AndOrInteractions(either).interactions(torch.ones(1, 3)).top(1)
            [Interaction(index=(0,), kind='or', players=(0, 1, 2), value=1.0)]

        Source: Chen et al. 2024, arXiv 2401.16318; the exact sparse split: this package.
        """
        players, game = self._game(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval
        )
        # checked before the evaluation
        names = standard_names(player_names, players.layout.feature_ids) or players.names
        automatic = isinstance(noise_bound, str) and noise_bound == "auto" and split == "sparse"
        check_split(split, 0.0 if automatic else noise_bound, tolerance, players.n_players)
        values = self._values(game, show_progress)
        bound: float | Tensor = noise_bound  # type: ignore[assignment]
        if automatic:
            effect = (values[..., -1] - values[..., 0]).abs()
            bound = torch.where(effect > 0, 2 * game.noise(values) / torch.where(effect > 0, effect, 1.0), 0.0)
        count = values[..., 0].numel()
        with progress_bar(show_progress and split == "sparse", count, f"{self.get_name()} split", "output") as bar:
            return split_explanation(
                values,
                split,
                bound,
                tolerance,
                ResultPlayers.of_inputs(players.layout, game.output_dtype, names, players.question),
                bar.update,
            )

    @log_usage()  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def logical_model(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        max_patterns: int | None = 10,
        min_r2: float | None = None,
        max_order: int | None = None,
        budget: Budget = None,
        effort: Effort = "auto",
        exact_ends: bool = True,
        seed: int = 0,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        kinds: str | Sequence[str] = ("and", "or"),
        weights: Weights = "uniform",
        densities: Sequence[float] | None = None,
        tolerance: float = 0.01,
        previous: LogicalModel | None = None,
        player_names: Names = None,
    ) -> LogicalModel:
        """A few AND and OR patterns that reproduce the score on masked inputs, from all of these or from a budget.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`.
            baselines (scalar, Tensor, tuple of these, optional): As in :meth:`attribute`. Default: None
            target (int, tuple, Tensor or list, optional): As in :meth:`attribute`. Default: None
            additional_forward_args (Any, optional): As in :meth:`attribute`. Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): As in :meth:`attribute`; any number of players.
                Default: None
            max_patterns (int, optional): At most so many patterns for each output. None takes as many as ``min_r2``
                needs or, without it, as an exact model needs or, on a budget, as cross-validation supports.
                Default: 10
            min_r2 (float, optional): Stop an output as soon as R² reaches this. Default: None
            max_order (int, optional): Largest number of players in a pattern. Default: None
            budget (int or str, optional): How many coalitions to evaluate, for each example alike; 2^n or more
                evaluates all. ``"auto"`` begins with 256 and evaluates more until a model predicts fresh ones to
                ``tolerance`` or stops getting better at it, at most 4 096. None takes all up to 10 players and 1 024
                above. Default: None
            effort (str, optional): ``"stable"``, ``"accurate"`` or ``"high"``; see :meth:`LogicalModel.from_values`.
                Above 20 players one search serves all. Default: "auto"
            exact_ends (bool, optional): Hold h(∅) = v(∅) and h(N) = v(N), so that attributions add up. Default: True
            seed (int, optional): Of everything random: the coalitions, too. Default: 0
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): Show a tqdm bar over the coalitions. Default: False
            kinds (str or sequence of str, optional): ``"and"``, ``"or"`` or both. Default: ("and", "or")
            weights (str or sequence of float, optional): What R² weighs; see :meth:`LogicalModel.from_values`.
                Default: "uniform"
            densities (sequence of float, optional): Shares of the players that coalitions on a budget keep, each as
                often as the others, e.g. ``(0.2, 0.8)`` to see patterns of higher order. Default: None (see the docs)
            tolerance (float, optional): Share of the variance of fresh coalitions that ``budget="auto"`` may leave
                unexplained. Default: 0.01
            previous (LogicalModel, optional): A model of the same inputs with a smaller budget and the same seed:
                what it evaluated is not evaluated again. Default: None
            player_names (sequence or mapping, optional): As in :meth:`interactions`. Default: None

        Returns:
            - **model** (*LogicalModel*): Its leading shape is that of the outputs, e.g. ``(N,)`` or ``(N, K)``. After
              Ctrl-C, the model of what was evaluated until then.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`, and if the budget is too small for the patterns or an option out of range.

        Examples::

            >>> both_or_third = lambda x: torch.maximum(x[:, 0] * x[:, 1], x[:, 2])
            >>> print(AndOrInteractions(both_or_third).logical_model(torch.ones(1, 3)).patterns[0])
            AND {2} +1

        Source: this package; see :class:`captum_andor.LogicalModel`.
        """
        options = Options(max_patterns, min_r2, max_order, effort, exact_ends, seed, kinds, weights, densities)
        check_share("tolerance", tolerance)
        players, game = self._game(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, budgeted=True
        )
        names = standard_names(player_names, players.layout.feature_ids) or players.names
        first = check_budget(budget, players.n_players, self.max_players, options)
        if players.n_players > _MANY_PLAYERS:
            warn(
                f"there are {players.n_players:,} players: after the forward passes, choosing patterns among them "
                "takes up to a minute, and a budget shows only the strongest. Fewer players say more: pass a "
                "feature_mask, of games.masks: image_grid, superpixels, words; for Shapley values alone, "
                "attribute(budget=…)."
            )
        if first is not None and players.n_players <= COMPLETED_PLAYERS and densities is None:
            estimate = evaluated_estimate(
                game, "auto" if isinstance(budget, str) else first, PATTERNS, options.seed, self.max_players, tolerance,
                previous, names, show_progress, f"{self.get_name()} logical model", model_error(options), first,
            )  # fmt: skip
            game.warn_of_change()
            try:
                return estimate.modelled(options)
            except ValueError as error:
                if estimate.n_evaluations >= first:
                    raise
                message = f"after {estimate.n_evaluations} coalitions, too few for a model"
                raise KeyboardInterrupt(message) from error
        known = known_by(previous, players, options)
        if known is not None:
            check_same_ends(game, ends_of(known), "previous")
        evaluated = spend(
            game, options, budget, self.max_players, tolerance, known, show_progress,
            f"{self.get_name()} logical model",
        )  # fmt: skip
        game.warn_of_change()
        return fitted_model(
            evaluated.models,
            evaluated.values,
            evaluated.coalitions,
            options,
            ResultPlayers.of_inputs(players.layout, game.output_dtype, names, players.question),
        )
