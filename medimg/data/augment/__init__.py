"""Random changes of training batches: `Augment` draws them, then applies them.

``medimg.data.augment.options`` loads without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medimg.data.augment.batch import Augment as Augment
    from medimg.data.augment.draw import Draw as Draw


def __getattr__(name: str) -> Any:
    if name == "Augment":
        from medimg.data.augment.batch import Augment

        return Augment
    if name == "Draw":
        from medimg.data.augment.draw import Draw

        return Draw
    raise AttributeError(f"module 'medimg.data.augment' has no attribute {name!r}")
