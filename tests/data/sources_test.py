"""What holds for every source, and digits, npz, idx and toy in particular."""

import gzip
import pickle
import struct

import numpy as np
import pytest
from sklearn import datasets

from gan_jax import data
from gan_jax.data import toy
from gan_jax.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 6)).astype(np.uint8)
LABELS = np.arange(12) % 3


def idx_bytes(array):
  head = struct.pack('>HBB', 0, 8, array.ndim)
  return head + struct.pack(f'>{array.ndim}I', *array.shape) + array.tobytes()


@pytest.fixture(name='place')
def _place(tmp_path, encode):
  """A folder that holds a small set in every file form."""
  np.savez(tmp_path / 'set.npz', image=IMAGES, label=LABELS)
  for split in ('train', 't10k'):
    part = slice(None) if split == 'train' else slice(0, 4)
    for what, array in (('images-idx3', IMAGES), ('labels-idx1', LABELS)):
      packed = gzip.compress(idx_bytes(array[part].astype(np.uint8)))
      (tmp_path / f'{split}-{what}-ubyte.gz').write_bytes(packed)
  for i in range(12):
    folder = tmp_path / 'folder' / f'class{LABELS[i]}'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{i}.png').write_bytes(encode(IMAGES[i]))
  return tmp_path


EVERY = [
  'digits',
  'npz:{}/set.npz',
  'idx:{}',
  'folder:{}/folder',
  *(f'toy:{name}' for name in toy.NAMES),
]


# The contract.


@pytest.mark.parametrize('name', EVERY)
@pytest.mark.parametrize('channels', [1, 3])
def test_contract(name, channels, place, open_source):
  name = name.format(place)
  source = open_source(name, resolution=9, channels=channels)
  assert source.name == name
  shape = (2,) if name.startswith('toy') else (9, 9, channels)
  dtype = np.float32 if name.startswith('toy') else np.uint8
  assert source.shape == shape and source.dtype == dtype
  images, labels = source.arrays()
  assert images.shape == (len(source), *shape) and images.dtype == dtype
  assert labels.shape == (len(source),) and labels.dtype == np.int32
  assert source.nbytes() == images.nbytes
  assert labels.min() == 0 and labels.max() == max(0, len(source.classes) - 1)
  copy = pickle.loads(pickle.dumps(source))
  for i in (0, 5, len(source) - 1):
    for image, label in (source[i], copy[i]):
      assert (image == images[i]).all() and label == labels[i]
      assert image.dtype == dtype and isinstance(label, int)
  assert f'{name}: {len(source):,} ' in source.report
  assert ('MiB' in source.report) and ('classes' in source.report)


def test_every_registered_source_is_explained():
  for kind in data.SOURCES:
    assert f'| {kind}' in data.__doc__
  kinds = 'digits tfds folder npz idx toy text stacked'
  assert set(data.SOURCES) == set(kinds.split())


def test_resizing_is_the_same_for_every_source(place, open_source):
  a = open_source(f'npz:{place}/set.npz', resolution=9).arrays()[0]
  b = open_source(f'idx:{place}', resolution=9).arrays()[0]
  c = open_source(f'folder:{place}/folder', resolution=9).arrays()[0]
  assert (a == b).all()
  assert sorted(x.tobytes() for x in a) == sorted(x.tobytes() for x in c)


@pytest.mark.parametrize(
  'changes, message',
  [
    (dict(source='foldr:x'), r'did you mean folder:PATH\?'),
    (dict(source='cifar10'), 'a source is one of digits, tfds:NAME, folder:PA'),
    (dict(source=''), 'a source is one of'),
    (dict(source='npz'), 'write npz:PATH'),
    (dict(source='tfds:'), 'write tfds:NAME'),
    (dict(source='digits:3'), "write 'digits'"),
    (dict(source='toy:ring9'), r'did you mean toy:ring8\?'),
    (dict(source='toy:moons'), 'ring8, ring10, grid25, swissroll'),
    (dict(source='toy:swissroll', conditional=True), 'has no classes'),
    (dict(filter='nearest'), "'lanczos', 'bicubic', 'bilinear', 'box'"),
    (dict(background='red'), "'white', 'black'"),
    (dict(channels=4), '1, 3'),
    (dict(resolution=-1), 'at least 0'),
  ],
)
def test_wrong_configs(changes, message, open_source):
  with pytest.raises(UserError, match=message):
    open_source(**{'source': 'digits', **changes})


# digits.


def test_digits(open_source):
  raw = datasets.load_digits()
  source = open_source('digits', resolution=8, channels=1)
  images, labels = source.arrays()
  assert np.abs(images[..., 0] / 255 - raw.images / 16).max() < 0.5 / 255 + 1e-9
  assert images.max() == 255 and (labels == raw.target).all()
  assert source.classes == tuple('0123456789')


# npz.


@pytest.mark.parametrize(
  'keys',
  [
    ('image', 'label'),
    ('images', 'labels'),
    ('x', 'y'),
    ('x_train', 'y_train'),
    ('train_images', 'train_labels'),
  ],
)
def test_npz_keys(keys, tmp_path, open_source):
  arrays = {keys[0]: IMAGES, keys[1]: LABELS[:, None]}
  if 'train' in keys[0]:
    arrays |= {k.replace('train', 'test'): v[:2] for k, v in arrays.items()}
  np.savez_compressed(tmp_path / 'a.npz', **arrays)
  source = open_source(f'npz:{tmp_path}/a.npz', resolution=0, channels=1)
  assert (source.arrays()[0][..., 0] == IMAGES).all()
  assert (source.arrays()[1] == LABELS).all()
  assert f"'{keys[0]}'" in source.report and f"'{keys[1]}'" in source.report
  if 'train' in keys[0]:
    assert len(open_source(f'npz:{tmp_path}/a.npz', split='test')) == 2


def test_npz_without_names_and_labels(tmp_path, open_source):
  np.savez(tmp_path / 'a.npz', IMAGES)
  source = open_source(f'npz:{tmp_path}/a.npz')
  assert len(source) == 12 and source.classes == ()


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_npz_channels(channels, tmp_path, open_source):
  images = (
    np.random.default_rng(channels)
    .integers(0, 256, (3, 5, 5, channels))
    .astype(np.uint8)
  )
  np.savez(tmp_path / 'a.npz', image=images)
  got = open_source(f'npz:{tmp_path}/a.npz', resolution=0).arrays()[0]
  colour = images[..., :3] if channels > 2 else images[..., :1].repeat(3, -1)
  alpha = images[..., -1:] / 255 if channels in (2, 4) else 1
  assert np.abs(got - (colour * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize(
  'images, rule',
  [
    (IMAGES / 255, r'\[0, 1\]'),
    ((IMAGES / 127.5 - 1).astype(np.float32), r'\[-1, 1\]'),
  ],
)
def test_npz_floats(images, rule, tmp_path, open_source):
  np.savez(tmp_path / 'a.npz', image=images)
  source = open_source(f'npz:{tmp_path}/a.npz', resolution=0, channels=1)
  assert (source.arrays()[0][..., 0] == IMAGES).all()
  assert rule.replace('\\', '') in source.report


@pytest.mark.parametrize(
  'arrays, split, message',
  [
    (dict(image=IMAGES), 'test', "has no split 'test', but 'train'"),
    (dict(x_train=IMAGES), 'test', "has no split 'test', but 'train'"),
    (dict(x_test=IMAGES), 'train', "has no split 'train', but 'test'"),
    (dict(x_a=IMAGES, y_a=LABELS, b_image=IMAGES), 'c', "but 'b', 'a'"),
    (dict(x_train=IMAGES, y=LABELS), 'train', 'name both alike'),
    (dict(image=IMAGES, train_labels=LABELS), 'train', 'name both alike'),
  ],
)
def test_npz_splits_that_are_not_there(
  arrays, split, message, tmp_path, open_source
):
  np.savez(tmp_path / 'a.npz', **arrays)
  with pytest.raises(UserError, match=message):
    open_source(f'npz:{tmp_path}/a.npz', split=split)


def test_npz_says_what_it_does_not_use(tmp_path, open_source):
  np.savez(tmp_path / 'a.npz', IMAGES, LABELS)
  source = open_source(f'npz:{tmp_path}/a.npz')
  assert 'not used: arr_1' in source.report and source.classes == ()


@pytest.mark.parametrize(
  'arrays, message',
  [
    (dict(pictures=IMAGES), 'the file holds pictures'),
    (dict(image=IMAGES * 1.0), 'float pictures must lie in'),
    (dict(image=np.full((2, 4, 4), np.nan)), 'float pictures must lie in'),
    (dict(image=IMAGES.astype(np.int32)), 'save uint8'),
    (dict(image=IMAGES[0]), r'pictures are \[N, H, W\]'),
    (dict(image=IMAGES[:0]), r'pictures are \[N, H, W\]'),
    (dict(image=np.zeros((5, 3, 8, 8), np.uint8)), r'transpose\(0, 2, 3, 1\)'),
    (dict(image=IMAGES / 255 - 0.01), r'clip it to \[0, 1\]'),
    (dict(image=IMAGES / 250), 'float pictures must lie in'),
    (dict(image=np.zeros((8, 8, 3), np.uint8)), 'which is one picture'),
    (dict(image=np.array(3, np.uint8)), r'pictures are \[N, H, W\]'),
    (dict(image=IMAGES.astype('M8[s]')), 'save uint8'),
    (dict(image=IMAGES.astype('>u2')), 'save uint8'),
    (dict(image=IMAGES.astype(complex)), 'save uint8'),
    (dict(image=IMAGES.astype('U3')), 'save uint8'),
    (dict(image=IMAGES.view([('r', 'u1')])), "'image': it holds records"),
    (dict(image=IMAGES, label=np.array(['a'] * 12)), 'give whole numbers'),
    (dict(image=IMAGES, label=np.array([None] * 12)), 'holds Python objects'),
    (dict(image=IMAGES, label=np.array(1)), 'one class number per picture'),
    (dict(image=IMAGES, label=np.eye(3)[LABELS] / 2), 'not one-hot'),
    (dict(image=IMAGES, label=np.ones((12, 3), int)), 'not one-hot'),
    (dict(image=IMAGES, label=np.zeros((12, 3), int)), 'not one-hot'),
    (dict(image=IMAGES, label=LABELS[:5]), 'one class number per picture'),
    (dict(image=IMAGES, label=LABELS * 1.0), 'give whole numbers'),
    (dict(image=IMAGES, label=LABELS - 1), 'number the classes 0, 1, 2'),
    (dict(image=np.array([None, 1])), "'image': it holds Python objects"),
  ],
)
def test_wrong_npz(arrays, message, tmp_path, open_source):
  np.savez(tmp_path / 'a.npz', **arrays)
  with pytest.raises(UserError, match=message):
    open_source(f'npz:{tmp_path}/a.npz')


def test_npz_that_is_none(tmp_path, open_source):
  np.save(tmp_path / 'single.npy', IMAGES)
  np.savez(tmp_path / 'whole.npz', image=IMAGES)
  whole = (tmp_path / 'whole.npz').read_bytes()
  (tmp_path / 'cut.npz').write_bytes(whole[: len(whole) // 2])
  (tmp_path / 'text.npz').write_text('hello')
  (tmp_path / 'empty.npz').write_bytes(b'')
  for name in ('single.npy', 'cut.npz', 'text.npz', 'empty.npz'):
    with pytest.raises(UserError, match='cannot be read as a NumPy archive'):
      open_source(f'npz:{tmp_path}/{name}')
  with pytest.raises(UserError, match='there is no such file'):
    open_source(f'npz:{tmp_path}/none.npz')


# idx.


def test_idx_splits_and_single_files(place, open_source):
  def read(where, **changes):
    return open_source(
      f'idx:{where}', resolution=0, channels=1, **changes
    ).arrays()

  images, labels = read(place)
  assert (images[..., 0] == IMAGES).all() and (labels == LABELS).all()
  for split in ('test', 't10k'):
    assert (read(place, split=split)[0][..., 0] == IMAGES[:4]).all()
  file = place / 'train-images-idx3-ubyte.gz'
  assert (read(file)[1] == LABELS).all()  # found beside it
  plain = place / 'alone' / 'train-images-idx3-ubyte'
  plain.parent.mkdir()
  plain.write_bytes(idx_bytes(IMAGES))  # not gzipped, no labels
  assert (read(plain.parent)[0][..., 0] == IMAGES).all()
  assert open_source(f'idx:{plain}').classes == ()


@pytest.mark.parametrize(
  'damage, message',
  [
    (lambda d: d[:-1], 'not a whole file'),
    (lambda d: d + b'x', 'not a whole file'),
    (lambda d: d[:2], 'not a whole file'),
    (lambda d: b'\0\0\x0d' + d[3:], 'magic number'),
    (lambda d: gzip.compress(d)[:50], 'not a whole file'),
    (lambda d: idx_bytes(LABELS.astype(np.uint8)), 'not pictures'),
  ],
)
def test_damaged_idx(damage, message, tmp_path, open_source):
  path = tmp_path / 'train-images-idx3-ubyte'
  path.write_bytes(damage(idx_bytes(IMAGES)))
  with pytest.raises(UserError, match=message):
    open_source(f'idx:{tmp_path}')


def test_wrong_idx(place, tmp_path, open_source):
  with pytest.raises(UserError, match="'train', 'test', 't10k'"):
    open_source(f'idx:{place}', split='val')
  with pytest.raises(UserError, match='there is no such file'):
    open_source(f'idx:{place}/none')
  with pytest.raises(UserError, match='it holds class0, class1, class2'):
    open_source(f'idx:{place}/folder')


# toy.


@pytest.mark.parametrize(
  'name, count', [('ring8', 8), ('ring10', 10), ('grid25', 25)]
)
def test_mixtures(name, count, open_source):
  points, labels = open_source(f'toy:{name}').arrays()
  modes, deviation = toy.modes(name), toy.deviation(name)
  assert modes.shape == (count, 2) and len(points) == toy.COUNT
  assert np.abs(modes.mean(0)).max() < 1e-12  # centred
  assert np.abs(points).max() <= 1
  # Each point is nearest to its own centre, and the moments are as stated.
  distance = np.linalg.norm(points[:, None] - modes, axis=-1)
  assert (distance.argmin(1) == labels).all()
  assert (np.bincount(labels) == toy.COUNT // count).all()
  rest = points - modes[labels]
  assert np.allclose(rest.std(0), deviation, rtol=0.02)
  assert np.abs(rest.mean(0)).max() < 5 * deviation / np.sqrt(toy.COUNT)


def test_centres_are_regular():
  for name, m in (('ring8', 8), ('ring10', 10)):
    modes = toy.modes(name)
    assert np.allclose(np.linalg.norm(modes, axis=1), 0.9)
    steps = np.linalg.norm(modes - np.roll(modes, 1, 0), axis=1)
    assert np.allclose(steps, 2 * 0.9 * np.sin(np.pi / m))
    assert np.isclose(toy.deviation(name) / 0.9, 0.02 / 2)
  axis = sorted(set(np.round(toy.modes('grid25')[:, 0], 9)))
  assert np.allclose(axis, [-0.9, -0.45, 0, 0.45, 0.9])
  assert np.isclose(toy.deviation('grid25') / 0.45, 0.05 / 2)


def test_swiss_roll():
  points, labels = toy.points('swissroll')
  assert toy.modes('swissroll').shape == (0, 2) and not labels.any()
  assert np.abs(points).max() <= 1
  # scikit-learn's roll, noise-free, moved and scaled: no point lies far off it.
  roll, _ = datasets.make_swiss_roll(20_000, random_state=0)
  roll = roll[:, [0, 2]]
  low, high = roll.min(0), roll.max(0)
  roll = (roll - (low + high) / 2) * (0.9 / (high - low).max() * 2)
  distance = np.array(
    [np.linalg.norm(roll - p, axis=1).min() for p in points[:500]]
  )
  assert distance.max() < 4 * toy.deviation('swissroll')
  assert distance.mean() > 0.3 * toy.deviation('swissroll')


def test_toy_is_a_function_of_its_seed():
  a, b, c = (toy.points('ring8', seed, 100)[0] for seed in (1, 1, 2))
  assert (a == b).all() and (a != c).any()
