"""--mode=evaluate: scores one checkpoint, all of them, or follows a run."""

import logging
import time

from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.observe.evaluation import measured, tell, write
from gan_jax.observe.measures import Measure, measure_of
from gan_jax.restore import BEST, Opened, checkpoints, open_run, state_at
from gan_jax.run.checkpoints import Checkpoints

log = logging.getLogger('gan_jax')

_POLL = 5.0  # seconds between two looks for a new checkpoint


def evaluate(
  workdir, step: int | str | None = None, which: str = 'newest', overrides=()
) -> dict | None:
  """Scores checkpoints; each adds a line to evaluate.jsonl.

  Samples of the averaged generator are compared with the run's own data, or
  a classifier's answers with the test set's: see `observe.measures`. From the
  second line on evaluate.png shows the scores that were measured against the
  same.

  Args:
    workdir: of a run; another process may be training it.
    step: of the checkpoint; None for the newest, 'best' for the one that was
      kept for its score.
    which: 'newest' for the one at `step`; 'all' for all there are; 'follow' to
      wait for more until the run is at its end. The last two leave out what
      evaluate.jsonl has already.
    overrides: (path, text) pairs that change settings of `config.metrics`, or
      say where the data lie now.

  Returns:
    The last line: step, images, what it was measured against, and the numbers;
    None if there was nothing to do.

  Raises:
    UserError: for whatever the user can put right.
  """
  opened = open_run(workdir, overrides)
  saved = checkpoints(opened.run, BEST if step == BEST else '')
  if not saved.steps() and which != 'follow':
    raise UserError(
      f'{opened.run.checkpoints} holds no checkpoint yet: wait for the first.'
    )
  _, config, experiment = opened
  source = open_source(config.data)
  opened.run.check_same_data(source)
  measure = measure_of(config, experiment, source)
  total = experiment.growth.total(config.train)
  if which == 'newest':
    return _score(opened, measure, saved, None if step == BEST else step)
  line, done, tried = None, measured(opened.run, measure), set()
  while True:
    for new in [s for s in saved.steps() if s not in done | tried]:
      tried.add(new)
      line = _score(opened, measure, saved, new, may_be_gone=True) or line
    if which == 'all':
      break
    if max(done | tried, default=0) >= total:
      log.info('The run is at its end: step %d.', total)
      break
    time.sleep(_POLL)
    saved.reload()
  if line is None:
    log.info('Nothing to do: evaluate.jsonl has all of them.')
  return line


def _score(
  opened: Opened,
  measure: Measure,
  saved: Checkpoints,
  step: int | None,
  may_be_gone: bool = False,
) -> dict | None:
  """Scores one checkpoint.

  A run that goes on removes its old ones: with `may_be_gone`, None for such.
  """
  run, _, experiment = opened
  try:
    step, state = state_at(saved, experiment, one_device(), step)
  except UserError:
    saved.reload()
    if may_be_gone and step not in saved.steps():
      log.info('The checkpoint of step %d is gone.', step)
      return None
    raise
  images = experiment.growth.images(step)
  line = {'step': step, 'images': images, **measure.against, **measure(state)}
  tell(line)
  write(run, line, measure.main)
  return line
