"""The public names, their signatures, and the rules of the house."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import captum_andor
from captum_andor import (
    AndOrExplanation,
    AndOrInteractions,
    ConfusingReport,
    ConfusingSampleAnalyzer,
    LogicalModel,
)

PACKAGE = Path(captum_andor.__file__).parent
FLOORS = [
    {
        "_version",
        "axes",
        "transforms",
        "players",
        "scores",
        "storage",
        "fingerprints",
        "design",
        "samples",
        "masks",
        "interpretable",
        "schur_weyl",
        "callers",
        "som",
        "code_measures",
    },
    {"matching", "certificate", "active", "indices"},
    {"first_order"},
    {"interior_point", "polish", "joint"},
    {"certainty"},
    {"game", "split", "columns", "many_players"},
    {"pursuit"},
    {"fitting"},
    {"selection"},
    {"shortest"},
    {"complete"},
    {"sampled"},
    {"patterns", "frontier"},
    {"shapiq_bridge"},
    {"results", "explanation", "logical_model"},
    {"outputs", "strengths"},
    {"visualization.canvas"},
    {"visualization.charts", "visualization.graph", "visualization.images", "visualization.tokens"},
    {"budget", "attribution", "visualization"},
    {f"confusing.{name}" for name in ("measures", "statistics", "dataset")},
    {"confusing.views", "comparison", "baselines"},
    {"confusing.methods"},
    {"confusing.evaluation"},
    {"layer_features", "attacks"},
    {"codes", "paths"},
    {"barriers"},
    {"connectivity"},
    {"detection"},
    {"confusing.batches"},
    {"confusing.scoring"},
    {f"confusing.{name}" for name in ("agreement", "reasons", "pictures", "label_noise", "witnesses")},
    {f"confusing.{name}" for name in ("similarity", "summary", "figures")},
    {"confusing.page"},
    {"confusing.report"},
    {"confusing.analyzer", "confusing", "surgery"},
    {"study.recipes", "study.measured", "study.manifest"},
    {"study.networks"},
    {"study.tables"},
    {"study.agreement"},
    {"study.contrasts", "study.figures"},
    {"study.result", "study.dynamics"},
    {"study.layer_swap"},
    {"study", "__init__"},
]


def parameters(function: object) -> str:
    return ", ".join(
        name if p.default is inspect.Parameter.empty else f"{name}={p.default!r}"
        for name, p in inspect.signature(function).parameters.items()  # type: ignore[arg-type]
    )


def test_public_names_are_frozen() -> None:
    assert captum_andor.__all__ == [
        "AndOrExplanation",
        "AndOrInteractions",
        "ConfusingReport",
        "ConfusingSampleAnalyzer",
        "Interaction",
        "LayerSwapResult",
        "LayerSwapStudy",
        "LogicalModel",
        "MaskedOutputs",
        "__version__",
    ]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (AndOrInteractions, "forward_func, score='output', max_players=20, check_repeats=True"),
        (
            AndOrInteractions.attribute,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "perturbations_per_eval=None, show_progress=False",
        ),
        (
            AndOrInteractions.interactions,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "split='sparse', noise_bound=0.0, tolerance=0.001, perturbations_per_eval=None, show_progress=False, "
            "player_names=None",
        ),
        (
            AndOrInteractions.logical_model,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "max_patterns=10, min_r2=None, max_order=None, budget=None, effort='stable', exact_ends=True, seed=0, "
            "perturbations_per_eval=None, show_progress=False, kinds=('and', 'or'), weights='uniform', densities=None, "
            "tolerance=0.01, previous=None, player_names=None",
        ),
        (
            LogicalModel.from_values,
            "v, coalitions=None, max_patterns=10, min_r2=None, max_order=None, effort='stable', exact_ends=True, "
            "seed=0, kinds=('and', 'or'), weights='uniform', player_names=None",
        ),
        (
            AndOrExplanation.logical_model,
            "self, max_patterns=10, min_r2=None, max_order=None, effort='stable', exact_ends=True, seed=0, "
            "kinds=('and', 'or'), weights='uniform'",
        ),
        (LogicalModel.predict, "self, coalitions"),
        (LogicalModel.top, "self, k=10"),
        (LogicalModel.shapley_values, "self"),
        (LogicalModel.attributions, "self"),
        (LogicalModel.order_strength, "self"),
        (LogicalModel.stability, "self, n_resamples=20"),
        (LogicalModel.to_dataframe, "self"),
        (LogicalModel.save, "self, path"),
        (LogicalModel.load, "path"),
        (AndOrExplanation.from_values, "v, split='sparse', noise_bound=0.0, tolerance=0.001, player_names=None"),
        (AndOrExplanation.predict, "self, coalitions"),
        (AndOrExplanation.salient, "self, threshold=None"),
        (AndOrExplanation.top, "self, k=10"),
        (AndOrExplanation.shapley_values, "self"),
        (AndOrExplanation.attributions, "self"),
        (AndOrExplanation.order_strength, "self, threshold=0.0"),
        (AndOrExplanation.fidelity, "self"),
        (AndOrExplanation.to_dataframe, "self, threshold=0.0, certainty=False"),
        (AndOrExplanation.certainty, "self, threshold=None"),
        (AndOrExplanation.save, "self, path"),
        (AndOrExplanation.load, "path"),
        (AndOrExplanation.to_shapiq, "self"),
        (
            ConfusingSampleAnalyzer,
            "score='log_odds', feature_mask=None, baselines=None, primary='net_order', scores=None, max_players=12, "
            "high_order=None, tolerance=0.01",
        ),
        (ConfusingSampleAnalyzer.add_model, "self, name, model"),
        (ConfusingSampleAnalyzer.add_reference, "self, name, model, of=None"),
        (
            ConfusingSampleAnalyzer.evaluate,
            "self, dataset, labels='given', attributions=None, checkpoint_dir=None, batch_size=64, "
            "perturbations_per_eval=None, show_progress=False, "
            "witnesses=None",
        ),
        (ConfusingReport.rank, "self, model=None, score=None"),
        (ConfusingReport.confusing_sets, "self, fraction=0.1, threshold=None, score=None"),
        (
            ConfusingReport.overlap,
            "self, score=None, fraction=0.1, threshold=None, controls=('n_active', 'ink'), noise_bound=None, "
            "n_resamples=1000, seed=0",
        ),
        (ConfusingReport.reliability, "self"),
        (ConfusingReport.similarity, "self, by_group=False, fraction=0.1"),
        (ConfusingReport.compare, "self, index, models=None, n_patterns=4, use_pyplot=True"),
        (
            ConfusingReport.label_noise,
            "self, known, model=None, columns=None, pred_probs=None, k=None, n_resamples=500, seed=0",
        ),
        (ConfusingReport.to_cleanlab, "self, model=None, scores=None, fraction=0.1"),
        (ConfusingReport.to_html, "self, path, title='Confusing samples', k=6"),
    ],
)
def test_signatures_are_frozen(function: object, expected: str) -> None:
    assert parameters(function) == expected


def path_of(module: str) -> Path:
    path = PACKAGE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> set[str]:
    tree = ast.parse(path_of(module).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_nothing_imports_upwards() -> None:
    floor = {module: level for level, modules in enumerate(FLOORS) for module in modules}
    assert {path_of(module) for module in floor} == set(PACKAGE.rglob("*.py"))
    upwards = {("results", "visualization")}  # the one door to the figures, open when called
    for module in floor:
        below = {name.removeprefix("captum_andor.") for name in imports(module) if name.startswith("captum_andor.")}
        for other in below:
            assert floor[other] <= floor[module] or (module, other) in upwards, f"{module} imports {other}"


def test_only_public_names_of_captum_are_used() -> None:
    used = set().union(*(imports(module) for modules in FLOORS for module in modules))
    assert {name for name in used if name.split(".")[0] == "captum"} == {"captum.attr", "captum.log"}


def test_importing_costs_no_more_than_captum_and_torch() -> None:
    code = (
        "import sys, {}; heavy = ('pandas', 'scipy', 'torchvision', 'shapiq', 'matplotlib.pyplot', 'sklearn');"
        "print(sorted(h for h in heavy if h in sys.modules))"
    )
    ours, captums = (
        subprocess.run([sys.executable, "-c", code.format(m)], check=True, capture_output=True, text=True).stdout
        for m in ("captum_andor", "captum.attr")
    )
    assert ours == captums
