"""Which form of a convolution is fastest on this machine: `--mode=tune`.

Each map of some layers of all networks is timed in every form that gives it, in
turns, and the table goes into the cache folder, where new runs find it; see
nn/conv_tables.py. Runs that have begun go on with what they began with.
"""

import concurrent.futures
import contextlib
import functools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import paths
from gan_jax.errors import UserError
from gan_jax.nn import conv_forms, conv_plain, conv_tables
from gan_jax.run.progress import spoken
from gan_jax.run.write import make_folder, whole

log = logging.getLogger('gan_jax')

ROUNDS = 3  # of timing, at the most
PATIENCE = 0.2  # seconds of one form
HOPELESS = 2.0  # times as slow as another: once is enough
GAIN = 0.95  # of the time of the form by rule: what a change must save
BUSY = 0.5  # load from where times are in doubt


class Layer(NamedTuple):
  """A layer of a network: sizes as in `conv` or `conv_transpose`."""

  net: str
  op: str
  batch: int
  size: int
  cin: int
  cout: int
  window: int
  stride: int
  pad: int

  def __str__(self) -> str:
    """A row's title."""
    return (
      f'{self.net:9} {self.op:6} {self.batch:2}x{self.size}^2x{self.cin}'
      f'->{self.cout} {self.window}x{self.window} s{self.stride}'
    )


def _layers(net: str, batch: int, *rows: tuple) -> list[Layer]:
  return [Layer(net, op, batch, *sizes) for op, *sizes in rows]


LAYERS = [
  *_layers(
    'dcgan',
    16,
    ('conv_t', 1, 100, 1024, 4, 1, 0),
    ('conv_t', 4, 1024, 512, 4, 2, 1),
    ('conv_t', 8, 512, 256, 4, 2, 1),
    ('conv_t', 16, 256, 128, 4, 2, 1),
    ('conv_t', 32, 128, 3, 4, 2, 1),
    ('conv', 64, 3, 128, 4, 2, 1),
    ('conv', 32, 128, 256, 4, 2, 1),
    ('conv', 16, 256, 512, 4, 2, 1),
    ('conv', 8, 512, 1024, 4, 2, 1),
    ('conv', 4, 1024, 1, 4, 1, 0),
  ),
  *_layers('dcgan', 32, ('conv_t', 16, 256, 128, 4, 2, 1)),
  *_layers(
    'fastgan',
    8,
    ('conv_t', 1, 256, 1024, 4, 1, 0),
    ('conv', 8, 512, 1024, 3, 1, 1),
    ('conv', 32, 256, 256, 3, 1, 1),
    ('conv', 128, 64, 128, 3, 1, 1),
    ('conv', 256, 32, 3, 3, 1, 1),
    ('conv', 256, 3, 32, 4, 2, 1),
    ('conv', 128, 32, 64, 4, 2, 1),
    ('conv', 32, 128, 256, 1, 1, 0),
  ),
  *_layers(
    'progan',
    16,
    ('conv', 4, 513, 512, 3, 1, 1),
    ('conv', 16, 512, 512, 3, 1, 1),
    ('conv', 64, 128, 128, 3, 1, 1),
    ('conv', 128, 64, 64, 3, 1, 1),
    ('conv', 128, 64, 3, 1, 1, 0),
    ('conv', 128, 3, 64, 1, 1, 0),
  ),
  *_layers(
    'stylegan2',
    4,
    ('conv_t', 16, 512, 512, 3, 2, 0),
    ('conv_t', 128, 128, 64, 3, 2, 0),
    ('conv', 257, 64, 128, 3, 2, 0),
    ('conv', 33, 512, 512, 3, 2, 0),
    ('conv', 32, 512, 512, 3, 1, 1),
    ('conv', 64, 256, 256, 3, 1, 1),
    ('conv', 256, 64, 64, 3, 1, 1),
    ('conv', 256, 64, 3, 1, 1, 0),
  ),
  *_layers(
    'dcgan32',
    64,
    ('conv_t', 4, 256, 128, 4, 2, 1),
    ('conv_t', 8, 128, 64, 4, 2, 1),
    ('conv_t', 16, 64, 3, 4, 2, 1),
    ('conv', 32, 3, 64, 4, 2, 1),
    ('conv', 16, 64, 128, 4, 2, 1),
    ('conv', 8, 128, 256, 4, 2, 1),
  ),
]


def geometry_of(layer: Layer) -> conv_plain.Geometry:
  """Its sizes; of a transposed convolution those of its adjoint."""
  size, window = layer.size, (layer.window,) * 2
  if layer.op == 'conv_t':
    size = (size - 1) * layer.stride - 2 * layer.pad + layer.window
  order = 'HWIO' if layer.op == 'conv' else 'HWOI'
  pads = ((layer.pad,) * 2,) * 2
  precise = jax.config.jax_default_matmul_precision
  return conv_plain.Geometry(
    (size, size), window, layer.stride, pads, precise, order
  )


def operands_of(layer: Layer) -> dict[str, jax.Array]:
  """Random images x, kernel k and output y of the convolution."""
  geo, rng = geometry_of(layer), np.random.default_rng(0)
  ci, co = layer.cin, layer.cout
  if layer.op == 'conv_t':  # its input is the adjoint's output
    ci, co = co, ci
  shapes = conv_plain.shapes_of(geo, layer.batch, ci, co)
  return {
    name: jnp.asarray(rng.standard_normal(shape, dtype=np.float32))
    for name, shape in shapes.items()
  }


class Timed(NamedTuple):
  """A map and the seconds of its forms.

  Attributes:
    layer: as tables have it.
    rule: the form that rules name.
    seconds: median by form.
  """

  layer: conv_tables.Layer
  rule: str
  seconds: dict[str, float]

  @property
  def best(self) -> str:
    """The form to take: that by rule, unless another saves enough."""
    fastest = min(self.seconds, key=self.seconds.get)
    enough = self.seconds[fastest] < GAIN * self.seconds[self.rule]
    return fastest if enough else self.rule


def timed(layer: Layer, platform: str) -> list[Timed]:
  """The three maps of a layer in all their forms."""
  geo, arrays = geometry_of(layer), operands_of(layer)
  given, names = {}, {}
  for kind, (one, other) in conv_plain.OPERANDS.items():
    given[kind] = a, b, _ = arrays[one], arrays[other], arrays[kind]
    names[kind] = conv_forms.candidates(kind, a, b, geo, platform)

  def compiled(kind: str, name: str) -> Callable:
    step = functools.partial(_used, conv_forms.FORMS[kind][name].make, geo)
    return functools.partial(
      jax.jit(step).lower(*given[kind]).compile(), *given[kind]
    )

  # Half of all time, were it not side by side; what is timed runs alone.
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    waiting = {
      kind: {name: pool.submit(compiled, kind, name) for name in names[kind]}
      for kind in given
    }
  return [
    Timed(
      conv_forms.layer_of(kind, a, b, geo),
      conv_forms.by_rule(kind, a, b, geo, platform),
      medians({name: one.result() for name, one in waiting[kind].items()}),
    )
    for kind, (a, b, _) in given.items()
  ]


def _used(make: Callable, geo: conv_plain.Geometry, a, b, moment):
  """A map and what comes after it in a step.

  A form may leave its result in an order in memory that those who read it pay
  for. A kernel's gradient is read by an optimiser, a map of images by what has
  a branch for each sign.
  """
  made = make(a, b, geo=geo)
  first = 0.5 * moment + 0.5 * made
  return first, moment + jnp.where(made > 0, made, 0.2 * made) ** 2


def medians(calls: dict[str, Callable]) -> dict[str, float]:
  """Median seconds of calls that take turns; of hopeless ones, of one call."""

  def once(call: Callable) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start

  taken = {name: [once(call)] for name, call in calls.items()}

  def within(times: float) -> list[str]:
    limit = times * min(seconds[0] for seconds in taken.values())
    return [name for name in calls if taken[name][0] <= limit]

  # First calls pay for memory: they rule out the worst alone, and do not count.
  for name in within(2 * HOPELESS):
    taken[name] = [once(calls[name])]
  kept = within(HOPELESS)
  for _ in range(ROUNDS):
    for name in kept:
      if sum(taken[name]) < PATIENCE:
        taken[name].append(once(calls[name]))
  return {name: statistics.median(seconds) for name, seconds in taken.items()}


def table_of(found: Iterable[Timed], machine: str) -> conv_tables.Table:
  """The table that measurements make."""
  rows = {one.layer: one.best for one in found}
  return conv_tables.Table(machine, jax.__version__, tuple(rows.items()))


def tune(file=None, layers: Iterable[Layer] = LAYERS) -> conv_tables.Table:
  """Measures this machine and writes its table.

  Args:
    file: where to; None: to the cache folder, for new runs.
    layers: those to measure.

  Raises:
    UserError: if there is nothing to choose from on this kind of device, or
      the file cannot be written.
  """
  platform, start = jax.default_backend(), time.perf_counter()
  if platform not in ('cpu', 'gpu'):
    raise UserError(
      f'--mode=tune: on a {platform.upper()} convolutions have one form, XLA'
      "'s: there is nothing to choose."
    )
  file = file or conv_tables.own(platform)
  with _writing(file), tempfile.TemporaryFile(dir=file.parent):
    _check_idle(platform)  # it can be written: minutes are not lost
  found = []
  for layer in layers:
    if layer.op == 'conv_t' and layer.size == 1:
      continue  # a product: see conv.conv_transpose
    found += timed(layer, platform)
    log.info('%s', layer)
    for one in found[-3:]:
      log.info('  %s', _words(one))
  table = table_of(found, conv_tables.machine_of(platform))
  with _writing(file), whole(file) as scratch:
    scratch.write_text(conv_tables.text_of(table), encoding='utf-8')
  conv_tables.forget()
  log.info('%s', _sum(found))
  log.info(
    'Measured in %s: %s. Runs that begin from now on take it.',
    spoken(time.perf_counter() - start),
    paths.absolute(file),
  )
  return table


@contextlib.contextmanager
def _writing(file):
  """Makes the folder of a file that is written in the block.

  Raises:
    UserError: if the system refuses.
  """
  try:
    make_folder(file.parent)
    yield
  except OSError as error:
    raise UserError(
      f'{file} cannot be written ({error.strerror}): name another folder by the'
      ' environment variable GAN_JAX_CONVOLUTIONS.'
    ) from None


def _check_idle(platform: str) -> None:
  """Warns where what is measured is not this machine alone."""
  load = os.getloadavg()[0]
  if platform == 'cpu' and load > BUSY:
    log.warning(
      'Something else is running (a load of %.1f): what is measured now may be'
      ' wrong; run this again when the machine is idle.',
      load,
    )


def _words(one: Timed) -> str:
  """A map's forms, the one that is taken first."""
  rest = sorted(set(one.seconds) - {one.best}, key=one.seconds.get)
  words = [
    f'{name} {1e3 * one.seconds[name]:.2f}' for name in (one.best, *rest)
  ]
  return f'{one.layer.kind}  {", ".join(words)} ms'


def _sum(found: list[Timed]) -> str:
  """What the table changes, in a sentence."""
  other = [one for one in found if one.best != one.rule]
  before, after = (
    sum(one.seconds[pick(one)] for one in found)
    for pick in (lambda one: one.rule, lambda one: one.best)
  )
  return (
    f'{len(other)} of {len(found)} maps take another form than by rule; all of'
    f' them together take {1e3 * after:.0f} ms in place of {1e3 * before:.0f}.'
  )
