"""``LayerCodes``: a self-organizing map per layer, and measures of its codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.checks import COUNT, constrained
from captum_andor._utils.datasets import Samples, read_samples
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.statistics import Array, bootstrap, partial_spearman
from captum_andor.games import margin
from captum_andor.studies.witnesses.code_figures import draw_maps, draw_measures
from captum_andor.studies.witnesses.code_measures import channel_scale, measured, shuffled_labels, votes_by_unit
from captum_andor.studies.witnesses.layer_features import POOLINGS, Pooling, layer_features
from captum_andor.studies.witnesses.perturbed_inputs import class_scores, perturbed
from captum_andor.studies.witnesses.self_organizing_map import SelfOrganizingMap
from captum_andor.visualization import Canvas, panels

if TYPE_CHECKING:
    import pandas as pd


class LayerCodes:
    """Codes of samples inside a network: for every layer the best-matching unit on a self-organizing map.

    A layer's outputs are pooled to one vector a sample, standardised per channel (constant channels count nothing), and
    put on a map of units whose neighbours are alike. A sample's *code* is its best-matching unit. All of it is
    deterministic: maps start from principal components.

    Args:
        model (torch.nn.Module): In evaluation mode; a batch of inputs to class scores ``(N, C)``.
        layers (sequence of str): Names of modules, as in ``model.named_modules()``, from the input on.
        pooling (str or Callable, optional): ``"mean"`` or ``"max"`` over all dimensions behind the channels
            ``(N, C, …)``; ``"tokens"``, the mean over dimension 1 of ``(N, T, D)``; ``"flatten"``; or a function of the
            output that returns ``(N, features)``. Default: "mean"
        grid (tuple of int, optional): Rows and columns of each map. Default: (20, 20)
        epochs (int, optional): Of each map. Default: 20
        seed (int, optional): Of shuffles, of the split into training and held-out samples, and of random noise.
            Default: 0
        batch_size (int, optional): Samples in one forward pass. Default: 256

    Attributes:
        maps (dict): After ``fit``, :class:`captum_andor.studies.SelfOrganizingMap` by layer.

    Raises:
        TypeError: If the model is no module.
        ValueError: If a layer is none of the model's, or an option is unknown.

    Examples::

        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
        >>> x = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
        >>> codes = LayerCodes(model, ["0", "1"], grid=(4, 4)).fit(x)
        >>> codes.transform(x).shape
        torch.Size([50, 2])

    Source: maps of channel means and their measures after Lee and Vijayan, arXiv 2205.10952; controls: this package.
    """

    @constrained()
    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        pooling: Pooling = "mean",
        grid: tuple[int, int] = (20, 20),
        epochs: int = 20,
        seed: int = 0,
        batch_size: int = 256,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, whose layers have names; got {type(model).__name__}.")
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        modules = dict(model.named_modules())
        unknown = [name for name in self.layers if name not in modules]
        if unknown or not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(
                f"layers must name modules of the model, each once; got {list(self.layers)}"
                + (f", and it has no {unknown[0]!r}; it has {[name for name in modules if name]}." if unknown else ".")
            )
        if not callable(pooling) and pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {list(POOLINGS)} or a function; got {pooling!r}.")
        if len(grid) != 2:
            raise ValueError(f"grid must be (rows, columns); got {grid!r}.")
        for count in grid:
            COUNT.check("grid", count)
        self.model = model
        self.pooling = pooling
        self.grid = (int(grid[0]), int(grid[1]))
        self.epochs = epochs
        self.seed = seed
        self.batch_size = batch_size
        self.maps: dict[str, SelfOrganizingMap] = {}
        self._scales: dict[str, tuple[Tensor, Tensor]] = {}
        self._trained: tuple[Tensor, Tensor | None] | None = None

    # Codes

    def fit(self, dataset: Any, show_progress: bool | None = None) -> LayerCodes:
        """Learn a map for every layer.

        Args:
            dataset (data set, DataLoader, tuple or Tensor): Inputs, with labels or without, as in
                :meth:`captum_andor.ConfusingSampleAnalyzer.evaluate`.
            show_progress (bool, optional): Show a tqdm bar over layers. None: one line on stderr where it takes more
                than ten seconds; False: nothing. Default: None

        Returns:
            - **codes** (*LayerCodes*): This one.

        Raises:
            TypeError, ValueError: If the data set is of the wrong kind, the model is in training mode, a layer was not
                called or is not pooled to one vector a sample.
        """
        samples = read_samples(dataset, labelled=False)
        features = self._features(self.model, samples)
        self.maps, self._scales = {}, {}
        with progress_bar(show_progress, len(self.layers), "Layer codes", "layer") as bar:
            for layer in self.layers:
                self._scales[layer] = channel_scale(features[layer])
                self.maps[layer] = SelfOrganizingMap(self.grid, self.epochs).fit(self._standard(layer, features))
                bar.update(1)
        self._trained = (self._units(features), samples.labels)
        return self

    def transform(self, inputs: Any) -> Tensor:
        """Best-matching unit of every sample in every layer.

        Args:
            inputs (Tensor, tuple or data set): As in :meth:`fit`.

        Returns:
            - **units** (*Tensor*): int64, shape ``(N, layers)``, ``row · columns + column``, on the CPU.

        Raises:
            RuntimeError: If nothing was fitted.
            TypeError, ValueError: As :meth:`fit`.
        """
        self._check_fitted()
        return self._units(self._features(self.model, read_samples(inputs, labelled=False)))

    def fit_transform(self, dataset: Any, show_progress: bool | None = None) -> Tensor:
        """:meth:`fit` and the codes of the same samples."""
        self.fit(dataset, show_progress)
        assert self._trained is not None
        return self._trained[0]

    def _homogeneity(self, units: Tensor) -> Tensor:
        """Share of the training samples in each sample's unit: how common its code is.

        Args:
            units (Tensor): As :meth:`transform` returns, ``(N, layers)``.

        Returns:
            - **homogeneity** (*Tensor*): float64, shape ``(N, layers)``.
        """
        trained = self._check_fitted()[0]
        columns = [
            torch.bincount(trained[:, i], minlength=self.grid[0] * self.grid[1]).double()[units[:, i]] / len(trained)
            for i in range(len(self.layers))
        ]
        return torch.stack(columns, dim=1)

    def other_labels(self, units: Tensor, labels: Tensor, trained: bool = False) -> Tensor:
        """Share of the training samples in each sample's unit that have another label than the sample.

        Args:
            units (Tensor): As :meth:`transform` returns, ``(N, layers)``.
            labels (Tensor): int64, shape ``(N,)``.
            trained (bool, optional): Whether these are the training samples: then each is left out of its own unit.
                Default: False

        Returns:
            - **share** (*Tensor*): float64, shape ``(N, layers)``; NaN where a unit has no (other) training sample.

        Raises:
            RuntimeError: If nothing was fitted.
            ValueError: If the maps were fitted without labels.
        """
        codes, known = self._check_fitted()
        if known is None:
            raise ValueError("the maps were fitted without labels; call fit((inputs, labels)).")
        own = 1.0 if trained else 0.0
        columns = []
        for i in range(len(self.layers)):
            votes = votes_by_unit(codes[:, i], known, self.grid[0] * self.grid[1], int(labels.max()) + 1)
            there = votes[units[:, i]]
            same = there.gather(1, labels[:, None])[:, 0] - own
            columns.append(1 - same / (there.sum(1) - own))  # 0 / 0 is NaN
        return torch.stack(columns, dim=1)

    # Measures

    @constrained()
    def measures(
        self, dataset: Any, untrained: nn.Module | None = None, held_out: float = 0.3, n_shuffles: int = 10
    ) -> pd.DataFrame:
        """Diversity of the codes of each layer, and their information about the labels, each beside its controls.

        Samples are split at random; maps are made anew from the first part, and what is held out is judged. The maps
        of :meth:`fit` stay.

        Args:
            dataset (data set, DataLoader, or tuple): Inputs with labels.
            untrained (torch.nn.Module, optional): The same network before training, for the control. Default: None
            held_out (float, optional): Share of the samples that are held out. Default: 0.3
            n_shuffles (int, optional): How often labels are shuffled, for the other control. Default: 10

        Returns:
            - **measures** (*pandas.DataFrame*): A row per network (``"trained"``, ``"untrained"``) and layer, with
              ``bmu_entropy`` (over the largest possible), ``effective_units``, ``cosine_distance`` (mean over pairs),
              ``participation_ratio``, ``label_vote`` (held-out accuracy of each unit's most frequent label),
              ``mutual_information`` (of units and labels, over the labels' entropy), ``compactness`` (grid distance
              within classes over that of any two samples: small where classes keep together), ``quantization_error``
              (distance to the unit over the root mean square of features) and ``topographic_error``, each of the
              held-out samples and, as ``…_train``, of the others; and ``…_shuffled``: the mean of each label measure
              with shuffled labels. (Measures without labels are the same whatever the labels.)

        Raises:
            TypeError, ValueError: As :meth:`fit`, and if there are no labels or a number is out of its range.

        Examples::

            >>> import torch
            >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
            >>> x = torch.rand(100, 4, generator=torch.Generator().manual_seed(0))
            >>> table = LayerCodes(model, ["0", "1"], grid=(4, 4)).measures((x, (x[:, 0] > 0.5).long()))
            >>> bool((table["label_vote"] > table["label_vote_shuffled"]).all())
            True
        """
        import pandas as pd

        samples = read_samples(dataset, labelled=True)
        assert samples.labels is not None
        if not 0 < held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1; got {held_out!r}.")
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(samples), generator=generator, device="cpu")
        n_out = round(held_out * len(samples))
        if n_out < 2 or len(samples) - n_out < 2:
            raise ValueError(f"dataset has {len(samples)} samples; too few to hold out {held_out:g} of them.")
        out, rest = order[:n_out], order[n_out:]
        rows = []
        networks: dict[str, nn.Module] = {"trained": self.model}
        if untrained is not None:
            networks["untrained"] = untrained
        for name, network in networks.items():
            features = self._features(network, samples)
            for layer in self.layers:
                shuffled = shuffled_labels(samples.labels, n_shuffles, self.seed)
                row = measured(features[layer], samples.labels, shuffled, (rest, out), self.grid, self.epochs)
                rows.append({"network": name, "layer": layer, **row})
        return pd.DataFrame(rows)

    def attack(
        self,
        dataset: Any,
        attack: Callable[[Any, Tensor], Any],
        show_progress: bool | None = None,
        n_resamples: int = 500,
    ) -> pd.DataFrame:
        """Do attacks move the codes of a layer further than random noise of the same size?

        The noise of a sample is its own perturbation with elements in random order and of random sign: of equal norm,
        whichever norm. It is not clipped.

        Args:
            dataset (data set, DataLoader, or tuple): Inputs with labels; inputs of one tensor.
            attack (Callable): ``attack(inputs, labels)`` returns the attacked inputs, e.g. of ``captum.robust.PGD``:
                ``lambda x, y: pgd.perturb(x, radius=0.1, step_size=0.02, step_num=10, target=y)``.
            show_progress (bool, optional): Show a tqdm bar over batches. None: one line on stderr where it takes more
                than ten seconds; False: nothing. Default: None
            n_resamples (int, optional): Of the bootstrap over samples. Default: 500

        Returns:
            - **moves** (*pandas.DataFrame*): A row per layer: ``changed`` (share of samples whose unit changes under
              the attack), ``changed_noise``, their ``difference`` with ``low`` and ``high`` of a 95 % interval;
              ``distance`` and ``distance_noise`` on the grid; ``easier`` (Spearman correlation of a common code with a
              low loss margin under attack, given the margin before) with its interval: above 0 where samples of
              common codes are easier to attack. ``attrs["success"]`` is the share of right decisions that the attack
              turns, ``attrs["success_noise"]`` that of the noise.

        Raises:
            RuntimeError: If nothing was fitted.
            TypeError, ValueError: As :meth:`fit`, and if attacked inputs have another shape or are not finite.
        """
        import pandas as pd

        self._check_fitted()
        samples = read_samples(dataset, labelled=True)
        assert samples.labels is not None
        before, attacked, noisy = perturbed(self.model, samples, attack, self.batch_size, self.seed, show_progress)
        units = [self.transform(x) for x in (before, attacked, noisy)]
        margins = [
            margin(class_scores(self.model, x, self.batch_size), samples.labels).numpy()
            for x in (before, attacked, noisy)
        ]
        common = self._homogeneity(units[0]).numpy()
        distances = SelfOrganizingMap(self.grid)._grid_distances()
        rows = []
        for i, layer in enumerate(self.layers):
            moved = [(units[0][:, i] != other[:, i]).double().numpy() for other in units[1:]]
            far = [float(distances[units[0][:, i], other[:, i]].mean()) for other in units[1:]]
            difference = moved[0] - moved[1]

            def mean_difference(rows: Any, difference: Array = difference) -> float:
                return float(difference[rows].mean())

            low, high = bootstrap(mean_difference, len(samples), n_resamples, self.seed)

            def easier(rows: Any, i: int = i) -> float:
                return partial_spearman(common[rows, i], -margins[1][rows], [margins[0][rows]])

            easier_low, easier_high = bootstrap(easier, len(samples), n_resamples, self.seed)
            rows.append(
                {
                    "layer": layer,
                    "changed": moved[0].mean(),
                    "changed_noise": moved[1].mean(),
                    "difference": difference.mean(),
                    "low": low,
                    "high": high,
                    "distance": far[0],
                    "distance_noise": far[1],
                    "easier": easier(np.arange(len(samples))),
                    "easier_low": easier_low,
                    "easier_high": easier_high,
                }
            )
        table = pd.DataFrame(rows)
        right = margins[0] > 0
        table.attrs["success"] = float((margins[1][right] <= 0).mean()) if right.any() else float("nan")
        table.attrs["success_noise"] = float((margins[2][right] <= 0).mean()) if right.any() else float("nan")
        return table

    # Figures

    @panels
    def plot_maps(self, canvas: Canvas, dataset: Any) -> tuple[Any, Any]:
        """Each layer's map with the samples of a data set, coloured by class.

        Args:
            dataset (data set, DataLoader, or tuple): Inputs with labels.

        Returns:
            - **fig, axes** (*tuple*): The figure and its axes, one a layer.

        Raises:
            RuntimeError: If nothing was fitted.
            TypeError, ValueError: As :meth:`fit`.
        """
        samples = read_samples(dataset, labelled=True)
        assert samples.labels is not None
        units = self.transform(samples.inputs if samples.is_tuple else samples.inputs[0])
        return draw_maps(units, samples.labels, self.layers, self.grid, self.seed, canvas)

    @staticmethod
    @panels
    def plot_measures(canvas: Canvas, measures: pd.DataFrame, columns: Sequence[str] | None = None) -> tuple[Any, Any]:
        """The measures over depth, beside an untrained network and shuffled labels.

        Args:
            measures (pandas.DataFrame): As :meth:`measures` returns.
            columns (sequence of str, optional): Which measures. Default: None (all)

        Returns:
            - **fig, axes** (*tuple*): The figure and its axes, one a measure.

        Raises:
            ValueError: If a column is none of the measures.
        """
        return draw_measures(measures, columns, canvas)

    # Features

    def _check_fitted(self) -> tuple[Tensor, Tensor | None]:
        if self._trained is None:
            raise RuntimeError("these codes are not fitted yet; call fit(dataset) first.")
        return self._trained

    def _standard(self, layer: str, features: Mapping[str, Tensor]) -> Tensor:
        mean, spread = self._scales[layer]
        return (features[layer] - mean) / spread

    def _features(self, model: nn.Module, samples: Samples) -> dict[str, Tensor]:
        return layer_features(model, self.layers, self.pooling, samples, self.batch_size)

    def _units(self, features: Mapping[str, Tensor]) -> Tensor:
        columns = [self.maps[layer].transform(self._standard(layer, features)) for layer in self.layers]
        return torch.stack(columns, dim=1)
