from __future__ import annotations

import oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from captum_andor.games import transforms

TRANSFORMS = [
    "mobius",
    "zeta",
    "mobius_adjoint",
    "zeta_adjoint",
    "or_mobius",
    "or_zeta",
    "or_mobius_adjoint",
    "or_zeta_adjoint",
]
TO_PLAYERS = ["player_sums", "shapley_values"]
ADJOINTS = ["mobius", "zeta", "or_mobius", "or_zeta"]


def random_values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", range(7))
@pytest.mark.parametrize("name", TRANSFORMS + TO_PLAYERS)
def test_equals_its_definition(name: str, n: int) -> None:
    x = random_values(2**n, seed=n)
    close(getattr(transforms, name)(x), getattr(oracles, name)(x))


@pytest.mark.parametrize("n", [*range(7), 9, 11])
def test_zeta_inverts_mobius_both_ways(n: int) -> None:
    x = random_values(3, 2**n)
    close(transforms.zeta(transforms.mobius(x)), x)
    close(transforms.mobius(transforms.zeta(x)), x)


@pytest.mark.parametrize("n", [*range(7), 9, 11])
def test_or_zeta_inverts_or_mobius_up_to_the_constant(n: int) -> None:
    v = random_values(3, 2**n)
    close(transforms.or_zeta(transforms.or_mobius(v)), v - v[:, :1])
    b = v.clone()
    b[:, 0] = 0.0
    close(transforms.or_mobius(transforms.or_zeta(b)), b)


@pytest.mark.parametrize("name", ADJOINTS)
@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 9), seed=st.integers(0, 2**31))
def test_adjoint_law(name: str, n: int, seed: int) -> None:
    x, y = random_values(2, 2**n, seed=seed)
    ahead = getattr(transforms, name)(x) @ y
    back = x @ getattr(transforms, f"{name}_adjoint")(y)
    assert abs(float(ahead - back)) <= 1e-12 * 4**n


@pytest.mark.parametrize("n", [3, 7])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12), (torch.bfloat16, 0.5)])
@pytest.mark.parametrize("name", TRANSFORMS + TO_PLAYERS)
def test_keeps_the_dtype(name: str, dtype: torch.dtype, tolerance: float, n: int) -> None:
    x = random_values(2**n).to(dtype)
    result = getattr(transforms, name)(x)
    exact = getattr(transforms, name)(x.double())
    assert result.dtype == dtype
    assert float((result.double() - exact).abs().max()) <= tolerance * (1 + float(exact.abs().max()))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("name", TRANSFORMS + TO_PLAYERS)
def test_treats_leading_axes_as_a_batch(name: str, shape: tuple[int, ...]) -> None:
    x = random_values(*shape, 64)
    transform = getattr(transforms, name)
    result = transform(x)
    assert result.shape[:-1] == shape
    for row, expected in zip(x.reshape(-1, 64), result.flatten(0, -2) if shape else result[None], strict=True):
        close(transform(row), expected)


@pytest.mark.parametrize("name", TRANSFORMS + TO_PLAYERS)
def test_takes_input_that_is_not_contiguous(name: str) -> None:
    transform = getattr(transforms, name)
    columns = random_values(64, 3).T
    every_other = random_values(3, 128)[:, ::2]
    for x in (columns, every_other, random_values(64).expand(3, 64)):
        assert not x.is_contiguous()
        close(transform(x), transform(x.contiguous()))


@pytest.mark.parametrize("n", [0, 3, 7])
@pytest.mark.parametrize("name", TRANSFORMS + TO_PLAYERS)
def test_leaves_its_input_alone(name: str, n: int) -> None:
    x = random_values(2, 2**n)
    before = x.clone()
    getattr(transforms, name)(x).fill_(7.0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("n", [0, 2, 6])
@pytest.mark.parametrize("name", TRANSFORMS + TO_PLAYERS)
def test_is_differentiable(name: str, n: int) -> None:
    x = random_values(2, 2**n).requires_grad_()
    assert torch.autograd.gradcheck(getattr(transforms, name), x, fast_mode=True)


@pytest.mark.slow
def test_roundtrip_of_24_players_is_exact_on_integers() -> None:
    x = torch.randint(-3, 4, (2**24,), generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(transforms.zeta(transforms.mobius(x)), x)


@pytest.mark.parametrize("name", [*TRANSFORMS, *TO_PLAYERS, "count_players"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (4, 6)])
def test_rejects_a_last_axis_that_is_no_power_of_two(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"last axis of length 2\^n"):
        getattr(transforms, name)(torch.zeros(shape))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_rejects_a_dtype_that_is_not_floating(name: str, dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="must be floating point"):
        getattr(transforms, name)(torch.zeros(4, dtype=dtype))


def test_shapley_values_rejects_integers_rather_than_truncating_its_weights() -> None:
    with pytest.raises(TypeError, match="must be floating point"):
        transforms.shapley_values(torch.tensor([0, 1, 2, 5]))


def test_count_players() -> None:
    assert [transforms.count_players(torch.zeros(2, 2**n)) for n in range(8)] == list(range(8))


@pytest.mark.parametrize("n", range(7))
def test_orders_and_members_agree_with_the_subsets(n: int) -> None:
    sizes = transforms.orders(n)
    members = transforms.coalition_members(torch.arange(2**n), n)
    assert sizes.dtype == torch.int64 and members.dtype == torch.bool and members.shape == (2**n, n)
    for coalition in oracles.subsets(range(n)):
        code = oracles.code(coalition)
        assert sizes[code] == len(coalition)
        assert set(members[code].nonzero().flatten().tolist()) == coalition


def test_coalition_members_keeps_the_shape_of_the_codes() -> None:
    assert transforms.coalition_members(torch.tensor(5), 3).tolist() == [True, False, True]
    assert transforms.coalition_members(torch.zeros(2, 4, dtype=torch.int64), 3).shape == (2, 4, 3)


@pytest.mark.parametrize("n", [1, 5, 12])
def test_shapley_values_sum_to_the_whole_effect(n: int) -> None:
    v = random_values(2, 2**n)
    close(transforms.shapley_values(v).sum(-1), v[:, -1] - v[:, 0])


@pytest.mark.parametrize("n", [1, 5, 12])
def test_shapley_values_share_interactions_evenly(n: int) -> None:
    v = random_values(2**n)
    dividend = transforms.mobius(v)[1:] / transforms.orders(n)[1:]
    close(
        transforms.shapley_values(v),
        transforms.player_sums(torch.cat([torch.zeros(1, dtype=v.dtype), dividend])),
    )
