"""``AndOrLLMAttribution``: AND-OR patterns, estimates and Shapley values of what a language model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from captum.attr import InterpretableInput, LLMAttribution, LLMAttributionResult, PerturbationAttribution
from captum.log import log_usage
from torch import Tensor, nn

from captum_andor._utils.checks import constrained, is_int
from captum_andor._utils.user_warnings import warn
from captum_andor.explain import AndOrExplanation, AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.games import feature_names
from captum_andor.llm.making_games import Settings, make_target_game
from captum_andor.llm.target_game import AttrTarget, Outputs, TargetGame, is_single, labelled, target_values
from captum_andor.llm.targets import TargetText

_NAME = "And Or LLM Attribution"  # Captum's would part LLM into letters
_COALITIONS_AT_ONCE = 4096
_ALL_PLAYERS, _BUDGET = 7, 128  # without a budget: all coalitions up to so many players, or so many passes
_OF_VALUES = ("max_patterns", "min_r2", "max_order", "effort", "exact_ends", "seed", "kinds", "weights")


class AndOrLLMAttribution(LLMAttribution):  # type: ignore[misc]  # captum ships no usable types
    r"""What a language model's answer rests on: AND-OR patterns between the parts of its prompt.

    A ``captum.attr.LLMAttribution`` in signature and results that also takes :class:`captum_andor.AndOrInteractions`,
    evaluates prompts together and asks none twice. v(S) is what the model says of the target when the players outside S
    are left out of the prompt: ``log_prob``, the sum of the log-probabilities of its tokens; ``prob``, their product;
    ``log_odds``, log p/(1-p) of that product. Of each token alone likewise, given the target's tokens before it.

    Answers are kept: further calls with the same input and target, with another result or a larger budget, ask only
    what is new, once v(N) is seen to be the same; so do calls after Ctrl-C or an error.

    Args:
        attr_method (PerturbationAttribution): :class:`captum_andor.AndOrInteractions` of the model, or another of
            Captum's perturbation methods, for :meth:`attribute` alone. The model is a causal language model of
            transformers or one that returns logits ``(B, L, V)``.
        tokenizer: Of the model.
        attr_target (str, optional): ``"log_prob"``, ``"prob"`` or ``"log_odds"``. Default: "log_prob"
        score (Callable, optional): For models that are no causal language models, what v is:
            ``score(model, batch, target)`` with a right-padded batch of ``input_ids`` and ``attention_mask`` returns a
            number ``(B,)`` or several ``(B, K)`` for each row. The target is passed as it is. Default: None
        provider (captum.attr.RemoteLLMProvider, optional): A server that is asked instead of the model;
            ``attr_method`` is made with ``captum.attr.RemoteLLMAttribution.placeholder_model``. Default: None
        tokens_per_batch (int, optional): Most tokens in a pass. Default: None (512 on a CPU, 4 096 elsewhere; in padded
            batches 2 048 and 16 384)
        parallel_requests (int, optional): To the provider at a time. Default: 8
        retries (int, optional): How often a request that failed is sent again. Default: 3

    Attributes:
        target (TargetText): The last target: its ids, tokens and text, also where the model has generated it.
        way (str): How the last prompts were evaluated: ``"tree"``, ``"padded"``, ``"one by one"``, ``"token by token"``
            or ``"remote"``.
        n_tokens (int): How many tokens went through the model for the last target.

    Raises:
        TypeError: If the method is none of Captum's perturbation methods, or an argument of the wrong kind.
        ValueError: If ``attr_target`` is unknown, or the method has a score of its own.

    Examples::

        >>> inp = ContextInput(passages, "Who won the prize in 2019?", tokenizer=tokenizer)  # doctest: +SKIP
        >>> method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)  # doctest: +SKIP
        >>> method.logical_model(inp, "Elena Marsh", budget=64).rules()  # doctest: +SKIP
        ['any one of d2, d4, d8: +16.1', 'left over: 1.7% of the variance']

    Source: Captum's ``LLMAttribution``: Miglani et al. 2023 (arXiv 2312.05491).
    """

    SUPPORTED_METHODS = (*LLMAttribution.SUPPORTED_METHODS, AndOrInteractions)
    SUPPORTED_PER_TOKEN_ATTR_METHODS = (*LLMAttribution.SUPPORTED_PER_TOKEN_ATTR_METHODS, AndOrInteractions)
    SUPPORTED_INPUTS = (InterpretableInput,)

    @constrained()
    def __init__(
        self,
        attr_method: PerturbationAttribution,
        tokenizer: Any,
        attr_target: AttrTarget = "log_prob",
        *,
        score: Callable[..., Any] | None = None,
        provider: Any = None,
        tokens_per_batch: int | None = None,
        parallel_requests: int = 8,
        retries: int = 3,
    ) -> None:
        _check_method(attr_method, self.SUPPORTED_METHODS)
        target_values(attr_target)  # checks it
        if not callable(getattr(tokenizer, "encode", None)) or not callable(getattr(tokenizer, "decode", None)):
            raise TypeError(f"tokenizer must have encode() and decode(); got {type(tokenizer).__name__}.")
        if score is not None and not callable(score):
            raise TypeError(f"score must be a function of (model, batch, target); got {type(score).__name__}.")
        if score is not None and provider is not None:
            raise ValueError("score and provider exclude each other: a provider returns log-probabilities.")
        super().__init__(attr_method, tokenizer)
        self.attr_target = attr_target
        self.target: TargetText | None = None
        self._settings = Settings(
            self.model, tokenizer, self.device, attr_target, score, provider, tokens_per_batch, parallel_requests,
            retries,
        )  # fmt: skip
        self._last: TargetGame | None = None

    @property
    def way(self) -> str | None:
        """How the last prompts were evaluated."""
        return None if self._last is None else self._last.evaluation.way

    @property
    def n_tokens(self) -> int:
        """How many tokens went through the model for the last target; 0 with a provider."""
        return 0 if self._last is None else int(getattr(self._last.evaluation, "n_tokens", 0))

    @log_usage()  # type: ignore[untyped-decorator]
    @constrained()
    def attribute(
        self,
        inp: InterpretableInput,
        target: str | Tensor | Sequence[int] | None = None,
        num_trials: int = 1,
        gen_args: dict[str, Any] | None = None,
        use_cached_outputs: bool = True,
        _inspect_forward: Callable[[str, str, list[float]], None] | None = None,
        forward_in_tokens: bool = True,
        *,
        skip_tokens: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> LLMAttributionResult:
        """Attributions of the parts of a prompt, by the method that this was made with.

        Args:
            inp (InterpretableInput): The prompt: :class:`ContextInput`, :class:`MaskedTokenInput`, or one of Captum's.
            target (str, Tensor or sequence of int, optional): The answer that is explained. Default: None (what the
                model generates from the whole prompt)
            num_trials (int, optional): How often a random method is run; the mean is returned. Default: 1
            gen_args (dict, optional): Of the generation of the target. Default: None (Captum's: 25 tokens, greedy)
            use_cached_outputs (bool, optional): Whether keys and values of what prompts have in common may be kept; the
                values are the same to rounding. Default: True
            forward_in_tokens (bool, optional): As in Captum. Causal models give the same either way, in one pass; of
                others each token is asked by itself, unless this is False. Default: True
            skip_tokens (sequence, optional): Tokens, by id or text, that are left out of the target. Default: None
            **kwargs: Of the method's ``attribute``, e.g. ``budget=256`` or ``n_samples=200``.

        Returns:
            - **result** (*captum.attr.LLMAttributionResult*): ``seq_attr`` ``(n,)``, ``token_attr`` ``(T, n)``.

        Raises:
            TypeError: If the input or the target is of the wrong kind.
            ValueError: If the target has no token, or a prompt is empty or longer than the model's window.
        """
        game = self._game(inp, target, gen_args, skip_tokens, use_cached_outputs, forward_in_tokens)
        _check_count(self.attr_method, inp, kwargs.get("budget"))
        game.on_answer = self._inspector(_inspect_forward, game)
        method = self._method_of(game, "both" if self.include_per_token_attr else "sum")
        is_ours = isinstance(method, AndOrInteractions)
        show = bool(kwargs.pop("show_progress", False)) if is_ours else False
        if kwargs.get("return_standard_error"):
            raise ValueError("attribute() returns Captum's result, which holds no standard errors; use estimate().")
        trials = []
        with game.progress(show, _NAME, _passes(kwargs.get("budget"), inp)):
            for _ in range(num_trials):
                options = {"perturbations_per_eval": _COALITIONS_AT_ONCE, **kwargs} if is_ours else kwargs
                found = method.attribute(game.inputs.to(self.device), **options)
                trials.append(found.reshape(-1, game.inputs.shape[1]).float())
        attributions = inp.format_attr(torch.stack(trials).mean(0).to(self.device))
        return LLMAttributionResult(
            input_tokens=list(getattr(inp, "values", None) or feature_names(inp)),
            output_tokens=game.tokens(len(attributions) - 1),
            seq_attr=attributions[0],
            token_attr=attributions[1:] if self.include_per_token_attr else None,
            inp=inp,
        )

    @log_usage()  # type: ignore[untyped-decorator]
    def logical_model(
        self,
        inp: InterpretableInput,
        target: str | Tensor | Sequence[int] | None = None,
        outputs: Outputs = "sum",
        *,
        budget: int | str | None = None,
        gen_args: dict[str, Any] | None = None,
        skip_tokens: Sequence[Any] | None = None,
        show_progress: bool | None = None,
        **options: Any,
    ) -> LogicalModel:
        """A few AND and OR patterns between the parts of a prompt that reproduce what the model says of the target.

        Args:
            inp (InterpretableInput): As in :meth:`attribute`.
            target (str, Tensor or sequence of int, optional): As in :meth:`attribute`. Default: None
            outputs (str or tuple, optional): ``"sum"``, the whole target; ``"tokens"``, each of its tokens; ``"both"``,
                the whole first; a span ``(start, end)`` of its tokens, or a part of its text: those tokens, given what
                stands before them. The passes are the same. Default: "sum"
            budget (int or str, optional): How many prompts to ask, or ``"auto"``. Default: None (all up to 7 players,
                128 above)
            gen_args (dict, optional): As in :meth:`attribute`. Default: None
            skip_tokens (sequence, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): Show a bar over the prompts. None: one line on stderr where it takes more
                than ten seconds; False: nothing. Default: None
            **options: Of ``AndOrInteractions.logical_model``: ``max_patterns``, ``min_r2``, ``kinds``, …

        Returns:
            - **model** (*LogicalModel*): Of shape ``(1,)``, ``(T,)`` or ``(1 + T,)``, outputs and players named.

        Raises:
            TypeError: As :meth:`attribute`, and if the method is not ``AndOrInteractions``.
            ValueError: As :meth:`attribute`, and as ``AndOrInteractions.logical_model``.
        """
        game = self._game(inp, target, gen_args, skip_tokens)
        n = int(inp.n_itp_features)
        spent = budget if budget is not None else (1 << n if n <= _ALL_PLAYERS else _BUDGET)

        def of_answers(values: Tensor, coalitions: Tensor) -> LogicalModel:
            kept = {name: value for name, value in options.items() if name in _OF_VALUES}
            return LogicalModel.from_values(values, coalitions, **kept)

        outputs = game.checked(outputs)
        found = self._run(game, "logical_model", outputs, show_progress, of_answers, budget=spent, **options)
        model: LogicalModel = replace(found, evaluate=partial(game.values_on, outputs=outputs))
        return model

    @log_usage()  # type: ignore[untyped-decorator]
    def interactions(
        self,
        inp: InterpretableInput,
        target: str | Tensor | Sequence[int] | None = None,
        outputs: Outputs = "sum",
        *,
        gen_args: dict[str, Any] | None = None,
        skip_tokens: Sequence[Any] | None = None,
        show_progress: bool | None = None,
        **options: Any,
    ) -> AndOrExplanation:
        """All AND and OR interactions between the parts of a prompt, from all 2^n prompts.

        Args:
            inp (InterpretableInput): As in :meth:`attribute`.
            target (str, Tensor or sequence of int, optional): As in :meth:`attribute`. Default: None
            outputs (str or tuple, optional): As in :meth:`logical_model`. Default: "sum"
            gen_args (dict, optional): As in :meth:`attribute`. Default: None
            skip_tokens (sequence, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): Show a bar over the prompts. None: one line on stderr where it takes more
                than ten seconds; False: nothing. Default: None
            **options: Of :meth:`captum_andor.AndOrInteractions.interactions`: ``split``, ``noise_bound``, …

        Returns:
            - **explanation** (*AndOrExplanation*): Of shape ``(1,)``, ``(T,)`` or ``(1 + T,)``.

        Raises:
            TypeError: As :meth:`logical_model`.
            ValueError: As :meth:`attribute`, and as ``AndOrInteractions.interactions``.
        """
        game = self._game(inp, target, gen_args, skip_tokens)
        _check_count(self.attr_method, inp, None)
        outputs = game.checked(outputs)
        found: AndOrExplanation = self._run(game, "interactions", outputs, show_progress, None, **options)
        return found

    @log_usage()  # type: ignore[untyped-decorator]
    def estimate(
        self,
        inp: InterpretableInput,
        target: str | Tensor | Sequence[int] | None = None,
        outputs: Outputs = "sum",
        *,
        budget: int | str = 128,
        gen_args: dict[str, Any] | None = None,
        skip_tokens: Sequence[Any] | None = None,
        show_progress: bool | None = None,
        **options: Any,
    ) -> GameEstimate:
        """The whole game of a prompt from a budget: Shapley values and predictions with standard errors.

        Args:
            inp (InterpretableInput): As in :meth:`attribute`.
            target (str, Tensor or sequence of int, optional): As in :meth:`attribute`. Default: None
            outputs (str or tuple, optional): As in :meth:`logical_model`. Default: "sum"
            budget (int or str, optional): How many prompts to ask, or ``"auto"``. Default: 128
            gen_args (dict, optional): As in :meth:`attribute`. Default: None
            skip_tokens (sequence, optional): As in :meth:`attribute`. Default: None
            show_progress (bool, optional): Show a bar over the prompts. None: one line on stderr where it takes more
                than ten seconds; False: nothing. Default: None
            **options: Of :meth:`captum_andor.AndOrInteractions.estimate`: ``seed``, ``tolerance``.

        Returns:
            - **estimate** (*GameEstimate*): Of shape ``(1,)``, ``(T,)`` or ``(1 + T,)``.

        Raises:
            TypeError: As :meth:`logical_model`.
            ValueError: As :meth:`attribute`, and as ``AndOrInteractions.estimate``.
        """
        game = self._game(inp, target, gen_args, skip_tokens)
        outputs = game.checked(outputs)
        found = self._run(game, "estimate", outputs, show_progress, GameEstimate.from_values, budget=budget, **options)
        # the game keeps its answers: for more, ask again with a larger budget
        estimate: GameEstimate = replace(found, continued=None)
        return estimate

    def _run(
        self,
        game: TargetGame,
        what: str,
        outputs: Outputs,
        show_progress: bool | None,
        of_answers: Callable[[Tensor, Tensor], Any] | None,
        **options: Any,
    ) -> Any:
        """One of the three results, of what has been answered until then after Ctrl-C."""
        method = self._method_of(game, outputs)
        if not isinstance(method, AndOrInteractions):
            raise TypeError(
                f"attr_method must be AndOrInteractions for {what}(); it is {type(method).__name__}, which has "
                "attribute() alone."
            )
        names = feature_names(game.inp)
        for name in ("player_names", "perturbations_per_eval", "inputs", "baselines", "feature_mask"):
            if name in options:
                raise TypeError(f"{what}() got an unexpected keyword argument {name!r}: inp says what the players are.")
        try:
            total = _passes(options.get("budget"), game.inp)
            with game.progress(show_progress, f"{_NAME} {what.replace('_', ' ')}", total):
                found = getattr(method, what)(
                    game.inputs, perturbations_per_eval=_COALITIONS_AT_ONCE, player_names=names, **options
                )
        except KeyboardInterrupt:
            rows, answers = game.answered()
            if of_answers is None or len(rows) < 2:
                raise
            try:
                found = of_answers(game.columns(answers, outputs).T, rows)
            except ValueError:  # too few for so many patterns; they are kept
                raise KeyboardInterrupt(
                    f"after {len(rows)} prompts, too few; they are kept for the next call"
                ) from None
            warn(f"interrupted after {len(rows)} prompts: the result is of these. They are kept for the next call.")
            found = replace(found, players=replace(found.players, names=tuple(names)))
            return labelled(found, game, outputs)
        return labelled(found if is_single(outputs) else found[0], game, outputs)

    def _method_of(self, game: TargetGame, outputs: Outputs) -> PerturbationAttribution:
        game.outputs = outputs
        method = copy(self.attr_method)
        method.forward_func = game
        if isinstance(method, AndOrInteractions):
            method.check_repeats = False  # the evaluation asks again by itself, past the answers that are kept
        return method

    def _game(
        self,
        inp: Any,
        target: Any,
        gen_args: dict[str, Any] | None,
        skip_tokens: Sequence[Any] | None,
        use_cache: bool = True,
        in_tokens: bool = True,
    ) -> TargetGame:
        self._check_training()
        self._last = make_target_game(
            self._settings, inp, target, gen_args, skip_tokens, use_cache, in_tokens, self._last
        )
        self.target = self._last.target
        return self._last

    def _check_training(self) -> None:
        """Raise, or warn for Captum's methods, which run a model as it is, where dropout would make v random."""
        if not isinstance(self.model, nn.Module):
            return
        random = [name for name, module in self.model.named_modules() if module.training and _is_dropout(module)]
        if not random:
            return
        message = (
            f"the model is in training mode: {random[0] or 'it'} drops activations at random, so that v is random. "
            "Call model.eval() first."
        )
        if isinstance(self.attr_method, AndOrInteractions):
            raise ValueError(message)
        warn(message)

    def _inspector(self, inspect: Any, game: TargetGame) -> Callable[[Any, Tensor], None] | None:
        """Captum's hook on every prompt: its text, the target's, and the probabilities of the whole and each token."""
        if inspect is None:
            return None

        def tell(prompt: Any, values: Tensor) -> None:
            text = prompt if isinstance(prompt, str) else self.tokenizer.decode(torch.tensor(prompt.ids))
            response = "" if game.target is None else self.tokenizer.decode(torch.tensor(game.target.ids))
            inspect(text, response, (values.exp() if self.attr_target == "log_prob" else values).tolist())

        return tell


def _check_method(attr_method: Any, supported: tuple[type, ...]) -> None:
    if not isinstance(attr_method, supported):
        names = ", ".join(kind.__name__ for kind in supported)
        raise TypeError(f"attr_method must be one of {names}; got {type(attr_method).__name__}.")
    if isinstance(attr_method, AndOrInteractions) and attr_method.score != "output":
        raise ValueError(
            f"attr_method has score={attr_method.score!r}: attr_target says what v is. "
            "Make AndOrInteractions without a score."
        )
    if isinstance(attr_method, AndOrInteractions) and attr_method.reference is not None:
        raise ValueError("attr_method has a reference, which language models cannot be compared with here.")
    model: Any = attr_method.forward_func  # type: ignore[attr-defined]
    if not hasattr(model, "device") and next(iter(getattr(model, "parameters", list)()), None) is None:
        raise TypeError(
            "attr_method must be made with the language model itself, which has a device or parameters; got "
            f"{type(model).__name__}."
        )


def _passes(budget: Any, inp: Any) -> int | None:
    """How many prompts are asked; None where that is not known before."""
    if budget is None:
        return 1 << min(int(inp.n_itp_features), 62)
    return min(int(budget), 1 << min(int(inp.n_itp_features), 62)) if is_int(budget) else None


def _check_count(method: Any, inp: Any, budget: Any) -> None:
    """Raise where all prompts of too many players would be asked."""
    n = int(inp.n_itp_features)
    if isinstance(method, AndOrInteractions) and budget is None and n > method.max_players:
        raise ValueError(
            f"inp has {n} players: all 2^{n} prompts are too many, max_players is {method.max_players}. Pass a budget: "
            "attribute(..., budget=256), logical_model(..., budget=256), or join sources."
        )


_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, _DROPOUTS) and module.p > 0
