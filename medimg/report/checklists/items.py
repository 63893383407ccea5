"""What a guideline asks, what is known, and a checklist that is filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medimg.data.checks.findings import Audit
from medimg.evaluation.results.evaluation import Evaluation

#: What stands in the place of an answer that no run can give.
AUTHOR = "for the author"


@dataclass(frozen=True)
class Known:
    """All that is known of a run when its report is written.

    Parameters
    ----------
    evaluation : Evaluation
        Read back from `metrics.json`; its provenance says what it was made with.
    audit : Audit, optional
        What was found in the data.
    history : sequence of mappings
        One row an epoch, the kept one with ``best: True``.
    notes : sequence of str
        What the run said of its cases, splits and probabilities.
    """

    evaluation: Evaluation
    audit: Audit | None = None
    history: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()

    def text(self, *path: str) -> str | None:
        """Return a leaf of the provenance as text; None where there is no such leaf.

        A provenance may hold whatever its maker put there.
        """
        value: Any = self.evaluation.provenance
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return str(value) if isinstance(value, str | int) and value != "" else None

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a mapping of the provenance; empty where there is none of that name."""
        value = self.evaluation.provenance.get(name)
        return value if isinstance(value, Mapping) else {}

    def config(self, section: str) -> Mapping[str, Any]:
        """Return how a run was set up in one respect; empty where medimg did not train it."""
        value = self.part("config").get(section)
        return value if isinstance(value, Mapping) else {}

    @property
    def trained(self) -> bool:
        """Whether a run of medimg trained the model."""
        return bool(self.part("config"))

    def said(self, *words: str) -> list[str]:
        """Return the notes that hold any of these words, each once."""
        notes = dict.fromkeys([*self.notes, *self.evaluation.notes])
        return [note for note in notes if any(word in note for word in words)]


#: Returns a sentence or several, or None where the run does not know.
Fact = Callable[[Known], str | None]


@dataclass(frozen=True)
class Topic:
    """One item of a guideline: what it asks, who knows it, and what of it no run can know.

    `rest` is blank where `fact` answers the whole of it.
    """

    number: str
    topic: str
    fact: Fact | None = None
    rest: str = ""


@dataclass(frozen=True)
class Guideline:
    """A reporting guideline: its items by section, in the order of its paper."""

    name: str
    citation: str
    sections: Mapping[str, tuple[Topic, ...]]


@dataclass(frozen=True)
class Item:
    """One item, filled in.

    `answer` is None where only the author can give one; `partly` where part of it is left to
    the author, as the answer says.
    """

    number: str
    section: str
    topic: str
    answer: str | None
    partly: bool = False

    @property
    def shown(self) -> str:
        """The answer, or whom it is left to."""
        return AUTHOR if self.answer is None else self.answer


@dataclass(frozen=True)
class Checklist:
    """A guideline, filled in."""

    name: str
    citation: str
    items: tuple[Item, ...]

    @property
    def sections(self) -> dict[str, list[Item]]:
        """The items by section, in their order."""
        found: dict[str, list[Item]] = {}
        for item in self.items:
            found.setdefault(item.section, []).append(item)
        return found

    @property
    def summary(self) -> str:
        """How many items are filled in, in words."""
        answered = [item for item in self.items if item.answer is not None]
        partly = sum(item.partly for item in answered)
        return (
            f"{len(answered) - partly} of {len(self.items)} filled in, {partly} in part, "
            f"{len(self.items) - len(answered)} {AUTHOR}"
        )


def joined(*sentences: str | None) -> str | None:
    """Return the sentences that there are as one text; None where there are none."""
    return " ".join(part for part in sentences if part) or None


def filled(topic: Topic, section: str, known: Known) -> Item:
    """Return one item with its answer, where the run knows one."""
    answer = None if topic.fact is None else topic.fact(known)
    if answer is None:
        return Item(topic.number, section, topic.topic, None)
    rest = f" {AUTHOR.capitalize()}: {topic.rest}." if topic.rest else ""
    return Item(topic.number, section, topic.topic, answer + rest, bool(rest))
