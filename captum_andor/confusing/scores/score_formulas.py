r"""Scores of confusion, larger = more confusing: from the values of a game, from its split, from references.

Shapes: N samples, n players, 2^n coalitions as bit codes, ``scale`` the mean of \|v(N) − v(∅)\| over the samples of one
model. The formulas are those of this package; ``offset`` follows the words of the paper (high-order interactions that
offset each other, Zhang et al. 2025, arXiv 2502.08625).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from captum_andor.games import Score, active_players
from captum_andor.games.transforms import count_players, orders
from captum_andor.split import SplitResult

VALUE_SCORES = ("net_order", "flip_rate", "masked_margin")
SPLIT_SCORES = ("offset", "offset_strength", "mean_order", "high_order_share", "cancellation")
REFERENCE_SCORES = ("non_generalizable_share", "unshared_effect")
_SALIENT_SHARE = 0.03  # of the mean |v(N) − v(∅)|: the authors' public code
_SOFTENING = 0.1  # of the same mean, added to |v(N) − v(∅)| where scores divide by it
_ACTIVE_SHARE = 1e-5  # of max|v|: above what float32 outputs differ by between batches
Labels = Literal["given", "predicted"]
BOUNDED = ("prob", "log_prob")  # scores v whose sign says nothing about the decision
DEFAULT_SCORE = "masked_margin"  # by evidence: docs/confusing_samples.rst, "The default"
SCORES = (*VALUE_SCORES, *SPLIT_SCORES, *REFERENCE_SCORES)


def effect(values: Tensor) -> Tensor:
    """Effect of all players together, v(N) − v(∅): shape ``(N,)``."""
    return values[:, -1] - values[:, 0]


def lost_by_each(values: Tensor) -> Tensor:
    """What v loses when one player goes, v(N) − v(N∖i): shape ``(N, n)``, the leave-one-out attribution."""
    return values[:, -1:] - values[:, _without(values, 1)]


def lost_by_one(values: Tensor) -> Tensor:
    """Mean over players i of v(N) − v(N∖i): shape ``(N,)``."""
    return values[:, -1] - values[:, _without(values, 1)].mean(1)


def n_flips(values: Tensor) -> Tensor:
    """On how many of the n (n − 1)/2 masks with two players removed v < 0: shape ``(N,)``."""
    return (values[:, _without(values, 2)] < 0).sum(1)


def n_active(values: Tensor) -> Tensor:
    """Number of players whose presence changes v on any coalition that was evaluated: int64, shape ``(N,)``."""
    allowed = _ACTIVE_SHARE * values.abs().amax(1)
    n, codes = _layout(values)
    if codes is None:
        return active_players(values, allowed).sum(1)
    place = {code: i for i, code in enumerate(codes.tolist())}
    active = []
    for player in range(n):
        pairs = [(place[c], place[c ^ 1 << player]) for c in place if c >> player & 1 and c ^ 1 << player in place]
        with_it, without = torch.tensor(pairs, dtype=torch.int64, device=values.device).T
        active.append(((values[:, with_it] - values[:, without]).abs() > allowed[:, None]).any(1))
    return torch.stack(active).sum(0)


def value_scores(values: Tensor, scale: float) -> dict[str, Tensor]:
    """Scores that need no split.

    Args:
        values (Tensor): v, float64, shape ``(N, 2^n)``, or on :func:`scored_coalitions` alone.
        scale (float): Mean of |v(N) − v(∅)|.

    Returns:
        - **scores** (*dict*): float64, shape ``(N,)`` each: ``net_order``, [v(N) − mean_i v(N∖i)] / (|v(N) − v(∅)| +
          0.1 scale), the signed mean order of the AND split; ``flip_rate``, share of masks with two players removed on
          which v < 0 (NaN below two players); ``masked_margin``, −mean_i v(N∖i).
    """
    lost = lost_by_one(values)
    n, _ = _layout(values)
    return {
        "net_order": _ratio(lost, effect(values).abs() + _SOFTENING * scale),
        "flip_rate": n_flips(values).double() / (n * (n - 1) / 2) if n > 1 else torch.full_like(lost, torch.nan),
        "masked_margin": lost - values[:, -1],
    }


def scored_coalitions(n: int) -> Tensor:
    """Bit codes of the coalitions that :func:`value_scores` reads: ∅, those without two and one players, N; sorted."""
    codes = {0, *(code for removed in range(min(n, 3)) for code in _lacking(n, removed).tolist())}
    return torch.tensor(sorted(codes), dtype=torch.int64, device="cpu")


def n_players(values: Tensor) -> int:
    """Number of players of values on all coalitions, or on :func:`scored_coalitions`."""
    return _layout(values)[0]


def scored_codes(values: Tensor) -> Tensor | None:
    """Bit codes of the columns of values on :func:`scored_coalitions`; None where the columns are all coalitions."""
    return _layout(values)[1]


def _lacking(n: int, removed: int) -> Tensor:
    """Bit codes of the coalitions that lack so many of n players."""
    codes = [(1 << n) - 1 - sum(1 << i for i in some) for some in combinations(range(n), removed)]
    return torch.tensor(codes, dtype=torch.int64, device="cpu")


def _layout(values: Tensor) -> tuple[int, Tensor | None]:
    """Number of players, and the bit codes of the columns; None where these are all coalitions.

    The number of columns tells: 2 + n + n (n - 1) / 2 is a power of two for n = 3 alone, where both are the same.
    """
    size = values.shape[1]
    if size & size - 1 == 0:
        return count_players(values), None
    n = round(((8 * size - 15) ** 0.5 - 1) / 2)
    codes = scored_coalitions(n)
    if len(codes) != size:
        raise ValueError(f"values are of {size} coalitions, neither all nor those that scores read.")
    return n, codes


def _without(values: Tensor, removed: int) -> Tensor:
    """Columns of the coalitions that lack so many players."""
    n, codes = _layout(values)
    wanted = _lacking(n, removed)
    return wanted if codes is None else torch.searchsorted(codes, wanted)


def high_order(n_players: int) -> int:
    """Lowest of the orders that count as high: the first above half of the players."""
    return n_players // 2 + 1


def salient(split: SplitResult, scale: float) -> Tensor:
    """Interactions of a split, those below 0.03 of the scale set to 0: AND, OR in dimension 1, ``(N, 2, 2^n)``."""
    interactions = torch.stack([split.and_values, split.or_values], dim=1)
    interactions[..., 0] = 0.0
    return torch.where(interactions.abs() >= _SALIENT_SHARE * scale, interactions, 0.0)


def order_profile(interactions: Tensor) -> Tensor:
    """Strength by order, J⁺ and |J⁻|, AND and OR together: shape ``(N, 2, n + 1)``."""
    signed = torch.stack([interactions.clamp(min=0), -interactions.clamp(max=0)], dim=1).sum(2)
    n = count_players(interactions)
    profile = signed.new_zeros(len(signed), 2, n + 1)
    return profile.index_add(-1, orders(n, signed.device), signed)


def offsetting_strength(profile: Tensor, first_high: int) -> Tensor:
    """Strength of high order that the other sign offsets, Σ_{k high} 2 min(E_k, F_k): shape ``(N,)``."""
    return 2 * profile[..., first_high:].amin(1).sum(1)


def split_scores(interactions: Tensor, scale: float, first_high: int) -> dict[str, Tensor]:
    """Scores of a split's salient interactions.

    Args:
        interactions (Tensor): As :func:`salient` returns them, shape ``(N, 2, 2^n)``.
        scale (float): Mean of |v(N) − v(∅)|.
        first_high (int): Lowest order that counts as high.

    Returns:
        - **scores** (*dict*): float64, shape ``(N,)`` each, 0 where nothing is salient. With E_k and F_k the positive
          and the negative strength of order k: ``offset``, Σ_{k high} 2 min(E_k, F_k) / Σ_k (E_k + F_k);
          ``offset_strength``, the same numerator / scale; ``mean_order``, Σ_k k (E_k + F_k) / Σ_k (E_k + F_k);
          ``high_order_share``; ``cancellation``, 1 − |Σ I| / Σ |I|.

    Source: The idea of ``offset`` is that of Zhang et al. 2025, arXiv 2502.08625.
    """
    profile = order_profile(interactions)
    strength = profile.sum(1)
    total = strength.sum(1)
    offsetting = offsetting_strength(profile, first_high)
    order = torch.arange(strength.shape[1], dtype=strength.dtype, device=strength.device)
    net = (profile[:, 0] - profile[:, 1]).sum(1).abs()
    return {
        "offset": _ratio(offsetting, total),
        "offset_strength": _ratio(offsetting, torch.full_like(total, scale)),
        "mean_order": _ratio(strength @ order, total),
        "high_order_share": _ratio(strength[:, first_high:].sum(1), total),
        "cancellation": _ratio(total - net, total),
    }


def reference_scores(interactions: Tensor, references: list[Tensor]) -> dict[str, Tensor]:
    """How much of a split no model trained on other data repeats.

    Args:
        interactions (Tensor): Salient interactions of the model, shape ``(N, 2, 2^n)``.
        references (list of Tensor): Salient interactions of each reference, for the same samples and labels.

    Returns:
        - **scores** (*dict*): float64, shape ``(N,)`` each: ``non_generalizable_share``, the share of the salient
          strength that no reference repeats (same players, kind and sign, salient there too); ``unshared_effect``,
          −Σ sign · min(|I|, |I_ref|) over what is repeated, in the units of v, averaged over the references.
    """
    strength = interactions.abs()
    repeated = torch.zeros_like(interactions, dtype=torch.bool)
    shared = torch.zeros_like(strength[:, 0, 0])
    for other in references:
        same_sign = interactions * other > 0
        repeated |= same_sign
        common = torch.where(same_sign, torch.minimum(strength, other.abs()) * interactions.sign(), 0.0)
        shared = shared + common.sum((1, 2)) / len(references)
    unrepeated = torch.where(repeated, 0.0, strength).sum((1, 2))
    return {"non_generalizable_share": _ratio(unrepeated, strength.sum((1, 2))), "unshared_effect": -shared}


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Part / whole; 0 where the whole is 0."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)


def primary_score(primary: str | None, scores: Any) -> str:
    """The score that ranks: the one named for it; the first of the scores; the default."""
    if primary is not None or scores is None or scores == "all" or tuple(scores) in ((), ("all",)):
        return DEFAULT_SCORE if primary is None else primary
    return scores if isinstance(scores, str) else next(iter(scores))


def check_scores(scores: Any, primary: Any, score: Score) -> tuple[str, ...] | None:
    """The names of the scores to compute, the primary among them; None stays, for those that are computed unasked."""
    names = () if scores is None else (scores,) if isinstance(scores, str) else tuple(scores)
    if names == ("all",):
        names = wanted_scores(score, False)
    for argument, name in (*(("scores", name) for name in names), ("primary", primary)):
        if name not in SCORES:
            raise ValueError(f"{argument} must be among {list(SCORES)}; got {name!r}.")
    return None if scores is None else tuple(name for name in SCORES if name in (*names, primary))


def check_flips(score: Score, names: Sequence[str]) -> None:
    """Raise if ``flip_rate`` is wanted of a score whose sign does not show the decision."""
    if score in BOUNDED and "flip_rate" in names:
        raise ValueError(
            f'flip_rate takes v < 0 for another decision, which score={score!r} cannot tell; use score="log_odds".'
        )


def check_label_kind(labels: Any) -> None:
    """Raise unless it says which labels v is about."""
    if not isinstance(labels, str):
        raise TypeError(
            f'labels must be "given" or "predicted"; got {type(labels).__name__}. Inputs and their labels are one '
            "argument, a pair: evaluate((inputs, labels))."
        )
    if labels not in get_args(Labels):
        raise ValueError(f"labels must be one of {list(get_args(Labels))}; got {labels!r}.")


def default_scores(score: Score, primary: str, have_references: bool) -> tuple[str, ...]:
    """Scores that are computed unasked: those of v, the primary, and those of references where there are some.

    The others need a split for every sample, which takes longer than all passes.
    """
    unasked = (*VALUE_SCORES, primary, *(REFERENCE_SCORES if have_references else ()))
    return tuple(name for name in wanted_scores(score, True) if name in unasked)


def wanted_scores(score: Score, have_references: bool) -> tuple[str, ...]:
    """All scores that can be computed."""
    without = (*(() if have_references else REFERENCE_SCORES), *(("flip_rate",) if score in BOUNDED else ()))
    return tuple(name for name in SCORES if name not in without)
