"""`Members`: which cases made a model, by keyed pseudonyms that can be joined to nothing else.

A bundle keeps, of its splits train, val and calib, a name of every picture, patient and case.
Whoever holds the pseudonym key can tell whether a scan is among them, under whatever name it
comes; to anybody else the names say nothing but how many there are. The three lists are sorted
each for itself, so that not even the key tells which picture was whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medimg.data.manifest import Manifest
from medimg.data.store import ImageStore
from medimg.inference.names import canonical, key_id, named, stored_hashes
from medimg.inference.seen import NOT_CHECKED, SPLITS, seen_of
from medimg.predictions import Predictions
from medimg.privacy import held_key, is_pseudonym, load_key

_FORMAT = {"format": "medimg.members", "format_version": 1}
_KINDS = ("pictures", "patients", "cases")
Names = Mapping[str, str]
#: What is not on record of the cases that calibrated: nothing, some pictures, or some cases.
Unknown = Literal["", "pictures", "all"]


@dataclass(frozen=True)
class Members:
    """Who stood in the splits that made a model: name -> the first of `SPLITS` that holds it.

    Parameters
    ----------
    key_id : str
        Which pseudonym key the names are under.
    pictures : mapping of str to str
        Of the integers that the bundle's own preprocessing gives. A picture of one single value
        is left out: it tells no case from another.
    patients : mapping of str to str
    cases : mapping of str to str
        Of case ids: two sets may hold other pictures under one id.
    calib_unknown : {"", "pictures", "all"}
        What the record lacks of the cases that calibrated: nothing; some of their pictures,
        while every patient is there; or anything of them.
    """

    key_id: str
    pictures: Names
    patients: Names
    cases: Names
    calib_unknown: Unknown = ""

    @classmethod
    def of(cls, store: ImageStore) -> Members:
        """Return the members of a store: its labelled cases of `SPLITS`.

        Where there is no pseudonym key yet, it is made; see `load_key`.
        """
        key, rows = load_key(), _labelled(store.manifest)
        return cls(key_id(key), *_names(key, store, rows, store.manifest.split[rows]))

    def key(self) -> bytes | None:
        """Return the key that the names are under, where it is at hand; none is made."""
        key = held_key()
        return key if key is not None and key_id(key) == self.key_id else None

    def with_calib_of(self, store: ImageStore, rows: NDArray[np.intp]) -> Members:
        """Return the members and, as calib, `rows` of a store that a calibrator was fitted on."""
        key = self.key()
        if key is None:
            return replace(self, calib_unknown="all")
        return self._with(*_names(key, store, rows, ["calib"] * len(rows)), unknown="")

    def with_calib(self, fitted_on: Predictions) -> Members:
        """Return the members and, as calib, the cases that a calibrator was fitted on.

        Predictions hold no pictures, so that `calib_unknown` says what the record lacks from
        now on, unless their column `seen` says that each picture is on record. Patients count
        as known where every such case has one, as an id or as a pseudonym under this key.
        Without the key the cases are not added.

        Parameters
        ----------
        fitted_on : Predictions
            Of this very bundle, with its calibrator or without.
        """
        known = fitted_on.take(fitted_on.known)
        new = known.take(~np.isin(seen_of(known), SPLITS))
        if not len(new):
            return replace(self, calib_unknown="")
        key = self.key()
        if key is None:
            return replace(self, calib_unknown="all")
        patients = [""] * len(new) if new.patient_id is None else list(new.patient_id)
        ids, calib = canonical(key, patients), ["calib"] * len(new)
        return self._with(
            {},
            _by_name(key, "patient", ids, calib),
            _by_name(key, "case", new.case_id, calib),
            unknown="pictures" if _are_known(patients, ids, seen_of(new)) else "all",
        )

    def _with(self, pictures: Names, patients: Names, cases: Names, *, unknown: Unknown) -> Members:
        return Members(
            self.key_id,
            {**pictures, **self.pictures},
            {**patients, **self.patients},
            {**cases, **self.cases},
            unknown,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it: sorted names by split and kind."""
        lists = {
            split: {
                kind: sorted(name for name, at in getattr(self, kind).items() if at == split)
                for kind in _KINDS
            }
            for split in SPLITS
        }
        return {**_FORMAT, "key": self.key_id, "calib_unknown": self.calib_unknown, **lists}

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> Members:
        """Return what `to_dict` wrote; anything else raises `ValueError` or `KeyError`."""
        unknown = about["calib_unknown"]
        if {k: about[k] for k in _FORMAT} != _FORMAT or unknown not in ("", "pictures", "all"):
            raise ValueError("no members of this version")
        names = {
            kind: {name: split for split in reversed(SPLITS) for name in about[split][kind]}
            for kind in _KINDS
        }
        return cls(about["key"], **names, calib_unknown=unknown)


def _labelled(manifest: Manifest) -> NDArray[np.intp]:
    """Return the rows of `SPLITS` with any known target, the first split first."""
    known = np.asarray(~np.isnan(manifest.targets).all(axis=1))
    rows = np.concatenate([manifest.rows(split) for split in SPLITS])
    return np.asarray(rows[known[rows]], np.intp)


def _names(
    key: bytes, store: ImageStore, rows: NDArray[np.intp], splits: Iterable[str]
) -> tuple[Names, Names, Names]:
    """Return the names of pictures, patients and cases of rows of a store, with the splits."""
    frame, splits = store.manifest.frame.iloc[rows], list(splits)
    return (
        _by_name(key, "picture", stored_hashes(store, rows), splits),
        _by_name(key, "patient", canonical(key, frame["patient_id"]), splits),
        _by_name(key, "case", frame["case_id"], splits),
    )


def _by_name(key: bytes, kind: str, texts: Iterable[str], splits: Sequence[str]) -> Names:
    """Return name -> split; of a text that stands there twice the first split counts."""
    first: dict[str, str] = {}
    for text, split in zip(texts, splits, strict=True):
        if text:
            first.setdefault(text, split)
    return dict(zip(named(key, kind, list(first)), first.values(), strict=True))


def _are_known(patients: Sequence[str], names: Sequence[str], seen: Sequence[str]) -> bool:
    """Whether every patient is known, by a pseudonym that is for certain under the members' key.

    What has the form of a pseudonym may be one under another key, unless the case was predicted
    where the members could be told.
    """
    return all(
        name and (word != NOT_CHECKED or not is_pseudonym(patient))
        for patient, name, word in zip(patients, names, seen, strict=True)
    )
