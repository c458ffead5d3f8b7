"""Studies of the causes of confusing samples: crossed parts of networks, and training over time."""

from captum_andor.study import surgery
from captum_andor.study.concentration import concentration, plot_concentration
from captum_andor.study.dynamics import TrainingDynamics, trace_training
from captum_andor.study.factorial import FactorialStudy
from captum_andor.study.factorial_result import FactorialResult, FactorialVerdict
from captum_andor.study.frontier import frontier, plot_frontier
from captum_andor.study.held_out import held_out_losses
from captum_andor.study.learned_baselines import LearnedBaselines, learn_baselines
from captum_andor.study.variance_shares import seed_shares
from captum_andor.study.witness_columns import add_witnesses, witness_agreement

__all__ = [
    "FactorialResult",
    "FactorialStudy",
    "FactorialVerdict",
    "LearnedBaselines",
    "TrainingDynamics",
    "add_witnesses",
    "concentration",
    "frontier",
    "held_out_losses",
    "learn_baselines",
    "plot_concentration",
    "plot_frontier",
    "seed_shares",
    "surgery",
    "trace_training",
    "witness_agreement",
]
