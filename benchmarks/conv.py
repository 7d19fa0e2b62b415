"""Speed of `gan_jax.nn.conv` beside plain XLA and PyTorch, layer by layer.

  python benchmarks/conv.py [--quick] [--only PATTERN] [--repeats 7] [--write]

--write measures this machine's table of forms first, as --mode=tune does, and
puts it into the package: gan_jax/nn/tables/.

For the convolutions of four networks it prints milliseconds and GFLOP/s of the
forward pass, the input gradient and the kernel gradient: by
`lax.conv_general_dilated` and its derivatives, by ours, and by PyTorch where it
is installed (`pip install torch`; its defaults, NCHW and all cores). The
implementations take turns within one run and each time is a median. PyTorch's
threads spin while they wait: run this on an idle machine, whose load is
printed. The last line is JSON; its figures are speeds, ours over theirs.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.nn import conv as conv_lib
from gan_jax.nn import conv_tables
from gan_jax.run.memory import restart_with_huge_pages
from gan_jax.tune import LAYERS, Layer, tune

try:
  import torch
except ImportError:
  torch = None

MAPS = ('forward', 'input', 'kernel')


QUICK = (3, 5, 6, 20)


def _plain(layer: Layer, x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The layer as `lax.conv_general_dilated` alone."""
  dims = ('NHWC', 'HWIO', 'NHWC')
  if layer.op == 'conv':
    return lax.conv_general_dilated(
      x,
      kernel,
      (layer.stride,) * 2,
      ((layer.pad, layer.pad),) * 2,
      dimension_numbers=dims,
    )
  edge = layer.window - 1 - layer.pad
  return lax.conv_general_dilated(
    x,
    kernel[::-1, ::-1],
    (1, 1),
    ((edge, edge),) * 2,
    lhs_dilation=(layer.stride,) * 2,
    dimension_numbers=dims,
  )


def _ours(layer: Layer, x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The layer by `gan_jax.nn.conv`."""
  op = conv_lib.conv if layer.op == 'conv' else conv_lib.conv_transpose
  return op(x, kernel, layer.stride, layer.pad)


def jax_calls(
  function: Callable, layer: Layer, x: np.ndarray, k: np.ndarray, y: np.ndarray
) -> dict[str, Callable]:
  """Compiled forward, input gradient and kernel gradient, without arguments."""

  def apply(x: jax.Array, k: jax.Array) -> jax.Array:
    return function(layer, x, k)

  x, k, y = map(jnp.asarray, (x, k, y))
  maps = {
    'forward': (apply, (x, k)),
    'input': (
      lambda k, y: jax.linear_transpose(lambda x: apply(x, k), x)(y)[0],
      (k, y),
    ),
    'kernel': (
      lambda x, y: jax.linear_transpose(lambda k: apply(x, k), k)(y)[0],
      (x, y),
    ),
  }

  def call(f: Callable, args: tuple) -> Callable:
    compiled = jax.jit(f).lower(*args).compile()
    return lambda: jax.block_until_ready(compiled(*args))

  return {name: call(*pair) for name, pair in maps.items()}


def torch_calls(
  layer: Layer, x: np.ndarray, k: np.ndarray, y: np.ndarray
) -> dict[str, Callable]:
  """The same by PyTorch, in its own layouts."""
  transposed = layer.op == 'conv_t'
  order = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
  x, y = (torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (x, y))
  k = torch.from_numpy(k.transpose(order).copy())
  sizes = dict(
    stride=[layer.stride] * 2,
    padding=[layer.pad] * 2,
    dilation=[1, 1],
    transposed=transposed,
    output_padding=[0, 0],
    groups=1,
  )

  def backward(*mask: bool) -> torch.Tensor:
    grads = torch.ops.aten.convolution_backward(
      y, x, k, None, output_mask=[*mask, False], **sizes
    )
    return grads[mask.index(True)]

  return {
    'forward': lambda: torch.ops.aten.convolution(x, k, None, **sizes),
    'input': lambda: backward(True, False),
    'kernel': lambda: backward(False, True),
  }


def _time(call: Callable) -> float:
  time.sleep(0.005)  # Lets the other library's threads stop spinning.
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def interleaved(calls: list[Callable], repeats: int) -> list[float]:
  """Median seconds of each call, taking turns; slow ones fewer times."""
  warm = [_time(call) for call in calls]
  counts = [repeats if t < 0.4 else 1 for t in warm]
  times = [[] for _ in calls]
  for turn in range(repeats):
    for call, count, record in zip(calls, counts, times, strict=True):
      if turn < count:
        record.append(_time(call))
  return [statistics.median(record) for record in times]


def measure(layer: Layer, repeats: int) -> dict[str, dict[str, float]]:
  """Seconds by map and implementation."""
  rng = np.random.default_rng(0)

  def array(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)

  x = array(layer.batch, layer.size, layer.size, layer.cin)
  k = array(layer.window, layer.window, layer.cin, layer.cout)
  y = array(*jax.eval_shape(lambda x, k: _plain(layer, x, k), x, k).shape)
  by = {
    'xla': jax_calls(_plain, layer, x, k, y),
    'ours': jax_calls(_ours, layer, x, k, y),
  }
  if torch is not None:
    by['torch'] = torch_calls(layer, x, k, y)
  return {
    name: dict(
      zip(
        by,
        interleaved([calls[name] for calls in by.values()], repeats),
        strict=True,
      )
    )
    for name in MAPS
  }


def gflop(layer: Layer) -> float:
  """Billions of multiplications and additions of each of the three maps."""
  size = layer.size
  if layer.op == 'conv':
    size = (size + 2 * layer.pad - layer.window) // layer.stride + 1
  taps = layer.window**2 * layer.cin * layer.cout
  return 2e-9 * layer.batch * size**2 * taps


def main() -> None:
  """Prints the table and the line of JSON."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument(
    '--quick', action='store_true', help='a few rows, under 50 s'
  )
  parser.add_argument('--only', default='', help='rows that contain this')
  parser.add_argument('--repeats', type=int, default=7)
  parser.add_argument('--write', action='store_true')
  args = parser.parse_args()
  if args.write:
    machine = conv_tables.machine_of(jax.default_backend())
    tune(conv_tables.PACKAGED / conv_tables.file_of(machine))
  layers = [LAYERS[i] for i in QUICK] if args.quick else LAYERS
  print(
    f'jax {jax.__version__} on {jax.devices()[0].device_kind}, '
    f'{os.cpu_count()} cores, torch '
    f'{torch.__version__ if torch else "not installed"}, '
    f'load {os.getloadavg()[0]:.2f}'
  )
  print(
    f'{"layer":44} {"map":8} {"":>6}ms and GFLOP/s by implementation, '
    'then our speed over theirs'
  )
  ratios = {'xla': [], 'torch': []}
  for layer in layers:
    if args.only not in str(layer):
      continue
    for name, times in measure(layer, args.repeats).items():
      cells = [
        f'{by} {t * 1e3:8.2f} {gflop(layer) / t:4.0f}'
        for by, t in times.items()
      ]
      for by in set(times) & set(ratios):
        ratios[by].append(times[by] / times['ours'])
        cells.append(f'/{by} {ratios[by][-1]:5.2f}')
      print(f'{str(layer):44} {name:8}', '  '.join(cells), flush=True)
  print(f'load {os.getloadavg()[0]:.2f}')
  figures = {f'worst_vs_{by}': min(r) for by, r in ratios.items() if r}
  if ratios['torch']:
    figures['geomean_vs_torch'] = statistics.geometric_mean(ratios['torch'])
  print(json.dumps({name: round(v, 3) for name, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
