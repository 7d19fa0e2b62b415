"""Pairs of an ensemble, some at a time.

All at once under `vmap` fills a GPU or a TPU with networks that are small for
it, and has all that lies between the forward and the backward passes of all
pairs in memory. One group after the other has it of a group. On a CPU, which a
single pair keeps busy, that is as fast or faster, since it fits the caches, and
5-S-DCGAN-32 takes half the memory (docs/results.md).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Groups(NamedTuple):
  """How functions of a pair are called for n of them.

  Attributes:
    axes: of the arguments, as of `jax.vmap`: 0 where each pair has its own
      [n, ...], None where all have the same.
    at_once: pairs of a group at the most, a group the largest divisor of n that
      is not above it; 0: one where the step is compiled for a CPU, else all.
  """

  axes: tuple
  at_once: int = 0

  def map(self, one: Callable) -> Callable:
    """A function of all pairs: what `one` gives for each, [n, ...]."""

    def turns(group):
      return lambda *args: self._each(jax.vmap(one, self.axes), group, args)

    return self._chosen(turns)

  def gradient(self, one: Callable) -> Callable:
    """A function of parameters and all pairs: the gradient of a sum of losses.

    Convolutions see the minibatches of a group as a single one: one gradient of
    a sum, and not a sum of gradients.

    Args:
      one: (parameters, of one pair...) -> (loss, aux).

    Returns:
      (parameters, of all pairs...) -> (gradient, aux [n, ...]).
    """

    def of_group(params, *own):
      def total(params):
        each = lambda *own: one(params, *own)
        losses, aux = jax.vmap(each, self.axes)(*own)
        return jnp.sum(losses), aux

      return jax.grad(total, has_aux=True)(params)

    def turns(group):
      return lambda params, *args: self._sum(of_group, group, params, args)

    return self._chosen(turns)

  def _chosen(self, turns: Callable) -> Callable:
    """`turns(at_once)`; where that is 0, by the platform compiled for."""
    if self.at_once:
      return turns(self.at_once)
    whole, single = turns(0), turns(1)
    return lambda *args: lax.platform_dependent(
      *args, cpu=single, default=whole
    )

  def _cut(self, args, group: int):
    """Arguments by groups, [n / group, group, ...]; None where all share them.

    Returns:
      These; and n.
    """
    own = [a for a, axis in zip(args, self.axes, strict=True) if axis == 0]
    count = len(jax.tree.leaves(own)[0])
    group = max(k for k in range(1, (group or count) + 1) if count % k == 0)
    cut = lambda x: x.reshape(-1, group, *x.shape[1:])
    parts = [
      jax.tree.map(cut, a) if axis == 0 else None
      for a, axis in zip(args, self.axes, strict=True)
    ]
    return parts, count

  def _filled(self, args, part):
    """The arguments of one group."""
    return [
      a if axis is None else own
      for a, own, axis in zip(args, part, self.axes, strict=True)
    ]

  def _each(self, together: Callable, group: int, args):
    parts, count = self._cut(args, group)
    turn = lambda part: together(*self._filled(args, part))
    return _joined(lax.map(turn, parts), count)

  def _sum(self, of_group: Callable, group: int, params, args):
    parts, count = self._cut(args, group)

    def turn(total, part):
      gradient, aux = of_group(params, *self._filled(args, part))
      return jax.tree.map(jnp.add, total, gradient), aux

    zeros = jax.tree.map(jnp.zeros_like, params)
    gradient, aux = lax.scan(turn, zeros, parts)
    return gradient, _joined(aux, count)


def _joined(found, count: int):
  """What groups give, [n / group, group, ...], as [n, ...]."""
  return jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), found)
