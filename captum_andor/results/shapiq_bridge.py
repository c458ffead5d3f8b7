"""Conversion to and from ``shapiq.InteractionValues``, for the plots and tools of shapiq."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor.games.transforms import coalition_members, count_players, mobius, orders, zeta
from captum_andor.results.result_players import PlayerKey

if TYPE_CHECKING:
    import shapiq

_MOST_PLAYERS = 20  # a table of 2^20 values takes 8 MB


def moebius_terms(values: Tensor, order: int) -> Tensor:
    """Möbius transform of a game ``(2^n,)``, 0 above an order."""
    n = count_players(values)
    if not 1 <= order <= n:
        raise ValueError(f"max_order must be 1 to the number of players, {n}; got {order}.")
    return torch.where(orders(n, values.device) <= order, mobius(values), 0.0)


def to_shapiq(values: Tensor, terms: Tensor, index: str, order: int, is_sparse: bool) -> shapiq.InteractionValues:
    """Interactions of one game as shapiq's values, keyed by player positions.

    Args:
        values: The game, shape ``(2^n,)``.
        terms: Interactions by bit code, likewise.
        index: What they are.
        order: Their largest order.
        is_sparse: Leave out what is 0 but for rounding.
    """
    try:
        import shapiq
    except ImportError as error:
        raise ImportError("to_shapiq() needs shapiq: pip install shapiq") from error
    n, empty = count_players(values), float(values[0])
    kept = torch.where(orders(n, terms.device) <= order, True, False)
    if is_sparse:
        rounding = 1e-12 * (1 << n) * float(values.abs().amax())
        kept &= terms.abs() > rounding
    kept[0] = True
    codes = kept.nonzero().flatten().cpu()
    found = terms.cpu()[codes].numpy().copy()
    found[0] = empty
    sets = PlayerKey(tuple(range(n))).players(coalition_members(codes, n))
    return shapiq.InteractionValues(
        values=found,
        index=index,
        n_players=n,
        min_order=0,
        max_order=order,
        interaction_lookup=dict(zip(sets, range(len(sets)), strict=True)),
        estimated=False,
        baseline_value=empty,
    )


def from_shapiq(interactions: Any) -> Tensor:
    """Values of the game whose Möbius transform shapiq holds: float64, shape ``(2^n,)``."""
    for name in ("index", "n_players", "interaction_lookup", "values"):
        if not hasattr(interactions, name):
            raise TypeError(f"interactions must be a shapiq.InteractionValues; got {type(interactions).__name__}.")
    if interactions.index != "Moebius":
        raise ValueError(
            f'interactions are of index {interactions.index!r}, from which v does not follow; compute index="Moebius".'
        )
    n = int(interactions.n_players)
    if n > _MOST_PLAYERS:
        raise ValueError(f"interactions are of {n} players; 2^n values are kept for at most {_MOST_PLAYERS}.")
    moebius = torch.zeros(1 << n, dtype=torch.float64, device="cpu")
    found = np.asarray(interactions.values, dtype=np.float64)
    for players, position in interactions.interaction_lookup.items():
        moebius[sum(1 << int(player) for player in players)] = float(found[position])
    return zeta(moebius)
