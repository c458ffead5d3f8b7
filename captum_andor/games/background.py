"""Rows of the data that absent players are taken from: v(S) is the mean over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_frame, is_int, is_series


class Background:
    """Baselines that are many: v(S) is the mean of the score over rows, the players outside S taken from the row.

    This is the interventional game of SHAP, whose commonest background is a hundred rows of the data. For
    ``attribute``, ``estimate``, ``logical_model`` and ``interactions``; without a budget every coalition sees every
    row, a pass for each.

    Args:
        rows (Tensor, array, frame, tuple of these or Callable): Shaped like the inputs but for the number of rows. A
            function is called once, with ``n_rows``, and draws them: noise, for example.
        n_rows (int, optional): How many rows a function is to draw. Default: 100
        seed (int, optional): Of PyTorch's generator while a function draws. Default: 0

    Raises:
        TypeError: If rows are of another kind.
        ValueError: If there is no row, or the parts of a tuple have different numbers of rows.

    Examples::

        >>> import torch
        >>> from captum_andor import AndOrInteractions
        >>> from captum_andor.games import Background
        >>> method = AndOrInteractions(lambda x: x[:, 0] * x[:, 1])
        >>> method.attribute(torch.ones(1, 2), baselines=Background(torch.tensor([[0.0, 0.0], [0.5, 0.5]])))
        tensor([[0.4375, 0.4375]])

    Source: Lundberg and Lee 2017; Janzing et al. 2020 (interventional values).
    """

    def __init__(self, rows: Any, n_rows: int = 100, seed: int = 0) -> None:
        if callable(rows) and not isinstance(rows, (Tensor, np.ndarray)) and not is_frame(rows):
            rows = _drawn(rows, n_rows, seed)
        parts = rows if isinstance(rows, tuple) else (rows,)
        if not parts or not all(isinstance(part, (Tensor, np.ndarray)) or is_frame(part) for part in parts):
            what = ", ".join(type(part).__name__ for part in parts) if parts else "nothing"
            hint = " Of one row: series.to_frame().T." if any(map(is_series, parts)) else ""
            raise TypeError(f"rows must be a tensor, an array, a frame or a tuple of these; got {what}.{hint}")
        counts = [len(part) if is_frame(part) or part.ndim else 0 for part in parts]
        if len(set(counts)) > 1 or not counts[0]:
            raise ValueError(f"rows must be one or more, as many in each input; got {', '.join(map(str, counts))}.")
        self.rows = rows

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def parts(self) -> tuple[Any, ...]:
        """The rows of each input."""
        return self.rows if isinstance(self.rows, tuple) else (self.rows,)


def _drawn(sampler: Callable[[int], Any], n_rows: Any, seed: Any) -> Any:
    if not is_int(n_rows) or n_rows < 1:
        raise ValueError(f"n_rows must be an int ≥ 1; got {n_rows!r}.")
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):  # named, or torch warns of several
        torch.manual_seed(seed)
        rows = sampler(int(n_rows))
    count = len(rows[0] if isinstance(rows, tuple) else rows)
    if count != n_rows:
        raise ValueError(f"rows drew {count} rows when asked for {n_rows}.")
    return rows
