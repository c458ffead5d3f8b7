"""Prompts as trees of tokens: every prompt reads its own tokens along the tree, each part within its size."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from captum_andor.llm.prompts import Prompt
from captum_andor.llm.token_tree import tree_parts

PROMPTS = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=9).filter(
        lambda p: any(s for _, s in p)
    ),
    min_size=1,
    max_size=12,
    unique_by=tuple,
)


def prompt_of(tokens: list[tuple[int, bool]]) -> Prompt:
    ids, seen = zip(*tokens, strict=True)
    return Prompt(ids, None if all(seen) else seen)


@settings(max_examples=150, deadline=None)
@given(PROMPTS, st.lists(st.integers(0, 2), min_size=1, max_size=3), st.integers(1, 30))
def test_every_prompt_reads_its_own_tokens(given_prompts, target, most) -> None:
    prompts = [prompt_of(tokens) for tokens in given_prompts]
    before: list[tuple[int, int]] = []  # tokens that the cache holds: position and id
    done = set()
    for part in tree_parts(prompts, target, most):
        columns = [before[i] for i in part.kept] + list(zip(part.positions, part.ids, strict=True))
        for number, predictors in zip(part.prompts, part.predictors, strict=True):
            prompt = prompts[number]
            done.add(number)
            assert len(predictors) == len(target)
            for step, token in enumerate(predictors):
                read = [columns[i] for i, seen in enumerate(part.attends[token]) if seen]
                own = [(i, prompt.ids[i]) for i in prompt.visible]
                assert read == own + [(len(prompt) + i, t) for i, t in enumerate(target[:step])]
        before = columns
    assert done == set(range(len(prompts)))


def test_what_is_common_is_processed_once() -> None:
    prompts = [Prompt((1, 2, 3, i)) for i in range(4)]
    for target, own in (([7], 4), ([7, 8], 8)):
        assert sum(len(part.ids) for part in tree_parts(prompts, target, 99)) == 3 + own
    parts = list(tree_parts(prompts, [7], 5))
    assert [len(part.ids) for part in parts] == [5, 2]
    assert len(parts[1].kept) == 3


def test_parts_keep_to_their_size_unless_a_prompt_is_longer() -> None:
    prompts = [Prompt((i, 1, 1, 1)) for i in range(5)]
    assert [len(part.ids) for part in tree_parts(prompts, [7], 9)] == [8, 8, 4]
    assert [len(part.ids) for part in tree_parts(prompts, [7], 2)] == [4] * 5
