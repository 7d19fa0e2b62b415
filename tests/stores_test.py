"""What is done in an object store, act by act, by its real client.

The other side is tests/object_store.py: it appends nothing, renames nothing and
knows no folders. Whole runs there are in stored_run_test.py.
"""

import importlib.util
import json
import logging
import os
import time

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import errors, paths, stores
from gan_jax.errors import UserError
from gan_jax.run import constants, lease, write
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from gan_jax.run.lock import lock_of
from gan_jax.run.write import whole
from tests.run.lock_test import start


@pytest.fixture
def folder(store, request):
  """A folder of the store, one a test; nothing is in it."""
  return paths.place(f'gs://bucket/{request.node.name.split("[")[0]}', 'x')


def below(store, folder):
  """The names of the objects below a folder, from there on."""
  prefix = str(folder).removeprefix('gs://bucket/') + '/'
  return [name.removeprefix(prefix) for name in store.names(prefix)]


@pytest.mark.parametrize(
  'address',
  ['gs://', 'gs://bucket', 'gs://bucket/', 'gs://b/x/../..', 'gs://b c/x'],
)
def test_an_address_names_a_folder_of_a_bucket(address):
  with pytest.raises(UserError, match='names no folder of a bucket'):
    RunDir(address)


def test_a_missing_package_and_a_pattern_are_said(monkeypatch):
  with pytest.raises(UserError, match=r'has one of \* \? \[ \] # in it'):
    RunDir('gs://bucket/run[1]')
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match='the package gcsfs is missing: pip'):
    RunDir('gs://bucket/run')


def test_what_keeps_from_a_store_is_one_sentence(store):
  with pytest.raises(
    UserError, match='--workdir=gs://none/x cannot be reached'
  ):
    with RunDir('gs://none/y//../x/'):
      pass
  store.refuses.append('^forbidden/')
  with pytest.raises(UserError, match='does not have storage.objects.create'):
    with RunDir('gs://bucket/forbidden/run'):
      pass
  assert not store.names('forbidden')


def test_a_file_is_put_once_and_whole(store, folder):
  file = folder / 'images' / 'a.json'
  key = f'{folder.name}/images/a.json'
  for k, text in enumerate(('first', 'second')):
    before = file.read_text() if k else None
    with whole(file) as scratch:
      scratch.write_text('half')
      scratch.write_text(text)
      assert (file.read_text() if file.exists() else None) == before
    assert file.read_text() == text and store.puts[key] == k + 1
  with pytest.raises(KeyboardInterrupt):
    with whole(file) as scratch:
      scratch.write_text('half')
      raise KeyboardInterrupt
  assert file.read_text() == 'second' and below(store, folder) == [
    'images/a.json'
  ]
  assert abs(paths.written(file) - time.time()) < 60
  with paths.fetched(file) as here:
    assert here.read_text() == 'second'
  assert not here.exists()


def test_lines_are_put_at_a_bounded_rate_and_none_is_lost(
  store, folder, monkeypatch
):
  file, key = folder / 'a.jsonl', f'{folder.name}/a.jsonl'
  for k in range(200):
    write.append(file, f'{{"step": {k}}}')
  assert store.puts[key] == 1  # the first at once, the others in time
  write.flush(folder)
  lines = [json.loads(line) for line in file.read_text().splitlines()]
  assert [line['step'] for line in lines] == list(range(200))
  assert store.puts[key] == 2
  write.flush(folder)
  assert store.puts[key] == 2  # there was nothing to put
  # Somebody else has added a line, and half of one.
  stores.put(file, file.read_bytes() + b'{"step": 200}\n{"st')
  monkeypatch.setattr(stores, 'EVERY', 0.0)
  write.append(file, '{"step": 201}')
  assert file.read_text().splitlines()[-3:] == [
    '{"step": 200}',
    '{"st',
    '{"step": 201}',
  ]


def test_a_tree_is_moved_and_removed_object_by_object(store, folder):
  names = ['a', 'b/c d', 'b/e#f', 'b/[g].png', 'gro\xdf/h?']
  for name in names:
    store.put(f'{folder.name}/one/{name}', name.encode())
  store.put(f'{folder.name}/one/b/', b'')  # a folder that a console has made
  store.put(f'{folder.name}/oneself', b'not in it')
  assert stores.sizes(folder / 'one') == {n: len(n.encode()) for n in names}
  store.put(f'{folder.name}/two/old', b'')
  write.move_tree(folder / 'one', folder / 'two')
  assert below(store, folder / 'two') == sorted(names)
  assert store.objects[f'{folder.name}/two/b/e#f'].data == b'b/e#f'
  write.remove_tree(folder / 'two')
  assert stores.sizes(folder / 'two') == {}
  assert store.objects[f'{folder.name}/oneself'].data == b'not in it'


# One process owns a folder.


def test_a_folder_has_one_owner_until_it_is_killed(store, folder):
  owner = start(folder, 60)
  assert owner.stdout.readline() == 'mine\n'
  lock = lock_of(folder)
  words = f'is in use by process {owner.pid} on {os.uname().nodename} since'
  with pytest.raises(UserError, match=words):
    lock.take()
  owner.kill()
  owner.wait()
  owner.communicate()
  began = time.monotonic()
  lock.take()  # its process is seen to be gone: nobody waits for a sign of it
  assert time.monotonic() - began < lease.STALE / 2
  with pytest.raises(UserError, match='in use by this very process'):
    lock_of(folder).take()
  assert lock.is_ours()
  lock.release()
  assert below(store, folder) == []


@pytest.mark.slow
def test_one_of_many_gets_it(store, folder):
  processes = [start(folder, 3) for _ in range(3)]
  ends = [process.communicate(timeout=60) for process in processes]
  assert sum(out == 'mine\n' for out, _ in ends) == 1
  assert all(out or 'is in use by' in error for out, error in ends)


@pytest.fixture
def quick(monkeypatch):
  """Signs of life every moment."""
  for name, seconds in dict(BEAT=0.05, STALE=0.5, SETTLE=0.1, SEEN=0).items():
    monkeypatch.setattr(lease, name, seconds)


def elsewhere(folder, key='k'):
  """The lock of a process of another machine."""
  words = {'host': 'other', 'pid': 1, 'machine': 'another', 'began': '1'}
  words |= {'since': 'then', 'key': key, 'beats': 0}
  stores.put(folder / '.lock', json.dumps(words).encode())


def test_another_machines_owner_is_gone_when_it_is_silent(
  store, folder, quick, caplog
):
  elsewhere(folder)
  lock = lock_of(folder)
  with caplog.at_level(logging.INFO):
    lock.take()
  assert 'waiting for a sign of life' in caplog.text
  assert 'was left by process 1 on other since then' in caplog.text
  assert lock.is_ours()
  lock.release()


def test_another_machines_owner_that_lives_is_not_disturbed(
  store, folder, quick
):
  first = lock_of(folder)
  first.take()
  there = json.loads((folder / '.lock').read_bytes())
  first._mine |= {'machine': 'another'}  # its next sign says so
  until = time.monotonic() + 20
  while there['machine'] != 'another' and time.monotonic() < until:
    there = json.loads((folder / '.lock').read_bytes())
  with pytest.raises(UserError, match='is in use by process'):
    lock_of(folder).take()
  assert first.is_ours()
  first.release()
  assert below(store, folder) == []


def test_an_owner_that_was_taken_over_notices(store, folder, quick):
  with pytest.raises(UserError, match='taken over by another process, while'):
    with RunDir(folder) as run:
      run.begin()
      elsewhere(folder, 'newcomer')
      run.append('metrics.jsonl', {'step': 1})
      run.append('metrics.jsonl', {'step': 2})
      run.check_there()
  # It is the other's from then on, whose lock and lines stay as they are.
  assert json.loads((folder / '.lock').read_bytes())['key'] == 'newcomer'
  assert (folder / 'metrics.jsonl').read_text() == '{"step": 1}\n'


# A run's folder.


def test_a_run_writes_what_it_does_in_a_folder(
  store, folder, tmp_path, monkeypatch
):
  log = logging.getLogger('gan_jax')
  # pytest-xdist cannot report what it has captured of such a line.
  monkeypatch.setattr(log, 'propagate', False)
  points = np.linspace(-1, 1, 8).reshape(4, 2)
  for place in (folder, tmp_path):
    with RunDir(place) as run:
      log.info('checking')
      assert not (run.path / 'log.txt').exists()
      run.begin()
      for step in (1, 2, 3):
        run.metrics(step, {'images': step, 'd_loss': 0.5})
      run.images('reals', points, 2)
      run.frame('drawing', np.zeros((8, 8, 3), np.uint8), 1)
      run.frame('drawing', np.ones((8, 8, 3), np.uint8), 2)
      run.animation('drawing', 2)
      run.rewind(2)
      run.curves()
      run.save_json('best.json', {'metric': 'fid', 'step': 1, 'value': 2.0})
      assert run.load_best()['step'] == 1
      log.info('gro\xdf \udcff')
    log.info('outside')
    constants.save(run.path, 'teacher', {'a': {'b': jnp.arange(3)}}, 'here')
    kept = constants.load(run.path, 'teacher', {'a': {'b': jnp.arange(3)}})
    assert kept['a']['b'].tolist() == [0, 1, 2]
  files = [f for f in tmp_path.rglob('*') if f.is_file()]
  names = sorted(f.relative_to(tmp_path).as_posix() for f in files)
  assert below(store, folder) == names
  # NumPy writes the time into its archives; what is in this one was compared.
  for name in set(names) - {'log.txt', 'constants/teacher.npz'}:
    assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name
  text = (folder / 'log.txt').read_text()
  assert 'checking' in text and 'gro\xdf \\udcff\n' in text
  assert 'outside' not in text


def test_checkpoints_are_kept_dropped_and_set_aside(store, folder):
  state = {'a': jnp.arange(5), 'b': jnp.ones((3, 4))}
  saved = Checkpoints(folder / 'checkpoints', keep=2)
  assert saved.steps() == [] and saved.newest_on_disk() is None
  for step in (1, 2, 3):
    saved.save(step, state)
  saved.close()
  opened = Checkpoints(folder / 'checkpoints')
  assert opened.steps() == [2, 3] and opened.newest_on_disk() == 3
  # One that its writer was killed over: all but the word that it is whole.
  for name in below(store, folder / 'checkpoints/3'):
    if not name.startswith('commit'):
      data = store.objects[f'{folder.name}/checkpoints/3/{name}'].data
      store.put(f'{folder.name}/checkpoints/4/{name}', data)
  opened.reload()
  assert opened.steps() == [2, 3] and opened.newest_on_disk() == 3
  # And one that was damaged.
  damaged = f'{folder.name}/checkpoints/3/default/'
  held = {name: store.objects[name].data for name in store.names(damaged)}
  for name in held:
    if '/d/' in name:
      store.put(name, held[name][:40])
  step, found = opened.restore(state)
  assert step == 2 and found['a'].tolist() == [0, 1, 2, 3, 4]
  opened.drop_after(2)
  assert opened.steps() == [2]
  aside = below(store, folder / 'aside/checkpoints_3')
  assert 'commit_success.txt' in aside
  opened.save(3, state)
  opened.close()
  assert Checkpoints(folder / 'checkpoints').restore(state)[0] == 3


def test_a_store_that_does_not_answer_is_no_damage(store, folder, monkeypatch):
  state = {'a': jnp.arange(5)}
  saved = Checkpoints(folder)
  saved.save(1, state)
  saved.close()
  monkeypatch.setattr(store, 'hides', [f'^{folder.name}/1/default/'])
  with pytest.raises(UserError, match='cannot be read just now'):
    Checkpoints(folder).restore(state)
  monkeypatch.setattr(store, 'hides', [])
  assert Checkpoints(folder).restore(state)[0] == 1
  assert errors.store_error(FileNotFoundError(2, 'No such file', 'x')) is None
