"""What is said of cases that made a model: never `no` of what nobody looked at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medimg.inference.seen import WORDS, counts, seen_of, sentences
from medimg.labels import LabelSpace
from medimg.predictions import Predictions


def predictions(*seen: str) -> Predictions:
    return Predictions(
        case_id=np.array([f"{i:03d}" for i in range(len(seen))], object),
        scores=np.zeros((len(seen), 2), np.float32),
        kind="logits",
        space=LabelSpace(("a", "b")),
        metadata=pd.DataFrame({"seen": list(seen)}),
    )


def test_the_words_come_back_from_a_table_of_predictions() -> None:
    assert seen_of(predictions(*WORDS)) == list(WORDS)


@pytest.mark.parametrize("cell", ["yes", "Train", "", "1"])
def test_a_column_of_another_meaning_is_not_taken_for_ours(cell: str) -> None:
    assert seen_of(predictions("no", "train", cell)) == ["not checked"] * 3


def test_predictions_without_the_column_are_not_checked() -> None:
    table = predictions("no", "train")
    bare = Predictions(table.case_id, table.scores, "logits", table.space)
    assert seen_of(bare) == ["not checked"] * 2


def test_counts_begin_with_the_gravest() -> None:
    told = ["no", "patient in val", "no", "calib", "train", "not checked", "train"]
    assert list(counts(told).items()) == [
        ("train", 2),
        ("calib", 1),
        ("patient in val", 1),
        ("no", 2),
        ("not checked", 1),
    ]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([], []),
        (["no"] * 1200, ["in the training set (train, val, calib): none of 1,200 cases"]),
        (["not checked"] * 3, ["in the training set: not checked: so it is"]),
        (
            ["train", "no", "patient in train", "train"],
            [
                "WARNING: in the training set: 3 of 4 cases (train 2, patient in train 1); "
                "numbers over them are too good"
            ],
        ),
        (["not checked", "no"], ["in the training set: 1 of 2 cases not checked: so it is"]),
        (
            ["case id in calib", "no"],
            [
                "with the id of a case of the training set, but another picture: 1 of 2 cases "
                "(case id in calib 1)"
            ],
        ),
    ],
)
def test_what_is_said_names_how_many_of_how_many(seen: list[str], said: list[str]) -> None:
    assert sentences(seen, "so it is") == said


def test_an_id_alone_is_a_warning_where_no_picture_was_compared() -> None:
    (line,) = sentences(["case id in train", "no"], compared=False)
    assert line.startswith("WARNING: with the id of a case of the training set: 1 of 2 cases")
