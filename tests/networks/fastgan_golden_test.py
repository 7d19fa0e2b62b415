"""FastGAN's networks against its released code, run in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import convert
from gan_jax.networks import Scales, fastgan
from gan_jax.nn.levels import nearest
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('fastgan')
CASES = ABOUT['cases']

# Forward passes: the reference README's tolerance for float32.
FORWARD = 1e-4
GRADIENT = 1e-6  # in float64
QUICK = {'xla_backend_optimization_level': 0}
COLLECTIONS = ['batch_stats', 'spectral']
# Layers of a level that noise follows, by their released numbers.
NOISES = {'2': '0', '6': '1'}


def unit(x):
  return x / np.linalg.norm(x)


@functools.cache
def weights(name):
  """A reference network's arrays by released name."""
  found = rule.weights(ABOUT['nets'][name])
  for row in ABOUT['nets'][name]['params']:
    layer, _, kind = row['name'].rpartition('.')
    if row.get('unit'):
      found[row['name']] = unit(found[row['name']])
    if kind == 'weight_v':
      kernel = found[f'{layer}.weight_orig']
      if layer == 'init.init.0':
        kernel = kernel.swapaxes(0, 1)
      u = found[f'{layer}.weight_u']
      found[row['name']] = unit(u @ kernel.reshape(len(kernel), -1))
  return found


def kind(name):
  return f'fastgan.{"generator" if name[0] == "G" else "discriminator"}'


@functools.cache
def network(name):
  """(module, variables) of a reference network, by the converter alone."""
  return convert.released(kind(name), weights(name))


def value(key):
  return inputs.value(ABOUT, ARRAYS, key)


def error(ours, case, name):
  return rule.relative_error(ours, *rule.stored(ABOUT, ARRAYS, case, name))


def noise_of(case):
  """What `Noise.draw` gives in a case, in place of its draws."""
  given = {
    f'noise_{layer.removeprefix("feat_").split(".")[0]}_{NOISES[layer[-1]]}': (
      value(key)
    )
    for name, key in CASES[case]['in'].items()
    if name.startswith('noise/')
    for layer in [name.removeprefix('noise/')]
  }

  def draw(self, shape):
    array = given[self.path[-1]]
    assert shape[1:] == array.shape[1:]
    return array

  return draw


@pytest.fixture
def with_noise(monkeypatch):
  """Gives generators the noise of a case; they must be passed a stream."""
  return lambda case: monkeypatch.setattr(fastgan.Noise, 'draw', noise_of(case))


NOISE = {'noise': jax.random.key(0)}


def released_logits(logits):
  """All of the first map, then all of the second."""
  return np.concatenate(np.split(np.asarray(logits), 2, 1)).ravel()


@pytest.mark.parametrize('name', ABOUT['nets'])
def test_the_rule_re_creates_the_weights(name):
  for key, first in ABOUT['nets'][name]['rule_check'].items():
    start = weights(name)[key].ravel()[: len(first)]
    np.testing.assert_allclose(start, first, rtol=1e-6)


@pytest.mark.parametrize(
  'case', [c for c, row in CASES.items() if row['kind'] == 'fastgan.G']
)
def test_generator(case, with_noise):
  row = CASES[case]
  with_noise(case)
  module, variables = network(row['nets']['G'])
  train = row['args']['mode'] == 'train'
  made, after = jax.jit(
    lambda z: module.apply(
      variables, z, train=train, rngs=NOISE, mutable=COLLECTIONS
    ),
    compiler_options=QUICK,
  )(value(row['in']['z']))
  assert error(inputs.nchw(made.image), case, 'big') < FORWARD
  assert error(inputs.nchw(made.small), case, 'small') < FORWARD
  if train:
    check_statistics(row['stat'], variables | after)
  else:  # nothing moves in use
    jax.tree.map(
      np.testing.assert_array_equal,
      after,
      dict(after, **{k: variables[k] for k in COLLECTIONS}),
    )


def check_statistics(stat, variables):
  """Vectors, singular values and running statistics after a training pass."""
  own = convert.under_released_names('fastgan.generator', variables)
  checked = 0
  for key, wanted in stat.items():
    what, _, name = key.partition('/')
    if what == 'sigma':
      u, v = own[f'{name}.weight_u'], own[f'{name}.weight_v']
      kernel = own[f'{name}.weight_orig']
      if name == 'init.init.0':
        kernel = kernel.swapaxes(0, 1)
      found = u @ kernel.reshape(len(u), -1) @ v
    else:
      found = own[f'{name}.weight_u' if what == 'u_after' else name]
    assert np.mean(found) == pytest.approx(wanted['mean'], rel=1e-4, abs=1e-5)
    assert np.linalg.norm(found) == pytest.approx(wanted['l2'], rel=1e-4), key
    checked += 1
  assert checked > 40


@pytest.mark.parametrize(
  'case', [c for c, row in CASES.items() if row['kind'] == 'fastgan.D']
)
def test_discriminator(case):
  row = CASES[case]
  module, variables = network(row['nets']['D'])
  judge = jax.jit(
    lambda x: module.apply(variables, x, train=False), compiler_options=QUICK
  )
  real, big, small = (
    value(row['in'][k]) for k in ('real', 'fake_big', 'fake_small')
  )
  assert (
    error(released_logits(judge(real).logits), case, 'logits_real') < FORWARD
  )
  pair = judge(Scales(big, small))
  assert error(released_logits(pair.logits), case, 'logits_pair') < FORWARD
  alone = judge(big)  # the second branch sees the companion
  first, second = np.split(np.asarray(alone.logits - pair.logits), 2, 1)
  assert (first == 0).all() and (second != 0).all()


@pytest.fixture
def in_float64():
  """Has a test compute in float64; it gives trees of arrays so."""
  with jax.enable_x64(True):
    yield functools.partial(jax.tree.map, lambda x: jnp.asarray(x, float))


def hinge(logits, margin, sign):
  return jnp.mean(jax.nn.relu(margin - sign * logits))


@pytest.mark.slow
@pytest.mark.parametrize(
  'case', [c for c, row in CASES.items() if row['kind'] == 'fastgan.loss']
)
def test_losses_and_their_gradients(case, with_noise, in_float64):
  """In training in the order of the released step: G, D twice, D for G.

  In float32 a LeakyReLU's kink falls on the other side by how sums are put
  together, and moves whole gradients (the reference README, section 3).
  """
  row = CASES[case]
  with_noise(case)
  train = row['args']['mode'] == 'train'
  (g, g_own), (d, d_own) = (network(row['nets'][k]) for k in 'GD')
  g_own, d_own = in_float64((g_own, d_own))
  z, real = in_float64([value(row['in'][name]) for name in ('z', 'real')])
  real = Scales(real, nearest(real, 128))  # as D has it: one shape, one program
  own = lambda params, stats: (
    {'params': params} | {k: stats[k] for k in COLLECTIONS}
  )

  @functools.partial(jax.jit, compiler_options=QUICK)
  def make(params, at):
    """What G makes, and the gradient for a gradient `at` it."""
    more = dict(train=train, rngs=NOISE, mutable=COLLECTIONS)
    made, back = jax.vjp(
      lambda params: g.apply(own(params, g_own), z, **more)[0], params
    )
    return made, back(at)[0]

  @functools.partial(jax.jit, compiler_options=QUICK)
  def judge(params, stats, x, at):
    """D's logits and statistics, and the gradients for one `at` the logits."""

    def logits(params, x):
      found, after = d.apply(
        own(params, stats), x, train=train, mutable=COLLECTIONS
      )
      return found.logits, after

    found, back, after = jax.vjp(logits, params, x, has_aux=True)
    return found, after, *back(at)

  g_params, d_params = g_own['params'], d_own['params']
  none = jax.tree.map(jnp.zeros_like, real)
  made, _ = make(g_params, none)
  stats, on_d, on = d_own, None, []
  for x, sign in ((real, 1), (made, -1)):
    logits, after, *_ = judge(d_params, stats, x, jnp.zeros((len(z), 50)))
    at = jax.grad(hinge)(logits, 1.0, sign)
    gradient = judge(d_params, stats, x, at)[2]
    on_d = jax.tree.map(jnp.add, on_d, gradient) if on else gradient
    on.append(logits)
    stats = after
  at = jnp.full_like(on[1], -1 / on[1].size)
  for_g, _, _, at_made = judge(d_params, stats, made, at)
  g_loss = -jnp.mean(for_g)
  gradients = {'D/hinge_m1': on_d, 'G/loss_g': make(g_params, at_made)[1]}

  real, fake = map(released_logits, on)
  assert error(real, case, 'logits_real') < FORWARD
  assert error(fake, case, 'logits_fake') < FORWARD
  jitter = [value(row['in'][f'jitter_{k}']) for k in ('real', 'fake')]
  for name, found in {
    'hinge_real_m1': hinge(real, 1.0, 1),
    'hinge_fake_m1': hinge(fake, 1.0, -1),
    'hinge_real_jitter': hinge(real, jitter[0], 1),
    'hinge_fake_jitter': hinge(fake, jitter[1], -1),
    'loss_g': g_loss,
  }.items():
    wanted = row['out'][name]['value']
    assert float(found) == pytest.approx(wanted, rel=FORWARD), name
  for role, gradient in gradients.items():
    arrays = convert.under_released_names(kind(role), {'params': gradient})
    # Decoders have no part in these losses.
    wanted = {k: v for k, v in row['grads'][role].items() if k in arrays}
    assert len(wanted) == len(arrays)
    for name, off in rule.gradient_errors(arrays, wanted):
      assert off < GRADIENT, (role, name, off)
