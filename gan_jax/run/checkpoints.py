"""Checkpoints: Orbax behind a thin wrapper.

Saving is asynchronous. Each checkpoint carries a digest of its arrays, so that
a damaged one is noticed whichever way it was damaged (a truncated file makes
Orbax fail, a flipped bit does not), and the one before is taken instead.
"""

import contextlib
import logging
import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from gan_jax.errors import UserError

log = logging.getLogger(__name__)


@jax.jit
def digest(tree) -> jax.Array:
  """A number that changes when any bit of any array does, uint32 scalar."""
  total = jnp.uint32(0)
  for i, leaf in enumerate(jax.tree.leaves(tree)):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    bits = leaf.dtype.itemsize * 8
    words = jax.lax.bitcast_convert_type(leaf, f'uint{bits}').ravel()
    # Odd weights: a change of any one word, and most swaps, change the sum.
    weights = 2 * jnp.arange(words.size, dtype=jnp.uint32) + (2 * i + 1)
    total += jnp.sum(words.astype(jnp.uint32) * weights, dtype=jnp.uint32)
  return total


@contextlib.contextmanager
def _quiet():
  """Silences what Orbax prints of its own when a file cannot be read."""
  hook, logger = sys.unraisablehook, logging.getLogger('asyncio')
  level = logger.level
  sys.unraisablehook = lambda _: None
  logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    sys.unraisablehook = hook
    logger.setLevel(level)


class Checkpoints:
  """The checkpoints of one run.

  Args:
    directory: where they lie; made if absent.
    keep: how many of the newest stay.
    milestone_every: those at multiples of this many steps stay too; 0: none.
    read_only: for a folder that another process may be writing to, whose
      half-written checkpoint is none of ours to clear away; it must exist.
  """

  def __init__(
    self,
    directory,
    keep: int = 3,
    milestone_every: int = 0,
    read_only: bool = False,
  ):
    logging.getLogger('absl').setLevel(logging.ERROR)  # Orbax's own notes
    self._directory = pathlib.Path(directory).absolute()
    self._manager = ocp.CheckpointManager(
      self._directory,
      item_handlers=ocp.StandardCheckpointHandler(),
      options=ocp.CheckpointManagerOptions(read_only=True, create=False)
      if read_only
      else ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        keep_period=milestone_every or None,
        cleanup_tmp_directories=True,
      ),
    )

  def steps(self) -> list[int]:
    """The steps that there is a checkpoint of, in order."""
    return sorted(self._manager.all_steps())

  def reload(self) -> None:
    """Looks anew at what there is."""
    self._manager.reload()

  def save(self, step: int, state) -> None:
    """Begins to save `state` as the checkpoint of `step`, if there is none."""
    if step not in self._manager.all_steps():
      content = {'state': state, 'digest': digest(state)}
      self._manager.save(step, args=ocp.args.StandardSave(content), force=True)

  def restore(self, like, step: int | None = None):
    """The state at `step`, or the newest that is whole.

    Args:
      like: the state's shapes, types and shardings
        (`jax.ShapeDtypeStruct` leaves).
      step: which checkpoint; None for the newest.

    Returns:
      (step, state), or None if there is no checkpoint.

    Raises:
      UserError: if the state is another's, or none is readable.
    """
    steps = self.steps()
    if step is not None and step not in steps:
      raise UserError(
        f'There is no checkpoint of step {step} in {self._directory}; there'
        f' are {steps or "none"}.'
      )
    wanted = [step] if step is not None else steps[::-1]
    for candidate in wanted:
      state = self._read(candidate, like)
      if state is not None:
        return candidate, state
      log.warning('Trying the checkpoint before.')
    if wanted:
      raise UserError(
        f'No checkpoint in {self._directory} can be read (tried'
        f' {wanted}): restore the folder from a copy, or remove it to start'
        ' again.'
      )
    return None

  def _read(self, step: int, like):
    """The state at a step, or None if it cannot be read as it was written."""
    where = jax.tree.leaves(like)[0].sharding
    target = {
      'state': like,
      'digest': jax.ShapeDtypeStruct((), jnp.uint32, sharding=where),
    }
    try:
      with _quiet():
        saved = _shapes(self._manager.item_metadata(step).tree['state'])
        self._check_fits(saved, _shapes(like))
        content = self._manager.restore(
          step, args=ocp.args.StandardRestore(target)
        )
    except UserError:
      raise
    except Exception as error:  # Orbax and TensorStore raise many kinds
      reason = str(error).partition('\n')[0][:120]
    else:
      if digest(content['state']) == content['digest']:
        return content['state']
      reason = 'its bits are not those that were saved'
    log.warning('The checkpoint of step %d is damaged: %s.', step, reason)
    return None

  def _check_fits(self, saved: dict, here: dict) -> None:
    """Raises UserError if a checkpoint holds arrays of other shapes."""
    for name in sorted(saved | here):
      if saved.get(name) != here.get(name):
        raise UserError(
          f'The checkpoints in {self._directory} belong to other networks:'
          f' {name} has shape {saved.get(name, "(absent)")} there and'
          f' {here.get(name, "(absent)")} here.'
        )

  def drop_after(self, step: int) -> None:
    """Removes the checkpoints after `step`, the newest whole one.

    Only for the run that goes on from there: it will save them anew.
    """
    for newer in self.steps():
      if newer > step:
        shutil.rmtree(self._directory / str(newer))
    self._manager.reload()

  def wait(self) -> None:
    """Returns when what was begun is on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Finishes and lets go of the folder."""
    self.wait()
    self._manager.close()


def _shapes(tree) -> dict[str, tuple]:
  """The shapes of a tree's arrays by name; keys and the like left out."""
  shapes = {}
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    if not getattr(leaf, 'shape', None):
      continue
    keys = [
      getattr(k, 'name', getattr(k, 'key', getattr(k, 'idx', k))) for k in path
    ]
    name = '.'.join(map(str, keys))
    if name != 'key':
      shapes[name] = tuple(leaf.shape)
  return shapes
