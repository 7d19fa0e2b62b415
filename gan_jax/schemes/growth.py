"""Growth: what a run trains when, stage by stage, around any scheme.

A run without growth has one stage and one span of it. Parameters of all levels
exist from the start, so that the state's tree never changes: a stage says only
which levels a step runs through.
"""

import bisect
import itertools
from typing import NamedTuple

import numpy as np

from gan_jax.state import At, Span, Stage, time_of


class Growth(NamedTuple):
  """The stretches of a run, in order.

  Attributes:
    spans: where each begins, from step 0 on.
    stages: the stage of each; a fade and the stabilising after it have the
      same.
    renewed: whether each begins with fresh optimisers, as ProGAN's released
      code does. Without, a level that joins late begins with ten times the
      rate: its moments are zero, and Adam's count is large.
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

  def images(self, step: int) -> int:
    """Real images that one pair has learned from after `step` steps.

    The one place that turns steps into images for people, logs and scores.
    """
    k = self.index(step)
    span = self.spans[k]
    taken = step - span.first_step
    return span.first_image + taken * self.stages[k].images

  def offset(self, step: int) -> int:
    """The position in the data that step 0 would have in a step's stretch."""
    k = self.index(step)
    span, stage = self.spans[k], self.stages[k]
    return span.first_sample - span.first_step * stage.draws * stage.batch

  def time(self, step: int) -> At:
    """The time of the step after `step` steps, on the host."""
    k = self.index(step)
    return time_of(np.int32(step), self.spans[k], self.stages[k])

  def total(self, section) -> int:
    """The last step of a run.

    Args:
      section: `config.train`.
    """
    return section.steps

  def ends(self) -> set[int]:
    """The steps after which a stretch of a growing run has ended, but the last.

    A run whose batch alone has changed on the way does not grow: none.
    """
    if not any(stage.resolution for stage in self.stages):
      return set()
    return {span.first_step for span in self.spans[1:]}

  def stretches(self) -> list:
    """(first step, stage) of each stretch, as `after` takes them."""
    begins = [span.first_step for span in self.spans]
    return [[k, list(s)] for k, s in zip(begins, self.stages, strict=True)]

  def begins(self, step: int) -> bool:
    """Whether the step after `step` steps needs fresh optimisers."""
    later = [span.first_step for span in self.spans[1:]]
    return self.renewed and step in later


def after(past, stage: Stage, step: int) -> Growth:
  """Of a run without growth, whose batch may have changed on the way.

  Args:
    past: (first step, stage) of the run's stretches so far, in order; () for a
      new run, which has one stage from beginning to end.
    stage: that the config asks for now.
    step: from which on, if it is another than before.

  Returns:
    Stretches that follow each other on all three clocks.
  """
  stretches = [(first, Stage(*old)) for first, old in past if first <= step]
  if not stretches:
    stretches = [(0, stage)]
  if stretches[-1][1] != stage:
    stretches = [s for s in stretches if s[0] < step] + [(step, stage)]
  spans = [Span(stretches[0][0])]
  for (begin, old), (end, _) in itertools.pairwise(stretches):
    used = end - begin
    spans.append(
      Span(
        end,
        spans[-1].first_image + used * old.images,
        spans[-1].first_sample + used * old.draws * old.batch,
      )
    )
  stages = tuple(stage for _, stage in stretches)
  return Growth(tuple(spans), stages, renewed=False)
