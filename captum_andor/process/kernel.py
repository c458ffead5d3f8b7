r"""Covariance of a game between two coalitions: every AND, every OR and every parity at once.

.. math::
    k(S,T) = \tau_1\prod_{i:\,[i\in S]\neq[i\in T]}e^{-\gamma_{1i}}
           + \tau_2\prod_{i\notin S\cap T}e^{-\gamma_{2i}}
           + \tau_3\prod_{i\in S\cup T}e^{-\gamma_{3i}}
           + \sum_i\lambda_i s_it_i + c, \qquad s_i=\pm1.

The second product is :math:`\sum_A\rho_A[A\subseteq S][A\subseteq T]` over all AND patterns, with prior variances
:math:`\rho_A\propto\prod_{i\in A}(e^{\gamma_{2i}}-1)`; the third is the same for NOR patterns and hence for OR; the
first holds all Walsh functions (parities). The relevance of player i is shared between the components up to a factor of
its own: :math:`\gamma_{qi}=\gamma_ic_q\omega_{qi}` and :math:`\lambda_i=\lambda\gamma_i`. Every product over players is
one matrix product and one exponential.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

COMPONENTS = 3  # parities, AND, NOR
_LARGEST_GAMMA = 100.0  # e^-100 is nothing, and products of few such factors are still no 0 to divide by
CONSTANT = 100.0  # prior variance of the mean in units of the variance of v: as good as unknown


@dataclass(frozen=True)
class Prior:
    """Normal priors of the logarithms of the hyperparameters, in the order of the vector θ that holds them all.

    θ holds log γ (n), log c (3), log τ (3), log λ, log noise, log ω (3n). The widths are wide, a factor of 3 to 20 to
    either side, but for ω: it lets a player matter more to one component than to another by a factor of two.

    Attributes:
        mean: Shape ``(4n + 8,)``.
        width: Standard deviations, same shape.
    """

    mean: Tensor
    width: Tensor

    @classmethod
    def of(cls, n_players: int, device: torch.device | str = "cpu") -> Prior:
        """The prior for n players; an average pattern has a few players whatever n is, so γ falls as 1/n."""
        n = n_players
        parts = [
            (n, [log(1 / n)], 1.5),
            (COMPONENTS, [log(2.0), log(4.0), log(4.0)], 1.2),
            (COMPONENTS, [log(0.3)], 1.5),
            (1, [log(0.3 * n)], 2.0),
            (1, [log(1e-3)], 3.0),
            (COMPONENTS * n, [0.0], 0.8),
        ]
        mean = torch.cat([torch.tensor(m, dtype=torch.float64).expand(k) for k, m, _ in parts])
        width = torch.cat([torch.full((k,), w, dtype=torch.float64) for k, _, w in parts])
        return cls(mean.to(device), width.to(device))


@dataclass(frozen=True)
class Kernel:
    """The covariance for given hyperparameters; any number of leading axes, one kernel for each.

    Attributes:
        gamma: Shape ``(…, 3, n)``.
        tau: Prior variance of each component, shape ``(…, 3)``.
        linear: λ_i, shape ``(…, n)``.
        noise: Variance of what no product kernel explains, e.g. of a random model; shape ``(…)``.
    """

    gamma: Tensor
    tau: Tensor
    linear: Tensor
    noise: Tensor

    @classmethod
    def of(cls, theta: Tensor, n_players: int) -> Kernel:
        """The kernels of vectors θ of logarithms, shape ``(…, 4n + 8)``; see :class:`Prior`."""
        n, q = n_players, COMPONENTS
        shared, scale, tau, linear, noise, own = torch.split(theta.exp(), [n, q, q, 1, 1, q * n], dim=-1)
        each = own.view(*own.shape[:-1], q, n)
        gamma = (shared[..., None, :] * scale[..., None] * each).clamp(max=_LARGEST_GAMMA)
        return cls(gamma, tau, linear * shared, noise[..., 0])

    def products(self, left: Tensor, right: Tensor) -> Iterator[Tensor]:
        """The three products times τ between 0/1 coalitions ``(m, n)`` and ``(k, n)``: ``(…, m, k)`` each."""
        for component in range(COMPONENTS):
            gamma = self.gamma[..., component, :]
            level = self.tau[..., component, None].log()
            exponent = (left * gamma[..., None, :]) @ right.T
            if component == 1:
                exponent.add_((level - gamma.sum(-1, keepdim=True))[..., None])
            else:
                if component == 0:
                    exponent.mul_(2)
                exponent.add_((level - gamma @ left.T)[..., None]).sub_((gamma @ right.T)[..., None, :])
            yield exponent.exp_()

    def linear_part(self, left: Tensor, right: Tensor) -> Tensor:
        """The covariance of single players and of the constant: ``(…, m, k)``."""
        return ((2 * left - 1) * self.linear[..., None, :]) @ (2 * right - 1).T + CONSTANT

    def matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """Covariances between 0/1 coalitions, float64: ``(m, n)`` and ``(k, n)`` to ``(…, m, k)``."""
        total = self.linear_part(left, right)
        for product in self.products(left, right):
            total.add_(product)
        return total

    def diagonal(self, coalitions: Tensor) -> Tensor:
        """Prior variance of v on 0/1 coalitions ``(m, n)``: shape ``(m,)``."""
        alone = self.tau[0] + self.linear.sum() + CONSTANT
        absent = 1 - coalitions
        return (
            alone
            + self.tau[1] * (-(absent @ self.gamma[1])).exp()
            + self.tau[2] * (-(coalitions @ self.gamma[2])).exp()
        )

    def factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Each product's factor of one player, where both, one and neither of S and T hold it: ``(3, n)`` each."""
        small, one = (-self.gamma).exp(), torch.ones_like(self.gamma)
        both = torch.stack([one[0], one[1], small[2]])
        neither = torch.stack([one[0], small[1], one[2]])
        return both, small, neither

    def gradient(self, coalitions: Tensor, products: list[Tensor], weights: Tensor, noise_weight: Tensor) -> Tensor:
        """Gradient with respect to θ of a function of the kernel matrix of some coalitions.

        Args:
            coalitions: 0/1, float64, shape ``(m, n)``.
            products: As :meth:`products` gives them for these; overwritten.
            weights: The derivative by each entry of the matrix, symmetric, shape ``(…, m, m)``.
            noise_weight: The derivative by the noise, shape ``(…)``.

        Returns:
            - **gradient** (*Tensor*): In the order of θ, shape ``(…, 4n + 8)``.
        """
        z, n = coalitions, coalitions.shape[1]
        with_one = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
        by_gamma, by_tau = [], []
        for component, product in enumerate(products):
            sums = product.mul_(weights) @ with_one
            rows = sums[..., n]
            both = (z * sums[..., :n]).sum(-2)
            one_side = rows @ z
            total = rows.sum(-1)
            by_tau.append(total)
            if component == 0:
                slope = 2 * both - 2 * one_side
            elif component == 1:
                slope = both - total[..., None]
            else:
                slope = both - 2 * one_side
            by_gamma.append(slope * self.gamma[..., component, :])
        own = torch.stack(by_gamma, dim=-2)
        signs = 2 * z - 1
        by_linear = (signs * (weights @ signs)).sum(-2) * self.linear
        return torch.cat(
            [
                own.sum(-2) + by_linear,
                own.sum(-1),
                torch.stack(by_tau, dim=-1),
                by_linear.sum(-1, keepdim=True),
                (noise_weight * self.noise)[..., None],
                own.flatten(-2),
            ],
            dim=-1,
        )
