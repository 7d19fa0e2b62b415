"""Contrast: D tells each real picture from the others, however it is cut.

FastGAN's Table 6 (a): "we treat each real image as a unique class and let D
classify them". The paper says no more; this is the standard form, NT-Xent
(Chen et al. 2020, SimCLR, equation 1): of two views of each picture of a batch
every one has to find its partner among all others, by the cosine of what a
head makes of D's maps. The first view is what D saw, the second one the picture
cut to at least half its sides, mirrored or not, and augmented by a draw of its
own.
"""

import jax
import jax.numpy as jnp

from gan_jax.data.augment import mirror
from gan_jax.settings import Setting
from gan_jax.state import stream
from gan_jax.tasks import heads
from gan_jax.terms import Kind, Term

Array = jax.Array

WIDTH = 128  # of the vectors that are compared, as in SimCLR
LEAST = 0.5  # of a picture's sides, in the second view


def nt_xent(a: Array, b: Array, temperature: float) -> Array:
  """Equation 1 of SimCLR, the mean over both views, a scalar.

  Args:
    a: vectors [N, D] of the first views.
    b: of the second ones, row by row of the same pictures.
    temperature: divides cosines; above 0.
  """
  x = jnp.concatenate([a, b])
  square = jnp.sum(x**2, 1, keepdims=True)
  x = x * jax.lax.rsqrt(square + 1e-12)
  cosines = jnp.einsum('nd,md->nm', x, x, precision=jax.lax.Precision.HIGHEST)
  count = len(x)
  itself = jnp.eye(count, dtype=bool)
  logits = jnp.where(itself, -jnp.inf, cosines / temperature)
  partner = (jnp.arange(count) + count // 2) % count
  right = logits[jnp.arange(count), partner]
  return jnp.mean(jax.nn.logsumexp(logits, axis=1) - right)


def other_view(pictures: Array, key: Array) -> Array:
  """Another view of each of some pictures [N, H, W, C]."""
  count = len(pictures)
  side = jax.random.uniform(stream(key, 'side'), (count, 1), minval=LEAST)
  size = jnp.broadcast_to(side, (count, 2))
  corner = heads.anywhere(stream(key, 'corner'), size)
  turned = jax.random.bernoulli(stream(key, 'mirror'), shape=(count,))
  return mirror(heads.windows(pictures, corner, size), turned)


def term(features, temperature: float) -> Term:
  """The term of D."""

  def value(own, view):
    head = heads.Head(WIDTH, own['hidden']['bias'].size)
    answer = lambda judgement: head.apply(
      {'params': own}, heads.chosen(judgement, features)
    )
    other = view.play(other_view(view.real, view.key))
    far = nt_xent(answer(view.on_real), answer(other), temperature)
    return far, view.carried, {}

  return Term(
    'd',
    value,
    frozenset(['features_real']),
    heads.init(heads.Head(WIDTH, WIDTH), features),
    check=heads.check('features', features),
  )


CONTRASTIVE = Kind(
  term,
  'cross-entropy of telling each real picture from the others',
  {
    'features': heads.FEATURES,
    'temperature': Setting(
      0.1, 'divides the cosines that are compared', low=0.01, high=100.0
    ),
  },
)
