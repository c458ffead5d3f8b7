"""Calls at random with model, inputs and answers on the emulated accelerator or beside it, with float64 and without."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from emulated_device import emulated_device, without_float64
from random_calls import check
from random_evaluations import analyzer_call

pytestmark = pytest.mark.device


@pytest.fixture(params=[True, False], ids=["as CUDA", "as MPS"])
def accelerator(request: pytest.FixtureRequest) -> Iterator[tuple[torch.device, bool]]:
    """The device, and whether it holds float64."""
    device = emulated_device()
    with nullcontext() if request.param else without_float64():
        yield device, request.param


def test_calls_on_an_accelerator_are_right_or_named(accelerator: tuple[torch.device, bool]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [check(seed, *accelerator) for seed in range(20_000, 21_000)]
    assert 500 < sum(results) < 900


def test_evaluations_on_an_accelerator_are_right_or_named(accelerator: tuple[torch.device, bool]) -> None:
    results = [analyzer_call(seed, *accelerator) for seed in range(20_000, 20_200)]
    assert 80 < sum(results) < 180
