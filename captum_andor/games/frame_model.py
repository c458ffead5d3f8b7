"""Models of pandas frames: columns of any dtypes as a tensor, and back to the frame that the model knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_frame, is_series
from captum_andor._utils.datasets import shown_value
from captum_andor.games.scores import method_to_pass

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_INT = 1 << 53  # that float64 tells from its neighbours
_SHOWN = 6  # values that an error lists


class FrameModel:
    """A model of frames, such as a fitted pipeline's ``predict_proba``, as a forward function of tensors.

    Inputs, baselines and backgrounds are frames as the model takes them: numbers, strings, categories, dates, missing
    values; a column is a player unless a feature mask joins some. Inside, numbers stand for themselves and other
    values for their place in a list of those seen, so that :meth:`encode` gives tensors that Captum's own methods take,
    too; the model always sees frames with the columns and dtypes of the first one.

    Args:
        function (Callable): Takes a frame and returns numbers: an array, a tensor, a frame or a Series, a row each.

    Raises:
        TypeError: If ``function`` cannot be called.

    Examples::

        >>> import pandas as pd
        >>> from captum_andor import AndOrInteractions
        >>> from captum_andor.games import FrameModel
        >>> rent = lambda frame: 10 * frame["rooms"] + 30.0 * (frame["city"] == "Paris")
        >>> flats = pd.DataFrame({"city": ["Lyon", "Paris"], "rooms": [2, 4]})
        >>> method = AndOrInteractions(FrameModel(rent))
        >>> method.attribute(flats.iloc[[1]], baselines=flats.iloc[[0]])
        tensor([[30., 20.]], dtype=torch.float64)
        >>> method.logical_model(flats.iloc[[1]], baselines=flats.iloc[[0]]).player_names
        ('city = Paris', 'rooms = 4')
    """

    def __init__(self, function: Callable[[pd.DataFrame], Any]) -> None:
        if not callable(function):
            raise TypeError(
                f"function must take a frame and return numbers; got {type(function).__name__}."
                + method_to_pass(function)
            )
        self.function = function
        self._columns: list[_Column] | None = None

    def encode(self, frame: Any, name: str = "frame") -> Tensor:
        """The rows of a frame as a tensor, which the model turns back into the same rows.

        Args:
            frame (pandas.DataFrame or Series): The first frame says columns and dtypes. A Series is one row of a frame
                that was seen before.
            name (str, optional): What errors call it. Default: "frame"

        Returns:
            - **rows** (*Tensor*): float64, shape ``(N, columns)``.

        Raises:
            TypeError: If it is neither, or a column is of another dtype.
            ValueError: If columns differ, a category is unknown, or an integer is too large for float64.
        """
        if is_series(frame):
            frame = self._row(frame, name)
        if not is_frame(frame):
            raise TypeError(f"{name} must be a frame, as the model takes it; got {type(frame).__name__}.")
        if self._columns is None:
            self._columns = _columns_of(frame, name)
        _check_columns(frame.columns, [column.name for column in self._columns], name)
        numbers = [column.encode(frame[column.name], name) for column in self._columns]
        return torch.from_numpy(np.stack(numbers, axis=1)) if numbers else torch.zeros(len(frame), 0)

    def decode(self, rows: Tensor) -> pd.DataFrame:
        """The frame that encoded rows stand for.

        Args:
            rows (Tensor): As :meth:`encode` gives them, shape ``(N, columns)``.

        Raises:
            ValueError: If no frame was encoded yet, or the rows have another shape.
        """
        import pandas as pd

        columns = self._known()
        if rows.ndim != 2 or rows.shape[1] != len(columns):
            raise ValueError(f"rows must have shape (N, {len(columns)}), as encode() gives; got {tuple(rows.shape)}.")
        numbers = rows.detach().cpu().double().numpy()
        return pd.DataFrame({column.name: column.decode(numbers[:, i]) for i, column in enumerate(columns)})

    def shown(self, row: Tensor) -> list[str]:
        """Columns beside the values of one encoded row ``(columns,)``."""
        return [column.shown(value) for column, value in zip(self._known(), row.tolist(), strict=True)]

    def __call__(self, rows: Tensor) -> Any:
        """What the function returns for encoded rows ``(N, columns)``: numbers, as an array or a tensor.

        Raises:
            TypeError: If the function returns no numbers.
            ValueError: If it refuses missing values.
        """
        frame = self.decode(rows)
        try:
            returned = self.function(frame)
        except ValueError as error:
            missing = [str(name) for name in frame.columns[frame.isna().any()]]
            if not missing:
                raise
            raise ValueError(
                f"the model refused a frame with missing values in column {', '.join(map(repr, missing))}, of inputs "
                f"or baselines: {str(error).splitlines()[0]} Fill them in, or take a model that imputes them."
            ) from error
        if isinstance(returned, Tensor):
            return returned
        array = np.asarray(returned.to_numpy() if is_frame(returned) or is_series(returned) else returned)
        if array.dtype.kind not in "biuf":
            first = array.reshape(-1)[:1].tolist()
            raise TypeError(
                f"function must return numbers; got {type(returned).__name__} of {array.dtype}, {first!r:.40}. Pass "
                "the method that gives probabilities or raw scores, e.g. pipeline.predict_proba."
            )
        return array

    def of_function(self, function: Callable[[pd.DataFrame], Any]) -> FrameModel:
        """Another function of the same encoded rows."""
        other = FrameModel(function)
        other._columns = self._columns
        return other

    def _known(self) -> list[_Column]:
        if self._columns is None:
            raise ValueError("FrameModel has seen no frame yet: pass frames, or what encode(frame) returns.")
        return self._columns

    def _row(self, series: Any, name: str) -> pd.DataFrame:
        columns = self._known()
        _check_columns(series.index, [column.name for column in columns], name)
        import pandas as pd

        return pd.DataFrame({column.name: column.of_one(series[column.name], name) for column in columns})


@dataclass
class _Column:
    """How the values of a column are numbers: themselves, or places in a list.

    Attributes:
        name: As in the frame.
        dtype: Of pandas or NumPy.
        is_number: Whether values stand for themselves.
        values: What places stand for.
        places: Place of each value.
    """

    name: Any
    dtype: Any
    is_number: bool
    values: list[Any] = field(default_factory=list)
    places: dict[Any, int] = field(default_factory=dict)

    def encode(self, series: pd.Series, name: str) -> np.ndarray[Any, Any]:
        self._check_dtype(series, name)
        if not self.is_number:
            return np.array([self._place(value, name) for value in series.astype(object)], dtype=np.float64)
        numbers: np.ndarray[Any, Any] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        if getattr(self.dtype, "kind", "f") in "iu" and (np.abs(numbers) > _LARGEST_INT).any():
            raise ValueError(
                f"{name}: column {self.name!r} has integers beyond 2^53, which float64 cannot tell apart; pass it as "
                "strings or as a category."
            )
        return numbers

    def decode(self, numbers: np.ndarray[Any, Any]) -> pd.Series:
        import pandas as pd

        if self.is_number:
            if isinstance(self.dtype, np.dtype):
                return pd.Series(numbers.astype(self.dtype))
            found = pd.Series(numbers.astype(object), dtype=object).where(~np.isnan(numbers), pd.NA)
            return found.astype(self.dtype)
        places = numbers.astype(np.int64)
        if len(places) and not ((places == numbers) & (places >= 0) & (places < len(self.values))).all():
            raise ValueError(
                f"column {self.name!r} holds values, and a number of the rows stands for none: baselines must be a row "
                "of a frame, not numbers."
            )
        values = np.empty(len(self.values), dtype=object)
        for i, value in enumerate(self.values):  # one by one: a tuple is a value, too
            values[i] = value
        return pd.Series(values[places], dtype=object).astype(self.dtype)

    def of_one(self, value: Any, name: str) -> pd.Series:
        """The column of a frame of one row, from a Series, which has lost the dtypes."""
        import pandas as pd

        try:
            found = pd.Series([value], dtype=object).astype(self.dtype)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: {value!r:.40} of column {self.name!r} is no {self.dtype} ({error}).") from error
        kept = found.astype(object).iloc[0]
        same = (pd.isna(kept) and pd.isna(value)) or (not pd.isna(kept) and bool(kept == value))
        if not same:
            raise ValueError(f"{name}: {value!r:.40} of column {self.name!r} is no value of {self.dtype}.")
        return found

    def shown(self, number: float) -> str:
        import pandas as pd

        value = self.decode(np.array([number])).astype(object).iloc[0]
        if pd.isna(value):
            return f"{self.name} missing"
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
            return f"{self.name} = {value}"
        return shown_value(str(self.name), float(value))

    def _place(self, value: Any, name: str) -> int:
        import pandas as pd

        try:
            key = (None,) if pd.api.types.is_scalar(value) and pd.isna(value) else (type(value), value)
            if key not in self.places:
                self.places[key] = len(self.values)
                self.values.append(value)
            return self.places[key]
        except TypeError as error:
            raise TypeError(f"{name}: column {self.name!r} holds {type(value).__name__}, no single value.") from error

    def _check_dtype(self, series: pd.Series, name: str) -> None:
        if series.dtype == self.dtype:
            return
        own, given = getattr(self.dtype, "categories", None), getattr(series.dtype, "categories", None)
        if own is not None and given is not None:
            unknown = [value for value in given if value not in set(own)][:_SHOWN]
            raise ValueError(
                f"{name}: column {self.name!r} has other categories than the frame before"
                + (f", {unknown} among them" if unknown else ", or in another order")
                + f". Give both the same, e.g. frame.astype({{{self.name!r}: inputs[{self.name!r}].dtype}})."
            )
        raise TypeError(
            f"{name}: column {self.name!r} is of {series.dtype}, and of {self.dtype} in the frame before. Convert it, "
            f"e.g. frame.astype({{{self.name!r}: inputs[{self.name!r}].dtype}})."
        )


def _columns_of(frame: Any, name: str) -> list[_Column]:
    import pandas as pd

    called = list(frame.columns)
    twice = next((column for column in called if called.count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"{name}: two columns are called {twice!r}; give each a name of its own.")
    found = []
    for column in called:
        dtype = frame[column].dtype
        if pd.api.types.is_complex_dtype(dtype):
            raise TypeError(f"{name}: column {column!r} is complex; players are real numbers or values.")
        is_number = pd.api.types.is_numeric_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype)
        found.append(_Column(column, dtype, bool(is_number)))
    return found


def _check_columns(given: Any, wanted: Sequence[Any], name: str) -> None:
    lacking, further = [c for c in wanted if c not in set(given)], [c for c in given if c not in set(wanted)]
    if lacking or further:
        raise ValueError(
            f"{name} must have the columns of the frame before; it lacks {lacking[:_SHOWN]}, others are "
            f"{further[:_SHOWN]}."
        )
