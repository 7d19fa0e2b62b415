"""tfds:NAME: a TensorFlow Datasets set, stored as ArrayRecord.

Reading needs no TensorFlow; only the first preparation of a set does.
"""

import contextlib
import importlib.util
import os
import queue
import socket
import sys
import threading
import urllib.parse
import urllib.request

import numpy as np
from absl import logging

from gan_jax import paths
from gan_jax.data import part, picture
from gan_jax.data.source import DecodedSource, Source, in_threads, report_text
from gan_jax.errors import UserError, did_you_mean

_PORTS = {'http': 80, 'https': 443, 'ftp': 21}
_HOSTS = 3  # that are asked before it is said that there is no network
_PATIENCE = 3.0  # seconds for each


class TfdsSource(DecodedSource):
  """A split of a prepared set; records are decoded when they are read."""

  dtype = np.dtype(np.uint8)
  in_memory = False

  def __init__(
    self,
    name: str,
    records,
    image: str,
    label: str | None,
    classes: tuple[str, ...],
    form: picture.Form,
    shape: tuple[int, int, int],
  ):
    """Wraps a data source of TFDS.

    Args:
      name: the config's source string.
      records: what `as_data_source` gives, the image feature undecoded.
      image: name of the image feature.
      label: path of the label feature ('label', 'attributes/Male'), or None.
      classes: names; () if there is no label feature.
      form: what to turn each picture into.
      shape: (H, W, C) of the result.
    """
    self.name = name
    self.shape = shape
    self.classes = classes
    self._records = records
    self._image = image
    self._label = label
    self._form = form

  def __len__(self):
    return len(self._records)

  def arrays(self):
    """As in Source; reading many records at once takes half the time."""
    images = np.empty((len(self), *self.shape), self.dtype)
    labels = np.empty(len(self), np.int32)

    def load(run):
      try:
        records = self._records.__getitems__(run)
      except Exception:  # of a damaged one; alone each is told from the others
        for i in run:
          images[i], labels[i] = self[i]
        return
      for i, record in zip(run, records, strict=True):
        try:
          images[i], labels[i] = self._sample(record)
        except picture.BadPictureError:
          images[i], labels[i] = self[i]  # warns and finds the next good one

    in_threads(load, len(self), f'reading {self.name}')
    return images, labels

  def label(self, i):
    """As in Source."""
    try:
      return self._label_of(self._records[i])
    except picture.BadPictureError:
      return self[i][1]

  def content(self, i):
    """As in Source; the picture as it is stored."""
    return repr(self._form).encode() + bytes(self._records[i][self._image])

  def _decode(self, i):
    try:
      record = self._records[i]
    except Exception as e:  # of a damaged file the reader raises many types
      raise picture.BadPictureError(_brief(e)) from None
    return self._sample(record)

  def _sample(self, record):
    image = self._form.decode(record[self._image]).pixels
    return image, self._label_of(record)

  def _label_of(self, record) -> int:
    """The label of a record, or BadPictureError."""
    if self._label is None:
      return 0
    label = int(_at(record, self._label))
    if not 0 <= label < len(self.classes):
      raise picture.BadPictureError(f'its label, {label}, is of no class')
    return label

  def _title(self, i):
    return f'record {i} of {self.name}'


def open_tfds(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'tfds:NAME'; NAME may have a config and a version, as in TFDS.

  The set is read from config.data.data_dir, or from TFDS's default folder. If
  it is not there it is downloaded and prepared, which needs TensorFlow. The
  picture is the feature 'image' or else the first image; the class is the
  feature that config.data.label names by its path (a class label, or a yes or
  no such as CelebA's 'attributes/Male'), or else 'label', or else the first
  class label.

  Raises:
    UserError: no such set or split, a set that cannot be prepared here or is
      not stored as ArrayRecord, or one without pictures.
  """
  with _quietly():
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, where, config.data_dir)
    if not builder.is_prepared():
      builder = _prepare(tfds, name, where, config.data_dir, builder)
    formats = {f.value for f in builder.info.available_file_formats()}
    if 'array_record' not in formats:
      raise UserError(
        f'{name} is stored in {builder.data_dir} as {", ".join(formats)},'
        ' which cannot be read at random; prepare it again in another folder:'
        f' {_by_hand(where)}'
      )
    features = builder.info.features
    image = _feature(features, tfds.features.Image, 'image')
    label, classes = _label(tfds, name, features, config.label)
    if image is None:
      raise UserError(
        f'{name} has no pictures; its features are'
        f' {", ".join(features) or "none"}. Give an image data set.'
      )
    records = _records(tfds, name, builder, config.split, image)
    try:
      unlabelled = label and _at(records[0], label) < 0  # TFDS's mark of it
    except Exception as e:  # a damaged file of records
      raise UserError(
        f'{name}: the records of {config.split} in {builder.data_dir} cannot be'
        f' read ({_brief(e)}); copy or prepare the set again.'
      ) from None
    if unlabelled:
      label, classes = None, ()
  stored = features[image].shape
  if not form.resolution and None in stored[:2]:
    raise UserError(
      f'{name}: its pictures differ in size; set config.data.resolution to'
      ' the side you want, in pixels.'
    )
  side = (form.resolution,) * 2 if form.resolution else stored[:2]
  source = TfdsSource(
    name, records, image, label, classes, form, (*side, form.channels)
  )
  where_from = (
    f'{builder.info.full_name}, split {config.split}, in {builder.data_dir}'
  )
  source.report = _report(source, where_from, _sizes(stored, form))
  return source


def is_prepared(where: str, data_dir: str) -> bool:
  """Whether 'tfds:<where>' can be opened without a download."""
  with _quietly():
    import tensorflow_datasets as tfds

    return _builder(tfds, f'tfds:{where}', where, data_dir).is_prepared()


def _records(tfds, name, builder, split, image):
  """The records of a split; the picture stays as its file's bytes."""
  sizes = {k: v.num_examples for k, v in builder.info.splits.items()}
  wanted = '+'.join(_counted(word, sizes) for word in split.split('+'))
  try:
    if not split.isascii():
      raise ValueError('numbers are written 0 to 9')
    return builder.as_data_source(
      split=wanted, decoders={image: tfds.decode.SkipDecoding()}
    )
  except Exception as e:  # bad names, bad or empty slices raise many types
    raise UserError(
      f"config.data.split is '{split}', but the splits of {name} are"
      f' {", ".join(builder.info.splits)} ({_brief(e)})'
    ) from None


def _counted(word: str, sizes) -> str:
  """'train[:50%]' as 'train[0:500]': a part means the same in every source."""
  split, wanted = part.parse(word)
  if wanted is None or split not in sizes:
    return word
  start, stop = wanted.bounds(sizes[split])
  return f'{split}[{start}:{stop}]'


def _sizes(stored, form):
  if None in stored[:2]:
    return f'several, {form.of_size()}'
  text = f'all {stored[1]}x{stored[0]}'
  if stored[:2] == (form.resolution,) * 2:
    return text
  return f'{text}, {form.of_size()}'


@contextlib.contextmanager
def _quietly():
  """TFDS and TensorFlow tell much that is of no use to a user."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _builder(tfds, name, where, data_dir, **kwargs):
  if data_dir:
    data_dir = str(paths.local(data_dir, 'config.data.data_dir'))
    if os.path.exists(data_dir) and not os.path.isdir(data_dir):
      raise UserError(
        f'config.data.data_dir={data_dir} is a file; give the folder that holds'
        ' the folders of the data sets.'
      )
  try:
    return tfds.builder(where, data_dir=data_dir or None, **kwargs)
  except tfds.core.DatasetNotFoundError:
    folder = data_dir or tfds.core.constants.DATA_DIR
    known = tfds.list_builders(with_community_datasets=False)
    if os.path.isdir(folder):
      known = known + sorted(os.listdir(folder))
    raise UserError(
      f"config.data.source is '{name}', but TFDS knows no such set and none"
      f' is stored in {folder}; see https://www.tensorflow.org/datasets or'
      ' set config.data.data_dir'
      + did_you_mean(where, known, lambda near: f'tfds:{near}')
    ) from None
  except Exception as e:  # unknown config, version, malformed name
    raise UserError(
      f"config.data.source is '{name}', which TFDS refuses: {_brief(e)}"
    ) from None


def _prepare(tfds, name, where, data_dir, builder):
  from tensorflow_datasets.core.download import downloader

  missing = f'{name} is not prepared in {builder.data_dir}'
  if importlib.util.find_spec('tensorflow') is None:
    raise UserError(
      f'{missing}, and preparing it needs TensorFlow: pip install'
      f" 'gan_jax[tf]', then run this again; or prepare it on another"
      f' machine: {_by_hand(where)}'
    )
  hosts = _hosts(builder)
  if hosts and not any(_answers(*host) for host in hosts):
    # What it has downloaded before TFDS does not ask for again.
    if not os.path.isdir(os.path.join(builder.data_dir_root, 'downloads')):
      raise UserError(
        f'{missing}, and there is no network to download it with:'
        f' {" and ".join(host for host, _ in hosts)} cannot be reached; prepare'
        f' it on another machine: {_by_hand(where)}'
      )
    downloader.MAX_RETRIES = 0  # it would go on trying for minutes
  print(
    f'{missing}; downloading and preparing it with TFDS',
    file=sys.stderr,
    flush=True,
  )
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  try:
    import tensorflow as tf

    tf.config.set_visible_devices([], 'GPU')  # the GPU's memory is JAX's
    builder = _builder(tfds, name, where, data_dir, file_format='array_record')
    builder.download_and_prepare()
  except Exception as e:  # network, checksums, disk, manual downloads, ...
    raise UserError(
      f'{missing}, and preparing it failed ({type(e).__name__}:'
      f' {_brief(e)}); if this machine cannot download, prepare it on'
      f' another: {_by_hand(where)}'
    ) from None
  return builder


def _hosts(builder) -> list[tuple[str, int]]:
  """The hosts and ports that a set is downloaded from, or their proxies."""
  proxies = urllib.request.getproxies()
  found = {}
  for url in builder.url_infos or ():
    there = urllib.parse.urlsplit(url)
    if not there.hostname:
      continue
    proxy = proxies.get(there.scheme)
    if proxy and not urllib.request.proxy_bypass(there.hostname):
      there = urllib.parse.urlsplit(proxy if '//' in proxy else f'//{proxy}')
    port = there.port or _PORTS.get(there.scheme, 443)
    found[there.hostname, port] = None
  return list(found)[:_HOSTS]


def _answers(host: str, port: int) -> bool:
  """Whether a connection can be made within seconds."""
  found = queue.Queue()

  def connect():
    try:
      socket.create_connection((host, port), _PATIENCE).close()
      found.put(True)
    except (OSError, ValueError):
      found.put(False)

  # The search for a name knows no time limit of its own.
  threading.Thread(target=connect, daemon=True).start()
  try:
    return found.get(timeout=_PATIENCE)
  except queue.Empty:
    return False


def _by_hand(where):
  return (
    f'tfds build {where} --data_dir=DIR --file_format=array_record, copy'
    ' DIR here and set config.data.data_dir to it.'
  )


def _feature(features, kind, preferred):
  names = [n for n, feature in features.items() if isinstance(feature, kind)]
  return preferred if preferred in names else next(iter(names), None)


def _at(tree, path: str):
  """What is at 'a/b' of nested dictionaries."""
  for key in path.split('/'):
    tree = tree[key]
  return tree


def _label(tfds, name, features, wanted: str):
  """Path and class names of the feature that is the class, or None and ()."""
  if not wanted:
    label = _feature(features, tfds.features.ClassLabel, 'label')
    return label, tuple(features[label].names) if label else ()
  try:
    feature = _at(features, wanted)
  except (KeyError, TypeError):
    feature = None
  if isinstance(feature, tfds.features.ClassLabel):
    return wanted, tuple(feature.names)
  if feature is not None and getattr(feature, 'np_dtype', None) == np.bool_:
    return wanted, ('no', 'yes')
  raise UserError(
    f"config.data.label is '{wanted}', which is no class label and no yes or"
    f' no of {name}; its features are {", ".join(features)} (one inside'
    ' another is written attributes/Male).'
  )


def _brief(error):
  # TFDS puts 'Failed to construct dataset ..., builder_kwargs "...": ' first.
  return ' '.join(str(error).split()).split('}": ')[-1][:300]


def _report(source: TfdsSource, where_from: str, sizes: str) -> str:
  """The report of a set; TFDS does not know how many each class has."""
  names = ', '.join(source.classes[:20])
  more = ', ...' if len(source.classes) > 20 else ''
  classes = f'{len(source.classes)}: {names}{more}' if names else 'none'
  rows = [('from', where_from), ('sizes', sizes), ('classes', classes)]
  return report_text(source, rows)
