"""The arguments and flags of the verbs: what each is called and what its help says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what medimg wrote there.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
KeepIds = Annotated[bool, typer.Option("--keep-ids", help="Write patient ids as they are.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value; can be given often.")
]
Labels = Annotated[Path | None, typer.Option(help="Table of paths and labels.")]
Label = Annotated[list[str] | None, typer.Option(help="Label column; several: multi-label.")]
PathColumn = Annotated[str | None, typer.Option(help="Column of the image paths.")]
PatientColumn = Annotated[str | None, typer.Option(help="Column of the patient.")]
Separator = Annotated[str | None, typer.Option(help="What joins several labels in a cell.")]
Uncertain = Annotated[str | None, typer.Option(help="What -1 means: unknown, positive, negative.")]
Blank = Annotated[str | None, typer.Option(help="What a blank label means: unknown, negative.")]
LabelKind = Annotated[str | None, typer.Option(help="multiclass, multilabel or ordinal.")]
Positive = Annotated[str | None, typer.Option(help="The target condition, of two classes.")]
Unit = Annotated[
    str | None, typer.Option(help="DICOM: one case is an image, frame, series or study.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(help="DICOM: Modality=CT, ImageType!~LOCALIZER, KVP>100; can be given often."),
]
Key = Annotated[
    str | None,
    typer.Option(help="DICOM: COLUMN or COLUMN=WHAT: file, PatientID, StudyInstanceUID, ..."),
]
KeyDate = Annotated[
    str | None, typer.Option(help="DICOM: column of the date that says which study is meant.")
]
Within = Annotated[str | None, typer.Option(help="DICOM: how far it may lie from it, as 30d.")]
AllStudies = Annotated[
    bool, typer.Option("--all-studies", help="DICOM: a patient's label holds for all studies.")
]
FromName = Annotated[
    str | None, typer.Option(help="DICOM: regular expression with the class as its one group.")
]
By = Annotated[
    list[str] | None,
    typer.Option(help="Column whose equal values belong together: patient, lesion, ...; often."),
]
Share = Annotated[float | None, typer.Option(help="Share of the cases; .7 and .1, .1, .1.")]
Folds = Annotated[int, typer.Option(help="So many folds, each case tested once; 0: none.")]
Kind = Annotated[str | None, typer.Option(help="logits or probabilities, for a foreign table.")]
Space = Annotated[
    Path | None, typer.Option(help="YAML with classes, kind and positive, for a foreign table.")
]

# Of `evaluate` and `compare`.
Runs = Annotated[
    list[Path],
    typer.Argument(help="A table or a run; several, or a folder of them: runs of one model."),
]
Models = Annotated[
    list[Path],
    typer.Argument(help="Tables or runs, the reference first; a folder of them: its runs."),
]
Scored = Annotated[str | None, typer.Option(help="Split to score.")]
Bundle = Annotated[
    Path | None,
    typer.Option(help="Say by ids which cases were in the training set of this bundle."),
]
Calib = Annotated[
    str | None,
    typer.Option(
        help="Cases to choose thresholds and fit sets on: a table, a split, or the name of the "
        "table beside, as calib in a run."
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(help="Threshold to choose on --calib: youden, sensitivity=.95, cost=5; often."),
]
Groups = Annotated[
    list[str] | None, typer.Option("--by", help="Column whose groups to compare; often.")
]
Reference = Annotated[
    Path | None, typer.Option(help="Predictions of the set that the model is known on.")
]
Prevalence = Annotated[
    list[float] | None, typer.Option(help="Restate PPV and NPV for this prevalence; often.")
]
ByPatient = Annotated[
    str | None, typer.Option(help="mean_logits, mean_probability, max_probability or none.")
]
Conformal = Annotated[
    str | None,
    typer.Option(help="Prediction sets on --calib: auto, lac, aps, raps, risk or none."),
]
ConformalBy = Annotated[
    list[str] | None,
    typer.Option(help="One promise for all, for each class, or by a column; often."),
]
Alpha = Annotated[float | None, typer.Option(help="Share of the sets that may miss the truth; .1.")]
Metric = Annotated[str, typer.Option(help="The one that --margin is of; AUROC.")]
Margin = Annotated[float | None, typer.Option(help="Not worse: a loss of as much is ruled out.")]
