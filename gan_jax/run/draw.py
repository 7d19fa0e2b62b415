"""Samples and curves as files that people look at.

The one place that knows how each kind of sample is shown: pictures as a grid,
points as a scatter plot, text as lines. `alphabet` is that of the data, '' for
all but text.
"""

import contextlib
import importlib.util
import logging
import math
import os
import pathlib
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_jax import paths, stores
from gan_jax.data.source import to_bytes
from gan_jax.data.text import lines_of
from gan_jax.run.write import whole

log = logging.getLogger('gan_jax')

ZOOMED = 64  # pixels of a side
HEAD = 20  # pixels above a grid, for words


def grid(samples, columns: int | None = None, gap: int = 1) -> np.ndarray:
  """Pictures side by side on a white ground.

  Args:
    samples: [N, H, W, C] in [-1, 1], C in {1, 3}.
    columns: pictures in a row; the default makes the grid about square.
    gap: pixels between pictures.

  Returns:
    uint8 [rows * (H + gap) + gap, columns * (W + gap) + gap, C].
  """
  count, height, width, channels = samples.shape
  columns = columns or math.ceil(math.sqrt(count))
  rows = math.ceil(count / columns)
  out = np.full(
    (rows * (height + gap) + gap, columns * (width + gap) + gap, channels),
    255,
    np.uint8,
  )
  for k, picture in enumerate(to_bytes(samples)):
    top = k // columns * (height + gap) + gap
    left = k % columns * (width + gap) + gap
    out[top : top + height, left : left + width] = picture
  return out


def save_picture(file: pathlib.Path, array: np.ndarray) -> None:
  """Writes a uint8 picture [H, W, C], C in {1, 3}, whole or not at all."""
  picture = array[..., 0] if array.shape[-1] == 1 else array
  with whole(file) as scratch:
    Image.fromarray(picture).save(scratch, format='PNG')


def save_grid(
  file: pathlib.Path, samples, columns: int | None = None, heads=()
) -> None:
  """Writes a grid of pictures, or a scatter plot of points [N, 2].

  Pictures under `ZOOMED` pixels are enlarged to whole multiples of their
  pixels, so that they can be judged on a screen.

  Args:
    file: the PNG to write.
    samples: see above.
    columns: of a grid; the default makes it about square.
    heads: a word above each column, or none.
  """
  samples = np.asarray(samples)
  if samples.ndim == 2:
    _save_scatter(file, samples)
    return
  zoom = max(1, ZOOMED // samples.shape[1])
  samples = samples.repeat(zoom, 1).repeat(zoom, 2)
  page = grid(samples, columns, gap=2)
  save_picture(file, _headed(page, heads) if heads else page)


def _headed(page: np.ndarray, words) -> np.ndarray:
  """A grid [H, W, C] with a word above each column."""
  head = Image.new('L', (page.shape[1], HEAD), 'white')
  pen, font = ImageDraw.Draw(head), ImageFont.load_default(12)
  for k, word in enumerate(words):
    x = (k + 0.5) * head.width / len(words)
    pen.text((x, HEAD / 2), word, fill='black', anchor='mm', font=font)
  above = np.asarray(head)[..., None].repeat(page.shape[-1], -1)
  return np.concatenate([above, page])


def save_samples(
  stem: pathlib.Path, samples, columns: int | None = None, alphabet: str = ''
) -> None:
  """Writes samples side by side.

  Args:
    stem: of the file; pictures make a grid in <stem>.png, points a scatter plot
      there, text <stem>.txt with a line a sample.
    samples: [N, H, W, C] in [-1, 1], [N, 2], or [N, L, V] of text.
    columns: of a grid; the default makes it about square.
    alphabet: of text, V characters.
  """
  if alphabet:
    _write_lines(
      stem.with_name(f'{stem.name}.txt'), lines_of(samples, alphabet)
    )
  else:
    save_grid(stem.with_name(f'{stem.name}.png'), samples, columns)


class Seeds:
  """Writes samples one by one, so that each is found by its seed.

  Pictures become seed<k>.png at once. At the end a grid of the first `GRID` is
  written beside the folder, under its name: all pictures in it are samples, so
  that metrics can be given it. Points become a scatter plot grid.png in it,
  text samples.txt with lines 'seed<TAB>text', whole or not at all.

  Args:
    folder: which is there.
    alphabet: of text.
  """

  GRID = 64  # pictures

  def __init__(self, folder: pathlib.Path, alphabet: str = ''):
    self._folder, self._alphabet = folder, alphabet
    self._kept = []  # for the grid
    self._files = contextlib.ExitStack()

  def __enter__(self):
    if self._alphabet:
      scratch = self._files.enter_context(whole(self._folder / 'samples.txt'))
      self._lines = self._files.enter_context(
        open(scratch, 'w', encoding='utf-8')
      )
    return self

  def add(self, seed: int, sample) -> None:
    """Takes the next sample: [H, W, C] in [-1, 1], [2], or [L, V] of text."""
    if self._alphabet:
      (line,) = lines_of(sample[None], self._alphabet)
      self._lines.write(f'{seed}\t{line}\n')
      return
    if sample.ndim == 3:
      file = self._folder / f'seed{seed:04d}.png'
      save_picture(file, to_bytes(sample))
    if sample.ndim == 1 or len(self._kept) < self.GRID:
      self._kept.append(sample)

  def __exit__(self, kind, error, trace):
    if kind is None and self._kept:
      samples, folder = np.stack(self._kept), paths.resolved(self._folder)
      stem = folder / 'grid' if samples.ndim == 2 else folder
      save_samples(stem, samples)
    return self._files.__exit__(kind, error, trace)


def tensorboard(folder):
  """A writer of TensorBoard files; None without the tf extra, or for a store.

  TensorFlow would append to them there, with credentials of its own.
  """
  if stores.is_stored(folder):
    log.warning(
      'TensorBoard files are not written to %s; metrics.jsonl has all numbers.',
      folder,
    )
    return None
  if not all(map(importlib.util.find_spec, ('tensorflow', 'tensorboard'))):
    return None
  # Not a word from TensorFlow: it only writes files here.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  from clu import metric_writers  # imports TensorFlow: seconds

  return metric_writers.SummaryWriter(str(folder))


def log_samples(
  writer, step: int, name: str, samples, columns: int, alphabet: str = ''
) -> None:
  """Shows samples in TensorBoard; points it is spared.

  Args:
    writer: one of clu's.
    step: of training.
    name: of the panel.
    samples: as in `save_samples`.
    columns: of a grid.
    alphabet: of text.
  """
  if alphabet:
    lines = '\n'.join(f'    {x}' for x in lines_of(samples, alphabet))
    writer.write_texts(step, {name: lines})  # indented: Markdown's verbatim
  elif np.ndim(samples) == 4:
    writer.write_images(step, {name: grid(samples, columns)[None]})


def _write_lines(file: pathlib.Path, lines: Iterable[str]) -> None:
  """Writes lines in UTF-8, whole or not at all."""
  text = ''.join(f'{line}\n' for line in lines)
  with whole(file) as scratch:
    scratch.write_text(text, encoding='utf-8')


def animate(
  files: list[pathlib.Path],
  file: pathlib.Path,
  milliseconds: int = 250,
  at_most: int = 100,
) -> None:
  """Makes an animated GIF of pictures, whole or not at all.

  GIF, since every browser and viewer plays it, and drawings have few colours.
  All frames have one palette, so that none flickers.

  Args:
    files: the frames, in order; those not of the last one's size are left
      out.
    file: the GIF to write.
    milliseconds: that a frame is seen; the last one is eight times as long.
    at_most: frames, evenly spaced among more, the first and the last included.
  """
  count = min(len(files), at_most)
  chosen = np.linspace(0, len(files) - 1, count).round().astype(int)
  frames = []
  for k in chosen:
    with files[k].open('rb') as stream, Image.open(stream) as picture:
      frames.append(picture.convert('RGB'))
  frames = [frame for frame in frames if frame.size == frames[-1].size]
  some = np.concatenate([np.asarray(frame)[::4, ::4] for frame in frames])
  palette = Image.fromarray(some).quantize(256)
  frames = [
    frame.quantize(palette=palette, dither=Image.Dither.NONE)
    for frame in frames
  ]
  with whole(file) as scratch:
    frames[0].save(
      scratch,
      format='GIF',
      save_all=True,
      append_images=frames[1:],
      duration=[milliseconds] * (len(frames) - 1) + [8 * milliseconds],
      loop=0,
    )


def new_figure(layout='constrained', **kwargs):
  """A Figure of matplotlib; the keywords are its own."""
  # The object interface: no global state, no display, no window system.
  from matplotlib.figure import Figure

  return Figure(layout=layout, **kwargs)


def _save_figure(file, figure) -> None:
  with whole(file) as scratch:
    figure.savefig(scratch, dpi=100)


def _save_scatter(file, points) -> None:
  figure = new_figure(figsize=(5, 5))
  axes = figure.subplots()
  axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.6)
  reach = max(1.5, 1.05 * float(np.abs(points).max()))
  axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect='equal')
  _save_figure(file, figure)


# Curves that are one drawing, by its title.
_TOGETHER = {
  "D's mean scores": ('d_real', 'd_fake'),
  "D's mean scores of whole sets": ('d_train', 'd_held_out', 'd_samples'),
  'r_v: held-out pictures are to D as known ones (0) or as fakes (1)': (
    'r_v',
    'r_v_low',
  ),
  'distance to the nearest training picture': ('near_samples', 'near_held_out'),
  'the two as a ratio; chance that held-out ones are met so rarely': (
    'near_ratio',
    'near_chance',
  ),
}


def save_curves(file: pathlib.Path, lines: list[dict]) -> None:
  """Draws losses, scores and other metrics of a run against images.

  Args:
    file: the PNG to write.
    lines: of metrics.jsonl. What is no number in them is left out: null
      stands for one that was not finite, and people edit files.
  """
  lines = [line for line in lines if is_number(line.get('images'))]
  names = dict.fromkeys(
    name for line in lines for name in line if is_number(line[name])
  )
  beside = ('step', 'images', 'images_per_second', 'memory_gb')
  names = [name for name in names if name not in beside]
  groups = {'losses': [n for n in names if n.endswith('_loss')]} | {
    title: [n for n in names if n in together]
    for title, together in _TOGETHER.items()
  }
  taken = sum(groups.values(), [])
  groups |= {n: [n] for n in names if n not in taken}
  groups = {title: group for title, group in groups.items() if group}
  if not groups:
    return
  figure = new_figure(figsize=(7, 2.6 * len(groups)))
  panels = figure.subplots(len(groups), sharex=True, squeeze=False)[:, 0]
  for axes, (title, group) in zip(panels, groups.items(), strict=True):
    for name in group:
      points = [
        (ln['images'], ln[name]) for ln in lines if is_number(ln.get(name))
      ]
      alone = dict(marker='.') if len(points) == 1 else {}  # no line
      axes.plot(*zip(*points, strict=True), label=name, linewidth=1, **alone)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    if len(group) > 1:
      axes.legend(fontsize=8)
  panels[-1].set_xlabel('real images shown')
  _save_figure(file, figure)


def is_number(value) -> bool:
  """Whether a value of JSON can be drawn; whole numbers have no end there."""
  return type(value) in (int, float) and abs(value) < 1e300
