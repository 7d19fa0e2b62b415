"""text:PATH: the lines of text files, by character.

A sample is the first L = `config.data.resolution` characters of a line, as the
WGAN-GP paper's language model has them (Gulrajani et al. 2017; SGAN takes it
over with L = 32). A shorter line is filled up with PADDING and stays: where a
sentence ends is a part of the language. Lines without a character are dropped.
"""

import bz2
import collections
import gzip
import itertools
import lzma
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gan_jax import limits, paths
from gan_jax.data import part, picture
from gan_jax.data.files import Folder, near, printable
from gan_jax.data.scan import first_few
from gan_jax.data.source import Source, in_threads, report_text
from gan_jax.errors import UserError

PADDING = '\N{SYMBOL FOR NULL}'  # character 0: what follows a line's end
UNKNOWN = '\N{REPLACEMENT CHARACTER}'  # character 1: any other character
LARGEST = 256  # alphabet: a stored character is a byte
BUILTIN = 'builtin'

_OPEN = {'.gz': gzip.open, '.xz': lzma.open, '.bz2': bz2.open}
_BLOCK = 2**21  # characters that are read at a time, filled up as they will be
_CODES = 0x110000  # of Unicode
_BROKEN = (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error)


class TextSource(Source):
  """Lines of text in memory, a byte a character."""

  dtype = np.dtype(np.uint8)

  def __init__(self, name: str, lines: np.ndarray, alphabet: str):
    """Takes lines by the numbers of their characters, uint8 [n, L]."""
    self.name = name
    self.shape = (lines.shape[1], len(alphabet))
    self.alphabet = alphabet
    self._lines = lines

  def __len__(self):
    return len(self._lines)

  def __getitem__(self, i):
    return self._lines[i], 0

  def arrays(self):
    """As in Source, without a copy."""
    return self._lines, np.zeros(len(self), np.int32)


def open_text(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'text:WHERE'.

  WHERE is a file of UTF-8 text, plain or packed as .gz, .xz or .bz2, or a
  folder of such, all of which are read whatever their names (the One Billion
  Word Benchmark's are news.en-00001-of-00100 and so on); or 'builtin'.

  Raises:
    UserError: nothing there, a split that there is not, no text in it, or too
      many unreadable files.
  """
  del form  # of pictures
  length = config.resolution
  if length < 1:
    raise UserError(
      f'config.data.resolution is {length}, but it is the number of characters'
      ' that a line of text is cut to: give one of at least 1, such as 32.'
    )
  part.check_name(name, config.split, ('train',))
  if where == BUILTIN:
    return _source(name, [_read(builtin_lines(), length)], length, [])
  root, names = _files(name, paths.local(where, 'config.data.source'))
  found: list[_File | str] = [''] * len(names)

  def load(run):
    for i in run:
      found[i] = _read_file(root / names[i], length)

  in_threads(load, len(names), f'reading {name}')
  skipped = [
    (printable(file), reason)
    for file, reason in zip(names, found, strict=True)
    if isinstance(reason, str)
  ]
  if len(skipped) > config.max_bad * len(names):
    raise UserError(
      f'{name}: {len(skipped)} of {len(names)} files cannot be read as text'
      f' ({"; ".join(": ".join(s) for s in skipped[:3])}); config.data.source ='
      ' text:PATH takes UTF-8 text, plain or packed as .gz, .xz or .bz2, and a'
      f' share of config.data.max_bad={config.max_bad} of other files.'
    )
  files = [file for file in found if not isinstance(file, str)]
  return _source(name, files, length, skipped)


def lines_of(samples, alphabet: str) -> list[str]:
  """Samples as text: the likeliest character of each place.

  Args:
    samples: [N, L, V], one-hot or a generator's probabilities.
    alphabet: of V characters.

  Returns:
    N lines; padding behind the last character is left out.
  """
  best = np.asarray(samples).argmax(-1)
  return [''.join(alphabet[k] for k in row).rstrip(PADDING) for row in best]


def choose_alphabet(counts: Mapping[str, int]) -> str:
  """PADDING, UNKNOWN, then the printable characters, most frequent first.

  Args:
    counts: how often each character occurs.

  Returns:
    At most LARGEST characters; equally frequent ones by their code.
  """
  known = [c for c in counts if c.isprintable() and c not in PADDING + UNKNOWN]
  known.sort(key=lambda c: (-counts[c], c))
  return PADDING + UNKNOWN + ''.join(known[: LARGEST - 2])


def builtin_lines() -> Iterator[str]:
  """7,200 short English sentences, for tests and first steps."""
  people = 'Anna', 'Paul', 'The cat', 'The old man', 'My sister', 'Nobody'
  verbs = 'sees', 'likes', 'forgets', 'hears', 'draws', 'waits for'
  kinds = 'small', 'red', 'quiet', 'new', 'heavy'
  things = 'house', 'bird', 'river', 'train', 'song', 'garden', 'cup', 'dream'
  ends = '.', ' today.', ' again.', ' in the morning.', ', I think.'
  for who, does, kind, thing, end in itertools.product(
    people, verbs, kinds, things, ends
  ):
    yield f'{who} {does} a {kind} {thing}{end}'


class _Block(NamedTuple):
  """Some lines, by the characters that occur in them.

  Attributes:
    codes: code points that occur, ascending, int [C]; 0 behind a line's end.
    counts: how often, int [C].
    lines: which of them, [n, L], of the smallest type that holds C.
  """

  codes: np.ndarray
  counts: np.ndarray
  lines: np.ndarray


class _File(NamedTuple):
  """What was read from a file.

  Attributes:
    blocks: its lines.
    empty: number of lines without a character, which are not in the blocks.
    short: number of lines with less than L characters.
    long: number of lines with more.
    characters: in all lines, before they were cut.
  """

  blocks: list[_Block]
  empty: int
  short: int
  long: int
  characters: int


def _files(name, path):
  """A folder and the names below it that shall be read."""
  if path.is_file():
    return path.parent, [path.name]
  if path.is_dir():
    names = Folder(path).names()
    if not names:
      raise UserError(f'{name}: there are no files in {path}.')
    return path, names
  raise UserError(
    f"config.data.source is '{name}', but there is no file or folder {path}:"
    f' give text:PATH with the path of one, or text:{BUILTIN}{near(path)}'
  )


def _read_file(path, length) -> _File | str:
  """What a file holds, or why it cannot be read."""
  opener = _OPEN.get(path.suffix.lower(), open)
  try:
    size = path.stat().st_size
    if not path.is_file():
      return 'it is a pipe or a device'
    most = size if opener is open else limits.unpacked(size)
    with opener(path, 'rt', encoding='utf-8-sig') as file:
      return _read(_bounded(file, most), length)
  except UnicodeDecodeError:
    return 'it is not UTF-8 text'
  except _BROKEN as error:
    return getattr(error, 'strerror', None) or str(error)


def _bounded(file, most: int) -> Iterator[str]:
  """The lines of a file; ValueError at one without end, or too many of them.

  Args:
    file: of text.
    most: characters that it may hold: packed files can hold anything.
  """
  total = 0
  while line := file.readline(limits.LINE + 1):
    total += len(line)
    if len(line) > limits.LINE:
      raise ValueError(f'a line of it has more than {limits.LINE:,} characters')
    if total > most:
      raise ValueError(
        f'it unpacks to more than {most:,} characters, which is no text'
      )
    yield line


def _read(lines: Iterator[str], length) -> _File:
  """Lines of text by blocks; ValueError if they are not text."""
  blocks, empty, short, long, characters = [], 0, 0, 0, 0
  for some in _by_characters(lines, _BLOCK, length):
    # Tabs, line ends and runs of spaces are a space each.
    clean = [' '.join(line.split()) for line in some]
    if any('\0' in line for line in clean):
      raise ValueError('it has bytes of 0, so it is not text')
    full = [line for line in clean if line]
    empty += len(clean) - len(full)
    short += sum(len(line) < length for line in full)
    long += sum(len(line) > length for line in full)
    characters += sum(map(len, full))
    if full:
      blocks.append(_block(full, length))
  return _File(blocks, empty, short, long, characters)


def _by_characters(lines: Iterator[str], size, length) -> Iterator[list[str]]:
  """Lists of lines, of about `size` characters, none counted below `length`."""
  some, total = [], 0
  for line in lines:
    some.append(line)
    total += max(len(line), length)
    if total >= size:
      yield some
      some, total = [], 0
  if some:
    yield some


def _block(lines: list[str], length) -> _Block:
  whole = ''.join(line[:length].ljust(length, '\0') for line in lines)
  text = np.frombuffer(whole.encode('utf-32-le'), '<u4').astype(np.int64)
  counts = np.bincount(text, minlength=_CODES)
  codes = np.flatnonzero(counts)
  number = np.zeros(_CODES, np.min_scalar_type(len(codes)))
  number[codes] = np.arange(len(codes))
  return _Block(codes, counts[codes], number[text].reshape(-1, length))


def _source(name, files: list[_File], length, skipped) -> TextSource:
  """The lines of all files, with the alphabet that fits them."""
  blocks = [block for file in files for block in file.blocks]
  if not blocks:
    raise UserError(
      f'{name}: there is no text in it; give a file with a line a sample.'
    )
  counts = collections.Counter()
  for block in blocks:
    for code, count in zip(block.codes, block.counts, strict=True):
      counts[chr(code)] += int(count)
  padded = counts.pop('\0', 0)
  alphabet = choose_alphabet(counts)
  place = {c: k for k, c in enumerate(alphabet)} | {'\0': 0}
  place.pop(PADDING)  # a sign of the text that looks like it is unknown
  unknown = alphabet.index(UNKNOWN)
  lines = []
  while blocks:  # each is let go once it is taken over
    block = blocks.pop(0)
    number = [place.get(chr(code), unknown) for code in block.codes]
    lines.append(np.array(number, np.uint8)[block.lines])
  source = TextSource(name, np.concatenate(lines), alphabet)
  missing = sum(n for c, n in counts.items() if c not in alphabet[2:])
  total = len(source) * length - padded
  rows = [
    ('lines', _lines(files, len(source), length, total)),
    (
      'alphabet',
      f'{len(alphabet) - 2} of the {len(counts):,} characters in the text, and'
      f' 2 signs: {alphabet}\n{PADDING} is what follows the end of a line,'
      f' {UNKNOWN} any other character: {missing:,} of {total:,}'
      f' ({missing / total:.3%})',
    ),
    ('classes', 'none'),
  ]
  if skipped:
    rows.append(('skipped', first_few(skipped)))
  source.report = report_text(source, rows)
  return source


def _lines(files, used, length, kept) -> str:
  empty, short, long, characters = np.sum([file[1:] for file in files], axis=0)
  return (
    f'{used:,} from {len(files):,} file(s); {empty:,} empty ones dropped\n'
    f'{long:,} longer than {length} characters, of which the first {length}'
    f' stay: {kept:,} of all {characters:,} characters\n'
    f'{short:,} shorter, filled up'
  )
