"""Takes a trained classifier over as a run's teacher.

That happens once, at the first start: from then on the teacher is part of the
run's own state, and the folder it came from is no longer needed.
"""

import logging
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gan_jax.distill.game import TEACHER
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

# In place of a folder: the teacher keeps its first, random weights. For tests.
RANDOM = 'random'


class Teacher(NamedTuple):
  """A trained classifier.

  Attributes:
    variables: what its network's `apply` takes.
    origin: where they come from, for people.
  """

  variables: Any
  origin: str


def find(section, facts: dict, like, restore: Callable) -> Teacher | None:
  """The trained teacher that a config names.

  Args:
    section: `config.teacher`; `workdir` is the run of a classifier, whose
      newest checkpoint is taken.
    facts: of the run's data, as its data.json has them.
    like: the shapes of the teacher's variables.
    restore: (folder, mesh) -> the run there with its newest state, see
      `restore.restore`, which lies above this room.

  Returns:
    None if the config asks for random weights.

  Raises:
    UserError: if the folder holds no classifier of these classes, this shape
      of pictures and these layers.
  """
  if section.workdir == RANDOM:
    return None
  path = pathlib.Path(section.workdir)
  if not (path / 'config.json').exists():
    raise UserError(
      f'config.teacher.workdir = {section.workdir!r} holds no run: train the'
      ' teacher first (configs/classifier_cifar10.py), or name its folder by'
      ' --config.teacher.workdir=DIR.'
    )
  run, config, _, step, trained = restore(path, one_device())
  kind = lambda facts: (facts['shape'], len(facts['classes']))
  theirs = kind(run.load_data())
  if theirs != kind(facts):
    raise UserError(
      f'The teacher in {path} was trained on pictures of shape and number of'
      f' classes {theirs}, this run has {kind(facts)}: name a teacher'
      ' that was trained on the same data by --config.teacher.workdir=DIR.'
    )
  variables = {name: trained.pair.d.variables.get(name) for name in like}
  shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
  if shapes(variables) != shapes(like):
    there = dict(config.discriminator)
    raise UserError(
      f'The teacher in {path} is another network than config.teacher says:'
      f' there it is {there}; set config.teacher to the same.'
    )
  log.info('The teacher is step %d of %s.', step, path)
  return Teacher(variables, f'step {step} of {path}')


def install(
  state: TrainState, section, facts: dict, restore: Callable
) -> TrainState:
  """The state with a trained teacher in the place of the random one.

  Args:
    state: the first of a run; it has a place for a teacher or has none.
    section: see `find`.
    facts: see `find`.
    restore: see `find`.

  Returns:
    The state, its arrays where they were.

  Raises:
    UserError: see `find`.
  """
  d = state.pair.d
  if TEACHER not in d.stats:
    return state
  found = find(section, facts, d.stats[TEACHER], restore)
  if found is None:
    return state
  placed = jax.tree.map(
    lambda new, old: jax.device_put(new, old.sharding),
    found.variables,
    d.stats[TEACHER],
  )
  d = d.replace(stats=d.stats | {TEACHER: placed})
  return state.replace(pair=state.pair.replace(d=d))
