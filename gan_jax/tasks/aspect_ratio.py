"""Aspect ratio: D tells how a real picture was stretched.

FastGAN's Table 6 (b): D is trained "to predict the real image's original
aspect-ratio since they are reshaped to square when fed to D". Here pictures
keep their proportions and are cut to squares, so a ratio is given to each one:
a rectangle of ratio 2^u, u uniform in [-1, 1], as large as it can be and
anywhere, is stretched to the square, and a linear head on D's maps tells u, by
squared error (the paper says neither the range nor the loss).
"""

import jax
import jax.numpy as jnp

from gan_jax.state import stream
from gan_jax.tasks import heads
from gan_jax.terms import Kind, Term

Array = jax.Array


def stretched(pictures: Array, u: Array, key: Array) -> Array:
  """Rectangles of ratios width to height 2^u, stretched to the whole.

  Args:
    pictures: [N, H, W, C].
    u: [N].
    key: of where they lie.

  Returns:
    [N, H, W, C].
  """
  size = jnp.minimum(1.0, jnp.stack([2.0**-u, 2.0**u], 1))
  return heads.windows(pictures, heads.anywhere(key, size), size)


def term(features) -> Term:
  """The term of D."""
  head = heads.Head(1)

  def value(own, view):
    u = jax.random.uniform(stream(view.key, 'u'), (len(view.real),), minval=-1)
    pictures = stretched(view.real, u, stream(view.key, 'corner'))
    maps = heads.chosen(view.play(pictures), features)
    guess = head.apply({'params': own}, maps)[:, 0]
    return jnp.mean((guess - u) ** 2), view.carried, {}

  return Term(
    'd',
    value,
    init=heads.init(head, features),
    check=heads.check('features', features),
  )


ASPECT_RATIO = Kind(
  term,
  "D's squared error on the base-2 logarithm of a real picture's aspect ratio",
  {'features': heads.FEATURES},
)
