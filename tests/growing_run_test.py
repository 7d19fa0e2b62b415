"""Runs that grow, from a config to a folder, and what is refused of them."""

import json
import re

import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.plan import plan
from gan_jax.restore import restore
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small
from tests.networks import progan_run_test


def config(**sections):
  """Digits of 4, 8, 16 px in steps of 8 images; a change every second step."""
  sections = {
    'growth': dict(start=4, stable_images=8, fade_images=24),
    'train': dict(images=80, log_every=1, checkpoint_every=3, image_every=100),
  } | sections
  sections['train'] = (
    dict(batch=8, steps=1, tensorboard=False) | sections['train']
  )
  c = progan_run_test.config(**sections).unlock()
  c.metrics.samples = 16
  return c.lock()


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole')
  train(config(), folder)
  return folder


def state(folder):
  return restore(folder, one_device())


@pytest.mark.slow
def test_a_run_ends_by_images_and_has_a_grid_a_stretch(whole):
  """80 images of 8 a step, whatever train.steps says."""
  assert state(whole).step == 10
  grids = sorted(path.name for path in whole.glob('images/fakes_*'))
  numbers = [int(re.search(r'\d+', name)[0]) for name in grids]
  assert numbers == [2, 4, 6, 8, 10]
  lines = [
    json.loads(line) for line in open(whole / 'metrics.jsonl', encoding='utf-8')
  ]
  shown = [line['images'] for line in lines if 'd_loss' in line]
  assert shown == list(range(8, 81, 8))
  stretches = json.loads((whole / 'stretches.json').read_bytes())['stretches']
  assert [row[0] for row in stretches] == [0, 2, 4, 6, 8]
  assert [row[1][0] for row in stretches] == [4, 8, 8, 16, 16]
  assert [row[2:] for row in stretches] == [
    *([0, 0], [8, 24], [0, 0], [40, 24], [0, 0])
  ]


@pytest.mark.slow
@pytest.mark.parametrize(
  'images', [24, *(pytest.param(n, marks=pytest.mark.slow) for n in (32, 56))]
)
def test_going_on_from_a_fade_and_a_change_is_exact(whole, tmp_path, images):
  """Ended in the middle of a fade, at a change of stage, before one."""
  for end in (images, 80):
    train(
      config(train=dict(images=end, log_every=1, image_every=100)), tmp_path
    )
  assert small.identical(state(tmp_path).state, state(whole).state)


@pytest.mark.slow
def test_another_batch_on_the_way_counts_on(tmp_path):
  """Levels come by images: twice as soon, in steps of twice as many."""
  train(config(train=dict(images=24)), tmp_path)
  train(config(train=dict(images=80, batch=16)), tmp_path)
  found = state(tmp_path)
  growth = found.experiment.growth
  assert found.step == 7 and growth.images(7) == 88
  fades = [float(growth.time(k).alpha) for k in range(2, 7)]
  assert np.allclose(fades, [8 / 24, 16 / 24, 1, 16 / 24, 1])
  assert [growth.stage(k).resolution for k in range(2, 7)] == [8, 8, 8, 16, 16]


@pytest.mark.slow
def test_a_changed_schedule_is_another_experiment_unless_permitted(
  whole, tmp_path
):
  train(config(train=dict(images=24)), tmp_path)
  growth = dict(start=4, stable_images=16, fade_images=24)
  with pytest.raises(UserError, match='growth.stable_images: 8 -> 16'):
    train(config(growth=growth), tmp_path)
  changed = config(growth=growth, train=dict(images=80, change=('growth',)))
  train(changed, tmp_path)
  grown = state(tmp_path).experiment.growth
  # 24 images were shown as planned at first, now they are 8 into a fade.
  assert float(grown.time(2).alpha) == pytest.approx(8 / 24)
  assert float(grown.time(3).alpha) == pytest.approx(8 / 24)


@pytest.mark.parametrize(
  'sections, words',
  [
    (dict(growth=dict(batch=('8:x',))), 'config.growth.batch'),
    (dict(growth=dict(lr=('8:-1',))), 'config.growth.lr'),
    (dict(growth=dict(batch=('8:4', '8:8'))), '8 px twice'),
    (dict(augment=dict(crop=2)), 'config.augment.crop = 2'),
    (
      dict(ensemble=dict(pairs=2, weight_sharing=0.5)),
      'config.ensemble.weight_sharing',
    ),
    (dict(generator=dict(name='dcgan')), 'config.generator.name'),
  ],
)
def test_what_cannot_grow_is_refused_before_the_data_are_read(sections, words):
  growth = dict(start=4) | sections.get('growth', {})
  c = config(**sections | {'growth': growth}).unlock()
  if 'generator' in sections:
    c.generator = dict(name='dcgan', width=4, norm='batch', bias=True)
  with pytest.raises(UserError, match=words):
    validate(c)


@pytest.mark.parametrize(
  'growth, words',
  [
    (dict(batch=('32:4',)), '32 px, which this run never works on'),
    (dict(start=32), '16, the side of the pictures, by doubling'),
    (dict(batch=('8:6',)), 'config.discriminator.group_size'),
  ],
)
def test_what_a_stage_cannot_have_is_refused_and_nothing_written(
  tmp_path, growth, words
):
  folder = tmp_path / 'run'
  with pytest.raises(UserError, match=words):
    train(config(growth=dict(start=4) | growth), folder)
  assert not folder.exists()


@pytest.mark.slow
def test_a_plan_has_a_table_of_the_stages():
  text = plan(
    config(
      growth=dict(
        start=4,
        stable_images=8,
        fade_images=24,
        lr=('16:0.5',),
        batch=('4:16',),
      )
    )
  ).text
  rows = [row.split() for row in text.splitlines() if ' px ' in row]
  assert [row[0] for row in rows] == ['4', '8', '16']
  assert [row[4] for row in rows] == ['16', '8', '8']
  assert rows[-1][5] == '0.5'
  steps = [int(row[3]) for row in rows]
  assert sum(steps) == config_steps(text)
  assert re.search(r'\nTime +about \S+ to \S+ s a step here, \w+ in all', text)


def config_steps(text):
  return int(re.search(r'Run +([\d,]+) steps', text)[1].replace(',', ''))


def test_the_configs_grow_as_their_presets_say():
  """Against the spec's table of presets, 1.3."""
  load = lambda spec: config_lib.load(f'configs/progan_{spec}')
  eight = load('celebahq.py:preset=v2,devices=8').growth
  assert eight.batch == ('4:512', '8:256', '16:128', '32:64', '64:32')
  assert '1024:0.003' in eight.lr and '128:0.0015' in eight.lr
  paper = load('celebahq.py:preset=paper')
  assert paper.growth.batch == ('256:14', '512:6', '1024:3')
  assert paper.train.images == 19_000_000 and paper.train.batch == 16
  assert paper.growth.stable_images == 800_000
  assert paper.optimizer.generator.ramp_up == 40_000
  assert load('lsun.py:category=dog').augment.mirror is False
  assert load('lsun.py').growth.batch == ()
  small_ = load('folder.py:resolution=32').growth
  assert all(int(x.partition(':')[0]) <= 32 for x in small_.batch)
  with pytest.raises(UserError, match='devices=2 has no preset=paper'):
    load('celebahq.py:preset=paper,devices=2')


@pytest.mark.slow
def test_a_plan_of_a_set_that_streams_stores_no_level(tmp_path, monkeypatch):
  """It would go through all pictures and write gigabytes."""
  monkeypatch.setenv('GAN_JAX_LEVELS', str(tmp_path / 'levels'))
  growth = dict(start=8, stable_images=8, fade_images=24)
  text = plan(config(growth=growth, data=dict(device_budget_mb=0))).text
  assert 'streamed from the host' in text and ' 8 px' in text
  assert not (tmp_path / 'levels').exists()
