"""Ray Data and Spark for real: batches of every kind, several workers, one that dies; the report is that of one process.

``make test-engines`` runs them in an environment that has both; elsewhere each says what is missing.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]

N = 40
X = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3


class DiesOnce(nn.Module):
    """Ends its process the first time that it is asked, if a path is given."""

    def __init__(self, inner: nn.Module, path: str) -> None:
        super().__init__()
        self.inner, self.path = inner, path

    def forward(self, x):
        try:
            Path(self.path).touch(exist_ok=False)
        except FileExistsError:
            return self.inner(x)
        os._exit(1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def analyzer(model: nn.Module | None = None) -> ConfusingSampleAnalyzer:
    made = ConfusingSampleAnalyzer(
        scores=("net_order", "flip_rate"), baselines=[0, 0.5], feature_mask=image_grid(6, 6, 3, 3)
    )
    return made.add_model("network", network() if model is None else model)


def expected(batch_size: int) -> pd.DataFrame:
    return analyzer().evaluate((X, Y), batch_size=batch_size).scores


def equal(report, batch_size: int) -> None:
    """To the bit for batches of equal size; else as far as float32 depends on the size of a batch."""
    pd.testing.assert_frame_equal(report.scores, expected(batch_size), rtol=1e-5, atol=1e-6)


def rows() -> list[dict[str, object]]:
    return [{"sample": i, "input": X[i].numpy(), "label": int(Y[i])} for i in range(N)]


@pytest.fixture(scope="module")
def ray():
    found = pytest.importorskip("ray", reason="Ray is not installed: pip install 'captum-andor[ray]'")
    pytest.importorskip("ray.data")
    root = str(Path(__file__).parents[2])
    found.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)])}},
    )
    yield found
    found.shutdown()


@pytest.mark.parametrize("batch_format", ["numpy", "pandas", "pyarrow"])
@pytest.mark.parametrize("batch_size", [8, 40])
@pytest.mark.parametrize("keep", ["scores", "outputs"])
def test_ray_map_batches(ray, batch_format, batch_size, keep) -> None:
    made = analyzer()
    data = ray.data.from_items(rows()).repartition(N // batch_size)
    tables = data.map_batches(
        made.explain_batch, fn_kwargs={"keep": keep}, batch_format=batch_format, batch_size=batch_size
    )
    equal(made.collect(tables.to_pandas(), (X, Y)), batch_size)


def test_ray_rows_one_by_one_and_actors(ray, tmp_path) -> None:
    made = analyzer()
    data = ray.data.from_items(rows())
    single = data.map_batches(made.explain_batch, fn_kwargs={"keep": "scores"}, batch_size=1)
    equal(made.collect(single.to_pandas(), Y), 1)

    class Explains:
        def __init__(self) -> None:
            self.analyzer = analyzer()

        def __call__(self, batch):
            return self.analyzer.explain_batch(batch, keep="scores")

    pooled = data.map_batches(Explains, concurrency=2, batch_size=8, batch_format="pandas")
    pooled.write_parquet(str(tmp_path / "scores"))
    equal(made.collect(tmp_path / "scores", Y), 8)


def test_ray_a_worker_that_dies_is_made_up_for(ray, tmp_path) -> None:
    made = analyzer(DiesOnce(network(), str(tmp_path / "dead")).eval())
    data = ray.data.from_items(rows()).repartition(5)
    tables = data.map_batches(made.explain_batch, fn_kwargs={"keep": "scores"}, batch_size=8).to_pandas()
    assert (tmp_path / "dead").exists()
    report = made.collect(tables, (X, Y))
    equal(report, 8)


def test_ray_goes_on_from_a_folder_of_parts(ray, tmp_path) -> None:
    data = ray.data.from_items(rows()).repartition(5)

    def explained(model):
        kwargs = {"keep": "scores", "folder": str(tmp_path / "rows")}
        return data.map_batches(analyzer(model).explain_batch, fn_kwargs=kwargs, batch_size=8).to_pandas()

    first = explained(network())
    assert len(list((tmp_path / "rows").glob("*.parquet"))) == 5
    dates = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "rows").glob("*.parquet")}
    again = explained(network())
    assert dates == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "rows").glob("*.parquet")}
    pd.testing.assert_frame_equal(
        first.sort_values(["sample", "baseline"])[["sample", "fingerprint"]].reset_index(drop=True),
        again.sort_values(["sample", "baseline"])[["sample", "fingerprint"]].reset_index(drop=True),
    )
    equal(analyzer().collect(tmp_path / "rows", Y), 8)


@pytest.fixture(scope="module")
def spark():
    found = pytest.importorskip("pyspark", reason="Spark is not installed: pip install 'captum-andor[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs a Java runtime, and there is none: install one (Debian: default-jre-headless)")
    root = str(Path(__file__).parents[2])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join([root, str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    session = (
        found.sql.SparkSession.builder.master("local[2,3]")  # two workers, three tries
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "8")
        .getOrCreate()
    )
    yield session
    session.stop()


def spark_frame(spark, flat: bool):
    data = pd.DataFrame(
        {
            "sample": range(N),
            "input": X.flatten(1).numpy().tolist() if flat else X[:, 0].numpy().tolist(),
            "label": Y.numpy(),
        }
    )
    # Python's floats are doubles to Spark; the network is of float32
    kind = "array<float>" if flat else "array<array<float>>"
    return spark.createDataFrame(data).selectExpr("sample", f"cast(input as {kind}) as input", "label").repartition(3)


def flat_analyzer() -> ConfusingSampleAnalyzer:
    """The same network and players for inputs of one row of pixels."""
    mask = image_grid(6, 6, 3, 3).reshape(1, 36)
    made = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"), baselines=[0, 0.5], feature_mask=mask)
    return made.add_model("network", network())


@pytest.mark.parametrize("keep", ["scores", "outputs"])
def test_spark_map_in_pandas_and_in_arrow(spark, keep) -> None:
    from pyspark.sql.pandas.types import from_arrow_schema

    made = flat_analyzer()
    schema = from_arrow_schema(made.arrow_schema(keep))
    frame = spark_frame(spark, flat=True)

    def in_pandas(batches):
        for batch in batches:
            yield made.explain_batch(batch, keep=keep)

    table = frame.mapInPandas(in_pandas, schema).toPandas()
    whole = made.evaluate((X.flatten(1), Y)).scores
    pd.testing.assert_frame_equal(made.collect(table, Y).scores, whole, rtol=1e-5, atol=1e-6)

    def in_arrow(batches):
        import pyarrow

        types = made.arrow_schema(keep)
        for batch in batches:
            found = made.explain_batch(pyarrow.Table.from_batches([batch]), keep=keep)
            yield from pyarrow.Table.from_pandas(found, schema=types, preserve_index=False).to_batches()

    table = frame.mapInArrow(in_arrow, schema).toPandas()
    pd.testing.assert_frame_equal(made.collect(table, Y).scores, whole, rtol=1e-5, atol=1e-6)


def test_spark_images_as_nested_columns_to_parquet(spark, tmp_path) -> None:
    from pyspark.sql.pandas.types import from_arrow_schema

    mask = image_grid(6, 6, 3, 3)[0]
    made = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"), baselines=[0, 0.5], feature_mask=mask)
    made.add_model("network", network())

    def explained(batches):
        for batch in batches:
            yield made.explain_batch(batch, keep="scores")

    table = spark_frame(spark, flat=False).mapInPandas(explained, from_arrow_schema(made.arrow_schema("scores")))
    table.write.parquet(str(tmp_path / "scores"))
    whole = made.evaluate((X[:, 0], Y)).scores
    pd.testing.assert_frame_equal(made.collect(tmp_path / "scores", Y).scores, whole, rtol=1e-5, atol=1e-6)


def test_spark_an_executor_that_dies_is_made_up_for(spark, tmp_path) -> None:
    from pyspark.sql.pandas.types import from_arrow_schema

    made = flat_analyzer()
    made._models["network"] = DiesOnce(network(), str(tmp_path / "dead")).eval()

    def explained(batches):
        for batch in batches:
            yield made.explain_batch(batch, keep="scores")

    schema = from_arrow_schema(made.arrow_schema("scores"))
    table = spark_frame(spark, flat=True).mapInPandas(explained, schema).toPandas()
    assert (tmp_path / "dead").exists() and len(table) == 2 * N
    whole = flat_analyzer().evaluate((X.flatten(1), Y)).scores
    pd.testing.assert_frame_equal(made.collect(table, Y).scores, whole, rtol=1e-5, atol=1e-6)


def test_the_oracle_is_right() -> None:
    assert np.isfinite(expected(8)["net_order"]).all()
