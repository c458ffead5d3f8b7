"""The public names, their signatures, and the rules of the house."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import captum_andor
from captum_andor import (
    AndOrExplanation,
    AndOrInteractions,
    ConfusingReport,
    ConfusingSampleAnalyzer,
    GameEstimate,
    LogicalModel,
)

PACKAGE = Path(captum_andor.__file__).parent
ROOMS = [
    {"_version"},
    {"_utils"},
    {"games"},
    {"split", "results", "sampling"},
    {"process"},
    {"search"},
    {"visualization"},
    {"explain"},
    {"confusing", "llm"},
    {"__init__"},
    {"studies"},
]
MODULES = sorted(".".join(p.relative_to(PACKAGE).with_suffix("").parts) for p in PACKAGE.rglob("*.py"))
PUBLIC_MODULES = {"games.indices", "games.masks", "games.transforms"}


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
        "GameEstimate",
        "Interaction",
        "LogicalModel",
        "__version__",
    ]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            AndOrInteractions,
            "forward_func, score='output', max_players=20, check_repeats=True, output=None, reference=None, class_names=None",
        ),
        (
            AndOrInteractions.attribute,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "perturbations_per_eval=None, show_progress=None, budget=None, return_standard_error=False, seed=0, "
            "error_tolerance=0.05, groups=None",
        ),
        (
            AndOrInteractions.refine,
            "self, estimate, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "perturbations_per_eval=None, show_progress=None, top=4, budget=512, seed=0, error_tolerance=0.05, "
            "player_names=None",
        ),
        (GameEstimate.owen_values, "self, groups, return_std=False"),
        (
            AndOrInteractions.estimate,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "perturbations_per_eval=None, show_progress=None, budget=512, seed=0, error_tolerance=0.05, "
            "previous=None, player_names=None",
        ),
        (GameEstimate.from_values, "v, coalitions=None, seed=0, player_names=None"),
        (GameEstimate.predict, "self, coalitions, return_std=False"),
        (GameEstimate.shapley_values, "self, return_std=False"),
        (GameEstimate.attributions, "self, return_std=False"),
        (
            AndOrInteractions.interactions,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "split='sparse', noise_bound=0.0, tolerance=0.001, perturbations_per_eval=None, show_progress=None, "
            "player_names=None",
        ),
        (
            AndOrInteractions.logical_model,
            "self, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None, "
            "max_patterns=10, min_r2=None, max_order=None, budget=None, effort='auto', exact_ends=True, seed=0, "
            "perturbations_per_eval=None, show_progress=None, kinds=('and', 'or'), weights='uniform', "
            "r2_tolerance=0.01, previous=None, player_names=None",
        ),
        (
            LogicalModel.from_values,
            "v, coalitions=None, max_patterns=10, min_r2=None, max_order=None, effort='auto', exact_ends=True, "
            "seed=0, kinds=('and', 'or'), weights='uniform', player_names=None",
        ),
        (AndOrExplanation.logical_model, "self, seed=0, options"),
        (GameEstimate.logical_model, "self, options"),
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
        (AndOrExplanation.to_shapiq, "self, index='Moebius', max_order=None"),
        (AndOrExplanation.to_shap, "self, data=None"),
        (
            ConfusingSampleAnalyzer,
            "score='log_odds', feature_mask=None, baselines=None, primary=None, scores=None, max_players=12, "
            "high_order=None, tolerance=0.01, output=None, coalitions='auto', player_names=None",
        ),
        (ConfusingSampleAnalyzer.add_model, "self, name, model=None"),
        (ConfusingSampleAnalyzer.add_reference, "self, name, model, of=None"),
        (
            ConfusingSampleAnalyzer.evaluate,
            "self, dataset, labels='given', attributions=None, checkpoint_dir=None, batch_size=64, "
            "perturbations_per_eval=None, show_progress=None",
        ),
        (ConfusingReport.rank, "self, model=None, score=None"),
        (ConfusingReport.confusing_sets, "self, fraction=0.1, threshold=None, score=None, seed=0"),
        (
            ConfusingReport.overlap,
            "self, score=None, fraction=0.1, threshold=None, controls=('n_active', 'ink'), noise_bound=None, "
            "n_resamples=1000, seed=0",
        ),
        (ConfusingReport.reliability, "self"),
        (ConfusingReport.save, "self, path"),
        (ConfusingReport.load, "path"),
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


def imports(module: str) -> set[str]:
    """Modules that a module imports, also inside its functions; ``from package import module`` counts as the module."""
    tree = ast.parse((PACKAGE / module.replace(".", "/")).with_suffix(".py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inside if name.removeprefix("captum_andor.") in MODULES}
            found |= modules or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def own_imports(module: str) -> set[str]:
    """Those of this package, a room's face as ``room.__init__``."""
    below = {name.removeprefix("captum_andor.") for name in imports(module) if name.startswith("captum_andor.")}
    return {f"{name}.__init__" if (PACKAGE / name.replace(".", "/")).is_dir() else name for name in below}


def test_rooms_lean_only_on_rooms_below() -> None:
    floor = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
    for module in MODULES:
        room = module.split(".")[0]
        for other in own_imports(module):
            lower = other.split(".")[0]
            assert lower == room or floor[lower] < floor[room], f"{module} imports {other}"


def test_the_library_does_without_the_laboratory() -> None:
    """Also inside functions; the package alone names ``studies``, when it is asked for."""
    code = "import sys, captum_andor, captum_andor.llm; print([m for m in sys.modules if 'studies' in m])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
    for module in MODULES:
        if not module.startswith("studies"):
            assert not any(other.startswith("studies") for other in own_imports(module)), module


def test_no_files_import_each_other_in_a_circle() -> None:
    list(TopologicalSorter({module: own_imports(module) for module in MODULES}).static_order())  # raises CycleError


def test_a_room_is_entered_by_its_face() -> None:
    """What its ``__init__`` lists, or its public modules; ``_utils`` has none of either and is the house's."""
    for module in MODULES:
        room = module.split(".")[0]
        for other in own_imports(module) - PUBLIC_MODULES:
            lower, *inside = other.split(".")
            entered = lower in (room, "_utils", "_version") or inside == ["__init__"]
            assert entered, f"{module} imports {other}, which is private to {lower}"


def test_faces_and_public_modules_alone_say_what_is_public() -> None:
    for module in MODULES:
        tree = ast.parse((PACKAGE / module.replace(".", "/")).with_suffix(".py").read_text())
        lists = any(
            isinstance(node, (ast.Assign, ast.AnnAssign)) and "__all__" in ast.unparse(node).split("=")[0]
            for node in tree.body
        )
        if lists:
            public = module.endswith("__init__") or module in {*PUBLIC_MODULES, "studies.networks.surgery"}
            assert public, f"{module} is private to its room; its names need no __all__"


ROOM_NAMES = {
    "llm": ["AndOrLLMAttribution", "ContextInput", "MaskedTokenInput"],
    "confusing": ["ConfusingReport", "ConfusingSampleAnalyzer", "auc", "bootstrap", "partial_spearman", "spearman"],
    "explain": [
        "AndOrExplanation",
        "AndOrInteractions",
        "Comparison",
        "DeletionCurve",
        "GameEstimate",
        "LogicalModel",
        "averaged_interactions",
        "common_patterns",
        "compare",
        "deletion_curve",
        "similarity",
    ],
    "games": [
        "Background",
        "FrameModel",
        "InterpretableModel",
        "RemovedPatches",
        "RemovedTokens",
        "TextModel",
        "indices",
        "masks",
        "transforms",
    ],
    "process": [],
    "results": ["Interaction"],
    "sampling": [],
    "search": [],
    "split": ["Certainty", "JointSplit", "joint_split", "split_game"],
    "visualization": [
        "KINDS",
        "NEGATIVE",
        "POSITIVE",
        "plot_attributions",
        "plot_bars",
        "plot_beeswarm",
        "plot_deletion_curve",
        "plot_graph",
        "plot_heatmap",
        "plot_image_interactions",
        "plot_image_overview",
        "plot_matching",
        "plot_orders",
        "plot_shapley_values",
        "plot_tokens",
        "plot_waterfall",
        "result_html",
        "sources_html",
        "tokens_html",
    ],
    "studies": [
        "Barriers",
        "Detection",
        "FactorialResult",
        "FactorialStudy",
        "FactorialVerdict",
        "LayerCodes",
        "LearnedBaselines",
        "Paths",
        "SelfOrganizingMap",
        "TrainingDynamics",
        "add_witnesses",
        "attack_beside_references",
        "barrier",
        "concentration",
        "connect",
        "connectivity_score",
        "detect",
        "frontier",
        "held_out_losses",
        "learn_baselines",
        "plot_concentration",
        "plot_frontier",
        "seed_shares",
        "surgery",
        "trace_training",
        "visualize_class",
        "witness_agreement",
    ],
}


@pytest.mark.parametrize("room", sorted(ROOM_NAMES))
def test_public_names_of_rooms_are_frozen(room: str) -> None:
    assert importlib.import_module(f"captum_andor.{room}").__all__ == ROOM_NAMES[room]


def test_every_room_is_frozen() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"_utils"} == set(ROOM_NAMES)


def test_only_public_names_of_captum_are_used() -> None:
    used = set().union(*map(imports, MODULES))
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


def test_every_room_is_an_attribute_of_the_package() -> None:
    rooms = [path.parent.name for path in Path(captum_andor.__file__).parent.glob("*/__init__.py")]
    code = "import captum_andor\n" + "\n".join(f"captum_andor.{room}" for room in rooms)
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'room'"):
        captum_andor.room  # noqa: B018
