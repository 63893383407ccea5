"""The templates, and the words that all of them know.

Sections stand in `templates/`, one file each, in the order in which a page includes them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from medimg.evaluation.results.estimate import Estimate
from medimg.report import words
from medimg.report.pictures import png_uri
from medimg.report.svg import interval_mark, share

if TYPE_CHECKING:
    from jinja2 import Environment

_SAID = (
    words.label,
    words.number,
    words.value_text,
    words.interval_text,
    words.method_text,
    words.null_text,
    words.task_text,
    words.cases_text,
    words.sentence,
    words.conditional_text,
)


@cache
def environment() -> Environment:
    """Return the templates, with escaping always on and unknown names an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("medimg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update({f.__name__: f for f in (*_SAID, png_uri, share)})
    environment.globals.update(mark=_mark, DISCLAIMER=words.DISCLAIMER)
    return environment


def _mark(name: str, estimate: Estimate) -> Markup:
    """Return the point and interval of a metric that lies between 0 and 1, else nothing."""
    ends = [v for v in (estimate.value, estimate.low, estimate.high) if v is not None]
    if estimate.value is None or name in words.UNBOUNDED or min(ends) < 0 or max(ends) > 1:
        return Markup()
    return interval_mark(estimate.value, estimate.low, estimate.high)
