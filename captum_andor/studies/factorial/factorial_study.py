"""``FactorialStudy``: what share of what differs between networks does their low part decide?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from captum_andor._utils.checks import constrained
from captum_andor._utils.datasets import read_samples
from captum_andor._utils.hashing import hash_of
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.running import own_first
from captum_andor.confusing import ConfusingSampleAnalyzer
from captum_andor.studies.factorial.factorial_result import FactorialResult
from captum_andor.studies.factorial.grids import DEFAULT_GRIDS, MOST_LEVELS, GridNetwork, check_grids, networks_of
from captum_andor.studies.factorial.network_tables import NetworkTable, Tables
from captum_andor.studies.factorial.networks import MakeModel, Networks, Train, fresh
from captum_andor.studies.factorial.study_folder import check_manifest, fingerprint
from captum_andor.studies.networks.surgery import split_at

_LEAST_LEVELS = 4  # the jackknife leaves one out, and three must stay
_NAMES_SHOWN = 6
_MASKS_KEPT = 64  # of v, evenly: the study compares v over masks, not single values


class FactorialStudy:
    """Trains networks with every low part × every high part, and shares out what differs between them.

    Cell (i, j) of a grid has low part i, high part j and the data order (i + j) modulo M, a Latin square. There are up
    to four grids at every cut, which answer four questions:

    - ``"initialisation"``: the initial weights of the low part × those of the high part, trained from there: what does
      the *randomness of low layers* decide?
    - ``"trained low"``: the trained low parts of M donors × fresh high parts: what do *learnt low layers* carry over?
    - ``"trained high"``: fresh low parts × the trained high parts of the donors.
    - ``"trained both"``: the trained low parts of M donors × the trained high parts of M others, trained on together:
      of *parameters*, not of initial weights, what does either part decide?

    Beside them, four copies of each cell (i, i) whose weights at the start are moved a little show how much of the rest
    is instability of training; with trained parts crossed, those of that grid, too. Finished networks and
    their scores are kept in a folder: a study that was interrupted goes on where it was, and processes that
    ``torchrun`` starts share the networks.

    Args:
        make_model (Callable): ``make_model(seed)`` returns an untrained model; torch is seeded around the call.
        train (Callable): ``train(model, seed_order, frozen)`` returns the trained model, or a pair of it and a dict of
            columns. ``frozen`` is empty here. Stop at an equal train loss.
        layers (sequence of str): Where to cut: names of the first module of the high part.
        folder (str or PathLike): Where networks and tables are kept.
        levels (int, optional): M, at least 4; 8 or more are advised. Default: 8
        grids (sequence of str, optional): Some of those above. Default: the first three
        perturbations (sequence of float, optional): By how much the weights of copies are moved, relative; 4 M copies
            each, at the first cut. Default: (1e-6, 1e-2)
        settings (dict, optional): What else training depends on; other settings in the same folder are refused.
            Default: None
        seed (int, optional): Of everything random. Default: 0

    Raises:
        ValueError: If a layer is none of the model's, a grid is unknown, levels are too few, or the folder holds a
            study of other settings.
        NotADirectoryError: If the folder is a file.

    Examples::

        >>> import tempfile, torch
        >>> from torch import nn
        >>> from captum_andor import ConfusingSampleAnalyzer
        >>> def make_model(seed):
        ...     return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> def train(model, seed_order, frozen):  # a stand-in for training: stops at once
        ...     return model
        >>> inputs, labels = torch.rand(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = FactorialStudy(make_model, train, ["2"], folder.name, levels=4, grids=["initialisation"])
        >>> result = study.run((inputs, labels), ConfusingSampleAnalyzer(scores=("net_order", "flip_rate")))
        >>> list(result.shares().columns)[:4]
        ['grid', 'layer', 'parameters', 'factor']
        >>> folder.cleanup()

    Source: The claim is that of Zhang et al. 2025, arXiv 2502.08625.
    """

    @constrained()
    def __init__(
        self,
        make_model: MakeModel,
        train: Train,
        layers: Sequence[str],
        folder: str | os.PathLike[str],
        levels: int = 8,
        grids: Sequence[str] = DEFAULT_GRIDS,
        perturbations: Sequence[float] = (1e-6, 1e-2),
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        if not _LEAST_LEVELS <= levels < MOST_LEVELS:
            raise ValueError(f"levels must be {_LEAST_LEVELS} to {MOST_LEVELS - 1}; got {levels}.")
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers must name one or several modules, each once; got {list(self.layers)}.")
        self.levels, self.grids = int(levels), check_grids(grids)
        self.perturbations = tuple(float(size) for size in perturbations)
        if not all(0 < size < 1 for size in self.perturbations):
            raise ValueError(f"perturbations must lie between 0 and 1; got {list(perturbations)}.")
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"folder must be a folder; {self.folder} is a file.")
        self._networks = Networks(make_model, train, self.folder, seed)
        model = fresh(make_model, seed)
        sizes = {name: p.numel() for name, p in model.named_parameters(remove_duplicate=False)}
        self._parameters = {
            layer: sum(sizes.get(name, 0) for name in split_at(model, layer).low) / max(sum(sizes.values()), 1)
            for layer in self.layers
        }
        self._manifest = {
            "kind": "factorial",
            "seed": seed,
            "levels": self.levels,
            "first network before training": hash_of(model),
            "settings": json.loads(json.dumps(dict(settings or {}))),
        }
        self._check_folder(write=False)  # what is never run leaves no trace

    def _all(self) -> list[GridNetwork]:
        return list(networks_of(self.grids, self.layers, self.levels, self.perturbations))

    def _check_folder(self, write: bool) -> None:
        check_manifest(self.folder / "study.json", self._manifest, write)

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of all networks of the study, in the order in which they are trained; a file ``<name>.pt`` each."""
        return tuple(network.name for network in self._all())

    def network(self, name: str) -> nn.Module:
        """A network of the study in evaluation mode; it is trained if it is not there.

        Args:
            name (str): One of :attr:`networks`.

        Returns:
            - **model** (*torch.nn.Module*): The network.

        Raises:
            ValueError: If there is no network of this name.
        """
        network = self._named(name)
        self._check_folder(write=True)
        return self._networks.get(network)[0]

    def add(self, name: str, model: nn.Module, columns: Mapping[str, Any] | None = None) -> FactorialStudy:
        """Take a network that was trained elsewhere as one of the study.

        Args:
            name (str): One of :attr:`networks`.
            model (torch.nn.Module): The trained network.
            columns (dict, optional): As ``train`` returns. Default: None

        Returns:
            - **study** (*FactorialStudy*): This one.

        Raises:
            ValueError: If there is no network of this name, or the model has other parameters.
        """
        network = self._named(name)
        self._networks.check(network, model)
        self._check_folder(write=True)
        self._networks.keep(network, model, columns or {})
        return self

    def _named(self, name: str) -> GridNetwork:
        network = next((network for network in self._all() if network.name == name), None)
        if network is None:
            shown = ", ".join(self.networks[:_NAMES_SHOWN]) + (", …" if len(self.networks) > _NAMES_SHOWN else "")
            raise ValueError(f"name must be one of the study's networks, {shown}; got {name!r}.")
        return network

    def train(self, show_progress: bool | None = None) -> None:
        """Train the networks that are not there yet.

        Args:
            show_progress (bool, optional): Show a tqdm bar over networks. None: one line on stderr where it takes more
                than ten seconds; False: nothing. Default: None
        """
        self._check_folder(write=True)
        networks = own_first(self._all())
        with progress_bar(show_progress, len(networks), "Factorial study, training", "network") as bar:
            for network in networks:
                if not self._networks.path(network).exists():
                    self._networks.get(network)
                bar.update(1)

    def run(
        self,
        dataset: Any,
        analyzer: ConfusingSampleAnalyzer | None = None,
        test: Any = None,
        batch_size: int = 64,
        show_progress: bool | None = None,
        evaluated_as: Callable[[nn.Module], nn.Module] | None = None,
    ) -> FactorialResult:
        """Train what is missing, evaluate all networks, and share out what differs.

        Args:
            dataset (data set, DataLoader, or tuple): The labelled samples that networks are compared on, as in
                :meth:`ConfusingSampleAnalyzer.evaluate`.
            analyzer (ConfusingSampleAnalyzer, optional): Its settings count: score, baselines, masks, scores, primary.
                Several baselines tell the view-stable part. Where ``scores`` names scores of v alone, such as
                ``net_order`` and ``flip_rate``, the masks without more than two players are evaluated, and no others:
                47 instead of 512 with nine players. Default: None (the default ones)
            test (data set, DataLoader, or tuple, optional): Held-out samples, for the accuracy. Default: None
            batch_size (int, optional): Samples in one batch. Default: 64
            show_progress (bool, optional): Show tqdm bars. None: one line on stderr where it takes more than ten
                seconds; False: nothing. Default: None
            evaluated_as (Callable, optional): What is evaluated in the place of a trained network, the same function in
                a faster form: ``evaluated_as(model)`` returns it, e.g. with batch normalisation folded into the
                convolutions, ``torch.fx.experimental.optimization.fuse``. Default: None (the network)

        Returns:
            - **result** (*FactorialResult*): Shares, contrasts, the verdict, figures.

        Raises:
            TypeError: As :meth:`ConfusingSampleAnalyzer.evaluate`.
            ValueError: As there; or a layer does not part the network: what is registered below it runs above.
        """
        samples = read_samples(dataset, labelled=True)
        held_out = None if test is None else read_samples(test, labelled=True)
        analyzer = ConfusingSampleAnalyzer() if analyzer is None else analyzer.clone()
        for layer in self.layers:
            self._networks.check_cut(layer, samples)
        self.train(show_progress)
        kind = "scored-" if analyzer._only_scored else ""
        folder = self.folder / f"tables-{kind}{fingerprint(analyzer, samples, held_out, evaluated_as)[:16]}"
        tables = Tables(analyzer, samples, held_out, folder, batch_size, evaluated_as)
        found: dict[GridNetwork, NetworkTable] = {}
        values: dict[GridNetwork, npt.NDArray[np.float32]] = {}
        moved: dict[GridNetwork, dict[str, float]] = {}
        networks = own_first(self._all())
        with progress_bar(show_progress, len(networks), "Factorial study, evaluation", "network") as bar:
            for network in networks:
                model, columns = self._networks.get(network)
                table = tables.get(network, model, columns)
                values[network] = np.stack([_some_masks(v) for v in table.values])
                moved[network] = self._networks.moved(network, model)
                found[network] = table._without_values()
                bar.update(1)
        first = next(iter(found.values()))
        scores = [analyzer.primary, *(name for name in first.scores if name != analyzer.primary)]
        return FactorialResult._of_tables(
            {network: found[network] for network in self._all()}, values, moved, scores, self._parameters
        )


def _some_masks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values v on some coalitions, evenly among all: ``(N, 32)`` or fewer."""
    return values[:, :: max(1, values.shape[1] // _MASKS_KEPT)]
