"""--mode=explore on runs: what each tool makes, and what it refuses."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from gan_jax import explore as explore_lib
from gan_jax import flags, main
from gan_jax import help as help_lib
from gan_jax import sample as sample_lib
from gan_jax.data import open_source
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.explore import neighbours, progress, realness
from gan_jax.explore.walk import turned, walk
from gan_jax.mesh import one_device
from gan_jax.metrics import spaces
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.sampler import Sampler
from gan_jax.settings import Setting
from gan_jax.train import train
from tests import small
from tests.explore.film_test import read_webp
from tests.networks.progan_run_test import config
from tests.networks.progan_test import Z

explore = explore_lib.explore
STEM = 'step_000000004'


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  """A finished run of a small ProGAN, whose first samples are not all grey."""
  folder = tmp_path_factory.mktemp('run')
  c = config(
    data=dict(conditional=True, split='train[:10%]', resolution=8),
    mesh=dict(data=1),
    train=dict(image_every=1, checkpoint_every=2, tensorboard=False),
  )
  train(c, folder)
  return folder


def left(folder):
  """All files below a folder, and what is in them."""
  files = (f for f in pathlib.Path(folder).rglob('*') if f.is_file())
  return {str(f): f.read_bytes() for f in files}


def test_a_video_shows_the_walk_of_each_seed(run, tmp_path):
  before = left(run)
  spec = (
    'video:seeds=3,11,columns=2,seconds=1,fps=8,smooth=0.1,side=64,format=webp'
  )
  explore(run, spec, out=tmp_path)
  found, fps = read_webp(tmp_path / f'video_{STEM}.webp')
  assert left(run) == before  # the run is only read
  assert len(found) == 8 and fps == pytest.approx(8, rel=0.02)
  restored = restore(run, one_device())
  sampler = Sampler(restored.config, restored.experiment)
  variables = sampler.variables(restored.state)
  z = walk([3, 11], 8, Z, 0.8, 'normal')
  for k in (0, 5):
    made = np.asarray(sampler.apply(variables, z[k], np.array([3, 1])))
    grid = draw.grid(made.repeat(8, 1).repeat(8, 2), 2, 2).repeat(3, -1)
    assert found[k].shape == grid.shape == (68, 134, 3)
    error = np.abs(found[k].astype(int) - grid)
    assert error.mean() < 6 and grid.std() > 10
  # A later frame is another one, the class of a cell stays.
  explore(run, spec.replace('columns=2', 'label=7,columns=1'), out=tmp_path)
  one_class, _ = read_webp(tmp_path / f'video_{STEM}.webp')
  assert one_class[0].shape == (134, 68, 3)
  made = sampler.apply(variables, z[0], np.array([7, 7]))
  grid = draw.grid(np.asarray(made).repeat(8, 1).repeat(8, 2), 1, 2)
  assert np.abs(one_class[0].astype(int) - grid).mean() < 6


def test_progress_shows_the_grids_in_order(run, tmp_path):
  """Of several sizes, as a growing run has them; later ones are left out."""
  shutil.copytree(run, tmp_path / 'run')
  images = tmp_path / 'run' / 'images'
  (small_one, *_, last) = sorted(images.glob('fakes_*.png'))
  assert small_one.name == 'fakes_000000001.png'
  grid = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
  Image.fromarray(grid).save(small_one)
  Image.fromarray(grid).save(images / 'fakes_000000009.png')
  explore(tmp_path / 'run', 'progress:fps=10,hold=0.3,format=webp')
  file = tmp_path / 'run' / 'explore' / f'progress_{STEM}.webp'
  found, _ = read_webp(file)
  with Image.open(file) as film:
    film.seek(film.n_frames - 1)
    film.load()
    assert film.info['duration'] >= 300  # WebP makes one of equal frames
  height, width = np.asarray(Image.open(last)).shape
  assert len(found) >= 4
  assert found[0].shape == (height + progress.STRIP, width, 3)
  cell = found[0][height // 2, width // 8 + 5]  # of row 1, column 0
  np.testing.assert_allclose(cell, grid[1, 0], atol=8)
  shown = np.asarray(Image.open(last).convert('RGB')).astype(int)
  assert np.abs(found[-1][:height] - shown).mean() < 6
  assert found[-1][height:].min() < 100  # the step is written below
  small_one.write_bytes(b'no picture')
  with pytest.raises(UserError, match='fakes_000000001.png cannot be read'):
    explore(tmp_path / 'run', 'progress')
  shutil.rmtree(images)
  with pytest.raises(UserError, match='has no fakes_<step>.png up to step 4'):
    explore(tmp_path / 'run', 'progress')


def test_a_strip_and_a_film_lead_from_picture_to_picture(run, tmp_path):
  spec = (
    'interpolate:seeds=3,11,6,label=7,columns=5,seconds=0.5,fps=8,side=16,'
    'format=webp'
  )
  explore(run, spec, out=tmp_path)
  strip = np.asarray(Image.open(tmp_path / f'interpolate_{STEM}.png'))
  assert strip.shape == (2 * 66 + 2, 5 * 66 + 2)
  restored = restore(run, one_device())
  sampler = Sampler(restored.config, restored.experiment)
  variables = sampler.variables(restored.state)
  z = np.asarray(sampler.latents([3, 11, 6]))
  ways = [turned(z[k], z[k + 1], np.linspace(0, 1, 5)) for k in (0, 1)]
  made = sampler.apply(variables, np.concatenate(ways), np.full(10, 7))
  zoomed = np.asarray(made).repeat(8, 1).repeat(8, 2)
  np.testing.assert_allclose(strip, draw.grid(zoomed, 5, 2)[..., 0], atol=1)
  # Once around: the last frames lead back to the first picture.
  found, fps = read_webp(tmp_path / f'interpolate_{STEM}.webp')
  assert len(found) == 3 * 4 and fps == pytest.approx(8, rel=0.02)
  back = turned(z[2], z[0], np.array([0.0, 0.75]))
  made = sampler.apply(variables, back, np.full(2, 7))
  for frame, picture in zip((found[8], found[11]), made, strict=True):
    wanted = to_bytes(picture).repeat(2, 0).repeat(2, 1).repeat(3, -1)
    assert np.abs(frame.astype(int) - wanted).mean() < 8
  # Slow near the pictures, and half-way where the even one is.
  spec += ',easing=smooth,make=strip'
  explore(run, spec, out=tmp_path / 'smooth')
  (file,) = (tmp_path / 'smooth').iterdir()
  smooth = np.asarray(Image.open(file)).astype(int)
  moved = np.abs(smooth - strip)[2:66]
  cells = [moved[:, 2 + 66 * k : 66 + 66 * k].max() for k in range(5)]
  assert max(cells[::2]) <= 1 < min(cells[1::2])


def test_neighbours_of_a_run(run, tmp_path):
  explore(run, 'neighbours:seeds=0-2,k=2', out=tmp_path)
  found = json.loads((tmp_path / f'neighbours_{STEM}.json').read_text())
  assert found['pictures'] == 180 and found['space']['name'] == 'random'
  picture = np.asarray(Image.open(tmp_path / f'neighbours_{STEM}.png'))
  assert picture.shape[0] == 76 + 3 * (96 + 16) and picture.std() > 10
  restored = restore(run, one_device())
  sampler = Sampler(restored.config, restored.experiment)
  made = sampler(sampler.variables(restored.state), [0, 1, 2])
  images, labels = open_source(restored.config.data).arrays()
  crop = lambda x: x[:, 2:6, 2:6].astype(int)
  far = np.abs(crop(to_bytes(made))[:, None] - crop(images)[None])
  far = far.mean((2, 3, 4))
  for row, sample in zip(far, found['samples'], strict=True):
    assert sample['class'] == str(sample['seed'])
    for k, near in enumerate(sample['by_pixels']):
      assert near['distance'] == pytest.approx(np.sort(row)[k])
      assert near['picture'] == np.argsort(row, kind='stable')[k]
      assert near['class'] == str(labels[near['picture']])


class Pictures:
  """A source of noise, in which some pictures are planted."""

  name, classes = 'noise', ()

  def __init__(self, pictures):
    self.pictures, self.shape = pictures, pictures.shape[1:]

  def __len__(self):
    return len(self.pictures)

  def __getitem__(self, i):
    return self.pictures[i], 0


@pytest.mark.parametrize('mirrored', [False, True])
def test_planted_neighbours_are_found(mirrored, monkeypatch):
  """In any chunk, by both ways; brute force agrees on all the others."""
  rng = np.random.default_rng(0)
  pictures = rng.integers(0, 256, (50, 12, 10, 3), np.uint8)
  samples = rng.integers(0, 256, (4, 12, 10, 3), np.uint8)
  pictures[17], pictures[49] = samples[0], samples[1, :, ::-1]
  # Seven pictures a chunk: the last one has a single one.
  monkeypatch.setattr(neighbours, 'CHUNK', 7 * 8 * 12 * 10 * 3)
  space = spaces.open_space('random', None)
  source = Pictures(pictures)
  found, between = neighbours.compare(samples, source, space, 3, mirrored)
  for one in found:
    assert one.index[0, 0] == 2 * 17 and one.distance[0, 0] < 1e-3
    assert (one.index[1, 0] == 2 * 49 + 1) == mirrored
    assert one.index.shape == (4, 3) and (np.diff(one.distance) >= 0).all()
  candidates = np.stack([pictures, pictures[:, :, ::-1]], 1)
  index = np.arange(100).reshape(50, 2)
  if not mirrored:
    candidates, index = candidates[:, :1], index[:, :1]
  candidates, index = candidates.reshape(-1, 12, 10, 3), index.ravel()
  crop = lambda x: x[:, 3:9, 2:7].astype(int)
  far = np.abs(crop(samples)[:, None] - crop(candidates)).mean((2, 3, 4))
  features = lambda x: space(x)['features'].astype(float)
  a, b = features(samples), features(candidates)
  near = np.linalg.norm(a[:, None] - b, axis=-1)
  for one, wanted in zip(found, (far, near), strict=True):
    order = np.argsort(wanted, 1, kind='stable')[:, :3]
    np.testing.assert_array_equal(one.index, index[order])
    np.testing.assert_allclose(
      one.distance, np.take_along_axis(wanted, order, 1), rtol=1e-5, atol=1e-3
    )
  # The yardstick: no picture is its own neighbour.
  assert between[0] > 20 and between[1] > 0.01


def test_a_figure_of_grey_or_oblong_pictures():
  rng = np.random.default_rng(0)
  for shape in ((8, 8, 1), (30, 200, 3)):
    samples = rng.integers(0, 256, (2, *shape), np.uint8)
    near = [rng.integers(0, 256, (2, 3, *shape), np.uint8)] * 2
    found = [neighbours.Found(None, np.ones((2, 3)))] * 2
    figure = neighbours.figure_of([4, 5], samples, near, found, 'ab', 'title')
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {'seed 4', 'seed 5', 'title', 'sample', 'a', 'b', '1'} <= set(texts)


@pytest.fixture(name='points', scope='module')
def _points(tmp_path_factory):
  folder = tmp_path_factory.mktemp('points')
  train(small.config(mesh=dict(data=1)), folder)
  return folder


MISTAKES = {
  'vidio': "did you mean 'video'?",
  '': 'There are video, progress, neighbours',
  'video:fsp=3': "did you mean 'fps'?",
  'video:fps': 'video:fps has no value: write fps=VALUE once',
  'video:fps=3,fps=4': 'fps is given twice',
  'video:fps=x': '--tool=video:fps=x: must be of type int',
  'video:fps=0': '--tool=video:fps = 0 must be a whole number, at least 1',
  'video:seconds=nan': '--tool=video:seconds = nan must be',
  'video:format=mp5': "did you mean 'mp4'?",
  'video:seeds=9-3': '--tool=video:seeds=9-3: 9-3 runs backwards',
  'video:label=x': '--tool=video:label=x: this run has the classes 0 to 9',
  'video:seeds=0-20000,columns=1': 'ask for fewer seeds',
  'video:side=8000': 'larger than films can be',
  'video:seconds=3600,fps=240,seeds=0-99,side=1': 'more than 512 MiB',
  'neighbours:k=0': '--tool=neighbours:k = 0 must be',
  'neighbours:seeds=0-64': 'a figure has room for 64',
  'neighbours:space=vgg': "did you mean 'vgg16'?",
  'neighbours:space=classifier': '--config.metrics.classifier',
  'progress:name=locals': 'has no locals_<step>.png',
  'mix': "the generator of this run, 'progan', has no gates",
  'truncation': "generator of this run, 'progan', has no mean w",
  'truncation:psi=3': '--tool=truncation:psi = (3.0,) must be',
  'truncation:psi=()': 'psi = () is empty',
  'video:truncation=0.5': '--tool=video:truncation=0.5: the generator of this',
  'gradcam:at=16': 'at=16 names no map of the discriminator of this run: it has'
  ' the maps 8, 4.',
  'gradcam:seeds=0-40': 'a figure has room for 32',
  'gradcam:pictures=no': '--tool=gradcam:pictures=no: there is no folder',
  'reconstruct': 'train with --config.tasks.lead.weight=1',
  'realness:runs=no': '--tool=realness:runs=no holds no run',
  'invert:space=w': "generator of this run, 'progan', has no w: choose space=z",
  'interpolate:seeds=3,label=1': 'seeds=3 is one picture: name two or more',
  'interpolate:seeds=3,4': 'are of several classes',
  'interpolate:seeds=0-9999,label=1': 'has more than 268 megapixels: ask for',
  'interpolate:side=8192,label=1,columns=x': 'columns=x: must be of type int',
  'interpolate:label=1,seconds=3600,fps=240,seeds=0-99': 'more than 512 MiB',
  'interpolate:latents=no.npz': 'latents=no.npz: there is no such file',
  'invert:pictures=no': '--tool=invert:pictures=no: there is no folder',
  'invert:split=test': "no split 'test'",
  'invert:label=x': '--tool=invert:label=x: this run has the classes 0 to 9',
  'invert:distance=lpips': "did you mean 'lpips_vgg'?",
  'invert:lr=0': '--tool=invert:lr = 0.0 must be',
}


@pytest.mark.parametrize('spec', MISTAKES)
def test_a_mistake_ends_in_one_sentence(spec, run):
  before = left(run)
  with pytest.raises(UserError) as error:
    explore(run, spec)
  said = str(error.value)
  assert MISTAKES[spec] in said and '\n' not in said
  assert left(run) == before and not (run / 'explore').exists()


@pytest.mark.parametrize('tool', explore_lib.TOOLS)
def test_points_are_no_pictures(tool, points):
  with pytest.raises(UserError, match=f'--tool={tool} is for runs that make'):
    explore(points, tool)
  assert not (points / 'explore').exists()


def test_a_place_that_cannot_be_made_is_a_sentence(run, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='cannot be made .* --out=DIR'):
    explore(run, 'progress', out=tmp_path / 'file' / 'x')


def test_other_data_are_refused(run, tmp_path):
  image = np.zeros((20, 8, 8, 1), np.uint8)
  np.savez(tmp_path / 'x.npz', image=image, label=np.arange(20) % 10)
  moved = [('data.source', f'npz:{tmp_path / "x.npz"}')]
  with pytest.raises(UserError, match='is not what the run'):
    explore(run, 'neighbours', overrides=moved)
  with pytest.raises(UserError, match='only --config.metrics'):
    explore(run, 'neighbours', overrides=[('train.batch', '3')])


def test_where_d_looks(run, tmp_path):
  """Of a D of a growing run that takes labels; on grey pictures, in colour."""
  explore(run, 'gradcam:at=4,count=2,seeds=5,label=3', out=tmp_path)
  picture = Image.open(tmp_path / f'gradcam_{STEM}.png').convert('RGB')
  assert np.ptp(np.asarray(picture).astype(int), -1).max() > 50


def test_curves_of_realness(run, tmp_path):
  """Of two runs, up to the step that is asked for."""
  copy = tmp_path / 'copy'
  shutil.copytree(run, copy)
  line = lambda k: {'step': k, 'images': 8 * k, 'd_real': k, 'd_fake': 1}
  lines = [line(1), line(2), {'step': 3, 'images': 24, 'd_real': None}]
  (copy / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  restored = restore(copy, one_device())
  assert realness.scores(restored.run, 1).tolist() == [[8.0], [1.0], [1.0]]
  assert realness.scores(restored.run).shape == (3, 2)
  explore(copy, f'realness:runs={run}', out=tmp_path)
  picture = np.asarray(Image.open(tmp_path / f'realness_{STEM}.png'))
  assert picture.shape[:2] == (700, 700)
  (copy / 'metrics.jsonl').unlink()
  with pytest.raises(UserError, match='has no scores of D'):
    explore(copy, 'realness', out=tmp_path / 'x')


def test_samples_of_generators_without_styles_are_not_truncated(run, tmp_path):
  with pytest.raises(UserError, match='--truncation=0.5: .* has no mean w'):
    sample_lib.sample(run, '0', None, None, tmp_path / 'x', truncation=0.5)
  assert not (tmp_path / 'x').exists()


# The table of tools, and the command line.


def test_tools_have_what_the_table_says():
  for name, tool in explore_lib.TOOLS.items():
    assert callable(tool.run) and tool.__doc__
    assert all(isinstance(s, Setting) for s in tool.SETTINGS.values())
    text = help_lib.explain(f'explore:{name}')
    assert all(s.text.split()[0] in text for s in tool.SETTINGS.values())
    assert text.split('\n\n\n')[0] in help_lib.explain('explore')
    _, values = explore_lib.parse(name)
    for key, setting in tool.SETTINGS.items():
      assert getattr(values, key) == setting.default
  with pytest.raises(UserError, match="did you mean 'progress'"):
    help_lib.explain('explore:progres')


def test_values_may_have_commas():
  _, values = explore_lib.parse('video:seeds=1,5,7-9,fps=3,label=a, b')
  assert (values.seeds, values.fps) == ('1,5,7-9', 3)
  assert values.label == 'a, b'


def test_from_the_command_line(run, tmp_path, monkeypatch):
  argv = [
    'main',
    '--mode=explore',
    f'--workdir={run}',
    '--tool=video:seconds=1,fps=2,seeds=4,format=webp',
    '--step=2',
    f'--out={tmp_path}',
  ]
  monkeypatch.setattr(sys, 'argv', argv)
  main.main()
  assert [f.name for f in tmp_path.iterdir()] == ['video_step_000000002.webp']
  with pytest.raises(SystemExit, match='needs --tool=NAME'):
    flags.parse(['--mode=explore', '--workdir=x'])
  with pytest.raises(SystemExit, match='tools have --tool=NAME:seeds='):
    flags.parse(['--mode=explore', '--workdir=x', '--tool=x', '--seeds=1'])


def test_a_tool_from_outside_is_a_module_and_a_line(run, tmp_path, monkeypatch):
  class Tool:
    """Writes how many numbers G has."""

    SETTINGS = {'times': Setting(1, 'factor', low=1)}

    @staticmethod
    def run(restored, out, settings):
      out.mkdir(exist_ok=True)
      count = small.flat(restored.state.pair.g.params).size * settings.times
      (out / 'count.txt').write_text(str(count))

  monkeypatch.setitem(explore_lib.TOOLS, 'count', Tool)
  explore(run, 'count:times=3', out=tmp_path)
  restored = restore(run, one_device())
  count = small.flat(restored.state.pair.g.params).size
  assert int((tmp_path / 'count.txt').read_text()) == 3 * count
