"""The laboratory, above everything: factorial studies, training dynamics, evidence that uses no interactions."""

from captum_andor.studies.dynamics.training_dynamics import TrainingDynamics, trace_training
from captum_andor.studies.factorial.factorial_result import FactorialResult, FactorialVerdict
from captum_andor.studies.factorial.factorial_study import FactorialStudy
from captum_andor.studies.factorial.variance_shares import seed_shares
from captum_andor.studies.frontier import frontier, plot_frontier
from captum_andor.studies.learned_baselines import LearnedBaselines, learn_baselines
from captum_andor.studies.networks import surgery
from captum_andor.studies.networks.held_out import held_out_losses
from captum_andor.studies.witnesses.barriers import barrier
from captum_andor.studies.witnesses.codes import LayerCodes
from captum_andor.studies.witnesses.concentration import concentration, plot_concentration
from captum_andor.studies.witnesses.connectivity import connect, connectivity_score
from captum_andor.studies.witnesses.detection import Detection, attack_beside_references, detect, visualize_class
from captum_andor.studies.witnesses.path_results import Barriers, Paths
from captum_andor.studies.witnesses.self_organizing_map import SelfOrganizingMap
from captum_andor.studies.witnesses.witness_columns import add_witnesses, witness_agreement

__all__ = [
    "Barriers",
    "Detection",
    "FactorialResult",
    "FactorialStudy",
    "FactorialVerdict",
    "LayerCodes",
    "LearnedBaselines",
    "Paths",
    "SelfOrganizingMap",
    "TrainingDynamics",
    "add_witnesses",
    "attack_beside_references",
    "barrier",
    "concentration",
    "connect",
    "connectivity_score",
    "detect",
    "frontier",
    "held_out_losses",
    "learn_baselines",
    "plot_concentration",
    "plot_frontier",
    "seed_shares",
    "surgery",
    "trace_training",
    "visualize_class",
    "witness_agreement",
]
