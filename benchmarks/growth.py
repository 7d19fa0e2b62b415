"""What progressive growing saves, and what it costs to change a stage.

  python benchmarks/growth.py [--quick] [--largest=64]

Two figures of Karras et al. 2018 (Figure 4: about 2 times at 128 px, 5.4 times
at 1024 px), as time integrals over the released schedule: the seconds that a
step of each stage takes, times its steps, against all images at full size.

- `speedup_128`: Table 1's networks (fmap_base 2048), minibatches of 16, 800,000
  images a phase, 10 million images. Every stage is run.
- `speedup_1024`: Table 2's networks, the paper's minibatches, 12.8 million
  images: until the last level has faded in. Stages up to --largest are run; of
  those above, the compiler's count of operations is taken at the rate of the
  largest one that was run (`--largest=1024` runs them all, on a GPU).
- `speedup_1024_at_6m`: the same after 6.4 million images, where the paper reads
  its 5.4 off.
- `pause_steps`: a small run grows from 4 to 16 px with its next stage compiled
  in the background; the longest step at a change, in median steps of that
  stage, less one; `pause_seconds` is how much longer it took than these.
  `..._without`: the same with nothing compiled ahead of time.

--quick runs 4 and 8 px of the first two. The last line is JSON.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import statistics
import time

from _measure import device

from gan_jax.run.memory import restart_with_huge_pages

PHASE = 800_000
MINIBATCH = {256: 14, 512: 6, 1024: 3}  # the paper's; 16 elsewhere
CASES = {  # by last level: networks, images in all
  128: (dict(fmap_base=2048), 10_000_000),
  1024: ({}, 12_800_000),
}
READ_AT = 6_400_000  # images, of the paper's figure for 1024 px


def config(side, networks, start=4, phase=PHASE):
  """ProGAN on pictures of a side, with the paper's schedule."""
  from gan_jax import config as config_lib

  c = config_lib.defaults()
  c.generator = dict(name='progan', **networks)
  c.discriminator = dict(name='progan', group_size=0, **networks)
  c.loss.name = 'wasserstein'
  c.penalties.wgan_gp.weight = 10.0
  c.penalties.drift.weight = 1e-3
  c.latent.size = 512
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=1e-3, b1=0.0, b2=0.99)
  c.ema.update(name='decay', decay=0.999)
  c.growth.update(start=start, stable_images=phase, fade_images=phase)
  c.growth.batch = tuple(f'{k}:{n}' for k, n in MINIBATCH.items() if k <= side)
  c.train.batch = 16
  return c


def stages(made, total):
  """(stage, steps, images) of each stage of a run of so many images."""
  import ml_collections

  growth = made.growth
  section = ml_collections.ConfigDict(dict(images=total, steps=1))
  end, found = growth.total(section), []
  begins = growth.first_steps(0, end)
  for step, last in itertools.pairwise([*begins, end]):
    images = growth.images(last) - growth.images(step)
    found.append((growth.stage(step), last - step, images))
  return found


def compiled(made, stage):
  """A stage's step: (state, batch) -> (state, metrics)."""
  import jax
  import jax.numpy as jnp

  from gan_jax import compiler
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device
  from gan_jax.restore import like
  from gan_jax.state import Span

  one, side = made.make_step(stage), stage.resolution
  shape = (1, stage.batch, side, side, 3)
  sample = Batch(
    jax.ShapeDtypeStruct(shape, jnp.float32),
    jax.ShapeDtypeStruct(shape[:2], jnp.int32),
  )
  step = lambda state, batch: one(state, {}, batch, Span())
  options = compiler.for_steps(one_device())
  jitted = jax.jit(step, donate_argnums=0, compiler_options=options)
  return jitted.lower(like(made, one_device()), sample).compile()


def seconds_of(step, state, stage, rounds):
  """The median time of a stage's step, and the state after it."""
  import jax
  import jax.numpy as jnp

  from gan_jax.data.pipeline import Batch

  side = stage.resolution
  shape = (1, stage.batch, side, side, 3)
  image = jax.random.uniform(jax.random.key(1), shape, minval=-1.0)
  batch = Batch(image, jnp.zeros(shape[:2], jnp.int32))
  times = []
  for _ in range(rounds + 1):
    start = time.perf_counter()
    state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    times.append(time.perf_counter() - start)
  return statistics.median(times[1:]), state


def gain(rows, total):
  """The time of so many images at full size over that of growing.

  Args:
    rows: (images, seconds an image) of each stage, in order.
    total: images.
  """
  spent, left = 0.0, total
  for images, each in rows:
    spent += min(images, left) * each
    left -= min(images, left)
  full = total * rows[-1][1]
  print(
    f'  {total:,} images: {spent / 3600:.1f} h growing, {full / 3600:.1f} h'
    ' without'
  )
  return full / spent


def stage_times(side, largest, rounds, top=1024):
  """(images, seconds an image) of each stage of a run that grows to a side."""
  from gan_jax import experiment
  from gan_jax.engine import peak_bytes
  from gan_jax.mesh import one_device

  networks, total = CASES[side]
  made = experiment.build(config(side, networks), (side, side, 3), 0)
  plan = [row for row in stages(made, total) if row[0].resolution <= top]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    steps_of = list(pool.map(lambda row: compiled(made, row[0]), plan))
  state = experiment.initial_state(made, 0, one_device())
  rows, rate = [], None
  for (stage, steps, images), step in zip(plan, steps_of, strict=True):
    operations = step.cost_analysis()['flops']
    run = stage.resolution <= largest
    if run:
      seconds, state = seconds_of(step, state, stage, rounds)
      rate = operations / seconds
    seconds = operations / rate
    rows.append((images, seconds / stage.images))
    print(
      f'{stage.resolution:5} px, {stage.images:3} images a step: {steps:8,}'
      f' steps of {1e3 * seconds:10.2f} ms'
      f' ({"measured" if run else "by operations"}),'
      f' {operations / 1e9:9.2f} GFLOP, {peak_bytes(step) / 2**30:6.2f} GiB',
      flush=True,
    )
  return rows


def pause(ahead):
  """The longest pause at a change of stage: in median steps, in seconds."""
  from gan_jax import experiment
  from gan_jax.data import open_source
  from gan_jax.engine import Engine
  from gan_jax.mesh import one_device

  c = config(16, dict(fmap_base=1024, fmap_max=64), phase=16 * 900)
  c.data.update(source='digits', resolution=16)
  c.train.steps = 2850
  source = open_source(c.data)
  made = experiment.build(c, source.shape, 0)
  engine = Engine(c, made, source, one_device())
  if not ahead:
    engine._look_ahead = lambda: None
  engine.enter(0)
  state, times = engine.first(), []
  import jax

  for _ in range(c.train.steps):
    start = time.perf_counter()
    state, metrics = engine.step(state)
    jax.block_until_ready(metrics)
    times.append(time.perf_counter() - start)
  engine.close()
  changes = []
  for step in made.growth.first_steps(0, c.train.steps)[1:]:
    usual = statistics.median(times[step + 50 : step + 150])
    longest = max(times[step : step + 3])
    print(
      f'  to {made.growth.stage(step).resolution} px: {1e3 * longest:.0f} ms,'
      f' a step {1e3 * usual:.1f} ms'
    )
    changes.append((longest / usual - 1, longest - usual))
  return [max(values) for values in zip(*changes, strict=True)]


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--largest', type=int, default=64)
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--side', type=int, help='128 or 1024 only; 0: neither')
  args = parser.parse_args()
  print(f'{device()}; load average {os.getloadavg()}')
  figures = {}
  if args.quick:
    gain(stage_times(128, 8, 1, top=8), 1_000_000)
  else:
    for side in CASES if args.side is None else filter(None, [args.side]):
      print(f'to {side} px')
      largest = max(args.largest, 128 if side == 128 else 0)
      rows = stage_times(side, largest, args.rounds)
      figures[f'speedup_{side}'] = gain(rows, CASES[side][1])
      if side == 1024:
        figures['speedup_1024_at_6m'] = gain(rows, READ_AT)
    print('pauses with the next stage compiled ahead')
    figures['pause_steps'], figures['pause_seconds'] = pause(True)
    print('pauses without')
    steps, seconds = pause(False)
    figures |= dict(pause_steps_without=steps, pause_seconds_without=seconds)
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
