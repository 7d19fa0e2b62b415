"""ProGAN: Table 2's sizes, levels and fades, labels, groups.

That the networks compute the released ones' function is held by
progan_golden_test.py; what they do in a run by progan_run_test.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.networks import Start, progan
from gan_jax.nn.levels import double, reduce_to
from tests import small

KEY = jax.random.key(1)
N = 4
# 4, 8 and 16 px, small; no two levels are of one width, so that none can stand
# for another.
SHAPE, TINY = (16, 16, 3), dict(fmap_base=48, fmap_max=16)
SIDES = (4, 8, 16)
Z = 6
G, D = progan.Generator(SHAPE, **TINY), progan.Discriminator(SHAPE, **TINY)


def forms(net, *args):
  """Shapes of what a network's initialising gives: nothing is computed."""
  return jax.eval_shape(lambda: net.init(KEY, *args, train=True))['params']


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


# spec/progan.md section 1.1: side, labels, settings, latents, counts of G, D.
COUNTS = [
  (1024, 0, {}, 512, 23_079_115, 23_087_249),
  (512, 0, {}, 512, 23_072_120, 23_080_225),
  (256, 0, {}, 512, 23_044_309, 23_052_353),
  (128, 0, {}, 512, 22_933_394, 22_941_313),
  (64, 0, {}, 512, 22_490_383, 22_498_049),
  (32, 0, {}, 512, 20_719_628, 20_726_785),
  (32, 10, {}, 512, 20_801_548, 20_731_915),
  (128, 0, dict(fmap_base=2048), 512, 13_629_810, 13_636_897),
  (32, 0, dict(fmap_base=4096, fmap_max=128), 128, 1_296_908, 1_298_689),
]


@pytest.mark.parametrize('side, classes, sizes, latent, in_g, in_d', COUNTS)
def test_parameter_counts(side, classes, sizes, latent, in_g, in_d):
  shape, labels = (side, side, 3), jnp.zeros(1, jnp.int32)
  g = progan.Generator(shape, classes, **sizes)
  d = progan.Discriminator(shape, classes, **sizes)
  assert count(forms(g, jnp.zeros((1, latent)), labels)) == in_g
  assert count(forms(d, jnp.zeros((1, *shape)), labels)) == in_d


def test_parameter_counts_of_table_2():
  """With the toRGB and fromRGB layers of the full resolution alone."""
  shape = (1024, 1024, 3)
  g = forms(progan.Generator(shape), jnp.zeros((1, 512)))
  d = forms(progan.Discriminator(shape), jnp.zeros((1, *shape)))
  others = lambda tree, name: {
    key: layer
    for key, layer in tree.items()
    if not key.startswith(name) or key == f'{name}1024'
  }
  assert count(others(g, 'to_rgb_')) == 23_071_507
  assert count(others(d, 'from_rgb_')) == 23_077_137


def test_maps_of_table_2():
  """Output shapes at 1024 px; nothing of that size is computed."""
  sizes = [512] * 4 + [256, 128, 64, 32, 16]
  widths = dict(zip(progan.RESOLUTIONS, sizes, strict=True))
  shape = (1024, 1024, 3)
  g, d = progan.Generator(shape), progan.Discriminator(shape)

  def passes(key):
    z, x = jnp.zeros((2, 512)), jnp.zeros((2, *shape))
    styles = lambda module, z: module.synthesise(
      module.styles(z, train=True), train=True
    )
    on_g = g.init(key, z, train=True)
    on_d = d.init(key, x, train=True)
    made = g.apply(on_g, z, method=styles)
    return made, d.apply(on_d, x, train=True)

  made, judged = jax.eval_shape(passes, KEY)
  wanted = {str(s): (2, s, s, width) for s, width in widths.items()}
  assert made.samples.shape == (2, *shape)
  assert {k: v.shape for k, v in made.features.items()} == wanted
  assert judged.logits.shape == (2,) and judged.class_logits is None
  assert {k: v.shape for k, v in judged.features.items()} == wanted


@pytest.mark.parametrize(
  'decay, widths',
  [(0.0, [9, 9, 9]), (1.0, [9, 5, 2]), (2.0, [5, 1, 1])],
)
def test_channels_by_decay(decay, widths):
  """At 4, 8 and 16 px of 20 at 2; at least one."""
  sizes = dict(fmap_base=20, fmap_decay=decay, fmap_max=9)
  for net in (
    progan.Generator(SHAPE, **sizes),
    progan.Discriminator(SHAPE, **sizes),
  ):
    assert [net.width(side) for side in SIDES] == widths


def noisy(variables, seed=3):
  """Variables with biases that are not zero."""
  leaves, tree = jax.tree.flatten(variables)
  keys = jax.random.split(jax.random.key(seed), len(leaves))
  return jax.tree.unflatten(
    tree,
    [
      x + 0.1 * jax.random.normal(k, x.shape)
      for x, k in zip(leaves, keys, strict=True)
    ],
  )


@functools.cache
def inputs():
  """Latents, pictures, variables of G and of D."""
  z = jax.random.normal(jax.random.key(2), (N, Z))
  x = jnp.tanh(jax.random.normal(jax.random.key(3), (N, *SHAPE)))
  return z, x, noisy(small.init(G, z)), noisy(small.init(D, x))


def changed(variables, layer):
  """Variables with another layer of a name."""
  other = jax.tree.map(lambda v: v + 1.0, variables['params'][layer])
  return {'params': variables['params'] | {layer: other}}


@functools.cache
def maker(side):
  net = G.clone(resolution=side)
  return jax.jit(lambda v, z, alpha: net.apply(v, z, train=True, alpha=alpha))


def make(variables, z, side, alpha):
  return np.asarray(maker(side)(variables, z, jnp.float32(alpha)))


@jax.jit
def judge_(variables, x, alpha):
  return D.apply(variables, x, train=True, alpha=alpha).logits


def judge(variables, x, alpha):
  return np.asarray(judge_(variables, x, jnp.float32(alpha)))


@pytest.mark.parametrize('side', SIDES)
def test_all_levels_have_parameters_whatever_the_resolution(side):
  z, x, on_g, on_d = inputs()
  shapes = lambda tree: jax.tree.map(jnp.shape, tree)
  names = {f'{kind}_{s}' for kind in ('to_rgb', 'from_rgb') for s in SIDES}
  assert names <= {*on_g['params'], *on_d['params']}
  assert forms(G.clone(resolution=side), z) == forms(G, z)
  assert shapes(forms(G, z)) == shapes(on_g['params'])
  small_d = D.clone(resolution=side)
  assert forms(small_d, reduce_to(x, side)) == forms(D, x)


@pytest.mark.parametrize('side', SIDES[1:])
def test_g_at_the_ends_of_a_fade(side):
  """To the bit: the pictures of the stage before, doubled; its own alone."""
  z, _, variables, _ = inputs()
  before = make(variables, z, side // 2, 1.0)
  np.testing.assert_array_equal(make(variables, z, side, 0.0), double(before))
  after = make(variables, z, side, 1.0)
  # The stage that follows has no path through the old layer any more.
  other = changed(variables, f'to_rgb_{side // 2}')
  np.testing.assert_array_equal(make(other, z, side, 1.0), after)
  assert np.abs(make(other, z, side, 0.5) - after).max() > 0.1
  middle = make(variables, z, side, 0.5)
  np.testing.assert_allclose(middle, (double(before) + after) / 2, atol=1e-5)


@pytest.mark.parametrize('side', SIDES[1:])
def test_d_at_the_ends_of_a_fade(side):
  _, x, _, variables = inputs()
  x = reduce_to(x, side)
  before = judge(variables, reduce_to(x, side // 2), 1.0)
  np.testing.assert_array_equal(judge(variables, x, 0.0), before)
  after = judge(variables, x, 1.0)
  other = changed(variables, f'from_rgb_{side // 2}')
  np.testing.assert_array_equal(judge(other, x, 1.0), after)
  assert np.abs(judge(other, x, 0.5) - after).max() > 0.01


def test_alpha_says_nothing_at_the_lowest_level():
  z, x, on_g, on_d = inputs()
  low = reduce_to(x, 4)
  assert np.array_equal(make(on_g, z, 4, 0.0), make(on_g, z, 4, 1.0))
  assert np.array_equal(judge(on_d, low, 0.0), judge(on_d, low, 1.0))


def test_a_levels_layers_are_not_touched_below_it():
  """And are learned from as soon as something comes through."""
  z, x, on_g, on_d = inputs()

  def slopes(side, alpha):
    g = jax.grad(
      lambda v: jnp.sum(
        G.clone(resolution=side).apply(v, z, train=True, alpha=alpha) ** 2
      )
    )
    d = jax.grad(
      lambda v: jnp.sum(
        D.apply(v, reduce_to(x, side), train=True, alpha=alpha).logits ** 2
      )
    )
    # Compiled: an optimiser never sees them one by one either.
    return jax.jit(g)(on_g)['params'], jax.jit(d)(on_d)['params']

  moved = lambda tree: {k for k, v in tree.items() if np.any(small.flat(v))}
  low = {'conv_4_0', 'conv_4_1'}
  g, d = slopes(8, 1.0)
  assert moved(g) == low | {'conv_8_0', 'conv_8_1', 'to_rgb_8'}
  above = {'conv_8_0', 'conv_8_1', 'from_rgb_8'}
  assert moved(d) == low | above | {'score'}
  g, d = slopes(8, 0.5)
  assert moved(g) == low | {'conv_8_0', 'conv_8_1', 'to_rgb_8', 'to_rgb_4'}
  assert moved(d) == low | above | {'score', 'from_rgb_4'}


@pytest.mark.parametrize('level', SIDES)
@pytest.mark.parametrize('alpha', [0.3, 1.0])
def test_g_can_be_entered_at_each_level(level, alpha):
  """With what it made itself there, it makes the same picture."""
  z, _, variables, _ = inputs()
  styles = G.apply(variables, z, train=True, method='styles')
  go = lambda start, net=G: net.apply(
    variables, styles, start, train=True, alpha=alpha, method='synthesise'
  )
  whole = go(None)
  own = make(variables, z, level, 1.0)  # of its map alone
  if level == 16:
    own = whole.samples
  made = go(Start(level, whole.features[str(level)], own))
  # Two programs, whose sums XLA may take in other orders: of pictures near 1.
  np.testing.assert_allclose(made.samples, whole.samples, rtol=1e-5, atol=1e-5)
  assert set(made.features) == {str(s) for s in SIDES if s >= level}


def test_latents_are_on_the_sphere_and_labels_stand_behind_them():
  z, _, variables, _ = inputs()
  labels = jnp.arange(N) % 3
  hot = np.eye(3)[np.asarray(labels)]
  unit = lambda v: v / np.sqrt(np.mean(np.square(v), -1, keepdims=True))
  wanted = {
    'latent': np.concatenate([unit(z), hot], -1),
    'joint': unit(np.concatenate([z, hot], -1)),
    'none': np.concatenate([z, hot], -1),
  }
  for sphere, styles in wanted.items():
    net = G.clone(classes=3, sphere=sphere)
    found = net.apply({}, z, labels, train=True, method='styles')
    np.testing.assert_allclose(found, styles, rtol=1e-5)
  np.testing.assert_allclose(
    np.linalg.norm(G.apply({}, z, train=True, method='styles'), axis=-1),
    np.sqrt(Z),
    rtol=1e-5,
  )
  # So their length does not count.
  ours = make(variables, z, 16, 1.0)
  np.testing.assert_allclose(make(variables, 7 * z, 16, 1.0), ours, atol=1e-4)


GROUPS = {
  (4, 'contiguous'): {0, 1, 2, 3},
  (4, 'strided'): {0, 2, 4, 6},
  (0, 'contiguous'): set(range(8)),
  (0, 'strided'): set(range(8)),
  (1, 'contiguous'): {0},
}


@pytest.mark.parametrize('size, layout', GROUPS)
def test_whom_a_sample_is_judged_beside(size, layout):
  x = jax.random.normal(KEY, (8, 4, 4, 3))
  net = progan.Discriminator(
    (4, 4, 3), **TINY, group_size=size, group_layout=layout
  )
  variables = small.init(net, x)
  run = jax.jit(lambda x: net.apply(variables, x, train=True).logits)
  moved = np.abs(run(x) - run(x.at[0].multiply(3.0))) > 1e-6
  assert set(np.flatnonzero(moved)) == GROUPS[size, layout]
  assert net.per_sample == (size == 1)


def test_minibatch_discrimination_looks_at_the_whole_batch():
  x = jax.random.normal(KEY, (8, 4, 4, 3))
  net = progan.Discriminator((4, 4, 3), **TINY, group_size=1, discrimination=3)
  variables = small.init(net, x)
  run = lambda x: net.apply(variables, x, train=True).logits
  assert np.all(run(x) != run(x.at[0].multiply(3.0))) and not net.per_sample


def test_a_batch_that_does_not_fall_into_groups():
  _, x, _, variables = inputs()
  judge = lambda count, train: D.clone(group_size=3).apply(
    variables, reduce_to(x, 4)[:count], train=train
  )
  judge(3, True), judge(2, True)  # as many as there are
  assert judge(4, False).logits.shape == (4,)
  with pytest.raises(UserError, match='4 samples does not fall into groups of'):
    judge(4, True)


@pytest.mark.parametrize('group', [0, 1, 3, 4])
@pytest.mark.parametrize('batch', [1, 2, 3, 4, 6, 8])
def test_check_batch_refuses_what_a_training_pass_would(group, batch):
  """Of a network without a shape too, as validation has it."""
  net = D.clone(shape=None, group_size=group)

  def passes():
    forms(D.clone(group_size=group), jnp.zeros((batch, 4, 4, 3)))

  if group > 1 and batch > group and batch % group:
    for refused in (passes, lambda: net.check_batch(batch)):
      with pytest.raises(UserError, match='config.discriminator.group_size'):
        refused()
  else:
    net.check_batch(batch)
    passes()


@pytest.mark.parametrize('role', ['g', 'd'])
def test_without_an_equalised_rate_the_first_draw_has_the_constant(role):
  """The same function, if its kernels are the equalised ones so scaled."""
  z, x, *variables = inputs()
  net, sample, own = {'g': (G, z, variables[0]), 'd': (D, x, variables[1])}[
    role
  ]

  def scaled(path, value):
    layer, kind = path[-2].key, path[-1].key
    gain = 1.0 if layer.startswith(('to_rgb', 'score')) else np.sqrt(2)
    fan_in = np.prod(value.shape[:-1])
    return value * gain / np.sqrt(fan_in) if kind == 'kernel' else value

  plain = jax.tree_util.tree_map_with_path(scaled, own)
  run = lambda net, v: jax.tree.leaves(net.apply(v, sample, train=True))[0]
  other = net.clone(equalised=False)
  np.testing.assert_allclose(
    run(other, plain), run(net, own), rtol=1e-3, atol=1e-4
  )
  kernel = small.init(other, sample)['params']['conv_8_0']['kernel']
  he = np.sqrt(2 / np.prod(kernel.shape[:-1]))
  assert np.std(kernel) == pytest.approx(he, rel=0.1)


@pytest.mark.slow
def test_rows_of_table_1_with_norms_of_other_kinds():
  """Batch norm, ReLU and tanh in G, layer norm in D, level by level."""
  z, x, *_ = inputs()
  g = G.clone(norm='batch', slope=0.0, tanh=True, sphere='none')
  d = D.clone(norm='layer', group_size=1)
  assert d.per_sample and not D.clone(norm='batch', group_size=1).per_sample
  on_g, on_d = small.init(g, z), small.init(d, x)
  norms = {f'norm_{side}_{k}' for side in SIDES for k in (0, 1)}
  assert set(on_g['batch_stats']) == norms < {*on_g['params']}
  assert norms < {*on_d['params']}

  def stage(side):
    net = g.clone(resolution=side)
    return net.apply(on_g, z, train=True, mutable=['batch_stats'])

  made, new = stage(8)
  assert np.abs(made).max() <= 1 and np.abs(made).max() > 0.1
  # A stage's pass moves its own levels' averages and keeps all others.
  for name, stats in on_g['batch_stats'].items():
    same = small.identical(stats, new['batch_stats'][name])
    assert same == name.startswith('norm_16')
  # Normalised before the activation: of each channel, half is cut off.
  made, _ = g.apply(
    on_g, z, train=True, mutable=['batch_stats'], method='synthesise'
  )
  kept = made.features['16']
  assert np.min(kept) == 0.0 and 0.2 < np.mean(np.asarray(kept) > 0) < 0.8
  alone = d.apply(on_d, x[:1], train=True).logits
  np.testing.assert_allclose(
    alone, d.apply(on_d, x, train=True).logits[:1], rtol=1e-4, atol=1e-5
  )
