from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from captum_andor.games.scores import check_score, log_odds, repeat_target, score_output, standard_target

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 0.25], [-1.0, -1.0, 4.0], [2.0, 2.0, 2.0]])
DEEP = torch.arange(4 * 3 * 5, dtype=torch.float32).reshape(4, 3, 5)


def scored(output: Tensor, target: Any, score: Any = "output") -> Tensor:
    return score_output(output, standard_target(target, len(output)), score)


def test_log_odds_equals_log_p_over_one_minus_p() -> None:
    p = LOGITS.double().softmax(1)
    torch.testing.assert_close(log_odds(LOGITS.double()), (p / (1 - p)).log(), rtol=1e-12, atol=1e-12)


def test_log_odds_reads_dimension_1_as_classes_of_deeper_outputs() -> None:
    p = (DEEP.double() / 7).softmax(1)
    torch.testing.assert_close(log_odds(DEEP.double() / 7), (p / (1 - p)).log(), rtol=1e-12, atol=1e-12)


def test_log_odds_stays_accurate_at_extreme_logits() -> None:
    logits = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0], [1000.0, 1000.0]], dtype=torch.float64)
    expected = torch.tensor([[2000.0, -2000.0], [-2000.0, 2000.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(log_odds(logits), expected)


@pytest.mark.parametrize("margin", [20.0, 40.0, 100.0, 700.0])
def test_log_odds_of_two_classes_is_their_difference_where_p_rounds_to_one(margin: float) -> None:
    logits = torch.tensor([[margin, 0.125]], dtype=torch.float64)
    difference = margin - 0.125
    torch.testing.assert_close(log_odds(logits), torch.tensor([[difference, -difference]], dtype=torch.float64))


def test_log_odds_of_many_classes_near_certainty() -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0]], dtype=torch.float64)
    expected = 60.0 - np.log(2.0)
    assert float(log_odds(logits)[0, 0]) == pytest.approx(expected, rel=1e-15)
    assert float(log_odds(logits)[0, 1]) == pytest.approx(-60.0, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_scores_are_computed_in_float64(dtype: torch.dtype) -> None:
    logits = LOGITS.to(dtype)
    result = scored(logits, 1, "log_odds")
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, log_odds(logits.double())[:, 1])


def test_prob_and_log_prob() -> None:
    p = LOGITS.double().exp() / LOGITS.double().exp().sum(1, keepdim=True)
    torch.testing.assert_close(scored(LOGITS, 2, "prob"), p[:, 2])
    torch.testing.assert_close(scored(LOGITS, 2, "log_prob"), p[:, 2].log())


def test_log_prob_stays_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[1000.0, -1000.0]])
    assert scored(logits, 1, "log_prob").tolist() == [-2000.0]
    assert scored(logits, 0, "log_prob").tolist() == [0.0]


def test_callable_with_one_argument_is_selected_by_the_target() -> None:
    assert scored(LOGITS, 1, torch.abs).tolist() == [2.0, 3.0, 1.0, 2.0]
    assert scored(LOGITS, 1, lambda z, scale=2: z * scale).tolist() == [-4.0, 6.0, -2.0, 4.0]


def test_callable_with_two_arguments_gets_the_target_and_returns_v() -> None:
    seen = []

    def score(output: Tensor, target: Any) -> Tensor:
        seen.append(target)
        return output[:, target] * 10

    result = scored(LOGITS, 1, score)
    assert seen == [1] and result.dtype == torch.float64
    assert result.tolist() == [-20.0, 30.0, -10.0, 20.0]


def test_callable_that_returns_no_tensor_is_an_error() -> None:
    with pytest.raises(TypeError, match="score must return a tensor"):
        scored(LOGITS, 1, lambda z: 3.0)


ONE = [
    1,
    -2,
    np.int64(1),
    np.uint8(1),
    torch.tensor(1),
    torch.tensor([1]),
    torch.tensor([[1]]),
    np.array(1),
    np.array([1]),
    [1],
    (1,),
]


@pytest.mark.parametrize("target", ONE, ids=repr)
def test_one_target_for_all_examples(target: Any) -> None:
    assert scored(LOGITS, target).tolist() == LOGITS[:, 1].tolist()


EACH = [
    torch.tensor([0, 1, 2, 0]),
    torch.tensor([0, 1, 2, 0], dtype=torch.uint8),
    torch.tensor([0, -2, 2, 0]),
    [0, 1, 2, 0],
    np.array([0, 1, 2, 0]),
    [(0,), (1,), (2,), (0,)],
]


@pytest.mark.parametrize("target", EACH, ids=repr)
def test_one_target_for_each_example(target: Any) -> None:
    assert scored(LOGITS, target).tolist() == [1.0, 3.0, 4.0, 2.0]


def test_no_target_keeps_the_output() -> None:
    assert torch.equal(scored(LOGITS[:, 0], None), LOGITS[:, 0].double())
    assert torch.equal(scored(LOGITS, None), LOGITS.double())


def test_an_output_of_no_axes_is_kept() -> None:
    assert float(score_output(torch.tensor(2.5), None, "output")) == 2.5


def test_tuples_select_from_deeper_outputs() -> None:
    assert torch.equal(scored(DEEP, (1, 2)), DEEP[:, 1, 2].double())
    assert torch.equal(scored(DEEP, (slice(None), 2)), DEEP[:, :, 2].double())
    assert torch.equal(scored(DEEP, (1, slice(1, 3))), DEEP[:, 1, 1:3].double())
    assert torch.equal(scored(DEEP, (1,)), DEEP[:, 1].double())
    each = [(0, 1), (1, 2), (2, 4), (0, 0)]
    assert torch.equal(scored(DEEP, each), torch.stack([DEEP[i, a, b] for i, (a, b) in enumerate(each)]).double())


def test_per_example_targets_leave_the_other_axes() -> None:
    result = scored(DEEP, torch.tensor([0, 1, 2, 0]))
    assert torch.equal(result, torch.stack([DEEP[0, 0], DEEP[1, 1], DEEP[2, 2], DEEP[3, 0]]).double())


def test_repeat_target_tiles_only_per_example_targets() -> None:
    assert repeat_target(torch.tensor([0, 1]), 2).tolist() == [0, 1, 0, 1]
    assert repeat_target([(0,), (1,)], 2) == [(0,), (1,), (0,), (1,)]
    assert [repeat_target(target, 3) for target in (None, 1, (1, 2))] == [None, 1, (1, 2)]


@pytest.mark.parametrize("target", [True, np.True_, 1.0, "cat", torch.tensor(1.5), torch.tensor([True, False] * 2)])
def test_a_target_that_is_no_index_is_a_type_error(target: Any) -> None:
    with pytest.raises(TypeError, match="target must"):
        standard_target(target, 4)


@pytest.mark.parametrize("target", [object(), [None], {"a": 1}, [[0, 1], [2]]])
def test_a_target_of_unknown_kind_is_an_error_about_the_target(target: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="target must"):
        standard_target(target, 4)


@pytest.mark.parametrize("target", [[0, 1], torch.tensor([0, 1, 2]), [(0,), (1,)]])
def test_per_example_targets_must_count_the_examples(target: Any) -> None:
    with pytest.raises(ValueError, match="entries for 4 examples"):
        standard_target(target, 4)


def test_a_matrix_of_targets_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"got shape \(4, 2\)"):
        standard_target(torch.zeros(4, 2, dtype=torch.int64), 4)


@pytest.mark.parametrize("target", [3, -4, torch.tensor([0, 1, 2, 3]), [(0,), (3,), (0,), (0,)]])
def test_a_target_out_of_range_names_the_axis_and_its_size(target: Any) -> None:
    with pytest.raises(ValueError, match="out of range for axis 1 .* size 3"):
        scored(LOGITS, target)


@pytest.mark.parametrize("target", [(0, 1), 0])
def test_a_target_longer_than_the_output_is_an_error(target: Any) -> None:
    output = LOGITS if isinstance(target, tuple) else LOGITS[:, 0]
    with pytest.raises(ValueError, match="Pass a shorter target"):
        scored(output, target)


@pytest.mark.parametrize("score", ["log_odds", "log_prob", "prob"])
@pytest.mark.parametrize("output", [torch.zeros(4, 1, 3), torch.tensor(0.0)])
def test_class_scores_need_two_classes(score: str, output: Tensor) -> None:
    with pytest.raises(ValueError, match='logits of at least two classes.*use score="output"'):
        score_output(output, 0, score)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("score", ["log_odds", "log_prob", "prob"])
def test_one_logit_is_that_of_class_1_against_class_0(shape: tuple[int, ...], score: str) -> None:
    logit = torch.tensor([-40.0, -0.3, 0.0, 2.5]).view(shape)
    both = torch.stack([torch.zeros(4), logit.flatten()], dim=1)
    for target in (0, 1):
        assert torch.allclose(score_output(logit, target, score), score_output(both, target, score), rtol=1e-12)
    alone = score_output(logit, None, score)
    assert alone.shape == shape and torch.equal(alone.flatten(), score_output(logit, 1, score))
    with pytest.raises(ValueError, match="out of range"):
        score_output(logit, 2, score)


def test_check_score_knows_names_and_callables() -> None:
    for score in ("output", "log_odds", "log_prob", "prob", torch.sigmoid):
        check_score(score)
    with pytest.raises(ValueError, match="score must be one of .*'log_odds'.* got 'odds'"):
        check_score("odds")
