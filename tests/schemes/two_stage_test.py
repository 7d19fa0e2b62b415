"""Two-stage steps against the composed functions differentiated whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment, optimizer
from gan_jax.schemes import two_stage, updates
from gan_jax.state import START, Pair, stream
from tests import small

SGD = dict(name='sgd', lr=0.1, b1=0.0)
KEY = jax.random.key(7)


def game(**scheme):
  config = small.config(
    optimizer=dict(generator=SGD, discriminator=SGD), scheme=scheme
  )
  made = experiment.build(config, small.SHAPE, 0)
  return config, made, made.init(jax.random.key(0)).pair


def minus_gradient(params, gradient):
  return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)


def expected(made, pair, batch, d_steps, fakes):
  """Algorithm 1 written out: no pull-backs, D(G(z)) differentiated whole."""
  apply = lambda net, params, x: net.apply({'params': params}, x, train=True)
  judge = lambda d, x: apply(made.objective.discriminator, d, x).logits
  make = lambda g, z: apply(made.objective.generator, g, z)
  g, d = pair.g.params, pair.d.params
  for k in range(d_steps):
    z = made.objective.latents(stream(KEY, f'd{k}'), small.N)
    real = batch.image[k]

    def d_loss(d, z=z, real=real):
      on_real, on_fake = judge(d, real), judge(d, make(g, z))
      return jnp.mean(jnp.log1p(jnp.exp(-on_real))) + jnp.mean(
        jnp.log1p(jnp.exp(on_fake))
      )

    d = minus_gradient(d, jax.grad(d_loss)(d))
  if fakes == 'fresh':
    z = made.objective.latents(stream(KEY, 'g'), small.N)
  g_loss = lambda g: jnp.mean(jnp.log1p(jnp.exp(-judge(d, make(g, z)))))
  return minus_gradient(g, jax.grad(g_loss)(g)), d


@pytest.mark.parametrize('fakes', two_stage.SETTINGS['fakes'].choices)
@pytest.mark.parametrize('d_steps', [1, 3])
def test_step_is_algorithm_1(d_steps, fakes):
  config, made, pair = game(d_steps=d_steps, fakes=fakes)
  assert made.growth.stages[0].draws == d_steps
  batch = small.batch(d_steps)
  step = two_stage.make_step(
    made.objective, optimizer.build(config), config.scheme
  )
  new, metrics = small.compiled(step)(pair, batch, KEY)
  g, d = expected(made, pair, batch, d_steps, fakes)
  np.testing.assert_allclose(small.flat(new.d.params), small.flat(d), atol=1e-6)
  np.testing.assert_allclose(small.flat(new.g.params), small.flat(g), atol=1e-6)
  assert set(metrics) == {'d_loss', 'd_real', 'd_fake', 'g_loss'}


def test_fresh_and_shared_fakes_differ_for_g_only():
  results = {}
  for fakes in two_stage.SETTINGS['fakes'].choices:
    config, made, pair = game(d_steps=1, fakes=fakes)
    step = two_stage.make_step(
      made.objective, optimizer.build(config), config.scheme
    )
    results[fakes], _ = small.compiled(step)(pair, small.batch(1), KEY)
  fresh, shared = results['fresh'], results['shared']
  assert small.identical(fresh.d, shared.d)
  assert not small.identical(fresh.g, shared.g)


def one_behind_the_other(learn, d, batch, keys):
  """`updates.repeated` without its loop."""
  metrics = {}
  for k, key in enumerate(keys):
    own = small.Batch(batch.image[k], batch.label[k])
    d, metrics = learn(d, own, key, k)
  return d, metrics


@pytest.mark.slow
@pytest.mark.parametrize('fakes', two_stage.SETTINGS['fakes'].choices)
def test_a_loop_of_updates_equals_them_written_out_to_the_bit(
  fakes, monkeypatch
):
  """As long as the compiler puts nothing together otherwise: at level 0."""
  config, made, pair = game(d_steps=4, fakes=fakes)
  found = []
  for repeated in (updates.repeated, one_behind_the_other):
    monkeypatch.setattr(updates, 'repeated', repeated)
    step = two_stage.make_step(
      made.objective, optimizer.build(config), config.scheme
    )
    run = jax.jit(
      lambda pair, batch, step=step: step(pair, batch, START, KEY, {}),
      compiler_options={'xla_backend_optimization_level': 0},
    )
    found.append(run(pair, small.batch(4)))
  assert small.identical(*found)


def test_penalties_enter_with_their_weight():
  """With every loss term but r1 equal, the gradients differ by weight x r1."""
  updated = {}
  for weight in (0.0, 0.5, 1.0):
    config = small.config(
      optimizer=dict(generator=SGD, discriminator=SGD),
      penalties=dict(r1=dict(weight=weight)),
    )
    made = experiment.build(config, small.SHAPE, 0)
    pair = made.init(jax.random.key(0)).pair
    step = two_stage.make_step(
      made.objective, optimizer.build(config), config.scheme
    )
    new, metrics = small.compiled(step)(pair, small.batch(1), KEY)
    updated[weight] = small.flat(new.d.params)
    assert ('r1' in metrics) == bool(weight)
  half, whole = (updated[w] - updated[0.0] for w in (0.5, 1.0))
  assert np.abs(whole).max() > 1e-4
  np.testing.assert_allclose(2 * half, whole, atol=1e-6)


def test_clipping_bounds_every_weight_of_d_and_none_of_g():
  config = small.config(penalties=dict(clip=dict(limit=0.01)))
  made = experiment.build(config, small.SHAPE, 0)
  pair = made.init(jax.random.key(0)).pair
  step = two_stage.make_step(
    made.objective, optimizer.build(config), config.scheme
  )
  new, _ = small.compiled(step)(pair, small.batch(1), KEY)
  assert isinstance(new, Pair)
  assert np.abs(small.flat(new.d.params)).max() <= np.float32(0.01)
  assert np.abs(small.flat(new.g.params)).max() > 0.1
