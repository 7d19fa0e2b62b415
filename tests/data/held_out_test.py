"""What is held out: which, how many, and that it depends on content alone."""

import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax.data import held_out
from gan_jax.errors import UserError

DIGESTS = st.lists(st.integers(0, 60).map(lambda k: bytes([k])), min_size=1)
SHARES = st.floats(0.01, 0.5)


@given(DIGESTS, SHARES, st.randoms())
def test_parts_are_whole_and_of_content_alone(digests, share, random):
  kept, held = held_out.rows(digests, share)
  assert sorted([*kept, *held]) == list(range(len(digests)))
  assert len(kept) and len(held) <= share * len(digests) + 1e-6
  contents = lambda d, rows: {d[i] for i in rows}
  assert not contents(digests, kept) & contents(digests, held)  # no twins
  if len(set(digests)) == len(digests) > 1:
    assert len(held) + 1 > share * len(digests)
  moved = random.sample(digests, len(digests))
  assert contents(moved, held_out.rows(moved, share)[1]) == contents(
    digests, held
  )


@given(st.integers(1, 300), SHARES, st.integers(0, 2**20))
def test_one_picture_more_frees_at_most_one(n, share, seed):
  digests = [
    x.tobytes() for x in np.random.default_rng(seed).random((n + 1, 2))
  ]
  before = set(held_out.rows(digests[:n], share)[1])
  assert len(before - set(held_out.rows(digests, share)[1])) <= 1


@pytest.fixture(name='folder')
def _folder(tmp_path, encode):
  """A folder of 30 pictures of noise, the k-th by its name."""
  (tmp_path / 'a').mkdir()
  for k in range(30):
    noise = np.random.default_rng(k).integers(0, 256, (20, 16, 3), np.uint8)
    (tmp_path / 'a' / f'{k:02}.png').write_bytes(encode(noise))
  return tmp_path / 'a'


def pictures(source):
  """The pictures of a part, as bytes."""
  return {source.content(i) for i in range(len(source))}


def test_of_a_folder(folder, open_source, tmp_path):
  whole = open_source(f'folder:{folder}', resolution=8)
  source = open_source(f'folder:{folder}', resolution=8, held_out=0.1)
  held = source.held_out
  assert (len(source), len(held)) == (27, 3) and held.held_out is None
  assert not pictures(source) & pictures(held)
  assert pictures(source) | pictures(held) == pictures(whole)
  images, _ = source.arrays()
  assert {x.tobytes() for x in images} == pictures(source)
  assert 'of these   train: 27' in source.report
  assert 'too few to tell' not in source.report
  chosen = [n for n in whole.names if n in source.report.split('held out')[1]]
  assert len(chosen) == 3 and '3 of 30' in source.report
  assert pictures(pickle.loads(pickle.dumps(source)).held_out) == pictures(held)
  # Names, and whether pictures are in memory, change nothing.
  other = tmp_path / 'b'
  other.mkdir()
  for k, file in enumerate(sorted(folder.iterdir())):
    shutil.copy(file, other / f'{97 * k % 100}.png')
  for where, budget in ((other, 1024), (folder, 0), (other, 0)):
    again = open_source(
      f'folder:{where}', resolution=8, held_out=0.1, device_budget_mb=budget
    )
    assert again.in_memory is False or budget
    found = {again.held_out[i][0].tobytes() for i in range(3)}
    assert found == pictures(held)


@pytest.mark.parametrize('count, expected', [(12, 1), (10, 1), (9, 0)])
def test_of_few(folder, count, expected, open_source):
  for file in sorted(folder.iterdir())[count:]:
    file.unlink()
  source = open_source(f'folder:{folder}', resolution=8, held_out=0.1)
  assert len(source) == count - expected
  if expected:
    assert len(source.held_out) == expected
    assert f'held out   {expected} of {count} (' in source.report
    assert 'one is too few to tell' in source.report
  else:
    assert source.held_out is None
    assert 'held out   none: 10% of 9 is less than one' in source.report
    assert 'nothing watches' in source.report


def test_of_parts_and_other_sources(open_source):
  source = open_source('digits', split='train[:50%]', held_out=0.1)
  rest = open_source('digits', split='train[50%:]')
  assert (len(source), len(source.held_out)) == (809, 89)
  assert not source.shares_with(rest) and not source.held_out.shares_with(rest)
  assert not source.held_out.shares_with(source)
  # Three held-out digits make no picture of their own: it is stacks that are.
  stacked = open_source('stacked:digits', resolution=8, held_out=0.1)
  assert len(stacked) + len(stacked.held_out) == 1797
  with pytest.raises(UserError, match='held_out = 0.6 must be'):
    open_source('digits', held_out=0.6)
