"""StyleGAN2's layers and networks against its released code, run in float64."""

import functools
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import stylegan2
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


# A released parameter's name: ours, the collection in front.
NAMES = [
  (r'mapping\.w_avg', r'w_average/mean'),
  (r'synthesis\.b4\.const', r'params/const'),
  (r'(.*\.)?b(\d+)\.conv(\d)\.noise_const', r'noise_maps/conv_\2_\3/map'),
  (r'mapping\.fc(\d)', r'params/mapping/dense_\1'),
  (r'mapping\.embed', r'params/mapping/embed'),
  (r'(.*\.)?b(\d+)\.conv(\d)', r'params/conv_\2_\3'),
  (r'(.*\.)?b(\d+)\.torgb', r'params/to_rgb_\2'),
  (r'b(\d+)\.fromrgb', r'params/from_rgb'),
  (r'b(\d+)\.skip', r'params/skip_\1'),
  (r'b4\.conv', r'params/conv_4'),
  (r'b4\.fc', r'params/dense'),
  (r'b4\.out', r'params/score'),
]
LEAVES = {'weight': 'kernel', 'bias': 'bias', 'noise_strength': 'strength'}


def ours(name):
  """The path of a released parameter among our variables."""
  layer, _, leaf = name.rpartition('.')
  if leaf in LEAVES:
    layer, affine = re.subn(r'\.affine$', '', layer)
    path = ours(layer) + ('style',) * affine
    return (*path, LEAVES[leaf])
  for pattern, path in NAMES:
    if re.fullmatch(pattern, name):
      return tuple(re.sub(pattern, path, name).split('/'))
  raise KeyError(name)


def to_ours(name, x):
  """An array in the released layout in ours."""
  if name == 'b4.fc.weight':  # flattens channel, y, x
    x = x.reshape(len(x), -1, 4, 4).transpose(2, 3, 1, 0)
    return x.reshape(-1, x.shape[-1])
  if name.endswith('noise_const'):
    return x[None, :, :, None]
  if name == 'synthesis.b4.const':
    return x.transpose(1, 2, 0)
  if name.endswith('weight'):
    return x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T
  return x


def to_released(name, x, shape):
  """The way back."""
  x = np.asarray(x)
  if name == 'b4.fc.weight':
    return x.reshape(4, 4, -1, shape[0]).transpose(3, 2, 0, 1).reshape(shape)
  if name == 'synthesis.b4.const':
    return x.transpose(2, 0, 1)
  if name.endswith('weight'):
    return x.transpose(3, 2, 0, 1) if x.ndim == 4 else x.T
  return x


def module(name, net):
  """The module of a reference network, 'G...' or 'D...'."""
  ctor = net['ctor']
  side, classes = ctor['img_resolution'], ctor.get('c_dim', 0)
  synthesis = ctor.get('synthesis_kwargs', ctor)
  fields = dict(
    shape=(side, side, ctor['img_channels']),
    classes=classes,
    fmap_base=synthesis['channel_base'],
    fmap_max=synthesis['channel_max'],
    depth=ctor.get('mapping_kwargs', {}).get('num_layers', 8),
    clamp=0.0,
  )
  if name[0] == 'G':
    return stylegan2.Generator(
      style_size=ctor['w_dim'], noise='const', mixing=0.0, **fields
    )
  size = ctor['epilogue_kwargs']['mbstd_group_size']
  return stylegan2.Discriminator(
    group_size=size, group_layout='strided', **fields
  )


@functools.cache
def network(name):
  """(module, variables) of a reference network."""
  net = ABOUT['nets'][name]
  arrays = {ours(k): to_ours(k, x) for k, x in rule.weights(net).items()}
  return module(name, net), flax.traverse_util.unflatten_dict(arrays)


def released(name, gradient):
  """A gradient's arrays by released name, as far as they are parameters."""
  found = flax.traverse_util.flatten_dict({'params': gradient})
  return {
    row['name']: to_released(
      row['name'], found[ours(row['name'])], row['shape']
    )
    for row in ABOUT['nets'][name]['params']
    if ours(row['name']) in found
  }


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
    draw = noise / np.sqrt(noise.shape[1] * noise.shape[2])
    picture = lambda w: jnp.sum(
      draw * made(params, w, method='synthesise').samples
    )
    slopes = jax.grad(picture)(made(params, z[:2], method='styles'))
    lengths = jnp.sqrt(jnp.mean(jnp.sum(slopes**2, -1), -1))
    mean = args['pl_mean'] + 0.01 * (jnp.mean(lengths) - args['pl_mean'])
    each = (lengths - mean) ** 2
    seen = {'pl_penalty': each, 'pl_mean_after': mean}
    return args['pl_weight'] * jnp.mean(each), seen

  def d_main(params):
    on_real = score(params, real)
    each = jax.nn.softplus(score(params, fake)) + jax.nn.softplus(-on_real)
    return jnp.mean(each), {'D_loss': each, 'scores_real': on_real}

  def d_reg(params):
    slopes = jax.grad(lambda x: jnp.sum(score(params, x)))(real)
    each = jnp.sum(slopes**2, (1, 2, 3))
    return 0.5 * args['r1_gamma'] * jnp.mean(each), {'r1_penalty': each}

  return {
    'Gmain': ('G32', g_main),
    'Greg': ('G32', g_reg),
    'Dmain': ('D32', d_main),
    'Dreg': ('D32', d_reg),
  }


@pytest.mark.parametrize(
  'phase',
  # The other two are of second order, and contain these.
  [
    pytest.param('Gmain', marks=pytest.mark.slow),
    'Greg',
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
    assert error(found, 'loss32', f'{phase}/{key}') < FORWARD, key
  row = CASES['loss32']
  tolerance = max(1e-3, 5 * row['grad_noise'][phase])
  errors = rule.gradient_errors(released(name, gradient), row['grads'][phase])
  for key, off in errors:
    assert off < tolerance, (key, off)
