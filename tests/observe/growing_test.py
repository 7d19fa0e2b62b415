"""A run that grows, watched: every observer works at the stage of its step."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source, order
from gan_jax.evaluate import evaluate
from gan_jax.explore import explore
from gan_jax.mesh import one_device
from gan_jax.metrics import sets
from gan_jax.networks.judgement import per_sample
from gan_jax.nn.levels import double, reduce_to
from gan_jax.observe.preview import Preview
from gan_jax.observe.scores import Evaluator, Judge
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.sample import sample
from gan_jax.sampler import Sampler
from gan_jax.schemes.growth import Growth
from gan_jax.state import Span, Stage
from gan_jax.train import train
from tests.explore.film_test import read_webp
from tests.networks.progan_run_test import config as progan

# 4 px for two steps; 8 px fade in over two, and stay; the data have 8.
STAGES = tuple(Stage(side, 8, 1, 8) for side in (4, 8, 8))
SPANS = tuple(
  Span(step, 8 * step, 8 * step, 8 * step, 16 * (step == 2))
  for step in (0, 2, 4)
)
STEPS, SCORED = 6, 16


def config():
  names = ('scores', 'frechet_pixels')
  return progan(
    data=dict(conditional=True, resolution=8),
    metrics=dict(names=names, every=3, samples=SCORED),
    mesh=dict(data=1),
    train=dict(
      batch=8,
      steps=STEPS,
      image_every=100,
      checkpoint_every=1,
      log_every=4,
      keep=99,
      tensorboard=False,
    ),
  )


@pytest.fixture(name='growing', scope='module')
def _growing():
  """Every experiment that is built grows as above."""
  with pytest.MonkeyPatch.context() as patch:
    grown = Growth(SPANS, STAGES)
    patch.setattr(experiment_lib.growth, 'after', lambda *past: grown)
    yield grown


@pytest.fixture(name='run', scope='module')
def _run(growing, tmp_path_factory):
  folder = tmp_path_factory.mktemp('growing')
  train(config(), folder)
  return folder


def test_each_stretch_ends_in_a_grid(run):
  """The last of 4 px is what 8 px begin with: the same, enlarged."""
  grids = {int(f.stem[-9:]): f for f in (run / 'images').glob('fakes_*.png')}
  assert set(grids) == {2, 4, 6}  # the last one by the run's end
  arrays = {step: np.asarray(Image.open(f)) for step, f in grids.items()}
  # Cells of 64 px on a ground of 2.
  assert {a.shape for a in arrays.values()} == {(8 * 66 + 2, 10 * 66 + 2)}
  for step, side in ((2, 4), (4, 8), (6, 8)):
    cells = [arrays[step][2:66, 66 * k + 2 :][:, :64] for k in range(10)]
    blocks = np.stack(cells).reshape(10, side, 64 // side, side, 64 // side)
    assert (blocks == blocks[:, :, :1, :, :1]).all() and blocks.std() > 5
    coarse = np.stack(cells).reshape(10, 4, 16, 4, 16)
    assert (coarse == coarse[:, :, :1, :, :1]).all() == (step == 2)
  assert (run / 'images' / 'reals.png').exists()


def test_a_grid_that_a_kill_took_is_made_up_for(run, growing):
  """At the end of a stretch as at any other step."""
  _, c, made, _, _ = restore(run, one_device())
  preview = Preview(c, RunDir(run), made, open_source(c.data), one_device())
  assert [s for s in range(STEPS + 1) if preview.due(s)] == [2, 4, 6]
  assert preview.done(4) and not preview.done(5)
  # A batch that has changed on the way is no growth.
  flat = tuple(stage._replace(resolution=0) for stage in STAGES)
  assert growing.ends() == {2, 4}
  assert growing._replace(stages=flat).ends() == set()


def test_evaluations_are_of_the_stage(run):
  """While it trains, in mid-fade, and from the checkpoint afterwards."""
  lines = RunDir(run).lines('evaluate.jsonl')
  assert [line['step'] for line in lines] == [3, 6]
  same = evaluate(run, step=3)
  assert same['images'] == 24
  main = [k for k, v in same.items() if isinstance(v, float)]
  assert len(main) > 2
  for name in main:
    assert np.isfinite(same[name])
    assert same[name] == pytest.approx(lines[0][name], rel=1e-4)
    assert same[name] != lines[1][name]


@pytest.mark.parametrize(
  'step, side, alpha', [(1, 4, 1), (2, 8, 0), (3, 8, 0.5), (6, 8, 1)]
)
def test_d_judges_as_it_is_trained(run, step, side, alpha):
  """Reals reduced and faded by hand, D and G cloned by hand."""
  restored = restore(run, one_device(), step)
  _, c, made, _, state = restored
  source = open_source(c.data)
  n = 8
  reals, labels = zip(*[source[i] for i in range(n)], strict=True)
  reals, labels = source.unpack(np.stack(reals)), np.array(labels, np.int32)
  d = made.objective.discriminator.clone(resolution=side)
  g = made.objective.generator.clone(resolution=side)
  score = lambda x: per_sample(
    d.apply(state.pair.d.variables, x, labels, train=False, alpha=alpha).logits
  )
  small = reduce_to(reals, side)
  below = double(reduce_to(reals, side // 2))
  judge = Judge(made).at(step)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  close(
    judge.reals(state.pair.d.variables, reals, labels),
    score(alpha * small + (1 - alpha) * below),
  )
  sampler = Sampler(c, made).at(step)
  z = sampler.latents(range(n))
  variables = sampler.variables(state)
  fakes = sampler.apply(variables, z, labels)
  close(fakes, g.apply(variables, z, labels, train=False, alpha=alpha))
  close(judge.fakes(state.pair.d.variables, fakes, labels), score(fakes))
  # To all other metrics they are of the data's size.
  whole = sampler.enlarged(fakes)
  expected = double(fakes) if side == 4 else fakes
  np.testing.assert_array_equal(whole, expected)


def test_an_evaluator_measures_whole_pictures(run, monkeypatch):
  """At 4 px against the data as they are, by the same metrics."""
  _, c, made, _, state = restore(run, one_device(), 1)
  seen = []
  collect = sets.collect

  def watch(parts, columns, spaces, read):
    chunks = [read(part) for part in parts]
    seen.append(np.concatenate([samples for samples, _ in chunks]))
    return collect(chunks, columns, spaces)

  monkeypatch.setattr(sets, 'collect', watch)
  source = open_source(c.data)
  evaluator = Evaluator(c, made, source, jax.local_devices()[:1])
  evaluator(state)
  assert {x.shape for x in seen} == {(SCORED, 8, 8, 1)}
  fakes = [x for x in seen if x.dtype != np.uint8]
  assert fakes and all((x[:, ::2] == x[:, 1::2]).all() for x in fakes)
  reals = next(x for x in seen if x.dtype == np.uint8)
  rows = order.indices(0, np.arange(SCORED), len(source))
  np.testing.assert_array_equal(reals[5], source[int(rows[5])][0])


def test_tools_and_samples_of_an_early_stage(run, tmp_path):
  sample(run, '0-1', 1, None, tmp_path / 'samples')
  picture = np.asarray(Image.open(tmp_path / 'samples' / 'seed0000.png'))
  assert picture.shape == (4, 4)
  spec = 'video:seconds=1,fps=3,smooth=0.1,seeds=5,side=1,format=webp'
  explore(run, spec, 1, tmp_path)
  film, _ = read_webp(tmp_path / 'video_step_000000001.webp')
  assert film[0].shape == (8 + 4, 8 + 4, 3)
  explore(run, 'neighbours:seeds=0,1', 1, tmp_path)
  found = json.loads((tmp_path / 'neighbours_step_000000001.json').read_text())
  assert found['samples'][0]['by_pixels'][0]['distance'] > 0
  explore(run, 'progress:format=webp', None, tmp_path)
  assert (tmp_path / 'progress_step_000000006.webp').exists()
