"""Observers in the loop: which, when, and that no look is ever lost."""

import os
import shutil
import signal
import time

import numpy as np
import pytest

from gan_jax import experiment as experiment_lib
from gan_jax import observe
from gan_jax.data import open_source
from gan_jax.engine import Engine
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.observe import overfitting
from gan_jax.observe.occasional import Occasional
from gan_jax.observe.scores import Evaluator
from gan_jax.restore import BEST, restore
from gan_jax.run.folder import RunDir
from gan_jax.train import train
from tests import small
from tests.train_test import digits

NUMBER = 'frechet_pixels'


def config(**sections):
  """Four steps on points, saved, drawn and evaluated at two and at four."""
  metrics = dict(names=(NUMBER,), every=2, best=NUMBER)
  sections = dict(metrics=metrics, mesh=dict(data=1)) | sections
  c = small.config(**sections)
  with c.train.unlocked():
    c.train.update(image_every=2, log_every=1)
  return c


class Weight(Occasional):
  """An observer as somebody else might write it."""

  @staticmethod
  def wanted(config, experiment, source):
    return config.train.seed == 7

  def __init__(self, config, run, experiment, source, mesh):
    super().__init__(3, config.train.steps)
    self.run = run

  def done(self, step):
    return False

  def __call__(self, step, images, state):
    return {'weight': float(np.abs(small.flat(state.pair.g.params)).sum())}


def test_one_from_outside_needs_a_line_in_the_registry(tmp_path, monkeypatch):
  monkeypatch.setitem(observe.OBSERVERS, 'weight', Weight)
  seven = config(train=dict(seed=7), metrics={})
  train(seven, tmp_path / 'a')
  found = {
    line['step']: line
    for line in RunDir(tmp_path / 'a').lines()
    if 'weight' in line
  }
  assert list(found) == [3, 4] and found[3]['images'] == 3 * small.N
  state = restore(tmp_path / 'a', one_device()).state
  expected = np.abs(small.flat(state.pair.g.params)).sum()
  assert found[4]['weight'] == pytest.approx(expected)
  train(config(metrics={}), tmp_path / 'b')
  assert not any('weight' in line for line in RunDir(tmp_path / 'b').lines())


def test_each_run_has_those_that_suit_it(tmp_path):
  for c, names in (
    (config(), ['Reals', 'Landscape', 'Evaluation']),
    (config(metrics={}), ['Reals', 'Landscape']),
    (digits(), ['Reals', 'Preview']),
  ):
    source = open_source(c.data)
    made = experiment_lib.build(c, source.shape, len(source.classes))
    found = observe.build(c, RunDir(tmp_path), made, source, one_device())
    assert [type(observer).__name__ for observer in found] == names


# Nothing is lost.


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory):
  """The folder of a run that nobody disturbed."""
  folder = tmp_path_factory.mktemp('whole')
  train(config(), folder)
  assert [ln['step'] for ln in RunDir(folder).lines('evaluate.jsonl')] == [2, 4]
  return folder


def left(folder):
  """All that a run leaves, apart from how long it took."""
  run = RunDir(folder)
  timeless = lambda line: {
    k: v for k, v in line.items() if k not in ('images_per_second', 'memory_gb')
  }
  return {
    'evaluations': run.lines('evaluate.jsonl'),
    'metrics': [timeless(line) for line in run.lines()],
    'best': (folder / 'best.json').read_text(),
    'images': {f.name: f.read_bytes() for f in (folder / 'images').iterdir()},
    'states': [
      small.flat(restore(folder, one_device(), step).state).tobytes()
      for step in (None, BEST)
    ],
  }


class Killed(BaseException):
  """What nothing in the program catches."""


# The last thing that a run begins before it is killed: a method, and a word
# that is among its arguments.
MOMENTS = {
  'best.json': (RunDir, 'save_json', 'best.json'),
  'evaluate.jsonl': (RunDir, 'append', 'evaluate.jsonl'),
  'metrics.jsonl': (RunDir, 'metrics', NUMBER),
  'film': (RunDir, 'animation', None),
}


def kill(patch, folder, moment, step):
  """Arranges for a run to die at that moment, its checkpoint on disk."""
  owner, name, word = MOMENTS[moment]
  function = getattr(owner, name)
  saved = folder / 'checkpoints' / str(step)

  def die(self, *args):
    calls.append(args)
    if len(calls) == (1 if moment == 'film' else step // 2):
      until = time.monotonic() + 20
      while not saved.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
      raise Killed

  def watch(self, *args):
    named = [arg for arg in args if isinstance(arg, str | dict)]
    if word is None or any(word in arg for arg in named):
      die(self, *args)
    return function(self, *args)

  calls = []
  patch.setattr(owner, name, watch)


@pytest.mark.parametrize(
  'moment, step',
  [
    pytest.param('best.json', 2, marks=pytest.mark.slow),
    pytest.param('evaluate.jsonl', 4, marks=pytest.mark.slow),
    ('metrics.jsonl', 4),
    pytest.param('film', 4, marks=pytest.mark.slow),
  ],
)
def test_a_kill_after_a_checkpoint_loses_no_look(
  whole, moment, step, tmp_path, monkeypatch
):
  with monkeypatch.context() as patch:
    kill(patch, tmp_path, moment, step)
    with pytest.raises(Killed):
      train(config(), tmp_path)
  lost = RunDir(tmp_path).lines('evaluate.jsonl')
  assert len(lost) < 2 or moment in ('metrics.jsonl', 'film')
  train(config(), tmp_path)
  assert left(tmp_path) == left(whole)


@pytest.mark.slow
def test_a_copier_is_no_best_state(tmp_path, monkeypatch):
  """Whatever its score; and a kill while a best state is kept changes none."""
  held_out = config(data=dict(split='train[:500]', held_out=0.1))
  copiers = set()
  shows = lambda look: {'d', *('g' if look['step'] in copiers else '')}
  monkeypatch.setattr(overfitting, 'shows', shows)
  train(held_out, tmp_path / 'a')
  found = {
    line['step']: line[NUMBER]
    for line in RunDir(tmp_path / 'a').lines('evaluate.jsonl')
  }
  good = min(found, key=found.get)
  (other,) = found.keys() - {good}
  assert RunDir(tmp_path / 'a').load_best()['step'] == good
  copiers |= {good}
  with monkeypatch.context() as patch:
    kill(patch, tmp_path / 'b', 'best.json', 2)
    with pytest.raises(Killed):
      train(held_out, tmp_path / 'b')
  train(held_out, tmp_path / 'b')
  best = {'metric': NUMBER, 'step': other, 'value': found[other]}
  assert RunDir(tmp_path / 'b').load_best() == best
  assert restore(tmp_path / 'b', one_device(), BEST).step == other
  log = (tmp_path / 'b' / 'log.txt').read_text()
  said = f'The best state by {NUMBER} is that of step {other}, '
  assert log.count(said) == 1
  assert f' --workdir={tmp_path / "b"} --step=best.' in log


def test_a_signal_where_much_is_due_loses_no_look(whole, tmp_path, monkeypatch):
  """It is obeyed at once; the next start makes up for what was due."""
  step = Engine.step

  def signalled(self, state):
    state, metrics = step(self, state)
    if int(state.step) == 4:
      os.kill(os.getpid(), signal.SIGTERM)
    return state, metrics

  with monkeypatch.context() as patch:
    patch.setattr(Engine, 'step', signalled)
    train(config(), tmp_path)
  assert int(restore(tmp_path, one_device()).state.step) == 4
  assert len(RunDir(tmp_path).lines('evaluate.jsonl')) == 1
  # What somebody measures himself meanwhile is not taken for the run's own.
  evaluate(tmp_path, overrides=[('metrics.samples', '16')])
  train(config(), tmp_path)
  found = left(tmp_path)
  assert found['evaluations'].pop(1)['samples'] == 16
  assert found == left(whole)


def test_what_is_evaluated_again_is_written_once(whole, tmp_path):
  """A run that goes on from before an evaluation; other lines are kept."""
  shutil.copytree(whole, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'checkpoints' / '4')
  other = {'step': 4, 'images': 1, 'samples': 5, NUMBER: 1.0}
  RunDir(tmp_path / 'run').append('evaluate.jsonl', other)
  train(config(), tmp_path / 'run')
  found = left(tmp_path / 'run')
  assert found['evaluations'].pop(1) == other
  assert found == left(whole)


def test_a_finished_run_is_looked_at_no_more(whole, monkeypatch):
  before = left(whole)
  monkeypatch.setattr(Evaluator, '__call__', None)
  monkeypatch.setattr(RunDir, 'frame', None)
  monkeypatch.setattr(Engine, 'enter', None)  # nor is a step compiled for it
  train(config(), whole)
  assert left(whole) == before
