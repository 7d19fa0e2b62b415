"""GLeaD's task and GGDR: what they learn from, what they refuse.

lead_golden_test.py compares them with the released code.
"""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import experiment, tasks
from gan_jax.convert import weights
from gan_jax.data.pipeline import Batch
from gan_jax.errors import UserError
from gan_jax.networks import Judgement, Made, progan, stylegan2
from gan_jax.networks.alexnet import AlexNet
from gan_jax.networks.lpips import Lpips
from gan_jax.state import Span
from gan_jax.tasks import perceptual
from gan_jax.tasks.align import cosine_distance
from gan_jax.tasks.lead import PRESETS, Entry, Lead
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small, tiny

KEY = jax.random.key(4)
SIDE, N = 32, 4
QUICK = {'xla_backend_optimization_level': 0}
STYLEGAN2 = dict(name='stylegan2', fmap_base=64, fmap_max=4, depth=2)
PROGAN = dict(name='progan', fmap_base=16, fmap_max=4)


def normal(*shape, seed=0):
  return np.float32(np.random.default_rng(seed).normal(size=shape))


def shapes(sides, width):
  """Maps of these sides, as shapes."""
  return {
    str(k): jax.ShapeDtypeStruct((1, k, k, width(k)), jnp.float32)
    for k in sides
  }


@pytest.mark.parametrize(
  'name, more', [('paper', 1_839_107), ('official_lsun', 1_838_595),
                 ('official_ffhq', 1_772_803), ('align', 1_574_656)]
)  # fmt: skip
def test_parameters_are_as_many_as_released(name, more):
  """Beside D's 24,001,089 at 256 px, of channels 16384 / side (Table 7)."""
  maps = shapes([4, 8, 16, 32, 64], lambda side: min(16384 // side, 512))
  opponent = types.SimpleNamespace(
    styles=lambda z: jnp.zeros((1, 14, 512)),
    game=types.SimpleNamespace(
      generator=stylegan2.Generator((256, 256, 3), fmap_base=16384)
    ),
  )

  def own(maps, seen):
    view = types.SimpleNamespace(
      on_real=Judgement(None, maps),
      on_fake=Judgement(None, maps),
      made=Made(seen, maps),
      seen_real=seen,
      opponent=opponent,
      latents=lambda count: None,
    )
    made = PRESETS.get(name, dict(resolution=64))
    kind = tasks.TASKS['lead' if name in PRESETS else name]
    return kind.make(**made).init(view, KEY)[0]

  seen = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
  found = jax.eval_shape(own, maps, seen)
  assert sum(x.size for x in jax.tree.leaves(found)) == more


@settings(max_examples=20)
@given(n=st.integers(1, 3), side=st.integers(1, 4), c=st.integers(1, 5),
       seed=st.integers(0, 99), scale=st.floats(0.01, 100))  # fmt: skip
def test_cosines_are_of_channels_whatever_their_size(n, side, c, seed, scale):
  a, b = (normal(n, side, side, c, seed=seed + k) for k in (0, 100))
  dot = (np.float64(a) * b).sum(-1)
  wanted = 1 - dot / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
  found = cosine_distance(scale * a, b)
  np.testing.assert_allclose(found, wanted.mean((1, 2)), atol=1e-4)


def test_a_cosine_with_nothing_has_a_gradient():
  slope = jax.grad(lambda a: cosine_distance(a, jnp.ones((1, 2, 2, 3)))[0])
  assert np.isfinite(slope(jnp.zeros((1, 2, 2, 3)))).all()


def test_features_without_heads(monkeypatch):
  """The mean over layers of squared distances on the unit sphere."""
  network = Lpips(AlexNet())  # smaller than VGG-16
  monkeypatch.setitem(perceptual.NETWORKS, 'vgg16', network)
  (frozen,) = perceptual.frozen('vgg16', '', 'x', '').values()
  a, b = normal(2, 32, 32, 1), normal(2, 32, 32, 1, seed=1)

  @jax.jit
  def both(key):
    variables = frozen.first(key)
    colour = lambda x: jnp.repeat(x, 3, -1)
    features = [AlexNet().apply(variables, colour(x)) for x in (a, b)]
    found = perceptual.distance('vgg16', {'vgg16': variables}, a, b)
    return found, [[f[name] for name in AlexNet.taps] for f in features]

  found, layers = both(KEY)
  unit = lambda x: x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-10)
  apart = [
    ((unit(np.asarray(x)) - unit(np.asarray(y))) ** 2).sum(-1).mean((1, 2))
    for x, y in zip(*layers, strict=True)
  ]
  np.testing.assert_allclose(found, np.mean(apart, 0), rtol=1e-3)


class Rebuilding:
  """A frozen G in a view: it makes one picture of all, and notes its keys."""

  def __init__(self, now, keys):
    self.now, self.keys = now, keys

  def _replace(self, now):
    return Rebuilding(now, self.keys)

  def synthesise(self, styles, start):
    self.keys.append(tuple(map(int, jax.random.key_data(self.now))))
    assert start.level == 8 and styles.shape == (N, 6)
    return Made(jnp.full((N, 16, 16, 3), 0.25), {})


def viewed(**seen):
  """A view of D's maps of 16 px, with own parameters of a `Lead` at 8 px."""
  maps = lambda seed: Judgement(
    None, {str(k): normal(N, k, k, 5, seed=seed) for k in (4, 8, 16)}
  )
  view = types.SimpleNamespace(
    on_real=maps(0), on_fake=maps(1), key=KEY, carried={}, constants={},
    made=Made(None, {'8': normal(N, 8, 8, 7, seed=2)}), **seen,
  )  # fmt: skip
  view.latents = lambda count: None
  view.opponent = types.SimpleNamespace(
    styles=lambda z: jnp.zeros((1, 14, 6)),
    game=types.SimpleNamespace(generator=types.SimpleNamespace(
      enters_with=('rgb', 'styles')
    )),
  )  # fmt: skip
  own = Lead(resolution=8).init(view, KEY)[0]
  now = types.SimpleNamespace(_replace=lambda key: key)
  view.opponent = Rebuilding(now, [])
  return own, view


def test_the_target_is_what_d_saw_and_each_part_has_its_factor():
  real, fake = (normal(N, 16, 16, 3, seed=k) for k in (0, 1))
  own, view = viewed(seen_real=real, seen_fake=fake)
  far = lambda x: float(perceptual.across_scales(x, 0.25 + 0 * x).mean())
  off = {'real': far(real), 'fake': far(fake)}
  value, carried, metrics = Lead(resolution=8).value(own, view)
  assert carried == {}
  assert {k: float(x) for k, x in metrics.items()} == pytest.approx(
    {f'lead_{k}_pixels': x for k, x in off.items()}, rel=1e-5
  )
  wanted = 10 * off['real'] + 3 * off['fake']
  assert float(value) == pytest.approx(wanted, rel=1e-5)
  assert len(set(view.opponent.keys)) == 2  # noise of its own for each
  alone = Lead(resolution=8, fake=0.0).value(own, view)
  assert float(alone[0]) == pytest.approx(10 * off['real'], rel=1e-5)
  assert set(alone[2]) == {'lead_real_pixels'}


def test_ours_has_gs_features_for_a_target_of_fakes():
  seen = normal(N, 16, 16, 3)
  own, view = viewed(seen_real=seen, seen_fake=seen)
  task = Lead(resolution=8, real=0.0, fake=10.0, fake_target='features')
  value, _, metrics = task.value(own, view)
  told = task.encode(own, view.on_fake.features).features
  off = float(cosine_distance(told, view.made.features['8']).mean())
  assert float(value) == pytest.approx(10 * off, rel=1e-5)
  assert set(metrics) == {'lead_fake_cosine'} and view.opponent.keys == []


def test_w_is_the_mean_and_maps_are_reduced_before_linear_heads():
  seen = normal(N, 16, 16, 3)
  own, view = viewed(seen_real=seen, seen_fake=seen)
  features = view.on_real.features
  whole = Lead(resolution=8).encode(own, features)
  half = Lead(resolution=4).encode(own, features)
  means = lambda x: np.asarray(x).reshape(N, 4, 2, 4, 2, -1).mean((2, 4))
  for name in ('features', 'rgb'):
    np.testing.assert_allclose(
      getattr(half, name), means(getattr(whole, name)), atol=1e-5
    )
  np.testing.assert_allclose(half.styles, whole.styles, atol=1e-5)
  alone = Lead(resolution=1).encode({'styles': own['styles']}, features)
  assert alone.features is None and alone.styles.shape == (N, 6)


@pytest.fixture(scope='module')
def learned():
  """Gradients of the term at both players, and D's metrics at two Gs."""
  terms = {'lead': tasks.TASKS['lead'].make(resolution=4)}
  game = tiny.game(terms)

  @functools.partial(jax.jit, compiler_options=QUICK)
  def go(real):
    now = small.now(real, KEY)
    z = tiny.latents(KEY, N)
    optimizers = types.SimpleNamespace(g=optax.sgd(0.1), d=optax.sgd(0.1))
    pair = game.first_pair(z[:1], real[:1], optimizers, KEY)
    g, d = pair.g, pair.d
    made, _ = game.generate(g.params, g.stats, z, now)

    def total(d_params, g_params):
      frozen = g.replace(params=g_params)
      _, (_, metrics) = game.d_loss(d_params, d.stats, frozen, made, now)
      return metrics['lead'], metrics

    slopes, metrics = jax.grad(total, (0, 1), has_aux=True)(d.params, g.params)
    other = jax.tree.map(lambda x: 2 * x, g.params)
    return slopes, metrics, total(d.params, other)[1]

  return go(normal(N, *tiny.SHAPE))


def test_d_learns_through_g_and_g_nothing(learned):
  (of_d, of_g), metrics, _ = learned
  assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(of_g))
  assert set(of_d['terms']['lead']) == {'features', 'rgb', 'styles'}
  behind = {'terms', 'from_8', 'block_8'}  # the map that it is told from
  for path, slope in jax.tree_util.tree_leaves_with_path(of_d):
    assert np.any(np.asarray(slope) != 0) == (path[0].key in behind), path
  total = 10 * metrics['lead_real_pixels'] + 3 * metrics['lead_fake_pixels']
  np.testing.assert_allclose(metrics['lead'], total, rtol=1e-5)


def test_it_goes_through_g_as_it_is_now(learned):
  _, metrics, other = learned
  for name in ('lead_real_pixels', 'lead_fake_pixels'):
    assert not np.isclose(metrics[name], other[name], rtol=1e-3), name


def test_a_map_of_progan_is_enough_to_go_on_from():
  """In the middle of a fade, too, where the level below gives a picture."""
  g = progan.Generator((16, 16, 1), fmap_base=16, fmap_max=4)
  z, alpha = normal(2, 5), jnp.float32(0.3)

  @jax.jit
  def run():
    variables = g.init(KEY, z, train=False)
    apply = lambda *args: g.apply(
      variables, *args, train=False, alpha=alpha, method='synthesise'
    )
    whole = apply(z)
    task = Lead(resolution=8)
    entry = Entry(whole.features['8'], None, None)
    return whole.samples, task.rebuild(entry, apply)

  whole, again = run()
  np.testing.assert_allclose(again, whole, atol=1e-6)


def config(network=None, other=None, side=SIDE, **sections):
  """Of networks on digits, with the task at 8 px."""
  c = config_lib.defaults().unlock()
  c.data.update(source='digits', resolution=side, channels=1)
  c.generator = dict(network or STYLEGAN2)
  c.discriminator = dict(other or network or STYLEGAN2)
  c.loss.name, c.latent.size, c.train.batch = 'non_saturating', 5, N
  c.tasks.lead.update(weight=1.0, resolution=8)
  for name, values in sections.items():
    if name == 'tasks':
      for task, more in values.items():
        c.tasks[task].update(more)
    else:
      c[name].update(values)
  return config_lib.finish(c)


def lead(**more):
  return dict(tasks=dict(lead=more))


GROWING = dict(start=16, stable_images=8, fade_images=8)
ALIGN = dict(lead=dict(weight=0.0), align=dict(weight=10.0, resolution=16))
RESIDUAL = STYLEGAN2 | dict(form='residual', style_size=6)
DCGAN = dict(name='dcgan', width=4)
slow = pytest.mark.slow


@pytest.mark.parametrize(
  'made, heads',
  [
    (lambda: config(RESIDUAL, STYLEGAN2), {'features', 'styles'}),
    pytest.param(
      lambda: config(PROGAN, growth=GROWING), {'features'}, marks=slow
    ),
    pytest.param(
      lambda: config(PROGAN, **lead(resolution=1)), {'styles'}, marks=slow
    ),
    pytest.param(
      lambda: config(STYLEGAN2, DCGAN), {'features', 'rgb', 'styles'},
      marks=slow,
    ),
    (
      lambda: config(
        STYLEGAN2, STYLEGAN2 | dict(group_size=1), **lead(fake=0.0),
        scheme=dict(name='one_stage'),
      ),
      {'features', 'rgb', 'styles'},
    ),
    (lambda: config(tasks=ALIGN, augment=dict(diff=('color',))), None),
  ],
)  # fmt: skip
def test_it_goes_with_what_it_can(made, heads):
  """Traced at every stage, not compiled: heads are for what G looks at."""
  c = made()
  validate(c)
  built = experiment.build(c, (SIDE, SIDE, 1), 0)
  state = jax.eval_shape(built.init, KEY)
  ((name, own),) = state.pair.d.params['terms'].items()
  wide = {k for k in own if not k.startswith('up_')}
  assert wide == (heads or set()) and name == ('lead' if heads else 'align')
  for stage in built.growth.stages:
    image = jax.ShapeDtypeStruct((1, N, SIDE, SIDE, 1), jnp.float32)
    batch = Batch(image, jax.ShapeDtypeStruct((1, N), jnp.int32))
    new, metrics = jax.eval_shape(
      built.make_step(stage), state, {}, batch, Span()
    )
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert name in metrics


@pytest.mark.parametrize(
  'made, words',
  [
    (lambda: config(DCGAN), ['tasks.lead', "'dcgan'", "'stylegan2'"]),
    (
      lambda: config(**lead(resolution=32)),
      ['lead.resolution = 32', '16 px', '4, 8, 16 px', 'weight = 0.0'],
    ),
    (
      lambda: config(PROGAN, growth=GROWING, **lead(resolution=16)),
      ['lead.resolution = 16', '8 px', '4, 8 px'],
    ),
    (
      lambda: config(PROGAN, growth=GROWING | dict(start=4)),
      ['lead.resolution = 8', 'has no map', 'larger'],
    ),
    (
      lambda: config(STYLEGAN2, dict(name='mlp', width=8, depth=3)),
      ["lead.resolution names '4'", 'has no maps'],
    ),
    (
      lambda: config(**lead(decoder=64)),
      ["lead.decoder names '64'", "'32', '16', '8', '4'"],
    ),
    (
      lambda: config(**lead(resolution=16, decoder=8)),
      ['lead.decoder = 8', 'resolution = 16', 'set it to 0'],
    ),
    (lambda: config(**lead(real=0.0, fake=0.0)), ['rebuilds nothing']),
    (
      lambda: config(**lead(resolution=1, fake_target='features')),
      ["fake_target = 'features'", 'resolution = 1', "'picture'"],
    ),
    (
      lambda: config(
        STYLEGAN2, STYLEGAN2 | dict(group_size=1),
        scheme=dict(name='one_stage'),
      ),
      ['one_stage', 'tasks.lead', 'features of the fakes'],
    ),
    (
      lambda: config(
        tasks=ALIGN, augment=dict(diff=('color', 'translation'))
      ),
      ['tasks.align', "'translation'", "('color',)"],
    ),
    (
      lambda: config(
        **lead(fake_target='features'), augment=dict(diff=('cutout',))
      ),
      ['tasks.lead', "'cutout'"],
    ),
    (
      lambda: config(tasks=ALIGN, augment=dict(ada=('blit', 'color'))),
      ['tasks.align', 'config.augment.ada', "'blit'", "('color',)"],
    ),
    (
      lambda: config(tasks=ALIGN | dict(align=dict(weight=1.0))),
      ['align.resolution = 64', '4, 8, 16, 32 px'],
    ),
    (
      lambda: config(**lead(phase='after')),
      ["lead.phase = 'after'", 'features_real'],
    ),
  ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_a_sentence(made, words):
  with pytest.raises(UserError) as refused:
    c = made()
    validate(c)
    experiment.build(c, (SIDE, SIDE, 1), 0)
  text = str(refused.value)
  assert '\n' not in text and all(word in text for word in words), text


@pytest.mark.parametrize('loss', perceptual.NETWORKS)
def test_weights_are_asked_for_by_name(loss, tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'none'))
  weights._load.cache_clear()
  with pytest.raises(UserError) as refused:
    train(config(train=dict(batch=8), **lead(loss=loss)), tmp_path / 'run')
  text = str(refused.value)
  assert '--config.tasks.lead.weights' in text and 'https://' in text
  assert '--config.tasks.lead.loss=pixels' in text and '\n' not in text
  assert not (tmp_path / 'run' / 'config.json').exists()
