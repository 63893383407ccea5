"""Which of the cases at hand are to be read now, which were predicted before, which must wait."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from medimg.data.manifest import Case
from medimg.data.sources.formats import source_path
from medimg.errors import PixelError, Refusal
from medimg.inference.found import Found
from medimg.inference.ledger import Journal, Row
from medimg.privacy import load_key, pseudonym


class Files:
    """The files of the cases as they are now, by keyed pseudonyms of what they are.

    Parameters
    ----------
    root : path
        The folder that sources are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[str, tuple[int, int]] = {}

    @cached_property
    def _key(self) -> bytes:
        return load_key()

    def state(self, source: str) -> tuple[int, int] | None:
        """Return size and modification time (ns) of a source's file; None where it is not there."""
        try:
            path = source_path(self.root, source)[0]
            name = str(path)
            if name not in self._seen:
                status = path.stat()
                self._seen[name] = status.st_size, status.st_mtime_ns
        except (OSError, PixelError, ValueError):
            return None  # reading it says what is wrong
        return self._seen[name]

    def stamp(self, case: Case) -> str | None:
        """Return what changes with any of a case's files; None where one is not there."""
        states = [(source, self.state(source)) for source in case.files or (case.source,)]
        if any(state is None for _, state in states):
            return None
        return pseudonym(self._key, "stamp", case.frame, *(repr(state) for state in states))

    def names(self, case: Case) -> list[str]:
        """Return a pseudonym of each source, and of its file's where it may be a member."""
        sources = {*(case.files or (case.source,))}
        sources |= {source.rpartition("#")[0] for source in sources if "#" in source}
        return [self.name(source) for source in sorted(sources)]

    def name(self, source: str) -> str:
        """Return the pseudonym of one source."""
        return pseudonym(self._key, "file", source)

    def changed(self, case: Case) -> float:
        """Return when any of a case's files changed last, in seconds; 0 where it is not known."""
        states = [self.state(source) for source in case.files or (case.source,)]
        return max(state[1] if state else 0 for state in states) / 1e9


@dataclass
class Plan:
    """What becomes of each case, as row numbers of the manifest.

    Parameters
    ----------
    stamps : list of str
        Of each case at hand; blank where a file is not there.
    todo, done : list of int
        To be read now; predicted before from the same bytes.
    recent : list of Refusal
        Cases left for the next run.
    refused : list of Refusal
        Files that did not become a case, and cases that the run before this one refused
        before it was stopped.
    kept : list of Row
        Predicted before, of files that are not at hand now.
    """

    stamps: list[str] = field(default_factory=list)
    todo: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    recent: list[Refusal] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    kept: list[Row] = field(default_factory=list)


def make_plan(found: Found, journal: Journal, files: Files, *, settle: float) -> Plan:
    """Sort the cases at hand, and the files that did not become one.

    A row of an earlier run stays where none of its files is at hand any more (moved away, or
    not named this time). Where one is, it belongs to another case now, and the row goes.

    Parameters
    ----------
    settle : float
        Seconds that a file must have been left alone.
    """
    manifest, now = found.manifest, time.time()
    plan = Plan()
    cases = [] if manifest is None else manifest.cases()
    ids = [] if manifest is None else list(manifest.case_id)
    for row, (case_id, case) in enumerate(zip(ids, cases, strict=True)):
        stamp = files.stamp(case)
        plan.stamps.append(stamp or "")
        held, refused = journal.rows.get(case_id), journal.refused.get(case_id)
        if held is not None and held.stamp == stamp:
            plan.done.append(row)
        elif held is not None and stamp is None:
            plan.kept.append(held)
        elif abs(now - files.changed(case)) < settle:
            plan.recent.append(_recent(case_id, case.frame, settle))
        elif refused is not None and refused[0] == stamp:
            plan.refused.append(refused[1])
        else:
            plan.todo.append(row)
    sources = found.source_of()
    for refusal in found.refusals:
        # What may not be read will not settle; where it is a link, it leads to others' files.
        waits = refusal.code != "not_permitted"
        if waits and abs(now - files.changed(Case(sources[refusal.case_id]))) < settle:
            plan.recent.append(_recent(refusal.case_id, refusal.frame, settle))
        else:
            plan.refused.append(refusal)
    plan.kept += _still_held(found, journal, files, {*ids, *sources}, cases)
    return plan


def _still_held(
    found: Found, journal: Journal, files: Files, listed: set[str], cases: Iterable[Case]
) -> list[Row]:
    """Return the rows of earlier runs that no case and no file at hand replaces."""
    earlier = [held for case_id, held in journal.rows.items() if case_id not in listed]
    if not earlier:
        return []
    sources = {source for case in cases for source in case.files or (case.source,)}
    here = {files.name(source) for source in sources | found.others}
    return [held for held in earlier if here.isdisjoint(held.files)]


def _recent(case_id: str, frame: str, settle: float) -> Refusal:
    error = PixelError(
        "recent",
        f"changed within the last {settle:g} seconds, perhaps still being written",
        remedy="give the same command again in a while",
    )
    return Refusal(case_id, frame, "index", error.code, error.message, error.remedy)
