"""`RunConfig`: one YAML file, one run. Read as data, never as code."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from medimg.data.checks.findings import CODES, LEAKS
from medimg.data.options import IndexOptions, Options, SplitOptions
from medimg.data.preprocess import Preprocess
from medimg.errors import ConfigError, nearest
from medimg.evaluation.options import EvaluateOptions
from medimg.models.options import model_options
from medimg.training.options import FitOptions


class DataConfig(IndexOptions):
    """Where the images and labels are and what they mean."""

    source: str | tuple[str, ...] = Field(
        description="npz, IDX, folder, table or manifest; of several the first that is there"
    )
    cache: str | None = Field(None, description="folder of decoded pixels; null: the user's cache")
    keep_ids: bool = Field(False, description="keep patient ids and every column of metadata")
    metadata: tuple[str, ...] = Field(
        (), description="columns that name nobody and go into predictions, for subgroups"
    )


class AuditConfig(Options):
    """Known leaks that may pass, each with the reason; printed first in the report."""

    allow: dict[str, str] = Field(
        default_factory=dict, description="code of a leak: why it may pass"
    )

    @field_validator("allow", mode="before")
    @classmethod
    def _reasons(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {code: "" if reason is None else reason for code, reason in value.items()}
        return value

    @field_validator("allow")
    @classmethod
    def _known_leaks(cls, value: dict[str, str]) -> dict[str, str]:
        for code, reason in value.items():
            if code not in CODES:
                raise ValueError(f"no finding has the code {code}{nearest(code, LEAKS)}")
            if code not in LEAKS:
                raise ValueError(f"{code} is no leak and stops no training; leave it out")
            if not reason.strip():
                raise ValueError(f"{code}: say why it may pass")
        return value


class ModelConfig(BaseModel):
    """A network's name and its options."""

    model_config = {"frozen": True, "extra": "allow"}

    name: str = "cnn"

    @property
    def options(self) -> dict[str, Any]:
        """The options beside the name."""
        return dict(self.model_extra or {})


class CalibrationConfig(Options):
    """What is fitted on the split calib."""

    method: Literal[
        "auto", "none", "temperature", "platt", "vector", "dirichlet", "beta", "isotonic"
    ] = Field("auto", description="auto: the best by cross-validation, where one gains anything")


class RunConfig(Options):
    """Everything that a run depends on."""

    title: str = Field("", description="what the report is called")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = Field("auto", description="auto, cpu or cuda")
    track: bool = Field(
        False, description="write curves for TensorBoard beside log.jsonl (extra track)"
    )
    data: DataConfig
    split: SplitOptions = SplitOptions()
    audit: AuditConfig = AuditConfig()
    preprocess: Preprocess = Preprocess()
    model: ModelConfig = ModelConfig()
    fit: FitOptions = FitOptions()
    calibration: CalibrationConfig = CalibrationConfig()
    evaluate: EvaluateOptions = EvaluateOptions()

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: ModelConfig) -> ModelConfig:
        checked = model_options(value.name, value.options)
        return ModelConfig(name=value.name, **checked.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """Return the resolved config as YAML."""
        values = self.model_dump(mode="json")
        return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config; `overrides` are ``section.key=value`` with the value in YAML.

    Raises
    ------
    ConfigError
        No such file, no YAML, a tag, a repeated or unknown key (with the nearest right one), a
        wrong type or value.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config {path} cannot be read: {error}",
            remedy="name a YAML file; `medimg new SOURCE -o my.yaml` writes one",
        ) from error
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys", remedy="write `data: {source: ...}` and so on")
    for override in overrides:
        _set(values, override)
    return make_config(values, str(path))


def builtin_config(name: str) -> Path:
    """Return the path of a config that comes with medimg, such as ``"digits_cnn"``."""
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise ConfigError(f"no config {name!r} comes with medimg", remedy="name a file of your own")


def make_config(values: Mapping[str, Any], name: str = "config") -> RunConfig:
    """Return the checked config of plain values; `name` stands in the errors."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        lines = [_explain(dict(e), name) for e in error.errors()]
        raise ConfigError(
            "\n".join(lines), remedy="`medimg show config` prints every key"
        ) from None


def parse_yaml(text: str, name: str) -> Any:
    """Return YAML as plain data, scalars as in YAML 1.2; `name` stands in the errors."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"{name} is no plain YAML: {error}", remedy="correct the line; tags are not taken"
        ) from None


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2 (core schema), and no repeated keys or tags."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML wants it so)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


class _Dumper(yaml.SafeDumper):
    """Safe YAML that quotes what `_Loader` would take for a number or a word of its own."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def _int(loader: _Loader, node: Any) -> int:
    """YAML 1.2 integers: `010` is ten."""
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def _set(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(
            f"--set {override!r}", remedy="write --set section.key=value, as in fit.epochs=5"
        )
    *sections, key = path.strip().split(".")
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(
                f"--set {override!r}: {section} is no section", remedy="check the key"
            )
    place[key] = parse_yaml(text, f"--set {override}")


def _explain(error: dict[str, Any], name: str) -> str:
    """Return one line for one pydantic error: the key, the value, what is right."""
    path = [str(part) for part in error["loc"]]
    key = ".".join(path) or "(top)"
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{name}: unknown key {key}{_nearest_key(path)}"
    if error["type"] == "missing":
        return f"{name}: key {key} is missing"
    value = error.get("input")
    return f"{name}: {key}: {value!r}: {error['msg']}"


def _nearest_key(path: Iterable[str]) -> str:
    key = ".".join(path)
    known = list(config_keys())
    leaf = {k.rpartition(".")[2]: k for k in known}
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    near = near or [leaf[w] for w in difflib.get_close_matches(key.rpartition(".")[2], leaf, n=1)]
    return f"; did you mean {near[0]}?" if near else ""


def config_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, Any]:
    """Return every key of the config, dotted, with its `FieldInfo`."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= config_keys(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = field
    return keys
