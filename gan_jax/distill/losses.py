"""What classifiers minimise: with labels, with a teacher, or without data.

`student` and `teacher` are Judgements of the same samples, with logits [N, K]
for K classes. A data-free loss is a game: its samples are a generator's, which
maximises what the student minimises (Micaelli and Storkey 2019; Fang et al.
2019; OSGAN section 4.4).
"""

import dataclasses

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting, field


class ClassifierLoss:
  """What a loss offers to `gan_jax.distill`."""

  has_teacher = True
  data_free = False  # a generator makes the samples; no real one is looked at
  # Whether the generator minimises exactly the negative of the student's loss.
  symmetric = True

  def d_loss(self, student, teacher, labels) -> jax.Array:
    """What the student minimises, a scalar."""
    raise NotImplementedError

  def g_loss(self, student, teacher) -> jax.Array:
    """What the generator of a data-free loss minimises, a scalar."""
    raise NotImplementedError


def cross_entropy(logits, labels):
  """The mean of -log softmax(logits) at the labels; [N, K] and int32 [N]."""
  chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
  return -jnp.mean(chosen)


def divergence(teacher, student):
  """KL(softmax(teacher) || softmax(student)), the mean over [N, K]."""
  p, q = jax.nn.log_softmax(teacher), jax.nn.log_softmax(student)
  return jnp.mean(jnp.sum(jnp.exp(p) * (p - q), -1))


class CrossEntropy(ClassifierLoss):
  """A classifier learns from labels alone."""

  has_teacher = False

  def d_loss(self, student, teacher, labels):
    return cross_entropy(student.logits, labels)


@dataclasses.dataclass(frozen=True)
class KnowledgeDistillation(ClassifierLoss):
  """Hinton et al. 2015, section 2, with real pictures.

  Both sides' logits are divided by the temperature T. The gradients of that
  term shrink with T^2, so it is multiplied by T^2.
  """

  temperature: float = field(
    Setting(4.0, "what both sides' logits are divided by", low=1e-3)
  )
  alpha: float = field(
    Setting(
      0.9,
      "weight of the teacher's answers; the rest is the labels'",
      low=0.0,
      high=1.0,
    )
  )

  def d_loss(self, student, teacher, labels):
    t = self.temperature
    soft = t**2 * divergence(teacher.logits / t, student.logits / t)
    hard = cross_entropy(student.logits, labels)
    return self.alpha * soft + (1.0 - self.alpha) * hard


class DataFreeAdversarial(ClassifierLoss):
  """DFAD (Fang et al. 2019): the mean absolute difference of the logits."""

  data_free = True

  def d_loss(self, student, teacher, labels):
    return jnp.mean(jnp.abs(teacher.logits - student.logits))

  def g_loss(self, student, teacher):
    return -self.d_loss(student, teacher, None)


@dataclasses.dataclass(frozen=True)
class ZeroShot(ClassifierLoss):
  """ZSKT (Micaelli and Storkey 2019): KL(teacher || student).

  The attention transfer is a term of the student alone, so that with it the
  game is not symmetric.
  """

  data_free = True

  attention: float = field(
    Setting(
      0.0, "weight of the attention transfer; the authors' own is 250", low=0.0
    )
  )

  @property
  def symmetric(self) -> bool:
    return not self.attention

  def d_loss(self, student, teacher, labels):
    loss = divergence(teacher.logits, student.logits)
    if self.attention:
      loss += self.attention * attention_transfer(student, teacher)
    return loss

  def g_loss(self, student, teacher):
    return -divergence(teacher.logits, student.logits)


def attention_transfer(student, teacher):
  """How far apart two networks look, summed over their stages.

  Zagoruyko and Komodakis 2017, eq. 2: each sample's map of mean squares over
  channels, divided by its norm. As mean squares over samples and positions,
  in which ZSKT's weight of 250 is meant.

  Args:
    student: a Judgement.
    teacher: a Judgement with features of the same names and resolutions.
  """

  def attention(x):
    x = jnp.mean(x**2, -1).reshape(len(x), -1)
    # A dead stage has no attention: the floor keeps its gradient finite.
    return x * jax.lax.rsqrt(jnp.sum(x**2, -1, keepdims=True) + 1e-12)

  return sum(
    jnp.mean((attention(x) - attention(teacher.features[name])) ** 2)
    for name, x in student.features.items()
  )
