"""The whole flow on one page: a config in, a run folder out. No technique of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medimg.config import RunConfig
from medimg.data.store import ImageStore
from medimg.files import lock, write_json
from medimg.flow.calibrating import apart, calibrate, words
from medimg.flow.plan import MARKER, Plan, begin
from medimg.flow.steps import Run, about_run, finish, open_checked, train
from medimg.inference.bundle import ModelBundle
from medimg.predictions import Predictions
from medimg.training.distributed import World


def run(
    config: RunConfig | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    near: Sequence[Path] = (),
    overwrite: bool = False,
    resume: bool = False,
) -> Run:
    """Train, calibrate and evaluate by a config, and write the run folder `out`.

    Under torchrun the first process does so; the others train with it by
    `medimg.flow.follow.follow`.

    Parameters
    ----------
    config : RunConfig or path
    near : sequence of path
        Further folders in which a relative `data.source` is looked for; the config's own is
        one where a path is given.
    overwrite : bool
        Replace a run that is there.
    resume : bool
        Go on with one that was begun and not finished.

    Raises
    ------
    FolderExists
        A run is there and neither `overwrite` nor `resume` fits it.
    LeakError
        The audit found a leak that the config does not allow; nothing was trained.
    MedimgError
        Whatever the steps refuse.
    """
    world, out = World.current(), Path(out)
    plan = begin(config, near, out, overwrite=overwrite, resume=resume)
    with lock(out):
        start = time.monotonic()
        plan.write(out)
        store, (audit,) = open_checked(plan, out)
        world.barrier()
        bundle, history = train(plan.config, store, out)
        world.leave()
        bundle, calib, unreached = _calibrate(plan.config, bundle, store, out)
        predictions = bundle.predict(store, "test", device=plan.config.device)
        notes = [_note(plan, store, bundle), *unreached]
        done = finish(
            plan.config,
            store,
            audit,
            (bundle, history),
            predictions,
            out,
            calib=None if calib is None else apart(calib, predictions),
            notes=notes,
        )
        seconds = round(time.monotonic() - start, 3)
        write_json(out / MARKER, about_run(done, store) | {"seconds": seconds})
    return done


def _calibrate(
    config: RunConfig, bundle: ModelBundle, store: ImageStore, out: Path
) -> tuple[ModelBundle, Predictions | None, list[str]]:
    """Return the bundle with what calib gave it, calib's own predictions, and what it lacks."""
    if not len(store.manifest.rows("calib")):
        return bundle, None, []
    predictions = bundle.predict(store, "calib", device=config.device)
    predictions.save(out / "predictions" / "calib.csv")
    calibrated, notes = calibrate(config, bundle, predictions)
    # The members are of the store, with its calib.
    return replace(calibrated, members=bundle.members), predictions, notes


def _note(plan: Plan, store: ImageStore, bundle: ModelBundle) -> str:
    counts = {r["split"]: r["cases"] for r in store.manifest.counts().to_dict("records")}
    said = ", ".join(f"{name} {n}" for name, n in counts.items())
    brought = sorted(set(plan.found.require().split) - {"", "none"})
    rest = [name for name in counts if name not in (*brought, "none")]
    options = plan.config.split
    known = [column for column in options.by if _has_values(store, column)]
    by = f"made by {', '.join(known)}" if known else "made by case (no ids came)"
    held = [*options.hold_out, *([f"{options.after} and later"] if options.after else [])]
    by += f", {', '.join(held)} held out as test" if held else ""
    how = f"those of the data ({', '.join(brought)})" if brought else by
    how += f", and {', '.join(rest)} {by}" if brought and rest else ""
    fitted = words(bundle.calibrator, f"on calib, {counts.get('calib')} cases")
    return f"Cases: {said}. Splits: {how}. Probabilities are {fitted}."


def _has_values(store: ImageStore, column: str) -> bool:
    frame = store.manifest.frame
    return column not in frame or bool((frame[column] != "").any())
