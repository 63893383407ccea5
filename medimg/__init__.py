"""medimg: from labelled scans to a classifier that a careful person would trust.

The public names are imported when they are first used, so that ``import medimg`` costs next to
nothing and torch is loaded only where it works.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

#: Public name -> the module that holds it.
_NAMES = {
    "AugmentOptions": "medimg.data.augment.options",
    "Calibrator": "medimg.calibrator",
    "DicomPixels": "medimg.data.options",
    "EvaluateOptions": "medimg.evaluation.options",
    "FitOptions": "medimg.training.options",
    "ImageStore": "medimg.data.store",
    "LabelSpace": "medimg.labels",
    "Manifest": "medimg.data.manifest",
    "MedimgError": "medimg.errors",
    "ModelBundle": "medimg.inference.bundle",
    "Predictions": "medimg.predictions",
    "Preprocess": "medimg.data.preprocess",
    "RunConfig": "medimg.config",
    "audit": "medimg.data.audit",
    "build_model": "medimg.models.build",
    "choose_points": "medimg.evaluation.thresholds.choose",
    "compare": "medimg.evaluation.compare.compare",
    "evaluate": "medimg.evaluation.evaluate",
    "evaluate_runs": "medimg.evaluation.compare.runs",
    "fetch": "medimg.data.fetch",
    "fit": "medimg.training.fit",
    "fit_calibrator": "medimg.evaluation.calibrators.fit",
    "fit_conformal": "medimg.evaluation.conformal.fit",
    "index": "medimg.data.index",
    "list_models": "medimg.models.names",
    "load_config": "medimg.config",
    "make_folds": "medimg.data.folds",
    "pick_examples": "medimg.report.examples",
    "predict_scans": "medimg.inference.scan",
    "print_comparison": "medimg.report.comparison",
    "print_table": "medimg.report.terminal",
    "read": "medimg.data.sources.formats",
    "run": "medimg.recipe",
    "run_folds": "medimg.crossval",
    "split": "medimg.data.splits",
    "write_comparison": "medimg.report.comparison",
    "write_report": "medimg.report.write",
}

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("medimg")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'medimg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from medimg.calibrator import Calibrator as Calibrator
    from medimg.config import RunConfig as RunConfig
    from medimg.config import load_config as load_config
    from medimg.crossval import run_folds as run_folds
    from medimg.data.audit import audit as audit
    from medimg.data.augment.options import AugmentOptions as AugmentOptions
    from medimg.data.fetch import fetch as fetch
    from medimg.data.folds import make_folds as make_folds
    from medimg.data.index import index as index
    from medimg.data.manifest import Manifest as Manifest
    from medimg.data.options import DicomPixels as DicomPixels
    from medimg.data.preprocess import Preprocess as Preprocess
    from medimg.data.sources.formats import read as read
    from medimg.data.splits import split as split
    from medimg.data.store import ImageStore as ImageStore
    from medimg.errors import MedimgError as MedimgError
    from medimg.evaluation.calibrators.fit import fit_calibrator as fit_calibrator
    from medimg.evaluation.compare.compare import compare as compare
    from medimg.evaluation.compare.runs import evaluate_runs as evaluate_runs
    from medimg.evaluation.conformal.fit import fit_conformal as fit_conformal
    from medimg.evaluation.evaluate import evaluate as evaluate
    from medimg.evaluation.options import EvaluateOptions as EvaluateOptions
    from medimg.evaluation.thresholds.choose import choose_points as choose_points
    from medimg.inference.bundle import ModelBundle as ModelBundle
    from medimg.inference.scan import predict_scans as predict_scans
    from medimg.labels import LabelSpace as LabelSpace
    from medimg.models.build import build_model as build_model
    from medimg.models.names import list_models as list_models
    from medimg.predictions import Predictions as Predictions
    from medimg.recipe import run as run
    from medimg.report.comparison import print_comparison as print_comparison
    from medimg.report.comparison import write_comparison as write_comparison
    from medimg.report.examples import pick_examples as pick_examples
    from medimg.report.terminal import print_table as print_table
    from medimg.report.write import write_report as write_report
    from medimg.training.fit import fit as fit
    from medimg.training.options import FitOptions as FitOptions
