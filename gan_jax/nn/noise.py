"""Multiplicative noise that grows as D's answer does (ProGAN, appendix B)."""

import math

import jax
import jax.numpy as jnp

DECAY = 0.9


def advance(average, score):
  """The running mean of D's answer, after an update in which it was `score`.

  d^_t = 0.1 d + 0.9 d^_(t-1), with d clipped to [0, 1]. The released code
  differs: what it averages is not D's answer but, by a slip of an index, D's
  loss.

  Args:
    average: scalar, 0 at first.
    score: scalar.
  """
  return DECAY * average + (1.0 - DECAY) * jnp.clip(score, 0.0, 1.0)


def strength(average, factor: float):
  """Of the noise: factor * max(0, d^ - 1/2)^2; the paper's factor is 0.2."""
  return factor * jnp.maximum(average - 0.5, 0.0) ** 2


def multiplied(x, strength, key):
  """Every channel of every sample times 1 + strength sqrt(C) N(0, 1).

  The root is the released code's, the paper says nothing of channels.

  Args:
    x: [N, H, W, C].
    strength: scalar.
    key: of the draw.
  """
  n, *_, channels = x.shape
  draw = jax.random.normal(key, (n, 1, 1, channels))
  return x * (1.0 + strength * math.sqrt(channels) * draw)
