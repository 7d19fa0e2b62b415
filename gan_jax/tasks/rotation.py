"""Rotation: D tells by how many quarters a real picture was turned.

Chen et al. 2019 (SS-GAN), equation 3, which FastGAN compares with (section
4.2): cross-entropy of four classes, by a linear layer on D's maps. There every
picture is turned in all four ways; here by one drawn for it, the same in
expectation at a quarter of the passes. As in FastGAN it is a task of D only,
without SS-GAN's term of G.
"""

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.state import stream
from gan_jax.tasks import heads
from gan_jax.tasks.ac_gan import cross_entropy
from gan_jax.terms import Kind, Term

Array = jax.Array

TURNS = 4


def turned(pictures: Array, quarters: Array) -> Array:
  """Pictures [N, S, S, C] turned by quarters [N], 0 to 3, anticlockwise."""
  ways = jnp.stack([jnp.rot90(pictures, k, (1, 2)) for k in range(TURNS)])
  return ways[quarters, jnp.arange(len(pictures))]


def term(features) -> Term:
  """The term of D."""
  head = heads.Head(TURNS)

  def check(path, shape, found, made):
    heads.check('features', features)(path, shape, found, made)
    if shape[0] != shape[1]:
      raise UserError(
        f'config.{path} turns pictures by quarters, and these have the shape'
        f' {"x".join(map(str, shape))}: set config.data.resolution to the side'
        f' of squares, or config.{path}.weight = 0.0.'
      )

  def value(own, view):
    key, count = stream(view.key, 'quarters'), len(view.real)
    quarters = jax.random.randint(key, (count,), 0, TURNS)
    maps = heads.chosen(view.play(turned(view.real, quarters)), features)
    logits = head.apply({'params': own}, maps)
    return cross_entropy(logits, quarters), view.carried, {}

  return Term('d', value, init=heads.init(head, features), check=check)


ROTATION = Kind(
  term,
  'cross-entropy of telling how a real picture was turned',
  {'features': heads.FEATURES},
)
