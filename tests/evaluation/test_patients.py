"""`by_patient`: what becomes of scores, targets and metadata, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

from medimg.errors import LeakError, UsageError
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.sample.patients import HOW, by_patient, patient_note, several_cases
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

ILL = LabelSpace(("well", "ill"), positive="ill")
GRADES = LabelSpace(("low", "middle", "high"), "ordinal")
LABELS = LabelSpace(("effusion", "mass"), "multilabel")


def cases(space, scores, patients, targets=None, kind="logits", **more):
    """Return predictions of cases c0, c1, ... in this order."""
    ids = [f"c{i}" for i in range(len(scores))]
    return Predictions(ids, np.asarray(scores), kind, space, targets, patient_id=patients, **more)


def unknown_is_blank(targets):
    return [["" if v != v else int(v) for v in row] for row in targets]


def test_mean_of_logits_of_two_patients_by_hand():
    found = by_patient(cases(ILL, [[0, 1], [0, 3], [0, -4]], ["b", "b", "a"]), "mean_logits")
    assert list(found.case_id) == ["c0", "c2"]
    assert list(found.patient_id) == ["b", "a"]
    assert found.logits.tolist() == [[0, 2], [0, -4]]
    assert found.calibrator is None


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_means_agree_with_a_loop_over_patients(make, kind, calibrated):
    p = make(300, 3, kind=kind, images=4, unknown=0.1)
    p = p.with_calibrator(fit_calibrator(p)) if calibrated else p
    probability, logits = by_patient(p, "mean_probability"), by_patient(p, "mean_logits")
    for row, patient in enumerate(logits.patient_id):
        own = p.patient_id == patient
        assert logits.case_id[row] == min(p.case_id[own])
        expected = p.calibrated_logits[own].mean(axis=0)
        assert logits.logits[row] == pytest.approx(expected, abs=1e-6)
        expected = p.probabilities[own].mean(axis=0)
        assert probability.probabilities[row] == pytest.approx(expected, abs=1e-6)


def test_highest_probability_of_the_condition_is_that_of_the_most_suspicious_case():
    scores = [[5, 4], [0, 2], [9, 0], [0, -1]]
    p = cases(ILL, scores, ["a", "a", "b", "b"])
    found = by_patient(p, "max_probability").probabilities
    assert found[:, 1] == pytest.approx(expit([2, -1]))
    assert found.sum(axis=1) == pytest.approx([1, 1])
    mirrored = cases(LabelSpace(("well", "ill"), positive="well"), scores, ["a", "a", "b", "b"])
    found = by_patient(mirrored, "max_probability").probabilities
    assert found[:, 0] == pytest.approx(expit([1, 9]))


def test_highest_probability_of_each_label():
    p = cases(LABELS, [[-2, 1], [3, 0], [0, 0]], ["a", "a", "b"])
    found = by_patient(p, "max_probability")
    assert found.probabilities == pytest.approx(expit(np.asarray([[3, 1], [0, 0]])))


def test_saturated_probabilities_stay_apart():
    p = cases(ILL, [[0, 30], [0, 35], [0, 40], [0, -50]], ["a", "b", "c", "c"])
    for how in ("mean_logits", "max_probability"):
        logits = by_patient(p, how).logits
        assert logits[0, 1] < logits[1, 1]


@pytest.mark.parametrize("how", HOW)
def test_one_case_a_patient_stays_as_it_is(make, how):
    for kind in ("multilabel", "multiclass"):
        p = make(100, 2, kind=kind, positive="b" if kind == "multiclass" else None, images=1)
        found = by_patient(p, how)
        assert found.probabilities == pytest.approx(p.probabilities, abs=1e-6)
        assert np.array_equal(found.targets, p.targets, equal_nan=True)
        assert list(found.case_id) == list(p.case_id)
        assert list(found.split) == list(p.split)


def test_probabilities_are_taken_as_declared():
    p = cases(GRADES, [[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]], ["a", "a"], kind="probabilities")
    assert by_patient(p, "mean_probability").probabilities == pytest.approx(
        np.asarray([[0.4, 0.35, 0.25]]), abs=1e-6
    )
    logs = np.log([[0.2, 0.3, 0.5], [0.6, 0.4, 1e-12]]).mean(axis=0)
    assert by_patient(p).probabilities[0] == pytest.approx(softmax(logs), abs=1e-6)


def test_target_is_what_all_known_cases_share():
    targets = GRADES.one_hot([0, 0, 1, 2, -1, 2, -1, -1])
    p = cases(GRADES, np.zeros((8, 3)), list("aabbccdd"), targets)
    assert unknown_is_blank(by_patient(p).targets) == [[1, 0, 0], ["", "", ""], [0, 0, 1], [""] * 3]
    assert patient_note(p) == (
        "one row a patient (mean_logits): 8 cases of 4 patients; left out: 1 whose cases are of "
        "different classes and 1 without any known target"
    )


def test_a_label_is_there_where_any_case_has_it():
    nan = np.nan
    targets = [[1, 0], [0, 0], [nan, 0], [0, nan], [nan, nan], [nan, 1]]
    p = cases(LABELS, np.zeros((6, 2)), list("aabbcc"), np.asarray(targets))
    assert unknown_is_blank(by_patient(p).targets) == [[1, 0], [0, 0], ["", 1]]
    assert patient_note(p, "max_probability") == (
        "one row a patient (max_probability): 6 cases of 3 patients"
    )


def test_metadata_are_kept_where_a_patients_cases_agree():
    frame = pd.DataFrame({"sex": ["F", "F", "M"], "age": [40, 41, 70.5], "view": ["PA", "", "AP"]})
    p = cases(ILL, np.zeros((3, 2)), ["a", "a", "b"], metadata=frame)
    found = by_patient(p).metadata
    assert found.to_dict("list") == {"sex": ["F", "M"], "age": ["", "70.5"], "view": ["", "AP"]}


def test_a_case_without_a_patient_is_one_of_its_own_even_where_it_bears_a_patients_name():
    p = cases(ILL, [[0, 1], [0, 3], [0, 5], [0, 7]], ["c1", "", "c1", ""])
    found = by_patient(p)
    assert list(found.case_id) == ["c0", "c1", "c3"]
    assert list(found.patient_id) == ["c1", "", ""]
    assert found.logits[:, 1].tolist() == [3, 3, 7]


def test_no_order_of_the_rows_changes_anything(make, shuffled):
    p = make(200, 3, images=4, unknown=0.2)
    assert by_patient(p).fingerprint == by_patient(shuffled(p)).fingerprint


def test_a_patient_in_two_splits_is_refused_without_being_named():
    more = {"split": ["train", "test", "test"]}
    p = cases(ILL, np.zeros((3, 2)), ["Mary", "Mary", "Anne"], **more)
    with pytest.raises(LeakError, match="several splits: 1; such as case 'c0'") as caught:
        by_patient(p)
    assert "Mary" not in str(caught.value)
    assert len(by_patient(p.select("test"))) == 2
    apart = cases(ILL, np.zeros((3, 2)), ["a", "b", "b"], **more)
    assert list(by_patient(apart).split) == ["train", "test"]


def test_what_cannot_be_done_is_refused_by_name():
    zeros = np.zeros((2, 2))
    for patients in (None, ["", ""]):
        with pytest.raises(UsageError, match="none of 2 cases says of which patient"):
            by_patient(cases(ILL, zeros, patients))
    with pytest.raises(UsageError, match="did you mean mean_logits"):
        by_patient(cases(ILL, zeros, ["a", "a"]), "mean_logit")
    with pytest.raises(
        UsageError, match="max_probability of the ordinal classes low, middle, high"
    ):
        by_patient(cases(GRADES, np.zeros((2, 3)), ["a", "a"]), "max_probability")
    with pytest.raises(UsageError, match="name one positive"):
        by_patient(cases(LabelSpace(("a", "b")), zeros, ["a", "a"]), "max_probability")


def test_several_cases_are_seen_by_patient_ids_alone(make):
    assert several_cases(make(20, 3, images=2))
    assert not several_cases(make(20, 3, images=1))
    assert not several_cases(make(20, 3))
