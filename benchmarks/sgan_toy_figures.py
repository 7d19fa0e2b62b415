"""The pictures of benchmarks/sgan_toy.py: SGAN's Figures 2(d) and 10.

`rows` is figures by (setting, data, method) throughout, see sgan_toy.row; what
is not there is not drawn.
"""

import itertools
import re

import numpy as np

from gan_jax.data import toy
from gan_jax.run.draw import new_figure

BLUE, RED = '#0072B2', '#D55E00'


def missed(covered, size: int):
  """The share of modes that N local generators miss, of every N of them.

  Args:
    covered: [all, modes], whether a generator covers a mode.
    size: N.

  Returns:
    Shares [subsets of N].
  """
  covered = np.array(covered, bool)
  every = itertools.combinations(range(len(covered)), size)
  return np.array([1 - np.any(covered[list(n)], 0).mean() for n in every])


def missed_by_all(figures):
  """The share of modes that no local generator covers, one a seed."""
  seeds = figures.get('covered', [])
  return [float(missed(seed, len(seed))[0]) for seed in seeds]


def _missed_by_global(rows, key):
  """The shares of modes that a user's generator misses, one a seed."""
  if key not in rows:
    return []
  return 1 - np.array(rows[key]['modes'][-1]) / len(toy.modes(key[1]))


def _panels(rows):
  """A figure, its axes, and the (setting, data) to draw: those with all N."""
  panels = list(dict.fromkeys(k[:2] for k in rows if k[2] == '10-S-GAN'))
  width = len({name for _, name in panels})
  height = -(-len(panels) // width)
  figure = new_figure(figsize=(4.6 * width, 3.1 * height))
  return figure, figure.subplots(height, width, squeeze=False), panels


def _save(file, figure, grid, x, y):
  """Names the outer axes and writes the PNG."""
  for axes in grid[-1]:
    axes.set_xlabel(x)
  for axes in grid[:, 0]:
    axes.set_ylabel(y)
  grid[0, 0].legend(fontsize=7)
  figure.savefig(file, dpi=120)


def draw_missed(file, rows):
  """Draws missed modes against the number of pairs, a panel a setting and data.

  Args:
    file: the PNG to write.
    rows: figures.
  """
  figure, grid, panels = _panels(rows)
  for axes, (setting, name) in zip(grid.flat, panels, strict=False):
    key = lambda method, at=(setting, name): (*at, method)
    seeds = rows[key('10-S-GAN')]['covered']
    sizes = range(1, 1 + len(seeds[0]))
    subsets = [np.ravel([missed(s, n) for s in seeds]) for n in sizes]
    mean = np.array([values.mean() for values in subsets])
    std = np.array([values.std() for values in subsets])
    axes.plot(sizes, mean, color=BLUE, label='any N Gₙ of a 10-S-GAN')
    low = np.maximum(mean - std, 0)
    axes.fill_between(sizes, low, mean + std, color=BLUE, alpha=0.15, lw=0)
    single = {1: _missed_by_global(rows, key('GAN'))}
    _points(axes, single, 'o', 'black', 'a GAN')
    for prefix, marker in (('', 's'), ('paper ', '^')):
      of_global = {
        n: _missed_by_global(rows, key(f'{prefix}{n}-S-GAN')) for n in (5, 10)
      }
      label = f'G₀ of an N-S-GAN{" of the paper" if prefix else ""}'
      _points(axes, of_global, marker, RED, label)
    axes.set_title(f'{setting}: {name}', fontsize=10)
    axes.set(xticks=sizes, ylim=(0, 1))
    axes.grid(alpha=0.3)
  _save(file, figure, grid, 'pairs, N', 'share of modes missed')


def _points(axes, values, marker, colour, label):
  """Mean and standard deviation over seeds, by N."""
  values = {n: v for n, v in values.items() if len(v)}
  if not values:
    return
  mean = [np.mean(v) for v in values.values()]
  std = [np.std(v) for v in values.values()]
  side = {'s': -0.12, '^': 0.12}.get(marker, 0)  # so that bars do not meet
  axes.errorbar(
    [n + side for n in values],
    mean,
    std,
    marker=marker,
    color=colour,
    linestyle='none',
    markerfacecolor=colour if marker == 's' else 'white',
    capsize=2,
    label=label,
  )


def draw_log_likelihood(file, rows):
  """Draws the log-likelihood against steps, medians over seeds, Figure 10.

  Args:
    file: the PNG to write.
    rows: figures.
  """
  figure, grid, panels = _panels(rows)
  colours = {'GAN': 'black', '5-S-GAN': BLUE, '10-S-GAN': RED}
  of = lambda method: method.removeprefix('simplified-').removeprefix('paper ')
  lines = {'simplified': ':', 'paper': '--'}
  for axes, panel in zip(grid.flat, panels, strict=False):
    for key, figures in rows.items():
      if key[:2] != panel:
        continue
      method = key[2]
      values = np.median(figures['loglik'], axis=1)
      axes.plot(
        figures['steps'],
        values,
        color=colours[of(method)],
        linestyle=lines.get(re.split('[- ]', method)[0], '-'),
        marker='o',
        markersize=3,
        label=method,
      )
    # A collapsed generator is at -1e5, a good one at 2: linear around 0.
    axes.set_yscale('symlog', linthresh=4, linscale=3)
    ticks = (-1e5, -1e3, -20, -4, -2, 0, 2)
    axes.set_yticks(ticks, [f'{tick:g}' for tick in ticks])
    axes.minorticks_off()
    axes.set_title(f'{panel[0]}: {panel[1]}', fontsize=10)
    axes.grid(alpha=0.3)
  _save(file, figure, grid, 'steps', 'log-likelihood (nats)')
