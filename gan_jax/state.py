"""What a training run carries from step to step, and its random streams."""

import zlib
from typing import Any

import flax
import jax

PyTree = Any


@flax.struct.dataclass
class Player:
  """One network in the game, with all that its updates need.

  Attributes:
    params: trainable parameters, a pytree as Flax Linen's `init` gives it.
    stats: all other variable collections by name (running statistics of batch
      norm, vectors of spectral norm, what the loss carries from step to step);
      {} for a network that has none.
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
    step: int32 scalar, steps taken. It also is the position in the data.
    key: the run's root key, never changed; see `step_key`.
    pair: the pair a user gets.
    ema: average of `pair.g`, or None when the config asks for none.
    local_pairs: the stacked local pairs of an ensemble, or None.
    extras: what a method carries over between steps, by name.
  """

  step: jax.Array
  key: jax.Array
  pair: Pair
  ema: Average | None
  local_pairs: Pair | None = None
  extras: PyTree = flax.struct.field(default_factory=dict)


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
