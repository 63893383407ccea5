"""Comparing models on the same cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medimg.errors import PredictionsError, UsageError
from medimg.evaluation.compare.compare import compare
from medimg.evaluation.compare.runs import evaluate_runs
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.comparison import Comparison, Contrast
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing.tables import make_predictions

QUICK = EvaluateOptions(resamples=400)


def noisier(p: Predictions, sd: float, seed: int = 1) -> Predictions:
    noise = np.random.default_rng(seed).normal(scale=sd, size=p.scores.shape)
    return replace(p, scores=(p.scores + noise).astype(np.float32))


def one(comparison: Comparison, metric: str, model: str = "b") -> Contrast:
    (found,) = (c for c in comparison.contrasts if c.metric == metric and c.model == model)
    return found


def test_a_worse_model_is_called_worse_and_the_better_one_better() -> None:
    good = make_predictions(600)
    bad = noisier(good, 4.0)
    down, up = (compare(m, QUICK) for m in ({"a": good, "b": bad}, {"a": bad, "b": good}))
    for metric in ("auroc", "accuracy", "brier", "nll", "sensitivity", "average_precision"):
        assert one(down, metric).verdict == "worse", metric
        assert one(up, metric).verdict == "better", metric
        a, b = one(down, metric).difference, one(up, metric).difference
        assert a.value == pytest.approx(-b.value), metric  # type: ignore[operator]


def test_a_model_is_no_better_than_itself() -> None:
    p = make_predictions(200)
    comparison = compare({"a": p, "b": p}, QUICK)
    for contrast in comparison.contrasts:
        assert contrast.difference.value == 0
        assert contrast.verdict == "not shown"
    auroc = one(comparison, "auroc").difference
    assert auroc.low is None and "no spread" in (auroc.reason or "")
    assert one(comparison, "accuracy").difference.p == 1


def test_the_difference_of_two_aurocs_is_delongs() -> None:
    good = make_predictions(300)
    found = one(compare({"a": good, "b": noisier(good, 1.0)}, QUICK), "auroc").difference
    assert found.method == "mover_delong"
    y = good.targets[:, 1] == 1
    placements = []
    for p in (good, noisier(good, 1.0)):
        s = p.probabilities[:, 1]
        wins = (s[y][:, None] > s[~y]) + 0.5 * (s[y][:, None] == s[~y])
        placements.append((wins.mean(axis=1), wins.mean(axis=0)))
    by_case = [placements[1][i] - placements[0][i] for i in (0, 1)]
    se = np.sqrt(sum(d.var(ddof=1) / len(d) for d in by_case))
    assert found.value is not None and found.low is not None and found.high is not None
    # Each model's interval stands on the logit scale, so that the ends are not DeLong's to the bit.
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * se, rel=0.1)


def test_small_p_and_interval_together_make_a_verdict() -> None:
    p = make_predictions(120, patients=60)
    others = {f"m{i}": noisier(p, 0.8, seed=i) for i in range(2, 8)}
    differences = 0
    for c in compare({"a": p, **others}, QUICK).contrasts:
        d = c.difference
        differs = d.p is not None and d.p < 0.05 and d.low is not None and not d.low <= 0 <= d.high  # type: ignore[operator]
        assert (c.verdict in ("better", "worse")) == differs, c
        differences += d.low is not None and not d.low <= 0 <= d.high and not differs  # type: ignore[operator]
    assert differences  # an interval that leaves out 0 is not enough where there are six models


def flipped(p: Predictions, better: int, worse: int) -> Predictions:
    """Return predictions that decide so many of the wrong cases right, and right ones wrong."""
    right = (p.probabilities.argmax(axis=1) == p.targets.argmax(axis=1)).nonzero()[0]
    wrong = np.setdiff1d(np.arange(len(p)), right)
    scores = p.scores.copy()
    rows = np.concatenate([wrong[:better], right[:worse]])
    scores[rows] = scores[rows, ::-1]
    return replace(p, scores=scores)


def test_where_test_and_interval_of_a_share_disagree_no_verdict_is_given_and_it_is_said() -> None:
    p = make_predictions(100)
    comparison = compare({"a": p, "b": flipped(p, 5, 0)}, QUICK)
    found = one(comparison, "accuracy")
    p_value, low = found.difference.p, found.difference.low
    assert p_value is not None and p_value < 0.05
    assert low is not None and low <= 0
    assert found.verdict == "not shown"
    assert any("McNemar" in note for note in comparison.notes)


def test_named_metric_comes_first_and_must_be_defined_for_a_margin() -> None:
    p = make_predictions(100)
    models = {"a": p, "b": noisier(p, 1)}
    assert compare(models, QUICK, metric="brier").contrasts[0].metric == "brier"
    one_class = {
        n: replace(m, targets=np.tile(np.float32([1, 0]), (100, 1))) for n, m in models.items()
    }
    assert compare(one_class, QUICK).contrasts
    with pytest.raises(UsageError, match="'auroc' is not defined"):
        compare(one_class, QUICK, margin=0.1)


def test_single_label_can_be_compared() -> None:
    p = make_predictions(300, LabelSpace(("only",), "multilabel"))
    assert one(compare({"a": p, "b": noisier(p, 3)}, QUICK), "auroc_macro").verdict == "worse"


def test_proportion_of_enough_cases_is_compared_though_the_other_class_is_rare() -> None:
    p = make_predictions(600)
    sick = np.flatnonzero(p.targets[:, 1])
    few = p.take(np.concatenate([sick, np.flatnonzero(p.targets[:, 0])[:5]]))
    comparison = compare({"a": few, "b": noisier(few, 1)}, QUICK)
    assert one(comparison, "sensitivity").difference.low is not None
    for metric in ("specificity", "auroc", "mcc"):
        found = one(comparison, metric).difference
        assert found.low is None and found.reason, metric


def test_margin_tells_not_worse_from_not_shown() -> None:
    good = make_predictions(2000)
    other = noisier(good, 0.15)
    wide = one(compare({"a": good, "b": other}, QUICK, metric="auroc", margin=0.05), "auroc")
    tight = one(compare({"a": good, "b": other}, QUICK, metric="auroc", margin=1e-6), "auroc")
    assert wide.verdict in ("not worse", "worse, within the margin")
    assert tight.verdict in ("not shown", "worse")


def test_a_margin_is_of_the_named_metric_alone() -> None:
    good = make_predictions(2000)
    comparison = compare({"a": good, "b": noisier(good, 0.1)}, QUICK, metric="brier", margin=0.5)
    assert one(comparison, "brier").verdict in ("not worse", "worse, within the margin")
    others = [c.verdict for c in comparison.contrasts if c.metric != "brier"]
    assert not {"not worse", "worse, within the margin"} & set(others)


def test_p_values_are_adjusted_for_the_number_of_models() -> None:
    good = make_predictions(200)
    others = {name: noisier(good, 1.0, seed) for seed, name in enumerate("bcd", start=10)}
    together = compare({"a": good, **others}, QUICK)
    alone = [
        one(compare({"a": good, n: p}, QUICK), "auroc", n).difference.p for n, p in others.items()
    ]
    adjusted = [one(together, "auroc", n).difference.p for n in others]
    order = np.argsort(alone)  # type: ignore[arg-type]
    by_hand, least = {}, 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (3 - place) * alone[i]))  # type: ignore[operator]
        by_hand[int(i)] = least
    assert adjusted == pytest.approx([by_hand[i] for i in range(3)])


def test_several_runs_count_as_one_model_and_their_spread_is_told() -> None:
    good = make_predictions(500, patients=250)
    a = [noisier(good, 0.8, seed) for seed in range(10, 15)]
    b = [noisier(good, 1.6, seed) for seed in range(15, 20)]
    comparison = compare({"a": a, "b": b}, QUICK)
    assert [m.n_runs for m in comparison.models] == [5, 5]
    auroc = one(comparison, "auroc")
    assert auroc.difference.method == "bootstrap + runs" and auroc.difference.unit == "patient"
    assert auroc.sd_runs and auroc.sd_people
    values = [np.mean(m.values["auroc"]) for m in comparison.models]
    assert auroc.difference.value == pytest.approx(values[1] - values[0])


def test_other_cases_targets_patients_and_classes_are_refused() -> None:
    p = make_predictions(100, patients=50)
    with pytest.raises(PredictionsError, match=r"b and a share 99 labelled cases, and 1 stand"):
        compare({"a": p, "b": p.take(np.arange(99))}, QUICK)
    flipped = p.targets.copy()
    flipped[3] = flipped[3][::-1]
    with pytest.raises(PredictionsError, match=r"other targets .* 1 cases"):
        compare({"a": p, "b": replace(p, targets=flipped)}, QUICK)
    with pytest.raises(PredictionsError, match="other patients"):
        compare({"a": p, "b": replace(p, patient_id=np.repeat(p.patient_id[:50], 2))}, QUICK)  # type: ignore[index]
    with pytest.raises(PredictionsError, match="classes"):
        compare({"a": p, "b": make_predictions(100, LabelSpace(("x", "y")))}, QUICK)


def test_patients_under_other_pseudonyms_are_the_same_patients() -> None:
    p = make_predictions(100, patients=50)
    names = {name: f"Q{i:03d}" for i, name in enumerate(sorted(set(p.patient_id))[::-1])}  # type: ignore[arg-type]
    other = replace(p, patient_id=[names[n] for n in p.patient_id])  # type: ignore[union-attr]
    assert compare({"a": p, "b": other}, QUICK).n_patients == 50


def test_bad_questions_are_refused_by_name() -> None:
    p = make_predictions(100)
    with pytest.raises(UsageError, match="1 models"):
        compare({"a": p}, QUICK)
    with pytest.raises(UsageError, match=r"auroq.*auroc"):
        compare({"a": p, "b": p}, QUICK, metric="auroq")
    with pytest.raises(UsageError, match="margin"):
        compare({"a": p, "b": p}, QUICK, margin=-1)


def test_fewer_than_ten_of_a_class_give_no_interval() -> None:
    p = make_predictions(400)
    rows = np.concatenate(
        [np.flatnonzero(p.targets[:, 1] == 0), np.flatnonzero(p.targets[:, 1])[:5]]
    )
    few = p.take(rows)
    found = one(compare({"a": few, "b": noisier(few, 1)}, QUICK), "auroc").difference
    assert found.low is None and "fewer than ten" in (found.reason or "")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "ordinal"])
def test_every_kind_of_task_can_be_compared_and_written_down(kind: str) -> None:
    space = LabelSpace(("u", "v", "w"), kind)  # type: ignore[arg-type]
    p = make_predictions(300, space)
    comparison = compare({"a": p, "b": noisier(p, 2)}, QUICK)
    assert one(comparison, "auroc_macro").verdict == "worse"
    assert Comparison.from_dict(comparison.to_dict()).to_dict() == comparison.to_dict()
    assert len(comparison.to_frame()) == len(comparison.contrasts)


def test_mean_of_runs_has_an_interval_for_people_and_runs() -> None:
    good = make_predictions(400)
    runs = [noisier(good, 1.0, seed) for seed in range(10, 15)]
    evaluation = evaluate_runs(runs, QUICK)
    (row,) = (r for r in evaluation.runs if r.metric == "auroc")
    assert row.mean.value == pytest.approx(np.mean(row.values))  # type: ignore[arg-type]
    assert row.sd_runs == pytest.approx(np.std(row.values, ddof=1))  # type: ignore[arg-type]
    assert 0 < row.share_runs < 1  # type: ignore[operator]
    same = evaluate_runs([good, good], QUICK)
    (still,) = (r for r in same.runs if r.metric == "auroc")
    assert still.share_runs == 0 and still.sd_runs == 0
    assert still.mean.low is not None and still.mean.low < good_auroc(good) < still.mean.high  # type: ignore[operator]


def test_mean_of_runs_is_taken_on_the_scale_of_its_metric() -> None:
    rng = np.random.default_rng(4)
    p = make_predictions(200)
    chance = [
        replace(p, scores=rng.normal(scale=1.2, size=(200, 2)).astype(np.float32)) for _ in range(4)
    ]
    metrics = evaluate_runs(chance, QUICK).metrics
    assert metrics["mcc"].low < 0 < metrics["mcc"].high  # type: ignore[operator]
    assert metrics["nll"].value < metrics["nll"].high  # type: ignore[operator]
    assert metrics["nll"].high > 1  # type: ignore[operator]
    few = {f"r{i}": run.take(np.arange(100)) for i, run in enumerate(chance)}
    alone = evaluate(few["r0"], QUICK).metrics
    for name, estimate in evaluate_runs(few, QUICK).metrics.items():
        if alone[name].low is None and (alone[name].reason or "").startswith("fewer"):
            assert estimate.low is None and estimate.reason == alone[name].reason, name


def test_difference_of_means_stays_within_what_is_possible() -> None:
    p = make_predictions(200)
    runs = [[noisier(p, sd, seed) for seed, sd in enumerate(sds)] for sds in ((0, 9), (9, 0.1))]
    for c in compare({"a": runs[0], "b": runs[1]}, QUICK).contrasts:
        if c.metric in ("auroc", "sensitivity", "f1") and c.difference.low is not None:
            assert c.difference.low >= -1 and c.difference.high <= 1  # type: ignore[operator]


def good_auroc(p: Predictions) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(p.targets[:, 1], p.probabilities[:, 1]))


def test_a_mean_over_runs_rests_on_the_cases_of_its_denominator() -> None:
    good = make_predictions(400)
    runs = evaluate_runs([noisier(good, 1.0, seed) for seed in (10, 11)], QUICK)
    sick = int(good.targets[:, 1].sum())
    assert runs.metrics["sensitivity"].n == sick
    assert runs.metrics["specificity"].n == 400 - sick
    assert runs.metrics["auroc"].n == 400


def test_one_run_alone_has_no_spread() -> None:
    with pytest.raises(UsageError, match="one run"):
        evaluate_runs([make_predictions(50)], QUICK)


def test_interval_of_the_mean_covers_new_people_and_new_runs() -> None:
    rng = np.random.default_rng(0)
    covered, draws = 0, 120
    truth = 0.8 + np.zeros(draws)
    for i in range(draws):
        n = 200
        y = (np.arange(n) < 60).astype(int)
        base = rng.normal(size=n)
        runs = []
        for _ in range(4):
            # Each run separates the classes by its own amount, 1.19 (AUROC .8) on average.
            shift = 1.19 + 0.15 * rng.normal()
            score = base * 0.9 + np.sqrt(1 - 0.81) * rng.normal(size=n) + shift * y
            targets = np.eye(2, dtype=np.float32)[y]
            logits = np.stack([np.zeros(n), score], axis=1).astype(np.float32)
            ids = [f"c{k:03d}" for k in range(n)]
            runs.append(
                Predictions(ids, logits, "logits", LabelSpace(("n", "p"), positive="p"), targets)
            )
        (row,) = (
            r
            for r in evaluate_runs(runs, EvaluateOptions(resamples=200)).runs
            if r.metric == "auroc"
        )
        covered += row.mean.low <= truth[i] <= row.mean.high  # type: ignore[operator]
    assert covered / draws >= 0.9


def two_models(
    patients: int, images: int, prevalence: float, rng: np.random.Generator
) -> list[Predictions]:
    """Return two models of AUROC .9 and .82, whose errors go together (.8), within patients .6."""
    sick = np.repeat(np.arange(patients) < round(prevalence * patients), images)
    of_case = np.repeat(np.arange(patients), images)

    def noise() -> np.ndarray:  # type: ignore[type-arg]
        between, within = rng.normal(size=patients)[of_case], rng.normal(size=len(of_case))
        return np.sqrt(0.6) * between + np.sqrt(0.4) * within

    first = noise()
    second = 0.8 * first + 0.6 * noise()
    found = []
    for error, apart in ((first, 1.8), (second, 1.3)):
        logit = np.log(prevalence / (1 - prevalence)) + apart * (apart * sick + error - apart / 2)
        found.append(
            Predictions(
                [f"{i:07d}" for i in range(len(sick))],
                np.stack([0 * logit, logit], axis=1).astype(np.float32),
                "logits",
                LabelSpace(("n", "p"), positive="p"),
                np.eye(2, dtype=np.float32)[sick.astype(int)],
                patient_id=[f"p{i}" for i in of_case],
            )
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patients", "images", "prevalence"),
    [(54, 1, 0.3), (156, 1, 0.1), (156, 5, 0.3), (500, 1, 0.1)],
)
def test_differences_cover(patients: int, images: int, prevalence: float) -> None:
    rng = np.random.default_rng(3)
    first, second = two_models(200_000, 1, prevalence, rng)
    truth = {
        c.metric: c.difference.value
        for c in compare({"a": first, "b": second}, EvaluateOptions(resamples=100)).contrasts
    }
    covered: dict[str, list[bool]] = {}
    for _ in range(300):
        a, b = two_models(patients, images, prevalence, rng)
        for c in compare({"a": a, "b": b}, EvaluateOptions(resamples=500)).contrasts:
            low, high, true = c.difference.low, c.difference.high, truth[c.metric]
            if low is not None and high is not None and true is not None:
                covered.setdefault(c.metric, []).append(low <= true <= high)
    shares = {metric: np.mean(found) for metric, found in covered.items() if len(found) > 200}
    # 300 draws of a method that covers 95%: .912 is three standard errors below it.
    assert {metric: share for metric, share in shares.items() if share < 0.912} == {}
