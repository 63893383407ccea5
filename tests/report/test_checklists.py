"""The guidelines: every item once, an answer only where the run knows one, the same in the CSV."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import medimg as mi
from medimg.config import make_config
from medimg.data.checks.findings import Audit, Finding
from medimg.evaluation.results.evaluation import Evaluation
from medimg.files import read_json
from medimg.report.checklists import AUTHOR, GUIDELINES, Checklist, as_csv, fill
from medimg.report.words import number
from medimg.report.write import write_report
from medimg.testing import make_npz

BINARY: dict[str, Any] = {"positive": "malignant", "patients": 300}
TASKS = {
    "binary": BINARY,
    "binary without target": {},
    "ordinal": {"classes": ("none", "mild", "severe"), "kind": "ordinal"},
    "multilabel": {"classes": tuple(f"finding {i}" for i in range(14)), "kind": "multilabel"},
    "one label": {"classes": ("nodule",), "kind": "multilabel"},
}
#: What no run can know, by guideline: ethics, funding, registration, rationale, annotators.
NEVER = {
    "CLAIM 2024": "1 2 3 4 5 10 11 13 14 15 16 17 18 31 34 40 41 42 43 44",
    "STARD-AI": "1 2 3 4 5 6 8 9 10 12 15d 16a 16b 16c 17b 26b 27 32 33 34 35 36 37 38 39 40a",
    "TRIPOD+AI": "1 2 3a 3b 3c 4 5b 6a 6c 8b 8c 9c 14 17 18a 18b 18c 18d 18e 18f 19 25 26 27b 27c",
}
PROVENANCE = {
    "seed": 7,
    "python": "3.11.7",
    "platform": "Linux x86_64",
    "packages": {"medimg": "0.1.0", "torch": "2.15.0", "scipy": None},
    "manifest": "e9a4f7a9e60ba0e5",
    "split": "2a6c33c4423345b6",
    "model": "cnn",
    "bundle": "b7d4622b53f958b1",
    "config": {
        "model": {"name": "cnn", "init": "he", "widths": [32, 64]},
        "fit": {"optimizer": "adamw", "lr": 0.001, "monitor": "val_auroc", "momentum": 0.0},
        "preprocess": {"size": [28, 28], "bits": 8, "spacing": None, "dicom": {"voi": None}},
        "split": {"by": ["patient_id"]},
    },
    "evaluation": {"resamples": 2000, "seed": 0, "predictions": "70ceedea6214e68a"},
}
NOTES = (
    "in the training set (train, val, calib): none of 400 cases",
    "3 cases could not be read; errors.csv names them.",
    "Cases: train 491, test 400. Splits: made by patient_id. Probabilities are not calibrated.",
)


def rows(sections: Any) -> list[str]:
    return [topic.number for topics in sections.values() for topic in topics]


def answers(checklists: tuple[Checklist, ...], name: str) -> dict[str, str | None]:
    return {i.number: i.answer for c in checklists if c.name == name for i in c.items}


def test_guidelines_have_the_items_of_their_papers_in_order():
    claim, stard, tripod = (rows(guideline.sections) for guideline in GUIDELINES)
    assert claim == [str(n) for n in range(1, 45)]
    parts = {15: "abcd", 16: "abc", 17: "ab", 26: "ab", 40: "ab"}
    assert stard == [f"{n}{p}" for n in range(1, 41) for p in parts.get(n, [""])]
    parts = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef"}
    parts |= {20: "abc", 23: "ab", 27: "abc"}
    assert tripod == [f"{n}{p}" for n in range(1, 28) for p in parts.get(n, [""])]
    assert (len(claim), len(stard), len(tripod)) == (44, 48, 52)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_what_no_run_can_know_is_left_for_the_author(task, make, history):
    e = replace(make(**task, parts=True), provenance=PROVENANCE)
    checklists = fill(e, Audit(), history, NOTES)
    for checklist in checklists:
        blank = {item.number for item in checklist.items if item.answer is None}
        assert set(NEVER[checklist.name].split()) <= blank


def test_a_table_of_predictions_gets_no_answer_on_how_a_model_was_made(make):
    notes = ("in the training set: not checked: name the bundle",)
    claim = answers(fill(make(provenance={}), notes=notes), "CLAIM 2024")
    made = ("7", "8", "9", "19", "20", "22", "23", "24", "25", "26", "27", "30", "32", "33")
    assert all(claim[item] is None for item in made)
    assert (
        claim["21"]
        == "Evaluated: 400 cases of the split test. For the author: how the size was planned."
    )


def test_an_evaluation_of_metrics_alone_is_enough(make):
    e = make(**BINARY)
    bare = Evaluation(e.n, e.n_patients, "", e.space, False, e.metrics, {}, ())
    stard = answers(fill(bare), "STARD-AI")
    assert stard["28"] is None and stard["30"] is None and stard["31"].startswith("AUROC")


def test_answers_give_the_figures_of_the_evaluation(make):
    e = make(**BINARY, parts=True)
    stard = answers(fill(e), "STARD-AI")
    for name in ("auroc", "sensitivity", "specificity", "ppv", "npv"):
        x = e.metrics[name]
        assert f"{number(x.value)} ({number(x.low)}–{number(x.high)})" in stard["31"]
    (tn, fp), (fn, tp) = e.confusion
    assert (
        f"{tp} true positives, {fn} false negatives, {fp} false positives, {tn} true" in stard["30"]
    )
    assert f"malignant {tp + fn} of 400 ({100 * (tp + fn) / 400:.1f}%)" in stard["28"]
    assert (
        "malignant from a probability of 0.413 (youden, chosen on calib (120 cases" in stard["15c"]
    )
    assert "sex: F 200 cases" in stard["25"] and "2 groups of fewer than ten" in stard["25"]
    assert "Beside the first hospital (1,234 cases)" in stard["29"]


def test_several_runs_are_told_with_their_spread(make):
    tripod = answers(fill(make(**BINARY, parts=True)), "TRIPOD+AI")
    assert "3 runs of one model: " in tripod["23a"] and "of runs 0.011" in tripod["23a"]


def test_only_gaps_whose_interval_leaves_out_zero_are_named(make):
    e = make(**BINARY, parts=True)
    (sex, *_), wide = e.subgroups, {"low": -0.2, "high": 0.1}
    groups = [
        replace(g, gaps={n: replace(x, **wide) for n, x in g.gaps.items()}) for g in sex.groups
    ]
    hit = replace(groups[0].gaps["auroc"], value=-0.2, low=-0.3, high=-0.1)
    groups[0] = replace(groups[0], gaps={**groups[0].gaps, "auroc": hit})
    one = fill(replace(e, subgroups=(replace(sex, groups=tuple(groups)),)))
    assert "leaves out 0: AUROC in F -0.200 (-0.300 to -0.100)" in answers(one, "TRIPOD+AI")["23b"]
    assert answers(one, "TRIPOD+AI")["23b"].count("AUROC") == 1
    none = fill(replace(e, subgroups=(replace(sex, groups=tuple(groups[1:])),)))
    assert "leaves out 0: none." in answers(none, "TRIPOD+AI")["23b"]


def test_a_run_says_how_its_model_was_made(make, history):
    e = replace(make(**BINARY), provenance=PROVENANCE)
    claim = answers(fill(e, Audit(), history, NOTES), "CLAIM 2024")
    assert claim["9"].startswith("Pixels: size (28, 28), bits 8. For the author")
    assert "Cases: train 491, test 400. Splits: made by patient_id." in claim["19"]
    assert claim["20"].startswith("The audit found no patient or study id, no image and no equal")
    assert "none of 400 cases" in claim["20"]
    assert claim["22"].startswith("Network cnn (init he, widths (32, 64)).")
    assert claim["23"] == "Made with medimg 0.1.0, torch 2.15.0; Python 3.11.7 on Linux x86_64."
    assert claim["24"] == "Initial weights: he, seed 7."
    assert "Training: optimizer adamw, lr 0.001, monitor val_auroc. 20 epochs run." in claim["25"]
    assert claim["26"] == "Epoch 9 of 20 epochs was kept, by val_auroc on the split val."
    assert "3 cases could not be read; errors.csv names them." in claim["35"]


def test_partitions_that_share_cases_are_never_called_apart(make):
    found = Finding("pixels_in_several_splits", (("a", "b"),))
    claim = answers(fill(make(), Audit((found,))), "CLAIM 2024")
    assert claim["20"].startswith("The same pixels stand in several splits (1 group of 2 cases).")
    assert "No patient ids came" in claim["20"] and "found no" not in claim["20"]
    unlooked = Audit(not_checked={"pixels": "no store"})
    assert "picture" not in answers(fill(make(patients=300), unlooked), "CLAIM 2024")["20"]


def test_a_part_that_is_left_to_the_author_is_said_and_counted(make):
    checklist = fill(make(**BINARY, parts=True))[0]
    partly = [item for item in checklist.items if item.partly]
    assert partly and all(" For the author: " in item.answer for item in partly)
    n = sum(item.answer is not None for item in checklist.items)
    left = 44 - n
    assert checklist.summary == (
        f"{n - len(partly)} of 44 filled in, {len(partly)} in part, {left} for the author"
    )


def test_any_provenance_is_taken(make):
    odd: list[Any] = [None, 3, [], [None], {"a": {}}, {"init": [1]}, "x"]
    names = ("manifest", "split", "model", "packages", "config", "bundles", "bundle", "evaluation")
    for value in odd:
        inside = {"config": {"model": value, "fit": value, "preprocess": value}, "seed": value}
        for provenance in (dict.fromkeys(names, value), inside):
            assert len(fill(replace(make(), provenance=provenance))) == 3


def test_the_table_holds_every_item_and_the_page_the_same_words(make, tmp_path):
    page = write_report(tmp_path, make(**BINARY, parts=True), notes=NOTES)
    read = Evaluation.from_dict(read_json(tmp_path / "metrics.json"))
    checklists = fill(read, None, (), NOTES)
    text = (tmp_path / "checklists.csv").read_text(encoding="utf-8")
    assert text == as_csv(checklists)
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["item"] for row in table] == [i.number for c in checklists for i in c.items]
    assert {row["answer"] == AUTHOR for row in table} == {True, False}
    html = page.read_text(encoding="utf-8")
    shown = html[html.index('<section id="appendix">') :]
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", shown, re.DOTALL)]
    for row in table:
        assert row["answer"] in cells and row["topic"] in cells
    for checklist in checklists:
        assert f"{checklist.name}: {checklist.summary}" in unescape(shown)


def test_names_of_the_data_are_escaped_on_the_page(make, tmp_path):
    nasty = "<script>alert(1)</script>"
    page = write_report(tmp_path, make(classes=("benign", nasty), positive=nasty, parts=True))
    assert "<script" not in page.read_text(encoding="utf-8")


def test_a_real_run_fills_in_how_it_was_made(tmp_path: Path):
    config = make_config(
        {
            "data": {
                "source": str(make_npz(tmp_path / "x.npz", n={"train": 120, "test": 60})),
                "cache": str(tmp_path / "cache"),
            },
            "model": {"name": "mlp", "hidden": [8]},
            "fit": {"epochs": 2, "batch_size": 16, "lr": 0.01},
            "evaluate": {"resamples": 100},
        }
    )
    done = mi.run(config, tmp_path / "run")
    text = (done.folder / "report" / "checklists.csv").read_text(encoding="utf-8")
    claim = {
        row["item"]: row["answer"]
        for row in csv.DictReader(io.StringIO(text))
        if row["guideline"] == "CLAIM 2024"
    }
    for item in ("8", "9", "19", "20", "22", "23", "24", "25", "26", "27", "32", "35"):
        assert claim[item] != AUTHOR, item
    assert "Splits: " in claim["19"] and "hidden (8)" in claim["22"]
    assert "in the training set" in claim["20"].lower() and "2 epochs run." in claim["25"]
    assert str(tmp_path) not in text
