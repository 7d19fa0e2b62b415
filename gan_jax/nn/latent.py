"""Latent vectors: what goes into a generator."""

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting
from gan_jax.state import stream

DISTRIBUTIONS = {
  'normal': jax.random.normal,
  # DCGAN's own choice (Radford et al. 2016); its ports take 'normal'.
  'uniform': lambda key, shape: jax.random.uniform(
    key, shape, minval=-1.0, maxval=1.0
  ),
}

SETTINGS = {
  'size': Setting(100, 'numbers of a latent vector', low=1, high=2**20),
  'distribution': Setting(
    'normal', 'of each of them; uniform: in [-1, 1]', choices=DISTRIBUTIONS
  ),
}


def draw(key: jax.Array, count: int, size: int, distribution: str) -> jax.Array:
  """A batch of latent vectors, [count, size] float32."""
  return DISTRIBUTIONS[distribution](stream(key, 'latent'), (count, size))


def by_seed(seeds, size: int, distribution: str) -> jax.Array:
  """One latent vector a seed, [len(seeds), size].

  Row k depends on seeds[k] alone: not on the run, on the other seeds, on how
  many there are or on the devices they are drawn on.
  """
  one = lambda seed: draw(jax.random.key(seed), 1, size, distribution)[0]
  return jax.vmap(one)(jnp.asarray(seeds, jnp.uint32))
