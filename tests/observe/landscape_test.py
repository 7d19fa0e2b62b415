"""Drawings of runs on points: what is in them, where, and when."""

import shutil
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source
from gan_jax.mesh import one_device
from gan_jax.observe import landscape
from gan_jax.observe.landscape import View, figure_of, pixels, plane, shades
from gan_jax.run.folder import RunDir
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small

REACH = 1.5
REAL = np.zeros((1, 2), np.float32)
BOWL = -np.sum(plane(REACH) ** 2, -1)  # a discriminator that likes the origin


def view(scores=BOWL, fakes=REAL, count=0):
  """A view with `count` local pairs like the global one."""
  if not count:
    return View(fakes, scores)
  stacked = (np.stack([x] * count) for x in (fakes, scores))
  return View(fakes, scores, *stacked, np.full(count, -1.0))


def test_the_plane_is_in_the_order_of_contours():
  where = plane(2.0, 5)
  np.testing.assert_allclose(where[1, 4], [2.0, -1.0])
  np.testing.assert_allclose(where[:, 0, 0], -2.0)


@pytest.fixture(scope='module')
def ensemble(tmp_path_factory):
  """A landscape of two pairs that take labels, and their first state."""
  config = small.config(data=dict(conditional=True), ensemble=dict(pairs=2))
  source, mesh = open_source(config.data), one_device()
  made = experiment_lib.build(config, source.shape, len(source.classes))
  run = RunDir(tmp_path_factory.mktemp('landscape'))
  (run.path / 'images').mkdir()
  drawing = landscape.Landscape(config, run, made, source, mesh)
  return drawing, made, experiment_lib.initial_state(made, 0, mesh)


def test_scores_are_the_discriminators_own(ensemble):
  drawing, made, state = ensemble
  seen = drawing.view(state)
  network = made.objective.discriminator
  pick = lambda n: jax.tree.map(lambda x: x[n], state.local_pairs.d.variables)

  def mean_over_labels(variables, points):
    points, labels = np.repeat(points, 8, 0), np.tile(range(8), len(points))
    judgement = network.apply(variables, points, labels, train=False)
    return np.mean(judgement.logits.reshape(-1, 8), 1)

  line = np.linspace(-drawing.reach, drawing.reach, landscape.RESOLUTION)
  i, j = np.array([0, 3, 79]), np.array([0, 70, 12])
  points = np.float32(np.stack([line[j], line[i]], -1))
  for scores, variables in (
    (seen.scores, state.pair.d.variables),
    (seen.local_scores[0], pick(0)),
    (seen.local_scores[1], pick(1)),
  ):
    expected = mean_over_labels(variables, points)
    np.testing.assert_allclose(scores[i, j], expected, rtol=1e-3, atol=1e-5)
  for n in (0, 1):
    sides = drawing.real, seen.local_fakes[n]
    means = [np.mean(mean_over_labels(pick(n), x)) for x in sides]
    np.testing.assert_allclose(seen.local_levels[n], np.mean(means), rtol=1e-3)
  assert np.std(seen.local_fakes[0] - seen.local_fakes[1]) > 0
  assert seen.fakes.shape == (1000, 2)
  assert seen.local_fakes.shape == (2, 200, 2)
  assert drawing.frame(state, 0).shape == (560, 1020, 3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9), scale=st.floats(1e-3, 1e3))
def test_shades_stand_for_equal_areas(seed, scale):
  scores = scale * np.random.default_rng(seed).standard_cauchy((40, 40))
  levels = shades(scores, 8)
  np.testing.assert_array_equal(np.histogram(scores, levels)[0], 200)


def test_shades_of_scores_that_are_equal_or_lost():
  assert len(shades(np.ones((4, 4)))) == 1
  assert len(shades(np.full((4, 4), np.nan))) == 0
  two = np.repeat([[0.0, 1.0]], 2, 0)
  assert shades(two)[0] == 0 and shades(two)[-1] == 1


def test_level_sets_of_a_bowl_are_circles_of_equal_area():
  figure = figure_of(view(), REAL, REACH, 1)
  lines = [
    path
    for contours in figure.axes[0].collections
    if type(contours).__name__ == 'QuadContourSet' and not contours.filled
    for path in contours.get_paths()
  ]
  assert len(lines) == 9
  radii = [np.linalg.norm(path.vertices, axis=1) for path in reversed(lines)]
  for k, radius in enumerate(radii[:7], start=1):
    expected = np.sqrt(k / 10 * (2 * REACH) ** 2 / np.pi)
    np.testing.assert_allclose(radius, expected, rtol=0.02)


def pixel(figure, axes, point):
  """Row and column of a point of the plane in the figure's picture."""
  x, y = axes.transData.transform(point)
  return int(figure.get_size_inches()[1] * landscape.DPI - y), int(x)


@pytest.mark.parametrize('count', [0, 3])
def test_samples_lie_where_they_are(count):
  point = np.float32([[0.6, -1.1]])
  figure = figure_of(view(count=count), REAL, REACH, 1)
  moved = figure_of(view(fakes=point, count=count), REAL, REACH, 1)
  changed = np.any(pixels(figure) != pixels(moved), -1)
  panels = figure.axes[: 2 if count else 1]
  for axes in panels:
    for where in ([0.0, 0.0], point[0]):
      row, column = pixel(moved, axes, where)
      assert changed[row, column]
      changed[row - 3 : row + 4, column - 3 : column + 4] = False
  assert not changed.any()


def test_frames_do_not_jump():
  """Whatever the scores and the samples, what frames the panels stays."""
  far = np.float32([[90.0, 3.0], [0.1, 0.2]])
  a, b = (
    pixels(figure_of(seen, REAL, REACH, 12_345))
    for seen in (view(count=2), view(1e6 * BOWL.T + 3, far, count=2))
  )
  assert a.shape == b.shape == (560, 1020, 3)
  # Left of the colour bar's numbers, the panels' insides apart.
  outside = np.ones(a.shape[:2], bool)
  outside[:, 955:] = False
  for left in (50, 520):
    outside[70:490, left - 1 : left + 421] = False
  np.testing.assert_array_equal(a[outside], b[outside])
  assert (a != b).any()


@pytest.mark.parametrize('lost', [np.nan, np.inf, 3e38])
def test_a_diverged_run_is_drawn(lost):
  scores = BOWL.astype(np.float32)
  scores[3:9] = lost
  fakes = np.float32([[lost, 0.0], [0.1, -lost]])
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert pixels(figure_of(view(scores, fakes, 2), REAL, REACH, 1)).any()
    flat = np.zeros_like(scores)
    assert pixels(figure_of(view(flat, fakes), REAL, REACH, 1)).any()


def test_a_run_leaves_frames_and_their_animation(tmp_path):
  def shortened(steps):
    c = small.config(mesh=dict(data=1))
    with c.unlocked():
      c.train.update(steps=steps, image_every=2)
    return c

  whole, cut = tmp_path / 'whole', tmp_path / 'cut'
  train(shortened(4), whole)
  frames = ['landscape_000000002.png', 'landscape_000000004.png']
  names = ['landscape.gif', *frames]
  images = whole / 'images'
  assert sorted(p.name for p in images.glob('landscape*')) == names
  with Image.open(images / names[0]) as animation:
    assert animation.n_frames == 2
    assert animation.size == Image.open(images / names[1]).size == (550, 560)

  train(shortened(2), cut)
  assert Image.open(cut / 'images' / names[0]).n_frames == 1
  # What a run that was taken back left behind is not a frame of this one.
  shutil.copy(images / names[1], cut / 'images' / 'landscape_000000009.png')
  train(shortened(4), cut)
  for name in names:
    same = (cut / 'images' / name).read_bytes()
    assert same == (images / name).read_bytes()

  sample(whole, '0-9', None, None)
  grid = whole / 'samples' / 'step_000000004' / 'grid.png'
  assert Image.open(grid).size == (500, 500)
