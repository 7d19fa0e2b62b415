"""Scores of runs: what they are measured against, when, on which devices."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source, order
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.metrics import path_length, spaces
from gan_jax.nn import latent
from gan_jax.observe import scores
from gan_jax.observe.evaluation import Evaluation, against
from gan_jax.restore import BEST, open_run, restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from gan_jax.sample import sample
from gan_jax.sampler import Sampler
from gan_jax.train import train
from tests import small
from tests.train_test import digits

NAMES = 'scores,frechet_random,kid_random'
METRICS = (('metrics.names', NAMES), ('metrics.samples', '72'))
EVERY = (('metrics.every', '2'), ('metrics.best', 'frechet_random'))


@pytest.fixture(autouse=True, scope='module')
def statistics(tmp_path_factory):
  """Nothing of a test is found by another run."""
  with pytest.MonkeyPatch.context() as patch:
    folder = tmp_path_factory.mktemp('statistics')
    patch.setenv('GAN_JAX_STATISTICS', str(folder))
    patch.setenv('GAN_JAX_WEIGHTS', str(folder / 'none'))
    yield folder


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Four steps, evaluated after two and four, the better one kept."""
  folder = tmp_path_factory.mktemp('trained')
  train(digits(*METRICS, *EVERY), folder)
  return folder


def lines(folder):
  return RunDir(folder).lines('evaluate.jsonl')


def test_evaluations_while_training(trained):
  found = lines(trained)
  assert [line['step'] for line in found] == [2, 4]
  assert [line['images'] for line in found] == [16, 32]
  logged = RunDir(trained).lines()
  scored = [line for line in logged if 'frechet_random' in line]
  for line, same in zip(found, scored, strict=True):
    assert line['frechet_random'] == same['frechet_random'] > 0
  assert (trained / 'evaluate.png').stat().st_size > 0
  assert 'frechet_random' in (trained / 'log.txt').read_text()


def test_the_best_state_is_kept(trained):
  found = {line['step']: line['frechet_random'] for line in lines(trained)}
  best = min(found, key=found.get)
  assert json.loads((trained / 'best.json').read_text()) == {
    'metric': 'frechet_random',
    'step': best,
    'value': found[best],
  }
  kept = restore(trained, one_device(), BEST)
  assert kept.step == best
  assert small.identical(kept.state, restore(trained, one_device(), best).state)
  sample(trained, '0', BEST, None)
  assert (trained / 'samples' / f'step_{best:09d}' / 'seed0000.png').exists()


def test_a_line_says_what_it_was_measured_against(trained):
  line = evaluate(trained, step=2)
  inside = lines(trained)[0]
  assert against(line) == against(inside)
  for name in ('d_ranked', 'frechet_random', 'kid_random'):
    assert line[name] == pytest.approx(inside[name], rel=1e-4)
  assert line['reference'] == 'digits, train'
  assert (line['samples'], line['reals'], line['draws']) == (72, 72, 1)
  assert line['resize'] == 'lanczos to 32'
  assert line['spaces'] == {
    'random': {
      'resizer': 'antialiased_bicubic to 64 px',
      'weights': 'random convolutions, seed 0',
    }
  }
  assert line['frechet_random_bias'] > 0
  assert lines(trained)[-1] == line


def test_eight_devices_give_one_devices_numbers(trained):
  run, config, experiment = open_run(trained)
  source = open_source(config.data)
  state = restore(trained, one_device()).state
  numbers = [
    scores.Evaluator(config, experiment, source, devices)(state)
    for devices in (jax.local_devices()[:1], jax.local_devices())
  ]
  assert len(jax.local_devices()) == 8
  for name, value in numbers[0].items():
    # A kernel distance is a difference of sums of the size of 1.
    scale = 1.0 if name.startswith('kid') else abs(value)
    assert abs(numbers[1][name] - value) <= 1e-5 * scale, name


def test_the_reference_is_computed_once(trained, statistics, monkeypatch):
  before = sorted(statistics.iterdir())
  assert before  # of the training
  seen = []
  call = spaces.Space.__call__

  def count(self, pictures):
    seen.append(len(pictures))
    return call(self, pictures)

  monkeypatch.setattr(spaces.Space, '__call__', count)
  evaluate(trained)
  assert sorted(statistics.iterdir()) == before
  assert sum(seen) == 72  # the fakes alone


def test_draws(trained):
  """The first draw is that of a single one; the others are of other seeds."""
  one = lines(trained)[1]  # of step 4, while training
  two = evaluate(trained, 4, overrides=[('metrics.draws', '2')])
  assert two['draws'] == 2
  name = 'frechet_random'
  other = 2 * two[name] - one[name]
  assert other != one[name]
  expected = abs(one[name] - other) / np.sqrt(2)
  assert two[f'{name}_std'] == pytest.approx(expected, rel=1e-3)
  assert not any(key.endswith('_std_std') for key in two)


def test_all_checkpoints_and_what_is_there_is_left_out(trained, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(trained, folder)
  (folder / 'evaluate.jsonl').unlink()
  overrides = [('metrics.names', 'frechet_pixels'), ('metrics.samples', '16')]
  assert evaluate(folder, which='all', overrides=overrides)['step'] == 4
  assert [line['step'] for line in lines(folder)] == [2, 4]
  assert evaluate(folder, which='all', overrides=overrides) is None
  # Following a run that is at its end finds nothing to wait for.
  assert evaluate(folder, which='follow', overrides=overrides) is None
  assert len(lines(folder)) == 2
  more = [*overrides, ('metrics.reals', '32')]
  assert evaluate(folder, which='all', overrides=more)['reals'] == 32
  assert len(lines(folder)) == 4


def test_following_sees_a_checkpoint_that_is_saved_later(
  trained, tmp_path, monkeypatch
):
  folder = tmp_path / 'run'
  shutil.copytree(trained, folder)
  last = folder / 'checkpoints' / '4'
  last.rename(folder / 'away')
  monkeypatch.setattr(
    'time.sleep', lambda seconds: (folder / 'away').rename(last)
  )
  overrides = [('metrics.names', 'frechet_pixels'), ('metrics.samples', '16')]
  assert evaluate(folder, which='follow', overrides=overrides)['step'] == 4
  assert [line['step'] for line in lines(folder)[-2:]] == [2, 4]


def test_reading_a_run_clears_nothing_away(trained, tmp_path):
  """A checkpoint that another process is writing is not touched."""
  folder = tmp_path / 'run'
  shutil.copytree(trained, folder)
  half = folder / 'checkpoints' / '6.orbax-checkpoint-tmp'
  half.mkdir()
  (half / 'x').write_text('half')
  evaluate(folder, overrides=[('metrics.names', 'frechet_pixels')])
  assert (half / 'x').read_text() == 'half'


def test_going_on_gives_the_same_scores_and_the_same_best(trained, tmp_path):
  """Killed before the last checkpoint: step 4 is taken and scored again."""
  folder = tmp_path / 'run'
  shutil.copytree(trained, folder)
  shutil.rmtree(folder / 'checkpoints' / '4')
  train(digits(*METRICS, *EVERY), folder)
  same = [
    ln for ln in lines(folder) if against(ln) == against(lines(trained)[0])
  ]
  assert [ln for ln in same if ln['step'] == 4] == [lines(trained)[1]]
  a, b = ((d / 'best.json').read_text() for d in (trained, folder))
  assert a == b
  scored = [ln for ln in RunDir(folder).lines() if 'frechet_random' in ln]
  assert [line['step'] for line in scored] == [2, 4]


def test_a_best_state_of_later_than_the_run_goes_on_from_is_dropped(
  trained, tmp_path
):
  folder = tmp_path / 'run'
  shutil.copytree(trained, folder)
  _, config, experiment = open_run(folder)
  config = config.copy_and_resolve_references().unlock()
  config.metrics.best, config.metrics.every = 'frechet_random', 2
  source = open_source(config.data)
  args = config, RunDir(folder), experiment, source, one_device()
  keeper = Evaluation(*args)
  keeper.rewind(1)
  keeper.close()
  assert Checkpoints(folder / BEST).steps() == []


def of_the_reals(source, count):
  """The classes of the first so many reals."""
  rows = order.indices(0, np.arange(count), len(source))
  return [source[int(i)][1] for i in rows]


def uneven(tmp_path):
  """The config of a run on 9 pictures of a class to 1 of another."""
  rng = np.random.default_rng(0)
  labels = np.arange(100) % 10 == 7
  images = (
    rng.integers(0, 100, (100, 32, 32, 1)) + 150 * labels[:, None, None, None]
  )
  file = tmp_path / 'uneven.npz'
  np.savez(file, image=images.astype(np.uint8), label=labels.astype(int))
  return digits(*METRICS, ('data.source', f'npz:{file}'))


def test_fakes_have_the_classes_of_the_data(tmp_path, monkeypatch):
  config = uneven(tmp_path)
  source = open_source(config.data)
  made = experiment_lib.build(config, source.shape, len(source.classes))
  asked = []
  apply = Sampler.made

  def watch(self, variables, z, labels):
    asked.append((np.asarray(z), np.asarray(labels)))
    return apply(self, variables, z, labels)

  monkeypatch.setattr(Sampler, 'made', watch)
  train(config, tmp_path / 'run')
  state = restore(tmp_path / 'run', one_device()).state
  asked.clear()
  evaluator = scores.Evaluator(config, made, source, jax.local_devices()[:1])
  evaluator(state)
  z, labels = map(np.concatenate, zip(*asked, strict=True))
  count = config.metrics.samples
  np.testing.assert_array_equal(labels[:count], of_the_reals(source, count))
  assert 0 < labels[:count].sum() < 0.2 * count
  # A seed has the same latent vector, and now its class, in every evaluation.
  again = latent.by_seed(np.arange(count), config.latent.size, 'normal')
  np.testing.assert_array_equal(z[:count], again)
  # A second draw is of other seeds, but of the same frequencies.
  later = evaluator._labels(np.arange(100 * count))
  assert later.mean() == labels[:count].mean()
  # Samples for people stay classes in turn.
  assert Sampler(config, made).labels(range(4)).tolist() == [0, 1, 0, 1]


def test_an_edited_picture_is_another_reference(trained, monkeypatch):
  """Each of the reals is looked at, and so is what becomes of it."""
  _, config, made = open_run(trained)
  digests = set()
  for edited in (None, 0, 31, 71):
    source = open_source(config.data)
    if edited is not None:
      row = int(order.indices(0, np.array([edited]), len(source))[0])
      images, _ = source.arrays()
      images = images.copy()
      images[row, 3, 4] ^= 1
      monkeypatch.setattr(source, '_images', images)
      monkeypatch.setattr(source, '_plain', True)
    digests.add(scores.Evaluator(config, made, source)._data_digest())
  assert len(digests) == 4


def test_a_run_that_has_diverged_has_no_scores(trained, caplog):
  opened = open_run(trained)
  _, config, made = opened
  state = restore(trained, one_device()).state
  lost = jax.tree.map(lambda x: jnp.nan * x, state.ema.params)
  state = state.replace(ema=state.ema.replace(params=lost))
  evaluator = scores.Evaluator(config, made, open_source(config.data))
  found = evaluator(state)
  assert set(found) == set(evaluator.main)
  assert np.isnan(list(found.values())).all() and 'diverged' in caplog.text


def test_generators_and_discriminators_are_asked_at_full_precision(trained):
  """Of every product and convolution in what is compiled."""
  _, config, made = open_run(trained)
  state = restore(trained, one_device()).state
  judge, sampler = scores.Judge(made), Sampler(config, made)
  z, labels = sampler.latents(range(2)), sampler.labels(range(2))
  variables = sampler.variables(state)
  samples = sampler.apply(variables, z, labels)
  for lowered in (
    jax.jit(sampler.generate).trace(variables, z, labels),
    jax.jit(judge.fakes).trace(state.pair.d.variables, samples, labels),
  ):
    text = lowered.lower(lowering_platforms=('tpu',)).as_text()
    products = [
      line
      for line in text.splitlines()
      if re.search(r'stablehlo\.(dot_general|convolution)', line)
    ]
    assert len(products) > 3
    assert all('HIGHEST' in line for line in products), products


def test_path_length_is_the_generators_speed(trained, monkeypatch):
  """With the squared distance of pictures in LPIPS's place.

  Expected: the speed by JAX's own derivative along the same paths.
  """

  def squares(variables, x):
    x = (x / 127.5 - 1).reshape(-1, 2, *x.shape[1:])
    return {'distances': jnp.square(x[:, 0] - x[:, 1]).sum((1, 2, 3))}

  space = lambda settings, devices: spaces.Space(
    'lpips_vgg', 'none', 'none', 'abc', {}, squares, 1, devices
  )
  monkeypatch.setitem(spaces.SPACES, 'lpips_vgg', space)
  overrides = [('metrics.names', 'path_length'), ('metrics.samples', '70')]
  _, config, made = open_run(trained, overrides)
  state = restore(trained, one_device()).state
  # A generator that moves enough to be measured in float32.
  sampler = Sampler(config, made)
  faster = jax.tree.map(lambda x: 4 * x, state.ema.params)
  state = state.replace(ema=state.ema.replace(params=faster))
  measured = scores.Evaluator(config, made, open_source(config.data))
  found = measured(state)['path_length']
  assert measured.against['labels'] == 'of the fakes as of the reals'

  generate = made.objective.generator
  seeds = np.arange(70)
  a, b = (
    latent.by_seed(x, config.latent.size, 'normal')
    for x in (seeds, seeds + 2**31)
  )
  times = np.random.default_rng(0).random(70, np.float32)[:, None]
  source = open_source(config.data)
  labels = jnp.asarray(of_the_reals(source, 70), jnp.int32)

  def pictures(t):
    z = path_length.on_sphere(a, b, t)
    return generate.apply(variables, z, labels, train=False)

  variables = sampler.variables(state)
  _, speed = jax.jvp(pictures, (times,), (jnp.ones_like(times),))
  lengths = jnp.square(speed).sum((1, 2, 3))
  expected = path_length.trimmed_mean(lengths)
  # A difference in float32 over a step of 1e-4 keeps two to three digits.
  assert found == pytest.approx(expected, rel=2e-2) and found > 0.1


def test_points_have_metrics_of_their_own(tmp_path):
  config = small.config(metrics=dict(names=('modes', 'density', 'scores')))
  train(config, tmp_path)
  line = evaluate(tmp_path)
  assert 0 <= line['modes_covered'] <= 8 and 0 <= line['high_quality'] <= 1
  assert np.isfinite(line['log_likelihood']) and 'resize' not in line
  assert 0 <= line['adagan_coverage'] <= 1


@pytest.mark.parametrize(
  'overrides, words',
  [
    ([('metrics.names', 'fid')], 'weights of inception are missing'),
    ([('metrics.names', 'modes')], 'modes is for points, and digits has pict'),
    ([('metrics.names', 'frechet_classifier')], 'classifier needs one'),
    ([('train.batch', '3')], 'only --config.metrics.* can be changed here'),
    ([('metrics.resizer', 'bicubic')], "'half_pixel_bilinear'"),
    ([('metrics.best', 'd_real')], 'must be a number that'),
  ],
)
def test_what_cannot_work_is_refused_before_any_work(
  trained, overrides, words, monkeypatch
):
  monkeypatch.setattr(scores.Evaluator, '__call__', None)
  before = lines(trained)
  with pytest.raises(UserError) as error:
    evaluate(trained, overrides=overrides)
  assert words in str(error.value) and '\n' not in str(error.value)
  assert lines(trained) == before


def test_a_run_without_a_best_state_says_so(tmp_path):
  config = small.config()
  train(config, tmp_path)
  with pytest.raises(UserError, match='keeps no best state: train with'):
    evaluate(tmp_path, BEST)
