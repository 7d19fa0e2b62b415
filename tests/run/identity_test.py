"""A folder holds one experiment; a start that is refused leaves no trace."""

import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.restore import check_identity, open_run
from gan_jax.run import identity
from gan_jax.run.folder import RunDir
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small

ONE = dict(mesh=dict(data=1))


def config(**sections):
  return small.config(**ONE | sections)


def hashed(folder):
  """Every file of a folder and every folder in it, by what is in them."""
  return {
    str(p.relative_to(folder)): p.is_dir()
    or hashlib.sha256(p.read_bytes()).hexdigest()
    for p in folder.rglob('*')
  }


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  train(config(), folder)
  return folder


@pytest.fixture
def run(trained, tmp_path):
  """A copy of a finished run."""
  return shutil.copytree(trained, tmp_path / 'run')


# Not of the identity; all of `metrics` beside these.
FREE = {
  'data': ['about', 'data_dir', 'device_budget_mb', 'max_bad', 'workers'],
  'mesh': ['data', 'pair', 'shard_optimizer'],
  'train': (
    'accumulate batch change checkpoint_every image_every images keep log_every'
    ' milestone_every steps tensorboard'
  ).split(),
}


def test_every_setting_but_the_free_ones_is_identity():
  """One setting after the other, each in the place of another value."""
  now = json.loads(config_lib.to_json(config()))
  paths = identity.flat(now)
  free = {f'{section}.{key}' for section in FREE for key in FREE[section]}
  free |= {path for path in paths if path.startswith('metrics.')}
  assert free < set(paths) and len(paths) > 60
  for path in paths:
    before = json.loads(json.dumps(now))
    *parents, leaf = path.split('.')
    section = before
    for key in parents:
      section = section[key]
    section[leaf] = 'another'
    if path in free:
      assert len(identity.check('x', before, now)) == 1
      continue
    with pytest.raises(UserError) as error:
      identity.check('x', before, now)
    text = str(error.value)
    assert f'{path}: another -> {paths[path]}' in text and '\n' not in text
    # What the sentence advises helps, as does naming the section.
    for permitted in (path, parents[0]):
      assert f'train.change={path}.' in text
      assert len(identity.check('x', before, now, [permitted])) == 1


def test_a_permission_is_for_what_it_names():
  before = {'optimizer': {'lr': 1, 'b1': 2}, 'optimizers': 1}
  now = {'optimizer': {'lr': 3, 'b1': 4}, 'optimizers': 2}
  with pytest.raises(UserError) as error:
    identity.check('x', before, now, ['optimizer'])
  assert 'optimizers: 1 -> 2.' in str(error.value)
  assert 'lr' not in str(error.value)
  assert '--config.train.change=optimizer,optimizers.' in str(error.value)


CHANGES = {
  'scheme': dict(scheme=dict(name='one_stage')),
  'seed': dict(train=dict(seed=1)),
  'rate': dict(optimizer=dict(generator=dict(lr=1e-5))),
  'loss': dict(loss=dict(name='hinge')),
  'network': dict(generator=dict(width=4)),
  'penalty': dict(penalties=dict(r1=dict(weight=1.0))),
  'data': dict(data=dict(source='toy:ring10')),
  'ensemble': dict(ensemble=dict(pairs=2)),
}


def changed(name):
  c = config().copy_and_resolve_references().unlock()
  for section, values in CHANGES[name].items():
    for key, value in values.items():
      if isinstance(value, dict):
        c[section][key].update(value)
      else:
        c[section][key] = value
  return c.lock()


@pytest.mark.parametrize('steps', [4, 6], ids=['finished', 'unfinished'])
@pytest.mark.parametrize('name', CHANGES)
def test_another_experiment_is_refused_without_a_trace(run, name, steps):
  before = hashed(run)
  c = changed(name).unlock()
  c.train.steps = steps
  with pytest.raises(UserError, match='holds another experiment: .* -> '):
    train(c.lock(), run)
  assert hashed(run) == before


def test_how_long_how_often_and_where_are_free(run):
  c = config().unlock()
  c.train.update(
    steps=6, log_every=1, image_every=3, keep=1, checkpoint_every=1
  )
  train(c.lock(), run)
  assert [line['step'] for line in RunDir(run).lines()][-1] == 6
  assert RunDir(run).load_config()['train']['steps'] == 6


def test_a_permitted_change_is_the_identity_from_then_on(run):
  c = changed('rate').unlock()
  c.train.update(steps=6, change=('optimizer',))
  train(c, run)
  with pytest.raises(UserError, match='lr: 1e-05 -> 0.0002'):
    train(config(), run)
  c.train.change = ()
  train(c, run)


def arrays(file, shape=(16, 16, 1), classes=2, count=32):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (count, *shape), np.uint8)
  np.savez(file, image=image, label=np.arange(count) % classes)
  return file


def of_file(file):
  return config_lib.load(
    str(pathlib.Path(__file__).parents[2] / 'configs/dcgan_folder.py:test'),
    [
      ('data.resolution', '32'),
      ('data.conditional', 'true'),
      ('mesh.data', '1'),
      ('metrics.samples', '8'),
    ],
  ), f'npz:{file}'


def npz_config(file):
  c, source = of_file(file)
  c = c.copy_and_resolve_references().unlock()
  c.data.source = source  # in :test it is the digits
  return c.lock()


@pytest.mark.parametrize(
  'other, words',
  [
    (dict(classes=3), r"data.classes: \['0', '1'\] -> \['0', '1', '2'\]"),
    (dict(count=31), 'data.count: 32 -> 31'),
  ],
)
def test_data_that_have_changed_are_refused_without_a_trace(
  tmp_path, other, words
):
  file, run = tmp_path / 'set.npz', tmp_path / 'run'
  arrays(file)
  train(npz_config(file), run)
  before = hashed(run)
  arrays(file, **other)
  with pytest.raises(UserError, match=words):
    train(npz_config(file), run)
  assert hashed(run) == before
  sample(run, '0-1', None, None)


def test_text_in_another_alphabet_is_refused_without_a_trace(tmp_path):
  run = RunDir(tmp_path)

  class Text:
    name, classes, report, shape = 'text:x', (), 'report', (4, 5)
    alphabet, held_out = 'abcde', None

    def __len__(self):
      return 9

  run.save_data(Text())
  before = hashed(tmp_path)
  run.check_data(Text())
  other = Text()
  other.alphabet = 'abcdf'
  with pytest.raises(UserError, match='data.alphabet: abcde -> abcdf'):
    run.check_data(other)
  run.check_data(other, ['data'])
  assert hashed(tmp_path) == before


REFUSED = {
  'no data': ([('data.source', 'npz:/no/such.npz')], '/no/such.npz'),
  'no weights': (
    [('metrics.names', 'fid'), ('metrics.every', '2')],
    'weights of inception are missing',
  ),
  'batch': ([('mesh.data', '8'), ('train.batch', '12')], 'does not divide'),
}


@pytest.mark.parametrize('mistake', REFUSED)
def test_a_new_run_that_is_refused_leaves_no_folder(
  mistake, tmp_path, monkeypatch
):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'none'))
  overrides, words = REFUSED[mistake]
  c, _ = of_file('')
  for path, text in overrides:
    config_lib.override(c, path, text)
  with pytest.raises(UserError, match=words):
    train(c, tmp_path / 'a' / 'b' / 'run')
  assert not list(tmp_path.iterdir())
  (tmp_path / 'mine').mkdir()  # a folder that was there stays
  with pytest.raises(UserError, match=words):
    train(c, tmp_path / 'mine')
  assert [p.name for p in tmp_path.rglob('*')] == ['mine']


def test_damaged_checkpoints_leave_the_rest_as_it_was(run):
  for file in (run / 'checkpoints').rglob('*'):
    if file.is_file():
      file.write_bytes(b'')
  (run / 'checkpoints' / '6.orbax-checkpoint-tmp').mkdir()
  before = hashed(run)
  with pytest.raises(UserError, match='No checkpoint in .* can be read'):
    train(config(), run)
  assert hashed(run) == before


DAMAGES = {
  'empty': b'',
  'cut': b'{"a": ',
  'not UTF-8': b'{"a": "\xff"}',
  'a list': b'[1, 2]',
  'a number': b'3',
  'deep': b'[' * 100_000,
}


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('name', ['config.json', 'data.json'])
def test_a_damaged_file_of_ours_is_one_sentence(run, name, damage):
  (run / name).write_bytes(DAMAGES[damage])
  before = hashed(run)
  go_on = lambda: train(config(train=dict(steps=6)), run)
  jobs = [lambda: sample(run, '0', None, None), lambda: evaluate(run)]
  for job in [*jobs, *[go_on] * (name == 'config.json')]:
    with pytest.raises(UserError) as error:
      job()
    text = str(error.value)
    assert f'{name} is damaged' in text and '\n' not in text
  assert hashed(run) == before
  if name == 'config.json':
    (run / name).unlink()  # as the sentence advises
  go_on()  # training writes data.json anew
  assert open_run(run).config.train.batch == 8


@pytest.mark.parametrize(
  'content, words',
  [
    ({'train': 3}, 'config.json is no config .train is no section.'),
    ({'penalties': {'r1': []}}, 'penalties.r1 is no section'),
    ({'train': {'batch': 'many'}}, "config.train.batch = 'many' must be"),
    ({'metrics': {'names': 'fid'}}, 'config.metrics.names ='),
  ],
)
def test_a_config_of_the_wrong_kind_is_one_sentence(run, content, words):
  (run / 'config.json').write_text(json.dumps(content))
  with pytest.raises(UserError, match=words):
    open_run(run)


@pytest.mark.parametrize(
  'facts', [{}, {'shape': [2]}, {'shape': 2, 'classes': []}, {'shape': ['a']}]
)
def test_data_json_of_the_wrong_kind_is_one_sentence(run, facts):
  (run / 'data.json').write_text(json.dumps(facts))
  with pytest.raises(UserError, match='data.json is damaged'):
    open_run(run)


def test_what_an_older_version_did_not_store_is_no_change(run):
  """Settings, of sections and of networks, that came after it."""
  stored = json.loads((run / 'config.json').read_text())
  del stored['train']['change'], stored['data']['filter'], stored['growth']
  del stored['generator']['slope']
  (run / 'config.json').write_text(json.dumps(stored))
  assert check_identity(RunDir(run), config()) == []
  with pytest.raises(UserError, match='data.filter: lanczos -> box'):
    check_identity(RunDir(run), config(data=dict(filter='box')))
  with pytest.raises(UserError, match='generator.slope: 0.01 -> 0.2'):
    check_identity(RunDir(run), config(generator=dict(slope=0.2)))
