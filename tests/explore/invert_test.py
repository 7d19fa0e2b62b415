"""--tool=invert: what it finds, how it goes on, what it is measured by."""

import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import explore as explore_lib
from gan_jax.convert import weights
from gan_jax.data import open_source
from gan_jax.data.source import to_bytes, to_float
from gan_jax.errors import UserError
from gan_jax.explore import latents, likeness, pairs, search
from gan_jax.explore import targets as targets_lib
from gan_jax.explore.likeness import across_scales
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.sampler import Sampler
from gan_jax.train import train
from tests import small

explore = explore_lib.explore
STEM = 'step_000000004'
FIELDS = latents.Inverted._fields


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  """A smooth generator with classes, a fifth of its pictures held out."""
  folder = tmp_path_factory.mktemp('run')
  digits = dict(source='digits', split='train[:10%]', held_out=0.2)
  form = dict(resolution=8, channels=1, conditional=True)
  c = small.config(data=digits | form, mesh=dict(data=1))
  c.latent.size, c.generator.width = 4, 32
  c.train.update(steps=4, checkpoint_every=4, image_every=4, tensorboard=False)
  train(c, folder)
  return folder


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'weights'))


def found(out) -> dict:
  return dict(np.load(out / f'invert_{STEM}.npz'))


def test_what_g_made_is_found_again(run, tmp_path):
  restored = restore(run, one_device())
  sampler = Sampler(restored.config, restored.experiment)
  made = sampler(sampler.variables(restored.state), range(6), label=3)
  folder = tmp_path / 'made'
  folder.mkdir()
  for k, picture in enumerate(to_bytes(made)):
    Image.fromarray(picture[..., 0]).save(folder / f'{k}.png')
  spec = f'invert:pictures={folder},label=3,iterations=300,seed=50'
  explore(run, spec, out=tmp_path / 'out')
  kept = found(tmp_path / 'out')
  # Rounding to bytes alone is an error of 5e-6.
  assert kept['mse'].max() < 1e-5 < 1e-3 * np.var(made, 0).mean()
  again = sampler.apply(
    sampler.variables(restored.state), kept['z'], kept['labels']
  )
  wanted = to_float(to_bytes(made))
  mse = np.square(again - wanted).mean((1, 2, 3))
  np.testing.assert_allclose(kept['mse'], mse, rtol=1e-3, atol=1e-7)
  told = json.loads((tmp_path / 'out' / f'invert_{STEM}.json').read_text())
  assert told['mean']['mse'] == pytest.approx(mse.mean(), rel=1e-3, abs=1e-7)
  assert told['distance']['name'] == 'MSE over scales'
  assert [one['name'] for one in told['each']] == [f'{k}.png' for k in range(6)]
  assert (tmp_path / 'out' / f'invert_{STEM}.png').exists()
  # Other tools take what was found, by the numbers of the pictures.
  file = tmp_path / 'out' / f'invert_{STEM}.npz'
  spec = f'interpolate:latents={file},seeds=2,0,columns=3,make=strip'
  explore(run, spec, out=tmp_path)
  strip = np.asarray(Image.open(tmp_path / f'interpolate_{STEM}.png'))
  ends = [strip[2:66, 2 + 66 * k : 66 + 66 * k] for k in (0, 2)]
  for end, k in zip(ends, (2, 0), strict=True):
    shown = to_bytes(again[k]).repeat(8, 0).repeat(8, 1)[..., 0]
    np.testing.assert_allclose(end, shown, atol=1)
  with pytest.raises(UserError, match='has 6 pictures, whose numbers are 0 to'):
    explore(run, spec.replace('2,0', '2,6'), out=tmp_path)


@pytest.mark.slow
def test_an_inversion_goes_on_where_it_was_killed(run, tmp_path, monkeypatch):
  """Three batches, as the machine has eight devices."""
  spec = 'invert:count=40,iterations=3,split=train[10%:14%]'
  explore(run, spec, out=tmp_path / 'whole')
  save, updates = latents.Inverted.save, []
  update = search.Search._batch
  monkeypatch.setattr(
    search.Search,
    '_batch',
    lambda self, targets, part, *more: (
      updates.append(part.start) or update(self, targets, part, *more)
    ),
  )

  def killed(inverted, file):
    save(inverted, file)
    if len(inverted.batches) == 2:
      raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(latents.Inverted, 'save', killed)
    with pytest.raises(KeyboardInterrupt):
      explore(run, spec, out=tmp_path / 'parted')
  assert len(found(tmp_path / 'parted')['z']) == 32 and updates == [0, 16]
  explore(run, spec, out=tmp_path / 'parted')
  assert updates == [0, 16, 32]
  whole, parted = found(tmp_path / 'whole'), found(tmp_path / 'parted')
  for name in FIELDS:
    np.testing.assert_array_equal(parted[name], whole[name])
  # All pictures are their own: the same in whatever company.
  assert len(np.unique(whole['z'], axis=0)) == 40
  # More pictures: those that are there stay. Another option: none does.
  explore(run, spec.replace('40', '32'), out=tmp_path / 'parted')
  assert len(updates) == 3 and len(found(tmp_path / 'parted')['z']) == 32
  explore(run, spec.replace('40', '32') + ',lr=0.2', out=tmp_path / 'parted')
  assert updates[3:] == [0, 16]
  (tmp_path / 'parted' / f'invert_{STEM}.npz').write_bytes(b'no archive')
  explore(run, spec.replace('40', '16'), out=tmp_path / 'parted')
  assert updates[5:] == [0]


def test_which_pictures_are_inverted(run, tmp_path):
  """By default those held out, each with its class."""
  restored = restore(run, one_device())
  source = open_source(restored.config.data)
  _, settings = explore_lib.parse('invert:count=5')
  targets = targets_lib.wanted(restored, settings, 10, 'invert')
  assert targets.words.endswith('held out')
  trained = {source.content(i) for i in range(len(source))}
  for k in range(5):
    picture = to_bytes(targets.pictures(slice(k, k + 1)))
    row = int(targets.rows[k])
    np.testing.assert_array_equal(picture[0], source.held_out[row][0])
    assert targets.labels[k] == source.held_out[row][1]
    assert picture.tobytes() not in trained
  _, settings = explore_lib.parse('invert:count=0')
  assert len(targets_lib.wanted(restored, settings, 10, 'invert').rows) == 36
  _, settings = explore_lib.parse('invert:count=0,split=train[90%:],label=2')
  targets = targets_lib.wanted(restored, settings, 10, 'invert')
  assert len(targets.rows) == 180 and set(targets.labels) == {2}


def test_pictures_that_do_not_fit_are_refused(run, tmp_path):
  array = np.zeros((9, 9), np.uint8)
  Image.fromarray(array).save(tmp_path / 'x.png')
  spec = f'invert:pictures={tmp_path}'
  with pytest.raises(UserError, match='choose it by label=NAME'):
    explore(run, spec)
  np.savez(tmp_path / 'x.npz', image=np.zeros((20, 12, 12), np.uint8))
  moved = [('data.source', f'npz:{tmp_path / "x.npz"}')]
  with pytest.raises(UserError, match='weights of vgg16 are missing'):
    explore(run, 'invert:distance=lpips_vgg')
  np.savez(tmp_path / 'y.npz', z=np.zeros((3, 2)))
  with pytest.raises(UserError, match='has no labels: name an .npz that'):
    explore(run, f'interpolate:latents={tmp_path / "y.npz"}')
  with pytest.raises(UserError):
    explore(run, 'invert', overrides=moved)
  assert not (run / 'explore').exists()


def test_long_inversions_say_once_how_long(monkeypatch, caplog):
  """Two seconds an iteration, after a minute of compiling."""
  clock = iter([60, 80, 100, 120])
  time = types.SimpleNamespace(monotonic=lambda: next(clock))
  monkeypatch.setattr(search, 'time', time)
  monkeypatch.setattr(search, 'Progress', lambda n, what: lambda done: None)
  told = search._told(300, 5)
  with caplog.at_level('INFO'):
    for done in (10, 20, 30, 40):
      told(done)
  (line,) = caplog.messages
  assert line.startswith('Some 9 minutes;')  # 270 are left


def by_blocks(a, b):
  """`across_scales` in other words: by loops over blocks."""
  apart = (a - b).astype(np.float64)
  terms, size = [], 1
  height, width = apart.shape[1:3]
  while True:
    means = [
      apart[:, i : i + size, j : j + size].mean((1, 2)) ** 2
      for i in range(0, height, size)
      for j in range(0, width, size)
    ]
    terms.append(np.stack(means, 1).mean((1, 2)))
    size *= 2
    if height % size or width % size or min(height, width) < 4 * size:
      return np.mean(terms, 0)


@pytest.mark.parametrize(
  'shape', [(16, 16, 3), (8, 24, 1), (7, 8, 1), (12, 12, 3), (2, 2, 1)]
)
def test_the_distance_over_scales(shape):
  a, b = np.random.default_rng(0).normal(size=(2, 3, *shape)).astype('f')
  np.testing.assert_allclose(across_scales(a, b), by_blocks(a, b), rtol=1e-5)


@pytest.mark.parametrize('side, seen', [(256, 128), (64, 64), (32, 64)])
def test_lpips_sees_half_the_resolution(side, seen, monkeypatch):
  shapes = []

  class Net:
    @staticmethod
    def apply(variables, a, b):
      shapes.append(a.shape)
      return jnp.abs(a - b).max((1, 2, 3)) * variables

  loaded = weights.Loaded(Net, 2.0, 'about', '')
  monkeypatch.setattr(weights, 'load', lambda name, named: loaded)
  near = likeness.open_likeness('lpips_vgg', '', (side, side, 1))
  a, b = np.random.default_rng(0).normal(size=(2, 2, side, side, 1))
  found = near.function(near.variables, jnp.float32(a), jnp.float32(b))
  assert shapes == [(2, seen, seen, 3)]
  if side == 2 * seen:
    apart = (a - b).reshape(2, seen, 2, seen, 2).mean((2, 4))
    wanted = 2 * np.abs(apart).max((1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
  assert (near.function(near.variables, a, a) == 0).all()
  monkeypatch.setattr(weights, 'find', lambda named: {'lpips_vgg': 'file'})
  auto = likeness.open_likeness('auto', '', (side, side, 1))
  assert auto.name == near.name == 'LPIPS (VGG)'


def test_uniform_vectors_stay_in_their_cube(tmp_path):
  """The picture asked for is brighter than G draws within it."""
  sampler = types.SimpleNamespace(
    variables=lambda state: {},
    latents=lambda seeds: np.zeros((len(seeds), 1), np.float32),
    generate=lambda variables, z, labels: z[:, :, None, None],
    enlarged=lambda samples: samples,
  )
  restored = types.SimpleNamespace(
    config=types.SimpleNamespace(
      latent=types.SimpleNamespace(size=1, distribution='uniform')
    ),
    run=types.SimpleNamespace(load_data=lambda: {'shape': [1, 1, 1]}),
    state=None,
  )
  _, settings = explore_lib.parse('invert:iterations=60')
  near = likeness.open_likeness('pixels', '', (1, 1, 1))
  targets = targets_lib.Targets(None, np.arange(2), np.zeros(2, np.int32), '')
  pictures = np.float32([3.0, 0.25]).reshape(2, 1, 1, 1)
  object.__setattr__(targets, 'pictures', lambda part: pictures[part])
  look = search.Search(restored, sampler, near, settings)
  kept = look(targets, tmp_path / 'x.npz')
  np.testing.assert_allclose(kept.z[:, 0], [1.0, 0.25], atol=0.01)
  np.testing.assert_allclose(kept.mse, [4.0, 0.0], atol=1e-3)


def equal(seen, picture):
  """What is seen on a page in colour, and a picture that may be grey."""
  return np.asarray(seen), np.broadcast_to(picture, (*picture.shape[:2], 3))


@pytest.mark.parametrize('shape', [(8, 8, 1), (100, 140, 3)])
def test_the_figure_has_each_target_beside_its_reconstruction(shape):
  left, right = np.random.default_rng(0).uniform(-1, 1, (2, 5, *shape))
  figure = pairs.figure_of(left, right, list('abcde'), 'title')
  (axes,) = figure.axes
  page = axes.images[0].get_array()
  zoom = -(-pairs.SIDE // min(shape[:2]))
  assert page.shape[0] == figure.get_figheight() * pairs.DPI
  for k in range(5):
    a, b = (
      to_bytes(x[k]).repeat(zoom, 0).repeat(zoom, 1) for x in (left, right)
    )
    high, wide = a.shape[:2]
    block = lambda y, x, high=high, wide=wide: page[y : y + high, x : x + wide]
    places = np.argwhere((page == a[0, 0]).all(-1))
    (y, x), *others = [
      at for at in places if np.array_equal(*equal(block(*at), a))
    ]
    assert not others and np.array_equal(*equal(block(y, x + wide + 2), b))
  words = [text.get_text() for text in axes.texts]
  assert words == ['title', *'abcde']
