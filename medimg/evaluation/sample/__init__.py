"""`Sample`: the cases of one evaluation, laid out so that many resamples cost one product.

N cases, K classes, U units (patients or cases), R sets of weights, M distinct scores of the
cases of one class. Every metric is made of sums over cases. The cases are sorted once; each sum
is a row of a sparse matrix over the units, and the sums of R resamples are its product with
their weights (U, R).
"""

from medimg.evaluation.sample.areas import MOST_PAIRED
from medimg.evaluation.sample.cases import Sample, known_cases, one_split
from medimg.evaluation.sample.figures import Figures, figures
from medimg.evaluation.sample.resampled import Resampled, resample
from medimg.evaluation.sample.sums import Lacking, unit_counts, unit_sums

__all__ = [
    "MOST_PAIRED",
    "Figures",
    "Lacking",
    "Resampled",
    "Sample",
    "figures",
    "known_cases",
    "one_split",
    "resample",
    "unit_counts",
    "unit_sums",
]
