"""Files that are written whole or not at all."""

import pytest

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
