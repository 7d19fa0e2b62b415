"""The overfitting watch: its numbers against other ways, and in a run."""

import itertools
import math
import re

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from gan_jax import config as config_lib
from gan_jax import observe
from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.observe import overfitting
from gan_jax.observe.overfitting import LOOKS, of_distances, of_scores, tip
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.sampler import Sampler
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small

# Numbers.


def test_r_v_is_karras_equation():
  found = of_scores([2.0, 4.0], [1.0, 2.0, 0.0], [-1.0, -1.0])
  assert found['r_v'] == (3 - 1) / (3 + 1)
  assert (found['d_train'], found['d_held_out'], found['d_samples']) == (
    3,
    1,
    -1,
  )


SCORES = st.lists(st.floats(-10, 10, width=16), min_size=2, max_size=9)


@given(SCORES, SCORES, SCORES, st.floats(0.1, 9), st.floats(-9, 9))
def test_r_v_has_no_unit_and_no_sign(train, held_out, samples, times, plus):
  a = of_scores(train, held_out, samples)
  if abs(a['d_train'] - a['d_samples']) < 1e-2:
    return
  for factor in (times, -times):
    moved = (factor * np.array(x) + plus for x in (train, held_out, samples))
    b = of_scores(*moved)
    for name in ('r_v', 'r_v_low'):
      assert b[name] == pytest.approx(a[name], rel=1e-6, abs=1e-6)


def test_the_bound_is_of_welchs_t():
  rng = np.random.default_rng(0)
  train, held_out = rng.normal(2, 1, 40), rng.normal(1, 2, 7)
  found = of_scores(train, held_out, [-3.0])
  t = stats.ttest_ind(train, held_out, equal_var=False).statistic
  quantile = stats.t.ppf(0.975, 6)
  assert found['r_v_low'] == pytest.approx(found['r_v'] * (1 - quantile / t))


def test_no_bound_without_pictures_enough():
  assert math.isnan(of_scores([1.0, 2.0], [0.0], [-1.0])['r_v_low'])
  assert math.isnan(of_scores([1.0, 2.0], [0.0, 1.0], [1.5])['r_v'])
  assert not overfitting.shows(of_scores([5.0, 5.1], [-9.0], [-1.0]))


def features(seed, *counts, dim=6):
  rng = np.random.default_rng(seed)
  return [rng.normal(size=(n, dim)).astype(np.float32) for n in counts]


@pytest.mark.parametrize('views', [1, 2])
def test_distances_and_chance_by_brute_force(views):
  train, held_out, samples = features(3, 8 * views, 3 * views, 9)
  found = of_distances(train, held_out, samples, views)
  near = cdist(samples, train).min(1)
  apart = cdist(held_out[:3], train).min(1)
  root = math.sqrt(6)
  assert found['near_samples'] == pytest.approx(np.median(near) / root)
  assert found['near_held_out'] == pytest.approx(np.median(apart) / root)
  assert found['near_ratio'] == pytest.approx(
    np.median(near) / np.median(apart)
  )
  # A picture is met if one of its views is; every choice of 3 of 11 pictures
  # is as likely to have been held out.
  each = [train[k::8] for k in range(8)] + [held_out[k::3] for k in range(3)]
  far = np.stack([cdist(samples, x).min(1) for x in each])
  met = set(far.argmin(0))
  choices = list(itertools.combinations(range(11), 3))
  seen = len(met & {8, 9, 10})
  expected = np.mean([len(met & set(c)) <= seen for c in choices])
  assert found['near_chance'] == pytest.approx(expected)


def test_chance_keeps_its_promise_and_sees_copies():
  """Alarms of a G that knows nothing, spread or in a crowd; and of copies."""
  chances, crowd, copies = [], [], []
  for seed in range(200):
    pictures, samples = features(seed, 100, 64)
    train, held_out = pictures[:90], pictures[90:]
    of = lambda x, t=train, h=held_out: of_distances(t, h, x)
    chances.append(of(samples)['near_chance'])
    blurred = of(0.05 * samples)
    crowd.append(blurred)
    copies.append(of(train[:64] + 0.01 * samples))
  assert np.mean(np.array(chances) < 0.05) < 0.07
  # Near to everything, as blurred pictures are: no alarm.
  assert np.median([x['near_ratio'] for x in crowd]) < 1
  assert np.mean([x['near_chance'] < 0.05 for x in crowd]) < 0.07
  assert all(x['near_ratio'] < 0.1 for x in copies)
  assert all(overfitting.shows(x) == {'g'} for x in copies)


def test_a_twin_that_is_held_out_is_no_copy():
  (pictures,) = features(0, 20)
  found = of_distances(pictures, pictures[:10], pictures)
  assert found['near_chance'] > 0.5 and math.isnan(found['near_ratio'])


def test_features_are_of_pictures_and_then_of_mirrored_ones():
  c = config_lib.defaults().data
  c.update(source='digits', split='train[:20]', channels=1)
  source = open_source(c)
  found = overfitting.features_of(source, 2)
  assert found.shape == (40, 16 * 16)
  grids = found.reshape(2, 20, 16, 16)
  assert (grids[1] == grids[0][:, :, ::-1]).all()
  images = source.arrays()[0].astype(np.float64)[..., 0] / 127.5 - 1
  cells = images.reshape(20, 16, 2, 16, 2).mean((2, 4))
  expected = sorted(cells.reshape(20, -1).tolist())
  np.testing.assert_allclose(sorted(found[:20].tolist()), expected, atol=1e-6)
  assert (overfitting.features_of(source, 1) == found[:20]).all()


LOOK = {
  '': {'r_v_low': 0.4, 'near_ratio': 0.9, 'near_chance': 0.5},
  'd': {'r_v_low': 0.6, 'near_ratio': 1.1, 'near_chance': 0.001},
  'g': {'r_v_low': None, 'near_ratio': 0.9, 'near_chance': 0.001},
  'b': {'r_v_low': 0.6, 'near_ratio': 0.9, 'near_chance': 0.001},
  'n': {'r_v_low': None, 'near_ratio': None, 'near_chance': None},
}


@options(max_examples=200)
@given(st.lists(st.sampled_from(list(LOOK)), max_size=12))
def test_it_tips_at_the_third_of_one_kind_in_a_row(kinds):
  text = ''.join(kind or '-' for kind in kinds)
  ends = [
    match.start() + LOOKS - 1
    for match in re.finditer(f'(?=[db]{{{LOOKS}}}|[gb]{{{LOOKS}}})', text)
  ]
  assert tip([LOOK[kind] for kind in kinds]) == (min(ends) if ends else None)


@given(st.lists(st.sampled_from(list(LOOK)), max_size=6), st.integers(-1, 6))
def test_the_newest_look_says_whether_samples_are_copies(kinds, step):
  lines = [
    {'step': k, **dict.fromkeys(overfitting.G_NUMBERS, 0.0), **LOOK[kind]}
    for k, kind in enumerate(kinds)
  ]
  others = [{'step': step, 'd_loss': 1.0}]
  newest = ''.join(kind or '-' for kind in kinds[: step + 1])[-1:]
  assert overfitting.copies(lines + others, step) == (newest in tuple('gb'))


# In a run.


def config(**sections):
  """Five steps on points of which a tenth is held out, a look after each."""
  c = small.config(
    data=dict(split='train[:500]', held_out=0.1),
    mesh=dict(data=1),
    metrics={},
    **sections,
  )
  with c.train.unlocked():
    c.train.update(steps=5, image_every=1, checkpoint_every=2)
  return c


@pytest.fixture(scope='module', autouse=True)
def _quickly():
  """All points are scored, and nothing else is drawn."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(overfitting, 'SCORED', 10**6)
    own = {'overfitting': overfitting.Overfitting}
    patch.setattr(observe, 'OBSERVERS', own)
    patch.setattr(RunDir, 'curves', lambda self: None)
    yield


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory):
  """A run in which every look shows that D knows its points."""
  folder = tmp_path_factory.mktemp('whole')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(overfitting, 'shows', lambda look: {'d'})
    train(config(), folder)
  return folder


def looks(folder):
  """What the watch has left in metrics.jsonl."""
  return [line for line in RunDir(folder).lines() if 'r_v' in line]


def sentences(folder):
  """What was said, by the steps that it is about."""
  log = (folder / 'log.txt').read_text()
  said = RunDir(folder).lines(overfitting.SAID)
  assert [line['step'] for line in said] == [3]
  assert all(log.count(line['sentence']) == 1 for line in said)
  return re.findall('Overfitting: since step (.*?) ', log)


def test_a_look_is_what_the_networks_say(whole):
  c = config()
  source = open_source(c.data)
  restored = restore(whole, one_device())
  state, game = restored.state, restored.experiment.objective
  sampler = Sampler(restored.config, restored.experiment)
  fakes = sampler(sampler.variables(state), range(overfitting.SAMPLES))
  judge = lambda x: game.discriminator.apply(
    state.pair.d.variables, x, None, train=False
  ).logits.mean()
  reals, held_out = (s.arrays()[0] for s in (source, source.held_out))
  found = looks(whole)[-1]
  assert [line['step'] for line in looks(whole)] == [1, 2, 3, 4, 5]
  for name, x, nearest in (
    ('d_train', reals, None),
    ('d_held_out', held_out, 'near_held_out'),
    ('d_samples', fakes, 'near_samples'),
  ):
    assert found[name] == pytest.approx(float(judge(x)), rel=1e-3)
    if nearest:
      median = np.median(cdist(x, reals).min(1))
      expected = pytest.approx(median / math.sqrt(2), rel=1e-3)
      assert found[nearest] == expected


def test_it_is_said_once(whole):
  assert sentences(whole) == ['1']


@pytest.mark.parametrize('stop', [2, 3])
def test_it_is_said_once_in_several_starts(whole, stop, tmp_path, monkeypatch):
  monkeypatch.setattr(overfitting, 'shows', lambda look: {'d'})
  short = config().copy_and_resolve_references()
  with short.train.unlocked():
    short.train.steps = stop
  train(short, tmp_path)
  train(config(), tmp_path)
  assert looks(tmp_path) == looks(whole) and sentences(tmp_path) == ['1']


class Killed(BaseException):
  """What nothing in the program catches."""


@pytest.mark.parametrize('late', [False, True])
def test_a_kill_at_a_look_leaves_the_same_lines(
  whole, late, tmp_path, monkeypatch
):
  """Before the look's numbers are written down, and after."""
  monkeypatch.setattr(overfitting, 'shows', lambda look: {'d'})
  metrics = RunDir.metrics

  def die(self, step, values):
    if step != 4 or 'r_v' not in values:
      return metrics(self, step, values)
    if late:
      metrics(self, step, values)
    raise Killed

  with monkeypatch.context() as patch:
    patch.setattr(RunDir, 'metrics', die)
    with pytest.raises(Killed):
      train(config(), tmp_path)
  train(config(), tmp_path)
  assert looks(tmp_path) == looks(whole) and sentences(tmp_path) == ['1']


def test_a_run_that_has_diverged_has_no_distances(whole):
  restored = restore(whole, one_device())
  c = config()
  source = open_source(c.data)
  watch = overfitting.Overfitting(
    c, restored.run, restored.experiment, source, one_device()
  )
  broken = jax.tree.map(lambda x: x * math.nan, restored.state.pair.g.params)
  g = restored.state.pair.g.replace(params=broken)
  state = restored.state.replace(
    ema=None, pair=restored.state.pair.replace(g=g)
  )
  numbers = watch(9, 72, state)
  assert math.isnan(numbers['near_ratio']) and math.isnan(numbers['r_v'])
  assert not overfitting.shows(numbers)


def test_other_data_held_out_are_another_run(whole):
  other = config().copy_and_resolve_references()
  with other.unlocked():
    other.data.held_out = 0.2
  with pytest.raises(UserError, match='data.held_out: 0.1 -> 0.2'):
    train(other, whole)


def test_a_classifier_is_measured_otherwise():
  c = config_lib.load(
    'configs/classifier_cifar.py:test', [('data.held_out', '0.1')]
  )
  with pytest.raises(UserError, match='measured on config.data.test_split'):
    validate(c)
