r"""Subset transforms on the last axis of a tensor, in O(n 2^n), without a 2^n x 2^n matrix.

Axis convention: a set function over n players is stored along the last axis, of length ``2^n``; position ``S`` is the
coalition whose members are the set bits of ``S`` (bit i is player i). Leading axes are a batch. Every function takes
any floating dtype on any device, returns a new tensor and is differentiable.

AND interactions are the Möbius transform of the game (Harsanyi 1963); OR interactions are minus the Möbius transform of
``S -> v(N \ S)`` (Chen et al. 2024, arXiv 2401.16318, eq. 5), with the empty set left out.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.devices import holds_float64

__all__ = [
    "all_coalitions",
    "coalition_codes",
    "coalition_members",
    "count_players",
    "mobius",
    "or_mobius",
    "or_zeta",
    "orders",
    "shapley_values",
    "walsh",
    "zeta",
]
# Bits below this are handled by one small dense product: strided butterflies on 1, 2, 4, … neighbours
# are slow, and a single 32 x 32 product replaces five kernel launches.
_DENSE_BITS = 5
_LARGEST = 1e305  # sums of 2^n values of this size would overflow


def count_players(values: Tensor, name: str = "values") -> int:
    """Return n for a tensor whose last axis holds ``2^n`` values.

    Args:
        values (Tensor): Shape ``(…, 2^n)``, any dtype.
        name (str, optional): What an error calls the argument. Default: "values"

    Returns:
        - **n** (*int*): The number of players.

    Raises:
        ValueError: If the last axis is missing or its length is not a power of two.

    Examples::

        >>> count_players(torch.zeros(3, 8))
        3
    """
    length = values.shape[-1] if values.ndim else 0
    if length < 1 or length & (length - 1):
        raise ValueError(
            f"{name} must have a last axis of length 2^n, one entry per coalition of n players; got shape "
            f"{tuple(values.shape)}. Pass one value for every subset, in the order of its bit code."
        )
    return length.bit_length() - 1


def mobius(values: Tensor) -> Tensor:
    r"""AND interactions of a game: :math:`a(T)=\sum_{L\subseteq T}(-1)^{|T|-|L|}v(L)`.

    Args:
        values (Tensor): Game values, shape ``(…, 2^n)``, floating.

    Returns:
        - **interactions** (*Tensor*): Same shape, dtype and device; position 0 is v(∅).

    Raises:
        ValueError: If the last axis is not a power of two.
        TypeError: If the dtype is not floating.

    Examples::

        >>> mobius(torch.tensor([0.0, 0.0, 0.0, 1.0]))  # x1 AND x2
        tensor([0., 0., 0., 1.])

    Source: Harsanyi 1963; Ren et al. 2024, arXiv 2305.01939.
    """
    return _butterfly(values, upward=True, sign=-1)


def zeta(interactions: Tensor) -> Tensor:
    r"""Inverse of :func:`mobius`: :math:`v(S)=\sum_{T\subseteq S}a(T)`.

    Args:
        interactions (Tensor): Shape ``(…, 2^n)``, floating.

    Returns:
        - **values** (*Tensor*): Same shape, dtype and device.

    Raises:
        ValueError: If the last axis is not a power of two.
        TypeError: If the dtype is not floating.

    Examples::

        >>> zeta(torch.tensor([1.0, 2.0, 0.0, 3.0]))
        tensor([1., 3., 1., 6.])
    """
    return _butterfly(interactions, upward=True, sign=1)


def mobius_adjoint(values: Tensor) -> Tensor:
    """Adjoint of :func:`mobius`: same shape, dtype and device."""
    return _butterfly(values, upward=False, sign=-1)


def zeta_adjoint(values: Tensor) -> Tensor:
    r"""Adjoint of :func:`zeta`, :math:`\sum_{T\supseteq S}x(T)`: same shape, dtype and device."""
    return _butterfly(values, upward=False, sign=1)


def or_mobius(values: Tensor) -> Tensor:
    r"""OR interactions of a game: :math:`b(T)=-\sum_{L\subseteq T}(-1)^{|T|-|L|}v(N\setminus L)`, :math:`b(∅)=0`.

    Args:
        values (Tensor): Game values, shape ``(…, 2^n)``, floating.

    Returns:
        - **interactions** (*Tensor*): Same shape, dtype and device; position 0 is 0.

    Raises:
        ValueError: If the last axis is not a power of two.
        TypeError: If the dtype is not floating.

    Examples::

        >>> or_mobius(torch.tensor([0.0, 1.0, 1.0, 1.0]))  # x1 OR x2
        tensor([0., 0., 0., 1.])

    Source: Chen et al. 2024, arXiv 2401.16318, eq. 5.
    """
    count_players(values)
    _check_floating(values)
    return _without_empty_set(mobius(values.flip(-1).neg()))  # negated first: no -0. from exact zeros


def or_zeta(interactions: Tensor) -> Tensor:
    r"""Inverse of :func:`or_mobius` up to the constant v(∅): :math:`v(S)-v(∅)=\sum_{T\cap S\neq∅}b(T)`.

    Args:
        interactions (Tensor): Shape ``(…, 2^n)``, floating; position 0 has no effect.

    Returns:
        - **values** (*Tensor*): Same shape, dtype and device; position 0 is 0.

    Raises:
        ValueError: If the last axis is not a power of two.
        TypeError: If the dtype is not floating.

    Examples::

        >>> or_zeta(torch.tensor([0.0, 0.0, 0.0, 1.0]))
        tensor([0., 1., 1., 1.])
    """
    subset_sums = zeta(_without_empty_set(interactions))
    return subset_sums[..., -1:] - subset_sums.flip(-1)


def or_mobius_adjoint(values: Tensor) -> Tensor:
    """Adjoint of :func:`or_mobius`; position 0 has no effect."""
    return mobius_adjoint(_without_empty_set(values)).neg().flip(-1)


def or_zeta_adjoint(values: Tensor) -> Tensor:
    """Adjoint of :func:`or_zeta`: the function itself, since "S meets T" is symmetric in S and T."""
    return or_zeta(values)


def walsh(values: Tensor) -> Tensor:
    r"""Walsh-Hadamard transform: :math:`w(T)=\sum_S(-1)^{|S\cap T|}v(S)`; its own inverse up to the factor 2^n.

    The squares of w by order \|T\| are the variance of v that games of that degree hold.

    Args:
        values (Tensor): Game values, shape ``(…, 2^n)``, floating.

    Returns:
        - **coefficients** (*Tensor*): Same shape, dtype and device.

    Raises:
        ValueError: If the last axis is not a power of two.
        TypeError: If the dtype is not floating.

    Examples::

        >>> walsh(torch.tensor([0.0, 1.0, 2.0, 3.0]))
        tensor([ 6., -2., -4.,  0.])
    """
    n = count_players(values)
    _check_floating(values)
    result = values.clone()
    for bit in range(n):
        low, high = result.reshape(*values.shape[:-1], 1 << (n - bit - 1), 2, 1 << bit).unbind(-2)
        result = torch.stack([low + high, low - high], dim=-2).reshape(values.shape)
    return result


def orders(n_players: int, device: torch.device | str = "cpu") -> Tensor:
    r"""Return the order \|T\| of every coalition.

    Args:
        n_players (int): n.
        device (torch.device or str, optional): Where the result lives. Default: "cpu"

    Returns:
        - **orders** (*Tensor*): Shape ``(2^n,)``, int64.

    Examples::

        >>> orders(3)
        tensor([0, 1, 1, 2, 1, 2, 2, 3])
    """
    result = torch.zeros(1 << n_players, dtype=torch.int64, device=device)
    for player in range(n_players):
        half = 1 << player
        result[half : 2 * half] = result[:half] + 1
    return result


def coalition_members(codes: Tensor, n_players: int) -> Tensor:
    """Turn coalition codes into membership flags.

    Args:
        codes (Tensor): Integer bit codes, shape ``(…)``.
        n_players (int): n.

    Returns:
        - **members** (*Tensor*): bool, shape ``(…, n)``.

    Examples::

        >>> coalition_members(torch.tensor([0, 5]), 3)
        tensor([[False, False, False],
                [ True, False,  True]])
    """
    bits = torch.arange(n_players, device=codes.device)
    return (codes[..., None] >> bits) & 1 > 0


def coalition_codes(coalitions: Tensor) -> Tensor:
    """Turn membership flags into coalition codes; the inverse of :func:`coalition_members`.

    Args:
        coalitions (Tensor): bool, shape ``(…, n)`` with n ≤ 62.

    Returns:
        - **codes** (*Tensor*): int64, shape ``(…)``.

    Examples::

        >>> coalition_codes(torch.tensor([[False, False, False], [True, False, True]]))
        tensor([0, 5])
    """
    return (coalitions * (1 << torch.arange(coalitions.shape[-1], device=coalitions.device))).sum(-1)


def all_coalitions(n_players: int, device: torch.device | str = "cpu") -> Tensor:
    """All 2^n coalitions in the order of their codes.

    Args:
        n_players (int): n.
        device (torch.device or str, optional): Where to put them. Default: "cpu"

    Returns:
        - **coalitions** (*Tensor*): bool, shape ``(2^n, n)``.

    Examples::

        >>> all_coalitions(2).int()
        tensor([[0, 0],
                [1, 0],
                [0, 1],
                [1, 1]], dtype=torch.int32)
    """
    return coalition_members(torch.arange(1 << n_players, device=device), n_players)


def player_sums(values: Tensor) -> Tensor:
    r"""Sums of a set function over the coalitions of each player, :math:`\sum_{S\ni i}x(S)`: shape ``(…, n)``."""
    n = count_players(values)
    sums = [
        values.reshape(*values.shape[:-1], 1 << (n - player - 1), 2, 1 << player)[..., 1, :].sum((-2, -1))
        for player in range(n)
    ]
    return torch.stack(sums, dim=-1) if sums else values.new_zeros(*values.shape[:-1], 0)


def shapley_values(values: Tensor) -> Tensor:
    r"""Shapley values of a game, by the weighted sum over its values (no division by cancelling differences).

    Equal to :math:`\sum_{T\ni i}a(T)/|T|` over the Möbius transform, and to the same sum over any AND-OR split; taken
    from the values themselves it does not pass through the interactions, whose rounding error grows as
    :math:`2^{|T|/2}`.

    Args:
        values (Tensor): Game values, shape ``(…, 2^n)``, floating.

    Returns:
        - **shapley** (*Tensor*): Shape ``(…, n)``, in the units of the game.

    Raises:
        ValueError: If the last axis is not a power of two.
        TypeError: If the dtype is not floating.

    Examples::

        >>> shapley_values(torch.tensor([0.0, 1.0, 2.0, 5.0]))
        tensor([2., 3.])

    Source: Shapley 1953.
    """
    n = count_players(values)
    _check_floating(values)
    with_player, without = _shapley_weights(n)
    size = orders(n, values.device)
    joined = values * values.new_tensor(with_player)[size]
    outside = values * values.new_tensor(without)[size]
    return player_sums(joined) - outside.sum(-1, keepdim=True)


def _shapley_weights(n: int) -> tuple[list[float], list[float]]:
    """Weights by coalition size: the sum over S ∋ i of w(|S|) v(S), less the sum over all S of u(|S|) v(S)."""
    without = [1.0 / n if n else 0.0]  # u(s) = s! (n-s-1)! / n!, and 0 for the grand coalition
    for size in range(1, n):
        without.append(without[-1] * size / (n - size))
    if n:
        without.append(0.0)
    alone = [0.0, *without[:-1]]  # (s-1)! (n-s)! / n!
    return [p + q for p, q in zip(alone, without, strict=True)], without


def _check_floating(values: Tensor) -> None:
    if not values.is_floating_point():
        raise TypeError(f"values must be floating point (float64 is advised); got {values.dtype}. Use .double().")


def _without_empty_set(values: Tensor) -> Tensor:
    count_players(values)
    return torch.cat([torch.zeros_like(values[..., :1]), values[..., 1:]], dim=-1)


def _butterfly(values: Tensor, *, upward: bool, sign: int) -> Tensor:
    """Apply the n-fold Kronecker power of [[1, 0], [sign, 1]] (upward) or of its transpose."""
    n = count_players(values)
    _check_floating(values)
    dense = min(n, _DENSE_BITS)
    factor = torch.tensor([[1, 0], [sign, 1]], dtype=values.dtype, device=values.device)
    kernel = factor.new_ones(1, 1)
    for _ in range(dense):
        kernel = torch.kron(factor, kernel)
    # x @ kernel^T applies the kernel to each row of 2^dense neighbours.
    kernel = kernel.T if upward else kernel
    with _own_precision(values.device):
        result = (values.reshape(-1, 1 << dense) @ kernel).view(values.shape)
    for bit in range(dense, n):
        pairs = result.view(*values.shape[:-1], 1 << (n - bit - 1), 2, 1 << bit)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        (high if upward else low).add_(low if upward else high, alpha=sign)
    return result


def _own_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast, where it is on, would take products in half precision."""
    try:
        return torch.autocast(device.type, enabled=False)
    except RuntimeError:  # a device that has no autocast
        return nullcontext()


def flat_games(values: Tensor) -> Tensor:
    """Values ``(…, m)`` with one leading axis: ``(B, m)``."""
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1])


def game_values(v: Any) -> Tensor:
    """Values of games as a float64 copy."""
    try:
        if not isinstance(v, Tensor):
            array = np.array(v)  # a copy: of native byte order and positive strides
            v = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        values = torch.as_tensor(v, device=v.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"v must be a tensor, array or list of real numbers; got {type(v).__name__} ({error})."
        ) from error
    if values.is_complex():
        raise TypeError(f"v must be real; got {values.dtype}.")
    if values.layout != torch.strided:
        raise TypeError(f"v is sparse ({values.layout}); pass its .to_dense().")
    values = values.detach() if holds_float64(values.device) else values.detach().cpu()
    values = values.to(torch.float64, copy=True)
    if not bool(values.isfinite().all()):
        where = (~values.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"v must be finite; got {float(values[tuple(where)])} at position {tuple(where)}.")
    if bool((values.abs() > _LARGEST).any()):
        raise ValueError(f"v must not exceed {_LARGEST:.0e} in size, as sums of it would overflow; scale it down.")
    return values
