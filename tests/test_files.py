"""Files are whole or absent; canonical text is one text."""

from __future__ import annotations

import base64
import hmac
import stat
from pathlib import Path

import pytest

from medimg.errors import FolderExists, MedimgError, PixelError, Refusal, UsageError, nearest
from medimg.files import (
    canonical_json,
    claim_folder,
    fingerprint,
    lock,
    read_json,
    replacing,
    write_json,
    write_refusals,
    write_text,
)
from medimg.privacy import load_key, pseudonym, pseudonyms


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_write_that_the_disk_refuses_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.txt.*No space"), replacing(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_private_file_has_no_readers_but_its_owner(tmp_path: Path) -> None:
    write_text(tmp_path / "key", "x", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_nan_is_never_written_to_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(MedimgError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_a_fingerprint_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert canonical_json({"b": [1.5], "a": "ä"}) == '{"a":"ä","b":[1.5]}'


def test_a_folder_of_somebody_else_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(FolderExists, match="did not write"):
        claim_folder(tmp_path, "run.json", overwrite=True)
    assert (tmp_path / "thesis.doc").exists()


def test_a_finished_folder_is_refused_and_overwritten_when_asked(tmp_path: Path) -> None:
    folder = claim_folder(tmp_path / "a b", "run.json", overwrite=False)
    (folder / "run.json").write_text("{}")
    with pytest.raises(FolderExists, match="finished"):
        claim_folder(folder, "run.json", overwrite=False)
    claim_folder(folder, "run.json", overwrite=True)
    assert not (folder / "run.json").exists()
    with pytest.raises(FolderExists, match="not finished"):
        claim_folder(folder, "run.json", overwrite=False)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(FolderExists, match="is a file"):
        claim_folder(tmp_path / "x", "run.json", overwrite=True)


def test_one_writer_a_folder(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(UsageError, match="another medimg"), lock(tmp_path):
        pass


def test_refusals_are_sorted_and_a_header_alone_says_none(tmp_path: Path) -> None:
    write_refusals(tmp_path / "errors.csv", [])
    assert (tmp_path / "errors.csv").read_text() == "case_id,frame,stage,code,message,remedy\n"
    rows = [Refusal(c, "", "decode", "corrupt", "a, b", "c\nd") for c in "ba"]
    write_refusals(tmp_path / "errors.csv", rows)
    assert (tmp_path / "errors.csv").read_text().splitlines()[1].startswith("a,,decode")


def test_a_pixel_error_has_a_documented_code() -> None:
    with pytest.raises(ValueError, match="no PixelError code"):
        PixelError("whatever", "m", remedy="r")


def test_an_unknown_name_gets_its_nearest() -> None:
    assert nearest("dropuot", ["dropout", "lr"]) == "; did you mean dropout?"
    assert nearest("xyz", ["dropout"]) == ""


def test_a_pseudonym_is_stable_under_its_key_and_another_under_another(tmp_path: Path) -> None:
    first, second = load_key(tmp_path / "a"), load_key(tmp_path / "b")
    assert load_key(tmp_path / "a") == first
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    name = pseudonym(first, "patient_id", "007")
    assert name == pseudonym(first, "patient_id", "007")
    assert len(name) == 26
    assert len({name, pseudonym(second, "patient_id", "007"), pseudonym(first, "p", "7")}) == 3


def test_a_broken_key_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc")
    with pytest.raises(UsageError, match="key"):
        load_key(tmp_path / "key")


def test_a_folder_that_happens_to_hold_the_marker_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("somebody's own page")
    with pytest.raises(FolderExists, match="did not write"):
        claim_folder(tmp_path, "index.html", overwrite=True)
    assert (tmp_path / "index.html").exists()


def test_a_pseudonym_is_the_start_of_a_keyed_hash_in_base32() -> None:
    key, things = bytes(range(32)), [("case", f"é{number}", "") for number in range(50)]
    wanted = []
    for parts in things:
        texts = [part.encode() for part in parts]
        message = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
        digest = hmac.new(key, message, "sha256").digest()
        wanted.append(base64.b32encode(digest[:16]).decode().rstrip("="))
    assert pseudonyms(key, things) == wanted == [pseudonym(key, *parts) for parts in things]
    assert pseudonyms(key, []) == []
