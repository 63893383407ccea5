"""The command `medimg`: one verb, one function; errors become one message and an exit status.

Exit status: 0 all done, 1 failed, 2 wrong usage, 3 done but some inputs refused, 130 and 143
interrupted (SIGINT, SIGTERM).
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from medimg.cli import options
from medimg.cli.options import (
    AllStudies,
    Blank,
    By,
    Device,
    Folds,
    FromName,
    KeepIds,
    Key,
    KeyDate,
    Label,
    LabelKind,
    Labels,
    Out,
    Overwrite,
    PathColumn,
    PatientColumn,
    Positive,
    Separator,
    Set,
    Share,
    Uncertain,
    Unit,
    Where,
    Within,
)
from medimg.errors import MedimgError, UsageError

app = typer.Typer(
    name="medimg",
    help="Train, evaluate and run classifiers of medical images. Research software, no medical "
    "device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SOME_REFUSED, INTERRUPTED, TERMINATED = 3, 130, 143
_GOES_ON = "a training goes on with --resume, a prediction with the same command"


def main() -> NoReturn:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(standalone_mode=False)
        if status == INTERRUPTED:  # typer turns Ctrl-C into this status without a word
            raise KeyboardInterrupt
    except MedimgError as error:
        status = _say(str(error), error.exit_status)
    except typer.Exit as stop:
        status = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        status = _say(f"interrupted; {_GOES_ON}", INTERRUPTED)
    except _Terminated:
        status = _say(f"terminated; {_GOES_ON}", TERMINATED)
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    except Exception as error:
        status = _unexpected(error)
    sys.exit(status or 0)


class _Terminated(BaseException):
    """SIGTERM came."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _say(text: str, status: int) -> int:
    sys.stderr.write(f"medimg: {text}\n")
    return status


def _unexpected(error: Exception) -> int:
    """Say a wrong option plainly; let every other exception show where it came from."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))


@app.command()
def demo(out: Out = Path("runs/demo"), overwrite: Overwrite = False) -> None:
    """Train an MLP and a CNN on scikit-learn's digits, and predict with them (offline)."""
    from medimg.cli.demo import run_demo

    run_demo(out, overwrite=overwrite)


@app.command()
def new(
    source: Path,
    out: Out = Path("my.yaml"),
    labels: Labels = None,
    label: Label = None,
    path: PathColumn = None,
    patient_id: PatientColumn = None,
    separator: Separator = None,
    uncertain: Uncertain = None,
    blank: Blank = None,
    kind: LabelKind = None,
    positive: Positive = None,
    unit: Unit = None,
    where: Where = None,
    key: Key = None,
    key_date: KeyDate = None,
    within: Within = None,
    all_studies: AllStudies = False,
    label_from_name: FromName = None,
) -> None:
    """Write a commented config for your own data from what is seen in it."""
    from medimg.cli.new import write_config

    options = _given(
        label=tuple(label or ()),
        path=path,
        patient_id=patient_id,
        separator=separator,
        uncertain=uncertain,
        blank=blank,
        kind=kind,
        positive=positive,
        unit=unit,
        where=tuple(where or ()),
        key=key,
        key_date=key_date,
        within=within,
        all_studies=all_studies,
        label_from_name=label_from_name,
    )
    write_config(source, out, labels, options)
    _print(f"{out}: read it, then `medimg train {out} -o runs/{out.stem}`")


@app.command()
def index(
    source: Path,
    out: Out,
    labels: Labels = None,
    label: Label = None,
    path: PathColumn = None,
    patient_id: PatientColumn = None,
    separator: Separator = None,
    uncertain: Uncertain = None,
    blank: Blank = None,
    kind: LabelKind = None,
    positive: Positive = None,
    unit: Unit = None,
    where: Where = None,
    key: Key = None,
    key_date: KeyDate = None,
    within: Within = None,
    all_studies: AllStudies = False,
    label_from_name: FromName = None,
    overwrite: Overwrite = False,
) -> None:
    """List the cases of a source with their labels: a manifest."""
    from medimg.cli.index import write_index

    options = _given(
        label=tuple(label or ()),
        path=path,
        patient_id=patient_id,
        separator=separator,
        uncertain=uncertain,
        blank=blank,
        kind=kind,
        positive=positive,
        unit=unit,
        where=tuple(where or ()),
        key=key,
        key_date=key_date,
        within=within,
        all_studies=all_studies,
        label_from_name=label_from_name,
    )
    if write_index(source, out, labels, options, overwrite=overwrite):
        raise typer.Exit(SOME_REFUSED)


@app.command()
def split(
    manifest: Path,
    out: Out,
    train: Share = None,
    val: Share = None,
    calib: Share = None,
    test: Share = None,
    seed: int = 0,
    by: By = None,
    missing: Annotated[
        str | None, typer.Option(help="A case without an id: own (its own group) or refuse.")
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="site=B: those cases are test; can be given often.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="date=2024-01-01: cases from that day on are test.")
    ] = None,
    folds: Folds = 0,
    anew: Annotated[
        bool, typer.Option("--anew", help="Set aside the splits that the manifest brings.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Assign cases to train, val, calib and test, or to folds; by patient and stratified."""
    from medimg.cli.split import split_and_print

    shares = {"train": train, "val": val, "calib": calib, "test": test}
    options: dict[str, Any] = {n: share for n, share in shares.items() if share is not None}
    others = {"by": by, "hold_out": hold_out}
    options |= {name: tuple(value) for name, value in others.items() if value}
    texts = {"missing": missing, "after": after}
    options |= {name: text for name, text in texts.items() if text is not None}
    split_and_print(
        manifest, out, {"seed": seed, **options}, folds=folds, anew=anew, overwrite=overwrite
    )


@app.command()
def audit(
    manifest: Path,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Decode the pictures and compare them too.")
    ] = False,
    by: By = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for audit.json and a page.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Look for leaks, copies and give-aways; status 1 where there is a leak."""
    from medimg.cli.audit import audit_and_print

    if audit_and_print(manifest, pixels=pixels, by=tuple(by or ()), out=out, overwrite=overwrite):
        raise typer.Exit(SOME_REFUSED)


@app.command()
def train(
    config: Path,
    out: Out,
    set_: Set = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run begun.")] = False,
    folds: Folds = 0,
) -> None:
    """Train, calibrate and evaluate by a config; write a run folder."""
    from medimg.config import load_config

    checked = load_config(config, set_ or [])
    from medimg.cli.train import train_and_print

    if train_and_print(checked, config, out, overwrite=overwrite, resume=resume, folds=folds):
        raise typer.Exit(SOME_REFUSED)


@app.command("lr-find")
def lr_find(config: Path, out: Out, set_: Set = None, overwrite: Overwrite = False) -> None:
    """Suggest a learning rate for a config; write the curve of its loss."""
    from medimg.config import load_config

    checked = load_config(config, set_ or [])
    from medimg.cli.lr_find import find_and_print

    find_and_print(checked, config, out, overwrite=overwrite)


@app.command()
def predict(
    bundle: Path,
    scans: list[Path],
    out: Out,
    device: Device = "auto",
    max_refused: Annotated[
        str | None, typer.Option(help="Fail where more are refused: 12, or 5% of the cases.")
    ] = None,
    settle: Annotated[
        float, typer.Option(help="Leave files changed within these seconds for the next run.")
    ] = 60.0,
    unit: Unit = None,
    where: Where = None,
    keep_ids: KeepIds = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict files, folders or a manifest with a bundle; once more, and it goes on."""
    from medimg.cli.predict import predict_and_print

    if predict_and_print(
        bundle,
        scans,
        out,
        device=device,
        max_refused=max_refused,
        settle=settle,
        unit=unit,
        where=where or (),
        keep_ids=keep_ids,
        overwrite=overwrite,
    ):
        raise typer.Exit(SOME_REFUSED)


@app.command()
def calibrate(
    bundle: Path,
    predictions: Path,
    out: Out,
    split: Annotated[str | None, typer.Option(help="Split to fit on.")] = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto (the best by cross-validation, if any), temperature, platt, vector, "
            "dirichlet, beta or isotonic."
        ),
    ] = "auto",
    at: Annotated[
        list[str] | None,
        typer.Option(help="Threshold to choose as well: youden, sensitivity=.95, cost=5."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit a calibrator on predictions of labelled cases; write a new bundle."""
    from medimg.cli.calibrate import calibrate_bundle

    calibrate_bundle(
        bundle, predictions, out, split, method=method, at=at or [], overwrite=overwrite
    )


@app.command()
def evaluate(
    predictions: options.Runs,
    out: Out,
    split: options.Scored = None,
    kind: options.Kind = None,
    space: options.Space = None,
    bundle: options.Bundle = None,
    calib: options.Calib = None,
    at: options.At = None,
    by: options.Groups = None,
    reference: options.Reference = None,
    prevalence: options.Prevalence = None,
    by_patient: options.ByPatient = None,
    conformal: options.Conformal = None,
    conformal_by: options.ConformalBy = None,
    alpha: options.Alpha = None,
    resamples: int = 2000,
    seed: int = 0,
    overwrite: Overwrite = False,
) -> None:
    """Compute every number with its interval; write a report."""
    from medimg.cli.evaluate import evaluate_files

    given = {
        "operating_points": at,
        "subgroups": by,
        "prevalences": prevalence,
        "by_patient": by_patient,
        "conformal": conformal,
        "conformal_by": conformal_by,
        "alpha": alpha,
        "resamples": resamples,
        "seed": seed,
    }
    evaluate_files(
        predictions,
        out,
        split=split,
        kind=kind,
        space=space,
        bundle=bundle,
        calib=calib,
        reference=reference,
        given=given,
        overwrite=overwrite,
    )


@app.command()
def compare(
    models: options.Models,
    out: Out,
    split: options.Scored = None,
    kind: options.Kind = None,
    space: options.Space = None,
    metric: options.Metric = "",
    margin: options.Margin = None,
    resamples: int = 2000,
    seed: int = 0,
    overwrite: Overwrite = False,
) -> None:
    """Compare models on the same cases: every difference with its interval and test."""
    from medimg.cli.compare import compare_files

    given = {"resamples": resamples, "seed": seed}
    compare_files(
        models,
        out,
        split,
        kind,
        space,
        metric=metric,
        margin=margin,
        given=given,
        overwrite=overwrite,
    )


@app.command()
def fetch(
    name: str,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of data sets.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address of the same file.")] = None,
) -> None:
    """Download a public data set and check its checksum (digits: offline)."""
    from medimg.data.fetch import fetch as fetch_data

    _print(str(fetch_data(name, out, url=url)))


@app.command()
def show(
    thing: Annotated[str, typer.Argument(help="Manifest, bundle, run, store, or `config`.")],
) -> None:
    """Say in words what a manifest, bundle, run, store or config holds."""
    from medimg.cli.show import show_thing

    show_thing(thing)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given, checked."""
    from pydantic import ValidationError

    from medimg.data.options import IndexOptions

    given = {name: value for name, value in options.items() if value}
    try:
        IndexOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"--{first['loc'][0]} {first['input']!r}: {first['msg']}", remedy="see --help"
        ) from None
    return given


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
