"""Feature spaces: what goes in, what comes out, on how many devices."""

import pathlib
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment as experiment_lib
from gan_jax.convert import feature_nets, weights
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.metrics import modes, resize, spaces
from gan_jax.released import Unread
from gan_jax.restore import restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('feature_nets')
CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


def settings(**given):
  defaults = dict(weights='', resizer='tf1_bilinear', classifier='')
  return types.SimpleNamespace(**defaults | given)


def pictures(count=41, size=24, channels=3):
  rng = np.random.default_rng(0)
  shape = (count, size, size, channels)
  return rng.integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(scope='module')
def random():
  return spaces.open_space('random', settings())


def test_the_number_of_devices_does_not_show(random):
  """Eight against one; a count that neither divides."""
  one = spaces.open_space('random', settings(), jax.local_devices()[:1])
  x = pictures()
  a, b = random(x)['features'], one(x)['features']
  assert a.shape == (41, 512) and len(jax.local_devices()) == 8
  np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_random_networks_are_those_of_a_plain_numpy_version(random):
  x = pictures(2)
  expected = np.asarray(resize.resize(x, 64, 'antialiased_bicubic'))
  expected, rng = expected / 127.5 - 1, np.random.RandomState(0)
  for width in (64, 128, 256, 512):
    fan = 9 * expected.shape[-1]
    kernel = np.sqrt(2 / fan) * rng.standard_normal(
      (3, 3, expected.shape[-1], width)
    )
    padded = np.pad(expected, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    windows = windows[:, ::2, ::2]  # [N, H, W, C, 3, 3]
    expected = np.einsum('nhwcij,ijcd->nhwd', windows, kernel, optimize=True)
    expected = np.maximum(expected, 0)
  got = random(x)['features']
  np.testing.assert_allclose(got, expected.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_a_picture_has_its_features_whatever_is_beside_it(random):
  x = pictures(5)
  alone = random(x[3:4])['features']
  np.testing.assert_allclose(random(x)['features'][3:4], alone, rtol=1e-5)


def test_grey_pictures_are_their_own_colours(random):
  grey = pictures(3, channels=1)
  a, b = random(grey), random(grey.repeat(3, -1))
  np.testing.assert_array_equal(a['features'], b['features'])


def test_colours_do_not_enter_a_grey_network():
  mean = lambda variables, x: {'features': x.mean((1, 2))}
  grey = spaces.Space('g', 'none', '', '', {}, mean, channels=1)
  x = pictures(3)
  with pytest.raises(UserError, match='takes pictures of 1 channel'):
    grey(x)
  same = x[..., :1].repeat(3, -1)
  np.testing.assert_array_equal(
    grey(same)['features'], grey(x[..., :1])['features']
  )


def test_vgg16_and_its_resizer(monkeypatch):
  module, variables = feature_nets.vgg16(rule.weights(ABOUT['nets']['vgg16']))
  loaded = weights.Loaded(module, variables, 'rule weights', 'abc')
  monkeypatch.setattr(weights, 'load', lambda name, named: loaded)
  space = spaces.open_space('vgg16', settings(), jax.local_devices()[:1])
  assert space.facts == {
    'resizer': 'antialiased_bicubic to 64-224 px',
    'weights': 'rule weights',
  }
  x = pictures(2)
  got = space(x)['features']
  big = resize.resize(x, 64, 'antialiased_bicubic') / 127.5 - 1
  expected = jax.jit(module.apply)(variables, big)['relu5_3'].mean((1, 2))
  assert got.shape == (2, 512)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_lpips_is_of_neighbours(monkeypatch):
  """A stand-in network, whose distance one can take by hand."""

  class Means(nn.Module):
    def __call__(self, a, b):
      return jnp.square(a - b).mean((1, 2, 3))

  loaded = weights.Loaded(Means(), {}, 'none', 'abc')
  monkeypatch.setattr(weights, 'load', lambda name, named: loaded)
  space = spaces.open_space('lpips_alex', settings())
  x = pictures(77)
  got = space(x)['distances']  # more than a batch; the last has no partner
  big = np.asarray(resize.resize(x, 64, 'antialiased_bicubic')) / 127.5 - 1
  expected = np.square(big[:-1:2] - big[1::2]).mean((1, 2, 3))
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  assert space.resizer == 'antialiased_bicubic to 64-256 px'


@pytest.mark.slow
@pytest.mark.parametrize(
  'short, resizer', [('tf', 'tf1_bilinear'), ('hp', 'half_pixel_bilinear')]
)
def test_inception_from_a_file_to_its_features(
  short, resizer, tmp_path, monkeypatch
):
  """torch-fidelity's and pytorch-fid's numbers, through every part of ours."""
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'cache'))
  file = tmp_path / 'rule.npz'
  np.savez(file, **rule.weights(ABOUT['nets']['inception']))
  given = settings(weights=str(file), resizer=resizer)
  space = spaces.open_space('inception', given, jax.local_devices()[:1])
  assert space.resizer == f'{resizer} to 299 px'
  assert 'not the published 6726825d' in space.about
  found = space(inputs.value(ABOUT, ARRAYS, 'img_32x32'))
  case = f'inception_{short}_32x32'
  names = {'pool3_2048': 'features', 'logits_unbiased': 'logits'}
  for theirs, ours in names.items():
    if theirs in ABOUT['cases'][case]['out']:
      kept = rule.stored(ABOUT, ARRAYS, case, theirs)
      assert rule.relative_error(found[ours], *kept) < 1e-5
  assert 'pool3_2048' in ABOUT['cases'][case]['out']


def save_run(folder, spec, shape, classes):
  """The folder of a run that has taken no step, and what it was made of."""
  config = config_lib.load(str(CONFIGS / spec))
  experiment = experiment_lib.build(config, shape, classes)
  state = experiment_lib.initial_state(experiment, 0, one_device())
  run = RunDir(folder)
  source = Unread('nothing', shape)
  source.classes = tuple(map(str, range(classes)))
  run.save_data(source)
  run.save_config(config_lib.to_json(config))
  save(folder, 0, state)
  return experiment.objective.discriminator, state


def save(folder, step, state):
  saved = Checkpoints(RunDir(folder).checkpoints)
  saved.save(step, state)
  saved.close()


def test_a_classifier_of_ones_own(tmp_path):
  spec, shape = 'classifier_cifar.py:test', (16, 16, 1)
  network, state = save_run(tmp_path, spec, shape, 10)

  def open_classifier():
    given = settings(classifier=restore(tmp_path, one_device()))
    return spaces.open_space('classifier', given, jax.local_devices()[:1])

  space = open_classifier()
  variables = state.pair.d.variables
  x = pictures(5, size=16, channels=1)
  got = space(x.repeat(3, -1))  # grey pictures, saved in colour
  apply = jax.jit(lambda v, x: network.apply(v, x, train=False).logits)
  logits = apply(variables, x / np.float32(127.5) - 1)
  np.testing.assert_allclose(got['logits'], logits, atol=1e-4)
  # The logits are a linear function of the features: nothing is in between.
  dense = variables['params']['Dense_0']
  linear = got['features'] @ dense['kernel'] + dense['bias']
  np.testing.assert_allclose(linear, logits, atol=1e-4)
  assert space.digest[:12] in space.about and str(tmp_path) in space.about
  # Another state of the same run has another hash.
  d = state.pair.d
  d = d.replace(params=jax.tree.map(lambda x: x + 1, d.params))
  save(tmp_path, 1, state.replace(pair=state.pair.replace(d=d)))
  later = open_classifier()
  assert later.digest != space.digest and 'step 1 of' in later.about


def test_stacked_digits_are_classified_channel_by_channel(tmp_path):
  network, state = save_run(
    tmp_path, 'classifier_cifar.py:test', (16, 16, 1), 10
  )
  given = settings(classifier=restore(tmp_path, one_device()))
  space = spaces.open_space('stacked', given, jax.local_devices()[:1])
  x = pictures(40, size=16)
  got = space(x)['classes']
  one = jax.jit(
    lambda x: network.apply(state.pair.d.variables, x, train=False).logits
  )
  digits = [
    np.argmax(one(x[..., k : k + 1] / np.float32(127.5) - 1), 1)
    for k in range(3)
  ]
  assert len(np.unique(digits)) > 1
  np.testing.assert_array_equal(got, modes.stacked_labels(np.stack(digits, 1)))


def test_stacked_digits_want_a_classifier_of_grey_ones(tmp_path):
  save_run(tmp_path, 'classifier_cifar.py:test', (16, 16, 3), 10)
  given = settings(classifier=restore(tmp_path, one_device()))
  with pytest.raises(UserError, match='10 classes and 3 channel'):
    spaces.open_space('stacked', given)


def test_a_gans_discriminator_is_no_classifier(tmp_path):
  save_run(tmp_path, 'mlp_toy.py:test', (2,), 8)
  with pytest.raises(UserError, match='is the run of a GAN'):
    given = settings(classifier=restore(tmp_path, one_device()))
    spaces.open_space('classifier', given)


def test_missing_weights_and_classifiers_are_named(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path))
  with pytest.raises(UserError, match='weights of inception are missing'):
    spaces.open_space('inception', settings())
  with pytest.raises(UserError, match='name its folder by'):
    spaces.open_space('classifier', settings())
