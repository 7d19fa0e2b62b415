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
| stacked:SOURCE | stacked.py | three digits of another source as one picture |

source.py says what a source is, picture.py and plain.py how any picture becomes
uint8 of one size, layout.py what folders mean, part.py what 'train[:90%]' is,
order.py which sample comes i-th, pipeline.py how batches reach the devices,
augment.py what happens there, diff_augment.py and ada.py what stands in front
of D (ada_pipe.py: the changes of ADA), levels.py how a growing run sees
pictures at lower resolutions. celebahq.py is a command that makes CelebA-HQ.
"""

from gan_jax import settings
from gan_jax.data import held_out, part, picture
from gan_jax.data.digits import open_digits
from gan_jax.data.folder import open_folder
from gan_jax.data.idx import open_idx
from gan_jax.data.npz import open_npz
from gan_jax.data.source import Source
from gan_jax.data.stacked import Stacked
from gan_jax.data.text import open_text
from gan_jax.data.tfds import open_tfds
from gan_jax.data.toy import open_toy
from gan_jax.errors import UserError, did_you_mean
from gan_jax.settings import Setting


def open_stacked(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'stacked:SOURCE'; the split is that of SOURCE.

  Raises:
    UserError: SOURCE cannot be opened, or is no set of digits.
  """
  if form.channels != 3 or where.startswith('stacked'):
    raise UserError(
      f"config.data.source is '{name}', which puts three grey pictures into the"
      ' channels of one: name a source of digits, and set'
      ' config.data.channels=3.'
    )
  inner = config.copy_and_resolve_references()
  with inner.unlocked():
    inner.update(source=where, channels=1, conditional=False, held_out=0.0)
  return Stacked(name, open_source(inner))


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
  'stacked': open_stacked,
}
_USAGE = {
  'digits': 'digits',
  'tfds': 'tfds:NAME',
  'folder': 'folder:PATH',
  'npz': 'npz:PATH',
  'idx': 'idx:PATH',
  'toy': 'toy:NAME',
  'text': 'text:PATH',
  'stacked': 'stacked:SOURCE',
}

_PICTURES = {'source': ('digits', 'tfds', 'folder', 'npz', 'idx', 'stacked')}

SETTINGS = {
  'source': Setting(
    'digits', f'where samples come from: {", ".join(_USAGE.values())}'
  ),
  'about': Setting(
    '',
    'what the pictures of a folder should be, in words: said if it is absent',
    when={'source': ('folder',)},
  ),
  'split': Setting(
    'train', "which split of it, or a part of one: 'train[:90%]'"
  ),
  'test_split': Setting(
    '', "what a classifier's accuracy is measured on; '': nothing"
  ),
  'test_source': Setting(
    '',
    "where that split is; '': in the same source",
    when={'test_split': True},
  ),
  'held_out': Setting(
    0.0,
    'share of it that is never trained on, for the overfitting watch',
    low=0.0,
    high=0.5,
  ),
  'resolution': Setting(
    32,
    'pixels a side after resize and crop, 0: as they are; of text, characters'
    ' that a line is cut to',
    low=0,
    high=4096,
    when={'source': (*_PICTURES['source'], 'text')},
  ),
  'channels': Setting(
    3, 'of pictures: grey or colour', choices=(1, 3), when=_PICTURES
  ),
  'filter': Setting(
    'lanczos', 'of the resize', choices=picture.FILTERS, when=_PICTURES
  ),
  'background': Setting(
    'white',
    'what transparency is laid on',
    choices=picture.BACKGROUNDS,
    when=_PICTURES,
  ),
  'max_bad': Setting(
    0.05,
    'share of unreadable files above which a run refuses',
    low=0.0,
    high=1.0,
    when={'source': ('folder', 'text')},
  ),
  'conditional': Setting(False, 'give the labels to the networks'),
  'label': Setting(
    '',
    "the feature that is the class; '': the first one",
    when={'source': ('tfds',)},
  ),
  'device_budget_mb': Setting(
    1024, 'sets up to this size live on the device, in MiB', low=0, high=2**31
  ),
  'workers': Setting(
    0, 'processes that read larger sets; 0: threads', low=0, high=256
  ),
  'data_dir': Setting(
    '',
    "where TFDS keeps its data sets; '': its default",
    when={'source': ('tfds',)},
  ),
}


def open_source(config) -> Source:
  """Opens the source that a run's `config.data` names.

  Args:
    config: ConfigDict with the keys of `SETTINGS`.

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
  settings.check(SETTINGS, config, 'data')
  form = picture.Form(
    config.resolution, config.channels, config.filter, config.background
  )
  if kind == 'tfds':
    source = open_tfds(config.source, where, config, form)
  else:
    whole = config.copy_and_resolve_references()
    with whole.unlocked():
      whole.split, wanted = part.parse(config.split)
    source = SOURCES[kind](config.source, where, whole, form)
    source = part.cut(source, wanted)
  if config.conditional and not source.classes:
    raise UserError(
      f'config.data.conditional is True, but {config.source} has no classes;'
      ' set config.data.conditional=False or give data with labels'
      ' (for a folder: one sub-folder per class).'
    )
  if config.held_out:
    return held_out.without(source, config.held_out, config.split)
  return source
