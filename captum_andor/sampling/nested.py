"""Which coalitions a budget evaluates where players stand in groups: whole groups and a part of one more.

Owen values are made of these. Coalitions come in pairs S, N∖S; where there are no more of them, others follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from captum_andor.sampling.coalitions import SHAPLEY, Members, paired_design

_IDLE = 256  # draws without a coalition that is new, after which others follow


def nested_design(groups: Sequence[Sequence[int]], budget: int, seed: int = 0) -> Members:
    """The first coalitions of the sequence of a seed.

    Args:
        groups: The players of each group; each of n players in one.
        budget: How many, at least 2; all 2^n where there are no more.
        seed: Of the draws.

    Returns:
        - **coalitions** (*ndarray*): bool, shape ``(min(budget, 2^n), n)``: ∅, N, then pairs.
    """
    n = sum(map(len, groups))
    generator = np.random.default_rng(seed)
    rows = [np.zeros(n, dtype=bool), np.ones(n, dtype=bool)]
    seen = {row.tobytes() for row in rows}
    sizes = np.array([len(group) for group in groups], dtype=float)
    idle = 0
    while len(rows) < budget and idle < _IDLE:
        some = np.zeros(n, dtype=bool)
        order = generator.permutation(len(groups))
        for group in order[: generator.integers(len(groups) + 1)]:
            some[list(groups[group])] = True
        # A part of one more group, of any size alike; larger groups have more players to tell apart.
        part = generator.permutation(groups[generator.choice(len(groups), p=sizes / n)])
        some[part] = False
        some[part[: generator.integers(len(part) + 1)]] = True
        new = [row for row in (some, ~some) if row.tobytes() not in seen]
        seen.update(row.tobytes() for row in new)
        rows += new
        idle = 0 if new else idle + 1
    if len(rows) < budget:
        others = paired_design(n, min(budget + len(rows), 2**n), SHAPLEY, seed)
        rows += [row for row in others if row.tobytes() not in seen]
    return np.array(rows[: max(budget, 2)])
