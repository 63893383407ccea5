"""`Sample`: the cases of one evaluation that have a known target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medimg.calibrator import log_likelihood_terms, log_odds
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Counts, Floats
from medimg.evaluation.sample.figures import POOLED, Figures, figures, means
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

SURE = 20.0
"""Log odds past which a probability has fewer digits than a score of single precision."""


def one_split(predictions: Predictions, split: str | None = None) -> tuple[Predictions, str]:
    """Return the cases of one split and its name; `"all"` where the table names none.

    Raises
    ------
    UsageError
        Several splits and none asked for: numbers over train and test together mean nothing.
    """
    if split is not None:
        return predictions.select(split), split
    there = [] if predictions.split is None else sorted(set(predictions.split))
    if len(there) > 1:
        raise UsageError(
            f"the predictions hold several splits: {', '.join(s or '(blank)' for s in there)}",
            remedy="name one of them, such as split='test' (--split test)",
        )
    return predictions, (there[0] if there else "") or "all"


def known_cases(predictions: Predictions, split: str) -> Predictions:
    """Return the cases that have any known target; none at all raises."""
    if not predictions.known.any():
        raise PredictionsError(
            f"none of {len(predictions)} cases of split {split!r} has a known target",
            remedy="add what is known in a column target (a class name), or target:CLASS (1, 0)",
        )
    return predictions.take(predictions.known)


@dataclass(frozen=True, eq=False)
class Sample:
    """The cases of one evaluation that have a known target.

    Parameters
    ----------
    space : LabelSpace
    probabilities : float64 (N, K)
    targets : float64 (N, K)
    nll : float64 (N,)
        Negative log-likelihood of each case, from the logits where there are any.
    units : Units
    odds : float64 (N, K), optional
        Log odds of each class, of two classes (N, 1) of the second; None where the scores are
        probabilities. Near 1 they have the digits that a probability has lost.
    """

    space: LabelSpace
    probabilities: Floats
    targets: Floats
    nll: Floats
    units: Units
    odds: Floats | None = None

    @classmethod
    def of(cls, predictions: Predictions) -> Sample:
        """Return the sample of predictions whose targets are known."""
        p, targets = predictions.probabilities, predictions.targets.astype(np.float64)
        space, odds = predictions.space, None
        if predictions.kind == "probabilities" and predictions.calibrator is None:
            nll = m.nll_terms(p, targets) if space.exclusive else m.label_nll_terms(p, targets)
        else:
            logits = predictions.calibrated_logits
            nll = log_likelihood_terms(logits, targets, space)
            odds = log_odds(logits, exclusive=space.exclusive)
        units = Units.of(predictions.case_id, predictions.patient_id)
        return cls(space, p, targets, nll, units, odds)

    def take(self, rows: Bools) -> Sample:
        """Return the cases of a mask (N,), with units of their own numbered in the same order."""
        members, of_case = np.unique(self.units.of_case[rows], return_inverse=True)
        return replace(
            self,
            probabilities=self.probabilities[rows],
            targets=self.targets[rows],
            nll=self.nll[rows],
            units=Units(of_case.astype(np.int64), len(members), self.units.kind),
            odds=None if self.odds is None else self.odds[rows],
        )

    @property
    def two_classes(self) -> bool:
        """Whether there are exactly two classes that exclude each other."""
        return self.space.exclusive and self.space.k == 2

    @property
    def primary(self) -> int:
        """The column of the target condition; the second where none is named."""
        index = self.space.positive_index
        return 1 if index is None else index

    @cached_property
    def decisions(self) -> Bools:
        """What is decided, bool (N, K): the most probable class, or every label over .5."""
        decide = m.most_probable if self.space.exclusive else m.over_half
        return decide(self.probabilities)

    @cached_property
    def ranking(self) -> Floats:
        """What each class is ranked by, float64 (N, K).

        The log odds, or the probabilities where nothing else is known: from log odds of about 37
        on every probability is 1, and would tie what they tell apart. For two classes the first
        mirrors the second, so that both say the same. Of more classes the log odds stand for the
        probability near 0 and 1 alone, where both have the same order: elsewhere it is as exact.
        """
        p, odds = self.probabilities, self.odds
        if self.two_classes:
            score = p[:, 1] if odds is None else odds[:, 0]
            return np.stack([-score, score], axis=1)
        if odds is None or not self.space.exclusive:
            return p if odds is None else odds
        return np.where(np.abs(odds) > SURE, odds, p)

    @cached_property
    def terms(self) -> dict[str, Floats]:
        """The metrics that are means over cases, each (N,)."""
        p, t, k = self.probabilities, self.targets, self.space.k
        if not self.space.exclusive:
            terms = {"brier": m.label_brier_terms(p, t), "exact_match": m.exact_terms(p, t)}
        else:
            terms = {"brier": m.brier_terms(p, t)}
            terms |= {f"top_{n}_accuracy": m.top_k_terms(p, t, n) for n in m.TOP if n < k}
        return {**terms, "nll": self.nll}

    @cached_property
    def confidences(self) -> dict[str, list[tuple[Floats, Floats]]]:
        """What each calibration error is the mean over: confidences (N,) and what came of them."""
        p, t = self.probabilities, self.targets
        if not self.space.exclusive:
            return {"ece": list(zip(p.T, t.T, strict=True))}
        if not self.two_classes:
            return {"ece": [m.top_label(p, t)]}
        positive = p[:, self.primary], t[:, self.primary]
        return {"ece": [positive], "ece_top_label": [m.top_label(p, t)]}

    def point(self) -> Figures:
        """Return the metrics of the sample itself (R = 1), by the plain way."""
        table = None
        if self.space.exclusive:
            table = m.confusion(self.decisions, self.targets)[..., None]
        counts = Counts(*(c[:, None] for c in m.count(self.decisions, self.targets)))
        return {
            **figures(counts, table, self.space),
            **{name: np.asarray([m.mean_term(term)]) for name, term in self.terms.items()},
            **self._calibration(),
            **self._ranked(counts),
        }

    def _calibration(self) -> Figures:
        errors = {
            name: np.asarray([[m.ece_of(m.reliability(*pair))] for pair in pairs])
            for name, pairs in self.confidences.items()
        }
        return {name: m.mean_defined(each) for name, each in errors.items()}

    def _ranked(self, counts: Counts) -> Figures:
        pairs = zip(self.ranking.T, self.targets.T, strict=True)
        steps = [m.staircase(score, target) for score, target in pairs]
        each = {name: np.asarray([[of(*s)] for s in steps]) for name, of in m.RANKED.items()}
        if self.two_classes:
            return each | means(each, None)
        found = each | means(each, counts.tp + counts.fn)
        pooled = m.pooled(self.ranking, self.targets)
        found |= {f"{name}_micro": np.asarray([m.RANKED[name](*pooled)]) for name in POOLED}
        if self.space.exclusive:
            found["auroc_ovo"] = np.asarray([m.auroc_ovo(self.ranking, self.targets)])
        return found
