"""Shapley values of pipelines on mixed columns: ours beside shap's, on the data of tutorials/gallery/tables/pipeline.py.

    python -m pip install shap lightgbm catboost
    python -m benchmarks.pipeline_shap        # a minute; writes benchmarks/results/pipeline_shap.txt

The pipeline of the tutorial, LightGBM and CatBoost with categories of their own; one bird, 30 rows of background, the
interventional game of both, exact. Largest difference of the values, rows that the model was asked for, seconds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shap
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from captum_andor import AndOrInteractions
from captum_andor.games import Background, FrameModel

FILE = Path(__file__).resolve().parent / "results" / "pipeline_shap.txt"
WORDS = ["species", "island"]
Raw = Callable[[pd.DataFrame], Any]


class Counted:
    """A function of frames, and how many rows it was asked for."""

    def __init__(self, function: Raw) -> None:
        self.function, self.rows = function, 0

    def __call__(self, frame: pd.DataFrame) -> Any:
        self.rows += len(frame)
        return self.function(frame)


def models(train: pd.DataFrame, male: pd.Series) -> dict[str, tuple[Raw, pd.DataFrame]]:
    """Raw scores (log-odds) of fitted models, and the training frame in the dtypes that each takes."""
    from catboost import CatBoostClassifier
    from lightgbm import LGBMClassifier

    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), WORDS), remainder=SimpleImputer(strategy="median")),
        GradientBoostingClassifier(n_estimators=60, random_state=0),
    ).fit(train, male)
    categories = train.astype(dict.fromkeys(WORDS, "category"))
    light = LGBMClassifier(n_estimators=60, verbose=-1, random_state=0).fit(categories, male)
    cat = CatBoostClassifier(iterations=60, cat_features=WORDS, verbose=0, random_seed=0).fit(train, male)
    return {
        "scikit-learn pipeline": (pipeline.decision_function, train),
        "LightGBM, categories": (lambda frame: light.predict(frame, raw_score=True), categories),
        "CatBoost, strings": (lambda frame: cat.predict(frame, prediction_type="RawFormulaVal"), train),
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    birds = load_penguins().dropna(subset=["sex"])
    frame = birds.drop(columns=["sex", "year"])
    lines = ["model                  largest |φ|  largest difference  rows asked: ours, shap  seconds: ours, shap"]
    for name, (raw, train) in models(frame, birds["sex"] == "male").items():
        background, bird = train.iloc[:30], train.iloc[[200]]
        ours, theirs = Counted(raw), Counted(raw)
        start = time.perf_counter()
        method = AndOrInteractions(FrameModel(ours), check_repeats=False)
        found = method.attribute(bird, Background(background))[0].numpy()
        middle = time.perf_counter()

        def of_objects(rows: np.ndarray, train: pd.DataFrame = train, theirs: Counted = theirs) -> Any:
            return theirs(pd.DataFrame(rows, columns=train.columns).astype(train.dtypes))

        explainer = shap.KernelExplainer(of_objects, background.astype(object))
        expected = explainer.shap_values(bird.astype(object), nsamples=10_000, silent=True)[0]
        end = time.perf_counter()
        lines.append(
            f"{name:<21}  {np.abs(found).max():>11.3f}  {np.abs(found - expected).max():>18.1e}  "
            f"{ours.rows:>12} {theirs.rows:>10}  {middle - start:>13.2f} {end - middle:>5.2f}"
        )
        print(lines[-1], flush=True)
    lines.append(f"\nshap {shap.__version__}")
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
