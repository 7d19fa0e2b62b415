"""Tables of which form a convolution takes: measured, a machine each.

The same sums can be had in several ways (conv_forms.py), and which is fastest
differs from one processor to the next. A table has the fastest form of some
layers on one machine, as tune.py measures it; a layer takes the form of the one
most like it, and where none is like it, of none, and rules decide.

New runs take this machine's table: the user's own, which --mode=tune puts into
the cache folder, else one that comes with the package, on a CPU without one
that of the nearest. Forms differ in the last digits, so a run notes what it
began with and goes on with that.
"""

import functools
import hashlib
import json
import logging
import math
import pathlib
import re
from typing import Any, NamedTuple

import jax

from gan_jax import paths

log = logging.getLogger('gan_jax')

PACKAGED = pathlib.Path(__file__).with_name('tables')
LIKE = 3.0  # factors of two, in all, that a layer may differ from a row


class Layer(NamedTuple):
  """What decides a form, of one map of a convolution.

  Attributes:
    kind: which map, 'y', 'x' or 'k'.
    window: height and width of the kernel.
    stride: step of the window.
    kernel: the order of the kernel's dimensions.
    batch: images.
    area: positions of an output.
    inputs: channels of the input.
    outputs: channels of the output.
  """

  kind: str
  window: tuple[int, int]
  stride: int
  kernel: str
  batch: int
  area: int
  inputs: int
  outputs: int


class Table(NamedTuple):
  """The forms of some layers on a machine.

  Attributes:
    machine: see `machine_of`.
    jax: the version that it was measured with.
    rows: (layer, name of the form) each.
  """

  machine: str
  jax: str
  rows: tuple[tuple[Layer, str], ...]


@functools.lru_cache(maxsize=4096)
def like(table: Table, layer: Layer) -> str | None:
  """The form of the layer most like another; None if none is like it."""
  far = lambda row: sum(
    abs(math.log2(a / b)) for a, b in zip(row[0][4:], layer[4:], strict=True)
  )
  same = [row for row in table.rows if row[0][:4] == layer[:4]]
  best = min(same, key=far, default=None)
  return best[1] if best and far(best) <= LIKE else None


# Machines and their tables.


def machine_of(platform: str) -> str:
  """What this machine's table is called, such as 'cpu-amd-avx512'.

  Args:
    platform: as JAX names it: 'cpu', 'gpu'.
  """
  words = [platform]
  if platform == 'cpu':
    try:
      text = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
      text = ''
    makes = {'AuthenticAMD': 'amd', 'GenuineIntel': 'intel'}
    words += [name for vendor, name in makes.items() if vendor in text]
    flags = re.search(r'^flags\s*:(.*)$', text, re.MULTILINE)
    has = flags[1].split() if flags else ()
    widths = {'avx512f': 'avx512', 'avx2': 'avx2'}
    words += [name for flag, name in widths.items() if flag in has][:1]
  else:
    words.append(jax.devices(platform)[0].device_kind.lower())
  return re.sub('[^a-z0-9-]+', '-', '-'.join(words))


def file_of(machine: str, version: str = jax.__version__) -> str:
  """The name of a table's file: its machine's, and a minor version of JAX."""
  return f'{machine}-jax{_minor(version)}.json'


def _minor(version: str) -> str:
  """'0.10' of '0.10.1'."""
  return '.'.join(version.split('.')[:2])


def own(platform: str) -> pathlib.Path:
  """Where this machine's own table lies, once it has been measured."""
  return paths.cache('convolutions') / file_of(machine_of(platform))


@functools.cache
def here(platform: str) -> Table | None:
  """The table of new runs on this machine; None: rules decide."""
  mine = own(platform)
  return read(mine) or read(PACKAGED / mine.name) or _nearest(platform)


def _nearest(platform: str) -> Table | None:
  """Of a CPU without a table, that of the packaged one most like it.

  That is one with vectors as wide, else one of the same make, else any: what
  a layer's sums cost differs less between CPUs than between its forms.
  """
  if platform != 'cpu':
    return None
  words = machine_of(platform).split('-')
  found = [read(file) for file in sorted(PACKAGED.glob('cpu-*.json'))]
  shared = lambda table: [
    word in words for word in reversed(table.machine.split('-'))
  ]
  return max(filter(None, found), key=shared, default=None)


def read(file: pathlib.Path) -> Table | None:
  """The table of a file, if there is one for this version of JAX."""
  try:
    table = from_json(loaded(file))
  except FileNotFoundError:
    return None
  except (OSError, ValueError, RecursionError) as error:
    log.warning('%s is no table of convolutions (%s): left out.', file, error)
    return None
  return table if _minor(table.jax) == _minor(jax.__version__) else None


def loaded(file: pathlib.Path) -> Any:
  """What a JSON file holds.

  Raises:
    OSError: if it cannot be read.
    ValueError: if it holds none.
  """
  return json.loads(file.read_text(encoding='utf-8'))


def text_of(table: Table) -> str:
  """What a table's file holds: JSON, a row a line."""
  values = to_json(table)
  rows = ',\n'.join(json.dumps(row) for row in values.pop('rows'))
  return f'{json.dumps(values)[:-1]}, "rows": [\n{rows}\n]}}\n'


def to_json(table: Table) -> dict[str, Any]:
  """A table as JSON has it; `from_json` takes it back."""
  rows = [
    [layer.kind, list(layer.window), *layer[2:], form]
    for layer, form in table.rows
  ]
  return {'machine': table.machine, 'jax': table.jax, 'rows': rows}


def from_json(values: Any) -> Table:
  """See `to_json`.

  Raises:
    ValueError: if that is none.
  """
  try:
    rows = []
    if not (isinstance(values, dict) and isinstance(values['rows'], list)):
      raise ValueError('no rows')
    for kind, (height, width), *sizes, form in values['rows']:
      stride, kernel, *numbers = sizes
      layer = Layer(kind, (height, width), stride, kernel, *numbers)
      texts, sizes = (kind, kernel, form), (height, width, stride, *numbers)
      if not all(type(x) is str for x in texts):
        raise ValueError(f'not texts: {texts}')
      if not all(type(n) is int and n > 0 for n in sizes):
        raise ValueError(f'not sizes: {sizes}')
      rows.append((layer, form))
    machine, version = values['machine'], values['jax']
    if not all(type(x) is str for x in (machine, version)):
      raise ValueError('no machine or no version')
    return Table(machine, version, tuple(rows))
  except (KeyError, TypeError) as error:
    raise ValueError(f'{type(error).__name__}: {error}') from None


# The tables that convolutions are traced with.

_KNOWN: dict[str, dict[str, Table]] = {'': {}}
_used: str | None = None


def use(tables: dict[str, Table] | None) -> None:
  """From now on convolutions take their forms from these.

  Args:
    tables: by platform; None: those `at_hand`.
  """
  global _used
  _used = None if tables is None else register(tables)


def register(tables: dict[str, Table]) -> str:
  """The name under which `chosen` finds tables by platform; '' for none."""
  if not tables:
    return ''
  text = json.dumps({name: to_json(t) for name, t in sorted(tables.items())})
  name = hashlib.sha256(text.encode()).hexdigest()[:16]
  _KNOWN[name] = dict(tables)
  return name


def at_hand() -> dict[str, Table]:
  """This machine's tables by platform."""
  platform = jax.default_backend()
  table = here(platform)
  return {platform: table} if table else {}


def used() -> str:
  """The name of the tables in use: those given to `use`, else `at_hand`."""
  return _by_default() if _used is None else _used


@functools.cache
def _by_default() -> str:
  return register(at_hand())


def forget() -> None:
  """This machine's tables are looked up anew, after one has been written."""
  here.cache_clear()
  _by_default.cache_clear()


def chosen(tables: str, platform: str, layer: Layer) -> str | None:
  """The form that tables have for a layer on a platform, or None."""
  table = _KNOWN[tables].get(platform)
  return like(table, layer) if table else None
