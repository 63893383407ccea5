"""The journal holds whole lines alone, whatever stopped its writer, and belongs to one writer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medimg.errors import DataError, FolderExists, Refusal, UsageError
from medimg.files import claim_folder, lock
from medimg.inference.ledger import Journal, Row, claimed

ABOUT = {"bundle_id": "b" * 64, "scans": "S", "keep_ids": False}


def row(case_id: str, stamp: str = "s", logit: float = 0.1) -> Row:
    return Row(case_id, stamp, ["f"], [logit, 1.0], [None, 1.0], {"sex": "F"})


def refusal(case_id: str) -> Refusal:
    return Refusal(case_id, "", "decode", "corrupt", "is damaged", "copy it again")


def begun(folder: Path) -> Path:
    """A journal of two batches and a refusal."""
    with claimed(folder, ABOUT, overwrite=False) as journal:
        journal.add([row("a"), row("b\n\r\u2028 ")])
        journal.refuse("t", refusal("c"))
        journal.add([row("d")])
    return folder / "journal.jsonl"


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    begun(tmp_path)
    with claimed(tmp_path, ABOUT, overwrite=False) as journal:
        assert list(journal.rows.values()) == [row("a"), row("b\n\r\u2028 "), row("d")]
        assert journal.refused == {"c": ("t", refusal("c"))}


def test_a_later_line_replaces_what_was_said_of_a_case(tmp_path: Path) -> None:
    path = begun(tmp_path)
    journal = Journal(path)
    journal.add([row("c"), row("a", "new", 7.0)])
    journal.refuse("t", refusal("d"))
    for now in (journal, Journal(path)):
        assert now.rows["a"].logits[0] == 7.0
        assert set(now.rows) == {"a", "b\n\r\u2028 ", "c"}
        assert set(now.refused) == {"d"}


def test_a_line_torn_anywhere_costs_its_batch_alone(tmp_path: Path) -> None:
    path = begun(tmp_path)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        journal = Journal(path)
        assert "d" not in journal.rows
        assert "a" in journal.rows
        assert path.read_bytes() == whole[:last]
    path.write_bytes(whole[: last + 5])
    journal = Journal(path)
    journal.add([row("d")])
    assert path.read_bytes() == whole


def test_a_last_line_of_zeros_is_dropped_and_damage_within_is_refused(tmp_path: Path) -> None:
    path = begun(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(40))
    assert set(Journal(path).rows) == {"a", "b\n\r\u2028 ", "d"}
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:9] + b"\n" + b"".join(lines[2:]))
    with pytest.raises(DataError, match="line 2"):
        Journal(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="line 1"):
        Journal(path)


def test_compacting_keeps_the_rows_given_sorted(tmp_path: Path) -> None:
    path = begun(tmp_path)
    Journal(path).compact([row("d"), row("a")])
    journal = Journal(path)
    assert list(journal.rows) == ["a", "d"]
    assert not journal.refused
    assert journal.about["bundle_id"] == ABOUT["bundle_id"]


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("bundle_id", "c" * 64, "another bundle"),
        ("scans", "T", "another folder"),
        ("keep_ids", True, "--keep-ids"),
        ("unit", "frame", r"another --unit \(unit default, now frame\)"),
        ("where", "W", "another --where"),
    ],
)
def test_a_folder_begun_otherwise_is_refused_by_name(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    path = begun(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    before = path.read_bytes()
    other = ABOUT | {key: value}
    with pytest.raises(FolderExists, match=message), claimed(tmp_path, other, overwrite=False):
        pass
    assert path.read_bytes() == before
    assert (tmp_path / "run.json").exists()
    with claimed(tmp_path, other, overwrite=True) as journal:
        assert not journal.rows
    assert not (tmp_path / "run.json").exists()


def test_somebody_elses_folder_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with (
            pytest.raises(FolderExists, match="did not write"),
            claimed(tmp_path, ABOUT, overwrite=overwrite),
        ):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_finished_folder_of_another_kind_asks_for_overwrite(tmp_path: Path) -> None:
    folder = claim_folder(tmp_path / "run", "run.json", overwrite=False)
    (folder / "run.json").write_text("{}")
    with pytest.raises(FolderExists, match="finished"), claimed(folder, ABOUT, overwrite=False):
        pass
    with claimed(folder, ABOUT, overwrite=True):
        assert not (folder / "run.json").exists()


def test_a_second_writer_is_refused_by_name_and_changes_nothing(tmp_path: Path) -> None:
    path = begun(tmp_path)
    before = path.read_bytes()
    for overwrite in (False, True):
        with (
            lock(tmp_path),
            pytest.raises(UsageError, match="another medimg process"),
            claimed(tmp_path, ABOUT, overwrite=overwrite),
        ):
            pass
    assert path.read_bytes() == before


def test_a_folder_killed_while_it_was_begun_is_begun_again(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "journal.jsonl").rename(tmp_path / ".journal.jsonl.0a1b2c3d4e5f.tmp")
    with claimed(tmp_path, ABOUT, overwrite=False) as journal:
        assert not journal.rows
    names = {p.name for p in tmp_path.iterdir()} - {".lock"}
    assert names == {".medimg", "journal.jsonl"}


def test_no_room_for_a_line_is_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    journal = Journal(begun(tmp_path))
    journal.path = Path("/dev/full")
    if not journal.path.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(UsageError, match="same command"):
        journal.add([row("e")])
    assert "e" not in journal.rows


def test_the_journal_is_lines_of_json(tmp_path: Path) -> None:
    lines = begun(tmp_path).read_text().split("\n")[:-1]
    assert [sorted(json.loads(line)) for line in lines[1:]] == [
        ["rows"],
        ["refused", "stamp"],
        ["rows"],
    ]
