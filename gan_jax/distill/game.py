"""Classifiers, and what a student learns from a teacher, with data or without.

Data-free distillation is a game of the same shape as a GAN's, with the student
in D's place: the student minimises how far it is from the teacher on a
generator's samples, the generator maximises it (OSGAN section 4.4). A
`Distillation` therefore offers the schemes what an `Objective` does, and they
train it as they are. A classifier trained alone is a game without a generator.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import networks
from gan_jax.distill import ClassifierLoss, build_loss
from gan_jax.errors import UserError
from gan_jax.nn import latent
from gan_jax.objective import Objective, initial_player
from gan_jax.state import Player, stream

# The collection of the student's stats that holds the teacher's variables. So
# they are in every checkpoint, and no optimiser ever sees them.
TEACHER = 'teacher'


class Distillation(NamedTuple):
  """The game, in the words of `Objective`.

  Attributes:
    generator: as in `Objective`; None if the samples are real.
    discriminator: the student, (samples, labels, train) -> Judgement with
      logits [N, classes].
    loss: what the student minimises, and the generator.
    latents: as in `Objective`.
    teacher: of the student's form, used in inference mode; None without one.
  """

  generator: nn.Module | None
  discriminator: nn.Module
  loss: ClassifierLoss
  latents: Any
  teacher: nn.Module | None = None

  # A pass of G or of the student is a GAN's.
  generate = Objective.generate
  fakes = Objective.fakes
  judge = Objective.judge

  def first_d(self, sample, optimizer, key) -> Player:
    """The student's first state; the teacher in it is not trained yet."""
    student = initial_player(self.discriminator, sample, optimizer, key)
    if self.teacher is None:
      return student
    key = stream(key, TEACHER)
    teacher = initial_player(self.teacher, sample, optimizer, key)
    return student.replace(stats=student.stats | {TEACHER: teacher.variables})

  def answers(self, params, stats, samples, labels):
    """What student and teacher say to the same samples.

    Args:
      params: of the student.
      stats: the student's other collections, the teacher's variables among
        them.
      samples: [N, ...]; gradients flow to them through both networks.
      labels: int32 [N].

    Returns:
      The student's Judgement in training mode, the teacher's in inference
      mode (None without one), and the student's new stats.
    """
    student, new_stats = self.judge(params, stats, samples, labels)
    if self.teacher is None:
      return student, None, new_stats
    teacher = self.teacher.apply(stats[TEACHER], samples, labels, train=False)
    return student, teacher, new_stats

  def d_loss(self, params, stats, real, fake, labels, key):
    """What the student minimises.

    Args:
      params: of the student.
      stats: its other collections.
      real: [N, ...]; not looked at by a data-free loss.
      fake: [N, ...]; None if the loss takes the real samples.
      labels: int32 [N], of the real samples.
      key: unused; penalties, which a student has none of, would draw from it.

    Returns:
      The loss, and (the student's new stats, metrics). 'agreement' is the
      share of the samples that the student puts into the class the teacher
      does; of the real ones without a teacher, the one they belong to.
    """
    del key
    samples = fake if self.loss.data_free else real
    student, teacher, new_stats = self.answers(params, stats, samples, labels)
    loss = self.loss.d_loss(student, teacher, labels)
    target = labels if teacher is None else jnp.argmax(teacher.logits, -1)
    agreement = jnp.mean(jnp.argmax(student.logits, -1) == target)
    return loss, (new_stats, {'d_loss': loss, 'agreement': agreement})

  def g_loss(self, fake, d_params, d_stats, real, labels):
    """What the generator minimises, as a function of its samples.

    Args:
      fake: [N, ...].
      d_params: of the student, which stays as it is; so do its stats.
      d_stats: the student's other collections.
      real: not looked at.
      labels: int32 [N].

    Returns:
      The loss and metrics.
    """
    del real
    student, teacher, _ = self.answers(d_params, d_stats, fake, labels)
    loss = self.loss.g_loss(student, teacher)
    return loss, {'g_loss': loss}


def build(config, shape, classes: int) -> Distillation:
  """The game that a validated config describes.

  Args:
    config: the whole run's config.
    shape: of one sample.
    classes: number of classes in the data.

  Raises:
    UserError: if the data have no classes.
  """
  if not classes:
    raise UserError(
      f'config.data.source = {config.data.source!r} has no classes, and a'
      ' classifier is measured by them: give data with labels (for a folder:'
      ' one sub-folder per class).'
    )
  loss = build_loss(config.loss)

  def classifier(section):
    return networks.build(networks.CLASSIFIERS, section, shape, classes)

  generator = teacher = None
  if loss.data_free:  # without labels: nobody could give them
    generator = networks.build(networks.GENERATORS, config.generator, shape, 0)
  if loss.has_teacher:
    section = dict(config.teacher)
    del section['workdir']
    teacher = classifier(section)
  return Distillation(
    generator=generator,
    discriminator=classifier(config.discriminator),
    loss=loss,
    latents=functools.partial(
      latent.draw,
      size=config.latent.size,
      distribution=config.latent.distribution,
    ),
    teacher=teacher,
  )
