"""Weight sharing among local pairs: SGAN's N-SW ensembles.

About half of each network's parameters are one for the N networks of a role
(Chavdarova and Fleuret 2018, section 4 and B.1). Which half the paper calls
"low-level features": here, the layers nearest the picture, G's last and D's
first. Every pair keeps its copy of a shared layer; the copies begin equal and
move by the same gradient, that of all pairs together, so they stay equal.
"""

import functools
import logging
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.errors import UserError
from gan_jax.optimizer import Optimizer, Optimizers
from gan_jax.state import At, Player

log = logging.getLogger('gan_jax')


def layers(network, *inputs) -> dict[str, int]:
  """The parameter counts of a network's layers, in the order of its pass.

  Args:
    network: a Linen module; its own children are its layers.
    *inputs: what it takes, with a batch axis.
  """
  counts = {}

  def init(key):
    keys = {'params': key, 'noise': key}
    params = network.init(keys, *inputs, train=True)['params']
    # In here still in order of creation; a tree that JAX returns is sorted.
    for name, layer in params.items():
      counts[name] = sum(x.size for x in jax.tree.leaves(layer))

  jax.eval_shape(init, jax.random.key(0))
  return counts


def nearest(counts: dict[str, int], share: float) -> frozenset[str]:
  """The first layers that hold about a share of all parameters.

  Args:
    counts: parameters by layer, the one nearest the picture first.
    share: in (0, 1).

  Returns:
    The names of at least one layer, and not of all.

  Raises:
    UserError: if there are fewer than two layers to choose from.
  """
  names, total = list(counts), sum(counts.values())
  if len(names) < 2:
    raise UserError(
      'config.ensemble.weight_sharing needs networks of two layers or more:'
      ' set it to 0.0.'
    )
  held = [
    sum(counts[n] for n in names[:cut]) / total for cut in range(1, len(names))
  ]
  cut = min(range(len(held)), key=lambda i: abs(held[i] - share)) + 1
  log.info(
    'Local pairs share %s: %.0f%% of %s parameters.',
    ', '.join(names[:cut]),
    100 * held[cut - 1],
    f'{total:,}',
  )
  return frozenset(names[:cut])


class Shared(NamedTuple):
  """The names of the layers that the networks of a role share."""

  g: frozenset[str]
  d: frozenset[str]


def choose(objective, z, sample, share: float) -> Shared | None:
  """The layers that a share of the parameters means for both networks.

  Args:
    objective: the game.
    z: a batch of latent vectors.
    sample: a batch of samples.
    share: `config.ensemble.weight_sharing`; 0.0 for none.
  """
  if not share:
    return None
  labels = jnp.zeros(len(z), jnp.int32)
  g = layers(objective.generator, z, labels)
  d = layers(objective.discriminator, sample, labels)
  return Shared(nearest(dict(reversed(g.items())), share), nearest(d, share))


def tie(params, shared: frozenset[str]):
  """Stacked parameters [pairs, ...], those of shared layers all the first's."""
  first = lambda x: jnp.broadcast_to(x[:1], x.shape)
  return {
    name: jax.tree.map(first, layer) if name in shared else layer
    for name, layer in params.items()
  }


class TiedOptimizer(NamedTuple):
  """An update rule under which shared layers stay equal.

  Attributes:
    rule: of one network.
    shared: names of the shared layers.
    gradient: a tree of one pair -> that of all pairs together.
    mean: a tree of one pair -> the mean over all pairs, for statistics.
  """

  rule: Optimizer
  shared: frozenset[str]
  gradient: Callable
  mean: Callable

  def init(self, params):
    """The optimiser state for fresh parameters."""
    return self.rule.init(params)

  def update(
    self, player: Player, gradient, stats, at: At, term: str = ''
  ) -> Player:
    """As `Optimizer.update`; to be called under a `vmap` over the pairs."""
    together = lambda meet, tree: {
      name: meet(layer) if name in self.shared else layer
      for name, layer in tree.items()
    }
    stats = {name: together(self.mean, tree) for name, tree in stats.items()}
    gradient = together(self.gradient, gradient)
    return self.rule.update(player, gradient, stats, at, term)


def tied(
  rules: Optimizers, shared: Shared, axes: list[str], summed: bool
) -> Optimizers:
  """The update rules of a pair under which shared layers stay equal.

  Args:
    rules: those of a pair without shared layers.
    shared: layers.
    axes: named axes that the pairs lie along, of `vmap` and of a mesh.
    summed: whether a shared layer's gradient is the sum over the pairs, as the
      paper has it, or their mean.
  """
  over_all = lambda reduce: lambda tree: functools.reduce(reduce, axes, tree)
  average = over_all(lax.pmean)
  meet = over_all(lax.psum) if summed else average
  return Optimizers(
    TiedOptimizer(rules.g, shared.g, meet, average),
    TiedOptimizer(rules.d, shared.d, meet, average),
  )
