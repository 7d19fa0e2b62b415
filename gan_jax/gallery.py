"""Samples as files that people look at: pictures, points or lines of text.

The one place that knows how each kind is shown. `alphabet` is that of the
data, '' for all but text.
"""

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from gan_jax import pictures
from gan_jax.data.text import lines_of


def save(
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
    _write(stem.with_name(f'{stem.name}.txt'), lines_of(samples, alphabet))
  else:
    pictures.save_grid(stem.with_name(f'{stem.name}.png'), samples, columns)


def save_by_seed(
  folder: pathlib.Path, seeds: list[int], samples, alphabet: str = ''
) -> None:
  """Writes samples so that each is found by its seed.

  Args:
    folder: pictures become seed<k>.png beside a grid.png of all, points the
      latter, text samples.txt with lines 'seed<TAB>text'.
    seeds: one a sample.
    samples: as in `save`.
    alphabet: of text.
  """
  if alphabet:
    lines = zip(seeds, lines_of(samples, alphabet), strict=True)
    _write(folder / 'samples.txt', (f'{k}\t{line}' for k, line in lines))
    return
  if samples.ndim == 4:
    for seed, picture in zip(seeds, samples, strict=True):
      array = pictures.to_uint8(picture)
      pictures.save(folder / f'seed{seed:04d}.png', array)
  save(folder / 'grid', samples)


def log(
  writer, step: int, name: str, samples, columns: int, alphabet: str = ''
) -> None:
  """Shows samples in TensorBoard; points it is spared.

  Args:
    writer: one of clu's.
    step: of training.
    name: of the panel.
    samples: as in `save`.
    columns: of a grid.
    alphabet: of text.
  """
  if alphabet:
    lines = '\n'.join(f'    {x}' for x in lines_of(samples, alphabet))
    writer.write_texts(step, {name: lines})  # indented: Markdown's verbatim
  elif np.ndim(samples) == 4:
    writer.write_images(step, {name: pictures.grid(samples, columns)[None]})


def _write(file: pathlib.Path, lines: Iterable[str]) -> None:
  """Writes lines in UTF-8, whole or not at all."""
  scratch = file.with_name(f'.{file.name}')
  text = ''.join(f'{line}\n' for line in lines)
  scratch.write_text(text, encoding='utf-8')
  os.replace(scratch, file)
