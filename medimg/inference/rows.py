"""Cases of a manifest to rows of the journal, and those to `Predictions`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest
from medimg.errors import BundleError
from medimg.inference.bundle import ModelBundle
from medimg.inference.checker import checker
from medimg.inference.ledger import Row
from medimg.inference.plan import Files
from medimg.inference.seen import NOT_CHECKED, SEEN
from medimg.predictions import Predictions

#: Columns of a manifest that a row of predictions does without.
_LEFT_OUT = ("case_id", "study_id", "source", "frame")


class RowMaker:
    """Makes the journal's rows of the cases of a manifest.

    Parameters
    ----------
    manifest : Manifest
        With the ids that may go beyond it.
    stamps : sequence of str (N,)
    files : Files
    """

    def __init__(self, manifest: Manifest, stamps: Sequence[str], files: Files) -> None:
        self.manifest, self.stamps, self.files = manifest, stamps, files
        self.cases = manifest.cases()
        self.columns = [str(c) for c in manifest.frame if c not in _LEFT_OUT]
        self._cells = manifest.frame[self.columns].to_numpy(object)

    def predicted(
        self, numbers: Sequence[int], scores: NDArray[np.float32], pictures: Sequence[str]
    ) -> list[Row]:
        """Return the rows of one batch with its logits float32 (B, K).

        Parameters
        ----------
        pictures : sequence of str (B,)
            See `Row.picture`.

        Raises
        ------
        BundleError
            Logits that are not finite.
        """
        bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        if len(bad):
            case_id = self.manifest.case_id[numbers[bad[0]]]
            raise BundleError(
                f"the network gives {scores[bad[0]].tolist()} for case {case_id!r}",
                remedy="its weights are of no use; train it again",
            )
        told = zip(numbers, scores.tolist(), pictures, strict=True)
        return [self._row(number, logits, picture) for number, logits, picture in told]

    def renewed(self, number: int, row: Row) -> Row:
        """Return an older row with what the manifest says of its case now."""
        return row._replace(targets=self._targets(number), about=self._about(number))

    def _row(self, number: int, logits: list[float], picture: str) -> Row:
        return Row(
            case_id=self.manifest.case_id[number],
            stamp=self.stamps[number],
            files=self.files.names(self.cases[number]),
            logits=logits,
            targets=self._targets(number),
            about=self._about(number),
            picture=picture,
        )

    def _targets(self, number: int) -> list[float | None]:
        targets = self.manifest.targets[number].tolist()
        return [None if target != target else target for target in targets]

    def _about(self, number: int) -> dict[str, str]:
        cells = zip(self.columns, self._cells[number], strict=True)
        return {column: cell for column, cell in cells if cell}


def predictions_of(bundle: ModelBundle, rows: Sequence[Row], columns: Sequence[str]) -> Predictions:
    """Return rows as predictions; `columns` of `about` come first and in this order.

    Their metadata end with what is known of each case's part in the training.
    """
    others = {column for row in rows for column in row.about} - set(columns)
    names = ["case_id", *columns, *sorted(others)]
    records = [{"case_id": row.case_id, **row.about} for row in rows]
    frame = pd.DataFrame(records, columns=names, dtype=object).fillna("")
    frame = frame.assign(**{c: "" for c in ("patient_id", "split") if c not in names})
    frame = frame.assign(**{SEEN: _seen(bundle, rows)})
    width = bundle.space.k
    scores = np.array([row.logits for row in rows], np.float32).reshape(-1, width)
    targets = np.array([row.targets for row in rows], np.float32).reshape(-1, width)
    return bundle.predictions(frame, scores, targets)


def _seen(bundle: ModelBundle, rows: Sequence[Row]) -> list[str]:
    check = checker(bundle.members)
    if check is None:
        return [NOT_CHECKED] * len(rows)
    patients = [row.about.get("patient_id", "") for row in rows]
    return check.seen([row.case_id for row in rows], patients, [row.picture for row in rows])
