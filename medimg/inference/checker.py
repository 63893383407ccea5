"""`Checker`: tells the cases that made a model from others, and never `no` of what it cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.data.store import ImageStore, patient_pseudonyms
from medimg.inference.members import Members
from medimg.inference.names import canonical, named, stored_hashes
from medimg.inference.seen import CASE_ID_IN, NO, NOT_CHECKED, PATIENT_IN, SPLITS


@dataclass(frozen=True)
class Checker:
    """Tells members from others, for who holds their key; made by `checker`."""

    members: Members
    key: bytes

    def pictures(self, hashes: Iterable[str]) -> list[str]:
        """Return the split that each picture stands in, or `NO`; see `picture_hashes`."""
        names = named(self.key, "picture", hashes)
        return [self.members.pictures.get(name, NO) for name in names]

    def seen(
        self,
        case_id: Iterable[str],
        patient_id: Iterable[str] | None,
        pictures: Sequence[str] | None,
    ) -> list[str]:
        """Return for each case what is known of it, the strongest first.

        Parameters
        ----------
        case_id : iterable of str (N,)
        patient_id : iterable of str (N,), optional
            As they are or as pseudonyms; blank where not known.
        pictures : sequence of str (N,), optional
            What `pictures` returned, or `NOT_CHECKED` where an earlier run did not look; None
            where pictures are not at hand.

        Returns
        -------
        list of str (N,)
            The split of the picture; `PATIENT_IN` and the split of other cases of the patient;
            `CASE_ID_IN` and the split of a case of that id with another picture, or with none
            to compare; `NO`; or `NOT_CHECKED`, where none of that was found and it cannot be
            ruled out: without the picture, as ids differ from table to table, or where the
            record of what calibrated lacks it.
        """
        cases, ids = list(case_id), [] if patient_id is None else list(patient_id)
        ids = ids or [""] * len(cases)
        looked = pictures or [NOT_CHECKED] * len(cases)
        names, patients = named(self.key, "case", cases), self._patients(ids)
        known = canonical(self.key, ids)
        told = []
        for picture, own, patient, name in zip(looked, known, patients, names, strict=True):
            if picture in SPLITS:
                told.append(picture)
            elif patient:
                told.append(PATIENT_IN + patient)
            elif name in self.members.cases:
                told.append(CASE_ID_IN + self.members.cases[name])
            else:
                told.append(picture if self._can_rule_out(own) else NOT_CHECKED)
        return told

    def _can_rule_out(self, patient: str) -> bool:
        """Whether a case of this patient, with an unknown picture, did not calibrate either."""
        unknown = self.members.calib_unknown
        return not unknown or (unknown == "pictures" and bool(patient))

    def _patients(self, ids: Sequence[str]) -> list[str]:
        """Return the split of each patient, or a blank; an id may be a pseudonym or not."""
        known, raw = self.members.patients, sorted({*ids} - {""})
        as_pseudonym = named(self.key, "patient", raw)
        as_id = named(self.key, "patient", patient_pseudonyms(self.key, raw))
        found = {
            one: known.get(first) or known.get(second, "")
            for one, first, second in zip(raw, as_pseudonym, as_id, strict=True)
        }
        return [found.get(one, "") for one in ids]


def checker(members: Members | None) -> Checker | None:
    """Return who can tell the members of a bundle; None where nobody here can."""
    key = None if members is None else members.key()
    return None if members is None or key is None else Checker(members, key)


def why_unchecked(members: Members | None) -> str:
    """Return why cases could not be told from the members of a bundle."""
    if members is None:
        return "the bundle keeps no record of it"
    if checker(members) is None:
        return "only the pseudonym key that it was trained under can tell (MEDIMG_KEY_FILE)"
    if members.calib_unknown == "pictures":
        return "the pictures that calibrated the bundle are not on record, and no patient is known"
    if members.calib_unknown:
        return "the cases that calibrated the bundle are not all on record"
    return "they were predicted before there was a record"


def seen_in_store(members: Members | None, store: ImageStore, rows: NDArray[np.intp]) -> list[str]:
    """Return what is known of each of the `rows` of a store of the bundle's preprocessing."""
    check = checker(members)
    if check is None:
        return [NOT_CHECKED] * len(rows)
    frame = store.manifest.frame.iloc[rows]
    pictures = check.pictures(stored_hashes(store, rows))
    return check.seen(frame["case_id"], frame["patient_id"], pictures)
