"""What a training run carries from step to step, its clocks, its randomness."""

import zlib
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any


@flax.struct.dataclass
class Player:
  """One network in the game, with all that its updates need.

  Attributes:
    params: trainable parameters, a pytree as Flax Linen's `init` gives it. The
      entry 'terms', if there is one, has those that terms of the player's loss
      bring along (decoders, heads), by term; the network does not look at it.
    stats: all other variable collections by name (running statistics of batch
      norm, vectors of spectral norm, what the loss, its terms and the
      augmentation carry from step to step); {} for a network that has none.
    opt: the optimiser's state for `params`.
  """

  params: PyTree
  stats: PyTree
  opt: PyTree

  @property
  def variables(self):
    """The dictionary that Linen's `apply` takes."""
    return {'params': self.params, **self.stats}


@flax.struct.dataclass
class Pair:
  """A generator and the discriminator it plays against."""

  g: Player
  d: Player


@flax.struct.dataclass
class Average:
  """The running average of a generator: weights and batch statistics.

  The statistics are averaged with the weights they belong to: weights of one
  age with statistics of another give pictures that neither network made.
  """

  params: PyTree
  stats: PyTree

  @property
  def variables(self):
    """The dictionary that Linen's `apply` takes."""
    return {'params': self.params, **self.stats}


@flax.struct.dataclass
class TrainState:
  """Everything a checkpoint holds; with the config, all that a run is.

  Attributes:
    step: int32 scalar, steps taken; see `Span` for the other two clocks.
    key: the run's root key, never changed; see `step_key`.
    pair: the pair a user gets.
    ema: average of `pair.g`, or None when the config asks for none.
    local_pairs: the stacked local pairs of an ensemble, or None.
    messengers: its stacked messengers where they remember, see
      `schemes.messengers`, or None.
  """

  step: jax.Array
  key: jax.Array
  pair: Pair
  ema: Average | None
  local_pairs: Pair | None = None
  messengers: Player | None = None


class Stage(NamedTuple):
  """What one compiled step is made for: all that is static in time.

  A run without growth has one stage. A fade and the stabilising after it share
  a stage, and so a program: they differ in their `Span` only.

  Attributes:
    resolution: side of the pictures that the networks work on; 0 for the
      data's own, or for data that have none.
    batch: N, real images in a minibatch.
    draws: K, real minibatches that a step uses up, all pairs together.
    images: real images that a step counts for, as one pair sees them.
    lr: learning rate of both players; 0.0: each has its own.
  """

  resolution: int
  batch: int
  draws: int
  images: int
  lr: float = 0.0


class Span(NamedTuple):
  """Where a stretch of training begins, on all three clocks; traced.

  Steps, images and samples are equal up to a factor only while batch and draws
  never change. So they are counted apart, from the first step of each stretch.

  Attributes:
    first_step: steps before this stretch.
    first_image: real images shown before it.
    first_sample: samples of the data drawn before it (an ensemble's pairs draw
      their own).
    fade_from: images shown when a new level begins to fade in.
    fade_images: how many images that takes; 0: nothing fades.
  """

  first_step: int = 0
  first_image: int = 0
  first_sample: int = 0
  fade_from: int = 0
  fade_images: int = 0


class At(NamedTuple):
  """The time of an update.

  Attributes:
    step: int32 scalar, steps taken before this one.
    images: int32 scalar, real images shown before this update. float32 stops
      counting at 2^24: subtract before it becomes a float.
    alpha: float32 scalar in [0, 1], how far the newest level has faded in; 1
      where nothing fades.
  """

  step: jax.Array
  images: jax.Array
  alpha: jax.Array

  def later(self, images) -> 'At':
    """The time of an update of the same step, some images later."""
    return self._replace(images=self.images + images)


# Before the first step. Of NumPy: to import a module must not start a device.
START = At(np.int32(0), np.int32(0), np.float32(1.0))


def time_of(step, span: Span, stage: Stage) -> At:
  """The time of a step.

  Args:
    step: int32 scalar, steps taken before it.
    span: the stretch that the step belongs to.
    stage: the stage that the stretch belongs to.
  """
  images = span.first_image + (step - span.first_step) * stage.images
  faded = (images - span.fade_from).astype(jnp.float32)
  share = jnp.clip(faded / jnp.maximum(span.fade_images, 1), 0.0, 1.0)
  return At(step, images, jnp.where(span.fade_images > 0, share, 1.0))


def stream(key: jax.Array, name: str) -> jax.Array:
  """The named random stream of a key.

  Streams are told apart by name, not by order, so that a new draw in one place
  changes no number in another.

  Args:
    key: a typed key.
    name: what is drawn: 'latent', 'noise', 'penalty', ...

  Returns:
    A typed key; the same for the same (key, name) on every machine.
  """
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


def step_key(state: TrainState) -> jax.Array:
  """The key of the step about to be taken: a pure function of its number."""
  return jax.random.fold_in(state.key, state.step)
