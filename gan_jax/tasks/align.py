"""GGDR: D's maps of fakes tell the generator's own (Lee et al. 2022).

A decoder behind D ends at a side of G's maps, and learns to point the same way
as these in every pixel, by the cosine over channels. GLeaD's authors compare
with it and combine it with their task, which is `tasks.lead.fake_target =
'features'` (their "Ours*": then a head of D tells the map, not the decoder's
own output). The decoder is GLeaD's, see pyramid.py; its last level is as wide
as G's map, which in StyleGAN2 is as wide as D's.
"""

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting
from gan_jax.tasks import pyramid
from gan_jax.terms import Kind, Term

Array = jax.Array

_LEAST = 1e-8  # of the length of a pixel's channels


def cosine_distance(a: Array, b: Array) -> Array:
  """1 - the cosine over channels, a mean over pixels.

  Args:
    a: [N, H, W, C].
    b: of the same shape.

  Returns:
    [N], in [0, 2]; a pixel without features is at 1.
  """
  size = lambda x: jnp.maximum(jnp.sum(x**2, -1), _LEAST**2)
  cosines = jnp.sum(a * b, -1) * jax.lax.rsqrt(size(a)) * jax.lax.rsqrt(size(b))
  return 1.0 - jnp.mean(cosines, (1, 2))


def term(resolution: int) -> Term:
  """The term of D."""
  name = str(resolution)

  def init(view, key):
    *below, _ = pyramid.as_wide_as(view.on_fake.features, resolution)
    last = resolution, view.made.features[name].shape[-1]
    decoder = pyramid.Pyramid((*below, last))
    return decoder.init(key, view.on_fake.features)['params'], {}

  def value(own, view):
    told = pyramid.of(own).apply({'params': own}, view.on_fake.features)
    off = cosine_distance(told, view.made.features[name])
    return jnp.mean(off), {}, {}

  def check(path, shape, features, made):
    path = f'{path}.resolution'
    pyramid.check_entry(path, resolution, shape[0], made)
    pyramid.check(path, resolution, shape, features)

  reads = frozenset(['features_fake', 'made'])
  return Term('d', value, reads, init, check=check, enters=True)


ALIGN = Kind(
  term,
  "1 - cosine between what D's decoder makes of fakes and G's map (GGDR); the"
  ' paper has 10',
  {'resolution': Setting(64, "side of G's map", choices=pyramid.SIDES)},
)
