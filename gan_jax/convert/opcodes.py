"""Runs a pickle's opcodes on plain data, within bounds.

Python's own unpickler calls what a pickle names, and takes what a pickle asks
for: nine bytes make it lay out a memo of gigabytes, forty make it hash a tuple
of 2**30 leaves. Here every opcode costs one step out of a budget, whatever is
copied costs its size, and what serves as a key is no more than a word or a
number, or a few. The opcodes themselves are read by `pickletools`.
"""

import pickletools
from typing import Any

from gan_jax import limits

_LONGEST_KEY = 4096  # characters
_WIDEST_KEY = 16  # entries of a tuple
_SCALARS = (str, bytes, int, float, bool, type(None))
# Opcodes that put their argument on the stack.
_PLAIN = frozenset(
  'INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING'
  ' SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE'
  ' SHORT_BINUNICODE BINUNICODE BINUNICODE8'.split()
)
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_EMPTY = {'EMPTY_LIST': list, 'EMPTY_DICT': dict, 'EMPTY_SET': list}
_EMPTY['EMPTY_TUPLE'] = tuple
_MARK = object()


class Bounded:
  """A file that is asked for no more than it has.

  Args:
    file: open for reading; from where it stands to its end is read.
  """

  def __init__(self, file):
    here = file.tell()
    self.size = file.seek(0, 2)
    file.seek(here)
    self._file = file
    self.readline, self.tell = file.readline, file.tell

  def read(self, n: int) -> bytes:
    """So many bytes; ValueError if there are fewer."""
    if n > self.size - self.tell():
      raise ValueError(f'it announces {n:,} more bytes than it has')
    return self._file.read(n)


class Budget:
  """What a file's pickles may cost, all of them together.

  Attributes:
    steps: opcodes, and entries of containers that are copied.
    copies: bytes and characters that are copied.

  Args:
    size: of the file, in bytes.
  """

  def __init__(self, size: int):
    self.steps = limits.RECORDS
    self.copies = 2 * size + limits.MIB

  def step(self, count: int = 1) -> None:
    """Takes some steps; ValueError if there are none left."""
    self.steps -= count
    if self.steps < 0:
      raise ValueError(f'it has more than {limits.RECORDS:,} instructions')

  def copy(self, value) -> None:
    """Makes room for a copy of a value and, of a container, its entries."""
    if isinstance(value, str | bytes):
      self.copies -= len(value)
      if self.copies < 0:
        raise ValueError('it unpacks to several times its size')
    elif isinstance(value, tuple | list | dict):
      self.step(len(value))


class Machine:
  """The stack machine that pickles are programs of.

  What a pickle names is asked of `find`, which refuses or gives a function that
  keeps its arguments as data. Sets become lists: nothing here needs them.

  Args:
    file: a `Bounded` one, or one in memory; a pickle is read, and no more.
    budget: what is left of it.
  """

  def __init__(self, file, budget: Budget):
    self._file = file
    self.budget = budget
    self._stack: list[Any] = []
    self._memo: dict[int, Any] = {}

  def find(self, module: str, name: str):
    """What stands for a global."""
    raise NotImplementedError

  def persistent(self, pid):
    """What stands for a persistent id."""
    raise NotImplementedError

  def load(self):
    """The value of the pickle.

    Raises:
      ValueError: it is damaged, beyond the budget, or wants what no pickle of
        arrays wants.
    """
    for opcode, arg, _ in pickletools.genops(self._file):
      self.budget.step()
      name = opcode.name
      if name == 'STOP':
        return self._take()
      if name in _PLAIN:
        self._stack.append(_checked(arg))
      elif name in _CONSTANTS:
        self._stack.append(_CONSTANTS[name])
      elif name in _EMPTY:
        self._stack.append(_EMPTY[name]())
      elif name in _TUPLES:
        count = _TUPLES[name]
        self._stack.append(tuple(self._take() for _ in range(count))[::-1])
      else:
        action = getattr(self, f'_{name.lower()}', None)
        if action is None:
          raise ValueError(f'it has the instruction {name}')
        action(arg)
    raise ValueError('it has no end')

  def _take(self):
    if not self._stack or self._stack[-1] is _MARK:
      raise ValueError('an instruction of it lacks a value')
    return self._stack.pop()

  def _since_mark(self) -> list:
    """Everything above the last mark, in its order."""
    found = []
    while self._stack:
      value = self._stack.pop()
      if value is _MARK:
        return found[::-1]
      found.append(value)
    raise ValueError('it lacks a mark')

  def _top(self, kind: type):
    if not self._stack or not isinstance(self._stack[-1], kind):
      raise ValueError(f'an instruction of it lacks a {kind.__name__}')
    return self._stack[-1]

  def _mark(self, _):
    self._stack.append(_MARK)

  def _pop(self, _):
    if not self._stack:
      raise ValueError('an instruction of it lacks a value')
    self._stack.pop()

  def _pop_mark(self, _):
    self._since_mark()

  def _dup(self, _):
    self._stack.append(self._top(object))

  def _proto(self, _):
    pass

  _frame = _proto  # its length is only of use to who reads ahead

  def _put(self, place):
    self._memo[place] = self._top(object)

  _binput = _long_binput = _put

  def _memoize(self, _):
    self._put(len(self._memo))

  def _get(self, place):
    if place not in self._memo:
      raise ValueError('it asks for what it has not stored')
    self._stack.append(self._memo[place])

  _binget = _long_binget = _get

  def _tuple(self, _):
    self._stack.append(tuple(self._since_mark()))

  def _list(self, _):
    self._stack.append(self._since_mark())

  _frozenset = _list

  def _append(self, _):
    value = self._take()
    self._top(list).append(value)

  def _appends(self, _):
    values = self._since_mark()
    self._top(list).extend(values)

  _additems = _appends

  def _dict(self, _):
    values = self._since_mark()
    self._stack.append({})
    self._set(values)

  def _setitem(self, _):
    value, key = self._take(), self._take()
    self._set([key, value])

  def _setitems(self, _):
    self._set(self._since_mark())

  def _set(self, values):
    mapping = self._top(dict)
    for key, value in zip(values[::2], values[1::2], strict=True):
      mapping[checked_key(key)] = value

  def _global(self, arg):
    module, _, name = arg.partition(' ')
    self._stack.append(self.find(module, name))

  def _stack_global(self, _):
    name, module = self._take(), self._take()
    if not isinstance(name, str) or not isinstance(module, str):
      raise ValueError('it names something by what is no name')
    self._stack.append(self.find(module, name))

  def _inst(self, arg):
    self._global(arg)  # most are refused by their names
    raise ValueError('it makes an instance of a class')

  def _reduce(self, _):
    args, function = self._take(), self._take()
    if not callable(function) or not isinstance(args, tuple):
      raise ValueError('it calls what is no function')
    self.budget.step(len(args))
    for arg in args:
      self.budget.copy(arg)
    self._stack.append(function(*args))

  _newobj = _reduce  # a class stands there as what makes its stand-in

  def _build(self, _):
    state = self._take()
    self.budget.copy(state)
    target = self._top(object)
    if not hasattr(target, 'restore'):
      raise ValueError('it changes what it has named')
    target.restore(state)

  def _persid(self, arg):
    self._stack.append(self.persistent(arg))

  def _binpersid(self, _):
    pid = self._take()
    self.budget.copy(pid)
    self._stack.append(self.persistent(pid))


def _checked(value):
  """A number or text as it is, a bytearray as bytes."""
  if isinstance(value, int) and value.bit_length() > 8 * limits.INTEGER:
    raise ValueError(f'a number of it has more than {limits.INTEGER} bytes')
  return bytes(value) if isinstance(value, bytearray) else value


def checked_key(value):
  """A value that may be a key of a dictionary.

  To hash what is nested may take for ever, or overflow the stack.

  Raises:
    ValueError: it is no word, number, or tuple of a few.
  """
  parts = value if isinstance(value, tuple) else (value,)
  if len(parts) > _WIDEST_KEY or not all(
    isinstance(part, _SCALARS)
    and not (isinstance(part, str | bytes) and len(part) > _LONGEST_KEY)
    for part in parts
  ):
    raise ValueError('a key of a dictionary in it is no word or number')
  return value
