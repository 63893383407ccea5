"""`medimg evaluate` and `medimg compare`: what they refuse, and that a refusal leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg.cli.main import main
from medimg.cli.tables import tables_of
from medimg.errors import UsageError
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing.tables import make_predictions

FEW = ("--resamples", "100")
P = ("--kind", "probabilities")
Medimg = Callable[..., str]


@pytest.fixture
def medimg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Medimg:
    """The command as it is installed, run in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object, status: int = 0) -> str:
        before = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(sys, "argv", ["medimg", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        signal.signal(signal.SIGTERM, before)
        said = "".join(capfd.readouterr())
        assert stop.value.code == status, said
        return said

    return run


def foreign(n: int = 60) -> pd.DataFrame:
    """Return somebody else's table: two classes, probabilities, a patient a case, two sites."""
    made = make_predictions(n)
    malignant = made.probabilities[:, 1].round(6)
    rows = np.arange(n)
    return pd.DataFrame(
        {
            "case_id": made.case_id,
            "patient_id": [f"P{i:03d}" for i in rows],
            "split": "test",
            "target": np.where(made.targets[:, 1] == 1, "malignant", "benign"),
            "p:benign": (1 - malignant).round(6),
            "p:malignant": malignant,
            "site": np.where(rows % 2, "A", "B"),
        },
        dtype=object,
    )


def noisier(p: Predictions, sd: float = 1.0) -> Predictions:
    noise = np.random.default_rng(1).normal(scale=sd, size=p.scores.shape)
    return replace(p, scores=(p.scores + noise).astype(np.float32))


def others(n: int = 150, space: LabelSpace | None = None, split: str = "calib") -> Predictions:
    """Return predictions of other cases of other patients than `make_predictions` has."""
    made = make_predictions(n, space, seed=5, split=split)
    return replace(made, case_id=[f"other-{i}" for i in made.case_id])


def cell(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what puts a value into the fourth row of a column."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[3, column] = value
        return frame

    return change


WRONG = {
    "no column case_id": (lambda f: f.drop(columns="case_id"), "no column case_id", 1),
    "blank id": (cell("case_id", ""), "1 of 60 cases have no case_id", 1),
    "id twice": (cell("case_id", "case000004"), "case_id 'case000004' stands twice", 1),
    "sum": (cell("p:benign", ".99"), "'case000003' has probabilities [0.99, ", 1),
    "logits": (lambda f: f.assign(**{"p:benign": "-3.5"}), "(are these logits?)", 1),
    "infinite": (cell("p:benign", "inf"), "has probabilities [inf, ", 1),
    "over float32": (cell("p:benign", "1e300"), "has probabilities [inf, ", 1),
    "blank score": (cell("p:benign", ""), "has probabilities [nan, ", 1),
    "text": (cell("p:benign", "high"), "column x.csv: p:benign: 'high' is no number", 1),
    "unknown class": (cell("target", "malignent"), "did you mean malignant?", 1),
    "several splits": (cell("split", "val"), "several splits: test, val", 2),
    "all unknown": (lambda f: f.assign(target=""), "none of 60 cases of split 'test' has", 1),
    "no case": (lambda f: f.iloc[:0], "x.csv has a header and not one case", 1),
}


@pytest.mark.parametrize("verb", ["evaluate", "compare"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_table_is_named_and_leaves_no_folder(verb: str, name: str, medimg: Medimg) -> None:
    change, message, status = WRONG[name]
    foreign().to_csv("right.csv", index=False)
    change(foreign()).to_csv("x.csv", index=False)
    tables = ["x.csv"] if verb == "evaluate" else ["right.csv", "x.csv"]
    said = medimg(verb, *tables, *P, *FEW, "-o", "out", status=status)
    assert message in said and "\n  -> " in said
    assert verb == "evaluate" or "x.csv" in said or said.startswith("medimg: x: ")
    assert not Path("out").exists()


CONTENTS = {
    "empty": (b"", "x.csv is empty"),
    "latin-1": ("case_id,target,p:bénin\n".encode("latin-1"), "x.csv is not UTF-8"),
    "column twice": (b"case_id,target,target,p:a,p:b\n", "['target'] repeat"),
    "uneven": (b"case_id,target,p:a,p:b\n1,a,.5\n", "row 2 has 3 cells, the header 4"),
    "no class": (b"case_id,target\n1,a\n", "no column p:CLASS"),
    "no target": (b"case_id,p:a,p:b\n1,.5,.5\n", "give --space"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_file_that_is_no_table_of_predictions_is_named(name: str, medimg: Medimg) -> None:
    content, message = CONTENTS[name]
    Path("x.csv").write_bytes(content)
    assert message in medimg("evaluate", "x.csv", *P, "-o", "out", status=1)
    assert not Path("out").exists()


def test_paths_that_are_no_tables_are_refused(medimg: Medimg) -> None:
    Path("empty").mkdir()
    Path("notes.txt").write_text("hello")
    Path("x.parquet").write_text("hello")
    foreign().to_csv("x.csv", index=False)
    for path, message, status in [
        ("nowhere.csv", "nowhere.csv is not there", 2),
        ("empty", "empty holds no predictions", 2),
        ("notes.txt", "notes.txt is no table", 1),
        ("x.parquet", "x.parquet is no Parquet", 1),
    ]:
        assert message in medimg("evaluate", path, *P, "-o", "out", status=status)
        assert message in medimg("compare", "x.csv", path, *P, "-o", "out", status=status)
    assert "does not say whether" in medimg("evaluate", "x.csv", "-o", "out", status=1)
    for verb in ("evaluate", "compare"):
        said = medimg(verb, "x.csv", "./x.csv", *P, "-o", "out", status=2)
        assert "x.csv is named twice" in said
    assert "1 models to compare" in medimg("compare", "x.csv", *P, "-o", "out", status=2)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("classes: [benign, maligner]", "no column p:maligner; did you mean p:malignant?"),
        ("classes: benign", "it has no list of classes"),
        ("hello", "it has no list of classes"),
        ("classes: [benign, malignant]\npositif: malignant", "did you mean positive?"),
        ("classes: [benign, malignant]\npositive: evil", "'evil' is none of the classes"),
        ("classes: [benign, malignant]\nkind: multi", "kind 'multi' is unknown"),
        ("classes: [benign", "no plain YAML"),
    ],
)
def test_wrong_label_space_is_refused(content: str, message: str, medimg: Medimg) -> None:
    foreign().to_csv("x.csv", index=False)
    Path("space.yaml").write_text(content)
    status = 1 if "maligner" in content else 2
    said = medimg("evaluate", "x.csv", *P, "--space", "space.yaml", "-o", "out", status=status)
    assert message in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "sit"], "no column 'sit' in the metadata; did you mean site?"),
        (["--by", "patient_id"], "columns here: site"),
        (["--prevalence", "0"], "--prevalence 0.0: Input should be greater than 0"),
        (["--prevalence", "2"], "--prevalence 2.0: Input should be less than 1"),
        (["--prevalence", ".2"], "--prevalence 0.2 without a threshold"),
        (["--at", "youden"], "--at without --calib"),
        (["--conformal", "lac"], "--conformal without --calib"),
        (["--alpha", ".2"], "--alpha without --calib"),
        (["--alpha", "0"], "--alpha 0.0"),
        (["--by-patient", "median"], "--by-patient 'median'"),
        (["--resamples", "1000000000"], "less than or equal to 100000"),
        (["--seed", "-1"], "--seed -1"),
        (["--kind", "scores"], "--kind 'scores'"),
        (["--calib", "calib"], "--calib calib is no file, no split of x.csv and no table beside"),
        (["--calib", "x.csv"], "60 cases stand both among those that are scored"),
        (["--calib", "test"], "name the split to evaluate as well"),
    ],
)
def test_wrong_option_is_refused_with_status_two(
    options: list[str], message: str, medimg: Medimg
) -> None:
    foreign().to_csv("x.csv", index=False)
    asked = [] if "--kind" in options else P
    said = medimg("evaluate", "x.csv", *asked, *options, "-o", "out", status=2)
    assert message in said
    assert not Path("out").exists()


def test_split_that_is_not_there_says_what_is(medimg: Medimg) -> None:
    foreign().to_csv("x.csv", index=False)
    foreign().drop(columns="split").to_csv("none.csv", index=False)
    said = medimg("evaluate", "x.csv", *P, "--split", "vall", "-o", "out", status=1)
    assert "no case of split 'vall'; splits here: ['test']" in said
    said = medimg("evaluate", "none.csv", *P, "--split", "test", "-o", "out", status=1)
    assert "splits here: none\n  -> leave the split out" in said


def test_calibration_cases_are_checked_before_they_are_used(medimg: Medimg) -> None:
    scored = make_predictions(100)
    scored.save("x.csv")
    bad = {
        "train": (others(split="train"), "holds the splits ['train']"),
        "two": (
            replace(others(), split=np.repeat(["val", "calib"], 75)),
            "holds the splits ['calib', 'val']",
        ),
        "classes": (others(space=LabelSpace(("u", "v"))), "is of the classes ['u', 'v'], x.csv"),
    }
    for name, (calib, message) in bad.items():
        calib.save(f"{name}.csv")
        said = medimg("evaluate", "x.csv", "--calib", f"{name}.csv", "-o", "out", status=2)
        assert message in said, name
    calib = others()
    replace(calib, targets=np.tile(np.float32([1, 0]), (150, 1))).save("one.csv")
    said = medimg(
        "evaluate", "x.csv", "--calib", "one.csv", "--at", "youden", "-o", "out", status=1
    )
    assert "no cases both with and without it" in said
    people = [f"p{i % 50}" for i in range(150)]
    replace(scored, patient_id=people[:100]).save("y.csv")
    replace(calib, patient_id=people).save("same people.csv")
    said = medimg("evaluate", "y.csv", "--calib", "same people.csv", "-o", "out", status=2)
    assert "50 patients have cases both" in said and "p7" not in said
    calib.save("calib.csv")
    for rule in ("nonsense", "sensitivity=2", "cost=-1", "evil:youden"):
        asked = ("--calib", "calib.csv", "--at", rule)
        assert rule in medimg("evaluate", "x.csv", *asked, "-o", "out", status=2)
    assert not Path("out").exists()


def test_threshold_of_no_class_is_refused_where_none_is_the_condition(medimg: Medimg) -> None:
    space = LabelSpace(("a", "b", "c"))
    make_predictions(100, space).save("x.csv")
    others(space=space).save("calib.csv")
    ask = ("evaluate", "x.csv", "--calib", "calib.csv", *FEW, "-o", "out")
    assert "name it, as c:youden" in medimg(*ask, "--at", "youden", status=2)
    medimg(*ask, "--at", "c:youden", "--at", "c:youden")
    (one,) = json.loads(Path("out/metrics.json").read_text())["operating"]
    assert (one["label"], one["rule"]) == ("c", "youden")


def test_reference_of_other_classes_or_splits_is_refused(medimg: Medimg) -> None:
    make_predictions(100).save("x.csv")
    others(space=LabelSpace(("u", "v"))).save("other.csv")
    replace(others(), split=np.repeat(["a", "b"], 75)).save("two.csv")
    ask = ("evaluate", "x.csv", *FEW, "-o", "out", "--reference")
    assert "the reference is of multiclass classes u, v" in medimg(*ask, "other.csv", status=2)
    assert "--reference two.csv holds the splits ['a', 'b']" in medimg(*ask, "two.csv", status=2)
    assert "nowhere.csv is not a file" in medimg(*ask, "nowhere.csv", status=1)
    assert not Path("out").exists()


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "inf"])
def test_margin_that_is_no_margin_is_refused(margin: str, medimg: Medimg) -> None:
    make_predictions(50).save("a.csv")
    noisier(make_predictions(50)).save("b.csv")
    said = medimg("compare", "a.csv", "b.csv", "--margin", margin, "-o", "out", status=2)
    assert "--margin" in said and "above 0" in said


def test_models_of_other_cases_or_classes_are_told_by_name(medimg: Medimg) -> None:
    made = make_predictions(60)
    made.save("good.csv")
    made.take(np.arange(50)).save("fewer.csv")
    make_predictions(60, LabelSpace(("u", "v"))).save("foreign.csv")
    for verb in ("evaluate", "compare"):
        said = medimg(verb, "good.csv", "fewer.csv", *FEW, "-o", "out", status=1)
        assert "fewer and good share 50 labelled cases, and 10 stand in one" in said
        said = medimg(verb, "good.csv", "foreign.csv", *FEW, "-o", "out", status=1)
        assert "foreign is of the classes ['u', 'v']" in said
    assert not Path("out").exists()


def hopeless() -> dict[str, Predictions]:
    """Return predictions that few numbers can be told of."""
    made = make_predictions(40)
    right = np.where(made.targets == 1, 5, -5).astype(np.float32)
    return {
        "one case": made.take(np.arange(1)),
        "two cases": made.take(np.arange(2)),
        "one class": replace(made, targets=np.tile(np.float32([0, 1]), (40, 1))),
        "constant": replace(made, scores=np.zeros_like(made.scores)),
        "separated": replace(made, scores=right),
        "all wrong": replace(made, scores=-right),
        "one label": make_predictions(40, LabelSpace(("only",), "multilabel")),
    }


@pytest.mark.parametrize("name", hopeless())
def test_sets_that_tell_little_give_stated_nulls(name: str, medimg: Medimg) -> None:
    made = hopeless()[name]
    made.save("a.csv")
    noisier(made).save("b.csv")
    medimg("evaluate", "a.csv", *FEW, "-o", "report")
    medimg("evaluate", "a.csv", "b.csv", *FEW, "-o", "runs")
    medimg("compare", "a.csv", "b.csv", *FEW, "-o", "compared")
    for file in ("report/metrics.json", "runs/metrics.json", "runs/run-2/metrics.json"):
        metrics = json.loads(Path(file).read_text())["metrics"]
        assert metrics and all(e["reason"] for e in metrics.values() if e["low"] is None), file
    contrasts = json.loads(Path("compared/comparison.json").read_text())["contrasts"]
    differences = [one["difference"] for one in contrasts]
    assert differences and all(d["reason"] for d in differences if d["low"] is None)


ODD = (
    "a,b",
    'q"uote',
    "it's",
    "<script>alert(1)</script>",
    "\U0001f600",
    "x:y",
    "two words",
    "=1+1",
)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "ordinal"])
def test_any_class_name_and_any_file_name_is_taken(kind: str, medimg: Medimg) -> None:
    made = make_predictions(120, LabelSpace(ODD, kind))  # type: ignore[arg-type]
    folder = Path("a folder/<b>é&")
    folder.mkdir(parents=True)
    made.save(folder / "first one.csv")
    noisier(made).save(folder / "<i>,'x.csv")
    medimg("evaluate", folder / "first one.csv", *FEW, "-o", "report")
    said = medimg(
        "compare", folder / "first one.csv", folder / "<i>,'x.csv", *FEW, "-o", "compared"
    )
    assert "<i>,'x less first one" in said
    per_class = json.loads(Path("report/metrics.json").read_text())["per_class"]
    assert tuple(per_class) == ODD
    for page in ("report/index.html", "compared/index.html"):
        html = Path(page).read_text()
        assert "<script>alert" not in html and "<i>," not in html


def test_csv_and_parquet_of_the_same_cases_give_the_same_numbers(medimg: Medimg) -> None:
    pytest.importorskip("pyarrow")
    made = make_predictions(80, patients=40)
    made.save("a.csv")
    made.save("b.parquet")
    for table in ("a.csv", "b.parquet"):
        medimg("evaluate", table, *FEW, "-o", table.replace(".", "_"))
    texts = [json.loads(Path(f"{n}/metrics.json").read_text()) for n in ("a_csv", "b_parquet")]
    assert texts[0]["metrics"] == texts[1]["metrics"]


def test_finished_folder_and_somebody_elses_are_refused_at_once(medimg: Medimg) -> None:
    make_predictions(50).save("a.csv")
    noisier(make_predictions(50)).save("b.csv")
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("x")
    Path("file").write_text("x")
    for tables in (["evaluate", "a.csv"], ["compare", "a.csv", "b.csv"]):
        asked = [*tables, *FEW, "-o"]
        medimg(*asked, "out", "--overwrite")
        assert "--overwrite" in medimg(*asked, "out", status=2)
        medimg(*asked, "out", "--overwrite")
        for place, message in [
            ("mine", "did not write"),
            ("file", "file is a file"),
            ("file/sub", "could not be made"),
            (".", "did not write"),
        ]:
            assert message in medimg(*asked, place, "--overwrite", status=2)
    assert Path("mine/thesis.txt").read_text() == "x"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written_is_an_error(medimg: Medimg) -> None:
    make_predictions(50).save("a.csv")
    Path("closed").mkdir(mode=0o500)
    assert "may write" in medimg("evaluate", "a.csv", *FEW, "-o", "closed/out", status=2)


@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_interrupted_evaluation_leaves_no_folder(verb: str, tmp_path: Path) -> None:
    make_predictions(20_000).save(tmp_path / "a.csv")
    noisier(make_predictions(20_000)).save(tmp_path / "b.csv")
    tables = ["a.csv"] if verb == "evaluate" else ["a.csv", "b.csv"]
    command = [sys.executable, "-m", "medimg", verb, *tables, "-o", "out", "--resamples", "100000"]
    going = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    going.send_signal(signal.SIGINT)
    _, said = going.communicate(timeout=60)
    # Python itself ends by the signal, 130 to a shell, where it came within an import.
    assert going.returncode in (130, -signal.SIGINT) and "Traceback" not in said, said
    assert not (tmp_path / "out").exists()


def run_folder(folder: Path, sd: float) -> None:
    """Make what a run leaves: predictions of test and of calib by the same model."""
    noisier(make_predictions(100), sd).save(folder / "predictions/test.csv")
    noisier(others(), sd).save(folder / "predictions/calib.csv")


def test_a_folder_that_predict_wrote_is_its_one_table(tmp_path: Path) -> None:
    make_predictions(50).save(tmp_path / "p/predictions.csv")
    (tmp_path / "p/errors.csv").write_text("case_id,frame,stage,code,message,remedy\n")
    assert tables_of(tmp_path / "p") == [tmp_path / "p/predictions.csv"]
    (tmp_path / "q").mkdir()
    (tmp_path / "q/errors.csv").write_text("case_id\n")
    with pytest.raises(UsageError, match="holds no predictions"):
        tables_of(tmp_path / "q")


def test_runs_are_taken_together_and_each_has_its_report(medimg: Medimg) -> None:
    run_folder(Path("runs/first"), 0.5)
    run_folder(Path("runs/second"), 1.0)
    said = medimg("evaluate", "runs", "--calib", "calib", *FEW, "-o", "out")
    assert "run-1 (first/predictions/test), run-2 (second/predictions/test)" in said
    whole = json.loads(Path("out/metrics.json").read_text())
    each = [json.loads(Path(f"out/run-{k}/metrics.json").read_text()) for k in (1, 2)]
    values = [one["metrics"]["auroc"]["value"] for one in each]
    assert whole["metrics"]["auroc"]["value"] == pytest.approx(np.mean(values))
    assert all(one["operating"] and one["conformal"] for one in each)
    html = Path("out/index.html").read_text()
    assert '<a href="run-2/index.html">run-2</a> (second/predictions/test)' in html
    table = "runs/first/predictions/calib.csv"
    said = medimg("evaluate", "runs", "--calib", table, *FEW, "-o", "no", status=2)
    assert "is of one model, and 2 runs are evaluated" in said
    Path(table).unlink()
    said = medimg("evaluate", "runs", "--calib", "calib", *FEW, "-o", "no", status=2)
    assert "no table beside it" in said and not Path("no").exists()


def test_calibration_cases_of_another_model_are_refused(medimg: Medimg) -> None:
    for name in ("one", "two"):
        run_folder(Path(name), 0.5)
        for table in ("test", "calib"):
            path = f"{name}/predictions/{table}.csv"
            made = Predictions.load(path)
            replace(made, bundle_id=f"{name}-{table}", uncalibrated_id=name).save(path)
    asked = ("evaluate", "one", *FEW, "-o", "out", "--calib")
    said = medimg(*asked, "two/predictions/calib.csv", status=2)
    assert "predicted by another model (two)" in said and not Path("out").exists()
    medimg(*asked, "calib")


def test_run_and_the_table_in_it_are_the_same_model(medimg: Medimg) -> None:
    run_folder(Path("first"), 0.5)
    run_folder(Path("second"), 1.0)
    said = medimg("compare", "first", "first/predictions/test.csv", "-o", "out", status=2)
    assert "named twice" in said
    assert "second less first" in medimg("compare", "first", "second", *FEW, "-o", "out")


@pytest.mark.slow
def test_report_of_a_run_is_made_again_from_its_tables(tmp_path: Path) -> None:
    from medimg.testing import make_image_folder

    def command(*args: str) -> None:
        done = [sys.executable, "-m", "medimg", *args]
        subprocess.run(done, cwd=tmp_path, check=True, capture_output=True)

    make_image_folder(tmp_path / "pictures", per_class=150, size=(12, 12))
    command("new", "pictures", "-o", "my.yaml")
    command("train", "my.yaml", "-o", "run", "--set", "fit.epochs=2")
    command("evaluate", "run", "--calib", "calib", "-o", "again")
    first, second = (
        json.loads((tmp_path / name / "metrics.json").read_text())
        for name in ("run/report", "again")
    )
    for part in sorted(set(first) - {"provenance"}):
        assert first[part] == second[part], part
