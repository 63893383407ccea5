"""An audit on a page and in a run's report: complete, short, escaped, the leaks first."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from medimg.data.checks.findings import CODES, Audit, Finding
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.report.audit import view, write_audit
from medimg.report.findings import GROUPS, Pair, Picture
from medimg.report.pairs import PICTURED, pair_pictures
from medimg.report.words import interval_text
from medimg.report.write import write_report
from medimg.testing import make_manifest

NASTY = "<script>alert(\"x\")</script> & 'quoted', naïve 血管"
SPLITS = ("train", "val", "test")
PREDICTORS = (
    {"columns": ["KVP"], "auroc": 0.55, "low": 0.36, "high": 0.61, "cases": 9, "outside": False},
    {"columns": ["Rows"], "auroc": 0.31, "low": 0.36, "high": 0.61, "cases": 9, "outside": True},
    {
        "name": "window",
        "columns": ["WindowCenter", "WindowWidth"],
        "auroc": 0.745,
        "low": 0.36,
        "high": 0.61,
        "cases": 100,
        "outside": True,
    },
    {"name": "UID", "columns": ["UID"], "auroc": None, "reason": "all cases differ"},
)


class Page(HTMLParser):
    """Collects tags and texts, and checks that each tag is closed in its order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [v for _, n, v in self.attributes if n == name]


def store_of(n: int = 40, shape: tuple[int, ...] = (1, 12, 10), kind=np.uint8) -> ImageStore:
    """A store of noise, whose cases stand in train, val and test in turn."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, np.iinfo(kind).max, (n, *shape)).astype(kind)
    hashes = np.array([str(i) for i in range(n)], object)
    manifest = make_manifest(n, splits=SPLITS, unknown=0.2)
    prep = Preprocess(size=shape[1:], channels=shape[0])
    return ImageStore(manifest, pixels, np.arange(n), prep, hashes)


def case(row: int) -> str:
    return f"case{row:05d}.png"


def near(n: int) -> Finding:
    pairs = [
        {"cases": [case(i), case(i + 1)], "similarity": 0.9 + i / 1000, "how": "mirrored; cropped"}
        for i in range(n)
    ]
    groups = tuple(tuple(pair["cases"]) for pair in pairs)
    return Finding("near_duplicates_across_splits", groups, {"pairs": pairs})


def write(folder: Path, audit: Audit, pairs=None) -> str:
    return write_audit(folder, audit, title="t", lead="l", pairs=pairs).read_text("utf-8")


@pytest.fixture
def audit() -> Audit:
    """One finding of every code."""
    findings = [Finding(code, ((case(0), case(1)),)) for code in CODES]
    return Audit(
        tuple(f for f in findings if f.severity != "information"),
        tuple(f for f in findings if f.severity == "information"),
        {"near_duplicates": "a manifest holds no pictures"},
        PREDICTORS,
        ("drawn by the seed",),
    )


def test_every_finding_stands_in_the_page_with_its_cases(audit: Audit, tmp_path: Path) -> None:
    html = write(tmp_path, audit)
    page = Page(html)
    assert sorted(page.values("data-code")) == sorted(CODES)
    assert html.count(f"{case(0)} = {case(1)}") == len(CODES)
    for words in (m.text for m in CODES.values()):
        assert words[0].upper() + words[1:] in html
    assert "near duplicates: a manifest holds no pictures" in html and "drawn by the seed" in html


def test_the_file_holds_every_group_and_the_page_stays_short(tmp_path: Path) -> None:
    groups = tuple(tuple(f"case{i}-{j}" for j in range(1 + i % 40)) for i in range(10_000))
    html = write(tmp_path, Audit((Finding("patient_in_several_splits", groups), near(10_000))))
    assert len(html) < 60_000
    assert html.count(f"and {10_000 - GROUPS:,} more in audit.json") == 2
    assert "= ... (12 cases)" in html
    found = json.loads((tmp_path / "audit.json").read_text())["findings"]
    assert len(found[0]["groups"]) == len(found[1]["details"]["pairs"]) == 10_000


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    row = {"columns": ["a"], "auroc": float("nan"), "low": np.float64("inf"), "cases": np.int64(3)}
    finding = Finding("prevalence_differs_by_site", (), {"rows": [{"p": float("nan")}]})
    html = write(tmp_path, Audit((finding,), metadata=(row,)))
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content["metadata"] == [{"columns": ["a"], "auroc": None, "low": None, "cases": 3}]
    assert content["findings"][0]["details"] == {"rows": [{"p": None}]}
    assert not re.search(r"\b(nan|inf|None)\b", " ".join(Page(html).text))


def test_metadata_that_predict_come_first_and_every_column_is_there(
    audit: Audit, tmp_path: Path
) -> None:
    rows = view(audit).predictors
    assert [row.name for row in rows] == ["window: WindowCenter, WindowWidth", "KVP", "Rows", "UID"]
    verdicts = [row.verdict for row in rows]
    assert verdicts == ["above chance", "", "below chance", "all cases differ"]
    html = write(tmp_path, audit)
    assert all(row.name in html and (row.auroc in html or not row.tried) for row in rows)
    assert "0.360–0.610" in html and "not tried: all cases differ" in html


def test_texts_of_users_are_escaped_everywhere(tmp_path: Path) -> None:
    picture = Picture(np.zeros((4, 4), np.uint8), NASTY, NASTY, NASTY)
    findings = (
        Finding("pixels_in_several_splits", ((NASTY, "b"),)),
        Finding("class_absent_from_split", ((NASTY,),), {"words": [NASTY]}),
        Finding("ids_alike", (), {NASTY: {NASTY: NASTY}}),
        Finding("prevalence_differs_by_site", (), {NASTY: [{NASTY: NASTY}]}),
    )
    row = {"columns": [NASTY], "auroc": 0.9, "low": 0.1, "high": 0.2, "cases": 1, "outside": True}
    audit = Audit(findings, (), {NASTY: NASTY}, (row,), (NASTY,))
    pairs = {"pixels_in_several_splits": [Pair((picture, picture), NASTY, 3)]}
    page = write_audit(tmp_path, audit, title=NASTY, lead=NASTY, pairs=pairs).read_text("utf-8")
    found = Page(page)
    assert "script" not in found.tags and "".join(found.text).count("<script>") >= 14
    assert found.values("alt") == [f"Case {NASTY}"] * 2
    assert all(v.startswith("data:image/png;base64,") for v in found.values("src"))
    assert not re.search(r"https?:|url\(|@import", re.sub(r"data:image/png;base64,\S+", "", page))


def test_known_leaks_stand_first_in_the_report_with_their_reasons(make, tmp_path: Path) -> None:
    leaks = (
        Finding("patient_in_several_splits", ((case(0), case(1)),)),
        Finding("pixels_in_several_splits", ((case(2), case(3)),)),
        Finding("duplicates_within_split", ((case(2), case(4)),)),
    )
    page = write_report(
        tmp_path,
        make(),
        notes=["A note."],
        audit=Audit(leaks),
        allowed={"pixels_in_several_splits": "known & accepted"},
    )
    html = page.read_text("utf-8")
    Page(html)
    order = ["Known and accepted: the same pixels stand in several splits (1 group, 2 cases). "]
    order += ["Reason: known &amp; accepted", "Leak, not accepted: cases of one patient", "A note."]
    order += ["<dl", 'id="audit"', "Accepted, because: known &amp; accepted"]
    order += ['data-code="patient_in', 'data-code="duplicates_within_split"', 'id="provenance"']
    places = [html.index(words) for words in order]
    assert places == sorted(places)
    assert json.loads((tmp_path / "audit.json").read_text())["format"] == "medimg.audit"


def test_a_report_without_an_audit_says_nothing_of_one(make, tmp_path: Path) -> None:
    write_report(tmp_path, make(), audit=Audit())
    assert 'id="audit"' in (tmp_path / "index.html").read_text("utf-8")
    evaluation = make()
    html = write_report(tmp_path, evaluation).read_text("utf-8")
    assert 'id="audit"' not in html and not (tmp_path / "audit.json").exists()
    assert interval_text(evaluation.metrics["auroc_macro"]) in html


def test_every_finding_about_pictures_is_shown_in_pictures() -> None:
    said = [code for code in CODES if code.startswith(("pixels_", "near_", "duplicates_"))]
    assert sorted(PICTURED) == sorted(said)


def test_pictures_stand_side_by_side_with_split_class_and_case(tmp_path: Path) -> None:
    store = store_of()
    audit = Audit((Finding("pixels_in_several_splits", ((case(0), case(1)), (case(3), case(5)))),))
    pairs = pair_pictures(audit, store)
    html = write(tmp_path, audit, pairs)
    assert Page(html).tags.count("img") == 4
    for pair in pairs["pixels_in_several_splits"]:
        for shown in pair.pictures:
            row = list(store.manifest.case_id).index(shown.case_id)
            assert shown.split == store.manifest.split[row]
            known = store.manifest.targets[row]
            names = store.manifest.space.classes
            assert shown.label == ("unknown" if np.isnan(known).any() else names[known.argmax()])
            assert f"<b>{shown.split}</b>, {shown.label}" in html


def test_the_most_similar_pairs_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    audit = Audit((near(30),))
    pairs = pair_pictures(audit, store_of(), most=5)
    first = pairs["near_duplicates_across_splits"][0]
    assert [picture.case_id for picture in first.pictures] == [case(29), case(30)]
    assert first.words == "similarity 92.9%; mirrored; cropped"
    html = write(tmp_path, audit, pairs)
    assert Page(html).tags.count("img") == 10 and "And 25 more in audit.json" in html


def test_of_a_large_group_one_picture_of_each_split_comes_first() -> None:
    store = store_of(60)
    train = [case(i) for i in range(0, 60, 3)]
    audit = Audit((Finding("pixels_in_several_splits", ((*train, case(1)),)),))
    (pair,) = pair_pictures(audit, store)["pixels_in_several_splits"]
    assert len(pair.pictures) == 4 and pair.more == len(train) - 3
    assert case(1) in [picture.case_id for picture in pair.pictures]


def test_cases_that_the_store_does_not_hold_are_listed_without_a_picture(tmp_path: Path) -> None:
    audit = Audit((Finding("pixels_in_several_splits", (("gone.png", case(0)),)),))
    pairs = pair_pictures(audit, store_of())
    assert pairs == {"pixels_in_several_splits": []}
    assert f"gone.png = {case(0)}" in write(tmp_path, audit, pairs)


@pytest.mark.parametrize("shape", [(1, 9, 12), (3, 9, 12), (1, 6, 9, 12), (3, 6, 9, 12)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pictures_of_every_kind_of_store_can_be_shown(shape, kind) -> None:
    audit = Audit((near(2),))
    pairs = pair_pictures(audit, store_of(4, shape, kind))
    for pair in pairs["near_duplicates_across_splits"]:
        for shown in pair.pictures:
            assert shown.image.dtype == np.uint8
            assert shown.image.shape == ((9, 12) if shape[0] == 1 else (9, 12, 3))
        assert max(shown.image.max() for shown in pair.pictures) == 255


def test_a_copy_made_brighter_is_shown_brighter() -> None:
    store = store_of(2)
    store.pixels[1] = store.pixels[0] // 2
    (pair,) = pair_pictures(Audit((near(1),)), store)["near_duplicates_across_splits"]
    dark, bright = sorted(picture.image.mean() for picture in pair.pictures)
    assert dark == pytest.approx(bright / 2, rel=0.1)


def test_a_picture_of_one_value_is_shown_without_a_complaint() -> None:
    store = store_of(2)
    store.pixels[:] = 7
    assert pair_pictures(Audit((near(1),)), store)["near_duplicates_across_splits"]


def test_same_audit_gives_the_same_bytes(audit: Audit, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder, audit, pair_pictures(audit, store_of()))
    for name in ("index.html", "audit.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_words_of_an_audit_need_no_pandas_and_no_plots() -> None:
    code = "import sys, medimg.report.audit; "
    code += "bad = {'torch', 'matplotlib', 'pandas', 'sklearn'} & set(sys.modules); assert not bad"
    subprocess.run([sys.executable, "-c", code], check=True)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_page_opens_in_chromium_without_a_complaint(audit: Audit, tmp_path: Path) -> None:
    write(tmp_path, audit, pair_pictures(audit, store_of()))
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    page = (tmp_path / "index.html").as_uri()
    command = [str(CHROMIUM), *switches, profile, "--dump-dom", page]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert 'id="predictors"' in done.stdout and "CONSOLE" not in done.stderr
