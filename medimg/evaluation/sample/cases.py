"""`Sample`: the cases of one evaluation that have a known target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medimg.calibrator import log_likelihood_terms
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Counts, Floats
from medimg.evaluation.sample.figures import POOLED, Figures, figures, means
from medimg.labels import LabelSpace
from medimg.predictions import Predictions


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
    """

    space: LabelSpace
    probabilities: Floats
    targets: Floats
    nll: Floats
    units: Units

    @classmethod
    def of(cls, predictions: Predictions) -> Sample:
        """Return the sample of predictions whose targets are known."""
        p, targets = predictions.probabilities, predictions.targets.astype(np.float64)
        space = predictions.space
        if predictions.kind == "probabilities" and predictions.calibrator is None:
            nll = m.nll_terms(p, targets) if space.exclusive else m.label_nll_terms(p, targets)
        else:
            nll = log_likelihood_terms(predictions.calibrated_logits, targets, space)
        units = Units.of(predictions.case_id, predictions.patient_id)
        return cls(space, p, targets, nll, units)

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

        The probabilities; for two classes the first mirrors the second, because near 1 a
        probability has fewer digits than its complement and would tie what the other tells
        apart.
        """
        if not self.two_classes:
            return self.probabilities
        score = self.probabilities[:, 1]
        return np.stack([-score, score], axis=1)

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
        pooled = m.pooled(self.probabilities, self.targets)
        found |= {f"{name}_micro": np.asarray([m.RANKED[name](*pooled)]) for name in POOLED}
        if self.space.exclusive:
            found["auroc_ovo"] = np.asarray([m.auroc_ovo(self.probabilities, self.targets)])
        return found
