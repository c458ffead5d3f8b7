r"""Owen values: of players in groups that join whole, while the players of one group join one by one.

They are Shapley values of the players of a group U in the game :math:`\bar v(T)=\sum_H p(H)\,v(H\cup T)`, T ⊆ U. H runs
through unions of other groups with the weights p that Shapley values of the groups have. Those of a group add up to its
own Shapley value. Under the posterior of a process the prior covariance with v(T) is a product of two integrals, one
over how much of the other groups is there and one over how much of the own,

.. math::
    \int_0^1\prod_{G\neq U}\Bigl[x\prod_{j\in G}k_j(1,t_j)+(1-x)\prod_{j\in G}k_j(0,t_j)\Bigr]dx\cdot
    \int_0^1[k_i(1,t_i)-k_i(0,t_i)]\prod_{j\in U\setminus i}[x\,k_j(1,t_j)+(1-x)\,k_j(0,t_j)]\,dx,

and the prior variance is one likewise.

Source: Owen 1977 (values of games with a priori unions); Owen 1972 (multilinear extension).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, comb

import numpy as np
import torch
from torch import Tensor

from captum_andor.games.transforms import shapley_values
from captum_andor.process.background_process import BackgroundPosterior
from captum_andor.process.coalition_process import CoalitionProcess
from captum_andor.process.posterior import (
    CompleteGame,
    Estimated,
    Posterior,
    ProcessPosterior,
    SparseGame,
)

_MOST_NODES = 48


def owen_values(posterior: Posterior, groups: Sequence[Tensor]) -> Estimated:
    """Means and standard deviations of the Owen values of one game.

    Args:
        posterior (Posterior): Of n players.
        groups (sequence of Tensors): The players of each group, int64; each player in one.

    Returns:
        - **mean, deviation** (*tuple of Tensors*): Shape ``(n,)`` each.
    """
    if isinstance(posterior, CompleteGame):
        mean = _of_values(posterior.values, groups)
    elif isinstance(posterior, SparseGame):
        mean = _of_patterns(posterior, groups)
    else:
        assert isinstance(posterior, (ProcessPosterior, BackgroundPosterior))
        mean, std = _of_process(posterior.process, groups)
        return posterior.efficient(mean), posterior.player_errors(std)
    return mean, torch.zeros_like(mean)


def _of_values(values: Tensor, groups: Sequence[Tensor]) -> Tensor:
    count = len(groups)
    bits = [sum(1 << int(i) for i in group) for group in groups]
    found = torch.zeros(sum(map(len, groups)), dtype=torch.float64, device=values.device)
    for own, group in enumerate(groups):
        others = [bit for g, bit in enumerate(bits) if g != own]
        inside = _unions([1 << int(i) for i in group], values.device)
        outside = _unions(others, values.device)
        sizes = _unions([1] * len(others), values.device)
        weights = torch.tensor(
            [1 / (count * comb(count - 1, size)) for size in range(count)], dtype=torch.float64, device=values.device
        )[sizes]
        mean = torch.zeros(len(inside), dtype=torch.float64, device=values.device)
        for code, weight in zip(outside, weights, strict=True):
            mean += weight * values[inside + code]
        found[group.to(values.device)] = shapley_values(mean)
    return found


def _unions(parts: Sequence[int], device: torch.device) -> Tensor:
    """Sums of all subsets of numbers, in the order of the subsets' bit codes."""
    sums = torch.zeros(1, dtype=torch.int64, device=device)
    for part in parts:
        sums = torch.cat([sums, sums + part])
    return sums


def _of_patterns(game: SparseGame, groups: Sequence[Tensor]) -> Tensor:
    """Each pattern's weight shared equally among the groups it has players in, and within these among its players."""
    members = game.table.members.double()
    counts = torch.stack([members[:, group].sum(1) for group in groups], 1)
    shares = game.table.value / (counts > 0).sum(1)
    found = torch.zeros(members.shape[1], dtype=torch.float64, device=members.device)
    for place, group in enumerate(groups):
        each = shares / counts[:, place].clamp(min=1)
        found[group.to(found.device)] = each @ members[:, group]
    return found


def _of_process(process: CoalitionProcess, groups: Sequence[Tensor]) -> Estimated:
    z, kernel = process.coalitions, process.kernel
    total = 2 * kernel.linear * (2 * z - 1)
    prior = 4 * kernel.linear
    groups = [group.to(z.device) for group in groups]
    x, w = _nodes(len(groups), z.device)
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        # Whole groups: products over their players of the factors with the coalition, where S has all or none of them.
        whole, none = _by_group(z, groups, both, one), _by_group(z, groups, one, neither)
        mixed = x[:, None, None] * whole + (1 - x)[:, None, None] * none  # (nodes, m, groups)
        pair = [torch.stack([part[group].log().sum().exp() for group in groups]) for part in (both, one, neither)]
        a, b = x[:, None, None], x[None, :, None]
        met = a * b * pair[0] + (a + b - 2 * a * b) * pair[1] + (1 - a) * (1 - b) * pair[2]  # (nodes, nodes, groups)
        for own, group in enumerate(groups):
            others = [g for g in range(len(groups)) if g != own]
            outside = w @ mixed[:, :, others].prod(2)
            outside_pairs = w @ met[:, :, others].prod(2) @ w
            parts = both[group], one[group], neither[group]
            inside, inside_pairs = _within(z[:, group], *parts)
            total[:, group] += tau * outside[:, None] * inside
            prior[group] += tau * outside_pairs * inside_pairs
    mean, explained = process.covariance(total.T)
    return mean, (prior - explained).clamp(min=0.0).sqrt() * process.scale


def _nodes(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1] that are exact for polynomials of degree 2 · count − 1 or, of many, nearly so."""
    x, w = np.polynomial.legendre.leggauss(min(ceil((count + 1) / 2) + 1, _MOST_NODES))
    return torch.from_numpy((x + 1) / 2).to(device), torch.from_numpy(w / 2).to(device)


def _by_group(z: Tensor, groups: Sequence[Tensor], present: Tensor, absent: Tensor) -> Tensor:
    """Products over each group's players of a factor by whether the coalition has them: ``(m, groups)``."""
    logs = absent.log() + z * (present.log() - absent.log())
    return torch.stack([logs[:, group].sum(1) for group in groups], 1).exp()


def _within(z: Tensor, both: Tensor, one: Tensor, neither: Tensor) -> tuple[Tensor, Tensor]:
    """The integrals over a group's own players: covariances ``(m, u)`` and variances ``(u,)``."""
    x, w = _nodes(z.shape[1], z.device)
    x = x[:, None]
    absent, present = neither + x * (one - neither), one + x * (both - one)  # (nodes, u)
    product = (absent.log().sum(1) + z @ (present.log() - absent.log()).T).exp() * w
    without, having = product @ ((one - neither) / absent), product @ ((both - one) / present)
    a, b = x[:, None], x[None]
    met = a * b * both + (a + b - 2 * a * b) * one + (1 - a) * (1 - b) * neither  # (nodes, nodes, u)
    products = met.log().sum(2).exp() * w[:, None] * w
    variance = (products[..., None] / met).sum((0, 1)) * (both - 2 * one + neither)
    return torch.where(z > 0, having, without), variance
