"""The page: complete, self-contained, escaped, the same every time."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from medimg.errors import UsageError
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.report.figures.confusion import MOST_CLASSES
from medimg.report.page import render
from medimg.report.tables import TABLES
from medimg.report.words import (
    CONDITIONAL,
    DISCLAIMER,
    OF_RUNS,
    interval_text,
    label,
    null_text,
    number,
    value_text,
)
from medimg.report.write import Example, write_report

NASTY = "<script>alert(\"x\")</script> & 'quoted', naïve 血管"
TASKS = {
    "binary": {"positive": "malignant", "patients": 300},
    "binary without target": {},
    "multiclass": {"classes": tuple("0123456789")},
    "ordinal": {"classes": ("none", "mild", "severe"), "kind": "ordinal"},
    "multilabel": {"classes": tuple(f"finding {i}" for i in range(14)), "kind": "multilabel"},
    "one label": {"classes": ("nodule",), "kind": "multilabel"},
}
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects tags and checks that each is closed in its order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name: str, tag: str | None = None) -> list[str]:
        return [v for t, n, v in self.attributes if n == name and tag in (None, t)]


def plots(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(s) for s in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_tag_is_closed_and_every_figure_is_well_formed(task, make, history, examples):
    html = render(make(**task, parts=True), history=history, examples=examples)
    page = Page(html)
    assert page.tags.count("h1") == 1
    drawn = [svg for svg in plots(html) if svg.get("role") == "img"]
    assert len(drawn) >= 12
    for svg in drawn:
        assert svg[0].tag == "title" and svg[0].text and svg[1].tag == "desc" and svg[1].text
    ids = page.values("id")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_number_of_metrics_json_stands_in_the_page(task, make, tmp_path):
    page = write_report(tmp_path, make(**task, parts=True))
    html = page.read_text(encoding="utf-8")
    content = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    shown = Page(html).values("data-metric")
    assert sorted(shown) == sorted([*content["metrics"], *content["by_patient"]["metrics"]])
    found = list(estimates(content))
    assert len(found) > 60
    for e in found:
        if e.value is not None:
            assert f'<data value="{e.value}">{number(e.value)}</data>' in html
        assert interval_text(e) in html and (e.reason or "") in html and null_text(e) in html
    assert all(label(name) in html for name in content["metrics"])
    assert DISCLAIMER in html and OF_RUNS in html and CONDITIONAL not in html


def estimates(value):
    """Yield every estimate of a JSON value."""
    if isinstance(value, dict) and "n_patients" in value and "method" in value and "low" in value:
        yield Estimate(**value)
    elif isinstance(value, dict):
        for part in value.values():
            yield from estimates(part)
    elif isinstance(value, list):
        for part in value:
            yield from estimates(part)


def test_page_shows_what_metrics_json_holds_and_not_what_was_handed_over(make, tmp_path):
    class Forgetful(Evaluation):
        def to_dict(self):
            return super().to_dict() | {"split": "read back"}

    page = write_report(tmp_path, Forgetful(**vars(make())))
    assert "Split <b>read back</b>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_link_of_the_contents_leads_to_a_section_and_none_is_left_out(task, make, history):
    for parts in (False, True):
        html = render(make(**task, parts=parts), history=history)
        page = Page(html)
        sections = re.findall(r'<section id="([^"]+)">', html)
        assert page.values("href") == [f"#{id_}" for id_ in sections]
    assert len(sections) == 15


def test_a_page_of_many_classes_folds_them_away(make):
    html = render(make(**TASKS["multilabel"], parts=True))
    assert html.count("<summary>finding 9</summary>") == 2
    assert "12 more classes" in html and "20 more rows" in html
    assert len(html) < 900_000


def test_every_figure_is_small(make):
    for task in TASKS.values():
        html = render(make(**task, n=2000, parts=True))
        figures = re.findall(r'<svg class="plot".*?</svg>', html, re.DOTALL)
        assert max(map(len, figures)) < 28_000


def test_page_asks_for_nothing_outside_itself(make, history, examples):
    html = render(make(parts=True), history=history, examples=examples)
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(
        r"https?:|//|url\(|@import", re.sub(r"data:image/png;base64,\S+", "", html)
    )
    assert all(v.startswith("data:image/png;base64,") for v in page.values("src"))
    assert all(v.startswith("#") for v in page.values("href"))
    assert not [n for _, n, _ in page.attributes if n.startswith("on")]


def test_texts_of_users_are_escaped_everywhere(make, history, examples):
    classes = (NASTY, '"><svg onload=1>', "]]>--&lt;")
    example = dataclasses.replace(examples[0], case_id=NASTY, target=NASTY, predicted="</figure>")
    html = render(
        make(classes=classes, provenance={NASTY: {NASTY: NASTY}}, parts=True),
        title=NASTY,
        notes=[NASTY],
        examples=[example],
        history=history,
    )
    page = Page(html)
    assert "script" not in page.tags and not page.values("onload")
    assert page.tags.count("figure") == html.count("</figure>")
    assert len(plots(html)) == page.tags.count("svg")
    assert "".join(page.text).count(NASTY) >= 6
    assert any(NASTY in alt for alt in page.values("alt"))


def test_positive_class_is_escaped_in_the_axes(make):
    html = render(make(classes=("no", "<b>&"), positive="<b>&", parts=True))
    assert "share truly &lt;b&gt;&amp;" in html
    assert any(t.text == "share truly <b>&" for svg in plots(html) for t in svg.iter("text"))


def test_missing_number_shows_its_reason(make):
    evaluation = make(classes=("a", "b", "c"), missing="auroc_macro")
    html = render(evaluation)
    row = html[html.index('data-metric="auroc_macro"') :]
    row = row[: row.index("</tr>")]
    assert "–</td>" in row and "no case of this class" in row
    assert "plug-in ECE is biased; no interval is honest" in html
    assert "None" not in html and "nan" not in "".join(Page(html).text).split()


def test_reason_is_shown_beside_an_interval_too(make):
    evaluation = make()
    metrics = dict(evaluation.metrics)
    metrics["f1_macro"] = dataclasses.replace(metrics["f1_macro"], reason="left out: c")
    html = render(dataclasses.replace(evaluation, metrics=metrics))
    assert interval_text(metrics["f1_macro"]) in html and "left out: c" in html


def test_same_input_gives_the_same_bytes(make, history, examples, tmp_path):
    for folder in ("a", "b"):
        e = make(parts=True)
        write_report(tmp_path / folder, e, history=history, examples=examples, notes=["n"])
    for name in ("index.html", "metrics.json", *TABLES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_notes_stand_before_every_number(make):
    html = render(make(), notes=["Known leak allowed.", "calib was cut from train."])
    assert html.index("Known leak allowed.") < html.index("<dl") < html.index('id="metrics"')


def test_without_history_and_examples_their_sections_are_left_out(make):
    html = render(make())
    assert 'id="training"' not in html and 'id="examples"' not in html and "<aside" not in html


def test_an_evaluation_of_metrics_alone_has_a_page(make, tmp_path):
    e = make(positive="malignant")
    bare = Evaluation(e.n, e.n_patients, "", e.space, False, e.metrics, {}, ())
    html = write_report(tmp_path, bare).read_text(encoding="utf-8")
    assert re.findall(r'<section id="([^"]+)">', html) == ["metrics", "appendix"]
    assert "Split" not in html
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checklists.csv",
        "index.html",
        "metrics.csv",
        "metrics.json",
    ]


def test_notes_of_the_evaluation_stand_first_too(make):
    html = render(make(parts=True), notes=["A note of the run."])
    assert html.index("A note of the run.") < html.index("One label has no case.")
    assert html.index("One label has no case.") < html.index("<dl")


def test_kept_epoch_is_marked(make, history):
    assert "kept: epoch 9" in render(make(), history=history)
    bare = [{k: v for k, v in row.items() if k in ("epoch", "train_loss")} for row in history]
    html = render(make(), history=bare)
    assert "kept:" not in html and "chose the epoch" not in html


@pytest.mark.parametrize(
    "losses", [[0.5], [0.5, None, 0.4], [float("inf"), float("nan"), 0.2], [0.3, 0.3], [None]]
)
def test_odd_histories_are_drawn(losses, make):
    rows = [{"epoch": i, "train_loss": v, "val_loss": None, "lr": 1} for i, v in enumerate(losses)]
    html = render(make(), history=rows)
    Page(html)
    assert not re.search(r'[" ](nan|inf)', html)


def test_calibration_is_shown_before_and_after(make):
    e = make(positive="malignant", parts=True)
    html = render(e)
    for side, check in (("before", e.uncalibrated[0]), ("after", e.calibration[0])):
        assert f"Reliability {side} calibration" in html
        assert f"ECE {value_text(check.metrics['ece'])}, expected 0.021, p = 0.304." in html
        filled = next(b for b in check.bins if b.count)
        assert f">{filled.count:,}</text>" in html
    assert "before calibration" not in render(make(positive="malignant"))


def test_groups_that_are_too_small_are_counted_and_not_named(make):
    html = render(make(positive="malignant", parts=True))
    assert "2 groups of fewer than ten patients (11 cases together) not shown." in html


def test_operating_point_says_where_it_was_chosen_and_stands_on_the_curve(make):
    html = render(make(positive="malignant", parts=True))
    assert "malignant: youden" in html
    assert "threshold 0.413; chosen on calib (120 cases of 90 patients)" in html
    assert "87 true positives, 55 false positives, 13 false negatives, 157 true negatives" in html
    assert "youden: sensitivity 0.870, specificity 0.740" in html


def test_class_without_calibration_cases_is_named(make):
    html = render(make(positive="malignant", parts=True))
    assert "Too few calibration cases, hence whole sets: benign." in html


def test_intervals_of_one_model_are_conditional_on_it(make):
    html = render(make(positive="malignant"))
    assert CONDITIONAL in html and OF_RUNS not in html


def test_reports_of_single_runs_are_linked(make):
    links = {"run-1": "first/test", "run-2": "<second>"}
    html = render(make(), links=links)
    assert '<a href="run-1/index.html">run-1</a> (first/test)' in html
    assert '<a href="run-2/index.html">run-2</a> (&lt;second&gt;)' in html
    assert "run-1" not in render(make())


def test_so_many_classes_that_no_cell_could_be_read_have_no_confusion_figure(make):
    few, many = (tuple(f"c{i}" for i in range(k)) for k in (MOST_CLASSES, MOST_CLASSES + 1))
    assert ">Confusion matrix</title>" in render(make(classes=few))
    html = render(make(classes=many))
    assert ">Confusion matrix</title>" not in html and "Confusion of each class" not in html
    assert "31 classes are too many for a figure; confusion.csv holds the counts" in html


def test_multilabel_confusion_is_a_table_of_each_class(make):
    evaluation = make(**TASKS["multilabel"])
    html = render(evaluation)
    table = html[html.index("Confusion of each class") :]
    for n in np.ravel(evaluation.confusion):
        assert f">{n:,}<" in table


def test_wrong_examples_come_first_and_small_ones_stay_sharp(make, examples):
    page = Page(render(make(), examples=examples))
    wrong = [x.right for x in examples].count(False)
    alts = page.values("alt")
    assert len(alts) == len(examples) and 0 < wrong < len(examples)
    assert all("truly malignant, predicted benign" in alt for alt in alts[:wrong])
    assert page.values("class", "img") == ["small-picture"] * len(examples)


def test_large_example_is_made_small(make):
    image = np.random.default_rng(0).integers(0, 256, (900, 1200, 3)).astype(np.uint8)
    html = render(make(), examples=[Example(image, "c", "benign", "benign", 0.9)])
    assert len(html) < 400_000 and 'class="small-picture"' not in html


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(9, np.uint8)]
)
def test_example_that_is_no_picture_is_refused(image):
    with pytest.raises(UsageError, match="case 7"):
        Example(image, "case 7", "a", "b", 0.5)


def test_folder_of_a_report_can_be_written_again(make, tmp_path):
    write_report(tmp_path, make(parts=True), title="first")
    always = {"index.html", "metrics.json", "checklists.csv"}
    assert {p.name for p in tmp_path.iterdir()} == {*always, *TABLES}
    page = write_report(tmp_path, make(), title="second")
    assert "second" in page.read_text() and "first" not in page.read_text()
    assert not (tmp_path / "subgroups.csv").exists() and not (tmp_path / "runs.csv").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "0.500"),
        (1, "1.000"),
        (12.0, "12"),
        (-12345.0, "-12,345"),
        (0, "0.000"),
        (-0.0, "0.000"),
        (12.3456, "12.346"),
        (-0.25, "-0.250"),
        (0.99961, "0.9996"),
        (0.00004, "0.00004"),
        (1e-9, "1.0e-09"),
    ],
)
def test_number_reads_as_zero_or_one_only_where_it_is(value, words):
    assert number(value) == words


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1200])
def test_page_opens_in_chromium_without_a_complaint(width, make, history, examples, tmp_path: Path):
    e = make(positive="malignant", parts=True)
    page = write_report(tmp_path, e, history=history, examples=examples)
    html = page.read_text(encoding="utf-8")
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    switches += [f"--window-size={width},900"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *switches, profile, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 'id="provenance"' in done.stdout and "CONSOLE" not in done.stderr
    assert done.stdout.count("<svg") == html.count("<svg")
