"""Gradient accumulation: a minibatch in parts, so that less lies in memory.

`config.train.accumulate`, A: what an update learns from is worked through in A
parts, one after the other; the optimiser moves once, by the mean of their
gradients. Where each sample is judged by itself that is the gradient of the
whole minibatch: latent vectors are drawn for all of it, then cut. What else is
drawn (noise, augmentation, positions of penalties) has a key a part. What looks
at several samples at once sees those of a part: batch norm, minibatch stddev,
contrast, relativistic and Fisher losses. Statistics, and what losses, terms and
augmentations carry, go through the parts in their order, as through A passes.

The parts are a loop of the compiled step. Sample i of part a is the minibatch's
i A + a, so that every device has its share of each part where it lies already:
nothing is gathered. A TPU's compiler sums the gradients of all devices once,
behind the loop, a CPU's in each of its rounds.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.mesh import spread
from gan_jax.passes import Round
from gan_jax.state import stream


def accumulate(
  parts: int, part: Callable, params, stats, samples, key, axes: Any = 0
):
  """The mean gradient of a minibatch's parts.

  Args:
    parts: A, a divisor of the samples on each device.
    part: (stats, samples, key) -> gradients, stats, metrics.
    params: a tree like the gradients.
    stats: what goes from part to part.
    samples: a tree of arrays; None in it is left out.
    key: a tree of typed keys, [] or [n].
    axes: which axis of `samples` the samples lie along, a tree that `samples`
      begins with.

  Returns:
    As `part`, of the whole; of metrics the mean over the parts, or what their
    names say ('..._min', '..._max').
  """
  if parts == 1:
    return part(stats, samples, key)
  each = lambda function, samples: jax.tree.map(
    lambda axis, tree: jax.tree.map(lambda x: function(x, axis), tree),
    axes,
    samples,
  )

  def one(carried, given):
    total, stats = carried
    i, samples = given
    keys = jax.tree.map(lambda key: _of_part(key, i), key)
    gradients, stats, metrics = part(stats, each(spread, samples), keys)
    return (jax.tree.map(jnp.add, total, gradients), stats), metrics

  cut = each(lambda x, axis: _cut(x, parts, axis), samples)
  start = jax.tree.map(jnp.zeros_like, params), stats
  (total, stats), metrics = jax.lax.scan(one, start, (jnp.arange(parts), cut))
  together = lambda name, x: _COMBINED.get(name[-4:], jnp.mean)(x, 0)
  return (
    jax.tree.map(lambda x: x / parts, total),
    stats,
    {name: together(name, x) for name, x in metrics.items()},
  )


_COMBINED = {'_min': jnp.min, '_max': jnp.max}


def _cut(x, parts: int, axis: int):
  """[..., N, ...] -> [A, ..., N / A, ...]."""
  shape = *x.shape[:axis], -1, parts, *x.shape[axis + 1 :]
  return jnp.moveaxis(x.reshape(shape), axis + 1, 0)


def _of_part(key, i):
  """A part's own key, or own keys [n]."""
  fold = lambda key: jax.random.fold_in(stream(key, 'part'), i)
  return jax.vmap(fold)(key) if key.ndim else fold(key)


def of_round(parts: int, part: Callable, params, stats, now: Round, z=None):
  """`accumulate` over what a round has.

  Args:
    parts: A.
    part: (stats, its round, its z) -> gradients, stats, metrics.
    params: a tree like the gradients.
    stats: what goes from part to part.
    now: the round.
    z: latent vectors [N, Z], or None.
  """

  def one(stats, samples, key):
    z, real, labels = samples
    return part(stats, now._replace(real=real, labels=labels, key=key), z)

  samples = z, now.real, now.labels
  return accumulate(parts, one, params, stats, samples, now.key)
