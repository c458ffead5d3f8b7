"""How alike two models decide one sample: their attributions, their interactions, and how patterns carry over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.caching import computed_once
from captum_andor._utils.statistics import Array, shared_and_joint
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.scores.overlap import pairs_of_views
from captum_andor.confusing.scores.score_formulas import n_players, scored_codes
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.explain import complete_model
from captum_andor.games.transforms import all_coalitions, count_players, orders, shapley_values
from captum_andor.results import ResultPlayers
from captum_andor.search import Options

if TYPE_CHECKING:
    import pandas as pd


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the rows of two ``(N, d)`` tensors; NaN where one is zero: shape ``(N,)``."""
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size > 0, (a * b).sum(1) / size, torch.nan)


def row_spearman(a: Tensor, b: Tensor) -> Tensor:
    """Rank correlation of the rows of two ``(N, d)`` tensors; NaN where one is constant: shape ``(N,)``."""
    from scipy.stats import rankdata

    x, y = (torch.from_numpy(rankdata(t.numpy(), axis=1)) for t in (a, b))
    return cosine(x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True))


def jaccard(a: Tensor, b: Tensor) -> Tensor:
    """Weighted Jaccard index of interactions of equal players, kind and sign, by order and in all.

    Σ min(|I_a|, |I_b|) / Σ max(|I_a|, |I_b|), each sample's strengths divided by their sum, so that a model of larger
    outputs is not another model; interactions of unequal sign share nothing.

    Args:
        a (Tensor): Interactions, AND and OR, shape ``(N, 2, 2^n)``.
        b (Tensor): Likewise.

    Returns:
        - **index** (*Tensor*): Shape ``(N, n + 1)``: of all orders at 0, of order k at k; NaN where there is nothing.
    """
    shares = [x / x.abs().sum((1, 2), keepdim=True).clamp(min=1e-300) for x in (a, b)]
    parts = [part.sum(1) for part in shared_and_joint(*shares)]
    n = count_players(parts[0])
    by_order = orders(n, a.device)
    sums = [part.new_zeros(len(part), n + 1).index_add(1, by_order, part) for part in parts]
    common, union = (torch.cat([part.sum(1, keepdim=True), part[:, 1:]], dim=1) for part in sums)
    return torch.where(union > 0, common / torch.where(union > 0, union, 1.0), torch.nan)


def cross_r2(predicted: Tensor, values: Tensor) -> Tensor:
    """R² of one model's surrogate for another's v, refitted by one scale ≥ 0 and a shift: rows of ``(N, 2^n)``.

    A surrogate that runs against v explains nothing: 0. NaN where v is constant.
    """
    x, y = (t - t.mean(1, keepdim=True) for t in (predicted, values))
    product = (x * y).sum(1).clamp(min=0)
    x_size, y_size = x.square().sum(1), y.square().sum(1)
    r2 = torch.where(x_size > 0, product.square() / torch.where(x_size > 0, x_size * y_size, 1.0), 0.0)
    return torch.where(y_size > 0, r2, torch.nan)


def matched_players(a: Sequence[Tensor], b: Sequence[Tensor]) -> list[int] | None:
    """For each player of one mask the player of another with which it shares the most elements, one to one."""
    from scipy.optimize import linear_sum_assignment

    x, y = (torch.cat([part.flatten() for part in parts]) for parts in (a, b))
    n = int(x.max()) + 1
    if int(y.max()) + 1 != n:
        return None
    shared = torch.zeros(n * n, dtype=torch.int64, device="cpu").index_add(0, x * n + y, torch.ones_like(x)).view(n, n)
    return [int(j) for j in linear_sum_assignment(shared.numpy(), maximize=True)[1]]


@dataclass(frozen=True)
class Similarity:
    """Similarities of the models of an evaluation, per sample.

    Attributes:
        scoring: Their values and splits.
        max_patterns: Patterns in the surrogates that are carried over from one model to another.
        of_values: Whether to compare v alone, on the masked inputs that were evaluated.
    """

    scoring: Scoring
    max_patterns: int = 10
    of_values: bool = False
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """One row per sample and pair of models."""
        import pandas as pd

        blocks = []
        for a, b in combinations(self.scoring.names, 2):
            pair = np.empty(len(self.scoring), dtype=object)
            pair[:] = [(a, b)] * len(self.scoring)
            head = {"sample": self.scoring.numbers, "pair": pair, "model_a": a, "model_b": b}
            blocks.append(pd.DataFrame({**head, **self._pair(a, b)}))
        if not blocks:
            raise ValueError(f"similarity compares models; there is only {self.scoring.names[0]!r}.")
        return pd.concat(blocks, ignore_index=True)

    def _pair(self, a: str, b: str) -> dict[str, Array]:
        """Similarities under equal views, then each model's own under other views, the ceilings; means over views."""
        views = self.scoring.views
        between = _means([self._similarities(a, view, b, view) for view in views])
        own = [self._similarities(name, x, name, y) for x, y in pairs_of_views(self.scoring, "any") for name in (a, b)]
        ceilings = _means([found for found in own if found])
        columns = dict(between)
        for key in between:
            if not key.startswith("interaction_jaccard_"):
                columns[f"{key}_ceiling"] = ceilings.get(key, np.full(len(self.scoring), np.nan))
        if self.of_values:
            return columns
        columns["own_r2"] = _means([{"r2": self._own_r2(name, view)} for name in (a, b) for view in views])["r2"]
        for method in dict.fromkeys(key[1] for key in self.scoring.evaluation.attributions):
            columns |= self._given_attributions(a, b, method)
        return columns

    def _similarities(self, a: str, view_a: View, b: str, view_b: View) -> dict[str, Array]:
        """Similarities of model a under one view and b under another; empty where players have no counterparts."""
        codes = self._codes(view_a, view_b)
        if codes is None:
            return {}
        values_a, values_b = self.scoring.values(a, view_a), _gathered(self.scoring.values(b, view_b), codes)
        centred = [v - v.mean(1, keepdim=True) for v in (values_a, values_b)]
        correlation = {"value_correlation": cosine(*centred).numpy()}
        if self.of_values:
            return correlation
        shapley_a, shapley_b = shapley_values(values_a), shapley_values(values_b)
        interactions = self._interactions(a, view_a)
        index = jaccard(interactions, _gathered(self._interactions(b, view_b), codes))
        forward = cross_r2(self._surrogate(a, view_a), values_b)
        back = cross_r2(_gathered(self._surrogate(b, view_b), codes), values_a)
        found = {
            "attribution_cosine": cosine(shapley_a, shapley_b),
            "attribution_spearman": row_spearman(shapley_a, shapley_b),
            "interaction_jaccard": index[:, 0],
            **{f"interaction_jaccard_{k}": index[:, k] for k in range(1, index.shape[1])},
            "cross_r2": (forward + back) / 2,
            "cross_r2_a_for_b": forward,
            "cross_r2_b_for_a": back,
        }
        return correlation | {name: column.numpy() for name, column in found.items()}

    @computed_once
    def _codes(self, view_a: View, view_b: View) -> Tensor | None:
        """Columns of the coalitions of the counterparts of one view's players: ``(1 or N, 2^n)``; None without."""
        values = self.scoring.values(self.scoring.names[0], view_a)
        if view_a.mask == view_b.mask:
            return torch.arange(values.shape[1], device="cpu")[None]
        n, known = n_players(values), scored_codes(values)
        bits = all_coalitions(n).long() if known is None else known[:, None] >> torch.arange(n, device="cpu") & 1
        rows = []
        for maps in self._pairs_of_maps(view_a, view_b):
            players = matched_players(*maps)
            if players is None:
                return None
            codes = (bits << torch.tensor(players, device="cpu")).sum(1)
            rows.append(codes if known is None else torch.searchsorted(known, codes))
        return torch.stack(rows)

    def _pairs_of_maps(self, view_a: View, view_b: View) -> Iterator[tuple[Sequence[Tensor], Sequence[Tensor]]]:
        """Player maps of both views: one pair if both masks are shared by all samples, else one per sample."""
        samples, views = self.scoring.evaluation.samples, self.scoring.evaluation.views
        a, b = list(views.player_maps(samples, view_a)), list(views.player_maps(samples, view_b))
        count = max(len(a), len(b))
        yield from zip(a * count if len(a) == 1 else a, b * count if len(b) == 1 else b, strict=True)

    def _interactions(self, name: str, view: View) -> Tensor:
        split = self.scoring.split(name, view)
        interactions = torch.stack([split.and_values, split.or_values], dim=1)
        interactions[..., 0] = 0.0
        return interactions

    @computed_once
    def _surrogate(self, name: str, view: View) -> Tensor:
        """Values of a model's logical model on all coalitions: ``(N, 2^n)``."""
        values = self.scoring.values(name, view)
        n = count_players(values)
        model = complete_model(values, Options(self.max_patterns), ResultPlayers.numbered(n))
        return model.predict(all_coalitions(n))

    def _own_r2(self, name: str, view: View) -> Array:
        result: Array = cross_r2(self._surrogate(name, view), self.scoring.values(name, view)).numpy()
        return result

    def _given_attributions(self, a: str, b: str, method: str) -> dict[str, Array]:
        """Similarity of the attributions of ``evaluate(attributions=…)``, and its ceiling under other views."""
        maps = self.scoring.evaluation.attributions
        views = [view for view in self.scoring.views if (a, method, view) in maps]
        columns: dict[str, Array] = {}
        measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cosine": cosine, "spearman": row_spearman}
        for measure, function in measures.items():
            between = [
                {"x": function(_flat(maps[a, method, view]), _flat(maps[b, method, view])).numpy()} for view in views
            ]
            own = [
                {"x": function(_flat(maps[name, method, x]), _flat(maps[name, method, y])).numpy()}
                for x, y in combinations(views, 2)
                for name in (a, b)
            ]
            columns[f"{method}_{measure}"] = _means(between)["x"]
            columns[f"{method}_{measure}_ceiling"] = _means(own).get("x", np.full(len(self.scoring), np.nan))
        return columns


def _gathered(table: Tensor, codes: Tensor) -> Tensor:
    """Entries of the last axis by code, the same for all samples or each sample's own."""
    if len(codes) == 1:
        return table[..., codes[0]]
    return table.gather(-1, codes.view(len(codes), *(1,) * (table.ndim - 2), -1).expand_as(table))


def _flat(maps: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1).double() for part in maps], dim=1)


def _means(found: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Mean of each column over what is known of it."""
    result = {}
    for key in dict.fromkeys(key for columns in found for key in columns):
        stacked = np.stack([columns[key] for columns in found if key in columns])
        known = ~np.isnan(stacked)
        count = known.sum(0)
        total = np.where(known, stacked, 0.0).sum(0)
        result[key] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result
