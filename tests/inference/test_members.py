"""A bundle knows its training set again, for whoever holds the key, and tells nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg.data.manifest import Manifest
from medimg.data.store import ImageStore
from medimg.errors import BundleError, FolderExists, UsageError
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.inference.about import MEMBERS, read_about, read_members
from medimg.inference.bundle import ModelBundle
from medimg.inference.checker import checker, seen_in_store, why_unchecked
from medimg.inference.members import Members
from medimg.inference.scan import predict_scans
from medimg.inference.seen import SEEN, seen_of
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.privacy import load_key, pseudonym

MakeBundle, Put = Callable[..., ModelBundle], Callable[..., Path]
SPACE = LabelSpace(("a", "b", "c"))
#: Case -> (patient, split); what is not train, val or calib made nothing.
CASES = {
    "0.png": ("Meier007", "train"),
    "1.png": ("Meier007", "train"),
    "2.png": ("Schulz", "val"),
    "3.png": ("Weber", "calib"),
    "4.png": ("Koch", "test"),
    "5.png": ("Vogel", "none"),
    "6.png": ("", "train"),
}


@pytest.fixture
def scans(put: Put, tmp_path: Path) -> Path:
    return put(tmp_path / "scans", list(CASES))


@pytest.fixture
def manifest(scans: Path) -> Manifest:
    patients, splits = zip(*CASES.values(), strict=True)
    names = list(CASES)
    columns = {"case_id": names, "source": names, "patient_id": patients, "split": splits}
    targets = SPACE.one_hot(np.arange(len(CASES)) % 3)
    return Manifest(pd.DataFrame(columns, dtype=object), targets, SPACE, scans)


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> ModelBundle:
    return make_bundle(16)


def store_of(manifest: Manifest, bundle: ModelBundle, *, keep_ids: bool = False) -> ImageStore:
    folder = manifest.root.parent / "store"
    return ImageStore.build(manifest, bundle.preprocess, folder, keep_ids=keep_ids)


def calibrating(
    cases: list[str], patients: list[str] | None, seen: list[str] | None = None
) -> Predictions:
    """Predictions that a calibrator is fitted on; what is `seen` was told by the bundle."""
    classes = np.arange(len(cases)) % 3
    return Predictions(
        case_id=np.array(cases, object),
        scores=np.eye(3, dtype=np.float32)[classes],
        kind="logits",
        space=SPACE,
        targets=SPACE.one_hot(classes),
        patient_id=None if patients is None else np.array(patients, object),
        metadata=pd.DataFrame({} if seen is None else {SEEN: seen}),
    )


def with_key(monkeypatch: pytest.MonkeyPatch, path: Path) -> Path:
    monkeypatch.setenv("MEDIMG_KEY_FILE", str(path))
    return path


def test_every_case_of_the_store_is_told_by_its_own_picture(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    store = store_of(manifest, bundle)
    predicted = replace(bundle, members=Members.of(store)).predict(store)
    expected = {name: split for name, (_, split) in CASES.items()} | {"4.png": "no", "5.png": "no"}
    assert dict(zip(predicted.case_id, predicted.metadata[SEEN], strict=True)) == expected


def test_a_case_without_a_label_made_nothing(manifest: Manifest, bundle: ModelBundle) -> None:
    targets = manifest.targets.copy()
    targets[0] = np.nan
    store = store_of(replace(manifest, targets=targets), bundle)
    members = Members.of(store)
    seen = seen_in_store(members, store, np.arange(len(store)))
    assert seen[:2] == ["patient in train", "train"]
    assert len(members.pictures) == len(members.cases) == 4


def test_a_picture_in_several_splits_counts_for_the_first(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    scans = manifest.root
    (scans / "0.png").write_bytes((scans / "3.png").read_bytes())
    (scans / "4.png").write_bytes((scans / "3.png").read_bytes())
    store = store_of(manifest, bundle)
    seen = seen_in_store(Members.of(store), store, np.arange(len(store)))
    assert seen[:5] == ["train", "train", "val", "train", "train"]


@pytest.mark.parametrize("trained_with_ids", [False, True])
@pytest.mark.parametrize("predicted_with_ids", [False, True])
def test_a_patient_is_known_again_by_id_or_by_pseudonym(
    manifest: Manifest,
    bundle: ModelBundle,
    put: Put,
    tmp_path: Path,
    trained_with_ids: bool,
    predicted_with_ids: bool,
) -> None:
    members = Members.of(store_of(manifest, bundle, keep_ids=trained_with_ids))
    names = ["n0.png", "n1.png", "n2.png", "n3.png"]
    put(tmp_path / "new", names, seed=9)
    own = {"case_id": names, "source": names, "patient_id": [" MEIER007", "SCHULZ ", "Frey", ""]}
    targets = np.full((4, 3), np.nan, np.float32)
    new = Manifest(pd.DataFrame(own, dtype=object), targets, SPACE, tmp_path / "new")
    new.save(tmp_path / "new.csv")
    predictions = predict_scans(
        replace(bundle, members=members),
        tmp_path / "new.csv",
        tmp_path / "out",
        keep_ids=predicted_with_ids,
    ).predictions
    assert seen_of(predictions) == ["patient in train", "patient in val", "no", "no"]
    check = checker(members)
    assert check is not None
    by_ids = check.seen(predictions.case_id, predictions.patient_id, None)
    assert by_ids == ["patient in train", "patient in val", "not checked", "not checked"]


def test_an_id_with_another_picture_is_not_called_the_case(
    manifest: Manifest, bundle: ModelBundle, put: Put
) -> None:
    members = Members.of(store_of(manifest, bundle))
    other = put(manifest.root.parent / "other", ["0.png", "9.png"], seed=7)
    done = predict_scans(replace(bundle, members=members), other, manifest.root.parent / "out")
    assert seen_of(done.predictions) == ["case id in train", "no"]
    assert done.summary["seen"] == {"case id in train": 1, "no": 1}


def test_what_calibrated_the_model_is_added_and_weighs_least(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    members = Members.of(store_of(manifest, bundle))
    more = members.with_calib(calibrating(["0.png", "n.png"], ["Meier007", "Frey"]))
    check = checker(more)
    assert check is not None
    ids, patients = ["0.png", "n.png", "m.png", "k.png"], ["", "", "frey", "Meier007"]
    assert check.seen(ids, patients, None) == [
        "case id in train",
        "case id in calib",
        "patient in calib",
        "patient in train",
    ]
    assert more.pictures == members.pictures


def test_without_the_key_nothing_is_told_and_no_key_is_made(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(manifest, bundle)
    made = replace(bundle, members=Members.of(store))
    made.save(tmp_path / "b")
    absent = with_key(monkeypatch, tmp_path / "nowhere" / "key")
    loaded = ModelBundle.load(tmp_path / "b")
    assert set(seen_of(loaded.predict(store))) == {"not checked"}
    assert loaded.members is not None
    blind = loaded.members.with_calib(calibrating(["x"], ["Frey"]))
    assert blind == replace(loaded.members, calib_unknown="all")
    assert "MEDIMG_KEY_FILE" in why_unchecked(loaded.members)
    assert not absent.exists()
    out = predict_scans(loaded, manifest.root, tmp_path / "out")  # makes a key, another one
    assert absent.exists()
    assert out.summary["seen"] == {"not checked": len(CASES)}


def test_a_damaged_key_is_named_and_not_taken_for_another(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(manifest, bundle)
    made = replace(bundle, members=Members.of(store))
    with_key(monkeypatch, tmp_path / "key").write_text("not a key")
    with pytest.raises(UsageError, match="64 hex digits"):
        made.predict(store)


def test_a_bundle_without_a_record_says_not_checked(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path
) -> None:
    bundle.save(tmp_path / "b")
    assert not (tmp_path / "b" / MEMBERS).exists()
    loaded = ModelBundle.load(tmp_path / "b")
    assert loaded.members is None
    assert read_members(tmp_path / "b", read_about(tmp_path / "b")) is None
    assert set(seen_of(loaded.predict(store_of(manifest, bundle)))) == {"not checked"}


def test_the_record_comes_back_as_it_was_and_changes_no_identity(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path
) -> None:
    made = replace(bundle, members=Members.of(store_of(manifest, bundle)))
    assert made.bundle_id == bundle.bundle_id
    made.save(tmp_path / "b")
    assert ModelBundle.load(tmp_path / "b").members == made.members
    assert made.with_calibrator(None).members == made.members


def test_an_altered_or_missing_record_is_refused_by_name(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path
) -> None:
    replace(bundle, members=Members.of(store_of(manifest, bundle))).save(tmp_path / "b")
    path = tmp_path / "b" / MEMBERS
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 20):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(BundleError, match=r"members\.json"):
            ModelBundle.load(tmp_path / "b")
    path.unlink()
    with pytest.raises(BundleError, match=r"members\.json"):
        ModelBundle.load(tmp_path / "b")


def test_the_record_names_nobody_and_joins_to_no_pseudonym(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path
) -> None:
    shown = store_of(manifest, bundle)
    for store in (shown, store_of(manifest, bundle, keep_ids=True)):
        replace(bundle, members=Members.of(store)).save(tmp_path / "b", overwrite=True)
        text = (tmp_path / "b" / MEMBERS).read_text().casefold()
        for word in [*CASES, *(p for p, _ in CASES.values() if p), *shown.pixel_hash]:
            assert word.casefold() not in text
        for named in {*shown.manifest.frame["patient_id"]} - {""}:
            assert named[:12].casefold() not in text


def test_the_lists_of_the_record_are_sorted_each_for_itself(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    about = Members.of(store_of(manifest, bundle)).to_dict()
    for split in ("train", "val", "calib"):
        for names in about[split].values():
            assert names == sorted(set(names))
    assert {kind: len(names) for kind, names in about["train"].items()} == {
        "pictures": 3,
        "patients": 1,
        "cases": 3,
    }


def test_the_record_does_not_hang_on_the_order_of_the_rows(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    first = Members.of(store_of(manifest, bundle))
    assert Members.of(store_of(manifest.take(np.arange(len(manifest))[::-1]), bundle)) == first


def test_a_run_that_goes_on_keeps_what_it_told(
    manifest: Manifest, bundle: ModelBundle, put: Put, tmp_path: Path
) -> None:
    known = replace(bundle, members=Members.of(store_of(manifest, bundle)))
    out = tmp_path / "out"
    first = predict_scans(known, manifest.root, out).predictions
    (manifest.root / "0.png").unlink()
    put(manifest.root, ["new.png"], seed=3)
    again = predict_scans(known, manifest.root, out)
    assert again.summary["kept"] == 1
    told = dict(zip(again.predictions.case_id, seen_of(again.predictions), strict=True))
    assert told == dict(zip(first.case_id, seen_of(first), strict=True)) | {"new.png": "no"}


def test_rows_of_a_ledger_without_the_record_stay_not_checked(
    manifest: Manifest, bundle: ModelBundle, put: Put, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_scans(bundle, manifest.root, out)
    journal = out / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines[1:]:  # as it was before rows told of pictures
        line["rows"] = [row[:6] for row in line["rows"]]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    put(manifest.root, ["new.png"], seed=3)
    known = replace(bundle, members=Members.of(store_of(manifest, bundle)))
    done = predict_scans(known, manifest.root, out)
    told = dict(zip(done.predictions.case_id, seen_of(done.predictions), strict=True))
    assert (told["new.png"], told["4.png"], told["0.png"]) == (
        "no",
        "not checked",
        "case id in train",
    )
    assert why_unchecked(known.members) == "they were predicted before there was a record"


def test_pictures_are_not_hashed_where_nobody_can_tell(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = Members.of(store_of(manifest, bundle))
    with_key(monkeypatch, tmp_path / "other")
    monkeypatch.setattr("medimg.inference.stream.picture_hashes", pytest.fail)
    for number, known in enumerate((None, members)):
        predict_scans(replace(bundle, members=known), manifest.root, tmp_path / f"{number}")


#: What is told of a new picture with a patient's id and of one without, by what calibrated.
@pytest.mark.parametrize(
    ("patients", "seen", "unknown", "told"),
    [
        (["Frey", "Lang"], None, "pictures", ["no", "not checked"]),
        (["Frey", ""], None, "all", ["not checked", "not checked"]),
        (["Frey", "unknown"], None, "all", ["not checked", "not checked"]),
        (None, None, "all", ["not checked", "not checked"]),
        (["Frey", "Lang"], ["calib", "train"], "", ["no", "no"]),
        (["Frey", "Lang"], ["calib", "no"], "pictures", ["no", "not checked"]),
        (["Frey", "Lang"], ["calib", "case id in train"], "pictures", ["no", "not checked"]),
    ],
)
def test_nothing_is_ruled_out_that_the_record_of_calib_lacks(
    manifest: Manifest,
    bundle: ModelBundle,
    patients: list[str] | None,
    seen: list[str] | None,
    unknown: str,
    told: list[str],
) -> None:
    members = Members.of(store_of(manifest, bundle))
    more = members.with_calib(calibrating(["n.png", "o.png"], patients, seen))
    assert more.calib_unknown == unknown
    assert Members.from_dict(json.loads(json.dumps(more.to_dict()))) == more
    check = checker(more)
    assert check is not None
    assert check.seen(["p.png", "q.png"], ["Busch", ""], ["no", "no"]) == told
    assert check.seen(["p.png"], None, ["train"]) == ["train"]


def test_a_pseudonym_under_another_key_makes_no_patient_known(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    members = Members.of(store_of(manifest, bundle))
    theirs = [pseudonym(b"another key", "patient_id", i) for i in ("frey", "lang")]
    ours = [pseudonym(load_key(), "patient_id", i) for i in ("frey", "lang")]
    cases = ["n.png", "o.png"]
    assert members.with_calib(calibrating(cases, theirs)).calib_unknown == "all"
    blind = calibrating(cases, theirs, ["not checked", "not checked"])
    assert members.with_calib(blind).calib_unknown == "all"
    told = members.with_calib(calibrating(cases, ours, ["no", "no"]))
    assert told.calib_unknown == "pictures"
    check = checker(told)
    assert check is not None
    assert check.seen(["x"], ["Frey"], ["no"]) == ["patient in calib"]


def test_a_calibrator_of_unknown_origin_leaves_nothing_ruled_out(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    store = store_of(manifest, bundle)
    made = replace(bundle, members=Members.of(store))
    fitted_on = made.predict(store)
    calibrator = fit_calibrator(fitted_on.take(fitted_on.split == "train"))
    anyhow = made.with_calibrator(calibrator)
    assert set(seen_of(anyhow.predict(store))) == {"train", "val", "calib", "not checked"}
    assert anyhow.with_calibrator(None).members == made.members
    known = made.with_calibrator(calibrator, fitted_on.take(fitted_on.split == "train"))
    assert known.members == made.members
    with pytest.raises(BundleError, match="other predictions"):
        made.with_calibrator(calibrator, fitted_on)


def test_cases_of_a_store_that_calibrated_are_known_by_their_pictures(
    manifest: Manifest, bundle: ModelBundle
) -> None:
    store = store_of(manifest, bundle)
    members = Members.of(store).with_calib_of(store, manifest.rows("test"))
    assert members.calib_unknown == ""
    assert seen_in_store(members, store, np.arange(len(store)))[4:6] == ["calib", "no"]


def test_a_picture_of_one_value_is_no_member(
    manifest: Manifest, bundle: ModelBundle, put: Put, tmp_path: Path
) -> None:
    for name in ("0.png", "4.png"):
        Image.new("L", (12, 12), 7).save(manifest.root / name)
    store = store_of(manifest, bundle)
    members = Members.of(store)
    seen = seen_in_store(members, store, np.arange(len(store)))
    assert seen[:5] == ["patient in train", "train", "val", "calib", "no"]
    new = put(tmp_path / "new", ["a.png", "b.png"], seed=8)
    Image.new("L", (30, 30), 7).save(new / "a.png")
    done = predict_scans(replace(bundle, members=members), new, tmp_path / "out", settle=0)
    assert seen_of(done.predictions) == ["no", "no"]


def test_a_prediction_is_not_gone_on_with_under_another_key(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(bundle, members=Members.of(store_of(manifest, bundle)))
    predict_scans(known, manifest.root, tmp_path / "out")
    with_key(monkeypatch, tmp_path / "other")
    with pytest.raises(FolderExists, match="another pseudonym key"):
        predict_scans(known, manifest.root, tmp_path / "out")


def test_rows_of_the_ledger_are_judged_by_the_record_of_now(
    manifest: Manifest, bundle: ModelBundle, tmp_path: Path
) -> None:
    known = replace(bundle, members=Members.of(store_of(manifest, bundle)))
    first = predict_scans(known, manifest.root, tmp_path / "out")
    assert first.summary["seen"]["no"] == 2
    assert known.members is not None
    less = replace(known, members=replace(known.members, calib_unknown="all"))
    again = predict_scans(less, manifest.root, tmp_path / "out")
    assert again.summary["seen"]["not checked"] == 2
    assert "no" not in again.summary["seen"]
    assert why_unchecked(less.members).startswith("the cases that calibrated")
