"""Frozen networks beside the checkpoints: whole, the same, or a sentence."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.run import constants

TREE = {
  'params': {'Conv_0': {'kernel': np.arange(8, dtype=np.float32)}},
  'batch_stats': {'count': np.int32(3), 'none': np.zeros((0, 2), np.float32)},
}
LIKE = jax.eval_shape(lambda: TREE)


def test_they_come_back_bit_for_bit(tmp_path):
  assert constants.load(tmp_path, 'teacher', LIKE) is None
  constants.save(tmp_path, 'teacher', jax.tree.map(jnp.asarray, TREE), 'here')
  other = {'params': {'w': np.ones(2)}}
  constants.save(tmp_path, 'lpips', other, 'there')
  found = constants.load(tmp_path, 'teacher', LIKE)
  jax.tree.map(np.testing.assert_array_equal, found, TREE)
  kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert kinds(found) == kinds(LIKE)
  with np.load(tmp_path / 'constants' / 'teacher.npz') as arrays:
    assert 'params/Conv_0/kernel' in arrays
  table = json.loads((tmp_path / 'constants.json').read_text())
  assert table['teacher']['origin'] == 'here' and set(table) == {
    'teacher',
    'lpips',
  }


def test_every_damage_is_noticed(tmp_path):
  constants.save(tmp_path, 'teacher', TREE, 'step 4 of runs/t')
  file = tmp_path / 'constants' / 'teacher.npz'
  whole = file.read_bytes()
  flipped = [
    whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]
    for i in range(0, len(whole), 97)
  ]
  for content in (b'', whole[:-1], whole[:50], whole + b'x', *flipped):
    file.write_bytes(content)
    with pytest.raises(UserError, match='damaged or gone: .*step 4 of runs/t'):
      constants.load(tmp_path, 'teacher', LIKE)
  file.unlink()
  with pytest.raises(UserError, match='damaged or gone'):
    constants.load(tmp_path, 'teacher', LIKE)
  file.write_bytes(whole)
  assert constants.load(tmp_path, 'teacher', LIKE) is not None
  for content in (b'', b'{', b'[]', b'{"teacher": 3}', b'\xff'):
    (tmp_path / 'constants.json').write_bytes(content)
    with pytest.raises(UserError, match='constants.json is damaged'):
      constants.load(tmp_path, 'teacher', LIKE)


@pytest.mark.parametrize(
  'other',
  [
    {'params': TREE['params']},
    TREE | {'more': {'x': np.zeros(1, np.float32)}},
    TREE | {'params': {'Conv_0': {'kernel': np.zeros(9, np.float32)}}},
    TREE | {'params': {'Conv_0': {'kernel': np.zeros(8, np.int32)}}},
  ],
)
def test_another_network_is_refused(tmp_path, other):
  constants.save(tmp_path, 'teacher', TREE, 'here')
  with pytest.raises(UserError, match='belongs to another network'):
    constants.load(tmp_path, 'teacher', jax.eval_shape(lambda: other))


def test_a_kill_before_the_end_leaves_none(tmp_path, monkeypatch):
  """Between the two files, and within the first."""
  with monkeypatch.context() as patch:
    patch.setattr(constants, '_sha256', None)
    with pytest.raises(TypeError):
      constants.save(tmp_path, 'teacher', TREE, 'here')
  assert constants.load(tmp_path, 'teacher', LIKE) is None
  with monkeypatch.context() as patch:
    patch.setattr(constants.np, 'savez', lambda stream, **_: stream.write(0))
    with pytest.raises(TypeError):
      constants.save(tmp_path, 'other', TREE, 'here')
  assert [p.name for p in (tmp_path / 'constants').iterdir()] == ['teacher.npz']
  constants.save(tmp_path, 'teacher', TREE, 'here')
  assert constants.load(tmp_path, 'teacher', LIKE) is not None
