"""Checkpoints: whole ones come back bit for bit, broken ones are noticed."""

import errno
import logging

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest

from gan_jax import experiment, restore
from gan_jax.errors import UserError
from gan_jax.mesh import make_mesh
from gan_jax.run.checkpoints import Checkpoints, digest
from tests import small

CONFIG = small.config()
MESH = make_mesh(CONFIG.mesh)
MADE = experiment.build(CONFIG, small.SHAPE, 0)
LIKE = restore.like(MADE, MESH)


def state_at(step):
  state = experiment.initial_state(MADE, step, MESH)
  return state.replace(step=state.step + step)


@pytest.fixture
def saved(tmp_path):
  """A folder with the checkpoints of steps 1, 2 and 3."""
  folder = tmp_path / 'checkpoints'
  checkpoints = Checkpoints(folder)
  for step in (1, 2, 3):
    checkpoints.save(step, state_at(step))
  checkpoints.close()
  return folder


def test_round_trip_is_bit_identical(saved):
  step, state = Checkpoints(saved).restore(LIKE)
  assert step == 3 and small.identical(state, state_at(3))
  key = jax.random.key_data(state.key)
  assert (key == jax.random.key_data(state_at(3).key)).all()
  step, state = Checkpoints(saved).restore(LIKE, step=2)
  assert step == 2 and small.identical(state, state_at(2))
  assert Checkpoints(saved).steps() == [1, 2, 3]  # reading removes nothing


def test_no_checkpoint_is_none_and_a_wrong_step_is_named(saved, tmp_path):
  assert Checkpoints(tmp_path / 'empty').restore(LIKE) is None
  with pytest.raises(UserError, match=r'no checkpoint of step 9.*\[1, 2, 3\]'):
    Checkpoints(saved).restore(LIKE, step=9)


def test_newest_and_milestones_are_kept(tmp_path):
  checkpoints = Checkpoints(tmp_path, keep=2, milestone_every=4)
  for step in range(1, 8):
    checkpoints.save(step, state_at(step))
  checkpoints.close()
  assert Checkpoints(tmp_path).steps() == [4, 6, 7]


def data_files(folder, step):
  files = [f for f in (folder / str(step)).rglob('*') if f.is_file()]
  return sorted(files, key=lambda f: f.stat().st_size)


def truncate(folder, step):
  file = data_files(folder, step)[-1]
  file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(folder, step):
  """One bit in the middle of the largest file."""
  file = data_files(folder, step)[-1]
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(bytes(content))


def empty_all(folder, step):
  for file in data_files(folder, step):
    file.write_bytes(b'')


def remove_largest(folder, step):
  data_files(folder, step)[-1].unlink()


@pytest.mark.parametrize('damage', [truncate, flip, empty_all, remove_largest])
def test_a_damaged_newest_falls_back_with_a_warning(saved, damage, caplog):
  damage(saved, 3)
  checkpoints = Checkpoints(saved)
  with caplog.at_level(logging.WARNING):
    step, state = checkpoints.restore(LIKE)
  assert step == 2 and small.identical(state, state_at(2))
  assert 'step 3 is damaged' in caplog.text
  there = tree(saved / '3')
  # The run that goes on from there can write step 3 anew.
  checkpoints.drop_after(2)
  assert checkpoints.steps() == [1, 2]
  aside = saved.parent / 'aside' / 'checkpoints_3'
  assert tree(aside) == there and str(aside) in caplog.text
  checkpoints.save(3, state_at(3))
  checkpoints.close()
  assert Checkpoints(saved).restore(LIKE)[0] == 3
  # If the fault was the reader's, it is the user's to put back.
  damage(saved, 3)
  again = Checkpoints(saved)
  again.restore(LIKE)
  again.drop_after(2)
  assert [p.name for p in aside.parent.iterdir()] == ['checkpoints_3']


def tree(folder):
  return {
    p.relative_to(folder): p.read_bytes()
    for p in folder.rglob('*')
    if p.is_file()
  }


def test_whole_ones_after_the_step_are_removed(saved):
  """Those of a best state, say: they will be the same again."""
  checkpoints = Checkpoints(saved)
  checkpoints.drop_after(1)
  checkpoints.close()
  assert sorted(p.name for p in saved.iterdir()) == ['1']
  assert not (saved.parent / 'aside').exists()


PASSING = {
  'permission': PermissionError(errno.EACCES, 'Permission denied'),
  'a server': OSError(errno.ESTALE, 'Stale file handle'),
  'in C++': ValueError("UNKNOWN: reading x [os_error_code='5'] [source: y]"),
  'files': OSError(errno.EMFILE, 'Too many open files'),
  'memory': MemoryError(),
}


@pytest.mark.parametrize('case', PASSING)
@pytest.mark.parametrize('where', ['restore', 'item_metadata'])
def test_what_cannot_be_read_just_now_is_not_gone_round(
  saved, case, where, monkeypatch
):
  def fail(*args, **kwargs):
    raise PASSING[case]

  before = tree(saved)
  with monkeypatch.context() as patch:
    patch.setattr(ocp.CheckpointManager, where, fail)
    with pytest.raises(UserError, match='step 3 .* cannot be read just now'):
      Checkpoints(saved).restore(LIKE)
  assert tree(saved) == before
  assert Checkpoints(saved).restore(LIKE)[0] == 3


def test_the_newest_on_disk_is_a_whole_one(saved):
  (saved / '7.orbax-checkpoint-tmp').mkdir()
  assert Checkpoints(saved).newest_on_disk() == 3
  assert Checkpoints(saved / 'none').newest_on_disk() is None


def test_all_damaged_is_an_error_not_a_fresh_start(saved):
  for step in (1, 2, 3):
    empty_all(saved, step)
  with pytest.raises(UserError, match='No checkpoint .* can be read'):
    Checkpoints(saved).restore(LIKE)


def test_other_networks_are_refused_and_nothing_is_removed(saved):
  wider = small.config().unlock()
  wider.generator.width = 16
  other = restore.like(experiment.build(wider, small.SHAPE, 0), MESH)
  with pytest.raises(UserError, match='belong to other networks'):
    Checkpoints(saved).restore(other)
  assert Checkpoints(saved).steps() == [1, 2, 3]


def test_adams_mean_of_older_versions_is_read_and_left_out(tmp_path):
  """Without momentum it is not kept; all that counts goes on as it was."""
  rules = {name: dict(b1=0.0) for name in ('generator', 'discriminator')}
  made = experiment.build(small.config(optimizer=rules), small.SHAPE, 0)
  state = experiment.initial_state(made, 0, MESH)

  def older(player):
    rule, *rest = player.opt
    mean = jax.tree.map(lambda x: x + 1, rule.nu)
    rule = optax.ScaleByAdamState(rule.count + 7, mean, rule.nu)
    return player.replace(opt=(rule, *rest))

  pair = state.pair.replace(g=older(state.pair.g), d=older(state.pair.d))
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(0, state.replace(pair=pair))
  checkpoints.close()
  reader = Checkpoints(tmp_path)
  _, read = reader.restore(restore.like(made, MESH))
  assert read.pair.d.opt[0].count == 7
  assert small.identical(read.pair.d.opt[0].nu, state.pair.d.opt[0].nu)
  assert reader.dropped and all('.opt.0.mu.' in x for x in reader.dropped)


def test_saving_survives_donation(tmp_path):
  """The next step may overwrite the buffers while they are being written."""
  checkpoints = Checkpoints(tmp_path, keep=20)
  change = jax.jit(lambda x: x + 1, donate_argnums=0)
  x = jnp.zeros(1_000_000)
  for step in range(1, 9):
    checkpoints.save(step, {'x': x})
    for _ in range(3):
      x = change(x)
  checkpoints.close()
  like = {'x': jax.ShapeDtypeStruct(x.shape, x.dtype)}
  for step in range(1, 9):
    _, state = Checkpoints(tmp_path, keep=20).restore(like, step)
    assert (state['x'] == 3 * (step - 1)).all()


def test_digest_sees_every_bit_and_the_order():
  tree = {'a': jnp.arange(6, dtype=jnp.float32), 'n': jnp.int32(4)}
  words = tree['a'].view(jnp.uint32)
  flipped = [words.at[i].set(words[i] ^ 1) for i in range(6)]
  changed = [tree | {'a': bits.view(jnp.float32)} for bits in flipped]
  changed += [tree | {'a': tree['a'][::-1]}, tree | {'n': jnp.int32(5)}]
  assert digest(tree) == digest(dict(tree))
  assert all(digest(tree) != digest(other) for other in changed)
