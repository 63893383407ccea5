"""Splits: no group parted, classes shared out, sites held out, no order of rows matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimg.data.audit import audit
from medimg.data.balance import split_counts, warnings
from medimg.data.groups import group_of
from medimg.data.manifest import Manifest
from medimg.data.options import SplitOptions
from medimg.data.splits import split
from medimg.data.store import with_pseudonyms
from medimg.errors import ManifestError, UsageError
from medimg.labels import LabelSpace
from medimg.testing import make_manifest

OWN = "each counts as a group of its own, unless its study or image is another's too"
SPACES = [
    LabelSpace(("a", "b")),
    LabelSpace(("low", "mid", "high"), "ordinal"),
    LabelSpace(("x", "y"), "multilabel"),
]


def with_columns(manifest: Manifest, **columns: list[str]) -> Manifest:
    for name, values in columns.items():
        manifest = manifest.with_column(name, np.array(values, object))
    return manifest


def sites(n: int = 120, patients: int = 40) -> Manifest:
    """Return cases of three sites and a day each; a patient is mostly at one site."""
    manifest = make_manifest(n, patients=patients)
    rng = np.random.default_rng(0)
    site = rng.choice(["A", "B", "C"], patients)[np.arange(n) % patients]
    site[::17] = "A"
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 2000, n), "D")
    return with_columns(manifest, site=site.tolist(), date=days.strftime("%Y-%m-%d").tolist())


def shuffled(manifest: Manifest, seed: int, prefix: str = "") -> Manifest:
    """Return the manifest built from rows in another order, its case ids renamed."""
    order = np.random.default_rng(seed).permutation(len(manifest))
    frame = manifest.frame.iloc[order]
    if prefix:
        frame = frame.assign(case_id=[f"{prefix}{i:06}" for i in range(len(frame))])
    return Manifest(frame, manifest.targets[order], manifest.space, manifest.root)


def by_source(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.frame["source"], manifest.split, strict=True))


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(20, 200),
    patients=st.integers(8, 60),
    space=st.sampled_from(SPACES),
)
def test_no_patient_stands_in_two_splits(
    seed: int, n: int, patients: int, space: LabelSpace
) -> None:
    manifest = split(make_manifest(n, space=space, patients=patients, seed=seed), seed=seed)
    frame = manifest.frame
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(manifest.split) <= {"train", "val", "calib", "test"}
    largest = int(frame["patient_id"].value_counts().max())
    for name, share in {"train": 0.7, "val": 0.1, "calib": 0.1, "test": 0.1}.items():
        assert abs(len(manifest.rows(name)) - share * n) <= largest


def test_each_class_gets_its_share_in_each_split() -> None:
    manifest = split(make_manifest(1000, space=SPACES[1], seed=1))
    whole = manifest.targets.mean(axis=0)
    for name in ("train", "val", "calib", "test"):
        part = manifest.targets[manifest.rows(name)].mean(axis=0)
        assert np.abs(part - whole).max() < 0.02


def test_an_official_split_stays_and_what_it_lacks_is_cut_from_train() -> None:
    before = make_manifest(1000, splits=("train", "train", "train", "test"))
    after = split(before)
    assert np.array_equal(after.rows("test"), before.rows("test"))
    assert len(after.rows("val")) == pytest.approx(75, abs=2)
    assert len(after.rows("calib")) == pytest.approx(68, abs=2)


def test_a_small_training_set_gives_at_least_fifty_and_at_most_a_quarter() -> None:
    after = split(make_manifest(300, splits=("train", "val", "test")))
    assert len(after.rows("calib")) == 25
    after = split(make_manifest(900, splits=("train", "val", "test")))
    assert len(after.rows("calib")) == 50


def test_a_share_of_zero_cuts_nothing() -> None:
    after = split(make_manifest(100, splits=("train", "test")), train=0.8, val=0, calib=0, test=0.2)
    assert set(after.split) == {"train", "test"}


def test_splits_on_some_cases_alone_are_refused() -> None:
    with pytest.raises(ManifestError, match="no split"):
        split(make_manifest(10, splits=("train", "")))
    with pytest.raises(UsageError, match="shares"):
        split(make_manifest(10), train=0.9)


def test_another_seed_gives_another_split() -> None:
    manifest = make_manifest(100)
    assert split(manifest, seed=0).split.tolist() != split(manifest, seed=1).split.tolist()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(12, 120),
    patients=st.integers(1, 40),
    space=st.sampled_from(SPACES),
    unknown=st.sampled_from([0, 0.3, 1]),
)
def test_any_permutation_of_the_rows_and_other_case_ids_give_the_same_split(
    seed: int, n: int, patients: int, space: LabelSpace, unknown: float
) -> None:
    cases = make_manifest(n, space=space, patients=patients, unknown=unknown, seed=seed)
    blank = np.random.default_rng(seed).random(n) < 0.2
    cases = cases.with_column("patient_id", np.where(blank, "", cases.frame["patient_id"]))
    done = by_source(split(cases, seed=seed))
    assert by_source(split(shuffled(cases, seed), seed=seed)) == done
    assert by_source(split(shuffled(cases, seed, "key"), seed=seed)) == done


def test_chained_groups_pass_the_audit_that_patients_alone_would_not() -> None:
    lesions = [f"{i // 2}" for i in range(80)]
    cases = with_columns(make_manifest(80, patients=40), lesion=lesions)
    by = ("patient", "lesion")
    for seed in range(5):
        done = split(cases, by=by, seed=seed)
        assert pd.Series(done.split).groupby(group_of(cases, by)).nunique().max() == 1
        audit(done).require_clean()


def test_missing_ids_are_refused_where_that_is_asked() -> None:
    cases = with_columns(make_manifest(10), patient_id=["1", "", *"23456789"])
    assert (split(cases).split != "").all()
    with pytest.raises(ManifestError, match="1 of 10 cases have no patient_id: case00001"):
        split(cases, missing="refuse")


def test_a_chain_through_a_case_left_out_is_not_parted() -> None:
    cases = with_columns(
        make_manifest(90),
        patient_id=[f"p{i // 3}" if i % 3 < 2 else "" for i in range(90)],
        lesion=[f"L{i // 3}" if i % 3 else "" for i in range(90)],
        split=["none" if i % 3 == 1 else "" for i in range(90)],
    )
    by = ("patient_id", "lesion")
    done = split(cases, by=by)
    assert (done.split[::3] == done.split[2::3]).all()
    audit(done, by=by, quick=True).require_clean()


KINDS = {
    "patient_id": ("", "NA", "1", "01", "2", "p 3", "P  3", "4", "5"),
    "study_id": ("", "", "", "study1", "2", "1.2.840.7", "A70041", "a70041"),
    "lesion": ("", "", "x", "X ", "y", float("nan"), 7, 7.0),
    "source": ("a", "./a", "b", "c", "d", "e", "f"),
    "frame": ("", "0", "1", "2", "3", "4"),
    "split": ("", "", "", "none"),
}


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 100_000), n=st.integers(6, 60))
def test_no_split_is_refused_by_its_own_audit(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    columns = {
        name: [kinds[i] for i in rng.integers(len(kinds), size=n)] for name, kinds in KINDS.items()
    }
    if seed % 2:
        columns["source"] = [f"s{i}" for i in rng.integers(3 * n, size=n)]
    cases = with_columns(make_manifest(n), **columns)
    if (cases.split == "none").all():
        return
    by = (("patient_id",), ("patient_id", "lesion"), ("study_id", "patient_id"))[seed % 3]
    done = split(cases, by=by, seed=seed)
    audit(done, by=by, quick=True).require_clean()
    audit(done, quick=True).require_clean()
    audit(with_pseudonyms(done), quick=True).require_clean()


def test_left_out_cases_stay_out_and_the_others_are_split() -> None:
    cases = with_columns(make_manifest(60), split=["none", *[""] * 59])
    done = split(cases)
    assert done.split[0] == "none" and set(done.split[1:]) == {"train", "val", "calib", "test"}
    with pytest.raises(ManifestError, match="every case is of split none"):
        split(with_columns(cases, split=["none"] * 60))


def test_a_held_out_site_is_the_test_and_its_patients_nowhere_else() -> None:
    cases = sites()
    done = split(cases, hold_out=("site=B",))
    site = cases.frame["site"].to_numpy()
    assert ((done.split == "test") == (site == "B")).all()
    both = set(cases.frame["patient_id"][site == "B"])
    elsewhere = cases.frame["patient_id"].isin(both).to_numpy() & (site != "B")
    assert elsewhere.any() and ((done.split == "none") == elsewhere).all()
    rest = np.isin(done.split, ["train", "val", "calib"])
    assert (done.split == "train").sum() / rest.sum() == pytest.approx(7 / 9, abs=0.06)
    audit(done).require_clean()


def test_several_held_out_values_are_held_out_together() -> None:
    cases = sites()
    done = split(cases, hold_out=("site= b", "site=C"))
    assert set(cases.frame["site"][done.split == "test"]) == {"B", "C"}
    assert by_source(split(cases, hold_out="site=B")) == by_source(
        split(cases, hold_out=("site=B",))
    )


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y%m%d", "%Y-%m-%dT10:00:00", "%Y%m%d103000.5"])
def test_cases_of_a_day_and_later_are_the_test(form: str) -> None:
    cases = sites(patients=120)
    days = pd.to_datetime(cases.frame["date"])
    day = str(sorted(cases.frame["date"])[90])
    written = with_columns(cases, date=days.dt.strftime(form).tolist())
    done = split(written, after=f"date={day}")
    assert ((done.split == "test") == (cases.frame["date"] >= day)).all()
    assert by_source(split(written, after=f"date={day.replace('-', '')}")) == by_source(done)


def test_a_case_without_a_date_is_told_and_not_guessed() -> None:
    cases = sites()
    dates = cases.frame["date"].tolist()
    dates[5], dates[9] = "", "31.12.2020"
    with pytest.raises(
        ManifestError, match=r"2 of 120 cases have no date that can be read.*case00005"
    ) as e:
        split(with_columns(cases, date=dates), after="date=2022-01-01")
    assert "31.12" not in str(e.value)
    done = split(
        with_columns(cases, date=dates, split=["none" if i in (5, 9) else "" for i in range(120)]),
        after="date=2022-01-01",
    )
    assert done.split[5] == done.split[9] == "none"


@pytest.mark.parametrize("column", ["split", "case_id", "frame"])
def test_columns_that_say_nothing_of_who_belongs_together_are_no_groups(column: str) -> None:
    with pytest.raises(UsageError, match=f"groups by '{column}'"):
        split(sites(), by=(column,))


def test_a_case_of_no_site_is_told_where_a_site_is_held_out() -> None:
    cases = sites()
    blank = ["" if i == 7 else site for i, site in enumerate(cases.frame["site"])]
    with pytest.raises(ManifestError, match=r"1 of 120 cases have no site.*case00007"):
        split(with_columns(cases, site=blank), hold_out=("site=B",))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hold_out": ("sit=B",)}, "no column 'sit'; did you mean site"),
        ({"hold_out": ("scanner=B",)}, r"no column 'scanner'\n  -> one of site, date, patient_id"),
        ({"hold_out": ("site=D",)}, "no case has site=D\n  -> .*: A, B, C"),
        ({"hold_out": ("site",)}, "write COLUMN=VALUE, as in site=B"),
        ({"hold_out": ("site=",)}, "write COLUMN=VALUE"),
        ({"after": "date=soon"}, "no date"),
        ({"after": "date=2999-01-01"}, "no case is of 2999-01-01 or later"),
        ({"after": "day=2020-01-01"}, "no column 'day'"),
        ({"by": ("patients",)}, "did you mean patient"),
    ],
)
def test_what_cannot_be_held_out_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(sites(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("column", ["site_patient", "Model user", "device serial"])
def test_a_column_that_is_not_named_as_sites_are_is_not_listed_in_an_error(column: str) -> None:
    names = [f"HOSP-{i:03}" for i in range(120)]
    with pytest.raises(UsageError, match="one of the 120 values") as error:
        split(with_columns(sites(), **{column: names}), hold_out=(f"{column}=HOSP-999",))
    assert "HOSP-0" not in str(error.value)


def test_a_word_for_no_id_is_a_value_to_hold_out() -> None:
    words = ["unknown" if i % 3 else "B" for i in range(120)]
    done = split(with_columns(sites(patients=120), kernel=words), hold_out=("kernel=Unknown",))
    assert ((done.split == "test") == np.array([word == "unknown" for word in words])).all()


def test_patients_are_not_listed_in_an_error() -> None:
    with pytest.raises(UsageError, match="one of the 40 values") as error:
        split(sites(), hold_out=("patient=040",))
    assert "039" not in str(error.value)


def test_holding_out_everything_or_beside_an_official_split_is_refused() -> None:
    with pytest.raises(ManifestError, match="nothing left to train on"):
        split(sites(), after="date=2019-01-01")
    brought = with_columns(sites(), split=["train", "test"] * 60)
    with pytest.raises(UsageError, match="the data bring the splits test, train"):
        split(brought, hold_out=("site=B",))


def test_one_patient_alone_is_learnt_from() -> None:
    done = split(make_manifest(5, patients=1))
    assert set(done.split) == {"train"}


def test_shares_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="shares"):
        split(make_manifest(10), train=float("nan"))


def test_options_take_one_text_for_several() -> None:
    options = SplitOptions.model_validate({"by": "lesion", "hold_out": "site=B"})
    assert options.by == ("lesion",) and options.hold_out == ("site=B",)
    assert set(SplitOptions().model_dump()) <= set(split.__kwdefaults__ or {})
    assert SplitOptions().model_dump().items() <= dict(split.__kwdefaults__ or {}).items()
    with pytest.raises(ValueError, match="by"):
        SplitOptions.model_validate({"by": []})


def test_counts_tell_cases_and_patients_of_each_class() -> None:
    frame = pd.DataFrame({"case_id": list("abcdef"), "source": list("abcdef")}, dtype=object)
    frame["patient_id"] = ["1", "1", "2", "2", "3", ""]
    frame["split"] = ["train", "train", "train", "train", "test", "none"]
    targets = SPACES[0].one_hot(np.array([0, 0, 0, 1, 1, 0]))
    targets[4] = np.nan
    table = split_counts(Manifest(frame, targets, SPACES[0], Path()))
    expected = """
split cases groups label:a label:a_groups label:b label:b_groups unknown
train 4     2        3       2                1       1                0
test  1     1        0       0                0       0                1
none  1     1        1       1                0       0                0
"""
    header, *rows = (line.split() for line in expected.strip().splitlines())
    assert [column.replace(" ", "_") for column in table] == header
    assert table.astype(str).to_numpy().tolist() == rows
    assert "patients" in split_counts(make_manifest(4, patients=2))
    shared = with_columns(make_manifest(4, patients=2), study_id=["1.2.3.4"] * 4)
    assert "groups" in split_counts(shared), "two patients are one group"


def test_a_class_too_rare_for_the_splits_is_told() -> None:
    space = LabelSpace(("common", "rare"))
    targets = space.one_hot((np.arange(40) // 2 == 0).astype(int))
    frame = make_manifest(40).frame.assign(patient_id=[f"p{i // 2}" for i in range(40)])
    told = warnings(split(Manifest(frame, targets, space, Path())))
    assert told == [
        "class 'rare' is of 1 patient, too few for 4 splits",
        "no case of class 'rare' in val, calib, test",
    ]


def test_a_balanced_split_warns_of_nothing_and_one_that_is_off_its_share_is_told() -> None:
    shares = {"train": 0.7, "val": 0.1, "calib": 0.1, "test": 0.1}
    done = split(make_manifest(400, patients=200))
    assert warnings(done, shares=shares) == []
    one_of_all = ["1" if i < 340 else f"p{i}" for i in range(400)]
    done = split(with_columns(done, split=[""] * 400, patient_id=one_of_all))
    told = "split train has 85.0% of the cases, not 70.0%: groups are not parted, and the largest"
    assert warnings(done, shares=shares)[0] == f"{told} has 340 of 400"
    assert warnings(done) == []


def test_cases_without_an_id_and_negatives_that_are_missing_are_told() -> None:
    space = SPACES[2]
    targets = np.array([[1, 0], [1, 1], [1, 0], [0, np.nan]], np.float32)
    frame = make_manifest(4).frame.assign(
        patient_id=["1", "2", "", "n/a"], split=["train", "test", "train", "train"]
    )
    told = warnings(Manifest(frame, targets, space, Path()))
    assert told == [
        f"2 of 4 cases have no patient_id (1 a word for none, such as NA): {OWN}",
        "class 'y' is of 1 group, too few for 2 splits",
        "no case of class 'y' in train",
        "no case known to be without 'x' in test",
        "no case known to be without 'y' in test",
    ]
    assert warnings(make_manifest(4)) == []
