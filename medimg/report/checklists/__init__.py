"""Reporting guidelines, filled in with what a run knows; the rest is left to the author.

A guideline is a list of topics in words of our own; the numbers are those of its paper, which is
the text that counts.
"""

from medimg.report.checklists.fill import GUIDELINES, as_csv, fill
from medimg.report.checklists.items import AUTHOR, Checklist, Item, Known

__all__ = ["AUTHOR", "Checklist", "GUIDELINES", "Item", "Known", "as_csv", "fill"]
