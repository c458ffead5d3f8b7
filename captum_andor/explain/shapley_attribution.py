"""What is asked of a model's masked answers for single players: Shapley values, exact or from a budget.

Source: Shapley 1953; the estimate: this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from captum.attr import PerturbationAttribution
from captum.log import log_usage
from torch import Tensor
from torch.futures import Future

from captum_andor._utils.checks import check_seed, check_share, is_int
from captum_andor.explain.budgeted import evaluated_estimate, shapley_error
from captum_andor.explain.estimate import GameEstimate
from captum_andor.explain.players_of_call import check_number, players_of
from captum_andor.games import (
    Baselines,
    Game,
    InputsT,
    Players,
    Score,
    Target,
    check_output_field,
    check_score,
    named_call,
    standard_target,
)
from captum_andor.games.transforms import shapley_values
from captum_andor.results import Names, ResultPlayers, standard_names
from captum_andor.sampling import PATTERNS, SHAPLEY


class ShapleyAttribution(PerturbationAttribution):  # type: ignore[misc]  # captum ships no usable types
    """The game of a model and its Shapley values; :class:`AndOrInteractions` adds patterns and documents arguments."""

    def __init__(
        self,
        forward_func: Callable[..., Any],
        score: Score = "output",
        max_players: int = 20,
        check_repeats: bool = True,
        output: str | int | None = None,
    ) -> None:
        if not callable(forward_func):
            raise TypeError(
                f"forward_func must be callable, e.g. a torch.nn.Module; got {type(forward_func).__name__}."
            )
        check_score(score)
        if not is_int(max_players) or max_players < 1:
            raise TypeError(f"max_players must be an int ≥ 1; got {max_players!r}.")
        super().__init__(forward_func)
        self.score = score
        self.max_players = int(max_players)
        if not isinstance(check_repeats, (bool, np.bool_)):
            raise TypeError(f"check_repeats must be True or False; got {check_repeats!r}.")
        self.check_repeats = bool(check_repeats)
        check_output_field(output)
        self.output = output

    @log_usage()  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: InputsT,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        budget: int | str | None = None,
        return_standard_error: bool = False,
        seed: int = 0,
        tolerance: float = 0.05,
    ) -> InputsT | tuple[InputsT, InputsT]:
        r"""Shapley values, which are what the interactions imply for single players.

        :math:`\phi_i=\sum_{T\ni i}(I_{and}(T)+I_{or}(T))/|T|`, for every split the same, so none is solved for. Exact
        from all 2^n coalitions or, with a ``budget``, estimated from so many, for any number of players; estimates add
        up to v(N) - v(∅), too. See :meth:`estimate` for more than the values. They have the dtype of the model's
        output, at least float32; where the model returns one number per batch, their first dimension is 1.

        Args:
            inputs (Tensor, array, frame, tuple of these or dict): Inputs of any dtype and rank ≥ 1; dimension 0 is the
                batch in each. Arrays and frames of pandas become tensors of the dtype of the model's parameters; a
                column of a frame is a player, called by its name and, for a single row, its value. A dict, such as a
                tokenizer's ``BatchEncoding``, is passed by name: players are in the tensors that a dict of masks or
                baselines names, the rest is passed along, and attributions are a dict.
            baselines (scalar, Tensor, tuple of these, optional): What players outside a coalition are replaced by: a
                number, or a tensor that broadcasts to its input; one per input; beside a frame also a frame or a Series
                of the same columns, such as ``X.mean()``. Default: None (zeros, False for bool)
            target (int, tuple, Tensor or list, optional): Which output: one index for all examples (an int or, for more
                output dimensions, a tuple) or one per example (1-D tensor, list of ints or of tuples). None explains
                all outputs at once. Default: None
            additional_forward_args (Any, optional): Further arguments of ``forward_func``, not explained; tensors with
                dimensions are tiled along dimension 0, which must be the batch. Default: None
            feature_mask (Tensor, tuple[Tensor, ...] or str, optional): Integer ids that broadcast to the inputs;
                elements of equal id, also across inputs, are one player; those of a negative id are none and keep their
                value (special tokens, templates, padding). A first dimension of N gives each example its own mask; an
                id that an example lacks is a player of no effect there. ``"auto"``: a 4 x 4 grid of patches of an
                image, the columns of a table, tokens or runs of them; the print of a result says which.
                Default: None (every element is a player, at most 4 096)
            perturbations_per_eval (int, optional): Coalitions in one forward pass, each of N rows (the first coalition
                always goes alone). None chooses by the size of the inputs. Default: None
            show_progress (bool, optional): Show a tqdm bar over the coalitions. Default: False
            budget (int or str, optional): How many coalitions to evaluate, or ``"auto"``: until the standard errors
                reach ``tolerance``. Default: None (all 2^n, up to ``max_players`` players)
            return_standard_error (bool, optional): Return the standard errors, too; 0 where values are exact.
                Default: False
            seed (int, optional): Of the choice of the coalitions. Default: 0
            tolerance (float, optional): Standard errors at which ``budget="auto"`` stops, relative to the values, both
                as root mean squares over players. Default: 0.05

        Returns:
            - **attributions** (*Tensor or tuple[Tensor, ...]*): For each input ``(*output_shape, *input.shape[1:])``.
            - **standard_errors** (*the same*): Only if asked for.

        Raises:
            TypeError: If an argument is of the wrong kind, or a baseline or mask would have to be rounded.
            ValueError: If shapes do not match, there are more than ``max_players`` players, a target is out of range,
                or the score of a coalition is not finite.

        Examples::

            >>> from captum_andor import AndOrInteractions
            >>> model = torch.nn.Linear(3, 2)
            >>> AndOrInteractions(model).attribute(torch.rand(5, 3), target=1).shape
            torch.Size([5, 3])

        Source: Shapley 1953; Grabisch and Roubens 1999.
        """
        if budget is not None:
            estimate = self._estimate(
                inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, show_progress,
                budget=budget, leverage=SHAPLEY, seed=seed, tolerance=tolerance,
            )  # fmt: skip
            return estimate.attributions(return_standard_error)  # type: ignore[return-value]
        players, game = self._game(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval
        )
        values = self._values(game, show_progress)
        shapley = shapley_values(values).to(players.inputs[0].device)
        scattered = ResultPlayers.of_inputs(players.layout, game.output_dtype).scatter
        if return_standard_error:
            return scattered(shapley), scattered(torch.zeros_like(shapley))  # type: ignore[return-value]
        return scattered(shapley)  # type: ignore[return-value]

    @log_usage()  # type: ignore[untyped-decorator]
    def estimate(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        budget: int | str = 512,
        seed: int = 0,
        tolerance: float = 0.05,
        previous: GameEstimate | None = None,
        player_names: Names = None,
    ) -> GameEstimate:
        """The game v from a budget of coalitions: Shapley values, predictions and patterns with standard errors.

        Half of the coalitions are spread evenly over the sizes, half drawn as R² weighs them, all in pairs S, N∖S.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`.
            baselines (scalar, Tensor, tuple of these, optional): As in :meth:`attribute`. Default: None
            target (int, tuple, Tensor or list, optional): As in :meth:`attribute`. Default: None
            additional_forward_args (Any, optional): As in :meth:`attribute`. Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): As in :meth:`attribute`. Default: None
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): As in :meth:`attribute`. Default: False
            budget (int or str, optional): As in :meth:`attribute`. Default: 512
            seed (int, optional): Of the choice of the coalitions and of the fit. Default: 0
            tolerance (float, optional): As in :meth:`attribute`. Default: 0.05
            previous (GameEstimate, optional): An estimate of the same inputs and seed with a smaller budget: what it
                evaluated is not evaluated again, once v(∅) and v(N) are seen to be the same. Default: None
            player_names (sequence or mapping, optional): As in :meth:`interactions`. Default: None

        Returns:
            - **estimate** (*GameEstimate*): Its leading shape is that of the outputs. After Ctrl-C, of what was
              evaluated until then.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`, and if the budget is too small or ``previous`` is of another game.

        Examples::

            >>> from captum_andor import AndOrInteractions
            >>> model = lambda x: x.prod(1) + x[:, 0]
            >>> estimate = AndOrInteractions(model).estimate(torch.ones(1, 24), budget=128)
            >>> bool((estimate.shapley_values().sum() - 2).abs() < 1e-9)
            True

        Source: this package.
        """
        return self._estimate(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, show_progress,
            budget=budget, leverage=PATTERNS, seed=seed, tolerance=tolerance, previous=previous, names=player_names,
        )  # fmt: skip

    @torch.no_grad()
    def _estimate(
        self,
        *arguments: Any,
        budget: int | str,
        leverage: float,
        seed: int,
        tolerance: float,
        previous: GameEstimate | None = None,
        names: Names = None,
    ) -> GameEstimate:
        """The estimate by the arguments of Captum, in their order."""
        inputs, baselines, target, further, feature_mask, perturbations_per_eval, show_progress = arguments
        check_seed(seed)
        check_share("tolerance", tolerance)
        players, game = self._game(
            inputs, baselines, target, further, feature_mask, perturbations_per_eval, budgeted=True
        )
        # checked before the evaluation
        names = standard_names(names, players.layout.feature_ids) or players.names

        def continued(more: int | str, before: GameEstimate) -> GameEstimate:
            return self._estimate(
                *arguments, budget=more, leverage=leverage, seed=seed, tolerance=tolerance, previous=before, names=names
            )

        estimate = evaluated_estimate(
            game, budget, leverage, seed, self.max_players, tolerance, previous, names, show_progress,
            f"{self.get_name()} estimate", shapley_error, continued=continued,
        )  # fmt: skip
        game.warn_of_change()
        return estimate

    def attribute_future(
        self,
        inputs: InputsT,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
    ) -> Future[Any]:
        r"""Compute :meth:`attribute` for models that return a ``torch.futures.Future``.

        The answers are waited for batch by batch, so that memory holds one batch of masked inputs: the future is
        completed when it is returned.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`, and so are the others.
            baselines (scalar, Tensor, tuple of these, optional): Default: None
            target (int, tuple, Tensor or list, optional): Default: None
            additional_forward_args (Any, optional): Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): Default: None
            perturbations_per_eval (int, optional): Default: None
            show_progress (bool, optional): Default: False

        Returns:
            - **future** (*Future*): Of the attributions.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`.
        """
        result: Future[Any] = Future()
        result.set_result(
            self.attribute(
                inputs,
                baselines,
                target,
                additional_forward_args,
                feature_mask,
                perturbations_per_eval,
                show_progress,
            )
        )
        return result

    def _game(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines,
        target: Target,
        additional_forward_args: Any,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None,
        perturbations_per_eval: int | None,
        budgeted: bool = False,
        score: Score | None = None,
    ) -> tuple[Players, Game]:
        check_score(self.score)  # which may have been set since
        forward_func, names = self.forward_func, None
        if isinstance(inputs, Mapping):
            if additional_forward_args is not None:
                raise ValueError("additional_forward_args cannot stand beside inputs by name: put them into inputs.")
            chosen = isinstance(feature_mask, str)
            call = named_call(forward_func, inputs, baselines, None if chosen else feature_mask)
            inputs, baselines, forward_func = call.inputs, call.baselines, call.forward_func
            feature_mask = feature_mask if chosen else call.feature_mask
            names, additional_forward_args = call.names, call.further
        players = players_of(inputs, baselines, feature_mask, forward_func, names)
        check_number(players, None if budgeted else self.max_players, feature_mask is None)
        chosen_score = self.score if score is None else score
        asked = standard_target(target, players.n_examples)
        players.question = replace(
            players.question,
            targets=(asked,) if isinstance(asked, int) else tuple(asked.tolist()) if isinstance(asked, Tensor) else (),
            score=chosen_score if isinstance(chosen_score, str) else "",
        )
        if additional_forward_args is None:
            arguments: tuple[Any, ...] = ()
        elif isinstance(additional_forward_args, tuple):
            arguments = additional_forward_args
        else:
            arguments = (additional_forward_args,)
        game = Game(
            forward_func,
            players,
            chosen_score,
            asked,
            arguments,
            perturbations_per_eval,
            self.check_repeats,
            self.output,
        )
        return players, game

    @torch.no_grad()
    def _values(self, game: Game, show_progress: bool) -> Tensor:
        values = game.values(show_progress, f"{self.get_name()} attribution")
        game.warn_of_change()
        return values
