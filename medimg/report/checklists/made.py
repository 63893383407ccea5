"""Facts of how the data were read and the model was made: a sentence, or None where unknown.

They come from the provenance, the audit, the history and the notes of a run, never from a guess:
of predictions that came as a table most are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medimg.report.checklists.items import Known, joined
from medimg.report.findings import plural
from medimg.report.words import cases_text, sentence

#: Digits of a fingerprint that name it; the whole stands in the provenance.
_DIGITS = 12


def sources(known: Known) -> str | None:
    """Return what fixes the rows of the data."""
    manifest = known.text("manifest")
    return f"Cases and labels are fixed by the manifest {manifest[:_DIGITS]}." if manifest else None


def splits(known: Known) -> str | None:
    """Return how many cases each split holds and how the splits were made."""
    said = " ".join(sentence(note) for note in known.said("Splits: ", "out of fold: "))
    split, seed = known.text("split"), known.text("seed")
    kept = f" Fingerprint {split[:_DIGITS]}, seed {seed}." if split and seed else ""
    return f"{said}{kept}" if said else None


def disjoint(known: Known) -> str | None:
    """Return what the audit found in several splits, and what it could not look for."""
    seen = [
        sentence(note.removeprefix("WARNING: "))
        for note in known.said("in the training set", "of the training set")
        if not note.startswith("in the training set: not checked")
    ]
    if known.audit is None:
        return " ".join(seen) or None
    shared = [f for f in known.audit.leaks if f.code.endswith("_in_several_splits")]
    looked = "patient or study id, no image" + (
        "" if "pixels" in known.audit.not_checked else " and no equal picture"
    )
    lines = [
        f"{sentence(f.text)[:-1]} ({plural(len(f.groups), 'group')} of {plural(f.cases, 'case')})."
        for f in shared
    ]
    lines = lines or [f"The audit found no {looked} in several splits."]
    if known.evaluation.n_patients is None:
        lines.append("No patient ids came: patients could not be compared.")
    return " ".join([*lines, *seen])


def audited(known: Known) -> str | None:
    """Return how much the audit found, by name."""
    if known.audit is None:
        return None
    found = [f.text for f in (*known.audit.leaks, *known.audit.warnings)]
    left = "; ".join(f"{name} ({why})" for name, why in known.audit.not_checked.items())
    said = f"The audit of the data found: {'; '.join(found) or 'nothing'}."
    return said + (f" Not checked: {left}." if left else "")


def unread(known: Known) -> str | None:
    """Return how many cases could not be read."""
    said = [sentence(note) for note in known.said("could not be read")]
    return " ".join(said) or ("Every case could be read." if known.trained else None)


def flow(known: Known) -> str | None:
    """Return how many cases went where."""
    e = known.evaluation
    counted = f"{cases_text(e.n, e.n_patients)} with a known target were evaluated."
    said = " ".join(sentence(note) for note in known.said("Splits: ", "out of fold: "))
    return joined(said, unread(known), counted)


def preprocess(known: Known) -> str | None:
    """Return how pixels were made into the network's input."""
    section = known.config("preprocess")
    pixels = _listed({name: value for name, value in section.items() if name != "dicom"})
    given = section.get("dicom")
    dicom = _listed(given) if isinstance(given, Mapping) else ""
    return joined(
        f"Pixels: {pixels}." if pixels else None, f"Of DICOM files: {dicom}." if dicom else None
    )


def pixels_checked(known: Known) -> str | None:
    """Return how pixels were prepared, and what the audit found in the data."""
    return joined(preprocess(known), audited(known))


def pixels_alone(known: Known) -> str | None:
    """Return what a network trained here is given."""
    return "The network is given the pixels of a case and nothing else." if known.trained else None


def model(known: Known) -> str | None:
    """Return the network with its options."""
    section, name = known.config("model"), known.text("model")
    if not section or name is None:
        return None
    options = _listed({name: value for name, value in section.items() if name != "name"})
    return f"Network {name}" + (f" ({options})." if options else ".")


def built(known: Known) -> str | None:
    """Return the network, its training and the cases of each part of it."""
    return joined(model(known), training(known), splits(known))


def software(known: Known) -> str | None:
    """Return packages, versions and platform."""
    packages, python = known.part("packages"), known.text("python")
    listed = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    if not listed:
        return None
    where = f"; Python {python} on {known.text('platform')}" if python else ""
    return f"{'Made' if known.trained else 'Evaluated'} with {listed}{where}."


def initialization(known: Known) -> str | None:
    """Return where the first weights came from."""
    init, seed = known.config("model").get("init"), known.text("seed")
    return f"Initial weights: {init}, seed {seed}." if init and seed else None


def training(known: Known) -> str | None:
    """Return how the network was trained, and for how long."""
    section = known.config("fit")
    ran = f"{plural(len(known.history), 'epoch')} run." if known.history else None
    return joined(f"Training: {_listed(section)}." if section else None, ran)


def selection(known: Known) -> str | None:
    """Return which epoch was kept, and by what."""
    if not known.history:
        return None
    of = plural(len(known.history), "epoch")
    best = [row["epoch"] for row in known.history if row.get("best")]
    if not best:
        return f"The last of {of} was kept."
    monitor = known.config("fit").get("monitor") or "its validation numbers"
    return f"Epoch {best[0]} of {of} was kept, by {monitor} on the split val."


def ensemble(known: Known) -> str | None:
    """Return how many networks score a case."""
    folds = len(_bundles(known))
    if folds > 1:
        return f"None: each case is scored by one network, that of its fold ({folds} folds)."
    return "None: one network." if known.trained else None


def imbalance(known: Known) -> str | None:
    """Return what was done about classes of unequal size."""
    section = known.config("fit")
    if not section:
        return None
    used = []
    if section.get("class_weights"):
        used.append(f"class weights ({_listed({'': section['class_weights']})})")
    if section.get("sampler", "natural") != "natural":
        used.append(f"a {section['sampler']} sampler")
    return f"Trained with {' and '.join(used)}." if used else "None was used in the training."


def predicting(known: Known) -> str | None:
    """Return what makes the predictions."""
    bundles = _bundles(known)
    if not bundles:
        return None
    named = ", ".join(bundle[:_DIGITS] for bundle in bundles)
    kept = "weights, preprocessing, classes and calibration in one folder"
    return f"Made by the bundle{'s' * (len(bundles) > 1)} {named} ({kept}; `medimg predict`)."


def stored(known: Known) -> str | None:
    """Return where outputs are kept."""
    name = known.text("evaluation", "predictions")
    kept = f", made of the predictions {name[:_DIGITS]}, a table of every case" if name else ""
    return f"All numbers are kept in metrics.json{kept}."


def refusing(known: Known) -> str | None:
    """Return what happens to a scan that cannot be read."""
    said = "A scan that cannot be read is refused with the reason, never replaced."
    return joined(said, unread(known)) if known.trained else None


def calibrated(known: Known) -> str | None:
    """Return what the probabilities are."""
    said = known.said("Probabilities are ")
    told = [sentence("Probabilities are " + s.split("Probabilities are ", 1)[1]) for s in said]
    state = "calibrated" if known.evaluation.calibrated else "not calibrated"
    return " ".join(dict.fromkeys(told)) or f"Probabilities are {state}."


def updating(known: Known) -> str | None:
    """Return what the evaluation did to the model: nothing."""
    return joined("This evaluation changed nothing in the model.", calibrated(known))


def _bundles(known: Known) -> list[str]:
    """Return the ids of what made the predictions: one bundle, or one a fold."""
    about = known.evaluation.provenance
    folds = about.get("bundles")
    ids = folds if isinstance(folds, list | tuple) else [about.get("bundle")]
    return [name for name in ids if isinstance(name, str) and name]


def _listed(section: Mapping[str, Any]) -> str:
    """Return the options that are set, in words: ``size (28, 28), channels 1``."""
    return ", ".join(text for name, value in section.items() if (text := _option(name, value)))


def _option(name: str, value: Any) -> str:
    if value is None or value is False or value in ("", 0) or value == []:
        return ""
    words = name.replace("_", " ")
    if value is True:
        return words
    if isinstance(value, Mapping):
        inside = _listed(value)
        return f"{words} ({inside})" if inside else ""
    many = isinstance(value, list | tuple)
    text = f"({', '.join(map(str, value))})" if many else str(value)
    return f"{words} {text}".strip()
