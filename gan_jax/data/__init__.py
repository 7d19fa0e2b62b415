"""Data: one random-access interface over every place samples come from.

| config.data.source | file | what |
|---|---|---|
| digits | digits.py | scikit-learn's 1,797 digits; needs no download |
| tfds:NAME | tfds.py | a TensorFlow Datasets set, stored as ArrayRecord |
| folder:PATH | folder.py | a folder or .zip of picture files |
| npz:PATH | npz.py | NumPy arrays |
| idx:PATH | idx.py | MNIST's file format |
| toy:NAME | toy.py | points in the plane: ring8, ring10, grid25, swissroll |
| text:PATH | text.py | lines of text files by character; text:builtin |

source.py says what a source is, picture.py how any picture becomes uint8 of one
size, part.py what 'train[:90%]' is, order.py which sample comes i-th,
pipeline.py how batches reach the devices, augment.py what happens there.
"""

from gan_jax.data import part, picture
from gan_jax.data.digits import open_digits
from gan_jax.data.folder import open_folder
from gan_jax.data.idx import open_idx
from gan_jax.data.npz import open_npz
from gan_jax.data.source import Source
from gan_jax.data.text import open_text
from gan_jax.data.tfds import open_tfds
from gan_jax.data.toy import open_toy
from gan_jax.errors import UserError, did_you_mean

# Each takes (the config string, what follows its colon, config.data, the form
# that pictures shall have) and gives a Source.
SOURCES = {
  'digits': open_digits,
  'tfds': open_tfds,
  'folder': open_folder,
  'npz': open_npz,
  'idx': open_idx,
  'toy': open_toy,
  'text': open_text,
}
_USAGE = {
  'digits': 'digits',
  'tfds': 'tfds:NAME',
  'folder': 'folder:PATH',
  'npz': 'npz:PATH',
  'idx': 'idx:PATH',
  'toy': 'toy:NAME',
  'text': 'text:PATH',
}


def open_source(config) -> Source:
  """Opens the source that a run's `config.data` names.

  Args:
    config: ConfigDict with source, split, resolution, channels, filter,
      background, max_bad, conditional, label, device_budget_mb and data_dir.

  Raises:
    UserError: anything about it that cannot work; the message says what to do.
  """
  kind, colon, where = config.source.partition(':')
  usage = ', '.join(_USAGE[k] for k in SOURCES)
  if kind not in SOURCES:
    raise UserError(
      f"config.data.source is '{config.source}', but a source is one of"
      f' {usage}{did_you_mean(kind, SOURCES, _USAGE.get)}'
    )
  if kind != 'digits' and not where:
    raise UserError(
      f"config.data.source is '{config.source}'; write {_USAGE[kind]}."
    )
  if config.label and kind != 'tfds':
    raise UserError(
      f"config.data.label is '{config.label}', but only tfds:NAME has classes"
      f" to choose from; set config.data.label='' for {config.source}."
    )
  form = _form(config)
  if kind == 'tfds':
    source = open_tfds(config.source, where, config, form)
  else:
    whole = config.copy_and_resolve_references()
    with whole.unlocked():
      whole.split, _ = part.parse(config.split)
    source = SOURCES[kind](config.source, where, whole, form)
    source = part.cut(source, config.split)
  if config.conditional and not source.classes:
    raise UserError(
      f'config.data.conditional is True, but {config.source} has no classes;'
      ' set config.data.conditional=False or give data with labels'
      ' (for a folder: one sub-folder per class).'
    )
  return source


def _form(config):
  """What pictures are turned into, checked."""
  _one_of('channels', config.channels, (1, 3))
  _one_of('filter', config.filter, tuple(picture.FILTERS))
  _one_of('background', config.background, tuple(picture.BACKGROUNDS))
  if config.resolution < 0:
    raise UserError(
      f'config.data.resolution is {config.resolution}; give the side in'
      ' pixels, or 0 to leave the pictures at their size.'
    )
  return picture.Form(
    config.resolution, config.channels, config.filter, config.background
  )


def _one_of(key, value, allowed):
  if value not in allowed:
    raise UserError(
      f'config.data.{key} is {value!r}; it must be one of'
      f' {", ".join(map(str, allowed))}.'
    )
