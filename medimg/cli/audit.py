"""`medimg audit`: what was found in a manifest and its pictures, in the terminal and in a folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from medimg.data.audit import audit
from medimg.data.checks.findings import Audit
from medimg.data.checks.merge import merge
from medimg.data.checks.tables import file_missing
from medimg.data.groups import columns_of
from medimg.data.ids import plain_id
from medimg.data.manifest import SPLITS, Manifest
from medimg.data.pixels import Pixels
from medimg.data.preprocess import Preprocess
from medimg.data.sources.dicom.index.listing import count
from medimg.data.sources.formats import read_cases
from medimg.data.store import ImageStore
from medimg.errors import NothingReadable, Refusal
from medimg.files import (
    ERRORS_CSV,
    claim_folder,
    fingerprint,
    require_free,
    write_refusals,
)
from medimg.flow.opening import cache_folder
from medimg.report.audit import AUDIT_JSON, write_audit
from medimg.report.audit_lines import lines
from medimg.report.findings import Pair, plural

#: Pixels along an axis of a picture, and of a volume, at which copies are looked for: enough to
#: tell them from look-alikes, few enough that 100,000 pictures are 1.6 GB.
_SIDES = {2: 128, 3: 64}


def audit_and_print(
    path: Path,
    *,
    pixels: bool = False,
    by: Sequence[str] = (),
    out: Path | None = None,
    overwrite: bool = False,
) -> bool:
    """Audit a manifest, print what was found, and write it into `out` where that is given.

    Parameters
    ----------
    pixels : bool
        Decode the pictures too, into the user's cache, and compare them.
    by : sequence of str
        Further columns whose values may not stand in several splits.
    out : path, optional
        Folder of `audit.json`, `index.html` and, with `pixels`, `errors.csv`.

    Returns
    -------
    bool
        Whether a picture was refused.

    Raises
    ------
    LeakError
        There is a leak; everything is printed and written by then.
    """
    if out is not None:
        require_free(out, AUDIT_JSON, overwrite=overwrite)
    manifest = Manifest.load(path)
    by = columns_of(manifest, by) if by else ()
    store = _open_store(manifest, out, overwrite=overwrite) if pixels else None
    found = audit(manifest if store is None else store, by=by)
    if store is not None and store.refusals:  # the store holds only what could be read
        missing = file_missing(manifest)
        found = merge([found, Audit((missing,) if missing else ())])
    refusals = [] if store is None else store.refusals
    lead = f"{_cases(manifest)}{_refused(refusals)}"
    _print([f"{path}: {lead}", "", *lines(found), *_ends(manifest, store, found)])
    if out is not None:
        claim_folder(out, AUDIT_JSON, overwrite=overwrite)
        _write(out, found, store, f"Audit of {path.name}", lead)
    found.require_clean()
    return bool(refusals)


def _ends(manifest: Manifest, store: ImageStore | None, found: Audit) -> Iterator[str]:
    """Yield what it means that there is no leak."""
    if manifest.folds is None and len({*manifest.split} - {"", "none"}) < 2:
        yield "fewer than two splits: nothing can stand in several splits yet"
    elif not found.leaks:
        known = {"patient": "patient_id", "study": "study_id"}
        things = [name for name, column in known.items() if (manifest.frame[column] != "").any()]
        things += [] if store is None else ["picture"]
        said = "no {} stands in several splits" if things else "{} stand in several splits"
        yield said.format(" and no ".join(things) or "no ids: it cannot be told whether patients")


def _open_store(manifest: Manifest, out: Path | None, *, overwrite: bool) -> ImageStore:
    """Return the pictures, decoded into the user's cache; why none could be goes into `out`."""
    preprocess = Preprocess(size=_size(manifest), channels=1)
    key = fingerprint("audit", str(manifest.root.resolve()), preprocess.model_dump(mode="json"))
    try:
        return ImageStore.build(manifest, preprocess, cache_folder() / key[:16], keep_ids=True)
    except NothingReadable as error:
        if out is not None:
            claim_folder(out, AUDIT_JSON, overwrite=overwrite)
            write_refusals(out / ERRORS_CSV, error.refusals)
        raise


def _size(manifest: Manifest) -> tuple[int, ...]:
    """Return [D,] H, W to look at: those of the largest of some cases, but not above `_SIDES`.

    Small pictures are not enlarged: it would cost time and tell nothing more.
    """
    cases = manifest.cases()
    some = [cases[i] for i in sorted({round(i * (len(cases) - 1) / 4) for i in range(5)})]
    read = [p.array.shape[1:] for p in read_cases(manifest.root, some) if isinstance(p, Pixels)]
    if not read:
        return (_SIDES[2], _SIDES[2])
    axes = Counter(map(len, read)).most_common(1)[0][0]
    largest = [max(shape[i] for shape in read if len(shape) == axes) for i in range(axes)]
    return tuple(min(length, _SIDES[axes]) for length in largest)


def _write(out: Path, found: Audit, store: ImageStore | None, title: str, lead: str) -> None:
    pairs: dict[str, list[Pair]] = {}
    if store is not None:
        from medimg.report.pairs import pair_pictures

        write_refusals(out / ERRORS_CSV, store.refusals)
        pairs = pair_pictures(found, store)
    page = write_audit(out, found, title=title, lead=f"{lead}.", pairs=pairs)
    _print([f"{page}; every case by name: {out / AUDIT_JSON}"])


# ---------------------------------------------------------------- words


def _cases(manifest: Manifest) -> str:
    patients = set(manifest.frame["patient_id"].map(plain_id)) - {""}
    of = f" of {plural(len(patients), 'patient')}" if patients else ", no patient ids"
    in_split = Counter(manifest.split)
    splits = ", ".join(f"{name} {in_split[name]:,}" for name in SPLITS if in_split[name])
    splits = splits or "no splits"
    folds = "" if manifest.folds is None else f", {manifest.folds.shape[1]} folds"
    return f"{plural(len(manifest), 'case')}{of}; {splits}{folds}"


def _refused(refusals: Sequence[Refusal]) -> str:
    if not refusals:
        return ""
    codes = count(Counter(refusal.code for refusal in refusals))
    return f"; {len(refusals):,} refused: {codes}"


def _print(said: Iterable[str]) -> None:
    """Print lines as this terminal can show them: no control codes, no foreign letters."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in said:
        seen = "".join(c if c.isprintable() else "\ufffd" for c in line).replace("–", "-")
        sys.stdout.write(seen.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()  # what is said of a leak on standard error comes after it
