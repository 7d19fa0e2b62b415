"""Samples in the plane over the discriminator's level sets.

What SGAN draws of toy data (Chavdarova and Fleuret 2018, Figures 2, 3, 4 and
11): real points, the samples of each local generator in a colour of its own
beside those of the global one, and where the discriminators score high. Axes,
colours and places are the same in all frames of a run, so they animate.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import mesh as mesh_lib
from gan_jax import paths
from gan_jax.data.pipeline import samples_at
from gan_jax.networks.judgement import per_sample
from gan_jax.observe.occasional import Occasional, is_drawn
from gan_jax.run import draw
from gan_jax.sampler import Sampler
from gan_jax.state import TrainState

NAME = 'landscape'  # of the files
POINTS = 1000  # real ones, and samples of the generator that a user gets
LOCAL_POINTS = 200  # of each local generator
RESOLUTION = 80  # of the plane, points a side
SHADES = 10

# Okabe and Ito's orange and green, which differ for every kind of sight; on
# the lilac of the level sets both do.
REAL, FAKE = '#E69F00', '#00704E'
DPI = 100
# In inches: side of a panel, margins, and the room that colour bars have.
PANEL, LEFT, BOTTOM, TOP, BAR = 4.2, 0.5, 0.7, 0.7, 0.8


class View(NamedTuple):
  """What a frame shows of a pair, or of an ensemble of N.

  Attributes:
    fakes: [M, 2], of the generator that a user gets.
    scores: [R, R], of its discriminator at the points of `plane`.
    local_fakes: [N, K, 2], or None.
    local_scores: [N, R, R], or None.
    local_levels: [N], the score half-way between the mean over real points
      and the mean over the pair's own fakes, or None.
  """

  fakes: np.ndarray
  scores: np.ndarray
  local_fakes: np.ndarray | None = None
  local_scores: np.ndarray | None = None
  local_levels: np.ndarray | None = None


def plane(reach: float, resolution: int = RESOLUTION) -> np.ndarray:
  """Points of a square, [R, R, 2]: at [i, j] is (x_j, y_i).

  Args:
    reach: both coordinates run from -reach to reach.
    resolution: R, points a side.
  """
  line = np.linspace(-reach, reach, resolution, dtype=np.float32)
  return np.stack(np.meshgrid(line, line), -1)


def shades(scores, count: int = SHADES) -> np.ndarray:
  """The levels between which shades stand for equal areas of the plane.

  A score has no scale of its own (probabilities, distances, any number), and
  far from all data an MLP's grows without end: levels at equal distances would
  show nothing else.

  Args:
    scores: [R, R].
    count: number of shades.

  Returns:
    Increasing, at most count + 1; fewer where many scores are equal, none if
    no score is finite, as those of a run that diverges.
  """
  finite = scores[np.isfinite(scores)]
  if not finite.size:
    return finite
  return np.unique(np.quantile(finite, np.linspace(0, 1, count + 1)))


class Landscape(Occasional):
  """Draws how far a run on points has come, and a film of it at the end.

  Args: as of `observe.build`.

  Attributes:
    real: points of the data [POINTS, 2].
    reach: half the side of the square that is drawn.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """See `Observer`."""
    return bool(experiment.objective.generator) and source.shape == (2,)

  def __init__(self, config, run, experiment, source, mesh):
    total = experiment.growth.total(config.train)
    super().__init__(config.train.image_every, total)
    self._run = run
    self._drawn = None  # the last step that was
    self.real, _ = samples_at(source, config.train.seed, POINTS)
    self.reach = 1.6 * float(np.abs(self.real).max())
    self._view = jax.jit(
      make_view(
        Sampler(config, experiment),
        experiment.objective.discriminator,
        self.real,
        plane(self.reach),
      ),
      out_shardings=mesh_lib.replicated(mesh),
    )

  def view(self, state: TrainState) -> View:
    """What there is to draw at this state."""
    return jax.device_get(self._view(state))

  def frame(self, state: TrainState, step: int) -> np.ndarray:
    """The drawing of a state, uint8 [H, W, 3]."""
    return pixels(figure_of(self.view(state), self.real, self.reach, step))

  def done(self, step: int) -> bool:
    """See `Observer`; the film of a whole run is as young as its last frame."""
    if not is_drawn(self._run, NAME, step):
      return False
    film = self._run.path / 'images' / f'{NAME}.gif'
    last = self._run.path / 'images' / f'{NAME}_{step:09d}.png'
    return step < self._total or (
      film.exists() and paths.written(film) >= paths.written(last)
    )

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    self._run.frame(NAME, self.frame(state, step), step)
    self._drawn = step
    return {}

  def close(self) -> None:
    """Makes the film."""
    if self._drawn is not None:
      self._run.animation(NAME, self._drawn)


def make_view(sampler: Sampler, discriminator, real, where):
  """The pure function from a TrainState to its View.

  Samples are those of the first seeds. Discriminators that take labels are
  asked about every label, and the mean is drawn.

  Args:
    sampler: of the run.
    discriminator: its network.
    real: points of the data [M, 2].
    where: to score the plane, [R, R, 2].
  """

  def fakes(variables, count):
    seeds = range(count)
    z, labels = sampler.latents(seeds), sampler.labels(seeds)
    return sampler.generate(variables, z, labels)

  def score(variables, points):
    flat = points.reshape(-1, 2)

    def judge(label):
      labels = jnp.full(len(flat), label)
      # Of float32's precision: the plane's points differ in the third digit.
      with jax.default_matmul_precision('highest'):
        judged = discriminator.apply(variables, flat, labels, train=False)
      return per_sample(judged.logits)

    judged = [judge(k) for k in range(max(discriminator.classes, 1))]
    return sum(judged).reshape(points.shape[:-1]) / len(judged)

  def local(pair):
    own = fakes(pair.g.variables, LOCAL_POINTS)
    means = [jnp.mean(score(pair.d.variables, x)) for x in (real, own)]
    return own, score(pair.d.variables, where), sum(means) / 2

  def view(state):
    locals_ = state.local_pairs
    return View(
      fakes(sampler.variables(state), POINTS),
      score(state.pair.d.variables, where),
      *(() if locals_ is None else jax.vmap(local)(locals_)),
    )

  return view


def figure_of(view: View, real, reach: float, step: int):
  """The figure of a view: a panel, or two if there are local pairs.

  Args:
    view: what to draw.
    real: points of the data [M, 2].
    reach: half the side of the square.
    step: of training, for the title.

  Returns:
    matplotlib's Figure; its axes are the panels, the local pairs' first, and
    the colour bar.
  """
  panels = 1 if view.local_fakes is None else 2
  width = panels * (PANEL + LEFT) + BAR
  height = BOTTOM + PANEL + TOP
  # Places are fixed: a layout that fits the labels would make frames jump.
  figure = draw.new_figure(None, figsize=(width, height), dpi=DPI)
  axes = [
    figure.add_axes(
      (
        (LEFT + i * (LEFT + PANEL)) / width,
        BOTTOM / height,
        PANEL / width,
        PANEL / height,
      )
    )
    for i in range(panels)
  ]
  figure.suptitle(f'step {step:,}', y=1 - 0.15 / height, va='top', fontsize=12)
  if panels == 2:
    _draw_locals(axes[0], view, real, reach)
  _draw_global(axes[-1], view, real, reach, panels == 2)
  return figure


def _draw_locals(axes, view, real, reach) -> None:
  """Local generators, a shade each, and the border each of their Ds draws."""
  import matplotlib

  count = len(view.local_fakes)
  # Lightness alone tells these colours apart; the yellow end is too light.
  colours = matplotlib.colormaps['viridis'](np.linspace(0, 0.8, count))
  names = ['real points', f'{_name("G", 1)} to {_name("G", count)}']
  dots = [_scatter(axes, real, REAL, 18), []]
  outside = 0
  line = np.linspace(-reach, reach, view.scores.shape[0])
  for fakes, scores, level, colour in zip(
    view.local_fakes,
    view.local_scores,
    view.local_levels,
    colours,
    strict=True,
  ):
    if scores.min() < level < scores.max():
      _lines(axes, line, scores, [level], [colour], 1)
    dots[1].append(_scatter(axes, fakes, colour))
    outside += _outside(fakes, reach)
  title = 'local pairs: samples, and the border that each D draws'
  dots[1] = tuple(dots[1][:: max(1, count // 5)])
  _frame(axes, reach, title, dots, names)
  _tell_outside(axes, outside, view.local_fakes[..., 0].size)


def _draw_global(axes, view, real, reach, ensemble: bool) -> None:
  """The pair that a user gets; its D's level sets as shades, with a scale."""
  import matplotlib

  line = np.linspace(-reach, reach, view.scores.shape[0])
  levels = shades(view.scores)
  if len(levels) > 1:
    # Up to the middle of the map: the points lie on top.
    tones = matplotlib.colormaps['Purples'](
      np.linspace(0.0, 0.6, len(levels) - 1)
    )
    filled = axes.contourf(line, line, view.scores, levels, colors=tones)
    _lines(axes, line, view.scores, levels[1:-1], 'white', 0.5)
    _bar(axes.figure, filled, levels)
  g, d = (_name('G', 0), _name('D', 0)) if ensemble else 'GD'
  dots = [_scatter(axes, real, REAL, 18), _scatter(axes, view.fakes, FAKE)]
  title = f'samples of {g} on the level sets of {d}'
  if ensemble:
    title = f'global pair: {title}'
  _frame(axes, reach, title, dots, ['real points', g])
  _tell_outside(axes, _outside(view.fakes, reach), len(view.fakes))


def _bar(figure, filled, levels) -> None:
  """The scale of the level sets, at the right of the last panel."""
  width, height = figure.get_size_inches()
  place = figure.add_axes(
    (
      1 - (BAR - 0.12) / width,
      BOTTOM / height,
      0.12 / width,
      PANEL / height,
    )
  )
  bar = figure.colorbar(filled, cax=place, spacing='uniform', ticks=levels)
  bar.ax.set_yticklabels([f'{x:.3g}' for x in levels], fontsize=7)
  bar.ax.set_title('score', fontsize=8)


def _name(network: str, index: int) -> str:
  """'G', 12 -> 'G₁₂'."""
  # Matplotlib's own formulas would load six fonts for a digit.
  return network + ''.join(chr(0x2080 + int(x)) for x in str(index))


def _lines(axes, line, scores, levels, colours, width) -> None:
  """Level lines, solid below zero too."""
  axes.contour(
    line,
    line,
    scores,
    levels,
    colors=colours,
    linewidths=width,
    linestyles='solid',
    alpha=0.7,
  )


def _scatter(axes, points, colour, size=7):
  """Dots; the real ones are larger, so that a rim is seen under others."""
  return axes.scatter(
    points[:, 0],
    points[:, 1],
    s=size,
    color=[colour],
    alpha=0.7,
    linewidths=0,
    zorder=2,
  )


def _frame(axes, reach, title, dots, names) -> None:
  """What the panels have in common."""
  from matplotlib.legend_handler import HandlerTuple

  axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect='equal')
  axes.set_title(title, fontsize=9)
  axes.tick_params(labelsize=7)
  axes.legend(
    dots,
    names,
    handler_map={tuple: HandlerTuple(ndivide=None, pad=0.2)},
    loc='upper center',
    bbox_to_anchor=(0.5, -0.06),
    ncols=2,
    frameon=False,
    fontsize=8,
    markerscale=2,
  )


def _outside(points, reach) -> int:
  """How many points the square leaves out."""
  return int(np.sum(np.abs(points).max(-1) > reach))


def _tell_outside(axes, outside: int, count: int) -> None:
  """Says in a corner what the square leaves out."""
  if outside:
    axes.text(
      0.02,
      0.02,
      f'{outside:,} of {count:,} samples outside',
      transform=axes.transAxes,
      fontsize=7,
      zorder=3,
      bbox=dict(facecolor='white', edgecolor='none', alpha=0.7, pad=1),
    )


def pixels(figure) -> np.ndarray:
  """A figure as a picture, uint8 [H, W, 3]."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()
