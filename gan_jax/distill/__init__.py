"""Classifiers, and distillation: the game with a student in D's place.

| file | what |
|---|---|
| game.py | the two players, in the words of `objective.py` |
| losses.py | what a classifier or a student minimises |
| teacher.py | a trained classifier taken over as a teacher |
"""

import dataclasses

from gan_jax import settings
from gan_jax.distill import losses
from gan_jax.distill.losses import ClassifierLoss
from gan_jax.settings import Setting

__all__ = ['LOSSES', 'ClassifierLoss', 'build_loss']

# `config.loss.name` of these makes a run's game one of classifiers.
LOSSES = {
  'cross_entropy': losses.CrossEntropy(),
  'kd': losses.KnowledgeDistillation(),
  'dfad': losses.DataFreeAdversarial(),
  'zskt': losses.ZeroShot(),
}

# Of `config.teacher`, beside its network's: see `networks.settings`.
TEACHER = {
  'workdir': Setting('', "the folder of the teacher's run"),
}


def build_loss(section) -> ClassifierLoss:
  """The loss of `config.loss`: its name and the settings it has."""
  loss = LOSSES[section.name]
  own = {key: section[key] for key in settings.of(loss)}
  return dataclasses.replace(loss, **own) if own else loss
