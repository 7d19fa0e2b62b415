"""How long the step of each config takes to compile, at its full size.

  python benchmarks/compile.py [--quick] [--only=dcgan_cifar,osgan_celeba]

The step of a run's last stage, on one device, by a process of its own without
a compilation cache: traced, lowered and compiled, but for what is done in
Python before. Nothing is trained, and data that are not here are stood in for.
--quick: a small one and one of an ensemble.

The last line is JSON: config -> seconds.
"""

import argparse
import json
import os
import pathlib
import time

import plans
from _lines import in_a_process

QUICK = ('quickstart', 'sgan_toy')


def compile_one(name: str) -> float:
  """Seconds of one config's step."""
  import jax

  from gan_jax import experiment, few_shot
  from gan_jax.data import open_source
  from gan_jax.engine import Engine
  from gan_jax.mesh import one_device
  from gan_jax.plan import stand_in

  jax.config.update('jax_enable_compilation_cache', False)
  config, source = plans.load(f'{name}.py', {})
  config = few_shot.settled(config)
  source = source or stand_in.of_tfds(config.data) or open_source(config.data)
  made = experiment.build(config, source.shape, len(source.classes))
  engine = Engine(config, made, source, one_device(), planned=True)
  start = time.perf_counter()
  engine.ready(engine.total - 1)
  seconds = time.perf_counter() - start
  engine.close()
  return seconds


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--only', default='')
  parser.add_argument('--one', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.one:
    print(json.dumps(round(compile_one(args.one), 1)))
    return
  folder = pathlib.Path(__file__).resolve().parents[1] / 'configs'
  names = sorted(file.stem for file in folder.glob('[a-z]*.py'))
  if args.quick or args.only:
    names = args.only.split(',') if args.only else QUICK
  print(f'load {os.getloadavg()[0]:.2f}')
  found = {}
  for name in names:
    seconds = in_a_process(__file__, name)
    if seconds is not None:
      found[name] = seconds
      print(f'{name:20} {seconds:6.1f} s', flush=True)
  print(json.dumps(found))


if __name__ == '__main__':
  main()
