"""Games that are killed at any moment until they are done.

Ten games of all kinds, and three that grow (`growth`: half of their kills are
aimed at the moments around a change of stage); the same command again and
again, each time ended by SIGKILL, SIGTERM or SIGINT at a random moment: while
it imports, compiles, steps, saves, evaluates, draws. At the end every bit of
the state, every line of metrics.jsonl and evaluate.jsonl, the best state and
all pictures must be those of a run that nobody disturbed.
"""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from gan_jax.errors import INTERRUPTED, STOPPED
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from tests import small
from tests.campaign.pool import ROOT

LOG_EVERY = 3
RHYTHM = (
  '--config.train.steps=60',
  f'--config.train.log_every={LOG_EVERY}',
  '--config.train.checkpoint_every=10',
  '--config.train.image_every=20',
)
SCORED = (
  '--config.metrics.every=15',
  '--config.metrics.names=frechet_pixels',
  '--config.metrics.best=frechet_pixels',
)
# By name: the config, and what the game has of its own.
GAMES = {
  'conditional': ('quickstart.py:test', *SCORED),
  'one_stage': ('osgan_mnist.py:test', *SCORED),
  'ensemble': ('sgan_cifar.py:test', *SCORED),
  'points': ('sgan_toy.py:test', '--config.metrics.every=15'),
  'text': ('sgan_text.py:test',),
  'classifier': ('classifier_cifar.py:test',),
  'data-free': ('distill_cifar.py:test',),
  'folder': ('dcgan_folder.py:test', *SCORED),
  'stream': ('dcgan_folder.py:test', '--config.data.device_budget_mb=0'),
  'lazy': ('quickstart.py:test', *SCORED),
}
# Three levels in 60 steps, each change in the middle of something.
GROWTH = ('--config.growth.stable_images=64', '--config.growth.fade_images=96')
GROWING = {
  'growing': ('progan_cifar.py:test', *GROWTH, *SCORED),
  'growing-stream': (
    'progan_folder.py:test',
    *GROWTH,
    '--config.data.device_budget_mb=0',
  ),
  'growing-devices': ('progan_cifar.py:test,conditional', *GROWTH),
}
DEVICES = {'growing-devices': 8}  # fake ones of a CPU
OWN = {
  'lazy': (
    '--config.penalties.r1.weight=1.0',
    '--config.penalties.r1.every=4',
    '--config.penalties.r1.phase=after',
    '--config.train.milestone_every=20',
  ),
}


def grow(count: int, seed: int, folder: pathlib.Path) -> dict:
  """`run` of the games that grow."""
  return run(count, seed, folder, GROWING)


def run(count: int, seed: int, folder: pathlib.Path, games=None) -> dict:
  """Kills each game in turn until there were `count` kills.

  Returns:
    'kills', by signal; 'games' that ended; 'bad': [(game, words)].
  """
  draw, kills, bad = random.Random(seed), {}, []
  games = sorted(games or GAMES)
  games = draw.sample(games, min(len(games), count))
  pictures(folder / 'pictures')
  for k, game in enumerate(games):
    share = count * (k + 1) // len(games) - count * k // len(games)
    whole, killed = folder / f'{game}-whole', folder / f'{game}-killed'
    for problem in _game(game, folder, whole, killed, share, draw, kills):
      bad.append((game, problem))
      print(f'{game}: {problem}', file=sys.stderr, flush=True)
    print(f'{game}: {share} kills', file=sys.stderr, flush=True)
  return {
    'games': len(games),
    'kills': sum(kills.values()),
    **kills,
    'bad': bad,
  }


def pictures(folder: pathlib.Path) -> None:
  """Forty small pictures in two classes."""
  rng = np.random.default_rng(0)
  for k in range(40):
    place = folder / 'ab'[k % 2]
    place.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    image.save(place / f'{k}.png')


def command(game: str, folder: pathlib.Path, workdir: pathlib.Path):
  """What starts a game, and goes on with it."""
  config, *settings = (GAMES | GROWING)[game]
  if 'folder' in config:
    settings.append(f'--config.data.source=folder:{folder / "pictures"}')
  settings += OWN.get(game, ())
  return [
    *(sys.executable, '-m', 'gan_jax.main', f'--config=configs/{config}'),
    *(*RHYTHM, *settings, f'--workdir={workdir}'),
  ]


def start(argv, devices: int = 1, **how) -> subprocess.Popen:
  """A process of the program, its output together."""
  fake = f'--xla_force_host_platform_device_count={devices}'
  return subprocess.Popen(
    argv,
    **how,
    cwd=ROOT,
    env=os.environ
    | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': fake if devices > 1 else ''},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    errors='replace',
  )


def _game(game, folder, whole, killed, share, draw, kills):
  """Yields what went wrong with one game."""
  begin, devices = time.monotonic(), DEVICES.get(game, 1)
  output, status = end(start(command(game, folder, whole), devices))
  took = time.monotonic() - begin
  if status:
    yield f'undisturbed it exits with {status}: {output[-400:]}'
    return
  argv, left_over = command(game, folder, killed), share
  while left_over:
    process = start(argv, devices)
    grows = game in GROWING
    name = 'KILL' if grows else draw.choice(('KILL', 'KILL', 'TERM', 'INT'))
    _wait(draw, process, killed, took, grows)
    if process.poll() is None:
      left_over -= 1
      kills[name] = kills.get(name, 0) + 1
      process.send_signal(getattr(signal, f'SIG{name}'))
    output, status = end(process)
    if 'Traceback' in output or status not in EXPECTED[name]:
      yield f'after SIG{name}: {status}: {output[-600:]}'
    if _is_done(killed) and left_over:
      # Sooner than its share of kills: from the start, in the same folder.
      yield from _at_last(argv, whole, killed, devices)
      shutil.rmtree(killed)
  yield from _at_last(argv, whole, killed, devices)


def _at_last(argv, whole, killed, devices: int):
  """What is wrong when the command, once more, has made up for all."""
  output, status = end(start(argv, devices))
  if status or 'Traceback' in output:
    yield f'at last it exits with {status}: {output[-600:]}'
  yield from differences(whole, killed)


# A signal stops and saves a run; one that was interrupted before its first step
# says so, and one that was signalled at its end may end as if nothing had
# happened. While Python itself starts the signal's own way is taken.
STOPS = (STOPPED, INTERRUPTED, 0)
EXPECTED = {'KILL': (-9, 0), 'TERM': (*STOPS, -15), 'INT': (*STOPS, -2)}


# What the program says just before it does what is worth a kill, and how often
# it says it.
_SAYS = (
  (r' step \d+/', 12),
  ('best so far', 2),
  (r'frechet_pixels  ', 3),
  ('Compiling', 1),
)


_CHANGES = (('From step', 3), ('Compiling', 3), ('will take', 2))


def _wait(draw, process, workdir, took, grows: bool) -> None:
  """Returns at some moment of a process that was just started."""
  log = workdir / 'log.txt'
  size = log.stat().st_size if log.exists() else 0
  begin, seconds = time.monotonic(), draw.uniform(0.1, took)
  aimed = grows and draw.random() < 0.5
  pattern, often = draw.choice(_CHANGES if aimed else _SAYS)
  skip, by_time = draw.randrange(often), not aimed and draw.random() < 0.3
  while process.poll() is None and time.monotonic() - begin < seconds:
    if not by_time and log.exists():
      with open(log, encoding='utf-8', errors='replace') as file:
        file.seek(size)
        if len(re.findall(pattern, file.read())) > skip:
          time.sleep(draw.uniform(0, 0.15))
          return
    time.sleep(0.01)


def end(process, seconds=240):
  """Output and exit status of a process that ends, or is made to."""
  try:
    output, _ = process.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    process.kill()
    output, _ = process.communicate()
    return output + '\nTraceback: it hung', -99
  return output, process.returncode


def _is_done(workdir) -> bool:
  return (workdir / 'checkpoints' / '60').is_dir()


def left(workdir) -> dict:
  """All that a run leaves but times and the checkpoints' own files."""
  found = {}
  for file in sorted(workdir.rglob('*')):
    name = file.relative_to(workdir).as_posix()
    if not file.is_file() or name.startswith(('checkpoints/', 'best/')):
      continue
    if name in ('log.txt', 'config.json', 'curves.png', 'evaluate.png'):
      continue
    if 'events.out' in name:
      continue
    content = file.read_bytes()
    if name.endswith('.jsonl'):
      lines = map(json.loads, content.decode().splitlines())
      timed = ('images_per_second', 'memory_gb')
      # A signal has the step logged at which it saves: one line more.
      content = [
        {k: v for k, v in line.items() if k not in timed}
        for line in lines
        if line['step'] % LOG_EVERY == 0
      ]
    else:
      content = hashlib.sha256(content).hexdigest()
    found[name] = content
  return found


def differences(whole, killed):
  """What differs between an undisturbed run and a killed one."""
  for step in (None, 'best'):
    if step and not (whole / 'best.json').exists():
      continue
    a, b = (restore(f, one_device(), step) for f in (whole, killed))
    if a.step != b.step or not small.identical(a.state, b.state):
      yield f'the state of step {a.step} ({step}) differs from {b.step}'
  a, b = left(whole), left(killed)
  for name in sorted(a | b):
    if a.get(name) != b.get(name):
      yield f'{name} differs: {_short(a.get(name))}, {_short(b.get(name))}'


def _short(value) -> str:
  return str(value)[-200:]
