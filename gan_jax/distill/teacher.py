"""Takes a trained classifier over as a run's teacher.

That happens once, at the first start: from then on the teacher is kept in the
run's own folder (run/constants.py), and the one it came from is no longer
needed.
"""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gan_jax import paths
from gan_jax.errors import UserError
from gan_jax.mesh import one_device

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
  path = paths.place(section.workdir, '--config.teacher.workdir')
  if not (path / 'config.json').exists():
    raise UserError(
      f'config.teacher.workdir = {section.workdir!r} holds no run: train the'
      ' teacher first (configs/classifier_cifar.py), or name its folder by'
      ' --config.teacher.workdir=DIR.'
    )
  run, config, _, step, trained = restore(
    path, one_device(), what='--config.teacher.workdir'
  )
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
