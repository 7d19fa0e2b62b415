"""The smallest game that has every part: shared by tests, compiled once."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.config import defaults, finish
from gan_jax.data.pipeline import Batch
from gan_jax.passes import Round
from gan_jax.state import START

SHAPE = (2,)
N = 8


def config(**sections):
  """A shrunken config of MLPs on points; sections are updated by keyword."""
  c = defaults()
  c.data.source = 'toy:ring8'
  c.generator = dict(name='mlp', width=8, depth=3, slope=0.01)
  c.discriminator = dict(name='mlp', width=8, depth=3, slope=0.01)
  for name, values in sections.items():
    c[name].update(values)
  return finish(c, test=True)


def batch(draws, n=N, seed=0, shape=SHAPE):
  """A batch of normal samples."""
  image = np.random.default_rng(seed).normal(size=(draws, n, *shape))
  return Batch(jnp.float32(image), jnp.zeros((draws, n), jnp.int32))


def now(real, key, at=START, constants=None):
  """The round of an update on these real samples, of class 0."""
  labels = jnp.zeros(len(real), jnp.int32)
  return Round(real, labels, at, key, constants or {})


def compiled(step):
  """A scheme's step as a function of (pair, batch, key), at the start."""
  return jax.jit(lambda pair, batch, key: step(pair, batch, START, key, {}))


def init(network, *args):
  """A network's variables; compiled, but not optimised: it runs once."""
  quick = {'xla_backend_optimization_level': 0}
  make = lambda key: network.init(key, *args, train=True)
  return jax.jit(make, compiler_options=quick)(jax.random.key(0))


def flat(tree):
  """All numbers of a tree in one vector; typed keys left out."""
  return np.concatenate(
    [
      np.ravel(x)
      for x in jax.tree.leaves(tree)
      if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    ]
  )


def identical(a, b):
  """Whether two trees have the same bits everywhere."""
  return flat(a).tobytes() == flat(b).tobytes()
