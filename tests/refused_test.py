"""Starts that are refused, and damaged files: what is there stays as it was."""

import hashlib
import json
import pathlib
import shutil
import sys

import ml_collections
import numpy as np
import pytest

from gan_jax import main
from gan_jax.errors import UserError
from gan_jax.mesh import make_mesh, one_device
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.seeds import class_of
from tests import small

ROOT = pathlib.Path(__file__).parent.parent
QUICK = (
  '--config=configs/quickstart.py:test',
  '--config.metrics.names=frechet_pixels',
  '--config.metrics.every=2',
  '--config.metrics.best=frechet_pixels',
)


def hashed(folder):
  """Every file of a folder and every folder in it, by what is in them."""
  return {
    str(p.relative_to(folder)): p.is_dir()
    or hashlib.sha256(p.read_bytes()).hexdigest()
    for p in folder.rglob('*')
  }


def call(monkeypatch, *argv):
  """What the command line says of itself in the end; None if it is done."""
  monkeypatch.setattr(sys, 'argv', ['main', *map(str, argv)])
  monkeypatch.chdir(ROOT)
  try:
    main.main()
  except SystemExit as stop:
    return stop.code
  return None


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'x'
  with pytest.MonkeyPatch.context() as patch:
    assert call(patch, *QUICK, f'--workdir={folder}') is None
    assert call(patch, '--mode=sample', f'--workdir={folder}') is None
  return folder


MORE = '--config.train.steps=6'
# Words after the config, and a part of the sentence.
TRAIN = {
  'channels': ['--config.data.channels=3', 'data.channels: 1 -> 3'],
  'resolution': ['--config.data.resolution=64', 'another experiment'],
  'loss': ['--config.loss.name=hinge', 'loss.name'],
  'rate': ['--config.optimizer.generator.lr=0.5', 'optimizer.generator.lr'],
  'seed': ['--config.train.seed=5', 'train.seed: 0 -> 5'],
  'labels': ['--config.data.conditional=false', 'data.conditional'],
  'width': ['--config.generator.width=16', 'generator.width'],
  'permitted, but of other shapes': [
    '--config.generator.width=16',
    '--config.train.change=generator',
    'belong to other networks',
  ],
  'source': ['--config.data.source=folder:/no/such', 'data.source'],
  'split': ['--config.data.split=train[:50%]', 'data.split'],
  'batch': ['--config.train.batch=12', 'does not divide over 8 devices'],
  'devices': ['--config.mesh.data=9', 'config.mesh.data to 0'],
  'unknown': ['--config.train.bach=12', "did you mean 'batch'"],
  'value': ['--config.train.batch=８', 'of type int'],
  'sign': ['--config.train.batch=-8', 'train.batch'],
  'metric': ['--config.metrics.names=fid', 'metrics'],
  'weights': [
    '--config.metrics.names=fid',
    '--config.metrics.best=fid',
    'weights of inception are missing',
  ],
  'no config': ['--config=configs/none.py', 'given twice'],
  'seeds': ['--seeds=0-3', '--seeds means nothing with --mode=train'],
  'label': ['--label=1', '--label means nothing'],
  'step': ['--step=2', '--step means nothing'],
  'out': ['--out=x', '--out means nothing'],
}
OTHERS = {
  'step of none': ['sample', '--step=3', 'no checkpoint of step 3'],
  'class of none': ['sample', '--label=12', 'classes 0 to 9'],
  'no such class': ['sample', '--label=dog', 'called 0, 1, 2'],
  'backwards': ['sample', '--seeds=1,9-3', 'write 3-9'],
  'config of another': ['sample', MORE, 'changes no settings'],
  'other settings': ['evaluate', MORE, 'is what it is'],
  'other data': [
    'evaluate',
    '--config.data.source=npz:{set}',
    'is not what the run in',
  ],
  'no data': ['evaluate', '--config.data.source=folder:/no/such', '/no/such'],
  'no weights': ['evaluate', '--config.metrics.names=fid', 'inception'],
  'no step': ['evaluate', '--step=3', 'no checkpoint of step 3'],
  'both': ['evaluate', '--step=2', '--checkpoints=all', '--step names one'],
}


@pytest.mark.parametrize('mistake', [*TRAIN, *OTHERS])
def test_a_refused_start_changes_nothing(
  mistake, trained, tmp_path, monkeypatch
):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'none'))
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (9, 32, 32, 1), np.uint8)
  np.savez(tmp_path / 'set.npz', image=image, label=np.arange(9))
  before = hashed(trained)
  if mistake in TRAIN:
    *words, said = TRAIN[mistake]
    argv = [*QUICK, MORE, *words]
    for word in words:  # instead of the one there, not as well
      path = word.partition('=')[0]
      argv = [w for w in argv if w in words or w.partition('=')[0] != path]
    if mistake == 'no config':
      argv += [QUICK[0]]
  else:
    mode, *words, said = OTHERS[mistake]
    argv = [f'--mode={mode}', *words]
  argv = [word.format(set=tmp_path / 'set.npz') for word in argv]
  text = call(monkeypatch, *argv, f'--workdir={trained}')
  assert text and said in text and text.count('\n') == 0, text
  assert hashed(trained) == before


@pytest.mark.parametrize('mode', ['convert', 'sample into a file'])
def test_no_way_into_what_is_there(mode, trained, tmp_path, monkeypatch):
  before = hashed(trained)
  if mode == 'convert':
    weights = ROOT / 'tests' / 'golden' / 'torch_osgan_g.pth'
    argv = ['--mode=convert', f'--from={weights}', f'--out={trained}']
    said = 'already holds a run'
  else:
    out = trained / 'config.json'
    argv = ['--mode=sample', f'--workdir={trained}', f'--out={out}']
    said = '--out=DIR'
  assert said in call(monkeypatch, *argv)
  assert hashed(trained) == before


PATHS = {
  'nobody': ('~nosuchuser/x', 'no home folder'),
  'address': ('s3://bucket/x', 'is an address'),
  'bucket': ('gs://bucket', 'names no folder of a bucket'),
  'long': ('x' * 300, 'choose another'),
  'null': ('x\0y', 'is no path'),
  'a loop': ('{tmp}/loop', 'choose another'),
}


@pytest.mark.parametrize('path', PATHS)
@pytest.mark.parametrize(
  'flag',
  ['workdir', 'out', 'read', pytest.param('teacher', marks=pytest.mark.slow)],
)
def test_every_path_is_read_in_one_way(flag, path, tmp_path, monkeypatch):
  (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
  text, said = PATHS[path]
  text = text.format(tmp=tmp_path)
  weights = ROOT / 'tests' / 'golden' / 'torch_osgan_g.pth'
  argv = {
    'workdir': [*QUICK, f'--workdir={text}'],
    'out': ['--mode=convert', f'--from={weights}', f'--out={text}'],
    'read': ['--mode=evaluate', f'--workdir={text}'],
    'teacher': [
      '--config=configs/distill_cifar.py:test',
      f'--config.teacher.workdir={text}',
      f'--workdir={tmp_path / "run"}',
    ],
  }[flag]
  answer = call(monkeypatch, *argv)
  assert said in answer and answer.count('\n') == 0
  assert [p.name for p in tmp_path.iterdir()] == ['loop']


@pytest.mark.parametrize(
  'names, text, wanted',
  [
    (['cat', 'dog'], 'dog', 1),
    (['cat', 'dog'], '1', 1),
    (['cat', 'dog'], 'dgo', "did you mean 'dog'"),
    (['cat', 'dog'], '2', 'classes 0 to 1, called cat, dog'),
    (['cat', 'dog'], '１', 'classes 0 to 1'),
    (['1', '10', '2'], '1', 0),  # a name before a number
    (['1', '10', '2'], '2', 2),
    (['1', '10', '2'], '0', 0),
    (['1', '10', '2'], 1, 1),  # of Python: a number
    (['cat', 'dog'], 2, 'classes 0 to 1'),
    (['cat', 'dog'], -1, 'classes 0 to 1'),
    (['crane', 'crane', 'owl'], 'crane', 'the classes 0, 1 have that name'),
    (['crane', 'crane', 'owl'], '1', 1),
    ([f'c{k}' for k in range(99)], 'x', '(99 in all)'),
    ([], '3', 'without labels'),
  ],
)
def test_a_class_is_named_by_its_name_or_number(names, text, wanted):
  if isinstance(wanted, int):
    assert class_of(text, names, len(names)) == wanted
    return
  with pytest.raises(UserError) as error:
    class_of(text, names, len(names))
  assert wanted in str(error.value)


@pytest.mark.parametrize(
  'asked, parts, words',
  [
    (dict(data=9), 1, 'set config.mesh.data to 0'),
    (dict(pair=10), 10, 'set config.mesh.pair to 0'),
    (dict(data=4, pair=5), 5, 'set config.mesh.data and config.mesh.pair to 0'),
  ],
)
def test_too_many_devices_are_told_what_to_set(asked, parts, words):
  section = ml_collections.ConfigDict(dict(data=0, pair=0) | asked)
  with pytest.raises(UserError, match=words):
    make_mesh(section, parts)
  for key in asked:  # as it says
    section[key] = 0
  make_mesh(section, parts)


def test_a_tilde_is_the_home_folder(trained, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(trained.parent))
  argv = ['--mode=sample', '--workdir=~/x', '--seeds=1', '--out=~/out']
  assert call(monkeypatch, *argv) is None
  there = trained.parent / 'out' / 'seed0001.png'
  made = trained / 'samples' / 'step_000000004' / 'seed0001.png'
  assert there.read_bytes() == made.read_bytes()
  shutil.rmtree(there.parent)


# Ways in which a file can be wrong.
DAMAGES = {
  'empty': b'',
  'cut': b'{"step": 4, "ima',
  'no text': b'\xff\xfe\x00{',
  'null': b'null',
  'a list': b'[]',
  'a number': b'3',
  'deep': b'[' * 100_000,
  'other things': b'{"metric": 3, "step": "x", "value": [], "images": "y"}',
  'no numbers': b'{"step": 4, "images": NaN, "d_loss": "low"}\n'
  b'{"step": 4, "images": 32, "frechet_pixels": null}\n',
  'many': b'{"step": true}\n' * 3,
}


FILES = ('best.json', 'metrics.jsonl', 'evaluate.jsonl', 'data.json', 'log.txt')


@pytest.fixture(scope='module')
def further(trained, tmp_path_factory):
  """The same run at six steps."""
  folder = tmp_path_factory.mktemp('further') / 'x'
  shutil.copytree(trained, folder)
  with pytest.MonkeyPatch.context() as patch:
    assert call(patch, *QUICK, MORE, f'--workdir={folder}') is None
  return folder


QUICKLY = ('cut',)
EACH = [
  damage if damage in QUICKLY else pytest.param(damage, marks=pytest.mark.slow)
  for damage in DAMAGES
]


@pytest.mark.parametrize('damage', EACH)
def test_training_goes_on_from_damaged_files_that_it_rewrites(
  damage, trained, further, tmp_path, monkeypatch
):
  """All five at once: a sentence each, the same state, the same best one."""
  folder = shutil.copytree(trained, tmp_path / 'x')
  for name in FILES:
    if damage == 'other things' and name == 'evaluate.jsonl':
      continue  # best.json is told from it: one of the two is there
    (folder / name).write_bytes(DAMAGES[damage])
  assert call(monkeypatch, *QUICK, MORE, f'--workdir={folder}') is None
  a, b = (restore(d, one_device()).state for d in (folder, further))
  assert small.identical(a, b)
  assert json.loads((folder / 'data.json').read_text()) == json.loads(
    (further / 'data.json').read_text()
  )
  strict = {'parse_constant': lambda word: pytest.fail(word)}
  for name in ('metrics.jsonl', 'evaluate.jsonl'):
    lines = RunDir(folder).lines(name)
    assert [ln['step'] for ln in lines][-1] == 6
    json.dumps(lines, allow_nan=False)
  json.loads((folder / 'best.json').read_text(), **strict)
  assert (folder / 'curves.png').exists()
  assert call(monkeypatch, '--mode=evaluate', f'--workdir={folder}') is None


@pytest.mark.parametrize(
  'name',
  ['config.json', 'data.json', 'stretches.json', 'metrics.jsonl', 'log.txt']
  + ['evaluate.jsonl', 'best.json', 'checkpoints', 'images', '.lock']
  + ['convolutions.json'],
)
def test_a_folder_in_the_place_of_a_file_is_one_sentence(
  name, trained, tmp_path, monkeypatch
):
  folder = shutil.copytree(trained, tmp_path / 'x')
  place = folder / name
  if place.is_dir():
    shutil.rmtree(place)
    place.write_text('x')  # and a file in the place of a folder
  else:
    place.unlink(missing_ok=True)
    place.mkdir()
  lines = (folder / 'metrics.jsonl').is_file() and RunDir(folder).lines()
  text = call(monkeypatch, *QUICK, MORE, f'--workdir={folder}')
  assert text and name in text and text.count('\n') == 0, text
  assert 'report it' not in text
  assert not lines or RunDir(folder).lines()[: len(lines)] == lines
