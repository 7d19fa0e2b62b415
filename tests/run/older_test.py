"""Runs of older versions open: trained on, sampled, evaluated.

tests/golden/old_run was written by the version of commit 148dfe2: an ensemble
of MLPs whose learning rates fall after 16 and 24 images, so that each
optimiser's state has the count of a schedule. step6.npz has what that version
made of it two steps later.
"""

import pathlib
import shutil
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.sample import sample
from gan_jax.state import Average, Pair, Player, TrainState
from gan_jax.train import train
from tests import small

ROOT = pathlib.Path(__file__).parents[2]
OLD = ROOT / 'tests' / 'golden' / 'old_run'


@pytest.fixture
def run(tmp_path):
  return shutil.copytree(OLD, tmp_path / 'run')


def networks(folder):
  """The arrays of step6.npz, of a run's newest state."""
  state = restore(folder, one_device()).state
  kept = {
    'g': state.pair.g.params,
    'd': state.pair.d.params,
    'locals': state.local_pairs.g.params,
  }
  leaves = jax.tree_util.tree_flatten_with_path(kept)[0]
  return {'/'.join(k.key for k in path): np.asarray(x) for path, x in leaves}


def test_it_is_trained_on_as_the_older_version_did(run):
  overrides = [
    (f'optimizer.{player}.decay_at', '16,24')
    for player in ('generator', 'discriminator')
  ]
  overrides += [(f'{n}.depth', '2') for n in ('generator', 'discriminator')]
  overrides += [('train.steps', '6'), ('mesh.data', '1'), ('mesh.pair', '1')]
  config = config_lib.load(f'{ROOT}/configs/sgan_toy.py:test,paper', overrides)
  before = networks(run)
  train(config, run)
  after = networks(run)
  with np.load(run / 'step6.npz') as golden:
    assert set(golden) == set(after)
    for name, value in after.items():
      moved, expected = value - before[name], golden[name] - before[name]
      # A hundredth of the first rate, 2e-4: a schedule that began anew, or
      # moments that did, would show.
      assert 1e-7 < np.abs(expected).max() < 2e-5
      np.testing.assert_allclose(moved, expected, atol=1e-7, err_msg=name)


def test_it_is_sampled_and_evaluated(run):
  before = {p: p.read_bytes() for p in run.rglob('*') if p.is_file()}
  sample(run, '0-3', None, None)
  assert (run / 'samples' / 'step_000000004' / 'grid.png').exists()
  line = evaluate(run)
  assert line['step'] == 4 and np.isfinite(line['log_likelihood'])
  assert all(p.read_bytes() == content for p, content in before.items())


# A state of an older version, and of one that has less in it.


def player(opt, seed, **stats):
  rng = np.random.default_rng(seed)
  params = {'Dense_0': {'kernel': jnp.float32(rng.normal(size=(3, 2)))}}
  return Player(params, stats, opt.init(params))


def state(scheduled: bool, teacher: bool, **more) -> TrainState:
  rate = optax.constant_schedule(0.1) if scheduled else 0.1
  adam = optax.adam(rate)
  sgd = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(rate, 0.9))
  frozen = {'teacher': {'params': {'w': jnp.arange(4.0)}}} if teacher else {}
  d = player(sgd, 1, z={'last': jnp.ones(2)}, a={'m': jnp.zeros(2)}, **frozen)
  pair = Pair(g=player(adam, 0), d=d)
  return TrainState(jnp.int32(7), jax.random.key(3), pair, None, **more)


def like(tree):
  """Shapes and types; places as restoring wants them."""
  where = jax.tree.leaves(tree)[0].sharding
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
  )


def save(folder, tree):
  checkpoints = Checkpoints(folder)
  checkpoints.save(7, tree)
  checkpoints.close()


@pytest.mark.parametrize('scheduled', [False, True])
@pytest.mark.parametrize('teacher', [False, True])
def test_what_there_is_no_place_for_now_is_dropped(
  tmp_path, scheduled, teacher
):
  save(tmp_path, state(scheduled, teacher))
  now, checkpoints = state(False, False), Checkpoints(tmp_path)
  step, found = checkpoints.restore(like(now))
  assert step == 7 and small.identical(found, now)
  assert jax.tree.structure(found) == jax.tree.structure(now)
  count = ['pair.d.opt.1.1.count', 'pair.g.opt.1.count'] if scheduled else []
  frozen = ['pair.d.stats.teacher.params.w'] if teacher else []
  assert sorted(checkpoints.dropped) == sorted(count + frozen)
  if teacher:
    w = checkpoints.dropped['pair.d.stats.teacher.params.w']
    np.testing.assert_array_equal(w, jnp.arange(4.0))


@pytest.mark.parametrize('stack', [(), (3,)])
def test_vectors_of_spectral_norm_are_taken_over(tmp_path, stack):
  """As Flax's layer stored them; v follows from u and the kernel."""
  sgd = optax.sgd(0.1)
  kernel = jax.random.normal(jax.random.key(0), (*stack, 4, 4, 3, 5))
  u = jax.random.normal(jax.random.key(1), (*stack, 1, 5))

  def with_stats(spectral):
    params = {'Conv_0': {'kernel': kernel}}
    one = Player(params, {'spectral': spectral}, sgd.init(params))
    average = Average(params, {'spectral': spectral})
    return TrainState(jnp.int32(7), jax.random.key(3), Pair(one, one), average)

  flax_ = {'Conv_0/kernel/u': u, 'Conv_0/kernel/sigma': jnp.ones(stack)}
  save(tmp_path, with_stats({'SpectralNorm_0': flax_}))
  ours = {'u': jnp.zeros((*stack, 5)), 'v': jnp.zeros((*stack, 48))}
  now, checkpoints = with_stats({'Conv_0': ours}), Checkpoints(tmp_path)
  _, found = checkpoints.restore(like(now), fresh=lambda: now)
  assert not checkpoints.anew
  for kept in (found.pair.g, found.pair.d, found.ema):
    vectors = kept.stats['spectral']['Conv_0']
    np.testing.assert_array_equal(vectors['u'], u[..., 0, :])
    matrix = np.float64(kernel).reshape(*stack, 48, 5)
    v = np.einsum('...ro,...o->...r', matrix, u[..., 0, :])
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors['v'], v, atol=1e-6)


def test_what_is_dropped_is_checked_too(tmp_path):
  """A flipped bit anywhere among the arrays: no wrong state is loaded."""
  old = state(True, True)
  save(tmp_path, old)
  other = old.pair.d.stats | {'teacher': {'params': {'w': jnp.arange(4.0) + 1}}}
  d = old.pair.d.replace(stats=other)
  wrong = old.replace(pair=old.pair.replace(d=d))
  # The arrays of one state with the digest of another.
  from gan_jax.run import checkpoints as module

  real = module.digest
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(module, 'digest', lambda _: real(wrong))
    save(tmp_path / 'x', old)
  with pytest.raises(UserError, match='No checkpoint in .* can be read'):
    Checkpoints(tmp_path / 'x').restore(like(state(False, False)))


@flax.struct.dataclass
class Older(TrainState):
  """A state with a field more, an empty one, and one that is nowhere listed."""

  carried: Any = flax.struct.field(default_factory=dict)
  extra: Any = None


def test_empty_fields_of_either_are_nothing(tmp_path):
  old = state(False, False)
  fields = {f: getattr(old, f) for f in ('step', 'key', 'pair', 'ema')}
  save(tmp_path / 'a', Older(**fields))
  _, found = Checkpoints(tmp_path / 'a').restore(like(old))
  assert small.identical(found, old)
  save(tmp_path / 'b', old)
  _, found = Checkpoints(tmp_path / 'b').restore(like(Older(**fields)))
  assert small.identical(found, old)


@pytest.mark.parametrize('name', ['more', 'less', 'unscheduled'])
def test_everything_else_that_differs_is_refused(tmp_path, name):
  old = state(False, False)
  fields = {f: getattr(old, f) for f in ('step', 'key', 'pair', 'ema')}
  more = Older(**fields, extra={'x': jnp.int32(0)})
  saved, here = {
    'more': (more, old),
    'less': (old, more),
    'unscheduled': (old, state(True, False)),
  }[name]
  save(tmp_path, saved)
  with pytest.raises(UserError, match='belong to other networks: .*(absent)'):
    Checkpoints(tmp_path).restore(like(here))
