"""``AndOrInteractions``: the Captum attribution class."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from captum.log import log_usage
from torch import Tensor
from torch.futures import Future

from captum_andor._utils.checks import constrained, is_int, whole
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.user_warnings import warn
from captum_andor.explain.estimate import GameEstimate
from captum_andor.explain.evaluation import Goal, evaluated_estimate, model_error, shapley_error
from captum_andor.explain.explanation import AndOrExplanation, split_explanation
from captum_andor.explain.groups import groups_of_players
from captum_andor.explain.kept_outputs import KeptOutputs
from captum_andor.explain.logical_model import LogicalModel
from captum_andor.explain.refinement import Refinement
from captum_andor.games import (
    Baselines,
    FrameModel,
    Game,
    InputsT,
    PlayerLayout,
    Players,
    Score,
    Target,
    TextModel,
    check_number,
    check_output_field,
    check_score,
    flat_games,
    method_to_pass,
    named_call,
    players_of,
    said_of_absent,
    standard_target,
)
from captum_andor.games.transforms import shapley_values
from captum_andor.process import CompleteGame, owen_values
from captum_andor.results import Names, ResultPlayers, standard_names
from captum_andor.sampling import PATTERNS, SHAPLEY, n_passes
from captum_andor.search import Budget, Effort, Options, Weights, check_budget
from captum_andor.split import NoiseBound, Split, check_split

_MANY_PLAYERS = 512  # of a logical model, that are worth a word before it starts


class AndOrInteractions(PerturbationAttribution):  # type: ignore[misc]  # captum ships no usable types
    r"""Explains predictions of any PyTorch model by AND and OR patterns of its input variables, and by Shapley values.

    The model is evaluated on coalitions of its n players, on all 2^n or on a budget: a coalition's players keep their
    value, the others take the baseline. :meth:`logical_model` returns few patterns that predict these values, with R²;
    :meth:`attribute` Shapley values, equal to those of ``captum.attr.ShapleyValues`` at 2^n instead of n·n!
    evaluations, from a budget with standard errors; :meth:`estimate` both from the same passes, and more;
    :meth:`interactions` all 2^n sets of players that act together (AND) or stand in for each other (OR). The model runs
    as it is: call ``model.eval()`` first where dropout or batch norm matter.

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
        reference (Callable or torch.nn.Module, optional): Another model of the same inputs, such as an earlier version:
            v is the score of ``forward_func`` less that of ``reference``, so that patterns and Shapley values say what
            has changed. A coalition then takes a pass of each. Default: None
        class_names (sequence of str, optional): What prints and titles call the targets, one name an output of
            dimension 1. Default: None (numbers)

    Raises:
        TypeError: If ``forward_func`` is not callable, ``max_players`` not an int or a class name no text.
        ValueError: If ``score`` is unknown; in a call, if a target has no name among ``class_names``.

    Examples::

        >>> both = lambda x: x[:, 0] * x[:, 1]
        >>> method = AndOrInteractions(both)
        >>> method.attribute(torch.ones(1, 2))
        tensor([[0.5000, 0.5000]])
        >>> method.interactions(torch.ones(1, 2)).top(1)
        [Interaction(index=(0,), kind='and', players=(0, 1), value=1.0)]

    Source: Chen et al. 2024, arXiv 2401.16318 (AND-OR interactions); Harsanyi 1963; Shapley 1953.
    """

    @constrained(max_players=whole(1, TypeError))
    def __init__(
        self,
        forward_func: Callable[..., Any],
        score: Score = "output",
        max_players: int = 20,
        check_repeats: bool = True,
        output: str | int | None = None,
        reference: Callable[..., Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        for name, model in (("forward_func", forward_func), ("reference", reference)):
            if not callable(model) and not (name == "reference" and model is None):
                raise TypeError(
                    f"{name} must be callable, e.g. a torch.nn.Module; got {type(model).__name__}."
                    + method_to_pass(model)
                )
        check_score(score)
        super().__init__(forward_func)
        self.score = score
        self.max_players = int(max_players)
        self.check_repeats = bool(check_repeats)
        check_output_field(output)
        self.output = output
        self.reference = reference
        self.class_names = None if class_names is None else tuple(class_names)
        if isinstance(class_names, str) or not all(isinstance(name, str) for name in self.class_names or ()):
            raise TypeError(f"class_names must be a sequence of texts, a name for each class; got {class_names!r:.80}.")

    @log_usage()  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: InputsT,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool | None = None,
        *,
        budget: int | str | None = None,
        return_standard_error: bool = False,
        seed: int = 0,
        error_tolerance: float = 0.05,
        groups: Tensor | tuple[Tensor, ...] | str | None = None,
    ) -> InputsT | tuple[InputsT, InputsT]:
        r"""Shapley values, which are what the interactions imply for single players.

        :math:`\phi_i=\sum_{T\ni i}(I_{and}(T)+I_{or}(T))/|T|`, for every split the same, so none is solved for. Exact
        from all 2^n coalitions or, with a ``budget``, estimated from so many, for any number of players; estimates add
        up to v(N) - v(∅), too. See :meth:`estimate` for more than the values. They have the dtype of the model's
        output, at least float32; where the model returns one number per batch, their first dimension is 1.

        Args:
            inputs (Tensor, array, frame, tuple of these or dict): Inputs of any dtype and rank ≥ 1; dimension 0 is the
                batch in each. Arrays and frames of pandas become tensors of the dtype and on the device of the model's
                parameters, with a warning where that rounds a column; where there are none, doubles stay doubles. A
                column of a frame is a player, called by its name and, for a single row, its value. A dict, such as a
                tokenizer's ``BatchEncoding``, is passed by name: players are in the tensors that a dict of masks or
                baselines names, the rest is passed along, and attributions are a dict. Of a
                :class:`captum_andor.games.TextModel` a text.
            baselines (scalar, Tensor, tuple of these, optional): What players outside a coalition are replaced by: a
                number, or a tensor that broadcasts to its input; one per input; beside a frame also a frame or a Series
                of the same columns, such as ``X.mean()``; or a :class:`~captum_andor.games.Background` of rows that v
                is the mean over. Default: None (zeros, False for bool)
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
            show_progress (bool, optional): Show a tqdm bar over the coalitions. None: one line on stderr where it takes
                more than ten seconds; False: nothing. Default: None
            budget (int or str, optional): How many coalitions to evaluate, or ``"auto"``: until the standard errors
                reach ``error_tolerance``. With a background, how many forward passes, each on one of its rows, among
                them one that each row takes by itself. Default: None (all 2^n, up to ``max_players`` players)
            return_standard_error (bool, optional): Return the standard errors, too; 0 where values are exact.
                Default: False
            seed (int, optional): Of the choice of the coalitions. Default: 0
            error_tolerance (float, optional): Standard errors at which ``budget="auto"`` stops, relative to the values,
                both as root mean squares over players. Default: 0.05
            groups (Tensor, tuple[Tensor, ...] or str, optional): Integer ids like the feature mask, each player in one
                group: Owen values, for which groups join whole and the players of one group one by one; those of a
                group add up to its Shapley value among the groups. Default: None (Shapley values)

        Returns:
            - **attributions** (*Tensor or tuple[Tensor, ...]*): For each input ``(*output_shape, *input.shape[1:])``.
            - **standard_errors** (*the same*): Only if asked for.

        Raises:
            TypeError: If an argument is of the wrong kind, or a baseline or mask would have to be rounded.
            ValueError: If shapes do not match, there are more than ``max_players`` players, a target is out of range,
                a group cuts a player, or the score of a coalition is not finite.

        Examples::

            >>> from captum_andor import AndOrInteractions
            >>> model = torch.nn.Linear(3, 2)
            >>> AndOrInteractions(model).attribute(torch.rand(5, 3), target=1).shape
            torch.Size([5, 3])

        Source: Shapley 1953; Grabisch and Roubens 1999; Owen 1977.
        """
        if budget is not None:
            estimate = self._estimate(
                inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, show_progress,
                budget=budget, leverage=SHAPLEY, seed=seed, error_tolerance=error_tolerance, groups=groups,
            )  # fmt: skip
            if groups is None:
                return estimate.attributions(return_standard_error)  # type: ignore[return-value]
            layout = estimate.players.layout
            assert layout is not None
            found = estimate._owen_values(self._groups(inputs, baselines, groups, layout))
            mean, std = map(estimate.players.scatter, found)
            return (mean, std) if return_standard_error else mean  # type: ignore[return-value]
        players, game = self._game(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval
        )
        values = self._values(game, show_progress)
        if groups is None:
            shapley = shapley_values(values)
        else:
            members = self._groups(inputs, baselines, groups, players.layout)
            each = [
                owen_values(CompleteGame(v), [torch.tensor(group, device=v.device) for group in members])[0]
                for v in flat_games(values)
            ]
            shapley = torch.stack(each).view(*values.shape[:-1], -1)
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
        show_progress: bool | None = None,
        *,
        budget: int | str = 512,
        seed: int = 0,
        error_tolerance: float = 0.05,
        previous: GameEstimate | LogicalModel | None = None,
        player_names: Names = None,
    ) -> GameEstimate:
        """The game v from a budget of coalitions: Shapley values, predictions and patterns with standard errors.

        Half of the coalitions are spread evenly over the sizes, half drawn as R² weighs them, all in pairs S, N∖S; up
        to a tenth are others that tell the patterns apart which a search finds. A model that answers differently when
        asked again is asked 32 coalitions more, for ``noise``. With a :class:`~captum_andor.games.Background` each
        pass sees one row: players enter one by one on one row, and in reverse on another.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`.
            baselines (scalar, Tensor, tuple of these, optional): As in :meth:`attribute`. Default: None
            target (int, tuple, Tensor or list, optional): As in :meth:`attribute`. Default: None
            additional_forward_args (Any, optional): As in :meth:`attribute`. Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): As in :meth:`attribute`. Default: None
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): As in :meth:`attribute`. Default: None
            budget (int or str, optional): As in :meth:`attribute`. Default: 512
            seed (int, optional): Of the choice of the coalitions and of the fit. Default: 0
            error_tolerance (float, optional): As in :meth:`attribute`. Default: 0.05
            previous (GameEstimate or LogicalModel, optional): An estimate or a model of the same inputs and seed with
                a smaller budget: what it evaluated is not evaluated again, but for three coalitions that must be the
                same. Default: None
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
        """
        return self._estimate(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, show_progress,
            budget=budget, leverage=PATTERNS, seed=seed, error_tolerance=error_tolerance, previous=previous,
            names=player_names,
        )  # fmt: skip

    @torch.no_grad()
    @constrained()
    def _estimate(
        self,
        *arguments: Any,
        budget: int | str,
        leverage: float,
        seed: int,
        error_tolerance: float,
        previous: GameEstimate | LogicalModel | None = None,
        names: Names = None,
        groups: Any = None,
    ) -> GameEstimate:
        """The estimate by the arguments of Captum, in their order."""
        inputs, baselines, target, further, feature_mask, perturbations_per_eval, show_progress = arguments
        players, game = self._game(
            inputs, baselines, target, further, feature_mask, perturbations_per_eval, budgeted=True
        )
        members = None if groups is None else self._groups(inputs, baselines, groups, players.layout)
        return evaluated_estimate(
            game, budget, leverage, seed, Goal(shapley_error, error_tolerance), previous, names, self.max_players,
            show_progress, f"{self.get_name()} estimate", members,
        )  # fmt: skip

    @log_usage()  # type: ignore[untyped-decorator]
    @torch.no_grad()
    @constrained()
    def refine(
        self,
        estimate: GameEstimate,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool | None = None,
        *,
        top: int = 4,
        budget: int | str = 512,
        seed: int = 0,
        error_tolerance: float = 0.05,
        player_names: Names = None,
    ) -> GameEstimate:
        """Split the strongest players of an estimate into finer ones; what was evaluated is kept.

        Passages into sentences, patches into quarters, groups of columns into columns. A coalition of the coarse
        players is one of the finer ones; new coalitions hold whole players but for parts of one. The other players
        stay whole.

        Args:
            estimate (GameEstimate): Of the coarse players.
            inputs (Tensor or tuple[Tensor, ...]): As in the call that made it, and so are the others.
            baselines (scalar, Tensor, tuple of these, optional): Default: None
            target (int, tuple, Tensor or list, optional): Default: None
            additional_forward_args (Any, optional): Default: None
            feature_mask (Tensor, tuple[Tensor, ...] or str, optional): The finer players, each within one coarse one.
                Default: None (every element)
            perturbations_per_eval (int, optional): Default: None
            show_progress (bool, optional): Show a tqdm bar. None: one line on stderr where it takes more than ten
                seconds; False: nothing. Default: None
            top (int, optional): How many players are split: those of the largest Shapley values, of several outputs on
                average, that have finer ones. Default: 4
            budget (int or str, optional): How many coalitions in all, those of the estimate among them, or ``"auto"``.
                Default: 512
            seed (int, optional): Of the choice of the coalitions. Default: 0
            error_tolerance (float, optional): As in :meth:`attribute`. Default: 0.05
            player_names (sequence or mapping, optional): Of the finer players. Default: None (columns of a frame, words
                of a text; else the name of the coarse one with a number)

        Returns:
            - **estimate** (*GameEstimate*): Of the finer players; one that stays whole has the smallest of its finer
              ids. ``owen_values(…)`` of it, with the coarse mask, add up to the values of the coarse players.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`, and if the estimate is of other inputs, baselines, target or model, a
                finer player is in two coarse ones, none is split, or the budget is no more than the estimate had.

        Examples::

            >>> from captum_andor import AndOrInteractions
            >>> method = AndOrInteractions(lambda x: x[:, 0] * x[:, 1] + x[:, 2])
            >>> x, halves = torch.ones(1, 4), torch.tensor([[0, 0, 1, 1]])
            >>> coarse = method.estimate(x, feature_mask=halves, budget=4)
            >>> fine = method.refine(coarse, x, top=1, budget=8)
            >>> fine.player_names, fine.shapley_values()
            (('0 (1)', '0 (2)', '1'), tensor([[0.5000, 0.5000, 1.0000]], dtype=torch.float64))
        """
        if not isinstance(estimate, GameEstimate):
            raise TypeError(f"estimate must be a GameEstimate; got {type(estimate).__name__}.")
        arguments = inputs, baselines, target, additional_forward_args
        finer, _ = self._game(*arguments, feature_mask, perturbations_per_eval, budgeted=True)
        refined = Refinement.of(estimate, finer, top, player_names)
        _, game = self._game(*arguments, refined.feature_mask, perturbations_per_eval, budgeted=True)
        count = len(refined.known.coalitions)
        if not isinstance(budget, str) and is_int(budget) and budget <= count:
            raise ValueError(
                f"budget must be more than the estimate had, {count} coalitions, which count; got {budget}."
            )
        goal = Goal(shapley_error, error_tolerance, count + 2 * game.players.n_players)
        return evaluated_estimate(
            game, budget, SHAPLEY, seed, goal, None, refined.names, self.max_players, show_progress,
            f"{self.get_name()} refinement", refined.groups, refined.known,
        )  # fmt: skip

    def _groups(self, inputs: Any, baselines: Any, groups: Any, players: PlayerLayout) -> list[list[int]]:
        """The players of each group."""
        further, _ = self._game(inputs, baselines, None, None, groups, None, budgeted=True)
        return groups_of_players(players, further.layout)

    def attribute_future(
        self,
        inputs: InputsT,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool | None = None,
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
            show_progress (bool, optional): Show a tqdm bar. None: one line on stderr where it takes more than ten
                seconds; False: nothing. Default: None

        Returns:
            - **future** (*Future*): Of the attributions.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`.
        """
        result: Future[Any] = Future()
        result.set_result(
            self.attribute(
                inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, show_progress
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
        forward_func, reference, names = self.forward_func, self.reference, None
        if isinstance(inputs, Mapping):
            if additional_forward_args is not None:
                raise ValueError("additional_forward_args cannot stand beside inputs by name: put them into inputs.")
            chosen = isinstance(feature_mask, str)
            call = named_call(forward_func, inputs, baselines, None if chosen else feature_mask)
            if reference is not None:
                reference = named_call(reference, inputs, baselines, None if chosen else feature_mask).forward_func
            inputs, baselines, forward_func = call.inputs, call.baselines, call.forward_func
            feature_mask = feature_mask if chosen else call.feature_mask
            names, additional_forward_args = call.names, call.further
        players = players_of(inputs, baselines, feature_mask, forward_func, names)
        if isinstance(reference, (FrameModel, TextModel)) and type(forward_func) is type(reference):
            reference = forward_func.of_function(reference.function)  # of the rows that forward_func has encoded
        check_number(players, None if budgeted else self.max_players, feature_mask is None)
        chosen_score = self.score if score is None else score
        asked = standard_target(target, players.n_examples)
        targets = (asked,) if isinstance(asked, int) else tuple(asked.tolist()) if isinstance(asked, Tensor) else ()
        players.question = replace(
            players.question,
            compared=reference is not None,
            targets=targets,
            called=self._called(targets),
            score=chosen_score if isinstance(chosen_score, str) else "",
            absent=said_of_absent(self.forward_func, players),
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
            reference,
        )
        return players, game

    def _called(self, targets: tuple[Any, ...]) -> tuple[str, ...]:
        """Names of the classes that are asked for."""
        if self.class_names is None or not all(isinstance(target, int) for target in targets):
            return ()
        unnamed = [target for target in targets if not -len(self.class_names) <= target < len(self.class_names)]
        if unnamed:
            raise ValueError(
                f"target {unnamed[0]} has no name: class_names has {len(self.class_names)}, of classes 0 to "
                f"{len(self.class_names) - 1}. Pass a name for each class."
            )
        return tuple(self.class_names[target] for target in targets)

    @torch.no_grad()
    def _values(self, game: Game, show_progress: bool | None) -> Tensor:
        values = game.values(show_progress, f"{self.get_name()} attribution")
        game.warn_of_change()
        return values

    @log_usage()  # type: ignore[untyped-decorator]
    def outputs(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Baselines = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | str | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool | None = None,
    ) -> AndOrInteractions:
        """Run the model on all masked inputs once and keep what it returns, to explain several targets and scores.

        Args:
            inputs (Tensor or tuple[Tensor, ...]): As in :meth:`attribute`.
            baselines (scalar, Tensor, tuple of these, optional): As in :meth:`attribute`. Default: None
            additional_forward_args (Any, optional): As in :meth:`attribute`. Default: None
            feature_mask (Tensor or tuple[Tensor, ...], optional): As in :meth:`attribute`. Default: None
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): As in :meth:`attribute`. Default: None

        Returns:
            - **method** (*AndOrInteractions*): One that looks answers up and runs no model: its calls take the same
              inputs, baselines and masks. ``AndOrInteractions(method.forward_func, score=…)`` explains another score.

        Raises:
            TypeError: As :meth:`attribute`.
            ValueError: As :meth:`attribute`, and if the model returns one answer for the whole batch.

        Examples::

            >>> x = torch.rand(2, 3)
            >>> kept = AndOrInteractions(torch.nn.Linear(3, 4), score="log_odds").outputs(x)
            >>> kept.interactions(x, target=0).shape, kept.logical_model(x, target=3).shape
            ((2,), (2,))
        """
        if self.reference is not None:
            raise ValueError("outputs() keeps the answers of one model, and this method has a reference.")
        recorder = KeptOutputs(self.forward_func, self.output)
        asking = copy.copy(self)
        asking.forward_func, asking.output = recorder, None
        _, game = asking._game(
            inputs, baselines, None, additional_forward_args, feature_mask, perturbations_per_eval, score="output"
        )
        asking._values(game, show_progress)
        recorder.finish()
        return AndOrInteractions(recorder, self.score, self.max_players, check_repeats=False)

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
        show_progress: bool | None = None,
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
            show_progress (bool, optional): As in :meth:`attribute`; a second bar follows the sparse splits. Default:
                None
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
        with progress_bar(
            show_progress if split == "sparse" else False, count, f"{self.get_name()} split", "output"
        ) as bar:
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
    @constrained()
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
        show_progress: bool | None = None,
        *,
        kinds: str | Sequence[str] = ("and", "or"),
        weights: Weights = "uniform",
        r2_tolerance: float = 0.01,
        previous: GameEstimate | LogicalModel | None = None,
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
                evaluates all. ``"auto"`` begins with 256 and evaluates more, half as many each time, until the interval
                of R² leaves ``r2_tolerance``, at most 4 096. None takes all up to 10 players and 1 024 above.
                Default: None
            effort (str, optional): ``"stable"``, ``"accurate"`` or ``"high"``; see :meth:`LogicalModel.from_values`.
                Above 20 players one search serves all. Default: "auto"
            exact_ends (bool, optional): Hold h(∅) = v(∅) and h(N) = v(N), so that attributions add up. Default: True
            seed (int, optional): Of everything random: the coalitions, too. Default: 0
            perturbations_per_eval (int, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): Show a tqdm bar over the coalitions. None: one line on stderr where it takes
                more than ten seconds; False: nothing. Default: None
            kinds (str or sequence of str, optional): ``"and"``, ``"or"`` or both. Default: ("and", "or")
            weights (str or sequence of float, optional): What R² weighs; see :meth:`LogicalModel.from_values`.
                Default: "uniform"
            r2_tolerance (float, optional): What the lower end of the interval of R², of the model or of the estimate,
                may leave of the variance where ``budget="auto"`` stops. Default: 0.01
            previous (LogicalModel or GameEstimate, optional): A model or an estimate of the same inputs and seed with
                a smaller budget: what it evaluated is not evaluated again, but for three coalitions that must be the
                same. Default: None
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
        """
        options = Options(max_patterns, min_r2, max_order, effort, exact_ends, seed, kinds, weights)
        players, game = self._game(
            inputs, baselines, target, additional_forward_args, feature_mask, perturbations_per_eval, budgeted=True
        )
        options.size_shares(players.n_players)  # weights that do not fit n are an error before the evaluation
        n_rows = players.n_rows
        first = check_budget(budget, players.n_players, self.max_players, options, n_rows)
        if players.n_players > _MANY_PLAYERS:
            warn(
                f"there are {players.n_players:,} players: after the forward passes, choosing patterns among them "
                "takes up to a minute, and a budget shows only the strongest. Fewer players say more: pass a "
                "feature_mask, of games.masks: image_grid, superpixels, words; for Shapley values alone, "
                "attribute(budget=…)."
            )
        total = n_passes(players.n_players, n_rows) if first is None else first
        goal = Goal(model_error(options, r2_tolerance), r2_tolerance, total)
        estimate = evaluated_estimate(
            game, "auto" if isinstance(budget, str) else total, PATTERNS, options.seed, goal, previous, player_names,
            self.max_players, show_progress, f"{self.get_name()} logical model",
        )  # fmt: skip
        try:
            return estimate._modelled(options)
        except ValueError as error:
            if estimate.n_evaluations >= total:
                raise
            raise KeyboardInterrupt(f"after {estimate.n_evaluations} coalitions, too few for a model") from error
