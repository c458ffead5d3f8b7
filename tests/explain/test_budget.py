"""``AndOrInteractions.logical_model``: what is evaluated, and the models of it."""

from __future__ import annotations

import math

import pytest
import torch
from captum.attr import visualization as viz
from torch import Tensor, nn

from captum_andor import AndOrInteractions, LogicalModel


def patterned(z: Tensor) -> Tensor:
    """Four patterns of the first nine inputs."""
    both, either = z[:, 0] * z[:, 5] * z[:, 8], torch.maximum(z[:, 1], z[:, 2])
    return 2 * both + z[:, 3] - 1.5 * torch.stack([z[:, 4], z[:, 6], z[:, 7]]).amax(0) + 0.75 * either


PATTERNS = ["AND {0, 5, 8} +2", "OR  {4, 6, 7} -1.5", "AND {3} +1", "OR  {1, 2} +0.75"]


class Counting:
    """A model that counts the rows it was given, and can be interrupted after some of them."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.rows = 0
        self.interrupt_after = interrupt_after

    def __call__(self, z: Tensor) -> Tensor:
        if self.interrupt_after is not None and self.rows >= self.interrupt_after:
            raise KeyboardInterrupt
        self.rows += len(z)
        return patterned(z.double())


def network(n: int = 12, outputs: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(n, 16), nn.Tanh(), nn.Linear(16, outputs)).eval()


def test_ten_players_are_enumerated_and_exact() -> None:
    model = Counting()
    lm = AndOrInteractions(model, check_repeats=False).logical_model(torch.ones(1, 10))
    assert model.rows == lm.n_evaluations == 1024 and lm.is_exact and float(lm.r2) == pytest.approx(1.0)
    assert "exact R² over all 1,024 coalitions" in repr(lm)


@pytest.mark.parametrize(("n", "budget"), [(12, 200), (16, 333), (40, 400), (9, 100)])
def test_a_budget_is_spent_as_announced(n: int, budget: int) -> None:
    model = Counting()
    lm = AndOrInteractions(model, check_repeats=False).logical_model(torch.ones(1, n), budget=budget)
    assert model.rows == lm.n_evaluations == budget and not lm.is_exact
    assert [str(p) for p in lm.patterns] == PATTERNS and float(lm.r2) == pytest.approx(1.0)
    how = "R² estimated" if n <= 16 else "held-out R²"
    assert f"{how} from {budget} of 2^{n} coalitions" in repr(lm)


@pytest.mark.parametrize("n", [11, 25])
def test_without_a_budget_1024_are_taken_above_ten_players(n: int) -> None:
    assert AndOrInteractions(patterned).logical_model(torch.ones(1, n)).n_evaluations == 1024


@pytest.mark.parametrize("budget", [512, 513, 10**9])
def test_a_budget_of_all_coalitions_enumerates(budget: int) -> None:
    lm = AndOrInteractions(patterned).logical_model(torch.ones(1, 9), budget=budget)
    assert lm.is_exact and lm.n_evaluations == 512 and "exact" in repr(lm)


def test_enumeration_gives_the_values_in_the_order_of_codes() -> None:
    x, method = torch.rand(2, 6), AndOrInteractions(network(6))
    lm = method.logical_model(x, target=1)
    torch.testing.assert_close(lm.values, method.interactions(x, target=1, split="and").values)
    torch.testing.assert_close(
        lm.attributions().sum(1), (network(6)(x) - network(6)(x * 0))[:, 1], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("budget", [None, 100])
def test_shapes_follow_the_outputs(budget: int | None) -> None:
    x, method = torch.rand(2, 8), AndOrInteractions(network(8))
    lm = method.logical_model(x, budget=budget, max_patterns=5)
    assert lm.shape == lm.r2.shape == (2, 3) and lm.r2_path.shape == (2, 3, 6)
    assert lm.attributions().shape == (2, 3, 8) and lm.attributions().dtype == torch.float32
    one = method.logical_model(x[1:], target=2, budget=budget, max_patterns=5)
    assert [p.players for p in one.patterns] == [p.players for p in lm.patterns if p.index == (1, 2)]


def test_outputs_have_numbers_of_patterns_of_their_own() -> None:
    def model(z: Tensor) -> Tensor:
        return torch.stack([z[:, 0], patterned(z), 0 * z[:, 0]], dim=1)

    for budget in (None, 150):
        lm = AndOrInteractions(model, check_repeats=False).logical_model(
            torch.ones(1, 9), max_patterns=None, min_r2=1.0, budget=budget
        )
        assert [sum(p.index == (0, k) for p in lm.patterns) for k in range(3)] == [1, 4, 0]
        assert lm.r2.tolist() == [[pytest.approx(1.0)] * 3]


def test_masks_baselines_targets_and_tuples() -> None:
    def model(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
        return (a[:, 0] * a[:, 3] + b.sum(1))[:, None] * scale

    mask = (torch.tensor([[4, 4, 7, 9]]), torch.tensor([[9, 2]]))
    lm = AndOrInteractions(model, check_repeats=False).logical_model(
        (torch.ones(2, 4), torch.ones(2, 2)),
        baselines=(0.5, 0),
        target=0,
        additional_forward_args=torch.ones(2, 1),
        feature_mask=mask,
    )
    assert lm.feature_ids == (2, 4, 7, 9)
    assert {p.players for p in lm.patterns if p.index == (0,)} >= {(2,), (9,)}
    a, b = lm.attributions()
    assert a.shape == (2, 4) and b.shape == (2, 2)


def test_attributions_work_with_captums_figures() -> None:
    x = torch.rand(1, 1, 8, 8)
    mask = (torch.arange(8)[:, None] // 2 * 4 + torch.arange(8) // 2)[None, None]
    lm = AndOrInteractions(lambda z: z[:, 0, :4].sum((1, 2)) * z[:, 0, 4:].sum((1, 2))).logical_model(
        x, feature_mask=mask, budget=300
    )
    picture = lm.attributions()[0].permute(1, 2, 0).numpy()
    fig, _ = viz.visualize_image_attr(picture, x[0].permute(1, 2, 0).numpy(), sign="all", use_pyplot=False)
    assert fig.axes
    _, axes = lm[0].plot_image(x[0, 0].numpy(), k=3, use_pyplot=False)
    assert len(axes) == 3 and axes[0].get_title().split()[0] in ("AND", "OR")


def test_a_larger_budget_goes_on_from_what_is_known() -> None:
    method = AndOrInteractions(Counting(), check_repeats=False)
    small = method.logical_model(torch.ones(1, 14), budget=100)
    large = method.logical_model(torch.ones(1, 14), budget=300, previous=small)
    assert method.forward_func.rows == 300 + 3 and large.n_evaluations == 300  # v(∅), v(N) and one between, again
    fresh = AndOrInteractions(patterned).logical_model(torch.ones(1, 14), budget=300)
    assert torch.equal(large.values, fresh.values) and repr(large) == repr(fresh)
    again = method.logical_model(torch.ones(1, 14), budget=100, previous=large)
    assert method.forward_func.rows == 300 + 6 and repr(again) == repr(small)


def test_what_is_known_of_all_coalitions_is_asked_for_three_alone() -> None:
    method = AndOrInteractions(Counting(), check_repeats=False)
    exact = method.logical_model(torch.ones(1, 9))
    fewer = method.logical_model(torch.ones(1, 9), max_patterns=2, previous=exact)
    assert method.forward_func.rows == 512 + 3 and len(fewer.patterns) == 2 and fewer.is_exact


def test_another_game_is_not_gone_on_from() -> None:
    method = AndOrInteractions(patterned)
    small = method.logical_model(torch.ones(1, 14), budget=100)
    with pytest.raises(ValueError, match="previous has feature ids"):
        method.logical_model(torch.ones(1, 15), budget=300, previous=small)
    with pytest.raises(ValueError, match="previous took other coalitions"):
        method.logical_model(torch.ones(1, 14), budget=300, previous=small, seed=1)
    with pytest.raises(ValueError, match="previous has outputs of shape"):
        method.logical_model(torch.ones(2, 14), budget=300, previous=small)
    with pytest.raises(TypeError, match="previous must be a GameEstimate, a LogicalModel"):
        method.logical_model(torch.ones(1, 14), budget=300, previous="model")


@pytest.mark.parametrize("n", [12, 64])
def test_an_automatic_budget_ends_when_fresh_coalitions_are_predicted(n: int) -> None:
    model = Counting()
    lm = AndOrInteractions(model, check_repeats=False).logical_model(torch.ones(1, n), budget="auto", max_patterns=None)
    assert model.rows == lm.n_evaluations <= 512
    assert [str(p) for p in lm.patterns] == PATTERNS


def test_an_automatic_budget_that_does_not_help_ends_on_a_plateau() -> None:
    model = network(30, 1)
    lm = AndOrInteractions(model, check_repeats=False).logical_model(
        torch.rand(1, 30), budget="auto", max_patterns=1, r2_tolerance=1e-4
    )
    assert 1024 <= lm.n_evaluations <= 4096 and float(lm.r2) < 0.9


def test_an_automatic_budget_of_few_players_takes_all_when_that_is_near() -> None:
    assert AndOrInteractions(patterned).logical_model(torch.ones(1, 9), budget="auto").n_evaluations <= 512
    assert AndOrInteractions(lambda z: z[:, 0]).logical_model(torch.ones(1, 5), budget="auto").is_exact


@pytest.mark.parametrize(("n", "budget"), [(14, 600), (10, None), (40, 600), (40, "auto")])
def test_ctrl_c_returns_the_model_of_what_was_evaluated(n: int, budget: int | str | None) -> None:
    model = Counting(interrupt_after=120)
    lm = AndOrInteractions(model, check_repeats=False).logical_model(
        torch.ones(1, n), budget=budget, perturbations_per_eval=20
    )
    assert lm.n_evaluations == model.rows and 120 <= model.rows < 160 and not lm.is_exact
    assert float(lm.r2) > 0.5


def test_ctrl_c_before_anything_can_be_said_is_ctrl_c() -> None:
    method = AndOrInteractions(Counting(interrupt_after=1), check_repeats=False)
    with pytest.raises(KeyboardInterrupt, match="too few for a model"):
        method.logical_model(torch.ones(1, 14), budget=100)


def test_the_same_seed_gives_the_same_model_and_moves_no_global_generator() -> None:
    x, method = torch.rand(1, 14), AndOrInteractions(network(14))
    state = torch.random.get_rng_state()
    one, other = (method.logical_model(x, budget=200, target=0) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state) and repr(one) == repr(other)
    assert not torch.equal(method.logical_model(x, budget=200, target=0, seed=1).coalitions, one.coalitions)


def test_the_progress_bar_counts_coalitions(capsys: pytest.CaptureFixture[str]) -> None:
    AndOrInteractions(patterned).logical_model(torch.ones(1, 14), budget=200, show_progress=True)
    assert "And Or Interactions logical model: 100%" in (shown := capsys.readouterr().err) and "200/200" in shown


def test_the_print_says_which_orders_a_budget_sees() -> None:
    def high(z: Tensor) -> Tensor:
        return z[:, :8].prod(1) + z[:, 20:28].amax(1) + z[:, 30] * z[:, 31]

    lm = AndOrInteractions(high).logical_model(torch.ones(1, 40), budget=1024)
    assert sorted(p.order for p in lm.patterns) == [2, 8, 8]
    few = AndOrInteractions(high).logical_model(torch.ones(1, 40), budget=150, max_patterns=5)
    assert "enough to see AND up to order 4, OR up to order 4" in repr(few)


def test_models_of_one_value_per_batch() -> None:
    lm = AndOrInteractions(lambda z: patterned(z).sum()).logical_model(torch.ones(2, 12), budget=100)
    assert lm.shape == (1,) and lm.n_evaluations == 100


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budget": 5}, ValueError, "budget must be at least 16"),
        ({"budget": -1}, ValueError, "budget must be at least 16"),
        ({"budget": 20}, ValueError, "budget gives 20 coalitions: too few for max_patterns=10, which needs 28"),
        ({"budget": 2.5}, TypeError, "budget must be None, an int"),
        ({"budget": True}, TypeError, "budget must be None, an int"),
        ({"budget": "all"}, ValueError, 'budget must be None, an int or "auto"'),
        ({"r2_tolerance": 0.0}, ValueError, "r2_tolerance"),
        ({"r2_tolerance": math.nan}, ValueError, "r2_tolerance"),
        ({"max_patterns": 0}, ValueError, "max_patterns"),
        ({"feature_mask": torch.zeros(3)}, ValueError, "feature_mask"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AndOrInteractions(patterned).logical_model(torch.ones(1, 14), **options)


def test_enumerating_too_many_players_names_the_limit() -> None:
    with pytest.raises(ValueError, match=r"budget=67108864 asks for all 2\^26 coalitions, and max_players is 20"):
        AndOrInteractions(patterned).logical_model(torch.ones(1, 26), budget=2**26)
    with pytest.raises(ValueError, match=r"logical_model\(\.\.\., budget=1024\)"):
        AndOrInteractions(patterned).interactions(torch.ones(1, 26))


def test_scores_that_are_not_finite_name_their_coalition() -> None:
    with pytest.raises(ValueError, match="score is inf on coalition"):
        AndOrInteractions(lambda z: 1 / z[:, 0]).logical_model(torch.ones(1, 14), budget=100)


def test_the_way_out_is_what_it_says() -> None:
    assert isinstance(AndOrInteractions(patterned).logical_model(torch.ones(1, 26), budget=1024), LogicalModel)
