"""Files that are written whole or not at all."""

import json
import math
import os

import pytest

from gan_jax.run import write
from gan_jax.run.write import whole


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path):
  file = tmp_path / 'a.json'
  for text in ('first', 'second'):
    before = file.read_text() if file.exists() else None
    with whole(file) as scratch:
      scratch.write_text(text)
      assert scratch.suffix == '.json' and scratch.name.startswith('.')
      assert (file.read_text() if file.exists() else None) == before
    assert file.read_text() == text
  assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
@pytest.mark.parametrize('wrote', [False, True])
def test_what_fails_leaves_the_old_file_and_nothing_else(
  tmp_path, error, wrote
):
  file = tmp_path / 'a.txt'
  file.write_text('old')
  with pytest.raises(error):
    with whole(str(file)) as scratch:
      if wrote:
        scratch.write_text('half')
      raise error
  assert file.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [file]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    with whole(tmp_path / 'a'):
      pass


def test_a_full_disk_is_told_by_the_name_that_people_know(tmp_path):
  with pytest.raises(OSError) as error:
    with whole(tmp_path / 'a.png') as scratch:
      scratch.write_text('half')
      raise OSError(28, 'No space left on device')
  assert error.value.filename == str(tmp_path / 'a.png')


def test_json_is_strict():
  values = {'a': math.nan, 'b': [math.inf, (1.5, -math.inf)], 'c': {'d': 2}}
  text = write.strict(values | {'e': 'NaN', 'f': True})
  refuse = lambda word: pytest.fail(word)
  assert json.loads(text, parse_constant=refuse) == {
    'a': None,
    'b': [None, [1.5, None]],
    'c': {'d': 2},
    'e': 'NaN',
    'f': True,
  }


@pytest.mark.parametrize('room', [0, 1, 5])
def test_a_line_without_room_leaves_the_file_as_it_was(
  tmp_path, monkeypatch, room
):
  file, real = tmp_path / 'a.jsonl', os.write
  write.append(file, 'first')
  left = [room]

  def narrow(descriptor, content):
    if not left[0]:
      raise OSError(28, 'No space left on device')
    left[0] -= (taken := min(left[0], len(content)))
    return real(descriptor, content[:taken])

  with monkeypatch.context() as patch:
    patch.setattr(write.os, 'write', narrow)
    with pytest.raises(OSError) as error:
      write.append(file, 'second')
  assert error.value.filename == str(file)
  assert file.read_text() == 'first\n'
  write.append(file, 'second')
  assert file.read_text() == 'first\nsecond\n'
