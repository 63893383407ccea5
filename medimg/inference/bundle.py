"""`ModelBundle`: a model as one folder: weights, preprocessing, classes, calibration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from medimg.calibrator import Calibrator
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import BundleError, PredictionsError
from medimg.files import (
    canonical_json,
    claim_folder,
    fingerprint,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)
from medimg.inference.about import (
    ABOUT,
    CARD,
    MEMBERS,
    WEIGHTS,
    checked_file,
    read_about,
    read_members,
)
from medimg.inference.checker import seen_in_store
from medimg.inference.forward import Network, chunks, forward, pick_device, running
from medimg.inference.members import Members
from medimg.inference.seen import SEEN
from medimg.labels import LabelSpace
from medimg.models.build import ModelSpec, build_model
from medimg.operating import OperatingPoint, check_points, points_of, points_to_list
from medimg.predictions import Predictions


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A network with all that its numbers need to mean what they say.

    Parameters
    ----------
    model : nn.Module
        ``(B, C, [D,] H, W)`` to logits ``(B, K)``; on the CPU.
    spec : ModelSpec
        How to build it again.
    preprocess : Preprocess
        Resolved.
    mean, std : tuple of float (C,)
        The normalization.
    space : LabelSpace
    logit_shift : tuple of float (K,)
        What class weights and sampler added to the logits; subtracted again.
    calibrator : Calibrator, optional
    thresholds : tuple of OperatingPoint
        Frozen for the probabilities of this calibrator. No part of `bundle_id`: no score hangs
        on them.
    fingerprints : mapping of str to str
        Of the data that it was trained on.
    provenance : mapping
        Versions, machine, seed.
    members : Members, optional
        Which cases made it. No part of `bundle_id`: no score hangs on it, and its names hang
        on the pseudonym key.
    """

    model: nn.Module
    spec: ModelSpec
    preprocess: Preprocess
    mean: tuple[float, ...]
    std: tuple[float, ...]
    space: LabelSpace
    logit_shift: tuple[float, ...]
    calibrator: Calibrator | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    members: Members | None = None
    thresholds: tuple[OperatingPoint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", check_points(self.thresholds, self.space))

    @property
    def bundle_id(self) -> str:
        """The SHA-256 of weights, model, preprocessing, classes and calibrator."""
        state = self.model.state_dict()
        weights = [
            fingerprint(name, list(t.shape), str(t.dtype), t.cpu().contiguous().numpy().tobytes())
            for name, t in sorted(state.items())
        ]
        return fingerprint(weights, self._identity())

    @property
    def uncalibrated_id(self) -> str:
        """The id of the same bundle without its calibrator."""
        return (self if self.calibrator is None else replace(self, calibrator=None)).bundle_id

    def _identity(self) -> dict[str, Any]:
        return {
            "model": asdict(self.spec) | {"shape": list(self.spec.shape)},
            "preprocess": self.preprocess.model_dump(mode="json"),
            "mean": list(self.mean),
            "std": list(self.std),
            "space": self.space.to_dict(),
            "logit_shift": list(self.logit_shift),
            "calibrator": None if self.calibrator is None else self.calibrator.to_dict(),
        }

    def with_calibrator(
        self, calibrator: Calibrator | None, fitted_on: Predictions | None = None
    ) -> ModelBundle:
        """Return the bundle with another calibrator, without the thresholds of the one before.

        Parameters
        ----------
        fitted_on : Predictions, optional
            What this bundle predicted and `calibrator` was fitted on, so that `members` knows
            who calibrated; without it nothing can be ruled out of the training set any more.

        Raises
        ------
        BundleError
            The calibrator was fitted on other predictions.
        """
        if calibrator and fitted_on is not None and calibrator.fitted_on != fitted_on.fingerprint:
            raise BundleError(
                "the calibrator was fitted on other predictions than these",
                remedy="give those that went into fit_calibrator",
            )
        members = self.members
        if members is not None and calibrator is not None and fitted_on is not None:
            members = members.with_calib(fitted_on)
        elif members is not None:
            members = replace(members, calib_unknown="" if calibrator is None else "all")
        kept = self.thresholds if calibrator == self.calibrator else ()
        return replace(self, calibrator=calibrator, members=members, thresholds=kept)

    def with_points(self, points: Sequence[OperatingPoint]) -> ModelBundle:
        """Return the bundle with these thresholds instead of those that it has.

        Parameters
        ----------
        points : sequence of OperatingPoint
            Chosen by `choose_points` on what this very bundle predicted.

        Raises
        ------
        PredictionsError
            A label that the bundle does not know, or a rule twice for one label.
        """
        return replace(self, thresholds=tuple(points))

    def predict(
        self, data: ImageStore, split: str | None = None, *, device: str = "auto"
    ) -> Predictions:
        """Return the predictions of a store's cases, of one split or of all.

        Their metadata say in the column `seen` which of them made the model; see `members`.

        Raises
        ------
        BundleError
            A store of another preprocessing or other classes.
        PredictionsError
            A split without cases.
        """
        self.require_fit(data)
        manifest = data.manifest
        rows = np.arange(len(manifest)) if split is None else manifest.rows(split)
        if not len(rows):
            raise PredictionsError(
                f"no case of split {split!r}; splits here: {sorted(set(manifest.split))}",
                remedy="name one of them",
            )
        scores = self.logits(chunks(data, rows), len(rows), device=device)
        frame = manifest.take(rows).frame.assign(**{SEEN: seen_in_store(self.members, data, rows)})
        return self.predictions(frame, scores, manifest.targets[rows])

    @contextmanager
    def running(self, device: str = "auto") -> Iterator[Network]:
        """Yield the function from a batch of preprocessed integers to logits float32 (B, K)."""
        where = pick_device(device)
        self.model.to(where)
        try:
            with running(self.model, device=where, **self._numbers()) as network:
                yield network
        finally:
            self.model.to("cpu")

    def logits(self, batches: Any, total: int, *, device: str = "auto") -> Any:
        """Return logits float32 (N, K) of batches of preprocessed integers; see `forward`."""
        where = pick_device(device)
        self.model.to(where)
        try:
            return forward(self.model, batches, total, device=where, **self._numbers())
        finally:
            self.model.to("cpu")

    def _numbers(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "std": self.std,
            "shift": self.logit_shift,
            "classes": self.space.k,
        }

    def predictions(self, frame: Any, scores: Any, targets: Any) -> Predictions:
        """Return `Predictions` for the rows of a manifest's frame."""
        own = ("case_id", "patient_id", "study_id", "source", "frame", "split")
        patient = frame["patient_id"].to_numpy()
        split = frame["split"].to_numpy()
        return Predictions(
            case_id=frame["case_id"].to_numpy(),
            scores=scores,
            kind="logits",
            space=self.space,
            targets=targets,
            patient_id=patient if (patient != "").any() else None,
            split=split if (split != "").any() else None,
            calibrator=self.calibrator,
            thresholds=self.thresholds,
            bundle_id=self.bundle_id,
            uncalibrated_id=self.uncalibrated_id,
            metadata=frame[[c for c in frame if c not in own]],
        )

    def require_fit(self, store: ImageStore) -> None:
        """Raise `BundleError` where a store's preprocessing or classes are others."""
        if store.preprocess != self.preprocess:
            raise BundleError(
                f"the store's preprocessing ({store.preprocess}) is not the bundle's "
                f"({self.preprocess})",
                remedy="build the store with bundle.preprocess",
            )
        if store.manifest.space != self.space:
            raise BundleError(
                f"the store's classes {list(store.manifest.space.classes)} are not the bundle's "
                f"{list(self.space.classes)}",
                remedy="use the data set that it was made for, or predict without labels",
            )

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the bundle as a folder, `bundle.json` last."""
        from safetensors.torch import save

        folder = claim_folder(folder, ABOUT, overwrite=overwrite)
        state = {n: t.detach().cpu().contiguous() for n, t in self.model.state_dict().items()}
        write_bytes(folder / WEIGHTS, save(state))
        files = [WEIGHTS]
        if self.members is not None:
            write_text(folder / MEMBERS, canonical_json(self.members.to_dict()) + "\n")
            files.append(MEMBERS)
        about = {
            "format": "medimg.bundle",
            "format_version": 1,
            "bundle_id": self.bundle_id,
            "uncalibrated_id": self.uncalibrated_id,
            **self._identity(),
            "thresholds": points_to_list(self.thresholds),
            "fingerprints": dict(self.fingerprints),
            "provenance": dict(self.provenance),
            "files": {name: sha256_file(folder / name) for name in files},
        }
        write_text(folder / CARD, _card(self))
        write_json(folder / ABOUT, about | {"sha256": fingerprint(about)})
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, model: nn.Module | None = None) -> ModelBundle:
        """Read a bundle; runs no code of it and downloads nothing.

        Parameters
        ----------
        model : nn.Module, optional
            The network to load the weights into; only wanted, and only taken, for one that
            `build_model` did not make.

        Raises
        ------
        BundleError
            Incomplete, altered (by SHA-256) or of another version.
        """
        folder = Path(folder)
        about = read_about(folder)
        for name in about["files"]:
            checked_file(folder, about, name)
        spec = ModelSpec(**about["model"] | {"shape": tuple(about["model"]["shape"])})
        bundle = cls(
            model=_load_weights(folder / WEIGHTS, spec, model),
            spec=spec,
            preprocess=Preprocess.model_validate(about["preprocess"]),
            mean=tuple(about["mean"]),
            std=tuple(about["std"]),
            space=LabelSpace.from_dict(about["space"]),
            logit_shift=tuple(about["logit_shift"]),
            calibrator=None
            if about["calibrator"] is None
            else Calibrator.from_dict(about["calibrator"]),
            fingerprints=about["fingerprints"],
            provenance=about["provenance"],
            members=read_members(folder, about),
            thresholds=points_of(about.get("thresholds", ())),  # older bundles have none
        )
        if bundle.bundle_id != about["bundle_id"]:
            raise BundleError(
                f"{folder}: the model is not the one that was saved",
                remedy="give the module that the bundle was made with",
            )
        return bundle


def _load_weights(path: Path, spec: ModelSpec, model: nn.Module | None) -> nn.Module:
    from safetensors.torch import load_file

    if spec.name == "custom":
        if model is None:
            raise BundleError(
                f"{path.parent} holds the weights of a module of its maker's own",
                remedy="give the module: ModelBundle.load(path, model=module)",
            )
    elif model is not None:
        raise BundleError(f"{path.parent} builds its own {spec.name}", remedy="leave model out")
    else:
        model = build_model(spec.name, shape=spec.shape, classes=spec.classes, **spec.options)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise BundleError(
            f"{path} does not fit the model: {error}", remedy="give the right module"
        ) from error
    return model.eval()


def _card(bundle: ModelBundle) -> str:
    """Return a first model card; people are meant to go on with it."""
    size = sum(p.numel() for p in bundle.model.parameters())
    lines: Sequence[str] = (
        f"# {bundle.spec.name}, {size:,} parameters",
        "",
        f"- Input: {' x '.join(map(str, bundle.spec.shape))} (channels first)",
        f"- Classes ({bundle.space.kind}): {', '.join(bundle.space.classes)}",
        f"- Target condition: {bundle.space.positive or 'none named'}",
        f"- Calibration: {bundle.calibrator.method if bundle.calibrator else 'none'}",
        f"- Operating points: {'; '.join(map(str, bundle.thresholds)) or 'none'}",
        "",
        "Intended use, population, limits: to be written by its author.",
        "Research software; not a medical device.",
        "",
    )
    return "\n".join(lines)
