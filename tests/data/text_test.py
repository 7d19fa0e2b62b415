"""Text: which characters of which lines become which numbers."""

import bz2
import collections
import gzip
import lzma
import pickle
import re

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_jax.data import order, text
from gan_jax.data.pipeline import Feed, samples_at
from gan_jax.errors import UserError
from gan_jax.mesh import one_device

LINES = 'The cat sat.\n\n  On\tthe \u00e4 mat,\r\nit said.\na\n'
CLEAN = ['The cat sat.', 'On the \u00e4 mat,', 'it said.', 'a']


# Whatever UTF-8 can say but for the sign of files that are not text.
CHARACTERS = st.characters(codec='utf-8', exclude_characters='\0')


def read_back(source):
  """All lines of a source, as text."""
  return text.lines_of(source.unpack(source.arrays()[0]), source.alphabet)


# The alphabet.


@given(
  st.dictionaries(st.characters(), st.integers(1, 9), max_size=40),
  st.integers(3, 12),
)
def test_an_alphabet_has_the_most_frequent_characters(counts, largest):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(text, 'LARGEST', largest)
    alphabet = text.choose_alphabet(counts)
  signs, known = alphabet[:2], alphabet[2:]
  assert signs == text.PADDING + text.UNKNOWN
  assert len(set(alphabet)) == len(alphabet) <= largest
  assert set(known) <= set(counts) and known.isprintable()
  left = [c for c in counts if c not in alphabet and c.isprintable()]
  if left:
    assert len(alphabet) == largest
    assert max(counts[c] for c in left) <= min(counts[c] for c in known)
  falling = [counts[c] for c in known]
  assert falling == sorted(falling, reverse=True)


def test_more_characters_than_a_byte_holds(tmp_path, open_source):
  """The first 254 are there once more each; of the others a line tells."""
  many = [chr(0x4E00 + k) for k in range(300)]
  lines = [many[k : k + 10] for k in range(0, 300, 10)] + [many[:254]]
  (tmp_path / 'a.txt').write_text('\n'.join(map(''.join, lines)), 'utf-8')
  source = open_source(f'text:{tmp_path}/a.txt', resolution=254)
  assert source.shape == (254, 256)
  assert set(source.alphabet[2:]) == set(many[:254])
  assert source.arrays()[0].max() == 255
  assert ('any other character: 46 of 554 (8.303%)') in source.report
  assert read_back(source)[29] == text.UNKNOWN * 10


# Lines.


@given(
  st.lists(st.text(CHARACTERS), max_size=8),
  st.integers(1, 12),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_come_back_but_for_what_was_cut(
  tmp_path, open_source, lines, length
):
  content = '\n'.join(lines)
  (tmp_path / 'a.txt').write_bytes(content.encode())
  # The model: a mark of byte order means nothing, neither do empty lines.
  whole = re.split('\r\n|\r|\n', content.removeprefix('\ufeff'))
  words = [' '.join(line.split())[:length] for line in whole if line.split()]
  if not words:
    with pytest.raises(UserError, match='there is no text in it'):
      open_source(f'text:{tmp_path}/a.txt', resolution=length)
    return
  source = open_source(f'text:{tmp_path}/a.txt', resolution=length)
  counts = collections.Counter(''.join(words))
  assert source.alphabet == text.choose_alphabet(counts)
  sign = lambda c: c if c in source.alphabet[2:] else text.UNKNOWN
  assert read_back(source) == [''.join(map(sign, w)) for w in words]
  assert source.shape == (length, len(source.alphabet))


def test_blocks_are_read_one_after_the_other(
  tmp_path, open_source, monkeypatch
):
  (tmp_path / 'a.txt').write_text(LINES * 50, 'utf-8')
  whole = open_source(f'text:{tmp_path}/a.txt')
  monkeypatch.setattr(text, '_BLOCK', 40)
  parts = open_source(f'text:{tmp_path}/a.txt')
  assert parts.alphabet == whole.alphabet and parts.report == whole.report
  assert (parts.arrays()[0] == whole.arrays()[0]).all()
  assert read_back(parts) == CLEAN * 50


def test_the_report(tmp_path, open_source):
  (tmp_path / 'a.txt').write_text(LINES, 'utf-8')
  report = open_source(f'text:{tmp_path}/a.txt', resolution=8).report
  for part in (
    '4 lines, 8 uint8',
    '4 from 1 file(s); 1 empty ones dropped',
    '2 longer than 8 characters, of which the first 8 stay: 25 of all 34',
    '1 shorter, filled up',
    f'alphabet   {len(set("The cat On the ä it said.a"))} of the ',
    'any other character: 0 of 25 (0.000%)',
  ):
    assert part in report, report


# Files.

PACKED = {
  'a.txt': lambda data: data,
  'a.txt.gz': gzip.compress,
  'b.xz': lzma.compress,
  'c.bz2': bz2.compress,
}


@pytest.mark.parametrize('name', PACKED)
def test_packed_files(name, tmp_path, open_source):
  (tmp_path / name).write_bytes(PACKED[name](LINES.encode()))
  source = open_source(f'text:{tmp_path / name}')
  assert read_back(source) == CLEAN


def test_a_folder_is_read_in_the_order_of_names(tmp_path, open_source):
  names = ['news.en-00002-of-00100', 'news.en-00001-of-00100', 'more/x.gz']
  for k, name in enumerate(names):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    data = f'line {k}\n'.encode()
    pack = gzip.compress if name.endswith('.gz') else bytes
    (tmp_path / name).write_bytes(pack(data))
  (tmp_path / '.hidden').write_text('no\n')
  source = open_source(f'text:{tmp_path}')
  assert read_back(source) == ['line 2', 'line 1', 'line 0']


BROKEN = {
  'latin1.txt': 'm\u00e4\n'.encode('latin-1'),
  'utf16.txt': 'a line\n'.encode('utf-16-le'),
  'cut.gz': gzip.compress(LINES.encode() * 999)[:-20],
  'cut.xz': lzma.compress(LINES.encode() * 999)[:-20],
  'not.bz2': b'plain text\n',
  'garbage.xz': b'plain text\n',
}


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_file_is_refused_or_left_out(name, tmp_path, open_source):
  (tmp_path / name).write_bytes(BROKEN[name])
  for where in (tmp_path / name, tmp_path):
    with pytest.raises(UserError) as error:
      open_source(f'text:{where}')
    assert f'1 of 1 files cannot be read as text ({name}: ' in str(error.value)
    assert '\n' not in str(error.value)
  (tmp_path / 'good.txt').write_text(LINES, 'utf-8')
  with pytest.raises(UserError, match='1 of 2 files cannot be read'):
    open_source(f'text:{tmp_path}')
  source = open_source(f'text:{tmp_path}', max_bad=0.5)
  assert read_back(source) == CLEAN
  assert f'skipped    {name}: ' in source.report


@pytest.mark.parametrize(
  'make, where, says',
  [
    (lambda d: None, 'nothing.txt', 'there is no file or folder'),
    (lambda d: (d / 'lines.txt').touch(), 'line.txt', 'did you mean .*lines'),
    (lambda d: (d / 'a.txt').write_text(' \n\n'), 'a.txt', 'no text in it'),
    (lambda d: (d / 'folder').mkdir(), 'folder', 'there are no files in'),
  ],
)
def test_what_holds_no_text(make, where, says, tmp_path, open_source):
  make(tmp_path)
  with pytest.raises(UserError, match=says):
    open_source(f'text:{tmp_path}/{where}')


def test_a_length_is_needed(open_source):
  with pytest.raises(UserError, match='resolution is 0, but it is the number'):
    open_source('text:builtin', resolution=0)
  with pytest.raises(UserError, match='write text:PATH'):
    open_source('text:')


# What becomes of them.


def test_contract(open_source):
  source = open_source('text:builtin', resolution=20)
  length, size = source.shape
  assert (length, size) == (20, len(source.alphabet)) and not source.classes
  lines, labels = source.arrays()
  assert lines.shape == (len(source), 20) and lines.dtype == np.uint8
  assert lines.max() == size - 1 and not labels.any()
  assert source.nbytes() == lines.nbytes
  copy = pickle.loads(pickle.dumps(source))
  assert copy.alphabet == source.alphabet
  for i in (0, 77, len(source) - 1):
    assert (copy[i][0] == lines[i]).all() and source[i][1] == 0
  assert read_back(source) == [line[:20] for line in text.builtin_lines()]


def test_a_part_keeps_the_alphabet_of_the_whole(open_source):
  whole = open_source('text:builtin')
  part = open_source('text:builtin', split='train[:10%]')
  assert (part.alphabet, part.shape) == (whole.alphabet, whole.shape)
  assert len(part) == len(whole) // 10
  assert set(read_back(part)) <= set(read_back(whole))


@pytest.mark.parametrize('budget', [0, 1024])
def test_a_batch_is_one_hot_and_never_mirrored(budget, open_source):
  source = open_source('text:builtin', resolution=9)
  feed = Feed(
    source,
    draws=2,
    batch=4,
    seed=5,
    mirror=True,
    mesh=one_device(),
    device_budget_mb=budget,
    workers=0,
  )
  assert bool(feed.table) == (budget > 0)
  batches = feed.batches(3)
  raw = next(batches)
  batches.close()
  assert raw['mirror'].any()
  got = jax.device_get(jax.jit(feed.decode)(feed.table, raw)).image
  assert got.shape == (2, 4, *source.shape) and got.dtype == np.float32
  index = order.indices(5, np.arange(24, 32), len(source))
  want = np.zeros((8, *source.shape))
  for row, i in enumerate(index):
    for place, character in enumerate(source[int(i)][0]):
      want[row, place, character] = 1
  assert (got.reshape(8, *source.shape) == want).all()
  reals, _ = samples_at(source, 5, 32)
  assert (reals[24:] == want).all() and reals.dtype == np.float32
