"""Every case stands exactly once in `predictions.csv` or `errors.csv`, run after run."""

from __future__ import annotations

import csv
import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medimg.data.index import index_unlabelled
from medimg.data.manifest import Manifest
from medimg.data.sources import formats
from medimg.data.store import ImageStore
from medimg.errors import BundleError, DataError, FolderExists, SourceNotFound, UsageError
from medimg.inference.bundle import ModelBundle
from medimg.inference.scan import parse_limit, predict_scans
from medimg.labels import LabelSpace
from medimg.models.build import build_model, spec_of
from medimg.predictions import Predictions

MakeBundle, Put = Callable[..., ModelBundle], Callable[..., Path]
NAMES = [f"{i:03d}.png" for i in range(40)]
GARBAGE = b"\x89PNG\r\n\x1a\n and nothing more"


@pytest.fixture(scope="module")
def bundle(make_bundle: MakeBundle) -> ModelBundle:
    return make_bundle()


@pytest.fixture
def scans(put: Put, tmp_path: Path) -> Path:
    return put(tmp_path / "scans", NAMES)


def table(out: Path, name: str = "predictions.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def ids(out: Path, name: str = "predictions.csv") -> list[str]:
    return [row["case_id"] for row in table(out, name)]


def about(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every source that is read from now on."""
    seen: list[str] = []
    real = formats.read_cases

    def noting(root: Path, cases: Any, *args: Any, **options: Any) -> Any:
        def noted() -> Any:
            for case in cases:
                seen.append(case.source)
                yield case

        return real(root, noted(), *args, **options)

    monkeypatch.setattr("medimg.inference.stream.read_cases", noting)
    return seen


def test_the_scores_are_those_of_a_store_of_the_same_cases(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    (scans / "007.png").write_bytes(GARBAGE)
    os.utime(scans / "007.png", (1, 1))
    streamed = predict_scans(bundle, scans, tmp_path / "out").predictions
    manifest = index_unlabelled([scans], bundle.space).manifest
    assert manifest is not None
    stored = bundle.predict(ImageStore.build(manifest, bundle.preprocess, tmp_path / "store"))
    assert np.array_equal(streamed.case_id, stored.case_id)
    assert np.array_equal(streamed.scores, stored.scores)
    assert Predictions.load(tmp_path / "out" / "predictions.csv").fingerprint == stored.fingerprint


def test_every_case_stands_exactly_once_and_the_run_says_so(
    bundle: ModelBundle, scans: Path, tmp_path: Path, put: Put
) -> None:
    for name in ("003.png", "030.png"):
        (scans / name).write_bytes(GARBAGE)
        os.utime(scans / name, (1, 1))
    put(scans, ["new.png"], age=5.0)
    out = tmp_path / "out"
    result = predict_scans(bundle, scans, out)
    assert sorted(ids(out) + ids(out, "errors.csv")) == sorted([*NAMES, "new.png"])
    said = about(out)
    assert (said["found"], said["predicted"], said["recent"]) == (41, 38, 1)
    assert said["refused"] == {"corrupt": 2}
    assert said["bundle_id"] == bundle.bundle_id
    assert said["seconds"] >= 0
    assert result.summary == said
    assert {r.code for r in result.refusals} == {"corrupt", "recent"}


def test_a_second_run_predicts_what_is_new_or_changed_and_tries_the_refused_again(
    bundle: ModelBundle, scans: Path, tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    (scans / "003.png").write_bytes(GARBAGE)
    os.utime(scans / "003.png", (1, 1))
    put(scans, ["still_written.png"], age=1.0)
    first = predict_scans(bundle, scans, out).predictions
    assert len(first) == 39
    put(scans, ["003.png", "039.png", "zzz/new.png", "still_written.png"], seed=5)
    seen = reads(monkeypatch)
    second = predict_scans(bundle, scans, out).predictions
    assert sorted(seen) == ["003.png", "039.png", "still_written.png", "zzz/new.png"]
    assert ids(out) == sorted([*NAMES, "still_written.png", "zzz/new.png"])
    assert not ids(out, "errors.csv")
    same = [c for c in first.case_id if c != "039.png"]
    rows = {c: row for row, c in enumerate(second.case_id)}
    old = {c: row for row, c in enumerate(first.case_id)}
    for case_id in same:
        assert np.array_equal(second.scores[rows[case_id]], first.scores[old[case_id]])
    assert not np.array_equal(second.scores[rows["039.png"]], first.scores[old["039.png"]])
    said = about(out)
    assert (said["predicted"], said["predicted_before"], said["refused"]) == (42, 38, {})


def test_a_run_over_nothing_new_reads_nothing_and_writes_the_same(
    bundle: ModelBundle, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    predict_scans(bundle, scans, out)
    names = ("predictions.csv", "predictions.json", "errors.csv", "journal.jsonl")
    before = [(out / name).read_bytes() for name in names]
    seen = reads(monkeypatch)
    predict_scans(bundle, scans, out)
    assert not seen
    assert [(out / name).read_bytes() for name in names] == before


def test_a_changed_file_that_cannot_be_read_any_more_loses_its_old_row(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_scans(bundle, scans, out)
    for name, content in (("000.png", GARBAGE), ("001.png", b"plain text")):
        (scans / name).write_bytes(content)
        os.utime(scans / name, (1, 1))
    predict_scans(bundle, scans, out)
    assert ids(out) == NAMES[2:]
    assert ids(out, "errors.csv") == NAMES[:2]


def test_a_file_that_changed_a_moment_ago_is_listed_and_its_stale_row_goes(
    bundle: ModelBundle, scans: Path, tmp_path: Path, put: Put
) -> None:
    out = tmp_path / "out"
    predict_scans(bundle, scans, out)
    put(scans, ["000.png"], seed=3, age=2.0)
    predict_scans(bundle, scans, out)
    assert ids(out) == NAMES[1:]
    assert [(r["case_id"], r["code"]) for r in table(out, "errors.csv")] == [("000.png", "recent")]
    predict_scans(bundle, scans, out, settle=0)
    assert ids(out) == NAMES


def test_a_clock_that_is_years_ahead_does_not_leave_a_file_for_ever(
    bundle: ModelBundle, put: Put, tmp_path: Path
) -> None:
    put(tmp_path / "scans", ["a.png", "b.png"], age=-3e8)
    predict_scans(bundle, tmp_path / "scans", tmp_path / "out")
    assert ids(tmp_path / "out") == ["a.png", "b.png"]


def test_rows_of_files_that_were_moved_away_stay(
    bundle: ModelBundle, scans: Path, tmp_path: Path, put: Put
) -> None:
    out = tmp_path / "out"
    whole = predict_scans(bundle, scans, out).predictions
    for name in NAMES[:30]:
        (scans / name).unlink()
    put(scans, ["new.png"])
    part = predict_scans(bundle, scans, out).predictions
    assert ids(out) == [*NAMES, "new.png"]
    assert np.array_equal(part.scores[:-1], whole.scores)
    said = about(out)
    assert (said["found"], said["predicted"], said["kept"]) == (11, 11, 30)


def test_an_emptied_inbox_keeps_its_results_and_fails_no_more(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_scans(bundle, scans, out)
    before = (out / "predictions.csv").read_bytes()
    for path in scans.iterdir():
        path.unlink()
    predict_scans(bundle, scans, out)
    assert (out / "predictions.csv").read_bytes() == before
    assert about(out)["kept"] == 40


def test_a_listed_file_that_is_gone_is_refused_unless_it_was_predicted_before(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    manifest = index_unlabelled([scans], bundle.space).manifest
    assert manifest is not None
    manifest.save(tmp_path / "m.csv")
    (scans / "000.png").unlink()
    predict_scans(bundle, tmp_path / "m.csv", tmp_path / "out")
    assert [(r["case_id"], r["code"]) for r in table(tmp_path / "out", "errors.csv")] == [
        ("000.png", "not_found")
    ]
    (scans / "001.png").unlink()
    predict_scans(bundle, tmp_path / "m.csv", tmp_path / "out")
    assert ids(tmp_path / "out") == NAMES[1:]
    assert ids(tmp_path / "out", "errors.csv") == ["000.png"]
    assert about(tmp_path / "out")["kept"] == 1


def test_labels_corrected_in_a_manifest_reach_rows_that_were_predicted_before(
    bundle: ModelBundle, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = index_unlabelled([scans], bundle.space).manifest
    assert manifest is not None
    manifest.save(tmp_path / "m.csv")
    assert np.isnan(
        predict_scans(bundle, tmp_path / "m.csv", tmp_path / "out").predictions.targets
    ).all()
    targets = bundle.space.one_hot([i % 3 for i in range(40)])
    sex = manifest.frame.assign(sex="F")
    Manifest(sex, targets, bundle.space, scans).save(tmp_path / "m.csv")
    seen = reads(monkeypatch)
    done = predict_scans(bundle, tmp_path / "m.csv", tmp_path / "out").predictions
    assert not seen
    assert np.array_equal(done.targets, targets)
    assert set(done.metadata["sex"]) == {"F"}


def test_cases_that_a_file_no_longer_holds_go_with_it(
    bundle: ModelBundle, tmp_path: Path, put: Put
) -> None:
    scans = put(tmp_path / "scans", ["a.png"])
    stack = np.random.default_rng(0).integers(0, 256, (6, 9, 9), np.uint8)
    for rows, left in ((6, 6), (4, 4), (0, 0)):
        if rows:
            np.savez(scans / "x.npz", images=stack[:rows])
        else:
            (scans / "x.npz").write_bytes(b"PK\x03\x04 images.npy and nothing more")
        predict_scans(bundle, scans, tmp_path / "out", settle=0)
        assert len(ids(tmp_path / "out")) == 1 + left
    assert [c.partition("#")[0] for c in ids(tmp_path / "out", "errors.csv")] == ["x.npz"]


def test_another_bundle_other_scans_and_other_ids_are_refused_by_name(
    bundle: ModelBundle, make_bundle: MakeBundle, scans: Path, tmp_path: Path, put: Put
) -> None:
    out = tmp_path / "out"
    predict_scans(bundle, scans, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    other = make_bundle(seed=1)
    with pytest.raises(FolderExists, match=f"another bundle.*{other.bundle_id[:16]}"):
        predict_scans(other, scans, out)
    with pytest.raises(FolderExists, match="another folder"):
        predict_scans(bundle, put(tmp_path / "others", ["000.png"]), out)
    with pytest.raises(FolderExists, match="keep-ids"):
        predict_scans(bundle, scans, out, keep_ids=True)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    predict_scans(other, scans, out, overwrite=True)
    assert about(out)["bundle_id"] == other.bundle_id


def test_only_refused_cases_are_an_error_once_all_is_written(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "scans" / name).write_bytes(GARBAGE)
    out = tmp_path / "out"
    with pytest.raises(DataError, match="none of 2 cases"):
        predict_scans(bundle, tmp_path / "scans", out, settle=0)
    assert ids(out, "errors.csv") == ["a.png", "b.png"]
    assert ids(out) == []
    assert about(out)["refused"] == {"corrupt": 2}


def test_an_empty_folder_is_an_error_and_one_of_recent_files_is_not(
    bundle: ModelBundle, tmp_path: Path, put: Put
) -> None:
    (tmp_path / "scans").mkdir()
    with pytest.raises(DataError, match="none of 0 cases"):
        predict_scans(bundle, tmp_path / "scans", tmp_path / "out")
    assert about(tmp_path / "out")["found"] == 0
    put(tmp_path / "scans", ["a.png"], age=1.0)
    result = predict_scans(bundle, tmp_path / "scans", tmp_path / "out")
    assert len(result.predictions) == 0
    assert [r.code for r in result.refusals] == ["recent"]
    put(tmp_path / "scans", ["a.png"])
    assert len(predict_scans(bundle, tmp_path / "scans", tmp_path / "out").predictions) == 1


def test_scans_that_are_not_there_leave_no_folder(bundle: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        predict_scans(bundle, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UsageError):
        predict_scans(bundle, tmp_path, tmp_path / "out", device="gpu7")
    assert not (tmp_path / "out").exists()


def test_names_with_blanks_newlines_hashes_and_dashes_stand_for_themselves(
    bundle: ModelBundle, put: Put, tmp_path: Path
) -> None:
    names = ["a b.png", "a\nb.png", "-rf.png", "x#y@3.png", "x#z.png", 'q",q.png', "ü/\t.png", " "]
    put(tmp_path / "scans", names)
    for _ in range(2):
        predict_scans(bundle, tmp_path / "scans", tmp_path / "out")
        assert ids(tmp_path / "out") == sorted(names)
    assert about(tmp_path / "out")["predicted_before"] == len(names)
    (tmp_path / "scans" / "x#y@3.png").unlink()
    predict_scans(bundle, tmp_path / "scans", tmp_path / "out")
    assert ids(tmp_path / "out") == sorted(names)


@pytest.mark.parametrize(
    "text, refused, found, allowed",
    [
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        ("29%", 29, 100, True),
        ("0.1%", 1, 1000, True),
        ("0%", 0, 10, True),
        ("0%", 1, 10, False),
        ("12", 12, 13, True),
        (12, 13, 13, False),
        ("100%", 7, 7, True),
    ],
)
def test_a_limit_is_a_number_or_an_exact_share(
    text: str | int, refused: int, found: int, allowed: bool
) -> None:
    limit = parse_limit(text)
    assert limit is not None
    assert limit.allows(refused, found) is allowed


@pytest.mark.parametrize("text", ["", "5.5", "-1", "101%", "five", "5%%", "nan%", "٥%"])
def test_any_other_limit_is_wrong_usage(text: str, bundle: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max-refused"):
        predict_scans(bundle, tmp_path, tmp_path / "out", max_refused=text)


def test_more_refused_than_allowed_is_an_error_once_all_is_written(
    bundle: ModelBundle, scans: Path, tmp_path: Path, put: Put
) -> None:
    for name in NAMES[:3]:
        (scans / name).write_bytes(GARBAGE)
        os.utime(scans / name, (1, 1))
    put(scans, [f"new{i}.png" for i in range(20)], age=1.0)
    out = tmp_path / "out"
    with pytest.raises(DataError, match="3 of 60 cases were refused, more than 4%"):
        predict_scans(bundle, scans, out, max_refused="4%")
    assert len(ids(out)) == 37
    assert (out / "run.json").is_file()
    predict_scans(bundle, scans, out, max_refused="5%")


def test_numbers_that_are_not_finite_end_the_run_by_name(
    make_bundle: MakeBundle, scans: Path, tmp_path: Path
) -> None:
    bundle = make_bundle()
    next(bundle.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(BundleError, match=r"case '000\.png'"):
        predict_scans(bundle, scans, tmp_path / "out")
    assert not (tmp_path / "out" / "run.json").exists()


def pseudonymous(scans: Path, space: LabelSpace) -> Manifest:
    """A manifest of cases by pseudonym, as one of DICOM, two of them volumes of two files."""
    names = [f"Müller/{n}" for n in NAMES[:6]]
    frame = pd.DataFrame(
        {
            "case_id": [f"{c}PSEUDONYM" for c in "ABCDEF"],
            "source": names,
            "patient_id": [f"PAT00{i // 2}" for i in range(6)],
            "study_id": [f"1.2.{i}" for i in range(6)],
            "Modality": "CT",
        },
        dtype=object,
    )
    return Manifest(frame, np.full((6, space.k), np.nan, np.float32), space, scans)


def test_identities_join_pseudonyms_back_and_nothing_else_names_anybody(
    bundle: ModelBundle, tmp_path: Path, put: Put
) -> None:
    scans = put(tmp_path / "scans", [f"Müller/{n}" for n in NAMES[:6]])
    (scans / "Müller" / "002.png").write_bytes(GARBAGE)
    os.utime(scans / "Müller" / "002.png", (1, 1))
    pseudonymous(scans, bundle.space).save(tmp_path / "m.csv")
    instances = (
        "case_id,position,source,PatientID,AccessionNumber,SeriesInstanceUID,SOPInstanceUID\n"
    )
    instances += ",,Müller/report.dcm,PAT000,ACC9,1.9,1.99\n"
    instances += "".join(
        f"{c}PSEUDONYM,,Müller/{n},PAT,ACC{c},1.3.{c},1.4.{c}\n"
        for c, n in zip("ABCDEF", NAMES, strict=False)
    )
    (tmp_path / "m.instances.csv").write_text(instances)
    out = tmp_path / "out"
    predict_scans(bundle, tmp_path / "m.csv", out)
    rows = table(out, "identities.csv")
    assert list(rows[0]) == [
        *("case_id", "source", "PatientID", "AccessionNumber"),
        *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    ]
    assert list(rows[2].values()) == [
        *("CPSEUDONYM", "Müller/002.png", "PAT", "ACCC", "1.2.2", "1.3.C", "1.4.C")
    ]
    assert {r["case_id"] for r in rows} == set(ids(out)) | set(ids(out, "errors.csv"))
    assert stat.S_IMODE((out / "identities.csv").stat().st_mode) == 0o600
    for path in out.iterdir():
        if path.name != "identities.csv":
            text = path.read_text()
            assert not [w for w in ("Müller", "PAT00", "ACC", "1.2.") if w in text], path.name
    (scans / "Müller" / "000.png").unlink()
    manifest = Manifest.load(tmp_path / "m.csv").take(np.arange(6) > 0)
    manifest.save(tmp_path / "m.csv")
    predict_scans(bundle, tmp_path / "m.csv", out)
    assert table(out, "identities.csv") == rows
    assert about(out)["kept"] == 1


def test_patients_are_pseudonyms_unless_they_are_kept(
    bundle: ModelBundle, tmp_path: Path, put: Put
) -> None:
    scans = put(tmp_path / "scans", [f"Müller/{n}" for n in NAMES[:6]])
    pseudonymous(scans, bundle.space).save(tmp_path / "m.csv")
    hidden = predict_scans(bundle, tmp_path / "m.csv", tmp_path / "hidden").predictions
    shown = predict_scans(bundle, tmp_path / "m.csv", tmp_path / "shown", keep_ids=True).predictions
    assert hidden.patient_id is not None and shown.patient_id is not None
    assert set(shown.patient_id) == {"PAT000", "PAT001", "PAT002"}
    assert not set(hidden.patient_id) & set(shown.patient_id)
    assert np.array_equal(hidden.scores, shown.scores)


def test_a_volume_that_grew_replaces_its_row_whatever_its_id_is_now(
    bundle: ModelBundle, tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = put(tmp_path / "scans", NAMES[:4])

    def volume(name: str, files: list[str]) -> Manifest:
        frame = pd.DataFrame({"case_id": [name], "source": files[:1]}, dtype=object)
        targets = np.full((1, 3), np.nan, np.float32)
        return Manifest(frame, targets, bundle.space, scans, {name: tuple(files)})

    def first_file(root: Path, cases: Any, *args: Any, **options: Any) -> Any:
        return formats.read_cases(root, (c._replace(files=()) for c in cases), *args, **options)

    monkeypatch.setattr("medimg.inference.stream.read_cases", first_file)
    out = tmp_path / "out"
    for name, files in (("ID1", NAMES[1:3]), ("ID1", NAMES[1:4]), ("ID2", NAMES[:4])):
        volume(name, files).save(tmp_path / "m.csv")
        predict_scans(bundle, tmp_path / "m.csv", out)
        assert ids(out) == [name]
        assert about(out)["predicted_before"] == 0
    predict_scans(bundle, tmp_path / "m.csv", out)
    assert about(out)["predicted_before"] == 1


def test_decoding_runs_beside_the_network(
    bundle: ModelBundle, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = formats.read_cases
    spans: dict[str, list[tuple[float, float]]] = {"read": [], "network": []}

    def slow(*args: Any, **options: Any) -> Any:
        for pixels in real(*args, **options):
            start = time.monotonic()
            time.sleep(0.01)
            spans["read"].append((start, time.monotonic()))
            yield pixels

    def forward(module: Any, inputs: Any) -> None:
        start = time.monotonic()
        time.sleep(0.1)
        spans["network"].append((start, time.monotonic()))

    monkeypatch.setattr("medimg.inference.stream.read_cases", slow)
    hook = bundle.model.register_forward_pre_hook(forward)
    try:
        predict_scans(bundle, scans, tmp_path / "out")
    finally:
        hook.remove()
    overlaps = [r for r in spans["read"] for n in spans["network"] if n[0] < r[0] and r[1] < n[1]]
    assert overlaps


def test_an_output_folder_within_the_scans_is_no_scan(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        predict_scans(bundle, scans, scans / "out")
        assert ids(scans / "out") == NAMES
        assert not ids(scans / "out", "errors.csv")
    assert about(scans / "out")["predicted_before"] == 40


@pytest.mark.parametrize(
    "last", ["write_refusals", "Predictions.save", "Journal.compact", "write_json"]
)
def test_a_stop_while_the_tables_are_written_costs_nothing_but_that(
    bundle: ModelBundle, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    (scans / "003.png").write_bytes(GARBAGE)
    os.utime(scans / "003.png", (1, 1))
    predict_scans(bundle, scans, tmp_path / "whole")

    def stop(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(f"medimg.inference.scan.{last}", stop)
        with pytest.raises(KeyboardInterrupt):
            predict_scans(bundle, scans, out)
    assert not (out / "run.json").exists()
    seen = reads(monkeypatch)
    predict_scans(bundle, scans, out)
    assert set(seen) <= {"003.png"}
    for name in ("predictions.csv", "errors.csv", "journal.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_refusal_of_a_stopped_run_is_not_tried_again_until_it_is_finished(
    bundle: ModelBundle, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scans / "003.png").write_bytes(GARBAGE)
    os.utime(scans / "003.png", (1, 1))
    out, seen = tmp_path / "out", reads(monkeypatch)
    calls = []

    def stop_late(module: Any, inputs: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    hook = bundle.model.register_forward_pre_hook(stop_late)
    with pytest.raises(KeyboardInterrupt):
        predict_scans(bundle, scans, out)
    hook.remove()
    seen.clear()
    predict_scans(bundle, scans, out)
    assert "003.png" not in seen
    assert "000.png" not in seen
    assert about(out)["refused"] == {"corrupt": 1}
    seen.clear()
    predict_scans(bundle, scans, out)
    assert seen == ["003.png"]


def test_a_file_that_is_no_case_and_still_being_written_is_recent_and_no_refusal(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    (scans / "half.png").write_bytes(b"half of a name")
    predict_scans(bundle, scans, tmp_path / "out", max_refused=0)
    assert [r["code"] for r in table(tmp_path / "out", "errors.csv")] == ["recent"]
    assert about(tmp_path / "out")["found"] == 41
    with pytest.raises(DataError, match="1 of 41"):
        predict_scans(bundle, scans, tmp_path / "out", max_refused=0, settle=0)


def test_what_is_passed_over_is_counted(bundle: ModelBundle, scans: Path, tmp_path: Path) -> None:
    (scans / ".hidden").write_bytes(b"x")
    predict_scans(bundle, scans, tmp_path / "out", settle=0)
    assert sum(about(tmp_path / "out")["passed_over"].values()) == 1
    assert about(tmp_path / "out")["found"] == 40


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "60"])
def test_what_is_no_number_of_seconds_to_settle_is_wrong_usage(
    seconds: Any, bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="settle"):
        predict_scans(bundle, scans, tmp_path / "out", settle=seconds)
    assert not (tmp_path / "out").exists()


def test_a_link_that_leads_out_is_one_refusal_at_once(
    bundle: ModelBundle, tmp_path: Path, put: Put
) -> None:
    put(tmp_path / "far", ["a.png", "b.png"])
    scans = put(tmp_path / "scans", ["a.png"])
    (scans / "far").symlink_to(tmp_path / "far")
    (scans / "b.png").symlink_to(tmp_path / "far" / "b.png")
    os.utime(tmp_path / "far" / "b.png")
    predict_scans(bundle, scans, tmp_path / "out")
    assert ids(tmp_path / "out") == ["a.png"]
    refused = [(r["case_id"], r["code"]) for r in table(tmp_path / "out", "errors.csv")]
    assert refused == [("b.png", "not_permitted"), ("far", "not_permitted")]


def test_classes_and_kind_of_a_manifest_must_be_those_of_the_bundle_and_no_more(
    bundle: ModelBundle, scans: Path, tmp_path: Path
) -> None:
    def listed(space: LabelSpace) -> Path:
        manifest = index_unlabelled([scans], space).manifest
        assert manifest is not None
        manifest.save(tmp_path / "m.csv")
        return tmp_path / "m.csv"

    others = LabelSpace(("a", "b", "d")), LabelSpace(bundle.space.classes, "ordinal")
    for other in others:
        with pytest.raises(BundleError) as caught:
            predict_scans(bundle, listed(other), tmp_path / "out")
        for space in (other, bundle.space):
            assert f"{list(space.classes)} ({space.kind})" in caught.value.message
    model = build_model("mlp", shape=(1, 512, 512), classes=2, hidden=(4,))
    two = replace(
        bundle,
        model=model.eval(),
        spec=spec_of(model, (1, 512, 512), 2),
        space=LabelSpace(("a", "b"), positive="b"),
        logit_shift=(0.0, 0.0),
    )
    for number, positive in enumerate((None, "a")):
        path = listed(LabelSpace(("a", "b"), positive=positive))
        done = predict_scans(two, path, tmp_path / f"two{number}").predictions
        assert (len(done), done.space) == (40, two.space)
