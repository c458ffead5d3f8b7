"""Losses along lines and paths between inputs: what :mod:`captum_andor.studies.witnesses.connectivity` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor.visualization import SERIES, Canvas, figure, panels

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Barriers:
    """Losses on straight lines between pairs of inputs.

    Attributes:
        alphas (Tensor): Positions on the lines, 0 at a, 1 at b: float64, shape ``(points,)``.
        losses (Tensor): In nats with the default loss: float64, shape ``(pairs, points)``.
    """

    alphas: Tensor
    losses: Tensor

    @property
    def maximum(self) -> Tensor:
        """Largest loss on each line: the barrier's height, shape ``(pairs,)``."""
        return self.losses.amax(1)

    @property
    def gap(self) -> Tensor:
        """Largest loss less that of the worse end, shape ``(pairs,)``; 0 where an end is the worst point."""
        return self.maximum - torch.maximum(self.losses[:, 0], self.losses[:, -1])

    @property
    def area(self) -> Tensor:
        """Mean over the line of the loss above the worse end, shape ``(pairs,)``."""
        above = (self.losses - torch.maximum(self.losses[:, :1], self.losses[:, -1:])).clamp(min=0)
        return torch.trapezoid(above, self.alphas, dim=1)

    @property
    def argmax(self) -> Tensor:
        """Position of the largest loss on the line, between 0 and 1, shape ``(pairs,)``."""
        return self.alphas[self.losses.argmax(1)]

    def to_dataframe(self) -> pd.DataFrame:
        """A row per pair: ``maximum``, ``gap``, ``area``, ``argmax``, and the losses of the ends."""
        import pandas as pd

        columns = {name: getattr(self, name) for name in ("maximum", "gap", "area", "argmax")}
        ends = {"loss_a": self.losses[:, 0], "loss_b": self.losses[:, -1]}
        return pd.DataFrame({name: column.numpy() for name, column in (columns | ends).items()})

    @figure
    def plot(self, canvas: Canvas) -> None:
        """Draw the losses over the lines, their mean in bold.

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        axis = canvas.axis((4.5, 3))
        axis.plot(self.alphas, self.losses.T, color=SERIES[0], alpha=0.25, linewidth=0.8)
        axis.plot(self.alphas, self.losses.mean(0), color=SERIES[0], linewidth=2)
        axis.set(xlabel="from a to b", ylabel="loss")


@dataclass(frozen=True)
class Paths:
    """Piecewise straight paths between pairs of inputs.

    Attributes:
        points (list of Tensor): Of each pair: a, the bypasses, b, shape ``(1 + bypasses + 1, *input)``.
        straight (Barriers): The lines they started from.
        curves (list of Tensor): Losses along each path, in equal steps on each of its pieces: float64 ``(m,)``.
        change (Tensor): Mean absolute change of a bypass from the worst point it started at, over the range of all
            inputs (largest less smallest element): float64, shape ``(pairs,)``; 0 without bypasses.
    """

    points: list[Tensor]
    straight: Barriers
    curves: list[Tensor]
    change: Tensor

    @property
    def maximum(self) -> Tensor:
        """Largest loss along each path, shape ``(pairs,)``."""
        return torch.stack([curve.amax() for curve in self.curves])

    @property
    def gap(self) -> Tensor:
        """Largest loss on the path less that of the worse end, shape ``(pairs,)``."""
        return self.maximum - torch.maximum(self.straight.losses[:, 0], self.straight.losses[:, -1])

    def to_dataframe(self) -> pd.DataFrame:
        """A row per pair: maxima ``before`` and ``after``, ``gap_before``, ``gap``, ``bypasses``, ``change``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "before": self.straight.maximum.numpy(),
                "after": self.maximum.numpy(),
                "gap_before": self.straight.gap.numpy(),
                "gap": self.gap.numpy(),
                "bypasses": [len(path) - 2 for path in self.points],
                "change": self.change.numpy(),
            }
        )

    @figure
    def plot(self, canvas: Canvas, pair: int = 0) -> None:
        """Draw the losses of one pair, on the straight line and along the path.

        Args:
            pair (int, optional): Which one. Default: 0

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        axis = canvas.axis((4.5, 3))
        axis.plot(self.straight.alphas, self.straight.losses[pair], color=SERIES[1], label="straight")
        curve, n_bypasses = self.curves[pair], len(self.points[pair]) - 2
        label = "1 bypass" if n_bypasses == 1 else f"{n_bypasses} bypasses"
        axis.plot(np.linspace(0, 1, len(curve)), curve, color=SERIES[2], label=label)
        axis.set(xlabel="from a to b", ylabel="loss")
        axis.legend(frameon=False)

    @panels
    def plot_strip(self, canvas: Canvas, pair: int = 0, count: int = 9) -> tuple[Any, Any]:
        """Draw pictures on the straight line and, below, along the path, from a to b.

        Args:
            pair (int, optional): Which one. Default: 0
            count (int, optional): Pictures in a row, ≥ 2. Default: 9

        Returns:
            - **fig, axes** (*tuple*): The figure and its axes, two rows.

        Raises:
            ValueError: If inputs are no pictures ``(channels, height, width)``.
        """
        path = self.points[pair]
        if path.ndim != 4 or path.shape[1] not in (1, 3):
            raise ValueError(f"inputs must be pictures (1 or 3 channels, height, width); got {tuple(path.shape[1:])}.")
        fig = canvas.figure((1.1 * count, 2.5), "constrained")
        axes = fig.subplots(2, count, squeeze=False)
        low, high = float(path.min()), float(path.max())
        for line, points, name in ((axes[0], path[[0, -1]], "straight"), (axes[1], path, "path")):
            for position, axis in zip(np.linspace(0, len(points) - 1, count), line, strict=True):
                start = min(int(position), len(points) - 2)
                picture = torch.lerp(points[start], points[start + 1], float(position) - start)
                shades = ((picture - low) / max(high - low, 1e-12)).permute(1, 2, 0)
                axis.imshow(shades.squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
            line[0].set_ylabel(name, fontsize=9)
        return fig, axes
