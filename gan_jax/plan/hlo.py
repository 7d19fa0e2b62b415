"""What the text of a compiled step says: collectives, loops, padding.

The text is XLA's (`compiled.as_text()`): an instruction a line,

  %name = f32[64,32]{1,0:T(8,128)} all-reduce(%x), replica_groups=...

with its result's type, shape, order of the axes in memory (first the one whose
elements lie next to each other) and, on a TPU, tiles and where it lies. It is
what one device does.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = (
  'all-reduce',
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'ragged-all-to-all',
  'collective-permute',
  'collective-broadcast',
)
# 'all-reduce(', and the first half of one that runs beside other work,
# 'all-reduce-start('; the second half moves nothing.
_COLLECTIVE = re.compile(
  rf' = (.*?) ({"|".join(KINDS)})(-start)?\((?=[%)\w])', re.ASCII
)
_CONVOLUTION = re.compile(r' = (\S+) convolution\(')
_ARRAY = re.compile(r'\b([a-z]+\d*\w*)\[([\d,<=]*)\](?:\{([^{}]*)\})?')
_COMPUTATION = re.compile(r'(ENTRY )?%?([\w.-]+) .*\{$')
_INSTRUCTION = re.compile(r'\s+(?:ROOT )?%?([\w.-]+) = (.*)')
_OPERATION = re.compile(r' ?([a-z][\w-]*)\(')
_COMMENT = re.compile(r'/\*.*?\*/')
_NAME = re.compile(r'%?([\w.-]+)$')
_CALLS = re.compile(
  r'\b(?:body|condition|calls|to_apply|true_computation|false_computation)'
  r'=%?([\w.-]+)'
)
_BRANCHES = re.compile(r'\bbranch_computations=\{([^}]*)\}')
_HEAVY = ('convolution', 'dot', *KINDS)
_BITS = re.compile(r'(\d+)')


class Array(NamedTuple):
  """A type as the text has it.

  Attributes:
    dtype: such as 'f32', 'bf16', 'u8', 'pred'.
    shape: of a device's share.
    minor: axes, that of neighbours in memory first; () if not said.
    tile: of the last two axes in memory, (8, 128); () for none.
    space: where it lies: 0 the device's memory, 1 on a TPU's chip (VMEM), and
      others.
  """

  dtype: str
  shape: tuple[int, ...]
  minor: tuple[int, ...] = ()
  tile: tuple[int, ...] = ()
  space: int = 0

  @property
  def bytes(self) -> float:
    """Without padding."""
    return math.prod(self.shape) * _width(self.dtype)

  @property
  def padded(self) -> float:
    """Bytes with each tile filled up."""
    shape = [self.shape[axis] for axis in self.minor or range(len(self.shape))]
    for place, side in enumerate(reversed(self.tile)):
      if place < len(shape):
        shape[place] = -(-shape[place] // side) * side
    return math.prod(shape) * _width(self.dtype)


def _width(dtype: str) -> float:
  """Bytes of an element."""
  bits = _BITS.search(dtype)
  return int(bits[1]) / 8 if bits else (0 if dtype == 'token' else 1)


def arrays(text: str) -> list[Array]:
  """The arrays of a type: one, or those of a tuple."""
  found = []
  for dtype, dims, layout in _ARRAY.findall(text):
    order, _, rest = layout.partition(':')
    tile = re.search(r'T\(([\d,]+)\)', rest)
    space = re.search(r'S\((\d+)\)', rest)
    shape = tuple(int(d.lstrip('<=')) for d in dims.split(',') if d)
    minor = tuple(int(d) for d in order.split(',') if d)
    sides = tuple(map(int, tile[1].split(','))) if tile else ()
    lies = int(space[1]) if space else 0
    found.append(Array(dtype, shape, minor, sides, lies))
  return found


class Total(NamedTuple):
  """Collectives of a kind: how many, and the bytes of a device's results."""

  count: int
  bytes: int


def collectives(text: str) -> dict[str, Total]:
  """The collectives of a compiled step by kind, as `KINDS` has them.

  Those inside a loop are counted once. XLA puts small ones together, so that
  many arrays may pass in one.
  """
  found = {}
  for kind, made in _results(text):
    count, size = found.get(kind, (0, 0))
    found[kind] = Total(count + 1, size + int(sum(a.bytes for a in made)))
  return {kind: found[kind] for kind in KINDS if kind in found}


def _results(text: str) -> Iterator[tuple[str, list[Array]]]:
  for line in text.splitlines():
    match = _COLLECTIVE.search(line)
    if match:
      kind, made = match[2], arrays(match[1])
      yield kind, to_come(kind, made) if match[3] else made


def to_come(kind: str, made: list[Array]) -> list[Array]:
  """What a collective gives in the end, of what its start gives.

  The start of most gives (operands, results), and some numbers.
  """
  if kind == 'all-reduce':
    return made
  made = [array for array in made if array.shape]
  return made[len(made) // 2 :]


class Instruction(NamedTuple):
  """A line of a computation.

  Attributes:
    result: its arrays.
    operation: such as 'fusion', 'copy-start'.
    operands: names; of a parameter, its number.
    called: computations that it runs, by name.
  """

  result: list[Array]
  operation: str
  operands: list[str]
  called: list[str]


Computation = dict[str, Instruction]


def parse(text: str) -> tuple[dict[str, Computation], str]:
  """The computations by name, and the name of the one that is run."""
  computations, entry, inside = {}, '', {}
  for line in text.splitlines():
    if begins := _COMPUTATION.match(line):
      inside = computations[begins[2]] = {}
      entry = begins[2] if begins[1] else entry
    elif made := _INSTRUCTION.match(line):
      inside[made[1]] = _instruction(made[2])
  return computations, entry


def _instruction(text: str) -> Instruction:
  """Of what follows the equals sign."""
  kind, rest = _split(_COMMENT.sub('', text))
  operation = _OPERATION.match(rest)
  if not operation:
    return Instruction(arrays(kind), '', [], [])
  inner, attributes = _split(rest[operation.end() - 1 :])
  words = [word.strip().split(' ')[-1] for word in inner[1:-1].split(',')]
  operands = [m[1] for m in map(_NAME.match, words) if m]
  attributes = attributes.partition(', metadata=')[0]
  called = _CALLS.findall(attributes)
  for names in _BRANCHES.findall(attributes):
    called += [name.strip().lstrip('%') for name in names.split(',')]
  return Instruction(arrays(kind), operation[1], operands, called)


def _split(text: str) -> tuple[str, str]:
  """A text's first word or bracketed group, and the rest."""
  if not text.startswith('('):
    word, space, rest = text.partition(' ')
    return word, space + rest
  depth = 0
  for place, letter in enumerate(text):
    depth += (letter == '(') - (letter == ')')
    if not depth:
      return text[: place + 1], text[place + 1 :]
  return text, ''


def loops(text: str) -> int:
  """Loops with convolutions, products or collectives inside.

  Compilers count their operations as those of one round, as `collectives` does.
  Loops that XLA makes itself, of gathers, have none.
  """
  computations, _ = parse(text)
  heavy = {}

  def is_heavy(name: str) -> bool:
    if name not in heavy:
      heavy[name] = False
      heavy[name] = any(
        line.operation.removesuffix('-start') in _HEAVY
        or any(map(is_heavy, line.called))
        for line in computations.get(name, {}).values()
      )
    return heavy[name]

  return sum(
    any(map(is_heavy, line.called))
    for inside in computations.values()
    for line in inside.values()
    if line.operation == 'while'
  )


def padding(text: str) -> float:
  """The share of what convolutions and products give that is padding, 0 to 1.

  On a TPU an array lies in tiles of 8 by 128: features or pictures fill 128
  lanes, whichever wastes less. 0 where the text has no tiles.
  """
  made = [a for line in _CONVOLUTION.findall(text) for a in arrays(line)]
  whole = sum(a.padded for a in made)
  return 1 - sum(a.bytes for a in made) / whole if whole else 0.0
