r"""Other indices of interaction that follow from the values of a game, exactly.

All start from the Möbius transform m(T) of v. Shapes: values ``(…, 2^n)``, coalitions as bit codes; an index has the
same shape, its value for the players S at the bit code of S, and 0 at ∅ and at sets larger than its order.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from captum_andor._utils.checks import constrained, is_int, one_of
from captum_andor.games.transforms import all_coalitions, count_players, mobius, orders, zeta

Index: TypeAlias = Literal["SII", "k-SII", "BII", "STII", "FSII"]

__all__ = ["Index", "banzhaf_values", "interaction_index", "multi_order_interaction"]


@constrained(index=one_of(get_args(Index)))
def interaction_index(values: Tensor, index: Index = "k-SII", order: int = 2) -> Tensor:
    r"""An index of interaction of all sets of 1 to ``order`` players.

    Args:
        values (Tensor): v, float64, shape ``(…, 2^n)``.
        index (str, optional): Default: "k-SII". One of

            - ``"SII"``, the Shapley interaction index, :math:`\sum_{T⊇S} m(T)/(|T|-|S|+1)` (Grabisch and Roubens 1999)
            - ``"k-SII"``, that made efficient up to the order (Lundberg et al. 2020, arXiv 1802.03888; Bordt and von
              Luxburg 2023, arXiv 2209.04012)
            - ``"BII"``, Banzhaf's, :math:`\sum_{T⊇S} m(T)/2^{|T|-|S|}`
            - ``"STII"``, Shapley-Taylor (Sundararajan et al. 2020, arXiv 1902.05622)
            - ``"FSII"``, Faith-Shap (Tsai et al. 2023, arXiv 2203.00870)
        order (int, optional): Largest number of players. Default: 2

    Returns:
        - **index** (*Tensor*): float64, shape ``(…, 2^n)``.

    Raises:
        ValueError: If there is no such index, the order is not 1 to n, or the last axis is no power of two.

    Examples::

        >>> interaction_index(torch.tensor([0.0, 1.0, 1.0, 3.0], dtype=torch.float64), "k-SII")
        tensor([0., 1., 1., 1.], dtype=torch.float64)
    """
    n = count_players(values)
    if not is_int(order) or not 1 <= order <= n:
        raise ValueError(f"order must be an int from 1 to the number of players, {n}; got {order!r}.")
    by_order = _supersets_by_order(mobius(values.double()))
    size = orders(n, values.device)
    result = torch.zeros_like(by_order[0])
    for s in range(1, order + 1):
        total = sum(_weight(index, s, t, order) * by_order[t] for t in range(s, n + 1))
        result = torch.where(size == s, total, result)
    return result


def _supersets_by_order(interactions: Tensor) -> list[Tensor]:
    """For each order t the sums of m(T) over the supersets T of S with t players: n + 1 tensors ``(…, 2^n)``."""
    n = count_players(interactions)
    size = orders(n, interactions.device)
    # supersets of S are the complements of subsets of its complement
    return [zeta(torch.where(size == t, interactions, 0.0).flip(-1)).flip(-1) for t in range(n + 1)]


def _weight(index: Index, s: int, t: int, k: int) -> float:
    """Weight of the Möbius transform m(T) of t players in the index of s of them, for orders up to k."""
    if index == "SII":
        return 1 / (t - s + 1)
    if index == "BII":
        return 0.5 ** (t - s)
    if index == "k-SII":  # SII of all sets between S and T of up to k players, by Bernoulli numbers
        between = range(s, min(k, t) + 1)
        return sum(_bernoulli(j - s) * math.comb(t - s, j - s) / (t - j + 1) for j in between)
    if index == "STII":
        return float(t == s) if s < k else 1 / math.comb(t, k)
    if t <= k:
        return float(t == s)
    share: float = s / (k + s) * math.comb(k, s) * math.comb(t - 1, k) / math.comb(t + k - 1, k + s)
    return -share if (k - s) % 2 else share


def _bernoulli(m: int) -> float:
    """Bernoulli number B_m, with B_1 = −1/2."""
    numbers = [1.0]
    for i in range(1, m + 1):
        numbers.append(-sum(math.comb(i + 1, j) * numbers[j] for j in range(i)) / (i + 1))
    return numbers[m]


def banzhaf_values(values: Tensor) -> Tensor:
    r"""Banzhaf values, the mean of v(S ∪ {i}) − v(S) over all S without i.

    Args:
        values (Tensor): v, float64, shape ``(…, 2^n)``.

    Returns:
        - **banzhaf** (*Tensor*): float64, shape ``(…, n)``.

    Raises:
        ValueError: If the last axis is no power of two.

    Examples::

        >>> banzhaf_values(torch.tensor([0.0, 1.0, 1.0, 3.0]))
        tensor([1.5000, 1.5000], dtype=torch.float64)

    Source: Banzhaf 1965.
    """
    n = count_players(values)
    held = all_coalitions(n, values.device).double()
    return values.double() @ (2 * held - 1) / (1 << (n - 1))


def multi_order_interaction(values: Tensor) -> Tensor:
    r"""Interaction of every two players in contexts of every size.

    :math:`I^{(m)}(i,j)`, the mean of v(S ∪ {i, j}) − v(S ∪ {i}) − v(S ∪ {j}) + v(S) over all S of m other players.

    Args:
        values (Tensor): v, float64, shape ``(…, 2^n)``, n ≥ 2.

    Returns:
        - **interaction** (*Tensor*): float64, shape ``(…, n - 1, n, n)``: m = 0 to n − 2, then both players; symmetric,
          0 on the diagonal. Its mean over m is the Shapley interaction index of the pair.

    Raises:
        ValueError: If there are fewer than two players.

    Examples::

        >>> multi_order_interaction(torch.tensor([0.0, 1.0, 1.0, 3.0]))[0]
        tensor([[0., 1.],
                [1., 0.]], dtype=torch.float64)

    Source: Zhang et al. 2021, arXiv 2009.11729; Deng et al. 2022, arXiv 2111.06236.
    """
    n = count_players(values)
    if n < 2:
        raise ValueError(f"multi_order_interaction needs two players or more; values of shape {tuple(values.shape)}.")
    by_order = _supersets_by_order(mobius(values.double()))
    result = by_order[0].new_zeros(*values.shape[:-1], n - 1, n, n)
    for i in range(n):
        for j in range(i):
            pair = (1 << i) | (1 << j)
            for m in range(n - 1):
                # S of m players holds the t − 2 others of T in C(m, t − 2) of C(n − 2, t − 2) cases
                parts = [
                    math.comb(m, t - 2) / math.comb(n - 2, t - 2) * by_order[t][..., pair] for t in range(2, m + 3)
                ]
                result[..., m, i, j] = result[..., m, j, i] = torch.stack(parts).sum(0)
    return result
