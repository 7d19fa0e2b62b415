"""Evaluations: lines of evaluate.jsonl, and the best state of a run."""

import logging
import math

from gan_jax import hosts
from gan_jax.errors import UserError
from gan_jax.observe import overfitting
from gan_jax.observe.measures import Measure, measure_of
from gan_jax.observe.occasional import Occasional, is_logged
from gan_jax.restore import BEST
from gan_jax.run import draw
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')


class Evaluation(Occasional):
  """Evaluates a run every so often while it trains, and keeps its best state.

  The kept step and its score are in best.json, the state in best/. Scores are
  against the training pictures, and copies of them have good ones: a state that
  the overfitting watch takes for a copier of its pictures is worse than any
  other. That D knows them is no such sign: with few pictures it always comes to
  that, and long before samples are at their best.

  Args: as of `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """See `Observer`."""
    return bool(config.metrics.every)

  def __init__(self, config, run, experiment, source, mesh):
    total = experiment.growth.total(config.train)
    super().__init__(config.metrics.every, total)
    self._run = run
    self._measure = measure_of(config, experiment, source)
    self._best = config.metrics.best
    if self._best:
      self._kept = Checkpoints(run.path / BEST, keep=1)

  def done(self, step: int) -> bool:
    """Whether both files have its lines; what it keeps is kept before."""
    return step in measured(self._run, self._measure) and is_logged(
      self._run, self._measure.main, step
    )

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """Evaluates; keeps the state if it is the best so far."""
    numbers = self._measure(state)
    line = {'step': step, 'images': images, **self._measure.against, **numbers}
    tell(line)
    if self._best:
      self._offer(step, state, numbers[self._best])
    # Last, since whoever finds the line takes the evaluation for done.
    write(self._run, line, self._measure.main)
    return {k: v for k, v in numbers.items() if k in self._measure.main}

  def rewind(self, step: int) -> None:
    """Forgets what will be measured again, and a best state among it."""
    if self._best:
      self._kept.drop_after(step)
    if not (self._run.path / 'evaluate.jsonl').exists():
      return
    half_done = self.due(step) and not self.done(step)
    known = step - 1 if half_done else step
    self._run.save_lines(
      'evaluate.jsonl',
      [
        line
        for line in self._run.lines('evaluate.jsonl')
        if line['step'] <= known or against(line) != self._measure.against
      ],
    )

  def _offer(self, step: int, state: TrainState, value: float) -> None:
    before = self._kept_value()
    better = before is None or self._rank(step, value) > self._rank(*before)
    # The leader has the files that it is told by.
    if not hosts.of_leader(better and math.isfinite(value)):
      return
    log.info('step %d is the best so far: %s %.6g', step, self._best, value)
    self._kept.save(step, state)
    self._kept.wait()
    values = {'metric': self._best, 'step': step, 'value': value}
    self._run.save_json('best.json', values)

  def _rank(self, step: int, value: float) -> tuple[bool, float]:
    """Of two states the better one has the higher rank."""
    copier = overfitting.copies(self._run.lines(), step)
    return not copier, self._measure.main[self._best] * value

  def _kept_value(self) -> tuple[int, float] | None:
    """The step and score of the state that is kept, or None if there is none.

    Where best.json is damaged it is that of the state's line in evaluate.jsonl.
    """
    kept = self._kept.steps()
    try:
      before = self._run.load_best()
    except UserError as error:
      log.warning('%s', error)
      found = [
        (line['step'], line.get(self._best))
        for line in self._run.lines('evaluate.jsonl')
        if line['step'] in kept and against(line) == self._measure.against
      ]
      return found[-1] if found and type(found[-1][1]) is float else None
    known = before.get('metric') == self._best and before['step'] in kept
    return (before['step'], before['value']) if known else None

  def close(self) -> None:
    """Says which state is the best, and lets go of the folder."""
    if not self._best:
      return
    if kept := self._kept_value():
      log.info(
        'The best state by %s is that of step %d, %.6g: --mode=sample'
        ' --workdir=%s --step=best.',
        self._best,
        *kept,
        self._run.path,
      )
    self._kept.close()


def against(line: dict) -> dict:
  """What a line was measured against: all of it but the numbers, floats."""
  return {
    name: value
    for name, value in line.items()
    if name not in ('step', 'images')
    and not isinstance(value, float | None)  # null: it was not finite
  }


def measured(run, measure: Measure) -> set[int]:
  """The steps that evaluate.jsonl has all of a measure's numbers of."""
  return {
    line['step']
    for line in run.lines('evaluate.jsonl')
    if against(line) == measure.against
    and all(name in line for name in measure.main)
  }


def write(run, line: dict, main: dict[str, int]) -> None:
  """Adds a line to evaluate.jsonl and draws evaluate.png.

  Args:
    run: the RunDir.
    line: with 'step', 'images', what it was measured against, and the numbers.
    main: the numbers worth a curve, see `Measure`.
  """
  run.append('evaluate.jsonl', line)
  same = {}  # by step: a later line stands for an earlier one
  for other in run.lines('evaluate.jsonl'):
    if against(other) == against(line):
      names = [name for name in ('images', *main) if name in other]
      same[other['step']] = {name: other[name] for name in names}
  lines = [same[step] for step in sorted(same)]
  if len(lines) > 1:
    draw.save_curves(run.path / 'evaluate.png', lines)


def tell(line: dict) -> None:
  """Logs a line of evaluate.jsonl for people."""
  log.info('\n'.join(_worded(line)))


def _worded(line: dict):
  """A row a thing."""
  for name, value in line.items():
    if name == 'spaces':
      for space, facts in value.items():
        yield f'  {space:24} {facts["resizer"]}; {facts["weights"]}'
    else:
      number = isinstance(value, float)
      yield f'  {name:24} {value:.6g}' if number else f'  {name:24} {value}'
