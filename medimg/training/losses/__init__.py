"""Losses by label space, and the balance of the classes that they are given and relieved of."""

from medimg.training.losses.balance import class_weights, logit_shift
from medimg.training.losses.loss import Loss, make_loss

__all__ = ["Loss", "class_weights", "logit_shift", "make_loss"]
