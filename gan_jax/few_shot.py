"""What a run on somebody's pictures should be, chosen by looking at them.

A config names what is to be chosen in `train.choose`; it has all of these
settings, for what is no folder. They are chosen once, when the run begins: a
run that goes on has those of its config.json, whatever has become of the
folder. A setting that is given on the command line is not chosen.
"""

import logging
import statistics
from collections.abc import Collection
from typing import NamedTuple

import jax

from gan_jax import networks
from gan_jax.data import part
from gan_jax.data.folder import glance
from gan_jax.errors import UserError

log = logging.getLogger('gan_jax')

# What can be chosen, and the settings that it is.
PATHS = {
  'resolution': ('data.resolution',),
  'batch': ('train.batch',),
  'steps': ('train.steps',),
  'width': ('generator.width', 'discriminator.width'),
}

GLANCES = 500  # files whose headers are read, at most
RESOLUTIONS = (64, 128, 256, 512)  # of networks that take any
FEW = 60  # FastGAN's paper has no set below
BATCH = 8  # as FastGAN was released; so are the steps, and the width
STEPS = 50_000
PASSES = 4_000  # of its smallest sets, 100 pictures: more only overfit
WIDTH = 64
# Pixels a side; 1024 px take four times as long, and are to be asked for.
MOST = 512
# On a CPU a step of full width at 256 px takes seconds: a quarter of both
# sides, at a quarter of the width, and no longer than a night.
CPU_WIDTH, CPU_MOST, CPU_STEPS = 16, 128, 20_000


class Choice(NamedTuple):
  """Of each of `PATHS` one value; see `choose`."""

  resolution: int
  batch: int
  steps: int
  width: int


def choose(
  count: int, sides: Collection[int], resolutions: Collection[int], cpu: bool
) -> Choice:
  """What suits so many pictures of such sizes.

  Args:
    count: of the pictures, at least 1.
    sides: the shorter sides of some, in pixels; at least one.
    resolutions: that the networks have.
    cpu: whether there is nothing faster.

  Returns:
    resolution: the largest to which no more than half of the pictures have to
    be enlarged, up to `MOST`. batch: `BATCH`, or the largest power of two that
    the pictures fill. steps: `STEPS`, but no more than `PASSES` over the
    pictures, in full thousands and at least one. width: `WIDTH`. On a CPU all
    but the batch have a bound of their own.
  """
  most = CPU_MOST if cpu else MOST
  side = min(statistics.median(sides), most)
  fitting = [r for r in resolutions if r <= side]
  batch = min(BATCH, 2 ** (count.bit_length() - 1))
  passes = max(1000, PASSES * count // batch // 1000 * 1000)
  return Choice(
    resolution=max(fitting) if fitting else min(resolutions),
    batch=batch,
    steps=min(CPU_STEPS if cpu else STEPS, passes),
    width=CPU_WIDTH if cpu else WIDTH,
  )


def sentence(
  choice: Choice,
  wanted: Collection[str],
  count: int,
  sides: Collection[int],
  device: str,
) -> str:
  """What was chosen and why, for people.

  Args:
    choice: see `choose`.
    wanted: the names of what was chosen; the rest was given.
    count: of the picture files, readable or not.
    sides: the shorter sides of some, in pixels; at least one.
    device: such as 'cpu'.
  """
  words = {
    'resolution': f'{choice.resolution} px',
    'batch': f'minibatches of {choice.batch}',
    'steps': f'{choice.steps:,} steps',
    'width': f'networks of width {choice.width}',
  }
  chosen = [word for name, word in words.items() if name in wanted]
  paths = [PATHS[name][0] for name in words if name in wanted]
  least, most, half = min(sides), max(sides), statistics.median(sides)
  spread = f'{least} to {most} px, half of them {half:g} or more'
  at_most = CPU_MOST if device == 'cpu' else MOST
  on = 'a CPU' if device == 'cpu' else device
  why = ''
  if 'resolution' in wanted and half < choice.resolution:
    why = ', though most are smaller: the networks have no smaller size'
  elif 'resolution' in wanted and half > choice.resolution == at_most:
    why = f', where no more than {at_most} px are chosen'
  return (
    f'{count:,} picture files, shorter side'
    f' {f"{most} px" if least == most else spread}:'
    f' {", ".join(chosen)} were chosen on {on}{why}. To have it otherwise set'
    f' {", ".join(f"--config.{path}" for path in paths)}.'
  )


def warning(count: int) -> str:
  """What to expect of few pictures; '' of enough.

  Args:
    count: of the picture files.
  """
  if count >= FEW:
    return ''
  return (
    f'{count:,} pictures are few: expect samples that repeat them, or mix two'
    f' or three; {FEW} and more that have much in common give new ones, 100 and'
    ' more better ones.'
  )


def check(config) -> None:
  """Refuses to have chosen what a run's networks have not.

  Raises:
    UserError: see above.
  """
  for name in config.train.choose:
    for path in PATHS[name]:
      room, _, key = path.rpartition('.')
      network = config[room].get('name')
      if network and key not in networks.settings(room, network):
        raise UserError(
          f'config.train.choose has {name!r}, and config.{room}.name ='
          f' {network!r} has no {key}: leave it out.'
        )


def given(config, path: str) -> None:
  """Takes a setting that somebody has set out of what is to be chosen."""
  left = [n for n in config.train.choose if path not in PATHS.get(n, ())]
  config.train.choose = tuple(left)


def settled(config, stored=None, device: str = ''):
  """A config with everything chosen that it leaves to be chosen.

  Args:
    config: a validated one; it stays as it is.
    stored: the config that the run's folder has, or None for a new run.
    device: 'cpu', 'gpu' or 'tpu': what it will be trained on; '': what is here.

  Returns:
    A locked config whose `train.choose` is empty.

  Raises:
    UserError: if there is no such folder.
  """
  wanted = tuple(config.train.choose)
  if not wanted:
    return config
  made = config.copy_and_resolve_references()
  with made.unlocked():
    made.train.choose = ()
    for path, value in _values(config, wanted, stored, device).items():
      room, _, key = path.rpartition('.')
      made[room][key] = value
  return made.lock()


def _values(config, wanted, stored, device: str) -> dict[str, int]:
  """By path, what is chosen of `wanted`, or was when the run began."""
  paths = {path: name for name in wanted for path in PATHS[name]}
  if stored is not None:
    rooms = {path: path.split('.') for path in paths}
    return {
      path: stored[room][key]
      for path, (room, key) in rooms.items()
      if key in stored.get(room, {})
    }
  kind, _, where = config.data.source.partition(':')
  split, piece = part.parse(config.data.split)
  count, sides = 0, []
  if kind == 'folder':
    count, sides = glance(config.data.source, where, split, GLANCES)
  if not sides:  # what is wrong with a folder the scan will say
    if kind != 'folder':
      log.info(
        '%s is no folder of pictures: the config has its own %s.',
        config.data.source,
        ', '.join(wanted),
      )
    return {}
  if piece:
    start, stop = piece.bounds(count)
    count = stop - start
  device = device or jax.default_backend()
  generator = networks.GENERATORS[config.generator.name]
  resolutions = getattr(generator, 'resolutions', RESOLUTIONS)
  choice = choose(count, sides, resolutions, device == 'cpu')
  log.info(sentence(choice, wanted, count, sides, device))
  if few := warning(count):
    log.warning(few)
  return {path: getattr(choice, name) for path, name in paths.items()}
