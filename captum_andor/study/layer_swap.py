"""``LayerSwapStudy``: which part of a network decides its confusing samples?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from captum_andor._utils.checks import check_count
from captum_andor._utils.datasets import Samples, read_samples
from captum_andor._utils.devices import process_of
from captum_andor._utils.model_identity import digest_of_model
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.statistics import Array
from captum_andor.confusing import ConfusingSampleAnalyzer, SetRule
from captum_andor.study.cell_agreement import Agreement
from captum_andor.study.cells import Cell, Network, Variant, cells_of, check_variants
from captum_andor.study.contrasts import By
from captum_andor.study.layer_swap_result import LayerSwapResult
from captum_andor.study.network_study import NetworkStudy
from captum_andor.study.network_tables import NetworkTable, Tables, similarity_of_values
from captum_andor.study.networks import MakeModel, Networks, Train, fresh
from captum_andor.study.study_folder import fingerprint
from captum_andor.study.surgery import split_at

__all__ = ["LayerSwapStudy"]


class LayerSwapStudy(NetworkStudy):
    """Trains pairs of networks that share a part, and compares which samples confuse them.

    For each pair a first network is trained, then further ones with another initialisation and another data order,
    which share with the first

    - nothing (*both new*), or everything but the data order (*other order*);
    - the part below a layer (*same low*) or the part from it on (*same high*), for every layer given, each in three
      ways: its trained values to start from (``"trainable"``), its trained values, frozen, batch-norm statistics
      included (``"frozen"``), or its values before training (``"initialisation"``);
    - the low part, under another upper architecture (with ``make_other``).

    All second networks of a pair start from the same seed and see the same data order, so that they differ in what they
    share alone; all cells are compared with the same control networks, those of the other pairs.

    Finished networks and their scores are kept in a folder. A study that was interrupted, at whatever moment, goes on
    with the network it was at; further pairs, layers or variants cost only themselves. Processes that ``torchrun``
    starts share the pairs.

    Args:
        make_model (Callable): ``make_model(seed)`` returns an untrained model. torch's generator is seeded around it.
        train (Callable): ``train(model, seed_order, frozen)`` returns the trained model, or a pair of it and a dict of
            columns, one number per sample each, to be compared beside the scores, e.g. ``{"early_loss": …}``.
            ``frozen`` names parameters and buffers that must stay; they require no gradient and their batch norms stay
            in evaluation mode. torch's generator is seeded by ``seed_order`` around it. Stop at an equal train loss,
            not after equally many epochs: cells whose accuracy or loss differs are not compared.
        layers (sequence of str): Where to cut: names of the first module of the high part, as in
            :func:`captum_andor.study.surgery.split_at`.
        folder (str or PathLike): Where networks and tables are kept.
        n_pairs (int, optional): Pairs of networks, at least 3. Default: 5
        variants (sequence of str, optional): Ways of sharing, of those above. Default: ("trainable", "frozen",
            "initialisation")
        make_other (Callable, optional): Like ``make_model``, for a network with another upper architecture whose low
            part has the same names and shapes at one of the layers at least. Default: None
        settings (dict, optional): What else training depends on, kept in the folder; other settings in the same folder
            are refused. Default: None
        seed (int, optional): Of the first network; pair p has 2p and 2p + 1 more. Default: 0

    Raises:
        ValueError: If a layer is none of the model's or cuts through tied weights, there are too few pairs, the other
            architecture shares no low part, or the folder holds a study of other settings.
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
        >>> study = LayerSwapStudy(make_model, train, ["2"], folder.name, n_pairs=3, variants=["trainable"])
        >>> result = study.run((inputs, labels), ConfusingSampleAnalyzer(scores=("net_order", "flip_rate")))
        >>> result.verdict().outcome
        'cannot be judged'
        >>> folder.cleanup()

    Source: this package; the claim is that of Zhang et al. 2025, arXiv 2502.08625.
    """

    _title = "Layer-swap study"

    def __init__(
        self,
        make_model: MakeModel,
        train: Train,
        layers: Sequence[str],
        folder: str | os.PathLike[str],
        n_pairs: int = 5,
        variants: Sequence[Variant] = ("trainable", "frozen", "initialisation"),
        make_other: MakeModel | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        check_count("n_pairs", n_pairs)
        if n_pairs < 3:
            raise ValueError(
                f"n_pairs must be at least 3, as each pair is compared with what the others share; got {n_pairs}."
            )
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers must name one or several modules, each once; got {list(self.layers)}.")
        self.variants = check_variants(variants)
        self.n_pairs = n_pairs
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"folder must be a folder; {self.folder} is a file.")
        self._networks = Networks(make_model, train, make_other, self.folder, seed)
        model = fresh(make_model, seed)
        cuts = {layer: split_at(model, layer) for layer in self.layers}
        others = None if make_other is None else _common_layers(model, fresh(make_other, seed), self.layers)
        self.cells = tuple(cells_of(self.layers, self.variants, others))
        self._shares = _shares(model, self.cells, cuts)
        self._manifest = {
            "seed": seed,
            "first network before training": digest_of_model(model),
            "settings": json.loads(json.dumps(dict(settings or {}))),
        }
        self._check_folder(write=False)  # what is never run leaves no trace

    def _all(self) -> list[Network]:
        return [Network(pair, cell) for pair in range(self.n_pairs) for cell in (None, *self.cells)]

    def _own_first(self) -> list[Network]:
        """The networks in the order to take them: a process of several begins with its share of the pairs.

        What others have not finished by then it takes from the end, so that two processes seldom meet.
        """
        rank, processes = process_of()
        networks = list(self._all())
        own = [network for network in networks if network.pair % processes == rank]
        return [*own, *(network for network in reversed(networks) if network.pair % processes != rank)]

    def run(
        self,
        dataset: Any,
        analyzer: ConfusingSampleAnalyzer | None = None,
        test: Any = None,
        fraction: float = 0.1,
        accuracy_within: float = 0.02,
        loss_within: float | None = 2.0,
        batch_size: int = 64,
        show_progress: bool = False,
    ) -> LayerSwapResult:
        """Train what is missing, evaluate all networks, and compare the cells.

        Args:
            dataset (data set, DataLoader, or tuple): The labelled samples that networks are compared on, as in
                :meth:`ConfusingSampleAnalyzer.evaluate`.
            analyzer (ConfusingSampleAnalyzer, optional): Its settings count: score, baselines, masks, scores, primary.
                Default: None (the default ones)
            test (data set, DataLoader, or tuple, optional): Held-out samples, for the accuracy. Default: None
            fraction (float, optional): Share of the samples in a confusing set. Default: 0.1
            accuracy_within (float, optional): Cells whose mean accuracy, on the samples or held out, differs by more
                from that of networks that share nothing are not compared. Default: 0.02
            loss_within (float, optional): Nor are those whose mean loss differs by more than this factor; None for no
                such limit. Default: 2.0
            batch_size (int, optional): Samples in one batch. Default: 64
            show_progress (bool, optional): Show tqdm bars. Default: False

        Returns:
            - **result** (*LayerSwapResult*): Tables, contrasts, the verdict, figures.

        Raises:
            TypeError, ValueError: As :meth:`ConfusingSampleAnalyzer.evaluate`, and if a number is out of its range.
            RuntimeError: If training changed what was frozen.
        """
        for name, number, low, high in (
            ("accuracy_within", accuracy_within, 0.0, 1.0),
            ("loss_within", 2.0 if loss_within is None else loss_within, 1.0, float("inf")),
        ):
            if not low < number < high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g}; got {number!r}.")
        fraction = SetRule(fraction).fraction
        samples = read_samples(dataset, labelled=True)
        held_out = None if test is None else read_samples(test, labelled=True)
        analyzer = ConfusingSampleAnalyzer() if analyzer is None else analyzer.clone()
        self.train(show_progress)
        tables = Tables(analyzer, samples, held_out, self._table_folder(analyzer, samples, held_out), batch_size)
        found: dict[Network, NetworkTable] = {}
        similarity: dict[Network, Array] = {}
        networks = self._own_first()
        with progress_bar(show_progress, len(networks), "Layer-swap study, evaluation", "network") as bar:
            for network in networks:
                table = self._table(tables, network)
                if network.cell is not None:
                    first = Network(network.pair)
                    if first not in found:
                        found = {n: t.without_values() for n, t in found.items()}
                        found[first] = self._table(tables, first)
                    similarity[network] = similarity_of_values(found[first], table)
                    table = table.without_values()
                if network not in found:
                    found[network] = table
                bar.update(1)
        ordered = {network: found[network].without_values() for network in self._all()}
        agreement = Agreement(ordered, similarity, self.cells, self.n_pairs, fraction)
        scores = [analyzer.primary, *(s for s in ordered[Network(0)].scores if s != analyzer.primary)]
        return LayerSwapResult(agreement, self._shares, scores, accuracy_within, loss_within)

    def _table(self, tables: Tables, network: Network) -> NetworkTable:
        return tables.get(network, *self._networks.get(network))

    def _table_folder(self, analyzer: ConfusingSampleAnalyzer, samples: Samples, test: Samples | None) -> Path:
        """A folder of its own for other samples or settings."""
        kind = "scored-" if analyzer.only_scored else ""
        return self.folder / f"tables-{kind}{fingerprint(analyzer, samples, test)[:16]}"


def _common_layers(model: nn.Module, other: nn.Module, layers: Sequence[str]) -> list[str]:
    """Layers below which both models have the same parameters and buffers."""
    ours, theirs = ({name: t.shape for name, t in m.state_dict().items()} for m in (model, other))
    common = []
    for layer in layers:
        low = split_at(model, layer).low
        if all(theirs.get(name) == ours[name] for name in low):
            common.append(layer)
    if not common:
        raise ValueError(
            f"make_other must share the names and shapes below one of the layers {list(layers)} with make_model."
        )
    return common


def _shares(model: nn.Module, cells: Sequence[Cell], cuts: Mapping[str, Any]) -> dict[By, dict[Cell, float]]:
    """Share of parameters and of layers, modules with parameters of their own, that a cell has in common."""
    sizes = {name: p.numel() for name, p in model.named_parameters(remove_duplicate=False)}
    owners = {name.rpartition(".")[0] for name in sizes}
    result: dict[By, dict[Cell, float]] = {"parameters": {}, "layers": {}}
    for cell in cells:
        if cell.layer is None:
            result["parameters"][cell] = result["layers"][cell] = 1.0 if cell.part == "all" else 0.0
            continue
        names = [name for name in getattr(cuts[cell.layer], cell.part) if name in sizes]
        result["parameters"][cell] = sum(sizes[name] for name in names) / sum(sizes.values())
        result["layers"][cell] = len({name.rpartition(".")[0] for name in names}) / len(owners)
    return result
