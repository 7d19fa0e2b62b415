"""Contrast, aspect ratio, rotation; all of D's tasks under every scheme."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax import terms as terms_lib
from gan_jax.data.pipeline import Batch
from gan_jax.networks import Judgement
from gan_jax.state import Span, stream
from gan_jax.tasks import TASKS, contrastive, heads, rotation
from gan_jax.tasks.aspect_ratio import stretched
from tests import contracts_test, small, tiny

KEY = jax.random.key(3)
SCHEMES = ('two_stage', 'one_stage', 'simultaneous')
WEIGHTS = dict(autoencode=0.7, contrastive=0.3, aspect_ratio=2.0, rotation=0.5)


def normal(*shape, seed=0):
  return np.float32(np.random.default_rng(seed).normal(size=shape))


@settings(max_examples=12)
@given(
  n=st.sampled_from([1, 2, 7]), seed=st.integers(0, 99), t=st.floats(0.05, 10)
)
def test_nt_xent_is_equation_1_of_simclr(n, seed, t):
  a, b = normal(n, 3, seed=seed), normal(n, 3, seed=seed + 1)
  x = np.float64(np.concatenate([a, b]))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  total = 0.0
  for i in range(2 * n):
    others = np.array([x[i] @ x[k] / t for k in range(2 * n) if k != i])
    log_sum = others.max() + np.log(np.exp(others - others.max()).sum())
    total += log_sum - x[i] @ x[(i + n) % (2 * n)] / t
  found = contrastive.nt_xent(jnp.asarray(a), jnp.asarray(b), t)
  np.testing.assert_allclose(found, total / (2 * n), rtol=1e-4, atol=1e-4 / t)


def test_nt_xent_of_a_vector_of_zeros_has_a_gradient():
  slope = jax.grad(contrastive.nt_xent)(
    jnp.zeros((2, 3)), jnp.ones((2, 3)), 0.1
  )
  assert np.isfinite(slope).all()


def test_each_picture_is_turned_by_its_own_quarters():
  x = normal(4, 6, 6, 2)
  quarters = jnp.array([3, 0, 1, 2])
  found = rotation.turned(x, quarters)
  for picture, k, got in zip(x, quarters, found, strict=True):
    np.testing.assert_array_equal(got, np.rot90(picture, int(k)))


@settings(max_examples=10)
@given(u=st.floats(-1, 1), seed=st.integers(0, 50))
def test_a_stretched_ramp_has_the_slope_of_its_ratio(u, seed):
  """A ramp from -1 to 1 over a window of width w is w times as steep."""
  ramp = np.broadcast_to(np.linspace(-1, 1, 64, dtype=np.float32), (64, 64))
  both = np.stack([ramp, ramp.T])[..., None]  # across, down
  found = stretched(both, jnp.float32([u, u]), jax.random.key(seed))
  wide, high = min(1.0, 2.0**u), min(1.0, 2.0**-u)
  slope = 2 / 63
  across, down = found[0, 32, :, 0], found[1, :, 32, 0]
  inner = slice(2, -2)  # at the borders the nearest pixel is repeated
  np.testing.assert_allclose(np.diff(across)[inner], slope * wide, atol=1e-3)
  np.testing.assert_allclose(np.diff(down)[inner], slope * high, atol=1e-3)
  assert -1.001 <= found.min() and found.max() <= 1.001


def test_windows_of_the_whole_are_the_pictures():
  x = normal(3, 8, 8, 2)
  whole = heads.windows(x, jnp.zeros((3, 2)), jnp.ones((3, 2)))
  np.testing.assert_allclose(whole, x, atol=1e-6)


def test_the_second_view_is_another_one_of_the_same_picture():
  flat = np.ones((5, 8, 8, 1), np.float32) * np.arange(5)[:, None, None, None]
  np.testing.assert_allclose(contrastive.other_view(flat, KEY), flat, atol=1e-5)
  x = normal(5, 8, 8, 1)
  one = contrastive.other_view(x, KEY)
  assert not np.allclose(one, x, atol=0.1)
  same = contrastive.other_view(np.repeat(x[:1], 5, 0), KEY)
  assert len({np.asarray(view).tobytes() for view in same}) == 5


class Play:
  """D's pass in a view: it notes what it was given, and gives maps of it."""

  def __init__(self, maps):
    self.maps, self.seen = maps, []

  def __call__(self, samples, name='term'):
    self.seen.append(np.asarray(samples))
    return Judgement(None, {'8': self.maps(samples)})


def judged_by_hand(name, maps, real, own, **more):
  """A task's value for given maps of what D is shown, and the samples shown."""
  term = TASKS[name].make(features=('8',), **more)
  view = types.SimpleNamespace(
    real=real, play=Play(maps), key=KEY, carried={}, on_real=Judgement(
      None, {'8': maps(real)}
    )
  )  # fmt: skip
  value, carried, metrics = term.value(own, view)
  assert carried == {} and metrics == {}
  return value, view.play.seen


def test_rotation_knows_what_it_asks_for():
  """A D whose map says which corner is bright, and a head that knows."""
  real = np.zeros((16, 4, 4, 1), np.float32)
  real[:, 0, 0] = 1.0
  corners = lambda x: jnp.stack(
    [x[:, 0, 0, 0], x[:, -1, 0, 0], x[:, -1, -1, 0], x[:, 0, -1, 0]], 1
  )[:, None, None, :]
  right = {'out': {'kernel': 50.0 * np.eye(4), 'bias': np.zeros(4)}}
  value, (seen,) = judged_by_hand('rotation', corners, real, right)
  assert value == pytest.approx(0.0, abs=1e-6)
  assert len({x.tobytes() for x in seen}) == 4
  blind = {'out': {'kernel': np.zeros((4, 4)), 'bias': np.zeros(4)}}
  value, _ = judged_by_hand('rotation', corners, real, blind)
  assert value == pytest.approx(np.log(4), rel=1e-5)


def test_aspect_ratio_knows_what_it_asks_for():
  """Of ramps down and across, slopes tell the ratio to a D that looks."""
  ramp = np.broadcast_to(np.linspace(-1, 1, 32, dtype=np.float32), (32, 32))
  real = np.repeat(np.stack([ramp, ramp.T], -1)[None], 12, 0)

  def told(x):
    wide = x[:, 16, 20, 0] - x[:, 16, 10, 0]
    high = x[:, 20, 16, 1] - x[:, 10, 16, 1]
    return jnp.log2(wide / high)[:, None, None, None]

  right = {'out': {'kernel': np.ones((1, 1)), 'bias': np.zeros(1)}}
  value, (seen,) = judged_by_hand('aspect_ratio', told, real, right)
  assert value == pytest.approx(0.0, abs=1e-4)
  assert len({x.tobytes() for x in seen}) == 12
  blind = {'out': {'kernel': np.zeros((1, 1)), 'bias': np.zeros(1)}}
  value, _ = judged_by_hand('aspect_ratio', told, real, blind)
  wanted = np.mean(np.asarray(told(seen)) ** 2)
  assert value == pytest.approx(wanted, rel=1e-3)


def test_contrast_is_least_where_both_views_of_a_picture_agree():
  """Maps that tell the brightness of flat pictures, which no view changes."""
  angle = np.linspace(0, 6, 7, dtype=np.float32)
  real = np.broadcast_to(angle[:, None, None, None], (7, 8, 8, 1))
  circle = lambda x: jnp.concatenate([jnp.cos(x), jnp.sin(x)], -1)
  eye = lambda n, m: {'kernel': np.eye(n, m), 'bias': np.zeros(m)}
  own = {
    'hidden': {'kernel': np.eye(2, 4) - np.eye(2, 4, 2), 'bias': np.zeros(4)},
    'out': {'kernel': np.eye(4, 2) - np.eye(4, 2, -2), 'bias': np.zeros(2)},
  }
  term = functools.partial(
    judged_by_hand, 'contrastive', circle, real, temperature=0.01
  )
  own['out'] = {k: np.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, 126)])
                for k, v in own['out'].items()}  # fmt: skip
  assert term(own)[0] < 0.05
  own['out'] = eye(4, 128)
  own['out']['kernel'] = np.zeros((4, 128))
  assert term(own)[0] == pytest.approx(np.log(13), rel=1e-3)


def tasks_of_tiny(*names):
  """Tasks on the tiny D's maps, by name; of none all four."""
  own = {
    'autoencode': dict(whole=(), part=('4',)),
    'contrastive': dict(features=('4', '8'), temperature=0.1),
    'aspect_ratio': dict(features=('4',)),
    'rotation': dict(features=('8',)),
  }
  return {
    name: TASKS[name].make(**own[name])._replace(weight=WEIGHTS[name])
    for name in names or own
  }


@functools.cache
def stepped(scheme, with_tasks=True):
  found = tasks_of_tiny() if with_tasks else {}
  return contracts_test.sgd_step(scheme, found)


def moved(before, after):
  """What the network's own parameters changed by."""
  own = terms_lib.network_only
  return small.flat(own(after.params)) - small.flat(own(before.params))


@pytest.mark.parametrize(
  'scheme', [pytest.param('one_stage', marks=pytest.mark.slow), 'simultaneous']
)
def test_d_learns_the_weighted_sum_and_g_nothing_of_it(scheme):
  before, after, batch, metrics, game = stepped(scheme)
  _, plain, *_ = stepped(scheme, False)
  np.testing.assert_allclose(
    small.flat(after.pair.g.params), small.flat(plain.pair.g.params), atol=1e-7
  )
  d, key = before.pair.d, jax.random.fold_in(before.key, 0)
  judge = lambda params, x: tiny.Discriminator().apply(
    {'params': terms_lib.network_only(params)}, x, train=True
  )

  @jax.jit
  @jax.grad
  def slope(params):
    total = 0.0
    for name, term in game.terms.items():
      view = types.SimpleNamespace(
        real=batch.image[0],
        seen_real=batch.image[0],
        on_real=judge(params, batch.image[0]),
        play=functools.partial(judge, params),
        key=stream(key, name),
        carried=d.stats['terms'].get(name, {}).get('carried', {}),
        constants={},
      )
      total += WEIGHTS[name] * term.value(params['terms'][name], view)[0]
    return total

  wanted = slope(d.params)
  alone = moved(stepped(scheme, False)[0].pair.d, plain.pair.d)
  ours = moved(d, after.pair.d) - alone
  np.testing.assert_allclose(
    ours, -0.1 * small.flat(terms_lib.network_only(wanted)), atol=2e-6
  )
  heads_moved = jax.tree.map(
    lambda a, b: b - a, d.params['terms'], after.pair.d.params['terms']
  )
  np.testing.assert_allclose(
    small.flat(heads_moved), -0.1 * small.flat(wanted['terms']), atol=2e-6
  )
  assert set(WEIGHTS) <= set(metrics)


def test_one_stage_is_exact_with_them():
  one, both = (stepped(name)[1].pair for name in SCHEMES[1:])
  for role in 'gd':
    np.testing.assert_allclose(
      small.flat(getattr(one, role).params),
      small.flat(getattr(both, role).params),
      rtol=2e-4,
      atol=2e-6,
    )


@pytest.mark.slow
def test_an_ensemble_has_heads_for_every_pair():
  """Its local pairs train in two stages."""
  names = ('autoencode', 'rotation')
  made = contracts_test.built(
    tiny.game(tasks_of_tiny(*names)), 'two_stage', pairs=2
  )
  state = contracts_test.quickly(made.init)(jax.random.key(0))
  (span,), (stage,), _ = made.growth
  step = contracts_test.quickly(made.make_step(stage))
  new, metrics = step(state, {}, contracts_test.batch(stage.draws), span)
  assert all(np.isfinite(x) for x in metrics.values())
  assert {*names, *(f'local_{name}' for name in names)} <= set(metrics)
  for (role, before), (_, after) in zip(
    contracts_test.players(state), contracts_test.players(new), strict=True
  ):
    own = before.params.get('terms', {})
    assert set(own) == (set(names) if role == 'd' else set())
    for name in own:
      assert not small.identical(own[name], after.params['terms'][name])
    if role == 'd':  # the decoders' statistics move, and stay finite
      a, b = (x.stats['terms']['autoencode'] for x in (before, after))
      assert not small.identical(a, b) and np.isfinite(small.flat(b)).all()
  own = new.local_pairs.d.params['terms']['rotation']['out']['kernel']
  assert not np.array_equal(own[0], own[1])


def config(network, **sections):
  """A network's config on digits, with all four tasks on its maps."""
  c = config_lib.defaults().unlock()
  c.data.update(source='digits', resolution=32, channels=1)
  for player in ('generator', 'discriminator'):
    c[player] = dict(name=network)
    of_progan = dict(fmap_base=16, fmap_max=8)
    c[player].update(of_progan if network == 'progan' else dict(width=4))
  for name in WEIGHTS:
    c.tasks[name].weight = 1.0
    if 'features' in c.tasks[name]:
      c.tasks[name].features = ('4',)
  c.tasks.autoencode.update(whole=('4',), part=('4',))
  c.loss.name = 'non_saturating'
  c.latent.size = 5
  for name, values in sections.items():
    c[name].update(values)
  return config_lib.finish(c)


@pytest.mark.parametrize('network', ['dcgan', 'progan', 'fastgan'])
def test_they_serve_every_discriminator_with_maps(network):
  """Traced, at each stage, not compiled: the shapes are what can differ.

  FastGAN has the maps of the defaults.
  """
  growth = dict(start=16, stable_images=8, fade_images=8)
  c = config(network, growth=growth if network == 'progan' else {}).unlock()
  side = 32
  if network == 'fastgan':
    c.tasks, side = config_lib.defaults().tasks, 64
    for name in WEIGHTS:
      c.tasks[name].weight = 1.0
    c.data.resolution = side
  made = experiment.build(c.lock(), (side, side, 1), 0)
  state = jax.eval_shape(made.init, KEY)
  for stage in made.growth.stages:
    image = jax.ShapeDtypeStruct((1, 4, side, side, 1), jnp.float32)
    batch = Batch(image, jax.ShapeDtypeStruct((1, 4), jnp.int32))
    new, metrics = jax.eval_shape(
      made.make_step(stage), state, {}, batch, Span()
    )
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert set(WEIGHTS) <= set(metrics)
