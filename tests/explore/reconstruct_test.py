"""--tool=reconstruct and the grids of tasks.lead: what D and G make."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import explore as explore_lib
from gan_jax.mesh import one_device
from gan_jax.networks import Start
from gan_jax.observe.reconstructions import rebuilt
from gan_jax.restore import restore
from gan_jax.tasks import lead
from gan_jax.terms import TERMS
from gan_jax.train import train
from tests.networks.progan_run_test import config

STEM = 'step_000000002'


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  """A run of two steps, whose D tells G how to go on from 4 px."""
  folder = tmp_path_factory.mktemp('run')
  c = config(
    data=dict(split='train[:10%]', resolution=8, held_out=0.2),
    mesh=dict(data=1),
    train=dict(steps=2, image_every=2, checkpoint_every=2, tensorboard=False),
  )
  with c.unlocked():
    c.tasks.lead.update(weight=1.0, resolution=4)
  train(c, folder)
  return folder


@pytest.mark.slow
def test_g_goes_on_from_what_d_tells(run):
  """Heads that always tell the same map: G's picture of that map."""
  restored = restore(run, one_device())
  game, pair = restored.experiment.objective, restored.state.pair
  task = lead.of_config(restored.config)
  x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype('f')
  labels = np.zeros(3, np.int32)
  g, d = pair.g.variables, pair.d.variables
  build = jax.jit(lambda d: rebuilt(game, task, 1.0, g, d, x, labels))
  made = build(d)
  assert made.shape == x.shape and np.std(made, 0).mean() > 1e-4
  head = d['params'][TERMS]['lead']['features']
  width = head['bias'].size
  same = np.random.default_rng(1).normal(size=width).astype('f')
  told = d['params'][TERMS]['lead'] | {
    'features': {'kernel': 0 * head['kernel'], 'bias': same}
  }
  params = d['params'] | {TERMS: {'lead': told}}
  made = build(d | {'params': params})
  start = Start(4, np.broadcast_to(same, (3, 4, 4, width)), None)
  wanted = game.generator.apply(
    g, None, start, train=False, alpha=1.0, method='synthesise'
  ).samples
  np.testing.assert_allclose(made, wanted, atol=1e-5)


@pytest.mark.slow
def test_the_figure_and_its_numbers(run, tmp_path):
  grid = np.asarray(Image.open(run / 'images' / f'rebuilt_{STEM[5:]}.png'))
  assert grid.shape == (4 * 66 + 2, 8 * 66 + 2)  # reals, samples, both rebuilt
  explore_lib.explore(run, 'reconstruct:count=3,seeds=4,9', out=tmp_path)
  told = json.loads((tmp_path / f'reconstruct_{STEM}.json').read_text())
  names = [one['name'] for one in told['each']]
  assert names == ['real 0', 'real 1', 'real 2', 'seed 4', 'seed 9']
  assert 'held out' in told['shown']
  mse = [one['mse'] for one in told['each']]
  assert told['mean']['pictures']['mse'] == pytest.approx(np.mean(mse[:3]))
  assert told['mean']['samples']['mse'] == pytest.approx(np.mean(mse[3:]))
  picture = Image.open(tmp_path / f'reconstruct_{STEM}.png')
  assert np.asarray(picture.convert('L')).std() > 10
