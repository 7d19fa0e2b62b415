"""What folders mean: splits, classes, shards; and labels that a set brings."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax.data import layout
from gan_jax.errors import UserError


def plain(value):
  return np.full((8, 8), value, np.uint8)


@pytest.fixture(name='write')
def _write(tmp_path, encode):
  """Writes pictures, the k-th all of grey k up to 99, and other files."""

  def write(names, **others):
    for k, name in enumerate(names):
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(encode(plain(k % 100)))
    for name, text in others.items():
      (tmp_path / name.replace('_json', '.json')).write_text(text)
    return f'folder:{tmp_path}'

  return write


def greys(source):
  return [int(source[i][0][0, 0, 0]) for i in range(len(source))]


# Splits.

SPLITS = [
  ('train', 'val'),
  ('train', 'test'),
  ('Train', 'Valid', 'TEST'),
  ('training', 'validation', 'testing'),
]


@pytest.mark.parametrize('wrapper', ['', 'pets/', 'a/b/'])
@pytest.mark.parametrize('splits', SPLITS)
def test_folders_named_like_splits_are_splits(
  splits, wrapper, write, open_source
):
  names = [
    f'{wrapper}{split}/{c}/{i}.png'
    for split in splits
    for c in ('cat', 'dog')
    for i in range(2)
  ]
  where = write(names)
  for k, split in enumerate(splits):
    asked = {'t': 'train', 'v': 'val'}[split[0].lower()]
    if split.lower().startswith('test'):
      asked = 'test'
    for word in (asked, split):
      source = open_source(where, resolution=8, split=word, conditional=True)
      assert source.classes == ('cat', 'dog')
      assert greys(source) == list(range(4 * k, 4 * k + 4))
      assert f"split      '{split}'; left out: " in source.report
  with pytest.raises(UserError, match='the splits of .* are ') as e:
    open_source(where, resolution=8, split='tset')
  assert all(split in str(e.value) for split in splits)


def test_a_part_of_a_split(write, open_source):
  where = write([f'{s}/{i}.png' for s in ('test', 'train') for i in range(10)])
  source = open_source(where, resolution=8, split='train[:80%]')
  held = open_source(where, resolution=8, split='train[80%:]')
  assert sorted(greys(source) + greys(held)) == list(range(10, 20))
  assert source.classes == ()


@pytest.mark.parametrize('split', ['test', 'val', 'train[', 'all', 'Train', ''])
@pytest.mark.parametrize(
  'names', [['1.png'], ['cat/1.png', 'train/2.png'], ['train/1.png', '2.png']]
)
def test_a_split_of_a_folder_without_is_refused(
  names, split, write, open_source
):
  where = write(names)
  with pytest.raises(UserError, match='has no splits') as e:
    open_source(where, resolution=8, split=split)
  assert 'config.data.split=train' in str(e.value)
  assert len(open_source(where, resolution=8)) == len(names)


def test_a_single_split(write, open_source):
  where = write(['val/cat/1.png', 'val/dog/2.png'])
  source = open_source(where, resolution=8, split='valid')
  assert "split      'val', the only one" in source.report
  assert source.classes == ('cat', 'dog')
  with pytest.raises(UserError, match='the splits of .* are val:'):
    open_source(where, resolution=8, split='test')


# StyleGAN's dataset.json.

SHARDS = [f'{i // 4:05d}/img{i:08d}.png' for i in range(12)]
# Not in turn with the shards; there is no 2 and no 3.
CLASSES = [(i * i) % 5 for i in range(12)]
PLACES = [{0: 0, 1: 1, 4: 2}[c] for c in CLASSES]


def as_json(names=SHARDS, labels=CLASSES, prefix=''):
  pairs = [[prefix + n, c] for n, c in zip(names, labels, strict=True)]
  return json.dumps({'labels': pairs[::-1]})


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('where_it_lies', ['', 'wrapped/', 'train/'])
def test_labels_of_stylegan(
  packed, where_it_lies, write, tmp_path, open_source
):
  names = [where_it_lies + name for name in SHARDS]
  extra = ['val/00000/x.png'] if where_it_lies == 'train/' else []
  where = write(names + extra)
  (tmp_path / where_it_lies / 'dataset.json').write_text(as_json())
  if packed:
    where = f'folder:{tmp_path}/set.zip'
    with zipfile.ZipFile(tmp_path / 'set.zip', 'w') as archive:
      for file in sorted(tmp_path.rglob('*.*')):
        if file.suffix != '.zip':
          archive.write(file, file.relative_to(tmp_path).as_posix())
  source = open_source(where, resolution=8, conditional=True)
  assert source.classes == ('0', '1', '4')
  assert [source[i][1] for i in range(12)] == PLACES
  assert source.arrays()[1].tolist() == PLACES
  assert f'as in {where_it_lies}dataset.json' in source.report


def test_labels_of_pictures_that_cannot_be_read(write, tmp_path, open_source):
  where = write(SHARDS, dataset_json=as_json())
  (tmp_path / SHARDS[5]).write_bytes(b'')
  source = open_source(where, resolution=8, max_bad=0.1)
  want = PLACES[:5] + PLACES[6:]
  assert [source[i][1] for i in range(11)] == want


def test_a_set_that_says_it_has_no_labels(write, open_source):
  where = write(SHARDS, dataset_json='{"labels": null}')
  source = open_source(where, resolution=8)
  assert source.classes == ()
  assert 'the set has none, says dataset.json' in source.report


def test_other_files_of_that_name(write, open_source):
  where = write(['cat/1.png', 'dog/2.png'], dataset_json='{"title": "Pets"}')
  assert open_source(where, resolution=8).classes == ('cat', 'dog')


def test_labels_of_pictures_that_are_not_there(write, open_source):
  text = as_json(SHARDS + ['gone.png'], CLASSES + [1])
  source = open_source(write(SHARDS, dataset_json=text), resolution=8)
  assert '1 pictures that it names are not there' in source.report


def one(label, name='1.png'):
  return json.dumps({'labels': [[name, label]]})


@pytest.mark.parametrize(
  'text',
  [
    one([0, 0, 1]),
    one([0.5, 0.25]),
    one(1.0),
    one(-1),
    one(10**30),
    one(True),
    one('cat'),
    one(None),
    one(1, 'other.png'),
    one(1, 5),
    '{"labels": 5}',
    '{"labels": {"1.png": 5}}',
    '{"labels": ["1.png"]}',
    '{"labels": [["1.png", 1], ["1.png", 2]]}',
    '["labels"]',
    '"labels"',
    '{"labels": [["1.png", 1]',
    '{"labels": ' + '[' * 100_000,
    '{"labels": [["1.png", NaN]]}',
  ],
)
def test_labels_that_cannot_be_used(text, write, open_source):
  where = write(['1.png'], dataset_json=text)
  with pytest.raises(UserError, match=r'dataset\.json') as e:
    open_source(where, resolution=8)
  assert '\n' not in str(e.value) and len(str(e.value)) < 600


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_as_labels(data, behind):
  text = b'{"labels": ' + data if behind else data + b'"labels"'
  try:
    got = layout.Labels('dataset.json', text, ['1.png'], 'folder:x')
    assert got.classes == ()
  except UserError as e:
    assert 'dataset.json' in str(e)


# What the report says of classes.


def test_odd_classes_are_named(write, tmp_path, open_source):
  many = [f'{c}/{i:03d}.png' for c in ('cat', 'dog', 'owl') for i in range(210)]
  where = write([*many, 'few/1.png', 'few/2.png', 'lone/1.png', 'bad/1.png'])
  (tmp_path / 'bad' / '1.png').write_bytes(b'junk')
  (tmp_path / 'void' / 'deep').mkdir(parents=True)
  (tmp_path / 'texts').mkdir()
  (tmp_path / 'texts' / 'a.txt').write_text('text')
  source = open_source(where, resolution=8)
  assert source.classes == ('cat', 'dog', 'few', 'lone', 'owl')
  lines = source.report.split('classes    ')[1].split('  skipped ')[0]
  assert [line.strip() for line in lines.strip().split('\n')[1:]] == [
    'few: 2, less than 1% of the median class',
    'lone: a single one',
    'bad: no picture in it can be read, so it is no class',
    'texts: no picture in it can be read, so it is no class',
    'void: no picture in it can be read, so it is no class',
  ]


def test_many_odd_classes_take_few_lines(write, open_source):
  where = write([f'c{i:03d}/1.png' for i in range(50)])
  report = open_source(where, resolution=8).report
  assert report.count('a single one') == 10 and '... and 40 more' in report


@pytest.mark.parametrize(
  'classes, word',
  [
    (('train', 'val', 'extra'), 'splits'),
    (('trainA', 'trainB', 'testA', 'testB'), 'splits'),
    (('train2017', 'val2017'), 'splits'),
    (('00000', '00001'), 'shards'),
    (('00000', '01000', '02000', '03000'), 'shards'),
    (('cat', 'dog'), ''),
    (('train', 'car', 'bus'), ''),
    (('testify', 'valley'), ''),
    (('0', '1', '2'), ''),
  ],
)
def test_classes_that_look_like_something_else(
  classes, word, write, open_source
):
  where = write([f'{c}/{i}.png' for c in classes for i in range(2)])
  source = open_source(where, resolution=8)
  assert source.classes == tuple(sorted(classes))
  assert ('named like' in source.report) == bool(word)
  assert f'named like {word}' in source.report or not word
