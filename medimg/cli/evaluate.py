"""`medimg evaluate`: a table of predictions, or those of several runs, to a report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg.cli.tables import evaluate_options, flag_of, load, names_of, tables_of
from medimg.errors import UsageError
from medimg.evaluation.compare.runs import evaluate_runs
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.evaluation import Evaluation
from medimg.files import claim_folder, require_free
from medimg.inference.about import read_about, read_members
from medimg.inference.checker import checker, why_unchecked
from medimg.inference.seen import NO, NOT_CHECKED, SEEN, seen_of, sentences
from medimg.predictions import Predictions
from medimg.provenance import provenance
from medimg.report.terminal import print_table
from medimg.report.write import write_report

_BY_IDS = "looked for by case and patient id alone: pictures were not compared"
_NOT_FOUND = "not found by id, which rules nothing out"
_PAGE = "index.html"
_OTHER = "the predictions' column `seen` is of another bundle and was left aside"


@dataclass(frozen=True)
class Asked:
    """What is to be evaluated, and with what beside it."""

    split: str | None
    kind: str | None
    space: Path | None
    bundle: Path | None
    calib: str | None
    reference: Path | None
    options: EvaluateOptions


@dataclass(frozen=True)
class Evaluated:
    """A table of predictions, its evaluation, and what has to be known before.

    `links`: the folders of reports that belong to it -> what each is of.
    """

    predictions: Predictions
    evaluation: Evaluation
    notes: list[str]
    links: Mapping[str, str] = field(default_factory=dict)

    def told(self) -> Iterator[str]:
        """Yield all that has to be known before, in words alone."""
        if self.links:
            each = ", ".join(f"{folder} ({name})" for folder, name in self.links.items())
            yield f"{len(self.links)} reports, one of each run: {each}"
        yield from self.notes


def evaluate_files(
    paths: Sequence[Path],
    out: Path,
    *,
    split: str | None,
    kind: str | None,
    space: Path | None,
    bundle: Path | None,
    calib: str | None,
    reference: Path | None,
    given: dict[str, Any],
    overwrite: bool,
) -> None:
    """Evaluate a table, print the numbers and write the report folder `out`.

    Several tables are runs of one model: each has a report of its own in `out/run-K`.
    What is known of the cases' part in the training comes first, in both.
    """
    asked = Asked(split, kind, space, bundle, calib, reference, evaluate_options(given))
    _require_use(asked, given)
    tables = [table for path in paths for table in tables_of(path)]
    names = names_of(tables)
    if calib is not None and len(tables) > 1 and Path(calib).is_file():
        raise UsageError(
            f"--calib {calib} is of one model, and {len(tables)} runs are evaluated",
            remedy="name a split of each table, or what the table beside each is called: calib",
        )
    require_free(out, _PAGE, overwrite=overwrite)
    # What fails, fails before the folder is made.
    found = [_evaluated(table, asked) for table in tables]
    together = _together(found, names, asked) if len(found) > 1 else found[0]
    folder = claim_folder(out, _PAGE, overwrite=overwrite)
    if len(found) > 1:
        for one, (run, name) in zip(found, together.links.items(), strict=True):
            write_report(folder / run, one.evaluation, title=name, notes=one.notes)
    page = write_report(
        folder,
        together.evaluation,
        title=tables[0].name if len(found) == 1 else folder.resolve().name,
        notes=together.notes,
        links=together.links,
    )
    sys.stdout.write("".join(f"{note}\n" for note in together.told()))
    print_table(together.evaluation)
    sys.stdout.write(f"report  {page}\n")


def _require_use(asked: Asked, given: Mapping[str, Any]) -> None:
    """Refuse what would be passed over in silence for want of --calib."""
    for option in ("operating_points", "conformal", "conformal_by", "alpha"):
        value = given[option]
        if asked.calib is None and value not in (None, [], "none"):
            raise UsageError(
                f"{flag_of(option)} without --calib: there are no cases to choose or fit on",
                remedy="name a table of the same model's predictions of other cases with --calib",
            )


def _together(runs: Sequence[Evaluated], names: Sequence[str], asked: Asked) -> Evaluated:
    named = dict(zip(names, (run.predictions for run in runs), strict=True))
    about = provenance()
    together = evaluate_runs(named, asked.options, split=asked.split, provenance=about)
    links = {f"run-{number}": name for number, name in enumerate(names, start=1)}
    notes = [f"{len(runs)} runs of one model, taken together."]
    for folder, run in zip(links, runs, strict=True):
        notes += [f"{folder}: {line}" for line in run.notes]
    return Evaluated(runs[0].predictions, together, notes, links)


def _evaluated(table: Path, asked: Asked) -> Evaluated:
    """Return the evaluation of one table and what has to be known before."""
    predictions = load(table, asked.kind, asked.space)
    about = provenance() | {
        "predictions": predictions.fingerprint,
        "bundle": predictions.bundle_id,
    }
    notes = _membership(predictions, asked.split, asked.bundle)
    evaluation = evaluate(
        predictions,
        asked.options,
        split=asked.split,
        calib=_calib(predictions, table, asked),
        reference=_reference(asked),
        provenance=about,
    )
    if asked.options.prevalences and not evaluation.prevalence:
        raise UsageError(
            f"--prevalence {asked.options.prevalences[0]} without a threshold to restate: {table} "
            "brings none and none is chosen",
            remedy="name cases to choose one on with --calib, and a class with --at CLASS:youden",
        )
    return Evaluated(predictions, evaluation, notes)


def _reference(asked: Asked) -> Predictions | None:
    if asked.reference is None:
        return None
    found = load(asked.reference, asked.kind, asked.space)
    if asked.split is not None and asked.split in _splits(found):
        return found.select(asked.split)
    return _of_one_split(found, f"--reference {asked.reference}")


def _calib(predictions: Predictions, table: Path, asked: Asked) -> Predictions | None:
    """Return the cases to choose thresholds and fit sets on: a table's, or a split's."""
    if asked.calib is None:
        return None
    if asked.calib in _splits(predictions):
        if asked.split is None:
            raise UsageError(
                f"--calib {asked.calib} is a split of {table}",
                remedy="name the split to evaluate as well, such as --split test",
            )
        return predictions.select(asked.calib)
    beside = table.parent / f"{asked.calib}{table.suffix}"
    path = next((path for path in (Path(asked.calib), beside) if path.is_file()), None)
    if path is None:
        raise UsageError(
            f"--calib {asked.calib} is no file, no split of {table} and no table beside it",
            remedy="name a table of predictions of the same model, such as predictions/calib.csv",
        )
    found = _of_one_split(load(path, asked.kind, asked.space), f"--calib {path}")
    if found.space != predictions.space:
        raise UsageError(
            f"--calib {path} is of the classes {list(found.space.classes)}, {table} of "
            f"{list(predictions.space.classes)}",
            remedy="name predictions of the same model",
        )
    return found


def _of_one_split(predictions: Predictions, what: str) -> Predictions:
    there = _splits(predictions)
    if len(there) > 1 or there == {"train"}:
        raise UsageError(
            f"{what} holds the splits {sorted(there)}",
            remedy="give a table of one split, which did not train the model",
        )
    return predictions


def _splits(predictions: Predictions) -> set[str]:
    return set() if predictions.split is None else set(predictions.split)


def _membership(predictions: Predictions, split: str | None, bundle: Path | None) -> list[str]:
    """Return whether the cases that are evaluated were in the bundle's training set."""
    cases = predictions if split is None else predictions.select(split)
    cases = cases.take(cases.known)
    if bundle is None:
        return sentences(seen_of(cases), "name the bundle that made them with --bundle")
    about = read_about(bundle)
    seen = _told_of(about, cases)
    notes = [_OTHER] if SEEN in cases.metadata and cases.bundle_id not in _ids(about) else []
    if NOT_CHECKED not in seen:
        return sentences(seen)
    members = read_members(bundle, about)
    check = checker(members)
    if check is None:
        return [*sentences(seen, why_unchecked(members)), *notes]
    by_ids = check.seen(cases.case_id, cases.patient_id, None)
    seen = [new if old == NOT_CHECKED else old for old, new in zip(seen, by_ids, strict=True)]
    return [*sentences(seen, _NOT_FOUND, compared=False), _BY_IDS, *notes]


def _told_of(about: Mapping[str, Any], cases: Predictions) -> list[str]:
    """Return what the column `seen` says of the bundle's own training set.

    Before it was calibrated, a bundle could not know which cases would calibrate it: of what it
    found then all holds, and of the others nothing is known.
    """
    seen = seen_of(cases)
    if cases.bundle_id == about["bundle_id"]:
        return seen
    holds = cases.bundle_id in _ids(about)
    return [word if holds and word != NO else NOT_CHECKED for word in seen]


def _ids(about: Mapping[str, Any]) -> set[str]:
    """Return the ids of a bundle, with its calibrator and without."""
    return {about["bundle_id"], about.get("uncalibrated_id", about["bundle_id"])}
