"""Metrics: ours against torch-fidelity, or plain NumPy where it is missing.

  python benchmarks/metrics.py [--quick] [--rows=50000]

Each figure is taken in a process of its own, ours and theirs in turns. Time
includes compilation; memory is the peak of the process beyond what it held
with the features in place. Features are 50,000 x 2,048 (with --quick 4,000);
precision and recall of torch-fidelity in its form that saves memory. SWD, of
16,384 images as in its paper (--quick: 256), at 64 px, is against a plain NumPy
and SciPy version of the same, whose result it checks.
Inception has random weights, which cost what trained ones do.

The last line is JSON: for frechet, kid, prdc and inception `*_vs_theirs`
(time, theirs over ours) and, but for inception, `*_memory` (ours over theirs),
and `swd_vs_numpy` (time, plain over ours).
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest.mock

import numpy as np
from _measure import peak_mb

from gan_jax.run.memory import restart_with_huge_pages

DIM = 2048
PARTS = ('frechet', 'kid', 'prdc', 'inception', 'swd')


def features(rows):
  """Two sets like Inception's: not negative, correlated, means apart."""
  rng = np.random.default_rng(0)
  sets = []
  for shift in (0.0, 0.05):
    x = rng.standard_normal((rows, DIM), np.float32)
    x += rng.standard_normal((rows, 1), np.float32) + np.float32(shift)
    sets.append(np.maximum(x, 0, out=x))
  return sets


def images(count, size):
  """Two sets of smooth images with noise, uint8 [N, S, S, 3]."""
  rng = np.random.default_rng(0)
  sets = []
  for noise in (10, 16):
    made = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):  # one by one: 16,384 in float64 are 1.6 GB
      low = rng.integers(40, 215, (8, 8, 3)).repeat(size // 8, 0)
      x = low.repeat(size // 8, 1) + rng.normal(0, noise, (size, size, 3))
      made[i] = np.clip(x, 0, 255)
    sets.append(made)
  return sets


def ours(part, quick):
  """A function of the part's input that gives one number."""
  import jax

  from gan_jax.metrics import frechet, kernel, neighbours, resize, swd
  from gan_jax.networks import inception

  if part == 'inception':
    net = inception.Inception()
    shapes = jax.eval_shape(
      net.init, jax.random.key(0), np.zeros((1, 299, 299, 3), np.float32)
    )
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
      lambda s: jax.device_put(0.02 * rng.standard_normal(s.shape, np.float32)),
      shapes,
    )
    jitted = jax.jit(
      lambda v, x: net.apply(v, resize.for_inception(x, 'tf1_bilinear'))
    )
    return lambda x, _: float(jitted(variables, x)['pool_2048'].sum())
  return {
    'frechet': frechet.frechet,
    'kid': lambda a, b: kernel.kid(a, b, 10 if quick else 100)[0],
    'prdc': lambda a, b: neighbours.prdc(a, b)['precision'],
    'swd': lambda a, b: swd.swd(a, b)['swd'],
  }[part]


def fidelity():
  """Whether torch-fidelity is there; it needs torchvision for data only."""
  if not importlib.util.find_spec('torch_fidelity'):
    return False
  try:
    import torchvision  # noqa: F401
  except (ImportError, RuntimeError):
    for name in ('', '.transforms', '.datasets', '.models'):
      sys.modules['torchvision' + name] = unittest.mock.MagicMock()
    sys.modules['torchvision.transforms.functional'] = unittest.mock.MagicMock()
  return True


def theirs(part, quick):
  """The same by torch-fidelity, by plain NumPy, or None."""
  subsets = 10 if quick else 100
  if part == 'swd':
    return plain_swd
  if not fidelity():
    return {
      'frechet': plain_frechet,
      'kid': lambda a, b: plain_kid(a, b, subsets),
      'prdc': plain_precision,
    }.get(part)
  import torch
  from torch_fidelity import metric_fid, metric_kid, metric_prc

  torch.set_num_threads(os.cpu_count())
  tensor = torch.from_numpy
  if part == 'inception':
    net = fidelity_inception()

    def run(x, _):
      with torch.inference_mode():
        return float(net(tensor(x.transpose(0, 3, 1, 2).copy()))[0].sum())

    return run

  def frechet(a, b):
    stats = [metric_fid.fid_features_to_statistics(tensor(x)) for x in (a, b)]
    found = metric_fid.fid_statistics_to_metric(*stats, verbose=False)
    return found[metric_fid.KEY_METRIC_FID]

  def kid(a, b):
    found = metric_kid.kid_features_to_metric(
      tensor(b), tensor(a), kid_subsets=subsets, kid_subset_size=1000,
      rng_seed=2020, verbose=False,
    )  # fmt: skip
    return found[metric_kid.KEY_METRIC_KID_MEAN]

  def prdc(a, b):
    found = metric_prc.prc_features_to_metric(
      tensor(b), tensor(a), prc_neighborhood=3, prc_batch_size=10000,
      save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    return found[metric_prc.KEY_METRIC_PRECISION]

  return {'frechet': frechet, 'kid': kid, 'prdc': prdc}[part]


def fidelity_inception():
  """torch-fidelity's network, of random weights through a file."""
  import torch
  from torch_fidelity import feature_extractor_inceptionv3 as module

  kind = module.FeatureExtractorInceptionV3
  held = []

  def keep(self, state):
    held.append(self)

  with unittest.mock.patch.object(torch.nn.Module, 'load_state_dict', keep):
    with tempfile.NamedTemporaryFile(suffix='.pth') as file:
      torch.save({}, file.name)
      kind(
        'inception-v3-compat',
        ['2048'],
        feature_extractor_weights_path=file.name,
      )
  return held[0].eval()


def plain_frechet(a, b):
  import scipy.linalg

  moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (a, b)]
  (ma, ca), (mb, cb) = moments
  root = scipy.linalg.sqrtm(ca @ cb)
  return np.sum((ma - mb) ** 2) + np.trace(ca + cb) - 2 * np.trace(root).real


def plain_kid(a, b, subsets, size=1000):
  rng, values = np.random.RandomState(2020), []
  for _ in range(subsets):
    y = b[rng.choice(len(b), size, replace=False)]
    x = a[rng.choice(len(a), size, replace=False)]
    kxx, kyy, kxy = (
      (p @ q.T / DIM + 1) ** 3 for p, q in ((x, x), (y, y), (x, y))
    )
    own = sum((k.sum() - np.trace(k)) / (size * (size - 1)) for k in (kxx, kyy))
    values.append(own - 2 * kxy.mean())
  return np.mean(values)


def plain_precision(a, b, rows=10000):
  """Precision and recall, k = 3, in blocks of 10,000 rows."""

  def distances(x, y):
    d = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.maximum(d, 0)

  def blocks(x):
    return [x[i : i + rows] for i in range(0, len(x), rows)]

  radii_a, radii_b = (
    np.concatenate([np.partition(distances(p, x), 3)[:, 3] for p in blocks(x)])
    for x in (a, b)
  )
  precision = [(distances(p, a) <= radii_a).any(1) for p in blocks(b)]
  [(distances(p, b) <= radii_b).any(1) for p in blocks(a)]  # recall
  return np.concatenate(precision).mean()


def plain_swd(a, b, batch=64, patches=128):
  """ProGAN's section 5 with SciPy's filters and NumPy's indexing and sort."""
  from scipy import ndimage

  taps = np.array([1, 4, 6, 4, 1], np.float32) / 16
  kernel = np.outer(taps, taps)[None, :, :, None]
  rng = np.random.RandomState(0)
  sizes = [a.shape[1] >> i for i in range(8) if a.shape[1] >> i >= 16]
  channels = a.shape[-1]

  def levels(x):
    for _ in sizes[1:]:
      small = ndimage.convolve(x, kernel, mode='mirror')[:, ::2, ::2]
      wide = np.zeros_like(x)
      wide[:, ::2, ::2] = small
      yield x - ndimage.convolve(wide, 4 * kernel, mode='mirror')
      x = small
    yield x

  def describe(images):
    rows = [[] for _ in sizes]
    for start in range(0, len(images), batch):
      part = images[start : start + batch].astype(np.float32)
      for size, level, kept in zip(sizes, levels(part), rows, strict=True):
        x, y = (rng.randint(3, size - 3, len(part) * patches) for _ in 'xy')
        n = np.repeat(np.arange(len(part)), patches)[:, None, None, None]
        c = np.arange(channels)[:, None, None]
        i, j = np.mgrid[-3:4, -3:4]
        x, y = (v[:, None, None, None] for v in (x, y))
        kept.append(level[n, y + j, x + i, c])
    return [np.concatenate(kept) for kept in rows]

  def flat(x):
    x = x - x.mean((0, 2, 3), keepdims=True)
    return (x / x.std((0, 2, 3), keepdims=True)).reshape(len(x), -1)

  real = describe(a)
  for _ in range(4 * len(sizes)):  # the released code's own order of draws
    rng.randn(channels * 49, 128)
  fake = describe(b)
  found = []
  for x, y in zip(real, fake, strict=True):
    x, y, values = flat(x), flat(y), []
    for _ in range(4):
      along = rng.randn(channels * 49, 128)
      along = (along / np.linalg.norm(along, axis=0)).astype(np.float32)
      px, py = np.sort(x @ along, 0), np.sort(y @ along, 0)
      values.append(np.abs(px - py).mean())
    found.append(np.mean(values))
  return 1e3 * np.mean(found)


def measure(part, who, rows, quick):
  """Seconds, MB and the number of one part, in this process."""
  function = (ours if who == 'ours' else theirs)(part, quick)
  if function is None:
    print(json.dumps(None))
    return
  if part == 'swd':
    given = images(256 if quick else 16384, 64)
  elif part == 'inception':
    given = images(16, 64)
    function(*given)  # compiles: a set of 50,000 images compiles once
  else:
    given = features(rows)
  before = peak_mb()
  times = []
  for _ in range(3 if part == 'inception' else 1):
    start = time.perf_counter()
    value = float(function(*given))
    times.append(time.perf_counter() - start)
  seconds = min(times) / (16 if part == 'inception' else 1)
  print(json.dumps([seconds, peak_mb() - before, value]))


def child(part, who, rows, quick):
  command = [
    sys.executable, __file__, f'--part={part}', f'--who={who}', f'--rows={rows}'
  ]  # fmt: skip
  command += ['--quick'] if quick else []
  done = subprocess.run(command, capture_output=True, text=True)
  if done.returncode:
    sys.exit(done.stderr)
  return json.loads(done.stdout.splitlines()[-1])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--rows', type=int)
  parser.add_argument('--part', choices=PARTS)
  parser.add_argument('--who', choices=['ours', 'theirs'])
  args = parser.parse_args()
  rows = args.rows or (4000 if args.quick else 50000)
  if args.who:
    measure(args.part, args.who, rows, args.quick)
    return
  rival = 'torch-fidelity' if fidelity() else 'plain NumPy'
  print(f'load average {os.getloadavg()}, {os.cpu_count()} cores')
  print(f'{rows} x {DIM} features on each side, against {rival}')
  figures = {}
  for part in [args.part] if args.part else PARTS:
    mine, other = (
      child(part, who, rows, args.quick) for who in ('ours', 'theirs')
    )
    name = 'plain NumPy' if part == 'swd' else rival
    print(f'{part}: ours {mine[0]:.3f} s, {mine[1]:.0f} MB, {mine[2]:.7g}')
    if not other:
      continue
    print(f'{part}: {name} {other[0]:.3f} s, {other[1]:.0f} MB, {other[2]:.7g}')
    speed = 'swd_vs_numpy' if part == 'swd' else f'{part}_vs_theirs'
    figures[speed] = other[0] / mine[0]
    if part in ('frechet', 'kid', 'prdc'):
      figures[f'{part}_memory'] = mine[1] / other[1]
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
