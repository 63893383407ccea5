"""`Comparison`: what `compare` returns and `comparison.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import Curve, Gaps, Metrics
from medimg.labels import LabelSpace

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import TypeAdapter

Verdict = Literal["better", "not worse", "worse, within the margin", "worse", "not shown"]


@dataclass(frozen=True)
class Compared:
    """One model: its metrics on the common cases, of the mean of its runs where it has several.

    `values` holds each run's value of each metric; `roc` the curve of the first run, of two
    classes.
    """

    name: str
    n_runs: int
    metrics: Metrics
    values: Mapping[str, Gaps]
    roc: Curve | None = None


@dataclass(frozen=True)
class Contrast:
    """One metric of a model less that of the reference.

    `difference` has its 95% interval and the p-value of no difference, adjusted for the number
    of models (Holm, Scand. J. Stat. 6 (1979) 65). `verdict` says whether the model is better, not
    worse (a loss of the margin is ruled out), worse, or none of these is shown; better and worse
    where the interval leaves out 0 and the adjusted p-value is below .05. `sd_runs` and
    `sd_people` are the parts of the standard error that are due to the runs and to the sample of
    people.
    """

    metric: str
    model: str
    reference: str
    difference: Estimate
    verdict: Verdict
    sd_runs: float | None
    sd_people: float | None


@dataclass(frozen=True)
class Comparison:
    """All differences of one comparison of models on the same cases."""

    n: int
    n_patients: int | None
    split: str
    space: LabelSpace
    models: tuple[Compared, ...]
    contrasts: tuple[Contrast, ...]
    margin: float | None
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a contrast: metric, models, verdict and the fields of `Estimate`."""
        import pandas as pd

        rows = []
        for contrast in self.contrasts:
            row = asdict(contrast)
            rows.append(row | row.pop("difference"))
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `comparison.json`."""
        content: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return {"schema_version": 1} | content

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Comparison:
        """Return the comparison of the content of `comparison.json`."""
        content = {name: v for name, v in value.items() if name != "schema_version"}
        return _adapter().validate_python(content)


@cache
def _adapter() -> TypeAdapter[Comparison]:
    from pydantic import TypeAdapter

    return TypeAdapter(Comparison)
