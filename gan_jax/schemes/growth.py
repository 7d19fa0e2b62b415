"""Growth: what a run trains when, stage by stage, around any scheme.

ProGAN (Karras et al. 2018, section 2 and Figure 2): the networks begin at a low
resolution and are trained there; then, again and again, the next level fades
in and all levels are trained on. A run without growth has one stage and one
span of it. Parameters of all levels exist from the start, so that the state's
tree never changes: a stage says only which levels a step runs through.

`phases` reads the schedule from a config, in images; `after` counts it in
steps, on from whatever a run has behind it.
"""

import bisect
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gan_jax.errors import UserError
from gan_jax.settings import INT32, Setting, only_when
from gan_jax.state import At, Span, Stage, time_of

SETTINGS = only_when(
  {
    'start': Setting(
      0,
      'side of the pictures that a run begins with; it doubles up to that of'
      ' the data; 0: no growth',
      choices=(0, *(2**k for k in range(2, 10))),
    ),
    'stable_images': Setting(
      600_000,
      'real images that each level is trained on before the next fades in',
      low=0,
      high=INT32,
    ),
    'fade_images': Setting(
      600_000, 'real images during which a level fades in', low=0, high=INT32
    ),
    'batch': Setting(
      (),
      'minibatch by resolution, such as 4:128,8:64; the others have'
      ' train.batch',
    ),
    'lr': Setting(
      (),
      'learning rate of both players by resolution, such as 1024:0.0015; the'
      ' others have their own',
    ),
    'renew': Setting(
      True,
      'whether the optimisers begin anew where a level begins to fade in, and'
      ' where it has',
    ),
  },
  start=True,
)


class Phase(NamedTuple):
  """A part of a schedule, in images; it follows the one before.

  Attributes:
    stage: that is trained.
    end: images at which it ends; None for the last one. A step belongs to a
      fade while fewer have been shown, to a stable phase up to this number: so
      the released code has it, to which a level that has not begun to fade in
      is not there.
    fade_from: images at which its level begins to fade in; 0 if it is stable.
    fade_images: how many images that takes; 0 if it is stable.
  """

  stage: Stage
  end: int | None = None
  fade_from: int = 0
  fade_images: int = 0

  def steps(self, image: int) -> int:
    """How many of its steps there are from `image` images on."""
    left = self.end - image + (0 if self.fade_images else 1)
    return max(math.ceil(left / self.stage.images), 0)


def by_resolution(entries: Iterable[str], kind: type, path: str) -> dict:
  """A table such as ('4:128', '8:64') of a config.

  Args:
    entries: a resolution and a value each.
    kind: of the values, int or float; they are above 0.
    path: of the setting, for sentences.

  Raises:
    UserError: if an entry is anything else, or a resolution comes twice.
  """
  table = {}
  for entry in entries:
    side, _, text = entry.partition(':')
    try:
      if not (entry.isascii() and side.isdecimal()) or '_' in text:
        raise ValueError(entry)
      value = kind(text)
      if not 0 < value < 2**20:  # False for nan
        raise ValueError(entry)
    except ValueError:
      raise UserError(
        f'config.{path}: {entry!r} is no resolution with a number above 0: '
        f'write it like {"1024:0.0015" if kind is float else "4:128,8:64"}.'
      ) from None
    if int(side) in table:
      raise UserError(f'config.{path} names {side} px twice: name it once.')
    table[int(side)] = value
  return table


def tables(section) -> tuple[dict[int, int], dict[int, float]]:
  """The minibatches and the learning rates of `config.growth`, by resolution.

  Raises:
    UserError: see `by_resolution`.
  """
  return (
    by_resolution(section.batch, int, 'growth.batch'),
    by_resolution(section.lr, float, 'growth.lr'),
  )


def sides(section, side: int) -> list[int]:
  """The resolutions of a run's levels, from its start to that of the data.

  Args:
    section: `config.growth`.
    side: of the data's pictures.

  Raises:
    UserError: if doubling does not lead from one to the other, or a table has
      a resolution that the run never has.
  """
  start = section.start
  levels = [start]
  while levels[-1] < side:
    levels.append(2 * levels[-1])
  if levels[-1] != side:
    raise UserError(
      f'config.growth.start = {start} does not become {side}, the side of the'
      f' pictures, by doubling: set config.data.resolution = {levels[-1]}, or'
      ' another start.'
    )
  for name, table in zip(('batch', 'lr'), tables(section), strict=True):
    if unknown := sorted(set(table) - set(levels)):
      raise UserError(
        f'config.growth.{name} has a number for {unknown[0]} px, which this'
        f' run never works on: it grows through'
        f' {", ".join(map(str, levels))} px.'
      )
  return levels


def phases(
  section, side: int, stage_of: Callable[..., Stage]
) -> tuple[Phase, ...]:
  """The schedule that a config describes.

  The first level is trained, then the next fades in, is trained, and so on;
  the last is trained for as long as the run goes (spec/progan.md, 1.2).

  Args:
    section: `config.growth`, with a `start`.
    side: of the data's pictures.
    stage_of: (resolution, batch or 0, learning rate or 0.0) -> Stage.

  Raises:
    UserError: see `sides` and `by_resolution`.
  """
  batches, rates = tables(section)
  found, image = [], 0
  for level in sides(section, side):
    stage = stage_of(level, batches.get(level, 0), rates.get(level, 0.0))
    if found and section.fade_images:
      end = image + section.fade_images
      found.append(Phase(stage, end, image, section.fade_images))
      image = end
    image += section.stable_images
    found.append(Phase(stage, image if level < side else None))
  return tuple(found)


class Growth(NamedTuple):
  """The stretches of a run, in order.

  Attributes:
    spans: where each begins, from step 0 on.
    stages: the stage of each; a fade and the stabilising after it have the
      same.
    renewed: whether optimisers begin anew where a fade begins and ends, as
      ProGAN's released code has it. Without, a level that joins late begins
      with ten times the rate: its moments are zero, and Adam's count is large.
  """

  spans: tuple[Span, ...]
  stages: tuple[Stage, ...]
  renewed: bool = True

  def index(self, step: int) -> int:
    """Which stretch the step after `step` steps belongs to."""
    begins = [span.first_step for span in self.spans]
    return bisect.bisect_right(begins, step) - 1

  def span(self, step: int) -> Span:
    """The stretch of the step after `step` steps."""
    return self.spans[self.index(step)]

  def stage(self, step: int) -> Stage:
    """The stage of the step after `step` steps."""
    return self.stages[self.index(step)]

  def first_steps(self, step: int, total: int) -> list[int]:
    """Where stages begin: `step` itself, then the later ones before `total`."""
    found = [step]
    for span, stage in zip(self.spans, self.stages, strict=True):
      if span.first_step > step and stage != self.stage(found[-1]):
        found.append(span.first_step)
    return [k for k in found if k < total]

  def images(self, step: int) -> int:
    """Real images that one pair has learned from after `step` steps.

    The one place that turns steps into images for people, logs and scores.
    """
    k = self.index(step)
    span = self.spans[k]
    taken = step - span.first_step
    return span.first_image + taken * self.stages[k].images

  def total(self, section) -> int:
    """Steps of a whole run.

    Args:
      section: `config.train`: `images` says how many images it takes, or, if
        that is 0, `steps` how many steps.
    """
    if not section.images:
      return section.steps
    begins = [span.first_image for span in self.spans]
    k = max(bisect.bisect_left(begins, section.images) - 1, 0)
    left = section.images - begins[k]
    return self.spans[k].first_step + math.ceil(left / self.stages[k].images)

  def offset(self, step: int) -> int:
    """The position in the data that step 0 would have in a step's stretch."""
    k = self.index(step)
    span, stage = self.spans[k], self.stages[k]
    return span.first_sample - span.first_step * stage.draws * stage.batch

  def time(self, step: int) -> At:
    """The time of the step after `step` steps, on the host."""
    k = self.index(step)
    return time_of(np.int32(step), self.spans[k], self.stages[k])

  def ends(self) -> set[int]:
    """The steps after which a stretch of a growing run has ended, but the last.

    A run whose batch alone has changed on the way does not grow: none.
    """
    if not any(stage.resolution for stage in self.stages):
      return set()
    return {span.first_step for span in self.spans[1:]}

  def stretches(self) -> list:
    """[first step, stage, fade_from, fade_images] of each, for `after`."""
    return [
      [span.first_step, list(stage), span.fade_from, span.fade_images]
      for span, stage in zip(self.spans, self.stages, strict=True)
    ]

  def begins(self, step: int) -> bool:
    """Whether the step after `step` steps needs fresh optimisers.

    A stretch that another batch has begun, but no level, needs none.
    """
    k = self.index(step)
    if not (self.renewed and k) or self.spans[k].first_step != step:
      return False
    level = lambda k: (self.stages[k].resolution, self.spans[k].fade_images)
    return level(k) != level(k - 1)


class _Clock:
  """Stretches as they are put one behind the other."""

  def __init__(self):
    self.spans, self.stages = [], []
    self.step = self.image = self.sample = 0

  def to(self, step: int) -> None:
    """Takes the steps up to `step` in the last stretch."""
    if self.stages:
      taken, stage = step - self.step, self.stages[-1]
      self.image += taken * stage.images
      self.sample += taken * stage.draws * stage.batch
    self.step = step

  def begin(self, stage: Stage, fade_from: int, fade_images: int) -> None:
    """Begins a stretch here."""
    if self.spans and self.spans[-1].first_step == self.step:
      self.spans.pop(), self.stages.pop()  # it never had a step
    here = self.step, self.image, self.sample
    self.spans.append(Span(*here, fade_from, fade_images))
    self.stages.append(stage)

  def follow(self, phases: tuple[Phase, ...]) -> None:
    """Begins the stretches that a schedule has from here on."""
    for phase in phases:
      last = phase.end is None
      steps = 0 if last else phase.steps(self.image)
      if last or steps:
        self.begin(phase.stage, phase.fade_from, phase.fade_images)
        self.to(self.step + steps)


def after(
  past, phases: tuple[Phase, ...], step: int, renewed: bool = True
) -> Growth:
  """The stretches of a run, those behind it as they were.

  Args:
    past: rows as `Growth.stretches` gives them, or (first step, stage), in
      order; () for a new run.
    phases: that the config asks for now, other than before maybe: another
      batch, or a schedule that was changed on the way.
    step: from which on they count, if they differ from the past.
    renewed: see `Growth`.

  Returns:
    Stretches that follow each other on all three clocks.
  """
  clock, rows = _Clock(), [row for row in past if row[0] <= step]
  for k, (first, stage, *fade) in enumerate(rows):
    clock.to(first)
    if k == len(rows) - 1:
      planned = _planned(clock, phases)
      ends = [span.first_step for span in planned.spans[1:2]]
      now = planned.stages[0], *planned.spans[0][-2:]
      as_before = now == (Stage(*stage), *(fade or (0, 0)))
      if as_before and not (ends and ends[0] < step):
        clock.follow(phases)
        return Growth(tuple(clock.spans), tuple(clock.stages), renewed)
    clock.begin(Stage(*stage), *(fade or (0, 0)))
  if rows:
    clock.to(max(step, clock.step))
  clock.follow(phases)
  return Growth(tuple(clock.spans), tuple(clock.stages), renewed)


def _planned(clock: _Clock, phases) -> _Clock:
  """What a schedule has from a clock's time on."""
  ahead = _Clock()
  ahead.step, ahead.image, ahead.sample = clock.step, clock.image, clock.sample
  ahead.follow(phases)
  return ahead
