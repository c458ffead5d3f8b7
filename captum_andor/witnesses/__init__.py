"""Evidence that does not come from interactions: codes inside networks, paths between inputs."""

from captum_andor.witnesses.codes import LayerCodes
from captum_andor.witnesses.connectivity import barrier, connect, connectivity_score
from captum_andor.witnesses.detection import Detection, attack_beside_references, detect, visualize_class
from captum_andor.witnesses.path_results import Barriers, Paths
from captum_andor.witnesses.self_organizing_map import SelfOrganizingMap

__all__ = [
    "Barriers",
    "Detection",
    "LayerCodes",
    "Paths",
    "SelfOrganizingMap",
    "attack_beside_references",
    "barrier",
    "connect",
    "connectivity_score",
    "detect",
    "visualize_class",
]
