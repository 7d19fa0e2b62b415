"""Pictures in an object store: the same set as in a folder, sample by sample.

The store is tests/object_store.py.
"""

import pickle
import zipfile

import numpy as np
import pytest

from gan_jax import stores, top
from gan_jax.data import files
from gan_jax.data.picture import BadPictureError
from gan_jax.errors import UserError
from tests.data import folder_test


@pytest.fixture(name='root', scope='module')
def _root(tmp_path_factory, photo, encode):
  """Two classes, some broken files, a hidden one, names with odd letters."""
  root = tmp_path_factory.mktemp('stored') / 'pictures'
  folder_test.write_mixed(root / 'shoes', photo, encode, 20)
  folder_test.write_mixed(root / 'gro\xdf [1]', photo[::2], encode, 12)
  (root / 'shoes' / 'a#b?.png').write_bytes(encode(photo))
  (root / 'notes.txt').write_text('x')
  (root / '.hidden').mkdir()
  (root / '.hidden' / 'c.png').write_bytes(encode(photo))
  return root


@pytest.fixture(name='address', scope='module')
def _address(store, root):
  """Where the same files are in the store."""
  for file in root.rglob('*'):
    if file.is_file():
      name = file.relative_to(root).as_posix()
      store.put(f'set/pictures/{name}', file.read_bytes())
  store.put('set/pictures/shoes/', b'')  # a console has made it
  store.put('set/pictures-2/d.png', b'not of the set')
  return 'gs://bucket/set/pictures'


def report(source):
  """All of it but where the set is."""
  return source.report.replace(source.name, 'NAME')


def same(one, other):
  """Whether two sources are the same set."""
  pairs = zip(one.arrays(), other.arrays(), strict=True)
  rows = range(len(one))
  return (
    all(map(np.array_equal, *zip(*pairs, strict=True)))
    and all(one.origin(i) == other.origin(i) for i in rows)
    and all(one.content(i) == other.content(i) for i in rows)
    and one.classes == other.classes
    and report(one) == report(other)
  )


@pytest.mark.parametrize('budget', [0, 100])
def test_it_is_the_same_set(root, address, open_source, budget):
  like = dict(resolution=24, max_bad=1.0, device_budget_mb=budget)
  here = open_source(f'folder:{root}', **like)
  there = open_source(f'folder:{address}', **like)
  assert len(here) == 33 and len(here.classes) == 2
  assert same(here, there)
  # As worker processes have it.
  again = pickle.loads(pickle.dumps(there))
  for i in (0, 32):
    assert np.array_equal(here[i][0], again[i][0])
    assert here.label(i) == again.label(i)


def test_held_out_pictures_are_the_same(root, address, open_source):
  like = dict(resolution=8, max_bad=1.0, device_budget_mb=0, held_out=0.2)
  here = open_source(f'folder:{root}', **like)
  there = open_source(f'folder:{address}', **like)
  assert same(here, there) and same(here.held_out, there.held_out)


def test_an_archive_is_read_without_fetching_it(
  store, root, open_source, tmp_path
):
  folder_test.write_zip(tmp_path / 'set.zip', root)
  data = (tmp_path / 'set.zip').read_bytes()
  store.put('set/all.zip', data)
  like = dict(resolution=8, max_bad=1.0, device_budget_mb=0)
  here = open_source(f'folder:{tmp_path / "set.zip"}', **like)
  there = open_source('folder:gs://bucket/set/all.zip', **like)
  assert same(here, there)
  store.put('set/all.zip', data[:-1000])
  with pytest.raises(UserError, match='cannot be read as a zip archive'):
    open_source('folder:gs://bucket/set/all.zip', **like)
  with zipfile.ZipFile(tmp_path / 'set.zip') as archive:
    assert len(archive.namelist()) > 33


@pytest.mark.parametrize('address', ['none', 'none.zip', 'set/pictures/none'])
def test_nothing_there_is_said(store, open_source, address):
  words = f'there is no folder or zip archive gs://bucket/{address}'
  with pytest.raises(UserError, match=words):
    open_source(f'folder:gs://bucket/{address}')


def test_no_bucket_is_said(store, open_source):
  with pytest.raises(UserError, match='cannot be reached .there is no such'):
    open_source('folder:gs://none/x')


def test_one_that_goes_is_skipped_and_a_store_that_goes_is_not(
  store, address, encode, photo, monkeypatch
):
  name = 'gone/a.png'
  store.put(f'set/{name}', encode(photo))
  folder = files.open_files('x', 'gs://bucket/set')
  stores.remove(f'gs://bucket/set/{name}')
  with pytest.raises(BadPictureError, match='no longer there'):
    with folder.reading(name):
      pass
  (other,) = [n for n in folder.names() if n.endswith('a#b?.png')]
  with pytest.raises(BadPictureError, match='more than the 0'):
    with folder.reading(other, 10):
      pass
  monkeypatch.setattr(store, 'hides', ['^set/'])
  with pytest.raises(Exception) as refused:
    with folder.reading(other):
      pass
  assert not isinstance(refused.value, BadPictureError)
  assert 'storage.objects.get' in top.sentence(refused.value)
