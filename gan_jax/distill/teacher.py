"""Takes a trained classifier over as a run's teacher.

That happens once, at the first start: from then on the teacher is part of the
run's own state, and the folder it came from is no longer needed.
"""

import logging
import pathlib

import jax

from gan_jax.distill.game import TEACHER
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

# In place of a folder: the teacher keeps its first, random weights. For tests.
RANDOM = 'random'


def install(state: TrainState, section, facts: dict) -> TrainState:
  """The state with a trained teacher in the place of the random one.

  Args:
    state: the first of a run; it has a place for a teacher or has none.
    section: `config.teacher`; `workdir` is the run of a classifier, whose
      newest checkpoint is taken.
    facts: of the run's data, as `RunDir.load_data` gives them.

  Returns:
    The state, its arrays where they were.

  Raises:
    UserError: if the folder holds no classifier of these classes, this shape
      of pictures and these layers.
  """
  d = state.pair.d
  if TEACHER not in d.stats or section.workdir == RANDOM:
    return state
  path = pathlib.Path(section.workdir)
  if not (path / 'config.json').exists():
    raise UserError(
      f'config.teacher.workdir = {section.workdir!r} holds no run: train the'
      ' teacher first (configs/classifier_cifar.py), or name its folder by'
      ' --config.teacher.workdir=DIR.'
    )
  theirs = RunDir(path).load_data() or {}
  kind = lambda facts: (facts.get('shape'), len(facts.get('classes', ())))
  if kind(theirs) != kind(facts):
    raise UserError(
      f'The teacher in {path} was trained on pictures of shape and number of'
      f' classes {kind(theirs)}, this run has {kind(facts)}: name a teacher'
      ' that was trained on the same data by --config.teacher.workdir=DIR.'
    )
  run, config, _, step, trained = restore(path, one_device())
  variables = {
    name: trained.pair.d.variables.get(name) for name in d.stats[TEACHER]
  }
  shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
  if shapes(variables) != shapes(d.stats[TEACHER]):
    there = dict(config.discriminator)
    raise UserError(
      f'The teacher in {path} is another network than config.teacher says:'
      f' there it is {there}; set config.teacher to the same.'
    )
  log.info('The teacher is step %d of %s.', step, run.path)
  placed = jax.tree.map(
    lambda new, old: jax.device_put(new, old.sharding),
    variables,
    d.stats[TEACHER],
  )
  d = d.replace(stats=d.stats | {TEACHER: placed})
  return state.replace(pair=state.pair.replace(d=d))
