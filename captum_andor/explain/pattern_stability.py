"""How often each pattern of a logical model is found again on half of the coalitions."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from captum_andor.games import flat_games
from captum_andor.games.transforms import coalition_members
from captum_andor.results import PatternTable
from captum_andor.sampling import size_strata
from captum_andor.search import Options, check_sample_size, choose

_MOST_RESAMPLED = 4096  # coalitions in a half: it takes as long as a search of twelve players


def share_found_again(
    table: PatternTable, values: Tensor, coalitions: Tensor | None, options: Options, n_resamples: int
) -> Tensor:
    """Share of random halves on which the search finds each pattern; see :meth:`LogicalModel.stability`."""
    games = flat_games(values)
    counts = torch.bincount(table.output, minlength=len(games)).tolist()
    allowed = replace(options, max_patterns=max([1, *counts]), min_r2=None)
    n, m = table.members.shape[1], values.shape[-1]
    half = min(m // 2, _MOST_RESAMPLED)
    check_sample_size(f"half of the {m} coalitions", half, allowed)
    found = torch.zeros(len(table), dtype=torch.float64, device=table.value.device)
    mine = [
        (output, is_or, tuple(members.nonzero()[:, 0].tolist()))
        for output, is_or, members in zip(table.output.tolist(), table.is_or.tolist(), table.members, strict=True)
    ]
    generator = torch.Generator().manual_seed(options.seed)
    for _ in range(n_resamples):
        drawn = torch.randperm(m, generator=generator, device="cpu")[:half].to(games.device)
        rows = coalition_members(drawn, n) if coalitions is None else coalitions[drawn]
        strata = torch.from_numpy(size_strata(rows.cpu().numpy())).to(games.device)
        chosen = choose(games[:, drawn], rows, strata, allowed, counts)
        again = {(output, *pattern) for output, patterns in enumerate(chosen) for pattern in patterns}
        found += found.new_tensor([pattern in again for pattern in mine])
    return found / n_resamples
