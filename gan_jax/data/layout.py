"""What the folders of a set of pictures mean: splits, classes or shards."""

import json
import re
from collections.abc import Sequence

import numpy as np

from gan_jax import limits
from gan_jax.data.files import Files, printable
from gan_jax.data.plain import BadPictureError
from gan_jax.data.source import integer_labels
from gan_jax.errors import UserError

# Of each split the names that its folder may have, in small letters.
_SPLITS = (
  ('train', 'training'),
  ('val', 'valid', 'validation', 'dev', 'eval'),
  ('test', 'testing'),
)
_WORDS = sum(_SPLITS, ())
LABELS = 'dataset.json'


def in_split(
  names: Sequence[str], split: str, source: str
) -> tuple[list[str], str]:
  """The files of a split.

  Where there are two or more folders at the top, and all have names of splits
  (train, val, test, training, ... in any case), they are splits. A folder that
  wraps everything is looked through.

  Args:
    names: all files.
    split: which one; 'val' stands for valid, validation, dev, ... as well, if
      there is one such folder.
    source: the config's source string, for messages.

  Returns:
    Those that belong to the split, in their order; a line for the report, ''
    if there are no splits.

  Raises:
    UserError: there is no such split.
  """
  root = ''
  while True:
    tops = {top(name, root) for name in names}
    if len(tops) > 1 or '' in tops:
      break
    (only,) = tops
    if only.lower() in _WORDS and split != 'train':
      _pick(tops, split, source)  # is it the one that is asked for?
      return list(names), f"'{only}', the only one"
    root += f'{only}/'
  if not all(folder.lower() in _WORDS for folder in tops):
    if split != 'train':
      raise UserError(
        f"config.data.split is '{split}', but {source} has no splits, which"
        ' would be folders named train, val, test and nothing beside them: set'
        " config.data.split=train, or a part of it such as 'train[:90%]'."
      )
    return list(names), ''
  chosen = _pick(tops, split, source)
  rest = ', '.join(sorted(tops - {chosen}))
  below = f'{root}{chosen}/'
  return (
    [name for name in names if name.startswith(below)],
    f"'{chosen}'; left out: {rest} (config.data.split chooses)",
  )


def _pick(tops, split, source):
  """The folder of a split."""
  same = [t for t in tops if t == split]
  same = same or [t for t in tops if t.lower() == split.lower()]
  if not same:
    group = [g for g in _SPLITS if split.lower() in g]
    same = [t for t in tops if group and t.lower() in group[0]]
  if len(same) != 1:
    raise UserError(
      f"config.data.split is '{split}', but the splits of {source} are"
      f' {", ".join(sorted(tops))}: set config.data.split to one of them.'
    )
  return same[0]


def top(name: str, root: str) -> str:
  """The folder just below a root that a file is in; '' if it is in none.

  Args:
    name: path of a file below `root`.
    root: '' or with '/' behind it.
  """
  folder, slash, _ = name[len(root) :].partition('/')
  return folder if slash else ''


def by_folder(
  names: Sequence[str],
) -> tuple[tuple[str, ...], np.ndarray, str]:
  """Classes from the folders that pictures are in.

  Args:
    names: of the pictures, at least one.

  Returns:
    The folders that are classes, sorted, or () if some picture is in none or
    there is one alone; int32 [n], the class of each picture; and the path of
    the folder whose sub-folders they are, '' or with '/' behind it.
  """
  root = ''
  while True:
    tops = [top(name, root) for name in names]
    below = {top(name, f'{root}{tops[0]}/') for name in names}
    if '' in tops or len(set(tops)) > 1 or '' in below:
      break
    root += f'{tops[0]}/'  # a single folder that wraps folders
  if '' in tops or len(set(tops)) == 1:
    return (), np.zeros(len(names), np.int32), root
  classes = tuple(sorted(set(tops)))
  number = {c: k for k, c in enumerate(classes)}
  return classes, np.array([number[t] for t in tops], np.int32), root


class Labels:
  """The labels of a set in StyleGAN's format.

  Its file dataset.json holds {"labels": [["00000/img00000000.png", 6], ...]},
  or null for a set without; the folders 00000, 00001, ... are shards.

  Attributes:
    path: where the file lies.
    classes: '0', '1', ...; () for a set without labels.
    of: the class of each picture by its name; {} for a set without.
    absent: how many pictures it names that are not there.
  """

  def __init__(self, path: str, text: bytes, names: Sequence[str], source: str):
    """Reads it.

    Args:
      path: of the file, below the set's folder.
      text: what is in it.
      names: of all pictures.
      source: the config's source string, for messages.

    Raises:
      UserError: it is not of that form, or has no label for some picture.
    """
    self.path, self.absent = path, 0
    self.classes, self.of = (), {}
    where = f'{source}: {printable(path)}'
    pairs = _pairs(text, where)
    if pairs is None:
      return
    root = path[: -len(LABELS)]
    found = {}
    for name, label in pairs:
      name = root + name.replace('\\', '/').removeprefix('./')
      if found.setdefault(name, label) != label:
        raise UserError(
          f'{where} has two labels for {name}: {found[name]} and {label};'
          ' remove one.'
        )
    missing = [printable(name) for name in names if name not in found]
    if missing:
      raise UserError(
        f'{where} has no label for {len(missing):,} of {len(names):,} pictures,'
        f' such as {", ".join(missing[:3])}: add them to it or remove the'
        ' pictures; to take the folders for classes, rename it.'
      )
    numbers, self.classes = integer_labels(
      np.array([found[name] for name in names], object).astype(np.int64),
      len(names),
      where,
    )
    self.of = dict(zip(names, numbers.tolist(), strict=True))
    self.absent = len(found.keys() - set(names))


def labels_file(
  files: Files, listed: Sequence[str], names: Sequence[str], source: str
) -> Labels | None:
  """The labels that a set brings with it, if it does.

  Args:
    files: where they are.
    listed: all files.
    names: of the pictures.
    source: the config's source string, for messages.

  Returns:
    Those of dataset.json in a folder that all pictures are below, the deepest
    of them; None if there is none, or it says nothing of labels.

  Raises:
    UserError: as Labels.
  """
  found = [
    path
    for path in listed
    if path.split('/')[-1] == LABELS
    and all(name.startswith(path[: -len(LABELS)]) for name in names)
  ]
  if not found:
    return None
  path = max(found, key=len)
  try:
    with files.reading(path, limits.LABELS_FILE_BYTES) as text:
      # Other formats have files of this name, too.
      return Labels(path, text, names, source) if b'"labels"' in text else None
  except BadPictureError as e:
    raise UserError(
      f'{source}: {printable(path)} cannot be read ({e}); repair or rename it.'
    ) from None


def _pairs(text, where):
  """[(name, number), ...] of dataset.json, or None."""
  try:
    labels = json.loads(text)['labels']
    if labels is None:
      return None
    pairs = [(name, label) for name, label in labels]
    if not all(isinstance(name, str) for name, _ in pairs):
      raise ValueError
  except (ValueError, TypeError, KeyError, RecursionError):
    raise UserError(
      f'{where} is not of the form {{"labels": [["NAME.png", 6], ...]}} that'
      " StyleGAN's sets have: repair it, or rename it to take the folders for"
      ' classes.'
    ) from None
  for name, label in pairs:
    if type(label) is not int or not 0 <= label < 2**31:
      raise UserError(
        f'{where} labels {printable(name)} with {str(label)[:40]}: a label here'
        ' is a whole number 0, 1, 2, ..., the class; write those in it.'
      )
  return pairs


def doubts(classes: Sequence[str]) -> list[str]:
  """Lines for the report on classes that look like something else.

  Args:
    classes: names of the folders.
  """
  words = '|'.join(sorted(_WORDS, key=len, reverse=True))
  split = re.compile(rf'(?i:{words})([-_ .]?[A-Z0-9]\w*)?')
  lines = []
  for what, some in (
    ('splits', [c for c in classes if split.fullmatch(c)]),
    ('shards', [c for c in classes if re.fullmatch(r'\d{4,}', c)]),
  ):
    if len(some) > 1:
      more = ', ...' if len(some) > 3 else ''
      lines.append(
        f'{", ".join(some[:3])}{more}: named like {what} of a set, taken for'
        ' classes'
      )
  return lines
