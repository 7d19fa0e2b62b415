"""What makes a run this run: all of its settings but a few.

A folder holds one experiment. Settings that only say how long, how often and
where to compute may change from one start to the next; any other is the run's
identity, and so is what its data are like. `config.train.change` names those
that a user permits to change all the same.
"""

import fnmatch
from collections.abc import Iterable
from typing import Any

from gan_jax.errors import UserError

# Patterns of the settings that are not part of a run's identity.
FREE = (
  'data.about',  # words
  'data.data_dir',  # where
  'data.device_budget_mb',
  'data.max_bad',  # which are skipped shows in their number
  'data.workers',
  'mesh.*',
  'train.batch',  # what the devices hold; images are counted on
  'train.accumulate',
  '*.remat',  # changes no number
  'metrics.*',  # what is measured changes nothing that is learned
  'train.*_every',  # how often
  'train.change',
  'train.images',  # how long
  'train.keep',
  'train.steps',  # how long
  'train.tensorboard',
)
MISSING = '(none)'


def flat(tree: dict, prefix: str = '') -> dict[str, Any]:
  """The leaves of nested dictionaries by dotted path."""
  leaves = {}
  for key, value in tree.items():
    inside = isinstance(value, dict)
    path = f'{prefix}{key}'
    leaves |= flat(value, f'{path}.') if inside else {path: value}
  return leaves


def changes(before: dict, now: dict) -> dict[str, str]:
  """What changed between two configs.

  Args:
    before: nested dictionaries, as JSON has them.
    now: the same.

  Returns:
    By dotted path, in order, 'train.batch: 64 -> 32'.
  """
  a, b = flat(before), flat(now)
  return {
    path: f'{path}: {_short(a.get(path, MISSING))}'
    f' -> {_short(b.get(path, MISSING))}'
    for path in sorted(a | b)
    if a.get(path, MISSING) != b.get(path, MISSING)
  }


def _short(value) -> str:
  """A value in words; of a long one (the names of 1,000 classes) the start."""
  text = str(value)
  return text if len(text) <= 200 else f'{text[:180]}... ({len(value)} in all)'


def check(
  where,
  before: dict,
  now: dict,
  permitted: Iterable[str] = (),
  free: Iterable[str] = (),
) -> list[str]:
  """Refuses to go on with another experiment than a folder holds.

  Args:
    where: the folder, for the sentence.
    before: the settings of the folder's run, nested dictionaries.
    now: those that it would go on with.
    permitted: paths, of settings or of sections, that may change all the same:
      `config.train.change`.
    free: patterns of more settings that are of no run's identity.

  Returns:
    What has changed and may, in words.

  Raises:
    UserError: if anything else has changed; the sentence shows it.
  """
  found = changes(before, now)
  allowed = [*FREE, *free, *permitted, *(f'{path}.*' for path in permitted)]
  refused = [
    path
    for path in found
    if not any(fnmatch.fnmatchcase(path, pattern) for pattern in allowed)
  ]
  if refused:
    both = ','.join([*permitted, *refused])
    raise UserError(
      f'--workdir={where} holds another experiment:'
      f' {"; ".join(found[path] for path in refused)}. Take the old settings'
      ' back, choose another --workdir, or permit the change by'
      f' --config.train.change={both}.'
    )
  return list(found.values())
