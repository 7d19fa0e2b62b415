"""TFDS sets, read without TensorFlow."""

import pickle
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from gan_jax.data import tfds as tfds_source
from gan_jax.errors import UserError

N = 140  # so that threads read several records at once


def pictures():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (N, 12, 10, 3)).astype(np.uint8)


@pytest.fixture(name='data_dir', scope='module')
def _data_dir(tmp_path_factory, encode):
  """A TFDS folder with the set `tiny`, written without TensorFlow."""
  import tensorflow_datasets as tfds
  from array_record.python import array_record_module
  from tensorflow_datasets.proto import tf_example_pb2

  root = tmp_path_factory.mktemp('tfds')
  folder = root / 'tiny' / '1.0.0'
  folder.mkdir(parents=True)
  template = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
  sizes = {'train': N, 'test': 3, 'unlabelled': 5}
  for split, n in sizes.items():
    file = folder / f'tiny-{split}.array_record-00000-of-00001'
    writer = array_record_module.ArrayRecordWriter(str(file), 'group_size:1')
    for i, image in enumerate(pictures()[:n]):
      example = tf_example_pb2.Example()
      feature = example.features.feature
      feature['picture'].bytes_list.value.append(
        b'junk' if i == 7 else encode(image)
      )
      kind = -1 if split == 'unlabelled' else i % 2
      feature['kind'].int64_list.value.append(kind)
      feature['attributes/old'].int64_list.value.append(int(i % 3 == 0))
      writer.write(example.SerializeToString())
    writer.close()
  tfds.folder_dataset.write_metadata(
    data_dir=str(folder),
    features=tfds.features.FeaturesDict(
      {
        'picture': tfds.features.Image(shape=(None, None, 3)),
        'kind': tfds.features.ClassLabel(names=['cat', 'dog']),
        'attributes': {'old': np.bool_},
      }
    ),
    split_infos=[
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[n],
        num_bytes=1,
        filename_template=tfds.core.ShardedFileTemplate(
          dataset_name='tiny',
          data_dir=folder,
          split=split,
          filetype_suffix='array_record',
          template=template,
        ),
      )
      for split, n in sizes.items()
    ],
    filename_template=template,
    check_data=False,
  )
  return root


def test_reads_pixels_and_labels(data_dir, open_source, encode, caplog):
  from gan_jax.data import picture

  form = picture.Form(16, 3, 'lanczos', 'white')
  source = open_source('tfds:tiny', data_dir=str(data_dir), resolution=16)
  assert len(source) == N and source.classes == ('cat', 'dog')
  assert source.shape == (16, 16, 3) and not source.in_memory
  images, labels = source.arrays()
  copy = pickle.loads(pickle.dumps(source))
  for i in range(N):
    k = 8 if i == 7 else i  # record 7 is broken, the next takes its place
    want = form(picture.read(encode(pictures()[k])).image)
    for image, label in ((images[i], labels[i]), source[i], copy[i]):
      assert (image == want).all() and label == k % 2
  assert 'record 7 of tfds:tiny cannot be read' in caplog.text
  assert 'tiny/1.0.0, split train' in source.report


def test_splits(data_dir, open_source):
  def count(split):
    return len(open_source('tfds:tiny', data_dir=str(data_dir), split=split))

  assert count('test') == 3 and count('train[5:9]') == 4
  assert count('train+test') == N + 3
  with pytest.raises(UserError, match="'train.5:5.' is empty: it has 140"):
    count('train[5:5]')
  for split in ('val', 'train[a:]', 'train[:1].', 'train[:]', ''):
    with pytest.raises(UserError, match='splits of tfds:tiny are train, test'):
      count(split)


def test_a_part_is_counted_as_in_every_other_source(data_dir, open_source):
  """TFDS takes -0.1 % of 140 for 0, from where on all of them follow."""

  def first(split):
    source = open_source('tfds:tiny', data_dir=str(data_dir), split=split)
    return len(source), source._records[0]['picture']

  whole = open_source('tfds:tiny', data_dir=str(data_dir))._records
  for split, start, count in (
    ('train[-10%:]', 126, 14),
    ('train[:-5]', 0, 135),
    ('train[33.3%:66.6%]', 47, 46),
    ('train[-5:]+test', 135, 8),
  ):
    assert first(split) == (count, whole[start]['picture'])
  for split in ('train[-0.1%:]', 'train[:１]', 'train[1:50%]', 'train[-141:]'):
    with pytest.raises(UserError, match='config.data'):
      first(split)


def test_without_a_network_it_is_said_at_once(
  tmp_path, open_source, monkeypatch
):
  """Whether a name is searched for in vain, or nobody answers at a port."""
  pytest.importorskip('tensorflow')  # which the advice is about without it
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  for proxy in (
    f'http://127.0.0.1:{port}',
    f'127.0.0.1:{port}',
    'http://x.invalid',
  ):
    for name in ('https_proxy', 'http_proxy', 'HTTPS_PROXY', 'HTTP_PROXY'):
      monkeypatch.setenv(name, proxy)
    start = time.monotonic()
    with pytest.raises(UserError) as e:
      open_source('tfds:cifar10', data_dir=str(tmp_path))
    assert time.monotonic() - start < 10
    assert 'there is no network' in str(e.value) and '\n' not in str(e.value)
    assert not any(tmp_path.iterdir())


def test_a_host_that_never_answers_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(tfds_source, '_PATIENCE', 0.2)
  wait = threading.Event()
  monkeypatch.setattr(
    tfds_source.socket,
    'create_connection',
    lambda *a: socket.socket() if wait.wait(20) else None,
  )
  start = time.monotonic()
  assert not tfds_source._answers('a.invalid', 443)
  assert time.monotonic() - start < 5
  wait.set()


def test_what_was_downloaded_before_needs_no_network(
  tmp_path, open_source, monkeypatch
):
  pytest.importorskip('tensorflow')
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.download import downloader

  (tmp_path / 'downloads').mkdir()
  monkeypatch.setattr(tfds_source, '_answers', lambda *a: False)
  monkeypatch.setattr(downloader, 'MAX_RETRIES', 10)

  def prepare(*args, **kwargs):
    raise OSError(f'{downloader.MAX_RETRIES} retries')

  monkeypatch.setattr(tfds.core.DatasetBuilder, 'download_and_prepare', prepare)
  with pytest.raises(UserError, match='OSError: 0 retries'):
    open_source('tfds:mnist', data_dir=str(tmp_path))


def test_a_data_dir_is_a_folder(data_dir, open_source, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(data_dir))
  assert len(open_source('tfds:tiny', data_dir='~')) == N
  (tmp_path / 'file').touch()
  for where, words in (
    (tmp_path / 'file', 'is a file; give the folder'),
    ('gs://tfds-data/datasets', 'is an address'),
    ('~nosuchuser', 'no home folder'),
  ):
    with pytest.raises(UserError, match=words):
      open_source('tfds:tiny', data_dir=str(where))


def test_different_sizes_need_a_resolution(data_dir, open_source):
  with pytest.raises(UserError, match='set config.data.resolution'):
    open_source('tfds:tiny', data_dir=str(data_dir), resolution=0)


def test_wrong_names(data_dir, open_source):
  for name, message in (
    ('tiyn', r'did you mean tfds:tiny\?'),
    ('cifar1o', r'did you mean tfds:cifar10\?'),
    ('mnist:9.9.9', 'only: 3.0.1'),
    ('voc/1066', 'BuilderConfig 1066'),
  ):
    with pytest.raises(UserError, match=message):
      open_source(f'tfds:{name}', data_dir=str(data_dir))


def test_unprepared_without_tensorflow(
  data_dir, open_source, monkeypatch, caplog
):
  find = tfds_source.importlib.util.find_spec
  monkeypatch.setattr(
    tfds_source.importlib.util,
    'find_spec',
    lambda name, *a: None if name == 'tensorflow' else find(name, *a),
  )
  with pytest.raises(UserError) as e:
    open_source('tfds:mnist', data_dir=str(data_dir))
  for text in (
    f'{data_dir}/mnist/3.0.1',
    "pip install 'gan_jax[tf]'",
    'tfds build mnist',
    '--file_format=array_record',
    'config.data.data_dir',
  ):
    assert text in str(e.value)
  assert not caplog.records  # the sentence is enough


def test_a_failing_download_is_one_sentence(data_dir, open_source, monkeypatch):
  pytest.importorskip('tensorflow')
  import tensorflow_datasets as tfds

  def fail(*args, **kwargs):
    raise OSError('no route to host')

  monkeypatch.setattr(tfds_source, '_answers', lambda *a: True)
  monkeypatch.setattr(tfds.core.DatasetBuilder, 'download_and_prepare', fail)
  with pytest.raises(UserError, match='OSError: no route to host'):
    open_source('tfds:mnist', data_dir=str(data_dir))


@pytest.mark.parametrize(
  'label, classes, expected',
  [
    ('', ('cat', 'dog'), np.arange(N) % 2),
    ('kind', ('cat', 'dog'), np.arange(N) % 2),
    ('attributes/old', ('no', 'yes'), np.arange(N) % 3 == 0),
  ],
)
def test_the_class_is_the_feature_asked_for(
  data_dir, open_source, label, classes, expected
):
  source = open_source(
    'tfds:tiny', data_dir=str(data_dir), resolution=8, label=label
  )
  assert source.classes == classes
  labels = np.array([source[i][1] for i in range(N) if i != 7])
  np.testing.assert_array_equal(labels, np.delete(expected, 7))


def test_a_split_without_labels_has_no_classes(data_dir, open_source):
  form = dict(data_dir=str(data_dir), split='unlabelled', resolution=8)
  source = open_source('tfds:tiny', **form)
  assert source.classes == () and not source.arrays()[1].any()
  with pytest.raises(UserError, match='has no classes'):
    open_source('tfds:tiny', conditional=True, **form)


@pytest.mark.parametrize('label', ['attributes/young', 'picture', 'kind/cat'])
def test_a_feature_that_is_no_class_is_refused(data_dir, open_source, label):
  with pytest.raises(UserError, match='attributes'):
    open_source('tfds:tiny', data_dir=str(data_dir), label=label)


def test_only_tfds_has_classes_to_choose_from(open_source):
  with pytest.raises(UserError, match='only tfds:NAME'):
    open_source('digits', label='digit')


def test_reading_loads_no_tensorflow_and_prints_nothing(data_dir):
  code = f"""
import sys
from gan_jax import data
from gan_jax.config import defaults
config = defaults().data
config.update(source='tfds:tiny', data_dir={str(data_dir)!r}, resolution=8)
assert 'tensorflow_datasets' not in sys.modules
source = data.open_source(config)
source[0]
assert 'tensorflow' not in sys.modules
print(len(source))
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, timeout=120
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == f'{N}\n' and done.stderr == ''


# What follows needs TensorFlow, as preparing a set does.


def store(root, name, file_format):
  tfds = pytest.importorskip('tensorflow_datasets')
  pytest.importorskip('tensorflow')
  images = pictures()
  tfds.dataset_builders.store_as_tfds_dataset(
    name=name,
    version='1.0.0',
    data_dir=str(root),
    file_format=file_format,
    features=tfds.features.FeaturesDict(
      {
        'image': tfds.features.Image(shape=(12, 10, 3)),
        'label': tfds.features.ClassLabel(names=['even', 'odd']),
      }
    ),
    split_datasets={
      'train': [(i, {'image': x, 'label': i % 2}) for i, x in enumerate(images)]
    },
    disable_shuffling=True,
  )


def test_a_set_that_tfds_stored(tmp_path, open_source):
  store(tmp_path, 'stored', 'array_record')
  source = open_source(
    'tfds:stored', data_dir=str(tmp_path), resolution=0, conditional=True
  )
  images, labels = source.arrays()
  assert (images == pictures()).all()
  assert (labels == np.arange(N) % 2).all()
  assert source.classes == ('even', 'odd')


def test_a_set_in_another_format(tmp_path, open_source):
  store(tmp_path, 'sequential', 'tfrecord')
  with pytest.raises(UserError, match='as tfrecord, which cannot be read at'):
    open_source('tfds:sequential', data_dir=str(tmp_path))
