"""What generators make, and how they are entered."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax


class Made(NamedTuple):
  """A generator's answer to a batch of latent vectors.

  Attributes:
    samples: [N, ...], or a tree of such (a picture and a small companion).
    features: inner maps by name, for the terms that compare them with D's; {}
      of a generator that cannot be entered.
  """

  samples: Any
  features: Mapping[str, jax.Array]


class Scales(NamedTuple):
  """A picture and a small companion: FastGAN's sample.

  Attributes:
    image: [N, S, S, C] in [-1, 1].
    small: [N, s, s, C], the same at s = min(128, S) px by a layer of its own.
  """

  image: jax.Array
  small: jax.Array


def picture(samples):
  """What is looked at of samples [N, ...]: of `Scales` the picture."""
  return samples.image if isinstance(samples, Scales) else samples


class Start(NamedTuple):
  """Where a generator is entered, in place of its beginning.

  Attributes:
    level: resolution of the block whose output is replaced.
    features: [N, level, level, channels], in the place of what it gives.
    rgb: [N, level, level, C], the sum of the pictures up to there; None for a
      generator that does not look at it.
  """

  level: int
  features: jax.Array
  rgb: jax.Array | None = None


def can_be_entered(generator) -> bool:
  """Whether a generator is `styles` and then `synthesise`.

  Such a module offers, beside `__call__`, `styles(z, labels, *, train)` and
  `synthesise(styles, start=None, *, train)`, which takes a `Start` and gives a
  `Made`; `__call__` is one after the other. `enters_with` has what it looks at,
  entered midway, beside a map: 'rgb', 'styles'.
  """
  return hasattr(generator, 'synthesise')


def can_be_mixed(generator) -> bool:
  """Whether low maps of a generator's samples scale its high ones.

  Such a module has `gates`, the sides of the maps that are scaled, `drivers(z,
  labels, *, train)`, which gives the low maps by these sides, and `mixed(z,
  drivers, labels, *, train)`, a call with other samples' low maps.
  """
  return hasattr(generator, 'mixed') and bool(generator.gates)


def has_styles(generator) -> bool:
  """Whether each layer of a generator has a w of its own, and w a mean.

  Such a module can be entered; `layers` says how many, `style_size` of how many
  numbers, its `styles` [N, layers, style_size] take `truncation` and `cutoff`.
  """
  return can_be_entered(generator) and hasattr(generator, 'layers')


def has_levels(network) -> bool:
  """Whether a network grows: its passes take `alpha`, a clone a resolution.

  Such a module has a field `resolution`, that of the pictures it works on (0:
  of `shape`), and parameters of all levels whatever that is.
  """
  return 'resolution' in getattr(network, '__dataclass_fields__', {})
