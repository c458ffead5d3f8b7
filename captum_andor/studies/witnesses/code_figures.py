"""Figures of the codes of layers: maps with samples on them, and measures over depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captum_andor.studies.witnesses.code_measures import OF_LABELS
from captum_andor.visualization import SERIES, Canvas

if TYPE_CHECKING:
    import pandas as pd

MEASURE_TITLES = {
    "bmu_entropy": "entropy of units",
    "effective_units": "effective units",
    "cosine_distance": "cosine distance",
    "participation_ratio": "participation ratio",
    "label_vote": "labels by vote, held out",
    "mutual_information": "information on labels",
    "compactness": "spread of classes",
    "quantization_error": "quantization error, held out",
    "topographic_error": "topographic error, held out",
}


def draw_maps(
    units: Tensor, labels: Tensor, layers: Sequence[str], grid: tuple[int, int], seed: int, canvas: Canvas
) -> tuple[Any, Any]:
    """Draw the samples on the map of each layer; see :meth:`LayerCodes.plot_maps`."""
    fig = canvas.figure((2.6 * len(layers), 2.9), "constrained")
    axes = fig.subplots(1, len(layers), squeeze=False)[0]
    rows, columns = grid
    n_classes = int(labels.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(len(units), 2, generator=generator, device="cpu") * 0.8 - 0.4
    for i, (axis, layer) in enumerate(zip(axes, layers, strict=True)):
        x = units[:, i] % columns + spread[:, 0]
        y = units[:, i] // columns + spread[:, 1]
        dots = axis.scatter(x, y, c=labels, s=6, cmap="tab10" if n_classes <= 10 else "tab20")
        axis.set(title=layer, xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), xticks=[], yticks=[])
        axis.set_aspect("equal")
    if n_classes <= 20:
        handles, _ = dots.legend_elements(num=None)
        names = [str(one) for one in sorted(set(labels.tolist()))]
        fig.legend(handles, names, loc="outside right center", fontsize=7, frameon=False, title="class")
    return fig, axes


def draw_measures(measures: pd.DataFrame, columns: Sequence[str] | None, canvas: Canvas) -> tuple[Any, Any]:
    """Draw measures over depth; see :meth:`LayerCodes.plot_measures`."""
    columns = list(MEASURE_TITLES) if columns is None else list(columns)
    unknown = [name for name in columns if name not in MEASURE_TITLES]
    if unknown or not columns:
        raise ValueError(f"columns must be among {list(MEASURE_TITLES)}; got {columns}.")
    wide = min(len(columns), 3)
    tall = -(-len(columns) // wide)
    fig = canvas.figure((3.4 * wide, 2.5 * tall), "constrained")
    axes = fig.subplots(tall, wide, squeeze=False).flatten()
    layers = list(dict.fromkeys(measures["layer"]))
    for axis, column in zip(axes, columns, strict=False):
        for (name, rows), colour in zip(measures.groupby("network", sort=False), SERIES, strict=False):
            places = [layers.index(layer) for layer in rows["layer"]]  # names such as "3" are no numbers
            axis.plot(places, rows[column], "o-", color=colour, label=name, markersize=4)
            if column in OF_LABELS:
                shuffled = rows[f"{column}_shuffled"]
                axis.plot(places, shuffled, ":", color=colour, label=f"{name}, labels shuffled")
        axis.set_title(MEASURE_TITLES[column], fontsize=9)
        axis.set_xticks(range(len(layers)), layers)
        axis.tick_params(axis="x", rotation=45, labelsize=8)
    for axis in axes[len(columns) :]:
        axis.set_axis_off()
    handles, names = max((axis.get_legend_handles_labels() for axis in axes), key=lambda pair: len(pair[1]))
    fig.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)
    return fig, axes
