"""ProGAN's networks against its released code, run in float64."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import convert
from gan_jax.nn.levels import double, reduce_to
from gan_jax.tasks import AC_GAN
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('progan')
CASES = ABOUT['cases']

# Forward passes: the reference README's tolerance for float32.
FORWARD = 1e-4
QUICK = {'xla_backend_optimization_level': 0}


@functools.cache
def weights(name):
  """A reference network's arrays by released name."""
  return rule.weights(ABOUT['nets'][name])


@functools.cache
def network(name):
  """(module, variables) of a reference network, by the converter alone."""
  net = ABOUT['nets'][name]
  kind = f'progan.{"generator" if name[0] == "G" else "discriminator"}'
  module, variables = convert.released(kind, weights(name))
  ctor = net['ctor']
  assert module.shape == (ctor['resolution'],) * 2 + (ctor['num_channels'],)
  if name[0] == 'D':
    assert module.fused_scale_order == ctor['fused_scale']
    assert module.classes == ctor.get('label_size', 0)
    module = module.clone(group_size=ctor['mbstd_group_size'])
  return module, variables


def value(key):
  return inputs.value(ABOUT, ARRAYS, key)


def level(lod, full):
  """The side and alpha that the released code calls a level of detail."""
  return full >> int(lod), 1.0 - (lod - int(lod))


def generate(name, z, lod, variables=None, **more):
  """Pictures of a reference G at full size, as the released G gives them."""
  module, own = network(name)
  side, alpha = level(lod, module.shape[0])
  x = module.clone(resolution=side, **more).apply(
    variables or own, *z, train=True, alpha=alpha
  )
  while x.shape[1] < module.shape[0]:
    x = double(x)
  return x


def judge(name, x, lod, variables=None):
  """The Judgement by a reference D of pictures at full size."""
  module, own = network(name)
  side, alpha = level(lod, module.shape[0])
  return module.apply(
    variables or own, reduce_to(x, side), train=True, alpha=alpha
  )


def error(ours, case, name):
  return rule.relative_error(ours, *rule.stored(ABOUT, ARRAYS, case, name))


def passes(prefix):
  return [
    (case, lod)
    for case, row in CASES.items()
    if row['kind'] == prefix
    for lod in row['args']['lods']
    if case[2:] != 'wide' or lod  # the same layers again, 512 channels wide
  ]


@pytest.mark.parametrize('name', ABOUT['nets'])
def test_the_rule_re_creates_the_weights(name):
  for key, first in ABOUT['nets'][name]['rule_check'].items():
    start = weights(name)[key].ravel()[: len(first)]
    np.testing.assert_allclose(start, first, rtol=1e-6)


@pytest.mark.parametrize('case, lod', passes('progan.G'))
def test_generator(case, lod):
  row = CASES[case]
  z = value(row['in']['z'])
  if 'labels' in row['in']:
    # A G with labels is read as one whose latents have them at the end.
    z = np.concatenate([z, value(row['in']['labels'])], -1)
  make = jax.jit(
    lambda z: generate(row['nets']['G'], (z,), lod), compiler_options=QUICK
  )
  nchw = inputs.nchw(make(z))
  assert error(nchw, case, f'img/lod{lod}') < FORWARD


@pytest.mark.parametrize('lod', [0, 0.5])
def test_generator_that_is_given_labels(lod):
  z = value('zc'), value('labels').argmax(-1)
  make = lambda *z: generate('G_cond', z, lod, classes=10, sphere='joint')
  nchw = inputs.nchw(jax.jit(make, compiler_options=QUICK)(*z))
  assert error(nchw, 'G_cond', f'img/lod{lod}') < FORWARD


@pytest.mark.parametrize('case, lod', passes('progan.D'))
def test_discriminator(case, lod):
  row = CASES[case]
  found = jax.jit(
    lambda x: judge(row['nets']['D'], x, lod), compiler_options=QUICK
  )(value(row['in']['x']))
  assert error(found.logits, case, f'scores/lod{lod}') < FORWARD
  if f'labels/lod{lod}' in row['out']:
    assert error(found.class_logits, case, f'labels/lod{lod}') < FORWARD
  else:
    assert found.class_logits is None


def losses(case):
  """Functions of parameters: (D's loss, numbers on the way), (G's, them)."""
  row = CASES[case]
  g, d, lod = row['nets']['G'], row['nets']['D'], row['args']['lod']
  real, z, mix = (value(row['in'][k]) for k in ('reals', 'z', 'mix'))
  labels = [
    value(row['in'][k]) for k in ('labels', 'labels_g') if k in row['in']
  ]
  mix = mix.reshape(-1, 1, 1, 1)

  def made(params, k):
    more = dict(classes=10, sphere='joint') if labels else {}
    inputs_ = (z, labels[k].argmax(-1)) if labels else (z,)
    return generate(g, inputs_, lod, {'params': params}, **more)

  def wrong(player, on_real, on_fake, k):
    """The AC-GAN term of a player; 0 without labels."""
    if not labels:
      return 0.0
    view = types.SimpleNamespace(
      on_real=on_real, on_fake=on_fake, labels=labels[k].argmax(-1), carried={}
    )
    (term,) = (t for t in AC_GAN.make() if t.player == player)
    return term.value({}, view)[0]

  def d_loss(params, g_params):
    fake = made(g_params, 0)
    score = lambda x: judge(d, x, lod, {'params': params})
    on_real, on_fake = score(real), score(fake)
    mixed = real + mix * (fake - real)
    total, back = jax.vjp(lambda x: score(x).logits, mixed)
    slopes = back(jnp.ones(len(mixed)))[0].reshape(len(mixed), -1)
    norms = jnp.sqrt(jnp.sum(slopes**2, -1))
    each = on_fake.logits - on_real.logits + 1e-3 * on_real.logits**2
    each += 10.0 * (norms - 1.0) ** 2
    return jnp.mean(each) + wrong('d', on_real, on_fake, 0), {
      'real_scores': on_real.logits,
      'fake_scores': on_fake.logits,
      'mixed_scores': total,
      'mixed_norms': norms,
    }

  def g_loss(params, d_params):
    on = judge(d, made(params, len(labels) - 1), lod, {'params': d_params})
    return wrong('g', None, on, len(labels) - 1) - jnp.mean(on.logits), {}

  return d_loss, g_loss


@pytest.mark.parametrize(
  'case',
  [
    'loss_fused_lod0.3',
    'loss_unfused_lod1.75',
    'loss_cond',
  ],
)
def test_losses_and_their_gradients(case):
  row = CASES[case]
  (_, g), (_, d) = network(row['nets']['G']), network(row['nets']['D'])
  d_loss, g_loss = losses(case)

  def both(g, d):
    take = functools.partial(jax.value_and_grad, has_aux=True)
    return take(d_loss)(d, g), take(g_loss)(g, d)

  ((d_total, seen), on_d), ((g_total, _), on_g) = jax.jit(
    both, compiler_options=QUICK
  )(g['params'], d['params'])
  for name, found in seen.items():
    assert error(found, case, name) < FORWARD, name
  for name, found in (('d_loss_mean', d_total), ('g_loss_mean', g_total)):
    wanted = row['out'][name]['value']
    assert float(found) == pytest.approx(wanted, rel=FORWARD), name
  for role, kind, gradient in (
    ('D/d_loss', 'progan.discriminator', on_d),
    ('G/g_loss', 'progan.generator', on_g),
  ):
    arrays = convert.under_released_names(
      kind, {'params': gradient}, fused='_fused' in case
    )
    # The reference README, section 3: kinks of LeakyReLU.
    tolerance = max(1e-3, 5 * row['grad_noise'][role])
    for name, off in rule.gradient_errors(arrays, row['grads'][role]):
      assert off < tolerance, (role, name, off)
