"""How interactions and confusing samples change over training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples, read_samples
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.statistics import Array, chance_iou, iou, spearman
from captum_andor.confusing import ConfusingSampleAnalyzer, Scoring, SetRule, jaccard, known_samples, order_profile
from captum_andor.studies.dynamics.dynamics_figures import gap_and_orders, profiles_at, similarity_by_order
from captum_andor.visualization import Canvas, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def trace_training(
    checkpoints: Mapping[int, nn.Module] | Iterable[tuple[int, nn.Module]],
    dataset: Any,
    test: Any = None,
    analyzer: ConfusingSampleAnalyzer | None = None,
    fraction: float = 0.1,
    batch_size: int = 64,
    show_progress: bool | None = None,
    clean: npt.ArrayLike | None = None,
) -> TrainingDynamics:
    """Evaluate the checkpoints of one training, one after the other.

    Args:
        checkpoints (dict or iterable): Models in evaluation mode by step (epoch, update), or pairs of these in the
            order of training; an iterable may load each when it is its turn.
        dataset (data set, DataLoader, or tuple): Labelled training samples, as in
            :meth:`ConfusingSampleAnalyzer.evaluate`.
        test (data set, DataLoader, or tuple, optional): Held-out samples, best as many. Default: None
        analyzer (ConfusingSampleAnalyzer, optional): Its settings count. Default: None (the default ones)
        fraction (float, optional): Share of the samples in a confusing set. Default: 0.1
        batch_size (int, optional): Samples in one batch. Default: 64
        show_progress (bool, optional): Show a tqdm bar over checkpoints. None: one line on stderr where it takes more
            than ten seconds; False: nothing. Default: None
        clean (array, optional): Which training samples have right labels, a bool each or their indices: the gap of
            losses, and so the boundary, compares these alone with the test samples. Where some training labels are
            wrong and no test labels are, the loss of wrong labels hides or turns the gap. Default: None (all)

    Returns:
        - **dynamics** (*TrainingDynamics*): Tables and figures over checkpoints.

    Raises:
        TypeError, ValueError: As :meth:`ConfusingSampleAnalyzer.evaluate`, and if there are fewer than two checkpoints
            or their steps do not grow.

    Examples::

        >>> import torch
        >>> models = {step: nn.Linear(4, 3).eval() for step in (1, 2, 5)}
        >>> data = torch.rand(30, 4), torch.arange(30) % 3
        >>> trace_training(models, data).table["step"].tolist()
        [1, 2, 5]

    Source: The two phases are those of Zhou et al. 2024, arXiv 2405.10262.
    """
    cut = SetRule(fraction)
    pairs = checkpoints.items() if isinstance(checkpoints, Mapping) else checkpoints
    samples = {"train": read_samples(dataset, labelled=True)}
    counted = np.ones(len(samples["train"]), dtype=bool)
    if clean is not None:
        counted = known_samples(clean, len(samples["train"]), "clean")
    if test is not None:
        samples["test"] = read_samples(test, labelled=True)
    analyzer = ConfusingSampleAnalyzer() if analyzer is None else analyzer.clone()
    analyzer.coalitions = "all"  # strengths by order and similarities are of patterns
    found: list[_Checkpoint] = []
    total = len(checkpoints) if isinstance(checkpoints, Sized) else None
    with progress_bar(show_progress, total, "Training dynamics", "checkpoint") as bar:
        for step, model in pairs:
            if found and step <= found[-1].step:
                raise ValueError(
                    f"checkpoints must come in the order of training; step {step} follows {found[-1].step}."
                )
            found.append(_Checkpoint(step, model, samples, analyzer, batch_size, counted))
            bar.update(1)
    if len(found) < 2:
        raise ValueError(f"checkpoints must be two or more; got {len(found)}.")
    return TrainingDynamics(found, cut)


class _Checkpoint:
    """Scores and losses of every sample at one checkpoint, and means of interactions."""

    def __init__(
        self,
        step: int,
        model: nn.Module,
        samples: dict[str, Samples],
        analyzer: ConfusingSampleAnalyzer,
        batch: int,
        counted: npt.NDArray[np.bool_],
    ) -> None:
        self.step = step
        self.counted = counted  # training samples whose loss counts in the gap
        self.suspicion: dict[str, dict[str, Array]] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.losses: dict[str, Array] = {}
        self.accuracy: dict[str, float] = {}
        self.profile: dict[str, Array] = {}
        self.primary = analyzer.primary
        halves: dict[str, list[Tensor]] = {}
        for name, some in samples.items():
            alone = analyzer.clone().add_model("model", model)
            scoring = alone.evaluate(some.pair, batch_size=batch, show_progress=False).scoring
            columns = scoring.columns("model")
            self.suspicion[name] = {score: scoring.suspicion("model", score) for score in scoring.wanted}
            self.scores[name] = {score: float(np.mean(columns[score])) for score in scoring.wanted}
            self.losses[name] = columns["loss"]
            self.accuracy[name] = float(np.mean(columns["correct"]))
            if len({scoring.values("model", view).shape for view in scoring.views}) > 1:
                raise ValueError("feature_mask: masks of unequal numbers of players have no common orders.")
            profiles = [order_profile(scoring.salient("model", view)).mean(0) for view in scoring.views]
            self.profile[name] = torch.stack(profiles).mean(0).numpy()
            halves[name] = _halves(scoring, some)
        self.similarity = _similarities(halves)

    def gap(self) -> tuple[float, float]:
        """Test loss less train loss, and its standard error."""
        train, test = self.losses["train"][self.counted], self.losses["test"]
        error = math.sqrt(train.var(ddof=1) / len(train) + test.var(ddof=1) / len(test))
        return float(test.mean() - train.mean()), error


def _halves(scoring: Scoring, samples: Samples) -> list[Tensor]:
    """Mean salient interactions of each class, in two halves of the samples: (C, V, 2, 2^n), NaN without."""
    interactions = torch.stack([scoring.salient("model", view) for view in scoring.views], dim=1)
    labels = samples.labels if samples.labels is not None else torch.zeros(len(samples), dtype=torch.long)
    classes = scoring.logits("model").shape[1]
    result = []
    for half in range(2):
        means = interactions.new_full((classes, *interactions.shape[1:]), torch.nan)
        for label in range(classes):
            own = (labels == label).nonzero().flatten()[half::2]
            if len(own):
                means[label] = interactions[own].mean(0)
        result.append(means)
    return result


def _similarities(halves: dict[str, list[Tensor]]) -> dict[str, Array]:
    """Weighted Jaccard index of the classes' mean interactions by order: between train and test, and within each."""

    def of(a: Tensor, b: Tensor) -> Array:
        known = ~(torch.isnan(a).flatten(1).any(1) | torch.isnan(b).flatten(1).any(1))
        views = [jaccard(a[known, view], b[known, view]) for view in range(a.shape[1])]
        mean: Array = torch.stack(views).nanmean((0, 1)).numpy()
        return mean

    result = {"train": of(*halves["train"])}
    if "test" in halves:
        result["test"] = of(*halves["test"])
        between = [of(a, b) for a in halves["train"] for b in halves["test"]]
        result["train and test"] = np.mean(between, axis=0)
    return result


class TrainingDynamics:
    r"""Result of :func:`trace_training`.

    Attributes:
        steps (list of int): The checkpoints.
        boundary (int or None): The step at which the second phase begins: the first from which on, to the end, the gap
            (test loss less train loss) exceeds its smallest value by more than two standard errors of the difference.
            None where it never does, or without test samples.
        table (pandas.DataFrame): One row per checkpoint and ``set``, ``"train"`` or ``"test"``: ``step``, ``loss``,
            ``accuracy``, ``gap`` and ``gap_error``, its standard error; the mean of each score; ``positive_k`` and
            ``negative_k``, mean strength J⁺ and \|J⁻\| of the salient interactions of order k; ``iou_final`` and
            ``spearman_final``, agreement of the confusing set and of the primary score with those of the last
            checkpoint, and ``chance`` of the former.
        similarity (pandas.DataFrame): One row per checkpoint and order: similarity (weighted Jaccard index of mean
            salient interactions of each class, mean over classes) ``between`` train and test samples, halves of each,
            and ``within``, between the halves of one, the ceiling.
        samples (pandas.DataFrame): One row per sample and set: ``confusing``, whether it is in the last checkpoint's
            set; ``turned``, the step since which it has been in the set without a break (NaN for others), and
            ``in_second_phase``, whether that is at or after the boundary; ``first``, the first step at which it was in
            the set; ``share``, of the checkpoints at which it was.
    """

    def __init__(self, checkpoints: list[_Checkpoint], cut: SetRule) -> None:
        self._checkpoints = checkpoints
        self.primary = checkpoints[0].primary
        self.steps = [c.step for c in checkpoints]
        self.boundary = self._boundary()
        sets = list(checkpoints[0].losses)
        members = {
            name: np.stack([cut.share_of(c.suspicion[name][self.primary], str(c.step)) for c in checkpoints])
            for name in sets
        }
        self.table = self._table(members)
        self.similarity = self._similarity()
        self.samples = self._samples(members)

    def _boundary(self) -> int | None:
        if "test" not in self._checkpoints[0].losses:
            return None
        gaps = [c.gap() for c in self._checkpoints]
        least, error = min(gaps)
        grown = [gap - least > 2 * math.hypot(own, error) for gap, own in gaps]
        if not grown[-1]:
            return None
        start = len(grown) - 1
        while start and grown[start - 1]:
            start -= 1
        return self.steps[start]

    def _table(self, members: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        rows = []
        last = self._checkpoints[-1]
        for at, checkpoint in enumerate(self._checkpoints):
            gap, error = checkpoint.gap() if "test" in members else (math.nan, math.nan)
            for name, inside in members.items():
                score, final = (c.suspicion[name][self.primary] for c in (checkpoint, last))
                size = int(inside[-1].sum())
                positive, negative = checkpoint.profile[name]
                rows.append(
                    {
                        "step": checkpoint.step,
                        "set": name,
                        "loss": float(checkpoint.losses[name].mean()),
                        "accuracy": checkpoint.accuracy[name],
                        "gap": gap,
                        "gap_error": error,
                        **checkpoint.scores[name],
                        "iou_final": iou(inside[at], inside[-1]),
                        "spearman_final": spearman(score, final),
                        "chance": chance_iou(size, size, inside.shape[1]),
                        **{f"positive_{k}": positive[k] for k in range(1, len(positive))},
                        **{f"negative_{k}": negative[k] for k in range(1, len(negative))},
                    }
                )
        return pd.DataFrame(rows)

    def _similarity(self) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for checkpoint in self._checkpoints:
            found = checkpoint.similarity
            within = np.mean([found[name] for name in ("train", "test") if name in found], axis=0)
            between = found.get("train and test", np.full_like(within, np.nan))
            rows += [
                {"step": checkpoint.step, "order": order, "between": between[order], "within": within[order]}
                for order in range(1, len(within))
            ]
        return pd.DataFrame(rows)

    def _samples(self, members: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        blocks = []
        for name, inside in members.items():
            steps = np.array(self.steps, dtype=np.float64)
            unbroken = np.cumprod(inside[::-1], axis=0)[::-1].astype(bool)
            ever = inside.any(0)
            turned = np.where(unbroken[-1], steps[unbroken.argmax(0)], np.nan)
            blocks.append(
                pd.DataFrame(
                    {
                        "set": name,
                        "sample": np.arange(inside.shape[1]),
                        "confusing": inside[-1],
                        "turned": turned,
                        "in_second_phase": turned >= (math.inf if self.boundary is None else self.boundary),
                        "first": np.where(ever, steps[inside.argmax(0)], np.nan),
                        "share": inside.mean(0),
                    }
                )
            )
        return pd.concat(blocks, ignore_index=True)

    @panels
    def plot(self, canvas: Canvas) -> tuple[Figure, Any]:
        """Draw losses, gap and boundary, and strength by order over training.

        Returns:
            - **fig, axes** (*tuple*): The figure and its two axes.
        """
        return gap_and_orders(self.table, self.boundary, canvas)

    @panels
    def plot_profiles(self, canvas: Canvas, steps: Sequence[int] | None = None) -> tuple[Figure, Any]:
        """Draw strength by order at some checkpoints beside each other, of training and of test samples.

        Args:
            steps (sequence of int, optional): Which checkpoints. Default: None (the last one before the second phase,
                or the first where none is seen, and the last of all)

        Returns:
            - **fig, axes** (*tuple*): The figure and an axis for each checkpoint.

        Raises:
            ValueError: If there is no such checkpoint.
        """
        before = 0 if self.boundary is None else max(self.steps.index(self.boundary) - 1, 0)
        chosen = (self.steps[before], self.steps[-1]) if steps is None else tuple(steps)
        unknown = [step for step in chosen if step not in self.steps]
        if unknown or not chosen:
            raise ValueError(f"steps must be among the checkpoints {self.steps}; got {unknown or list(chosen)}.")
        return profiles_at(self.table, chosen, canvas)

    @panels
    def plot_similarity(self, canvas: Canvas) -> tuple[Figure, Any]:
        """Draw the similarity of interactions of train and test samples by order, and its ceiling, over training.

        Returns:
            - **fig, axes** (*tuple*): The figure and its two axes, between and within.
        """
        return similarity_by_order(self.similarity, self.boundary, canvas)

    def __str__(self) -> str:
        second = "no second phase is seen" if self.boundary is None else f"the second phase begins at {self.boundary}"
        columns = ["step", "set", "loss", "accuracy", "gap", self.primary, "iou_final", "spearman_final"]
        text: str = self.table[columns].to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="–")
        return f"{self!r}: {second}\n\n{text}"

    def __repr__(self) -> str:
        return f"TrainingDynamics of {len(self.steps)} checkpoints, {self.steps[0]} to {self.steps[-1]}"
