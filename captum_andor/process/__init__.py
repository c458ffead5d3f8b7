"""What evaluated coalitions tell of all others: the Gaussian process, its posterior, functionals and intervals."""

from captum_andor.process.background_process import JUDGED as JUDGED, BackgroundPosterior as BackgroundPosterior
from captum_andor.process.coalition_process import (
    CoalitionProcess as CoalitionProcess,
    Prior as Prior,
    fit_process as fit_process,
    fit_processes as fit_processes,
)
from captum_andor.process.effects import pattern_effects as pattern_effects
from captum_andor.process.fidelity import (
    Fidelity as Fidelity,
    Unseen as Unseen,
    drawn_coalitions as drawn_coalitions,
    estimate_fidelity as estimate_fidelity,
    fidelity_of as fidelity_of,
)
from captum_andor.process.owen import owen_values as owen_values
from captum_andor.process.posterior import (
    CompleteGame as CompleteGame,
    Fold as Fold,
    Posterior as Posterior,
    ProcessPosterior as ProcessPosterior,
    SparseGame as SparseGame,
)

__all__: list[str] = []
