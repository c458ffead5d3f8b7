r"""Shapley and Banzhaf values of the process, and any linear index, with their posterior standard deviations.

An index is linear in v, so it is normal under the posterior. For Shapley values the prior covariance with v(T) is
Owen's integral of a product over players,

.. math::
    \int_0^1[k_i(1,t_i)-k_i(0,t_i)]\prod_{j\neq i}[x\,k_j(1,t_j)+(1-x)\,k_j(0,t_j)]\,dx,

whose integrand is a polynomial of degree n − 1 in x: Gauss-Legendre quadrature is exact with ⌈n/2⌉ nodes. The Banzhaf
value is the integrand at x = ½.

Source: Owen 1972 (multilinear extension).
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor.games.transforms import all_coalitions, coalition_codes
from captum_andor.process.coalition_process import CoalitionProcess
from captum_andor.process.kernel import CONSTANT

Nodes = npt.NDArray[np.float64]
_MOST_NODES = 48  # the integrand is smooth: 48 nodes give 1e-12 of 250, which n = 500 would ask for


def shapley_of_process(process: CoalitionProcess, most_nodes: int = _MOST_NODES) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of the Shapley values: shape ``(n,)`` each, in units of v."""
    return _values(process, *_nodes(process, most_nodes))


def shapley_means_of_process(process: CoalitionProcess) -> Tensor:
    """Posterior mean of the Shapley values, in less time: shape ``(n,)``, in units of v."""
    return process.alpha @ _cross_covariance(process, *_nodes(process, _MOST_NODES)) * process.scale


def banzhaf_of_process(process: CoalitionProcess) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of the Banzhaf values: shape ``(n,)`` each, in units of v."""
    return _values(process, np.array([0.5]), np.array([1.0]))


def _nodes(process: CoalitionProcess, most: int) -> tuple[Nodes, Nodes]:
    """Nodes and weights of quadrature on [0, 1]."""
    n = process.coalitions.shape[1]
    x, w = np.polynomial.legendre.leggauss(min(ceil(n / 2) + 1, most))
    return (x + 1) / 2, w / 2


def _values(process: CoalitionProcess, nodes: Nodes, weights: Nodes) -> tuple[Tensor, Tensor]:
    rows = _cross_covariance(process, nodes, weights)
    mean, explained = process.covariance(rows.T)
    variance = (_prior_variance(process, nodes, weights) - explained).clamp(min=0.0)
    return mean, variance.sqrt() * process.scale


def _cross_covariance(process: CoalitionProcess, nodes: Nodes, weights: Nodes) -> Tensor:
    """Prior covariances of v on each coalition given with the values of each player: ``(m, n)``."""
    z, kernel = process.coalitions, process.kernel
    x, w = (torch.from_numpy(part).to(z.device)[:, None] for part in (nodes, weights))
    total = 2 * kernel.linear * (2 * z - 1)
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        # A player's factor at each node, by whether T has it; shape (nodes, n).
        absent, present = neither + x * (one - neither), one + x * (both - one)
        product = (absent.log().sum(1) + z @ (present.log() - absent.log()).T).exp() * (w[:, 0] * tau)
        without, having = product @ ((one - neither) / absent), product @ ((both - one) / present)
        total += torch.where(z > 0, having, without)
    return total


def _prior_variance(process: CoalitionProcess, nodes: Nodes, weights: Nodes) -> Tensor:
    """Prior variances of the values of the players: shape ``(n,)``."""
    kernel = process.kernel
    x, w = (torch.from_numpy(part).to(kernel.tau.device) for part in (nodes, weights))
    first, second = torch.triu_indices(len(x), len(x), device=x.device)  # the integrand is symmetric
    a, b = x[first, None], x[second, None]
    pairs = w[first] * w[second] * torch.where(first == second, 1.0, 2.0)
    total = 4 * kernel.linear
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        mean = (a * b) * both + (a + b - 2 * a * b) * one + ((1 - a) * (1 - b)) * neither
        products = mean.log().sum(1).exp() * pairs
        total = total + tau * (products @ (1 / mean)) * (both - 2 * one + neither)
    return total


def completed(process: CoalitionProcess, vectors: Tensor) -> Tensor:
    """The kernel of all coalitions times vectors over all coalitions, without the 2^n × 2^n matrix: O(n 2^n).

    Args:
        process: n players.
        vectors: float64, shape ``(k, 2^n)``.

    Returns:
        - **products** (*Tensor*): Shape ``(k, 2^n)``.
    """
    kernel, n = process.kernel, process.coalitions.shape[1]
    signs = 2 * all_coalitions(n, vectors.device).to(torch.float64) - 1
    total = ((vectors @ signs) * kernel.linear) @ signs.T + CONSTANT * vectors.sum(1, keepdim=True)
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        part = vectors
        for i in range(n):
            pairs = part.reshape(len(part), 1 << (n - i - 1), 2, 1 << i)
            without, having = pairs[:, :, 0], pairs[:, :, 1]
            part = torch.stack([neither[i] * without + one[i] * having, one[i] * without + both[i] * having], dim=2)
        total += tau * part.reshape(vectors.shape)
    return total


def functionals_of_process(process: CoalitionProcess, functionals: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of linear functionals of v, each Σ_S a(S) v(S).

    Args:
        process: n players, up to 20.
        functionals: The weights a on all coalitions in the order of their codes, float64, shape ``(k, 2^n)``.
    """
    spread = completed(process, functionals)
    rows = spread[:, coalition_codes(process.coalitions > 0)]
    mean, explained = process.covariance(rows)
    prior = (functionals * spread).sum(1)
    variance = torch.where(prior - explained > 0, prior - explained, 0.0)
    return mean + functionals.sum(1) * process.offset, variance.sqrt() * process.scale
