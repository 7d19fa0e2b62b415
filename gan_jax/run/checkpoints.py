"""Checkpoints: Orbax behind a thin wrapper.

Saving is asynchronous. Each checkpoint carries a digest of its arrays, so that
a damaged one is noticed whichever way it was damaged (a truncated file makes
Orbax fail, a flipped bit does not), and the one before is taken instead.
"""

import contextlib
import dataclasses
import logging
import re
import sys

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from gan_jax import hosts, paths
from gan_jax.errors import UserError, is_passing
from gan_jax.run import older
from gan_jax.run.write import move_tree, remove_tree

log = logging.getLogger(__name__)

# Arrays that states of older versions have and today's have not, by name: read,
# since the digest is of all arrays, and then dropped. See Checkpoints.dropped.
OLDER = (
  r'(.*\.)?opt(\.\d+)+\.count',  # updates so far, of a learning rate's schedule
  r'(.*\.)?opt(\.\d+)+\.mu\..*',  # Adam's mean gradient without momentum
  r'pair\.d\.stats\.teacher\..*',  # a constant since: constants.py
  r'(.*\.)?stats\.spectral\.SpectralNorm_.*',  # vectors: older.py
)
# Arrays that a run can go on without: where its rules, terms, average or
# ensemble have changed they begin anew; vectors of spectral norm come from an
# older version's.
ANEW = (
  r'(pair|local_pairs)\.[gd]\.stats\.spectral\..*',
  r'(pair|local_pairs)\.[gd]\.opt\..*',
  r'(pair|local_pairs)\.[gd]\.(params|stats)\.terms\..*',
  r'(pair|local_pairs)\.d\.stats\.(loss|augment)\..*',
  r'(ema|local_pairs|messengers)\..*',
)


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
  hook = sys.unraisablehook
  sys.unraisablehook = lambda _: None
  try:
    yield
  finally:
    sys.unraisablehook = hook


class Checkpoints:
  """The checkpoints of one run.

  To open and to read them writes nothing. At the first `save` or `drop_after`
  the folder is made, and what a killed writer left half done is cleared away.

  Args:
    directory: where they lie.
    keep: how many of the newest stay.
    milestone_every: those at multiples of this many steps stay too; 0: none.

  Attributes:
    dropped: arrays by name, such as 'pair.d.opt.1.count', that the last state
      restored had from an older version, or from other settings, and has no
      place for now.
    anew: names of those that it did not have.
  """

  def __init__(self, directory, keep: int = 3, milestone_every: int = 0):
    # Orbax's own notes, with pages of its inside where a disk is full: what
    # counts is raised.
    logging.getLogger('absl').setLevel(logging.CRITICAL)
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
    self.dropped: dict[str, jax.Array] = {}
    self.anew: list[str] = []
    self._directory = paths.absolute(directory)
    self._damaged: set[int] = set()  # steps, as `restore` found them
    self._to_write = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      keep_period=milestone_every or None,
      cleanup_tmp_directories=True,
    )
    self._manager: ocp.CheckpointManager | None = None
    self._writes = False

  def _open(self, options) -> None:
    if self._manager:
      self._manager.close()
    self._manager = ocp.CheckpointManager(
      self._directory,
      item_handlers=ocp.StandardCheckpointHandler(),
      options=options,
    )

  def _reader(self) -> ocp.CheckpointManager | None:
    """Orbax's manager; None while there is no folder."""
    if self._manager is None and self._directory.exists():
      list(self._directory.iterdir())  # what the system has against it, if any
      options = ocp.CheckpointManagerOptions(read_only=True, create=False)
      self._open(options)
    return self._manager

  def _writer(self) -> ocp.CheckpointManager:
    if not self._writes:
      self._open(self._to_write)
      self._writes = True
    return self._manager

  def steps(self) -> list[int]:
    """The steps that there is a checkpoint of, in order."""
    reader = self._reader()
    return sorted(reader.all_steps()) if reader else []

  def newest_on_disk(self) -> int | None:
    """The newest that is whole, whatever became of those being saved."""
    try:
      found = [p for p in self._directory.iterdir() if p.name.isdecimal()]
      # In a file system Orbax gives it its name when all of it is written, in
      # an object store a file that says so.
      steps = [
        int(p.name) for p in found if ocp.utils.is_checkpoint_finalized(p)
      ]
    except Exception:  # whatever keeps from looking has ended the run already
      return None
    return max(steps, default=None)

  def reload(self) -> None:
    """Looks anew at what there is."""
    if reader := self._reader():
      reader.reload()

  def save(self, step: int, state) -> None:
    """Begins to save `state` as the checkpoint of `step`, if there is none."""
    writer = self._writer()
    if step not in writer.all_steps():
      content = {'state': state, 'digest': digest(state)}
      writer.save(step, args=ocp.args.StandardSave(content), force=True)

  def restore(self, like, step: int | None = None, fresh=None):
    """The state at `step`, or the newest that is whole.

    Args:
      like: the state's shapes, types and shardings
        (`jax.ShapeDtypeStruct` leaves).
      step: which checkpoint; None for the newest.
      fresh: () -> a state like it, which arrays of `ANEW` are taken from where
        the checkpoint has none of their shape; None to refuse then.

    Returns:
      (step, state), or None if there is no checkpoint.

    Raises:
      UserError: if the state is another's, none is readable, or one cannot be
        asked just now (no permission, a server that is gone): to go on from an
        older one then would be to lose what is not lost.
    """
    steps = self.steps()
    if step is not None and step not in steps:
      raise UserError(
        f'There is no checkpoint of step {step} in {self._directory}; there'
        f' are {steps or "none"}.'
      )
    wanted = [step] if step is not None else steps[::-1]
    for candidate in wanted:
      state = self._read(candidate, like, fresh)
      if state is not None:
        return candidate, state
      self._damaged.add(candidate)
      log.warning('Trying the checkpoint before.')
    if wanted:
      raise UserError(
        f'No checkpoint in {self._directory} can be read (tried'
        f' {wanted}): restore the folder from a copy, or remove it to start'
        ' again.'
      )
    return None

  def _read(self, step: int, like, fresh):
    """The state at a step, or None if it cannot be read as it was written."""
    try:
      with _quiet():
        saved = self._manager.item_metadata(step).tree
        anew = self._misfits(_named(saved['state']), _named(like), fresh)
        content = self._manager.restore(
          step, args=ocp.args.StandardRestore(_targets(saved, like, anew))
        )
    except UserError:
      raise
    except Exception as error:  # Orbax and TensorStore raise many kinds
      reason = str(error).partition('\n')[0][:120]
      if is_passing(error):
        raise UserError(
          f'The checkpoint of step {step} in {self._directory} cannot be read'
          f' just now ({reason}): nothing was changed. Run the same command'
          ' again when it can, or move its folder away to go on without it.'
        ) from error
    else:
      arrays = _named(content['state'])
      # In the order in which whoever saved them had them.
      if digest(_in_order(arrays, like)) == content['digest']:
        made = _named(fresh()) if anew else {}
        take = lambda name: (made if name in anew else arrays)[name]
        named = jax.tree_util.tree_map_with_path(lambda p, _: _name(p), like)
        used = set(jax.tree.leaves(named)) - anew
        self.dropped = {k: x for k, x in arrays.items() if k not in used}
        state = {name: take(name) for name in jax.tree.leaves(named)}
        kept = older.with_vectors(state, self.dropped)
        self.anew = sorted(anew - kept.keys())
        return jax.tree.map((state | kept).get, named)
      reason = 'its bits are not those that were saved'
    log.warning('The checkpoint of step %d is damaged: %s.', step, reason)
    return None

  def _misfits(self, saved: dict, here: dict, fresh) -> set[str]:
    """The arrays of a state that a checkpoint has none of their shape for.

    Raises:
      UserError: if it is another's state: if arrays differ without which a run
        cannot go on.
    """
    matches = lambda name, known: any(re.fullmatch(k, name) for k in known)
    there = {
      name: tuple(x.shape)
      for name, x in saved.items()
      if name in here or not matches(name, OLDER)
    }
    here = {name: _stored_shape(x) for name, x in here.items()}
    differ = [n for n in sorted(there | here) if there.get(n) != here.get(n)]
    for name in differ:
      if fresh is None or not matches(name, ANEW):
        raise UserError(
          f'The checkpoints in {self._directory} belong to other networks:'
          f' {name} has shape {there.get(name, "(absent)")} there and'
          f' {here.get(name, "(absent)")} here.'
        )
    return set(differ) & here.keys()

  def drop_after(self, step: int) -> None:
    """Clears the way of a run that goes on from `step`, the newest whole one.

    It will save the later ones anew. What `restore` could not read is kept all
    the same, in a folder aside/ beside this one: the fault may be the reader's.
    """
    newer = [other for other in self.steps() if other > step]
    hosts.meet('dropping checkpoints')  # all have seen what there is
    if not newer:
      return
    writer, aside = self._writer(), self._directory.parent / 'aside'
    for other in newer if hosts.leads() else ():
      folder = self._directory / str(other)
      if other not in self._damaged:
        remove_tree(folder)
        continue
      kept = aside / f'{self._directory.name}_{other}'
      move_tree(folder, kept)
      log.warning('The damaged checkpoint of step %d is now %s.', other, kept)
    hosts.meet('dropped checkpoints')
    writer.reload()

  def wait(self) -> None:
    """Returns when what was begun is on disk."""
    if self._manager:
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Finishes and lets go of the folder, even if what was begun fails."""
    try:
      self.wait()
    finally:
      if self._manager:
        self._manager.close()


def _keys(path) -> list[str]:
  """The path of a leaf; fields, keys and indices are told by their text."""
  keys = [
    getattr(k, 'name', getattr(k, 'key', getattr(k, 'idx', k))) for k in path
  ]
  return list(map(str, keys))


def _name(path) -> str:
  return '.'.join(_keys(path))


def _named(tree) -> dict:
  """A tree's leaves by name, such as 'pair.g.params.Conv_0.kernel'."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {_name(path): leaf for path, leaf in leaves}


def _stored_shape(leaf) -> tuple:
  """The shape that Orbax has an array in: of a key, its words'."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.eval_shape(jax.random.key_data, leaf)
  return tuple(leaf.shape)


def _targets(saved, like, anew):
  """What to restore: all that was saved, in places like those of `like`."""
  here = _named(like)
  where = jax.tree.leaves(like)[0].sharding  # for what `like` does not have

  def target(path, leaf):
    shape = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    name = _name(path[1:])  # without the leading 'state'
    return shape if name in anew else here.get(name, shape)

  return jax.tree_util.tree_map_with_path(target, saved)


def _in_order(arrays: dict, like) -> list:
  """Arrays by name, others than `like` has maybe, in the order of its leaves.

  Fields come in the order of their class, keys and indices by their value.
  """
  leaves = _named(like)
  if arrays.keys() == leaves.keys():
    return [arrays[name] for name in leaves]
  fields = {}  # by the name of what has them: the fields in order
  if dataclasses.is_dataclass(like):  # also those that are None
    fields[''] = [field.name for field in dataclasses.fields(like)]
  for path, _ in jax.tree_util.tree_flatten_with_path(like)[0]:
    keys = _keys(path)
    for i, entry in enumerate(path):
      if isinstance(entry, jax.tree_util.GetAttrKey):
        known = fields.setdefault('.'.join(keys[:i]), [])
        if keys[i] not in known:
          # Where older versions had Adam's mean, see OLDER.
          known += ['mu', 'nu'] if keys[i] == 'nu' else [keys[i]]

  def rank(name):
    keys = name.split('.')
    known = (fields.get('.'.join(keys[:i]), []) for i in range(len(keys)))
    return [
      (among.index(key), 0, '')
      if key in among
      else (len(among), int(key) if key.isdigit() else 0, key)
      for key, among in zip(keys, known, strict=True)
    ]

  return [arrays[name] for name in sorted(arrays, key=rank)]
