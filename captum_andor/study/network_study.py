"""What studies of many networks have in common: networks by name, trained once, kept in a folder of one study."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from captum_andor._utils.progress import progress_bar
from captum_andor.study.networks import Networks
from captum_andor.study.study_folder import check_manifest

__all__ = ["NetworkStudy"]

StudyT = TypeVar("StudyT", bound="NetworkStudy")
_NAMES_SHOWN = 6


class NetworkStudy(ABC):
    """A study whose networks are trained one after the other, or taken as they are, and kept."""

    folder: Path
    _networks: Networks
    _manifest: dict[str, Any]
    _title: str  # what progress bars call the study

    @abstractmethod
    def _all(self) -> Sequence[Any]:
        """All networks of the study, in the order in which they are trained."""

    @abstractmethod
    def _own_first(self) -> list[Any]:
        """The networks in the order to take them: a process of several begins with its share."""

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

    def add(self: StudyT, name: str, model: nn.Module, columns: Mapping[str, Any] | None = None) -> StudyT:
        """Take a network that was trained elsewhere as one of the study.

        Args:
            name (str): One of :attr:`networks`.
            model (torch.nn.Module): The trained network.
            columns (dict, optional): As ``train`` returns. Default: None

        Returns:
            - **study** (*the same*): This one.

        Raises:
            ValueError: If there is no network of this name, or the model has other parameters.
        """
        network = self._named(name)
        self._networks.check(network, model)
        self._check_folder(write=True)
        self._networks.keep(network, model, columns or {})
        return self

    def _named(self, name: str) -> Any:
        network = next((network for network in self._all() if network.name == name), None)
        if network is None:
            shown = ", ".join(self.networks[:_NAMES_SHOWN]) + (", …" if len(self.networks) > _NAMES_SHOWN else "")
            raise ValueError(f"name must be one of the study's networks, {shown}; got {name!r}.")
        return network

    def train(self, show_progress: bool = False) -> None:
        """Train the networks that are not there yet.

        Args:
            show_progress (bool, optional): Show a tqdm bar over networks. Default: False
        """
        self._check_folder(write=True)
        networks = self._own_first()
        with progress_bar(show_progress, len(networks), f"{self._title}, training", "network") as bar:
            for network in networks:
                if not self._networks.path(network).exists():
                    self._networks.get(network)
                bar.update(1)
