"""Ways to damage bytes and values."""

import json
import random

_WORDS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1)


def damaged(draw: random.Random, content: bytes, other: bytes = b'') -> bytes:
  """The bytes after one to three changes of a kind that files suffer.

  Args:
    draw: what decides.
    content: of a good file.
    other: of another one, to splice with.
  """
  for _ in range(draw.choice((1, 1, 1, 2, 3))):
    content = draw.choice(_WAYS)(draw, content, other)
  return content


def _flip(draw, x, other):
  x = bytearray(x or b'\0')
  for _ in range(draw.choice((1, 1, 4, 30))):
    x[draw.randrange(len(x))] ^= 1 << draw.randrange(8)
  return bytes(x)


def _cut(draw, x, other):
  return x[: draw.randrange(len(x) + 1)]


def _behead(draw, x, other):
  return x[draw.randrange(len(x) + 1) :]


def _remove(draw, x, other):
  a, b = sorted(draw.randrange(len(x) + 1) for _ in range(2))
  return x[:a] + x[b:]


def _repeat(draw, x, other):
  a, b = sorted(draw.randrange(len(x) + 1) for _ in range(2))
  return x[:b] + x[a:b] * draw.choice((1, 2, 50)) + x[b:]


def _insert(draw, x, other):
  a = draw.randrange(len(x) + 1)
  return x[:a] + draw.randbytes(draw.choice((1, 4, 64))) + x[a:]


def _zero(draw, x, other):
  a, b = sorted(draw.randrange(len(x) + 1) for _ in range(2))
  return x[:a] + draw.choice((b'\0', b'\xff')) * (b - a) + x[b:]


def _splice(draw, x, other):
  return (
    x[: draw.randrange(len(x) + 1)] + other[draw.randrange(len(other) + 1) :]
  )


def _word(draw, x, other):
  """A number in it becomes a telling one: sizes, counts, offsets."""
  width = draw.choice((1, 2, 4, 8))
  value = draw.choice(_WORDS) % 256**width
  at = draw.randrange(max(1, min(len(x), 200)))  # headers come first
  if draw.random() < 0.3:
    at = draw.randrange(len(x) + 1)
  number = value.to_bytes(width, draw.choice(('little', 'big')))
  return x[:at] + number + x[at + width :]


def _junk(draw, x, other):
  return draw.choice(
    (b'', b'\0', b'\n', draw.randbytes(100), b'{}', b'[]', b'null', b'<html>')
  )


_WAYS = (
  *(_flip,) * 3,
  *(_word,) * 4,
  *(_cut,) * 2,
  _behead,
  _remove,
  _repeat,
  _insert,
  _zero,
  _splice,
  _junk,
)

_VALUES = (
  None,
  True,
  0,
  -1,
  3.5,
  1e400,
  float('nan'),
  10**30,
  '',
  'x',
  [],
  {},
  [[]],
  [None],
  {'step': 1},
  'ä' * 300,
)


def damaged_json(draw: random.Random, text: str) -> bytes:
  """A JSON text after a change: of its bytes, or of a value in it."""
  try:
    value = json.loads(text)
  except ValueError:  # damaged before
    value = None
  if value is None or draw.random() < 0.5:
    return damaged(draw, text.encode())
  value = _replaced(draw, value)
  return json.dumps(value).encode(draw.choice(('utf-8', 'utf-8', 'utf-16')))


def _replaced(draw, value):
  """The value with something in it replaced, removed or added."""
  if isinstance(value, dict) and value and draw.random() < 0.85:
    key = draw.choice(sorted(value))
    changed = dict(value)
    if draw.random() < 0.2:
      del changed[key]
    else:
      changed[key] = _replaced(draw, value[key])
    return changed
  if isinstance(value, list) and value and draw.random() < 0.7:
    k = draw.randrange(len(value))
    return [*value[:k], _replaced(draw, value[k]), *value[k + 1 :]]
  return draw.choice(_VALUES)
