"""Prediction sets that hold the truth with a stated chance (conformal prediction)."""

from medimg.evaluation.conformal.fit import fit_conformal
from medimg.evaluation.conformal.judge import conformal_result
from medimg.evaluation.conformal.sets import Conformal

__all__ = ["Conformal", "conformal_result", "fit_conformal"]
