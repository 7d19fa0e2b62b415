"""Samples beside the pictures of the training data that are nearest to them.

Has the generator only learned pictures by heart? ProGAN's appendix F compares
by L1 in pixels, on the centre crop, half the height and half the width; a
network's features see beyond a shift or a shade. Every picture of the data is
compared, the mirrored ones too where a run trains on them, and distances are
exact. How far real pictures are from their nearest others is the yardstick: a
sample that is much nearer to one has been learned by heart.
"""

import logging
import types
from typing import NamedTuple

import numpy as np
from scipy.spatial import distance

from gan_jax import limits
from gan_jax.data import open_source, order
from gan_jax.data.source import in_threads, to_bytes
from gan_jax.errors import UserError
from gan_jax.explore import asking
from gan_jax.mesh import one_device
from gan_jax.metrics import spaces
from gan_jax.metrics.neighbours import nearest
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.run.write import strict, whole
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  'seeds': asking.SEEDS,
  'label': asking.LABEL,
  'k': Setting(3, 'neighbours of each sample', low=1, high=16),
  'space': Setting(
    'random',
    'whose features; what vgg16, inception and classifier need is named by'
    ' --config.metrics.weights and --config.metrics.classifier',
    choices=('random', 'vgg16', 'inception', 'classifier'),
  ),
}

ROWS = 64  # samples of a figure, at most
REALS = 32  # real pictures whose nearest others are the yardstick
CHUNK = 64 * limits.MIB  # of pictures that are compared at a time, as float64
SIDE = 96  # pixels: smaller pictures are enlarged, by whole multiples
DPI = 100


_WAYS = ('by_pixels', 'by_features')  # to compare


class Found(NamedTuple):
  """The nearest of some candidates to each of N queries, nearest first.

  Attributes:
    index: of the candidates, int64 [N, k].
    distance: float64 [N, k], ascending.
  """

  index: np.ndarray
  distance: np.ndarray

  def merged(self, other: 'Found', k: int) -> 'Found':
    """The k nearest of both; of equal ones the first."""
    index = np.concatenate([self.index, other.index], 1)
    far = np.concatenate([self.distance, other.distance], 1)
    near = np.lexsort((index, far), axis=1)[:, :k]
    return Found(
      np.take_along_axis(index, near, 1), np.take_along_axis(far, near, 1)
    )


def centre(pictures: np.ndarray) -> np.ndarray:
  """The middle half of both sides, [N, H, W, C] -> [N, D].

  Of an odd side the middle is rounded up; of one pixel it is that pixel.
  """
  height, width = pictures.shape[1:3]
  rows, columns = ((side + 1) // 2 for side in (height, width))
  top, left = (height - rows) // 2, (width - columns) // 2
  crop = pictures[:, top : top + rows, left : left + columns]
  return crop.reshape(len(pictures), -1)


def by_pixels(queries, candidates, k: int) -> Found:
  """By the mean absolute difference of the centres, in grey levels of 0..255.

  Args:
    queries: uint8 [N, H, W, C].
    candidates: uint8 [M, H, W, C].
    k: how many of them, at most M.
  """
  a, b = centre(queries), centre(candidates)
  # Sums of whole numbers in float64: exact.
  sums = distance.cdist(a, b, 'cityblock')
  near = np.argsort(sums, 1, kind='stable')[:, :k]
  return Found(near, np.take_along_axis(sums, near, 1) / a.shape[1])


def by_features(queries, candidates, k: int) -> Found:
  """By the Euclidean distance of features, [N, D] and [M, D], k at most M."""
  return Found(*nearest(queries, candidates, k))


def run(restored, out, settings) -> None:
  """Writes <out>/neighbours_step_<step>.png, and the same as numbers in .json.

  Args:
    restored: a run that makes pictures, and whose data are there.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asked = asking.Asked(restored, settings, 'neighbours')
  if len(asked.seeds) > ROWS:
    raise UserError(
      f'--tool=neighbours:seeds={settings.seeds[:80]} are {len(asked.seeds):,}'
      f' seeds: a figure has room for {ROWS}.'
    )
  config = restored.config
  source = open_source(config.data)
  restored.run.check_same_data(source)
  if len(source) < settings.k:
    raise UserError(
      f'--tool=neighbours:k={settings.k}: {source.name} has only'
      f' {len(source):,} pictures: ask for fewer neighbours.'
    )
  space = spaces.open_space(settings.space, _given(config, settings.space))
  z = np.asarray(asked.sampler.latents(asked.seeds))
  samples = to_bytes(np.stack(list(asked.pictures(z, asked.labels))))
  found, between = compare(
    samples, source, space, settings.k, config.augment.mirror
  )
  stem = asking.place(out, restored, 'neighbours')
  _save_numbers(stem, restored, asked, source, space, found, between)
  neighbours = [
    np.stack([[picture(source, i) for i in row] for row in one.index])
    for one in found
  ]
  words = [
    f'{how}\nreal: {far:.3g}'
    for how, far in zip(
      ('centre, L1', f'{settings.space}, L2'), between, strict=True
    )
  ]
  name = source.name if len(source.name) < 40 else f'...{source.name[-36:]}'
  title = (
    f'samples of step {restored.step:,}; nearest of {len(source):,} pictures'
    f' of {name}\nby grey levels of the centre, by features of a network;'
    ' real: between real pictures'
  )
  figure = figure_of(asked.seeds, samples, neighbours, found, words, title)
  with whole(stem.with_name(f'{stem.name}.png')) as scratch:
    figure.savefig(scratch, dpi=DPI)
  log.info('%d samples and their neighbours: %s.png', len(samples), stem)


def _given(config, space: str):
  """`config.metrics` as `open_space` takes it, a classifier opened."""
  given = dict(config.metrics)
  if space == 'classifier' and given['classifier']:
    given['classifier'] = restore(
      given['classifier'], one_device(), what='--config.metrics.classifier'
    )
  return types.SimpleNamespace(**given)


def compare(samples, source, space, k: int, mirrored: bool):
  """The neighbours of samples, and a yardstick.

  Args: as of `search`.

  Returns:
    Two `Found`, as `search` gives them; for both the median distance of
    `REALS` real pictures to their nearest others (infinite if there is none).
  """
  rows = order.indices(0, np.arange(min(REALS, len(source))), len(source))
  reals = np.stack([source[int(i)][0] for i in rows])
  # A picture meets itself and its mirror image before any other.
  some = min(max(k, 3), len(source))
  found = search(
    np.concatenate([samples, reals]), source, space, some, mirrored
  )
  n, between = len(samples), []
  for index, far in found:
    own = index[n:] // 2 == rows[:, None]
    others = np.where(own, np.inf, far[n:]).min(1)
    between.append(float(np.median(others)))
  return [Found(i[:n, :k], far[:n, :k]) for i, far in found], between


def search(samples, source, space, k: int, mirrored: bool) -> list[Found]:
  """The nearest pictures of the data, by pixels and by features.

  Args:
    samples: uint8 [N, H, W, C].
    source: of pictures of that shape, at least k.
    space: a `metrics.spaces.Space`.
    k: how many.
    mirrored: compare every picture's mirror image as well.

  Returns:
    Two `Found`. Index 2 i is picture i of the data, 2 i + 1 its mirror image.
  """
  mine, best = space(samples)['features'], [None, None]
  size = max(k, CHUNK // (8 * int(np.prod(source.shape))))
  for begin in range(0, len(source), size):
    some = _read(source, begin, min(begin + size, len(source)))
    for turned in range(1 + mirrored):
      pictures = some[:, :, ::-1] if turned else some
      least = min(k, len(some))
      near = [
        by_pixels(samples, pictures, least),
        by_features(mine, space(pictures)['features'], least),
      ]
      for way, one in enumerate(near):
        new = Found(2 * (one.index + begin) + turned, one.distance)
        best[way] = best[way].merged(new, k) if best[way] else new
    log.info('%d of %d pictures compared.', begin + len(some), len(source))
  return best


def _read(source, begin: int, end: int) -> np.ndarray:
  """Some pictures of a source, uint8 [N, H, W, C]."""
  pictures = np.empty((end - begin, *source.shape), np.uint8)

  def work(part):
    for i in part:
      pictures[i] = source[begin + i][0]

  in_threads(work, len(pictures), f'reading {source.name}')
  return pictures


def picture(source, index: int) -> np.ndarray:
  """A picture by its number in a `Found` of `search`, uint8 [H, W, C]."""
  found = source[int(index) // 2][0]
  return found[:, ::-1] if index % 2 else found


def _save_numbers(stem, restored, asked, source, space, found, between) -> None:
  """The figure as JSON: what was compared how, and every distance."""
  name = lambda label: source.classes[label] if source.classes else None

  def told(one: Found, row: int):
    return [
      {
        'picture': int(index) // 2,
        'mirrored': bool(index % 2),
        'class': name(source.label(int(index) // 2)),
        'distance': float(far),
      }
      for index, far in zip(one.index[row], one.distance[row], strict=True)
    ]

  of_class = asked.sampler.classes > 0
  values = {
    'step': restored.step,
    'data': f'{restored.config.data.source}, {restored.config.data.split}',
    'pictures': len(source),
    'mirrored_too': restored.config.augment.mirror,
    'space': {'name': space.name, **space.facts},
    'between_real_pictures': dict(zip(_WAYS, between, strict=True)),
    'samples': [
      {
        'seed': seed,
        'class': name(int(label)) if of_class else None,
        **{way: told(one, k) for way, one in zip(_WAYS, found, strict=True)},
      }
      for k, (seed, label) in enumerate(
        zip(asked.seeds, asked.labels, strict=True)
      )
    ],
  }
  with whole(stem.with_name(f'{stem.name}.json')) as scratch:
    scratch.write_text(strict(values, 2) + '\n', encoding='utf-8')


def figure_of(seeds, samples, neighbours, found, words, title: str):
  """The figure: a row a sample, its neighbours by each distance behind it.

  Args:
    seeds: of the samples, N.
    samples: uint8 [N, H, W, C].
    neighbours: of each way to compare, uint8 [N, k, H, W, C].
    found: of each way, a `Found`.
    words: of each way, what its distances are.
    title: above all.

  Returns:
    matplotlib's Figure, in which a picture's pixels are whole pixels.
  """
  zoom = -(-SIDE // min(samples.shape[1:3]))
  enlarged = lambda x: x.repeat(zoom, -3).repeat(zoom, -2)
  groups = [enlarged(x) for x in (samples[:, None], *neighbours)]
  height, width, channels = groups[0].shape[2:]
  label, gap, apart, top = 16, 4, 20, 76  # pixels
  lefts, x = [], gap
  for group in groups:
    lefts.append([x + k * (width + gap) for k in range(group.shape[1])])
    x = lefts[-1][-1] + width + apart
  size = (top + len(samples) * (height + label), max(x - apart + gap, 480))
  page = np.full((*size, channels), 255, np.uint8)
  figure = draw.new_figure(None, figsize=(size[1] / DPI, size[0] / DPI))
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  write = lambda x, y, text, **more: axes.text(
    x, y, text, fontsize=7, va='center', **more
  )
  write(gap, 18, title, ha='left')
  for left, text in zip(lefts, ('sample', *words), strict=True):
    write(left[0], 58, text, ha='left')
  for row in range(len(samples)):
    y = top + row * (height + label)
    notes = [[f'seed {seeds[row]}']]
    notes += [[f'{d:.3g}' for d in one.distance[row]] for one in found]
    for group, left, note in zip(groups, lefts, notes, strict=True):
      for k, x in enumerate(left):
        page[y : y + height, x : x + width] = group[row, k]
        write(x + width / 2, y + height + label / 2, note[k], ha='center')
  page = page.repeat(3, -1) if channels == 1 else page
  axes.imshow(page, interpolation='nearest', aspect='auto')
  return figure
