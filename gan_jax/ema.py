"""The running average of a generator."""

import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from gan_jax.nn import norm, spectral
from gan_jax.settings import Setting
from gan_jax.state import At, Average, Player
from gan_jax.terms import network_only

SETTINGS = {
  'name': Setting(
    'half_life',
    'how the average of G forgets: by images, by steps; none: there is none',
    choices=('half_life', 'decay', 'none'),
  ),
  'half_life': Setting(
    10_000.0,
    'real images after which a state counts half',
    low=1.0,
    when={'name': ('half_life',)},
  ),
  'ramp_up': Setting(
    0.05,
    'the half-life is at most this share of the images before; 0.0: no limit',
    low=0.0,
    when={'name': ('half_life',)},
  ),
  'decay': Setting(
    0.999,
    'weight of the old average a step',
    low=0.0,
    below=1.0,
    when={'name': ('decay',)},
  ),
}

# What `settled` makes anew: batch norms' statistics.
MEASURED = norm.COLLECTION
# What comes about on the way, in training passes of the average.
_PASSED = (MEASURED, spectral.COLLECTION)


def start(player: Player) -> Average:
  """The average at step 0: a copy of the network, its terms' heads left out.

  A copy in memory too: a donated state must not hold one buffer twice.
  """
  return jax.tree.map(jnp.copy, _network(player))


def _network(player: Player) -> Average:
  return Average(network_only(player.params), network_only(player.stats))


def decay(section, at: At, images_per_step: int) -> jax.Array:
  """The weight of the old average at a step.

  Args:
    section: `config.ema`. With name 'half_life' the weight is such that an
      image's influence has halved `half_life` images later; early on the
      half-life is at most `ramp_up` times the images before the step, so that
      the start of training is soon forgotten. StyleGAN2's released code counts
      them so too; the first step's weight is then 0. With 'decay' it is the
      number given, as in ProGAN and FastGAN, which have no such ramp.
    at: the time of the step.
    images_per_step: real images that it counts for.

  Returns:
    A float32 scalar in [0, 1).
  """
  if section.name == 'decay':
    return jnp.float32(section.decay)
  half_life = section.half_life
  if section.ramp_up:
    images = at.images.astype(jnp.float32)
    half_life = jnp.minimum(half_life, section.ramp_up * images)
  # Before the first image the half-life is 0: nothing is kept.
  return 0.5 ** (images_per_step / jnp.maximum(half_life, 1e-8))


def update(
  average: Average, player: Player, weight, copied: tuple[str, ...] = ()
) -> Average:
  """Weight * average + (1 - weight) * player, leaf by leaf.

  Args:
    average: so far.
    player: after the step.
    weight: see `decay`.
    copied: collections of statistics that are averages already, such as
      StyleGAN2's w average: they are taken over as they are.
  """
  mix = lambda old, new: new + weight * (old - new)
  new = _network(player)
  mixed = jax.tree.map(mix, average, new)
  kept = {name: new.stats[name] for name in copied if name in new.stats}
  return mixed.replace(stats=mixed.stats | kept)


@jax.jit
def _alike(a, b):
  same = jax.tree.map(lambda x, y: (x == y).all(), a, b)
  return jnp.stack(jax.tree.leaves(same)).all()


def is_copy(variables, live) -> bool:
  """Whether an average has the very weights of its network.

  So it is before the first update. Then the statistics are its own.

  Args:
    variables: of the average.
    live: of the network.
  """
  return bool(_alike(variables['params'], network_only(live['params'])))


def settled(variables, train: Callable, inputs: Iterable):
  """An average's variables with batch statistics that are its own.

  The maps of an average of networks are smaller than those of the networks that
  it is the average of, so that their statistics, or an average of these, do not
  fit: where a network learns fast it then gives one grey picture for whatever
  latent vector. So the statistics are those of training passes of the average
  (Izmailov et al. 2018, section 3.2), and spectral norms' vectors are what such
  passes make of them. The released FastGAN, for that reason, leaves its average
  in training mode, where a sample depends on the others of its batch.

  Args:
    variables: of the average; with a collection `MEASURED`.
    train: (variables, *input) -> variables as a training pass leaves them.
    inputs: of the passes, in order; at least one.

  Returns:
    The variables, which are a function of the inputs and of what is learned.
  """
  zeros = jax.tree.map(jnp.zeros_like, variables[MEASURED])
  own, kept = variables | {MEASURED: zeros}, 1.0
  for one in inputs:
    new = train(own, *one)
    own |= {name: new[name] for name in _PASSED if name in new}
    kept *= 1.0 - norm.MOMENTUM
  # Running averages that began with zero, as Adam's do.
  whole = functools.partial(jnp.multiply, 1.0 / (1.0 - kept))
  return own | {MEASURED: jax.tree.map(whole, own[MEASURED])}
