"""Configs are data: every slip is named, with the nearest right key."""

from __future__ import annotations

from pathlib import Path

import pytest

from medimg.config import builtin_config, config_keys, load_config, make_config, parse_yaml
from medimg.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))
GOOD = "data: {source: x.npz}\n"


def load(tmp_path: Path, text: str, *overrides: str) -> object:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_that_comes_with_medimg_is_right(path: Path) -> None:
    config = load_config(path)
    assert config.title
    assert make_config(parse_yaml(config.to_yaml(), "again")) == config
    assert builtin_config(path.stem) == path


@pytest.mark.parametrize(
    "text, message",
    [
        (GOOD + "fit: {dropuot: 1}", "unknown key fit.dropuot"),
        (GOOD + "model: {name: mlp, hiden: [3]}", "hiden"),
        (GOOD + "fit: {epoch: 3}", "did you mean fit.epochs"),
        (GOOD + "fitt: {epochs: 3}", "unknown key fitt"),
        (GOOD + "fit: {epochs: many}", "fit.epochs: 'many'"),
        (GOOD + "fit: {epochs: 0}", "fit.epochs: 0"),
        (GOOD + "fit: {lr: -1}", "fit.lr: -1"),
        (GOOD + "fit: {optimizer: adma}", "adam"),
        (GOOD + "fit: {patience: 3}", "monitor"),
        (GOOD + "calibration: {temperature: true}", "did you mean calibration.method"),
        (GOOD + "calibration: {method: plat}", "calibration.method: 'plat'.*'platt'"),
        (GOOD + "model: {name: ccn}", "did you mean cnn"),
        (GOOD + "model: {name: mlp, init: normal(x)}", "init"),
        (GOOD + "data: {source: y}", "stands twice"),
        (GOOD + "audit: {allow: {pixel_in_several_splits: x}}", "did you mean pixels_in_several"),
        (GOOD + "audit: {allow: {file_missing: x}}", "file_missing is no leak"),
        (GOOD + "audit: {allow: {study_in_several_splits: ''}}", "say why it may pass"),
        (GOOD + "audit: {allow: {study_in_several_splits: }}", "say why it may pass"),
        (GOOD + "title: !!python/object/apply:os.system ['true']", "plain YAML"),
        (GOOD + "title: !custom x", "plain YAML"),
        (GOOD + "title: [", "plain YAML"),
        ("fit: {epochs: 3}", "data is missing"),
        ("", "no keys"),
        ("- a", "no keys"),
        ("[" * 5000, "plain YAML"),
    ],
)
def test_a_slip_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


def test_numbers_and_words_are_as_in_yaml_1_2() -> None:
    text = (
        "[1e-3, 1E5, .5, 010, 0o10, 0x1F, no, yes, on, off, true, 2024-01-02, 1_000, 12:30:45, ~]"
    )
    assert parse_yaml(text, "t") == [
        *(0.001, 1e5, 0.5, 10, 8, 31),
        *("no", "yes", "on", "off", True, "2024-01-02", "1_000", "12:30:45", None),
    ]


def test_no_is_a_class_name(tmp_path: Path) -> None:
    config = load(tmp_path, "data: {source: x, classes: [no, yes]}\nfit: {lr: 1e-3}\n")
    assert config.data.classes == ("no", "yes")  # type: ignore[attr-defined]
    assert config.fit.lr == 0.001  # type: ignore[attr-defined]


def test_set_reaches_the_whole_config(tmp_path: Path) -> None:
    config = load(
        tmp_path, GOOD, "fit.epochs=5", "model.name=mlp", "model.hidden=[7]", "fit.augment.rotate=3"
    )
    assert config.fit.epochs == 5  # type: ignore[attr-defined]
    assert config.model.options["hidden"] == [7]  # type: ignore[attr-defined]
    assert config.fit.augment.rotate == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("override", ["fit.epochs", "=3", "title.x.y=3", "fit.epohcs=3"])
def test_a_wrong_set_is_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"--set|epohcs"):
        load(tmp_path, GOOD + "title: t\n", override)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_every_key_can_be_listed() -> None:
    keys = config_keys()
    assert {"seed", "data.source", "fit.augment.rotate", "preprocess.size"} <= set(keys)


def test_a_written_config_reads_back_as_it_was(tmp_path: Path) -> None:
    config = load(tmp_path, 'data: {source: "007", classes: ["1e5", "no"]}\ntitle: "1e5"\n')
    assert make_config(parse_yaml(config.to_yaml(), "again")) == config  # type: ignore[attr-defined]
