"""Studies of the causes of confusing samples: crossed parts of networks, and training over time."""

from captum_andor.study import surgery
from captum_andor.study.dynamics import TrainingDynamics, trace_training
from captum_andor.study.factorial import FactorialStudy
from captum_andor.study.factorial_result import FactorialResult, FactorialVerdict
from captum_andor.study.held_out import held_out_losses
from captum_andor.study.variance_shares import seed_shares

__all__ = [
    "FactorialResult",
    "FactorialStudy",
    "FactorialVerdict",
    "TrainingDynamics",
    "held_out_losses",
    "seed_shares",
    "surgery",
    "trace_training",
]
