"""A folder of Parquet files, one for each batch, written whole or not at all, with a manifest of what they are of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.hashing import hash_of
from captum_andor._utils.storage import read_manifest, write_manifest, written_whole
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.store.batch_table import TableContent, arrow_schema, empty_table, in_columns

if TYPE_CHECKING:
    import pandas as pd

_KIND, _NAME = "captum_andor.parts", "manifest.json"
_PART = re.compile(r"(\d{12})-(\d{12})-[0-9a-f]{16}")  # first and last sample, hash of the rows
KEY = ["model", "baseline", "mask"]


@dataclass(frozen=True)
class PartsFolder:
    """Where the rows of an evaluation are kept, whatever the batches they came in.

    Attributes:
        path: The folder; it is made when it is first written to.
        argument: The argument that named it, for errors.
        keep: What rows hold.
        settings: Hashes of the settings that rows depend on, by what they are of.
        models: Hash of each model. Further ones are welcome.
    """

    path: Path
    argument: str
    keep: TableContent
    settings: dict[str, str]
    models: dict[str, str]

    def check(self) -> None:
        """Raise if the folder belongs to other settings or models. Its manifest is written with the first rows."""
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'{self.argument} keeps Parquet files, which need pyarrow: pip install "captum_andor[parquet]".'
            ) from error
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"{self.argument} must be a folder; {self.path} is a file.")
        kept = self._manifest()
        if kept is None:
            return
        differing = [] if kept["keep"] == self.keep else [f"keep {kept['keep']}, now {self.keep}"]
        differing += [f"other {what}" for what, digest in self.settings.items() if kept["settings"].get(what) != digest]
        differing += [
            f"another model {name!r}, whose parameters, buffers or code differ"
            for name, digest in self.models.items()
            if kept["models"].get(name, digest) != digest
        ]
        if differing:
            raise self.refusal("; ".join(differing))

    def refusal(self, differing: str) -> ValueError:
        """The error of a folder that belongs to another evaluation."""
        return ValueError(
            f"{self.argument} {self.path} is of another evaluation ({differing}); take another folder, or the "
            "settings, samples and names of models as they were."
        )

    def rows(
        self,
        numbers: npt.NDArray[np.int64],
        fingerprints: Mapping[tuple[str, View], npt.NDArray[Any]],
        settings: Mapping[str, str],
    ) -> pd.DataFrame:
        """The rows that are there of some samples, each once.

        Args:
            numbers: The samples, ascending.
            fingerprints: Of each of them by model, baseline and mask; rows of others are passed over.
            settings: What rows hold under that name, by model; rows of others are passed over.
        """
        import pandas as pd

        found = [table for file in self._parts(numbers) if (table := self._read(file)) is not None]
        rows = pd.concat([empty_table(self.keep), *found]) if found else empty_table(self.keep)
        rows = rows[rows["sample"].isin(numbers)].drop_duplicates(["sample", *KEY, "fingerprint"])
        wanted = []
        for (name, baseline, mask), some in rows.groupby(KEY, sort=False):
            some = some[some["settings"] == settings.get(str(name))]
            expected = fingerprints.get((str(name), View(int(baseline), int(mask))))
            if expected is not None and len(some):
                other = some["fingerprint"].to_numpy() != expected[np.searchsorted(numbers, some["sample"])]
                if other.any():
                    raise self.refusal(f"another sample {some['sample'].iloc[int(other.argmax())]}")
                wanted.append(some)
        return pd.concat(wanted, ignore_index=True) if wanted else empty_table(self.keep)

    def write(self, table: pd.DataFrame) -> None:
        """Write the rows of a batch, whole or not at all; before the first ones the manifest."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kept = self._manifest()
        if kept is None or set(self.models) - set(kept["models"]):
            models = {**({} if kept is None else kept["models"]), **self.models}
            content = {"keep": self.keep, "settings": self.settings, "models": models}
            write_manifest(self.path / _NAME, _KIND, content)
        name = f"{table['sample'].min():012d}-{table['sample'].max():012d}-{hash_of(list(table['fingerprint']))[:16]}"
        with written_whole(self.path / f"{name}.parquet") as target:
            rows = pa.Table.from_pandas(table, schema=arrow_schema(self.keep), preserve_index=False)
            pq.write_table(rows, target, compression="zstd")

    def _manifest(self) -> dict[str, Any] | None:
        kept = read_manifest(self.path / _NAME, _KIND)
        if kept is not None and not (
            "keep" in kept and all(isinstance(kept.get(part), dict) for part in ("settings", "models"))
        ):
            raise ValueError(
                f"{self.path / _NAME} is damaged (it lacks keep, settings or models); delete it, or take another "
                "folder."
            )
        return kept

    def _parts(self, numbers: npt.NDArray[np.int64]) -> list[Path]:
        """Files whose names say that they may hold some of the samples."""
        found = []
        for file in sorted(self.path.glob("*.parquet")):
            named = _PART.fullmatch(file.stem)
            if named and int(named[1]) <= numbers[-1] and int(named[2]) >= numbers[0]:
                found.append(file)
        return found

    def _read(self, file: Path) -> pd.DataFrame | None:
        try:
            return in_columns(whole_table(file), self.keep)
        except (ValueError, KeyError) as error:
            warn(f"{self.argument}: {error} Its samples are evaluated again.")
            return None


def whole_table(file: Path, argument: str = "") -> pd.DataFrame:
    """The table in a Parquet file; a ValueError where it cannot be read whole."""
    import pandas as pd

    try:
        return pd.read_parquet(file)
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:  # whatever the reader raises for half a file
        raise ValueError(
            f"{argument}{file} cannot be read ({error}). Was its writing broken off? Delete it and evaluate its "
            "samples again."
        ) from error
