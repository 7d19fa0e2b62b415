"""Samples that are a picture and a companion, through schemes and sampler."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment, networks
from gan_jax.mesh import one_device
from gan_jax.networks import Judgement, Scales
from gan_jax.observe.scores import Judge
from gan_jax.sampler import Sampler
from gan_jax.state import step_key, stream
from tests import small

SHAPE, SIDE, N = (4, 4, 1), 2, 6


class Pair(nn.Module):
  """A generator of the contract, with statistics that averages take over."""

  averages = ('spectral',)

  shape: tuple
  classes: int = 0

  @nn.compact
  def __call__(self, z, labels=None, *, train):
    count = self.variable('spectral', 'passes', lambda: jnp.float32(0.0))
    if train and not self.is_initializing():
      count.value += 1.0
    x = jnp.tanh(nn.Dense(5)(z))
    image = nn.Dense(16)(x).reshape(-1, *SHAPE)
    return Scales(image, nn.Dense(4)(x).reshape(-1, SIDE, SIDE, 1))


class Both(nn.Module):
  """A discriminator that weighs picture and companion."""

  per_sample = True

  shape: tuple
  classes: int = 0

  @nn.compact
  def __call__(self, x, labels=None, *, train):
    if not isinstance(x, Scales):
      x = Scales(x, x[:, ::2, ::2])
    flat = [part.reshape(len(part), -1) for part in x]
    hidden = jnp.tanh(nn.Dense(6)(jnp.concatenate(flat, -1)))
    return Judgement(nn.Dense(1)(hidden)[:, 0], {'hidden': hidden})


@pytest.fixture(name='build')
def _build(monkeypatch):
  """A config's experiment, its first state and its step."""
  monkeypatch.setitem(networks.GENERATORS, 'pair', Pair)
  monkeypatch.setitem(networks.DISCRIMINATORS, 'both', Both)
  sgd = dict(name='sgd', lr=0.5, b1=0.0)

  def build(**sections):
    config = small.config(
      data=dict(source='digits'),
      latent=dict(size=3),
      generator=dict(name='pair'),
      discriminator=dict(name='both'),
      optimizer=dict(generator=sgd, discriminator=sgd),
      ema=dict(name='decay', decay=0.5),
      **sections,
    )
    for player in ('generator', 'discriminator'):  # no MLP's settings
      with config.unlocked():
        config[player] = dict(name=config[player].name)
    made = experiment.build(config, SHAPE, 0)
    state = experiment.initial_state(made, 0, one_device())
    (span,), (stage,), _ = made.growth
    batch = small.batch(stage.draws, N, shape=SHAPE)
    new, metrics = jax.jit(made.make_step(stage))(state, {}, batch, span)
    return config, made, state, batch, new, metrics

  return build


@pytest.mark.parametrize(
  'sections',
  [
    dict(scheme=dict(name='two_stage')),
    dict(scheme=dict(name='simultaneous')),
    dict(scheme=dict(name='one_stage')),
    dict(scheme=dict(name='one_stage'), loss=dict(name='wasserstein')),
    dict(ensemble=dict(pairs=2)),
  ],
  ids=['two', 'simultaneous', 'one', 'one symmetric', 'ensemble'],
)
def test_both_parts_of_a_sample_teach_g(build, sections):
  config, made, state, _, new, metrics = build(**sections)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(metrics))
  pairs = [(state.pair, new.pair)]
  if config.ensemble.pairs:
    pairs.append((state.local_pairs, new.local_pairs))
  for old, after in pairs:
    for layer in ('Dense_1', 'Dense_2'):  # of the picture, of the companion
      before = old.g.params[layer]['kernel']
      assert np.abs(after.g.params[layer]['kernel'] - before).max() > 1e-6
  # Half of the way; the collection in `averages` is taken over.
  trees = new.ema.params, state.ema.params, new.pair.g.params
  for average, old, after in zip(*map(jax.tree.leaves, trees), strict=True):
    np.testing.assert_allclose(average, (old + after) / 2, rtol=1e-5, atol=1e-6)
  passes = new.pair.g.stats['spectral']['passes']
  assert new.ema.stats['spectral']['passes'] == passes > 0


@pytest.mark.parametrize('scheme', ['one_stage', 'simultaneous'])
def test_g_learns_by_the_gradient_of_the_whole(build, scheme):
  """From one pass: as the composed function differentiated, with SGD."""
  _, made, state, _, new, _ = build(
    scheme=dict(name=scheme), loss=dict(name='non_saturating')
  )
  game, pair = made.objective, state.pair
  z = game.latents(stream(step_key(state), 'latent'), N)

  def loss(params):
    own = {'params': params, **pair.g.stats}
    fake, _ = game.generator.apply(own, z, train=True, mutable=['spectral'])
    d = {'params': pair.d.params}
    scores = game.discriminator.apply(d, fake, train=True).logits
    return jnp.mean(jax.nn.softplus(-scores))

  wanted = jax.tree.map(
    lambda p, g: p - 0.5 * g, pair.g.params, jax.grad(loss)(pair.g.params)
  )
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  jax.tree.map(close, new.pair.g.params, wanted)


def test_samples_are_pictures_and_d_is_asked_about_what_g_made(build):
  config, made, _, _, state, _ = build(ensemble=dict(pairs=2))
  sampler, judge = Sampler(config, made), Judge(made)
  variables = sampler.variables(state)
  z, labels = sampler.latents(range(3)), sampler.labels(range(3))
  own = made.objective.generator.apply(variables, z, train=False)
  image = sampler(variables, range(3))
  np.testing.assert_allclose(image, own.image, rtol=1e-5, atol=1e-6)
  assert sampler.generate(variables, z, labels).shape == (3, *SHAPE)
  assert sampler.local(state, range(3)).shape == (2, 3, *SHAPE)
  d = state.pair.d.variables
  scores = judge.fakes(d, sampler.made(variables, z, labels), labels)
  wanted = made.objective.discriminator.apply(d, own, train=False).logits
  np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-6)
  # Reduced, the picture is another companion than G's.
  assert np.abs(judge.fakes(d, own.image, labels) - wanted).max() > 1e-4
