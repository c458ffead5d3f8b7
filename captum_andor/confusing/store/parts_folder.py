"""A folder of Parquet files, one for each batch, written whole, with a manifest of what they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor._utils.hashing import add_tensor
from captum_andor._utils.storage import read_manifest, write_manifest, written_whole
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.store.collected import whole_table
from captum_andor.confusing.store.distributed import Keep, arrow_schema, in_columns

if TYPE_CHECKING:
    import pandas as pd

_KIND, _NAME = "captum_andor.parts", "manifest.json"


@dataclass(frozen=True)
class PartsFolder:
    """Where the tables of batches are kept.

    Attributes:
        path: The folder; it is made when it is first written to.
        settings: Fingerprint of models and settings.
        keep: What rows hold.
        models: Their names, for whoever reads the manifest.
    """

    path: Path
    settings: str
    keep: Keep
    models: list[str]

    def table(self, samples: Samples, rows: Tensor, explain: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The table of a batch: that of its file or, where there is none, what ``explain`` returns, which is kept."""
        self._check()
        file = self.path / f"{self._name(samples, rows)}.parquet"
        if file.exists():
            try:
                return in_columns(whole_table(file), self.keep)
            except ValueError as error:
                warn(f"folder: {error} It is evaluated again.")
        table = explain()
        self._write(file, table)
        return table

    def _name(self, samples: Samples, rows: Tensor) -> str:
        """By content, so that another batch, or the same one of another data set, never takes its place."""
        digest = hashlib.sha256(self.settings.encode())
        for tensor in (rows, *samples.inputs, *(() if samples.labels is None else (samples.labels,))):
            add_tensor(digest, tensor)
        return f"{int(rows.min()):012d}-{digest.hexdigest()[:16]}"

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"folder must be a folder; {self.path} is a file.")
        wanted = {"settings": self.settings, "keep": self.keep, "models": self.models}
        found = read_manifest(self.path / _NAME, _KIND)
        if found is None:
            write_manifest(self.path / _NAME, _KIND, wanted)
            return
        differing = [f"{key} {found.get(key)}, now {value}" for key, value in wanted.items() if found.get(key) != value]
        if differing:
            raise ValueError(
                f"folder {self.path} holds tables of another evaluation ({'; '.join(differing)}): of other models, "
                "weights, baselines, masks or scores. Take another folder."
            )

    def _write(self, file: Path, table: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with written_whole(file) as target:
            pq.write_table(pa.Table.from_pandas(table, schema=arrow_schema(self.keep), preserve_index=False), target)
