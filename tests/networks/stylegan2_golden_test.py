"""StyleGAN2's layers and networks against its released code, run in float64."""

import functools
import types
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import convert
from gan_jax.losses import PENALTIES
from gan_jax.nn import resample, style
from gan_jax.nn.norm import pixel_norm
from gan_jax.nn.stddev import minibatch_stddev
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('stylegan2')
CASES = ABOUT['cases']
FORWARD = 1e-4  # the reference README's tolerance for float32
QUICK = {'xla_backend_optimization_level': 0}


def value(key):
  return jnp.asarray(inputs.value(ABOUT, ARRAYS, key))


def error(ours, case, name):
  ours = inputs.nchw(ours) if np.ndim(ours) == 4 else ours
  return rule.relative_error(ours, *rule.stored(ABOUT, ARRAYS, case, name))


def kind(net):
  """What the converter calls a reference network."""
  family, role = net['kind'].split('.')
  glead = family == 'glead' and role == 'Discriminator'
  return f'{"glead" if glead else "stylegan2"}.{role.lower()}'


def converted(net):
  """(module, variables) of a reference network, by the converter alone."""
  ctor, of_g = net['ctor'], 'z_dim' in net['ctor']
  told = {'init/conv_clamp': np.float64('nan')}
  if not of_g:
    size = ctor['epilogue_kwargs']['mbstd_group_size']
    told['b4.mbstd.init/group_size'] = np.float64(size)
  module, variables = convert.released(kind(net), rule.weights(net) | told)
  side = ctor['img_resolution']
  assert module.shape == (side, side, ctor['img_channels'])
  assert module.classes == ctor.get('c_dim', 0) and module.clamp == 0.0
  if of_g:  # as the reference has them: one w and one map a sample
    module = module.clone(noise='const', mixing=0.0)
  return module, variables


@functools.cache
def network(name):
  """The same by its name."""
  return converted(ABOUT['nets'][name])


def released(name, gradient):
  """A gradient's arrays by released name."""
  return convert.under_released_names(
    kind(ABOUT['nets'][name]), {'params': gradient}
  )


@functools.cache
def primitives():
  """Ours of the case `ops`, by released name."""
  x, styles, b, x6 = (value(k) for k in ('op_x', 'op_styles', 'op_b', 'op_x6'))
  # Four-dimensional inputs come as pictures do: undone for kernels.
  w, w1 = (value(k).transpose(1, 2, 3, 0) for k in ('op_w', 'op_w1'))
  found, more = {}, 1.7 / np.sqrt(2)
  for end, taps in (('', (1, 3, 3, 1)), ('_asym', (1, 2, 5, 1))):
    found |= {
      f'up2{end}': resample.upsample(x, taps),
      f'down2{end}': resample.downsample(x, taps),
      f'filter{end}': resample.smooth(x, 2, 1, taps),
      f'conv_up2{end}': resample.up_conv(x, w, taps),
      f'conv_down2{end}': resample.down_conv(x, w, taps),
      f'conv1x1_up2{end}': resample.up_conv(x, w1, taps),
      f'conv1x1_down2{end}': resample.down_conv(x, w1, taps),
    }
  return found | {
    'modconv_fused0': style.modulated(x, w, styles),
    'modconv_up2_fused0': style.modulated(x, w, styles, up=True),
    'modconv_nodemod': style.modulated(x, w1, styles, demodulate=False),
    'bias_lrelu': style.activated(x + b),
    # Its gain is 1.7, its limit 0.8 behind it.
    'bias_lrelu_clamp': style.activated(x + b, 0.8 / more, more),
    'bias_linear': x + b,
    'mbstd_g2_f1': minibatch_stddev(x6, 2, 'strided'),
    'mbstd_gNone_f1': minibatch_stddev(x6, 6),
    'norm2': pixel_norm(styles),
  }


@pytest.mark.parametrize('name', CASES['ops']['out'])
def test_primitives(name):
  assert error(primitives()[name], 'ops', name) < FORWARD


# G: the case's input, its w and its picture, by what styles are given.
PASSES = [
  ('G32', 'z32', 'psi1', {}),
  ('G32', 'z32', 'psi0.7', dict(truncation=0.7)),
  ('G32_cutoff', 'z32', 'psi0.5', dict(truncation=0.5, cutoff=3)),
  ('G_cond', 'zc', 'psi1', {}),
  pytest.param('G256', 'z256', 'psi1', {}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize('case, z, name, more', PASSES)
def test_generator(case, z, name, more):
  module, variables = network(CASES[case]['nets']['G'])
  labels = value('c').argmax(-1) if case == 'G_cond' else None

  def run(g, z):
    styles = g.styles(z, labels, train=False, **more)
    return styles, g.synthesise(styles, train=False).samples

  run = functools.partial(module.apply, variables, method=run)
  styles, samples = jax.jit(run, compiler_options=QUICK)(value(z))
  wanted = styles if case == 'G32_cutoff' else styles[:, 0]
  assert error(wanted, case, f'w/{name}') < FORWARD
  assert error(samples, case, f'img/{name}') < FORWARD


def test_generator_without_noise_and_its_mean_w():
  module, variables = network('G32')

  def run(g, z):
    styles = g.styles(z, train=False, truncation=0.7)
    samples = g.synthesise(styles, train=True).samples
    g.styles(z, train=True)
    return samples

  run = functools.partial(
    module.clone(noise='none').apply,
    variables,
    method=run,
    mutable=['w_average'],
  )
  samples, new = jax.jit(run, compiler_options=QUICK)(value('z32'))
  assert error(samples, 'G32', 'img_nonoise') < FORWARD
  assert error(new['w_average']['mean'], 'G32', 'w_avg_after') < FORWARD


@pytest.mark.parametrize(
  'case, x',
  [
    ('D32', 'x32'),
    ('D_cond', 'xc'),
    pytest.param('D256', 'x256', marks=pytest.mark.slow),
  ],
)
def test_discriminator(case, x):
  module, variables = network(CASES[case]['nets']['D'])
  labels = value('c').argmax(-1) if case == 'D_cond' else None
  judge = lambda x: module.apply(variables, x, labels, train=True).logits
  logits = jax.jit(judge, compiler_options=QUICK)(value(x))
  assert error(logits, case, 'logits') < FORWARD


def losses():
  """By phase: which network learns, and its loss by parameters."""
  (g, of_g), (d, of_d) = network('G32'), network('D32')
  args = CASES['loss32']['args']
  z, real, noise = value('z32'), value('real32'), value('pl_noise32')
  frozen = {k: v for k, v in of_g.items() if k != 'params'}

  def made(params, *args, **more):
    variables = {'params': params, **frozen}
    return g.apply(variables, *args, train=False, **more)

  score = lambda p, x: d.apply({'params': p}, x, train=True).logits
  fake = made(of_g['params'], z)

  def g_main(params):
    each = jax.nn.softplus(-score(of_d['params'], made(params, z)))
    return jnp.mean(each), {'G_loss': each}

  def g_reg(params):
    play = types.SimpleNamespace(
      styles=lambda z: made(params, z, method='styles'),
      synthesise=lambda w: made(params, w, method='synthesise'),
    )
    view = types.SimpleNamespace(
      play=play,
      labels=np.zeros(len(z)),
      latents=lambda count: z[:count],
      key=jax.random.key(0),
      carried={'mean': args['pl_mean']},
    )
    with mock.patch.object(jax.random, 'normal', lambda key, shape: noise):
      term = PENALTIES['path_length'].make(decay=0.01, shrink=2)
      value, carried, _ = term.value({}, view)
    seen = {'mean of pl_penalty': value, 'pl_mean_after': carried['mean']}
    return args['pl_weight'] * value, seen

  def d_main(params):
    on_real = score(params, real)
    each = jax.nn.softplus(score(params, fake)) + jax.nn.softplus(-on_real)
    return jnp.mean(each), {'D_loss': each, 'scores_real': on_real}

  def d_reg(params):
    view = types.SimpleNamespace(
      real=real, score=functools.partial(score, params), carried={}
    )
    value, _, _ = PENALTIES['r1'].make().value({}, view)
    # The released one is not halved: half of gamma is its weight.
    return args['r1_gamma'] * value, {'mean of r1_penalty': 2 * value}

  return {
    'Gmain': ('G32', g_main),
    'Greg': ('G32', g_reg),
    'Dmain': ('D32', d_main),
    'Dreg': ('D32', d_reg),
  }


@pytest.mark.parametrize(
  'phase',
  # Dreg is of second order, and contains all of D.
  [
    pytest.param('Gmain', marks=pytest.mark.slow),
    pytest.param('Greg', marks=pytest.mark.slow),
    pytest.param('Dmain', marks=pytest.mark.slow),
    'Dreg',
  ],
)
def test_losses_and_their_gradients(phase):
  """To second order in Greg (path length) and Dreg (R1)."""
  name, loss = losses()[phase]
  take = jax.jit(jax.grad(loss, has_aux=True), compiler_options=QUICK)
  gradient, seen = take(network(name)[1]['params'])
  for key, found in seen.items():
    if key.startswith('mean of '):
      kept, stride = rule.stored(ABOUT, ARRAYS, 'loss32', f'{phase}/{key[8:]}')
      assert stride == 1
      assert found == pytest.approx(np.mean(kept), rel=FORWARD)
    else:
      assert error(found, 'loss32', f'{phase}/{key}') < FORWARD, key
  row = CASES['loss32']
  tolerance = max(1e-3, 5 * row['grad_noise'][phase])
  errors = rule.gradient_errors(released(name, gradient), row['grads'][phase])
  for key, off in errors:
    assert off < tolerance, (key, off)
