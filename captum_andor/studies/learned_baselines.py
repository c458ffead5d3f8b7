"""Baselines that are learned: those under which interactions are least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captum_andor._utils.checks import COUNT, constrained
from captum_andor._utils.progress import progress_bar
from captum_andor.games import Players, Score, present_elements, repeat_target, score_output, standard_target
from captum_andor.games.transforms import all_coalitions, mobius
from captum_andor.visualization import Canvas, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PLAYERS = 12  # every step needs gradients through 2^n masked inputs


@dataclass(frozen=True)
class LearnedBaselines:
    r"""Result of :func:`learn_baselines`.

    Attributes:
        baselines (Tensor): Shape ``(1, …)`` of an input: one for all examples.
        initial (Tensor): Where it started.
        l1 (list of float): Mean over the examples seen of Σ\|I_and(T)\| / \|v(N) - v(∅)\|, at every step.
        before (float): The same over all examples, with the initial baseline.
        after (float): With the learned one.
    """

    baselines: Tensor
    initial: Tensor
    l1: list[float]
    before: float
    after: float

    @panels
    def plot(self, canvas: Canvas) -> tuple[Figure, Any]:
        """Draw L1 over the steps, and, for images, the baseline before and after.

        Returns:
            - **fig, axes** (*tuple*): The figure and its three axes.
        """
        fig = canvas.figure((8.0, 2.8), "constrained")
        axes = fig.subplots(1, 3, width_ratios=(1.6, 1, 1))
        axes[0].plot(range(1, len(self.l1) + 1), self.l1, color="#0072B2")
        axes[0].set_xlabel("step")
        axes[0].set_ylabel("L1 of interactions / effect")
        pair = torch.cat([self.initial, self.baselines])
        for axis, one, title in zip(
            axes[1:], pair, (f"before: {self.before:.2f}", f"after: {self.after:.2f}"), strict=True
        ):
            picture = one.detach().cpu()
            if picture.ndim == 3 and picture.shape[0] in (1, 3):
                low, high = float(pair.min()), float(pair.max())
                unit = ((picture - low) / max(high - low, 1e-12)).permute(1, 2, 0).squeeze(-1).numpy()
                axis.imshow(unit, cmap="gray", vmin=0, vmax=1)
                axis.set_axis_off()
            else:
                axis.plot(picture.flatten().numpy(), ".", color="#0072B2", markersize=4)
            axis.set_title(title, fontsize=9)
        return fig, axes


@constrained(steps=COUNT)
def learn_baselines(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    target: Any = None,
    feature_mask: Tensor | None = None,
    score: Score = "output",
    initial: float | Tensor = 0.0,
    bound: float = 0.1,
    steps: int = 100,
    lr: float | None = None,
    batch_size: int = 4,
    seed: int = 0,
    show_progress: bool | None = None,
) -> LearnedBaselines:
    r"""Learn the baseline, one for all examples, under which interactions are fewest: least L1 within bounds.

    Interactions measure what the model makes of masked inputs; where a masked player still says something (black is a
    colour), they count that, too. The L1 norm of the Möbius transform is divided by \|v(N) - v(∅)\|, as else a baseline
    that says what the inputs say, with no effect at all, would be best.

    Args:
        forward_func (Callable): The model, differentiable.
        inputs (Tensor): Examples, shape ``(N, …)``, floating; each step takes some of them at random.
        target (optional): As in :meth:`AndOrInteractions.attribute`. Default: None
        feature_mask (Tensor, optional): Players, at most 12. Default: None (one per element)
        score (str or Callable, optional): As in :class:`AndOrInteractions`. Default: "output"
        initial (float or Tensor, optional): Where to start: a number, or shape ``(1, …)``. Default: 0.0
        bound (float, optional): How far each element may move from there, in the units of the inputs. Default: 0.1
        steps (int, optional): Steps of Adam. Default: 100
        lr (float, optional): Its rate. Default: None (a tenth of the bound)
        batch_size (int, optional): Examples in a step: that many times 2^n rows, with gradients. Default: 4
        seed (int, optional): Of the choice of examples. Default: 0
        show_progress (bool, optional): Show a tqdm bar. None: one line on stderr where it takes more than ten seconds;
            False: nothing. Default: None

    Returns:
        - **learned** (*LearnedBaselines*): The baseline, the way to it, L1 before and after. After Ctrl-C, what is
          there.

    Raises:
        TypeError: If inputs are not floating.
        ValueError: If there are too many players, a number is out of its range, or v does not depend on the baseline.

    Examples::

        >>> def model(x):  # x0 * x1 around a centre that is not 0
        ...     return (x[:, 0] - 0.05) * (x[:, 1] - 0.05)
        >>> learned = learn_baselines(model, torch.rand(8, 2, generator=torch.Generator().manual_seed(0)) + 1)
        >>> learned.after < learned.before
        True

    Source: the idea of learning baselines against interactions is that of Ren et al. 2023, arXiv 2105.10719 and
    2111.06206; this objective is of this package.
    """
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise TypeError(
            "inputs must be one floating tensor; learn the baselines of several inputs one after the other."
        )
    if not bound > 0 or (lr is not None and not lr > 0):
        raise ValueError(f"bound and lr must be positive; got {bound!r} and {lr!r}.")
    players = Players(inputs, initial, feature_mask)
    n = players.n_players
    if n > _MOST_PLAYERS:
        raise ValueError(
            f"feature_mask makes {n} players, 2^{n} rows an example with gradients; at most {_MOST_PLAYERS}."
        )
    if players.baselines[0].ndim and len(players.baselines[0]) != 1:
        raise ValueError("initial must be one baseline for all examples: a number, or a tensor of shape (1, …).")
    start = players.baselines[0].detach().expand(1, *inputs.shape[1:]).clone()
    learned = start.clone().requires_grad_(True)
    wanted = standard_target(target, len(inputs))
    game = _MaskedGame(forward_func, inputs, wanted, players.layout.indices[0], score, n)
    optimizer = torch.optim.Adam([learned], lr=bound / 10 if lr is None else lr)
    generator = torch.Generator().manual_seed(seed)
    history: list[float] = []
    with torch.no_grad():
        before = game.l1(start, batch_size)
    with progress_bar(show_progress, steps, "Learning baselines", "step") as bar, torch.enable_grad():
        try:
            for _ in range(steps):
                rows = torch.randperm(len(inputs), generator=generator, device="cpu")[:batch_size]
                loss = game.relative_l1(learned, rows).mean()
                if not loss.requires_grad:
                    raise ValueError(
                        "v does not depend on the baseline with a gradient; the model must be differentiable."
                    )
                (learned.grad,) = torch.autograd.grad(loss, [learned])
                optimizer.step()
                with torch.no_grad():
                    learned.copy_(torch.maximum(torch.minimum(learned, start + bound), start - bound))
                history.append(float(loss.detach()))
                bar.update(1)
        except KeyboardInterrupt:
            if not history:
                raise
    found = learned.detach()
    with torch.no_grad():
        after = game.l1(found, batch_size)
    return LearnedBaselines(found, start, history, before, after)


@dataclass(frozen=True)
class _MaskedGame:
    """The L1 of a model's interactions as a function of the baseline."""

    forward_func: Callable[..., Any]
    inputs: Tensor
    target: Any
    index: Tensor
    score: Score
    n: int

    def relative_l1(self, baseline: Tensor, rows: Tensor) -> Tensor:
        """Σ_T |I_and(T)| / |v(N) − v(∅)| of some examples."""
        coalitions = all_coalitions(self.n, self.inputs.device)
        x = self.inputs[rows.to(self.inputs.device)]
        index = self.index if len(self.index) == 1 else self.index[rows.to(self.index.device)]
        present = present_elements(coalitions, index)
        masked = torch.where(present, x, baseline).flatten(0, 1)
        values = score_output(
            self.forward_func(masked), repeat_target(_of_rows(self.target, rows), 1 << self.n), self.score
        )
        values = values.view(1 << self.n, len(rows)).T
        effect = (values[:, -1] - values[:, 0]).abs()
        return mobius(values)[:, 1:].abs().sum(1) / effect.clamp(min=1e-6)

    def l1(self, baseline: Tensor, batch_size: int) -> float:
        """Mean over all examples."""
        parts = [
            self.relative_l1(baseline, rows)
            for rows in torch.split(torch.arange(len(self.inputs), device="cpu"), batch_size)
        ]
        return float(torch.cat(parts).mean())


def _of_rows(target: Any, rows: Tensor) -> Any:
    """A target of some examples."""
    if isinstance(target, Tensor):
        return target[rows.to(target.device)]
    return [target[i] for i in rows.tolist()] if isinstance(target, list) else target
