"""Classifiers, and what a student learns from a teacher, with data or without.

Data-free distillation is a game of the same shape as a GAN's, with the student
in D's place: the student minimises how far it is from the teacher on a
generator's samples, the generator maximises it (OSGAN section 4.4). A
`Distillation` therefore offers the schemes what an `Objective` does, and they
train it as they are. A classifier trained alone is a game without a generator.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import networks, passes
from gan_jax.distill import ClassifierLoss, build_loss
from gan_jax.errors import UserError
from gan_jax.networks.made import picture
from gan_jax.objective import frozen, initial_player, latents_of
from gan_jax.passes import Round
from gan_jax.state import Pair, Player, stream
from gan_jax.terms import Term

# The constant that has the teacher's variables.
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
    terms: none: a classifier takes no penalties and no tasks.
    augment: none.
  """

  generator: nn.Module | None
  discriminator: nn.Module
  loss: ClassifierLoss
  latents: Any
  teacher: nn.Module | None = None
  terms: Mapping[str, Term] = {}
  augment: Any = None

  # A pass of G or of the student is a GAN's.
  generate = passes.generate
  fakes = passes.fakes
  judge = passes.judge

  def of(self, player: str, phase: str = 'with') -> dict[str, Term]:
    """No terms, of either player."""
    del player, phase
    return {}

  def at_resolution(self, resolution: int):
    """Classifiers do not grow."""
    del resolution
    return self

  def first_pair(self, z, sample, optimizers, key) -> Pair:
    """A pair before its first update; `g` is None without a generator."""
    g = None
    if self.generator:
      g = initial_player(self.generator, z, stream(key, 'generator'))
      g = g.replace(opt=optimizers.g.init(g.params))
    d = initial_player(self.discriminator, sample, stream(key, 'critic'))
    return Pair(g, d.replace(opt=optimizers.d.init(d.params)))

  def first_teacher(self, sample, key) -> dict:
    """Variables of an untrained teacher: its shapes, and a stand-in in tests.

    Args:
      sample: a sample of the data [1, ...].
      key: the run's root key.
    """
    key = stream(stream(key, 'critic'), TEACHER)
    return initial_player(self.teacher, sample, key).variables

  def answers(self, params, stats, samples, now: Round):
    """What student and teacher say to the same samples.

    Args:
      params: of the student.
      stats: the student's other collections.
      samples: [N, ...]; gradients flow to them through both networks.
      now: the round; the teacher's variables are among its constants.

    Returns:
      The student's Judgement in training mode, the teacher's in inference
      mode (None without one), and the student's new stats.
    """
    student, _, new = self.judge(params, stats, samples, now, 'student')
    if self.teacher is None:
      return student, None, new
    variables = now.constants[TEACHER]
    teacher = self.teacher.apply(variables, samples, now.labels, train=False)
    return student, teacher, new

  def d_loss(self, params, stats, opponent, made, now: Round):
    """What the student minimises.

    Args:
      params: of the student.
      stats: its other collections.
      opponent: not looked at.
      made: the generator's samples; None if the loss takes the real ones.
      now: the round; a data-free loss does not look at its real samples.

    Returns:
      The loss, and (the student's new stats, metrics). 'agreement' is the
      share of the samples that the student puts into the class the teacher
      does; of the real ones without a teacher, the one they belong to.
    """
    del opponent
    samples = picture(made.samples) if self.loss.data_free else now.real
    student, teacher, new = self.answers(params, stats, samples, now)
    loss = self.loss.d_loss(student, teacher, now.labels)
    target = now.labels if teacher is None else jnp.argmax(teacher.logits, -1)
    agreement = jnp.mean(jnp.argmax(student.logits, -1) == target)
    return loss, (new, {'d_loss': loss, 'agreement': agreement})

  def g_loss(self, params, stats, opponent: Player, made, now: Round):
    """What the generator minimises, as a function of what it made.

    Args:
      params: of the generator; not looked at.
      stats: its other collections.
      opponent: the student, which stays as it is.
      made: the generator's samples.
      now: the round; its real samples are not looked at.

    Returns:
      The loss, and (the generator's stats, metrics).
    """
    del params
    samples = picture(made.samples)
    student, teacher, _ = self.answers(*frozen(opponent), samples, now)
    loss = self.loss.g_loss(student, teacher)
    return loss, (stats, {'g_loss': loss})


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
    latents=latents_of(config.latent),
    teacher=teacher,
  )
