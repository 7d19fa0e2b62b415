"""The main job end to end: what it leaves, how it resumes, how it ends."""

import json
import logging
import math
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source, order
from gan_jax.engine import PATIENCE
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import make_mesh, one_device
from gan_jax.plan import plan
from gan_jax.plan.time import step_times
from gan_jax.restore import restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from gan_jax.run.progress import Clock
from gan_jax.sample import sample
from gan_jax.seeds import parse_seeds
from gan_jax.train import Job, closing, train
from tests import small

CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'


def digits(*overrides):
  return config_lib.load(f'{CONFIGS}/quickstart.py:test', overrides)


def final(workdir):
  return restore(workdir, one_device()).state


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished run of the shrunken quickstart on eight devices."""
  folder = tmp_path_factory.mktemp('trained')
  train(digits(), folder)
  return folder


def test_what_a_run_leaves(trained):
  lines = RunDir(trained).lines()
  assert [line['step'] for line in lines] == [2, 4]
  assert [line['images'] for line in lines] == [16, 32]
  for name in ('d_loss', 'g_loss', 'd_real', 'd_fake', 'images_per_second'):
    assert name in lines[-1]
  assert Checkpoints(trained / 'checkpoints').steps() == [2, 4]
  grid = np.asarray(Image.open(trained / 'images' / 'fakes_000000004.png'))
  assert grid.shape == (8 * 66 + 2, 10 * 66 + 2) and grid.std() > 0
  for name in (
    'config.json',
    'data.txt',
    'log.txt',
    'curves.png',
    'images/reals.png',
  ):
    assert (trained / name).stat().st_size > 0
  assert '1,797 pictures' in (trained / 'data.txt').read_text()


def test_stopping_and_going_on_changes_no_bit(trained, tmp_path):
  train(digits(('train.steps', '2')), tmp_path)
  train(digits(('train.steps', '4')), tmp_path)
  assert small.identical(final(tmp_path), final(trained))
  images = [
    (d / 'images' / 'fakes_000000004.png').read_bytes()
    for d in (tmp_path, trained)
  ]
  assert images[0] == images[1]
  keep = lambda line: {k: line[k] for k in ('step', 'd_loss', 'g_loss')}
  assert [keep(line) for line in RunDir(tmp_path).lines()] == [
    keep(line) for line in RunDir(trained).lines()
  ]


def test_a_finished_run_has_nothing_to_do(trained, caplog):
  before = final(trained)
  with caplog.at_level(logging.INFO):
    train(digits(), trained)
  assert 'Nothing to do' in caplog.text and 'Done.' not in caplog.text
  ends = (trained / 'log.txt').read_text().split('Done. The run is in ')
  assert len(ends) == 2 and ends[1].startswith(f'{trained};')
  assert small.identical(final(trained), before)


def test_one_device_and_eight_agree(tmp_path):
  """Batch norm included: its statistics are those of the whole batch.

  One step of SGD: Adam's first steps divide by their own size and blow rounding
  up. Only summation order differs, to 1e-6 of D's update; but where that takes
  one unit of a ReLU to the other side of its kink, as on an Intel Xeon with all
  of XLA's optimisations, all of G's layers below move by 1 to 2 percent: the
  networks are 8 wide. Between 2, 4 and 8 devices nothing differed there.
  """
  moved = {}
  for devices in ('1', '8'):
    config = digits(
      ('mesh.data', devices),
      ('optimizer.generator.name', 'sgd'),
      ('optimizer.discriminator.name', 'sgd'),
      ('optimizer.generator.lr', '0.05'),
      ('optimizer.discriminator.lr', '0.05'),
      ('metrics.names', 'scores'),
      ('train.steps', '1'),
    )
    train(config, tmp_path / devices)
    _, _, made, _, state = restore(tmp_path / devices, one_device())
    seed = config.train.seed
    first = experiment_lib.initial_state(made, seed, one_device())
    moved[devices] = {
      f'{role}.{part}': small.flat(getattr(getattr(state.pair, role), part))
      - small.flat(getattr(getattr(first.pair, role), part))
      for role in 'gd'
      for part in ('params', 'stats')
    }
  for name, one in moved['1'].items():
    assert np.linalg.norm(one) > 1e-3, name
    error = np.linalg.norm(moved['8'][name] - one) / np.linalg.norm(one)
    assert error < (0.03 if name == 'g.params' else 1e-4), name


def test_the_step_compiles_once():
  config = digits()
  source = open_source(config.data)
  made = experiment_lib.build(config, source.shape, len(source.classes))
  mesh = make_mesh(config.mesh)
  (span,), (stage,), _ = made.growth
  span = jax.tree.map(np.int32, span)
  feed = experiment_lib.make_feed(config, stage, source, mesh)
  step = experiment_lib.compile_step(made, stage, feed.decode, mesh)
  state = experiment_lib.initial_state(made, 0, mesh)
  batches = feed.batches(0)
  events = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: events.append(name)
  )
  compiled = lambda: sum('backend_compile' in name for name in events)
  counts = []
  for _ in range(4):
    state, _ = step(state, {}, feed.table, next(batches), span)
    counts.append(compiled())
  assert counts == [1, 1, 1, 1]
  assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(state))


def test_another_network_in_the_same_folder_is_refused(trained):
  with pytest.raises(UserError) as error:
    train(digits(('generator.width', '4')), trained)
  text = str(error.value)
  assert 'generator.width: 8 -> 4' in text and '--workdir' in text
  # The folder still belongs to the old run.
  assert RunDir(trained).load_config()['generator']['width'] == 8


def test_a_change_that_is_permitted_is_told(trained, tmp_path, caplog):
  folder = tmp_path / 'copy'
  shutil.copytree(trained, folder)
  changed = (('train.steps', '6'), ('optimizer.generator.lr', '1e-5'))
  with pytest.raises(UserError, match='--config.train.change=optimizer.gene'):
    train(digits(*changed), folder)
  config = digits(*changed, ('train.change', 'optimizer.generator.lr'))
  with caplog.at_level(logging.INFO):
    train(config, folder)
  assert 'optimizer.generator.lr: 0.0005 -> 1e-05' in caplog.text
  assert int(final(folder).step) == 6


def test_divergence_ends_in_one_sentence_and_keeps_what_was_good(tmp_path):
  train(digits(('train.steps', '2')), tmp_path)
  good = final(tmp_path)
  broken = digits(
    ('optimizer.generator.lr', '1e38'),
    ('train.log_every', '1'),
    ('train.change', 'optimizer'),
  )
  with pytest.raises(UserError, match='diverged: .* is not finite at step'):
    train(broken, tmp_path)
  assert Checkpoints(tmp_path / 'diverged').steps()
  assert small.identical(final(tmp_path), good)


def test_batches_must_divide_over_the_devices(tmp_path):
  with pytest.raises(UserError, match='does not divide over 8 devices'):
    train(digits(('train.batch', '12')), tmp_path)
  with pytest.raises(UserError, match='there are 8'):
    train(digits(('mesh.data', '9')), tmp_path)


def test_samples_depend_on_their_seed_alone(trained, tmp_path):
  folders = []
  for name, seeds in (('a', '0-11'), ('b', '3,11'), ('c', '11')):
    shutil.copytree(trained, tmp_path / name)
    sample(tmp_path / name, seeds, None, None)
    folders.append(tmp_path / name / 'samples' / 'step_000000004')
  a, b, c = folders
  read = lambda folder, seed: (folder / f'seed{seed:04d}.png').read_bytes()
  assert read(a, 11) == read(b, 11) == read(c, 11)
  assert read(a, 3) == read(b, 3) != read(a, 11)
  assert len(list(a.iterdir())) == 12
  assert Image.open(a.with_suffix('.png')).size == (4 * 66 + 2, 3 * 66 + 2)
  assert Image.open(a / 'seed0003.png').size == (32, 32)


def test_samples_are_the_averages(trained):
  state = final(trained)
  assert state.ema is not None
  assert not small.identical(state.ema.params, state.pair.g.params)


def test_label_chooses_the_class(trained, tmp_path):
  shutil.copytree(trained, tmp_path / 'x')
  sample(tmp_path / 'x', '4', None, None)
  file = tmp_path / 'x' / 'samples' / 'step_000000004' / 'seed0004.png'
  by_turn = file.read_bytes()
  sample(tmp_path / 'x', '4', None, '4')
  assert file.read_bytes() == by_turn  # seed 4's turn is class 4
  sample(tmp_path / 'x', '4', None, '5')
  assert file.read_bytes() != by_turn
  with pytest.raises(UserError, match='classes 0 to 9'):
    sample(tmp_path / 'x', '4', None, '10')


@pytest.mark.parametrize(
  'text',
  ['', '3-', 'a', '1,1', '5-3', '1,9-3', '0-9999999', '1,', '１２', '²', '1_0']
  + ['-1', '4294967296', '0-600000,600001-1200000', '9' * 5000],
)
def test_bad_seeds_are_refused(text):
  with pytest.raises(UserError, match='--seeds='):
    parse_seeds(text)


def test_seeds():
  assert parse_seeds('0-2') == [0, 1, 2]
  assert parse_seeds('7, 1-3') == [7, 1, 2, 3]


def test_evaluate_says_what_it_measured_against(trained):
  line = evaluate(trained)
  assert line['reference'] == 'digits, train' and line['samples'] == 64
  assert line['resize'] == 'lanczos to 32' and line['step'] == 4
  assert 0 <= line['d_ranked'] <= 1 and line['frechet_pixels'] > 0
  kept = json.loads((trained / 'evaluate.jsonl').read_text().splitlines()[-1])
  assert kept == line
  assert evaluate(trained, step=2)['step'] == 2


def test_a_folder_without_a_run_is_named(tmp_path):
  for call in (evaluate, lambda d: sample(d, '0', None, None)):
    with pytest.raises(UserError, match='holds no run'):
      call(tmp_path)


def test_plan_counts_without_training():
  text = plan(digits()).text
  assert 'Total: 19,696' in text
  # G at width 8, latent 8 + 10 classes: 18*32*16 + 32*16*16 + 16*8*16 + 8*16
  # and norms 2*(32+16+8): 9216 + 8192 + 2048 + 128 + 112 = 19,696.
  for word in ('FLOP', 'peak of a step', 'Checkpoint', '8 x cpu', 'passes'):
    assert word in text
  assert re.search(r'Time +about [\d.e-]+ s a step here, 0m\d\ds in all', text)


COSTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=6)


@given(COSTS, st.floats(1e-6, 1e-3), st.integers(1, 2 * 10**6))
def test_a_plans_times_are_measured_or_by_operations(costs, each, limit):
  """Of a machine of one rate: all the same, and none that is long is tried."""
  asked = []

  def measure(i):
    if costs[i] >= limit:  # too large for the machine
      return math.nan
    asked.append(each * costs[i])
    return asked[-1]

  found = step_times(costs, measure)
  if min(costs) >= limit:
    assert all(map(math.isnan, found))
    return
  assert found == pytest.approx([each * cost for cost in costs])
  assert asked == sorted(asked)
  assert all(seconds <= PATIENCE * 1.001 for seconds in asked[1:])


@pytest.mark.slow
@pytest.mark.parametrize('speed, said', [(0.5, 1), (1e5, 0)])
def test_a_slow_run_says_early_how_long_it_will_take(
  speed, said, tmp_path, monkeypatch, caplog
):
  """Once, and not where a line of metrics is near: that has an ETA."""
  config = small.config().unlock()
  config.train.update(steps=30, log_every=20, checkpoint_every=30, batch=8)
  monkeypatch.setattr(Clock, 'lap', lambda self, step: speed)
  with caplog.at_level(logging.INFO, 'gan_jax'):
    train(config.lock(), tmp_path)
  assert caplog.text.count('A step takes about') == said
  if said:  # 8 images a step, 25 steps to come
    assert 'A step takes about 16 s: the run will take about 6m40s more.' in (
      caplog.text
    )
  assert caplog.text.count(' GB of memory.') == 1


def test_plan_of_data_that_are_not_here_downloads_nothing(tmp_path):
  config = config_lib.load(
    f'{CONFIGS}/dcgan_cifar.py',
    [('data.data_dir', str(tmp_path)), ('generator.width', '8')],
  )
  text = plan(config).text
  assert 'tfds:cifar10 is not here' in text and 'FLOP' in text
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('batches', [(8, 16), (16, 8)])
def test_a_run_goes_on_with_another_batch_where_it_was(tmp_path, batches):
  """Images are counted on, and no sample is left out or comes twice."""
  asked, first, second = [], *batches
  for steps, batch in ((4, first), (6, second)):
    config = small.config().unlock()
    config.train.update(steps=steps, batch=batch)
    with pytest.MonkeyPatch.context() as patch:
      indices = order.indices
      patch.setattr(
        order,
        'indices',
        lambda seed, at, n, indices=indices: (
          asked.append(at.ravel()) or indices(seed, at, n)
        ),
      )
      train(config.lock(), tmp_path / 'run')
  images = {
    line['step']: line['images'] for line in RunDir(tmp_path / 'run').lines()
  }
  assert images == {2: 2 * first, 4: 4 * first, 6: 4 * first + 2 * second}
  seen = {tuple(at.tolist()) for at in asked}
  begin = 4 * first
  for k in range(2):
    assert tuple(range(begin + k * second, begin + (k + 1) * second)) in seen


@pytest.mark.parametrize('gone', [True, False])
def test_whatever_a_library_makes_of_a_folder_that_is_gone(gone, tmp_path):
  """Orbax raises a ValueError there; one that is not about it stays one."""

  class Part:
    taken, closed = 7, False

    def close(self):
      self.closed = True

  part, folder = Part(), tmp_path / 'run'
  job = Job(None, None, part, [], {})
  with RunDir(folder) as run:
    checkpoints = Checkpoints(run.checkpoints)
    with (
      pytest.raises(UserError if gone else ValueError) as error,
      closing(run, job, checkpoints),
    ):
      if gone:
        shutil.rmtree(folder)
      raise ValueError('Checkpoint directory does not exist')
  assert part.closed
  if gone:
    assert 'moved or removed' in str(error.value)
  else:
    assert 'reached step 7' in error.value.__notes__[0]
