"""What the two players of a pair minimise, as pure functions.

Networks, adversarial loss, penalties and latent distribution come together
here; how their gradients are turned into updates is a scheme's business.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses, networks
from gan_jax.losses import PENALTIES, AdversarialLoss
from gan_jax.networks.judgement import Judgement, per_sample
from gan_jax.nn import latent
from gan_jax.state import Player, stream

# The collection of D's stats that holds what the loss carries.
LOSS = 'loss'


def carried(stats):
  """What the loss carries from step to step, out of D's stats."""
  return stats.get(LOSS, {})


class Penalty(NamedTuple):
  """A weighted term of D's loss; `function` as in losses/penalties.py."""

  weight: float
  function: Callable


class Objective(NamedTuple):
  """The game: who plays and what for.

  Attributes:
    generator: a Linen module, (z, labels, train) -> samples.
    discriminator: a Linen module, (samples, labels, train) -> Judgement.
    loss: the adversarial loss.
    penalties: of the discriminator, by name.
    latents: (key, count) -> latent vectors [count, Z].
  """

  generator: nn.Module
  discriminator: nn.Module
  loss: AdversarialLoss
  penalties: Mapping[str, Penalty]
  latents: Callable[[jax.Array, int], jax.Array]

  def generate(self, params, stats, z, labels, key):
    """A training pass of G.

    Args:
      params: of G.
      stats: G's other collections.
      z: [N, Z].
      labels: int32 [N]; ignored by a generator without classes.
      key: for noise inside G.

    Returns:
      Samples [N, ...] and G's new stats.
    """
    return self.generator.apply(
      {'params': params, **stats},
      z,
      labels,
      train=True,
      mutable=list(stats),
      rngs={'noise': stream(key, 'noise')},
    )

  def fakes(self, g: Player, z, labels, key):
    """A training pass of G, ready to be pulled back through.

    Args: as for `generate`.

    Returns:
      Samples [N, ...]; the pull-back that takes their gradient to a tuple of
      the gradient of G's parameters; G's new stats.
    """
    return jax.vjp(
      lambda params: self.generate(params, g.stats, z, labels, key),
      g.params,
      has_aux=True,
    )

  def first_d(self, sample, optimizer, key) -> Player:
    """D's first state, with what the loss carries among its stats."""
    d = initial_player(self.discriminator, sample, optimizer, key)
    start = self.loss.start()
    return d.replace(stats=d.stats | {LOSS: start}) if start else d

  def judge(self, params, stats, samples, labels) -> tuple[Judgement, dict]:
    """A training pass of D: its judgement and its new stats."""
    return self.discriminator.apply(
      {'params': params, **stats},
      samples,
      labels,
      train=True,
      mutable=list(stats),
    )

  def judge_both(self, params, stats, real, fake, labels):
    """D's judgement of real and of fake samples, and its new stats.

    They pass in two batches of their own, as in the released code of all five
    methods but one: batch norm sees them apart, and on a mesh nothing is
    re-sharded.

    Args:
      params: of D.
      stats: D's other collections.
      real: [N, ...].
      fake: [N, ...].
      labels: int32 [N], of both.

    Returns:
      (Judgement of real, Judgement of fake), stats.
    """
    on_real, stats = self.judge(params, stats, real, labels)
    on_fake, stats = self.judge(params, stats, fake, labels)
    return (on_real, on_fake), stats

  def d_loss(self, params, stats, real, fake, labels, key):
    """What D minimises.

    Args:
      params: of D.
      stats: D's other collections.
      real: [N, ...].
      fake: [N, ...]; its gradient is that of the adversarial loss alone.
      labels: int32 [N], of both.
      key: for the penalties' draws.

    Returns:
      The loss, and (D's new stats, metrics).
    """
    (on_real, on_fake), new_stats = self.judge_both(
      params, stats, real, fake, labels
    )
    r, s = on_real.logits, on_fake.logits
    loss = self.loss.d_loss(r, s, carried(stats))
    penalty, metrics = self.penalty(
      params, new_stats, real, fake, per_sample(r), labels, key
    )
    metrics = self.d_metrics(loss + penalty, r, s) | metrics
    metrics['g_loss'] = self.loss.g_loss(r, s, carried(stats))
    return loss + penalty, (self.advance(new_stats, r, s), metrics)

  def penalty(self, params, stats, real, fake, scores, labels, key):
    """The weighted sum of the penalties on D.

    Args:
      params: of D.
      stats: D's other collections.
      real: [N, ...].
      fake: [N, ...], taken as given: no gradient flows into it.
      scores: [N], D's of the real samples.
      labels: int32 [N].
      key: for the draws.

    Returns:
      A scalar, and each penalty by name, unweighted.
    """
    fake = jax.lax.stop_gradient(fake)
    total, metrics = jnp.float32(0.0), {}

    def judge(samples):
      judgement, _ = self.judge(params, stats, samples, labels)
      return per_sample(judgement.logits)

    for name, (weight, function) in self.penalties.items():
      value = function(judge, real, fake, scores, stream(key, name))
      metrics[name] = value
      total += weight * value
    return total, metrics

  def d_metrics(self, loss, r, s) -> dict:
    """What is logged of an update of D with these scores."""
    return {'d_loss': loss, 'd_real': jnp.mean(r), 'd_fake': jnp.mean(s)}

  def advance(self, stats, r, s) -> dict:
    """D's stats once what the loss carries has seen these scores."""
    if LOSS not in stats:
      return stats
    r, s = jax.lax.stop_gradient((r, s))
    return stats | {LOSS: self.loss.advance(r, s, stats[LOSS])}

  def g_loss(self, fake, d_params, d_stats, real, labels):
    """What G minimises, as a function of its samples.

    Args:
      fake: [N, ...].
      d_params: of the opponent, which stays as it is; so do its stats.
      d_stats: the opponent's other collections.
      real: [N, ...], for the losses that compare with them; for the others
        the compiler drops their pass.
      labels: int32 [N], of both.

    Returns:
      The loss and metrics.
    """
    on_real, _ = self.judge(d_params, d_stats, real, labels)
    on_fake, _ = self.judge(d_params, d_stats, fake, labels)
    loss = self.loss.g_loss(on_real.logits, on_fake.logits, carried(d_stats))
    return loss, {'g_loss': loss}


def initial_player(network: nn.Module, sample, optimizer, key) -> Player:
  """A network's first parameters, statistics and optimiser state.

  Args:
    network: a Linen module.
    sample: what it takes beside labels, with a batch axis.
    optimizer: has `init(params)`.
    key: a typed key.
  """
  labels = jnp.zeros(len(sample), jnp.int32)
  keys = {'params': key, 'noise': stream(key, 'noise')}
  variables = network.init(keys, sample, labels, train=True)
  stats, params = flax.core.pop(variables, 'params')
  return Player(params, stats, optimizer.init(params))


def build(config, shape, classes: int) -> Objective:
  """The objective that a validated config describes.

  Args:
    config: the whole run's config.
    shape: of one sample.
    classes: number of classes given to the networks, 0 for none.
  """
  penalties = {}
  for name, section in config.penalties.items():
    settings = dict(section)
    weight = settings.pop('weight', 0.0)
    if name in PENALTIES and weight:
      function = functools.partial(PENALTIES[name], **settings)
      penalties[name] = Penalty(weight, function)

  network = functools.partial(networks.build, shape=shape, classes=classes)
  return Objective(
    generator=network(networks.GENERATORS, config.generator),
    discriminator=network(networks.DISCRIMINATORS, config.discriminator),
    loss=losses.build_loss(config.loss),
    penalties=penalties,
    latents=functools.partial(
      latent.draw,
      size=config.latent.size,
      distribution=config.latent.distribution,
    ),
  )
