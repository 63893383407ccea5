"""Nonconformity scores: how badly each class fits a case, (N, K); a set holds the low ones.

N cases, K classes. The functions take the probabilities (N, K) and one number in (0, 1) a case,
which makes the sets of APS and RAPS exact where a probability comes in lumps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from medimg.evaluation.metrics import Floats
from medimg.predictions import Predictions

Score = Callable[[Floats, Floats], Floats]

PENALTY = 0.01
"""What RAPS adds for each rank beyond `FREE_RANKS`, in units of probability: the paper's choice.

Ten times more empties the sets of one class, and makes the sets of an unsure model larger.
"""

FREE_RANKS = 1
"""So many of the likeliest classes RAPS leaves without a penalty."""


def lac(probabilities: Floats, chance: Floats) -> Floats:
    """Return 1 - p (N, K): the smallest sets on average (Sadinle et al., JASA 114 (2019) 223)."""
    del chance  # nothing is drawn: the score has no lumps of its own
    return 1 - probabilities


def aps(probabilities: Floats, chance: Floats) -> Floats:
    """Return the probability of all likelier classes and a share `chance` of one's own (N, K).

    Adaptive prediction sets (Romano, Sesia and Candes, NeurIPS 2020), in the randomised form,
    which alone reaches its coverage exactly; a set can be empty. Of equal probabilities the
    earlier class counts as the likelier.
    """
    order = _ranking(probabilities)
    ranked = np.take_along_axis(probabilities, order, axis=1)
    likelier = np.zeros_like(ranked)
    np.cumsum(ranked[:, :-1], axis=1, out=likelier[:, 1:])
    scores = np.empty_like(ranked)
    np.put_along_axis(scores, order, likelier + chance[:, None] * ranked, axis=1)
    return scores


def raps(
    probabilities: Floats,
    chance: Floats,
    *,
    penalty: float = PENALTY,
    free: int = FREE_RANKS,
) -> Floats:
    """Return the scores of `aps` and `penalty` for each rank beyond `free` (N, K).

    Regularised adaptive sets: fewer very large ones (Angelopoulos et al., ICLR 2021, eq. 4).
    Penalty and free ranks are fixed beforehand: choosing them on the calibration cases would
    cost cases that small sets do not have.
    """
    rank = np.argsort(_ranking(probabilities), axis=1)
    return aps(probabilities, chance) + penalty * np.maximum(rank + 1 - free, 0)


SCORES: Mapping[str, Score] = {"lac": lac, "aps": aps, "raps": raps, "risk": lac}
"""The built-in methods; `risk` is for `multilabel`, the others for classes that exclude."""


def score_table(predictions: Predictions, method: str, seed: int) -> Floats:
    """Return the score of every class of every case float64 (N, K), without any calibrator."""
    p = predictions.with_calibrator(None).probabilities
    return SCORES[method](p, chances(predictions.case_id, seed))


def chances(case_id: Iterable[str], seed: int) -> Floats:
    """Return a number in (0, 1) a case (N,), made of its id: the same case gets the same set."""
    salt = f"{seed}\0".encode()
    digests = (hashlib.blake2b(salt + c.encode(), digest_size=8).digest() for c in case_id)
    words = np.frombuffer(b"".join(digests), dtype="<u8")
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def _ranking(probabilities: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    return np.argsort(-probabilities, axis=1, kind="stable")
