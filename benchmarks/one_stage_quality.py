"""One stage against two for the same time: CIFAR-10, five losses, three seeds.

  python benchmarks/one_stage_quality.py --data=npz:cifar10.npz [--quick]

Every run trains a narrow DCGAN (width 32, batch 64) for the same time on one
core: `--seconds` of the process's own CPU time, compilation apart, which is
wall time where nothing else runs and does not shrink where something does. The
two schemes of a (loss, seed) run side by side, a core each. Scores are Frechet
distances between 10,000 samples of the averaged generator and 10,000 training
images, in the last features of a small classifier trained here first; it is
not FID. `--quick` takes scikit-learn's digits, one loss and a second.

Each finished run is a line of `--out`/results.jsonl and a grid beside it; the
same command goes on where it was stopped. The table is printed in Markdown, the
last line is JSON: `frechet_one` and `frechet_two`, means over losses and seeds,
and `speedup`, steps of one stage over steps of two.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from gan_jax.run.memory import restart_with_huge_pages

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / 'configs'
LOSSES = ('dcgan_sym', 'dcgan', 'lsgan', 'geogan', 'relgan')
SCHEMES = ('one_stage', 'two_stage')
WIDTH, BATCH, COUNT = 32, 64, 10_000
CLASSIFIER_EPOCHS = 6


def make_config(flags, loss='dcgan', scheme='one_stage', seed=0):
  """A controlled entry of OSGAN's Table 1, narrow."""
  from gan_jax.config import load

  c = load(f'{CONFIGS}/osgan_cifar.py:loss={loss},scheme={scheme}')
  with c.unlocked():
    c.data.source = flags.data
    c.data.channels = flags.channels
    c.generator.width = c.discriminator.width = WIDTH
    c.train.batch = BATCH
    c.train.seed = seed
    c.ema.half_life = 5000.0
  return c


def classifier():
  """A small network of our own; its features are what scores are made in."""
  import flax.linen as nn
  import jax.numpy as jnp

  from gan_jax.nn.conv import Conv
  from gan_jax.nn.norm import normalise

  class Classifier(nn.Module):
    classes: int = 10

    @nn.compact
    def __call__(self, x):
      for width in (32, 64, 128):
        for stride in (1, 2):
          kernel = 3 if stride == 1 else 4
          x = Conv(width, kernel, stride, 1, use_bias=False)(x)
          x = nn.relu(normalise(x, 'group', train=True))
      features = jnp.mean(x, (1, 2))
      return nn.Dense(self.classes)(features), features

  return Classifier()


def train_classifier(flags, path):
  """Trains the classifier; saves it with its accuracy on a held-out tenth."""
  import jax
  import jax.numpy as jnp
  import numpy as np
  import optax
  from flax import serialization

  from gan_jax.data import open_source

  images, labels = open_source(make_config(flags).data).arrays()
  order = np.random.default_rng(0).permutation(len(images))
  held, rest = np.split(order, [len(order) // 10])
  net, rate = classifier(), optax.adam(1e-3)
  to_float = lambda i: jnp.float32(images[i]) / 127.5 - 1
  params = jax.jit(net.init)(jax.random.key(0), to_float(held[:2]))
  opt = rate.init(params)

  @jax.jit
  def step(params, opt, x, y):
    loss = lambda p: jnp.mean(
      optax.softmax_cross_entropy_with_integer_labels(net.apply(p, x)[0], y)
    )
    updates, opt = rate.update(jax.grad(loss)(params), opt)
    return optax.apply_updates(params, updates), opt

  for epoch in range(CLASSIFIER_EPOCHS):
    rows = np.random.default_rng(epoch + 1).permutation(rest)
    for i in range(0, len(rows) - 127, 128):
      row = rows[i : i + 128]
      params, opt = step(params, opt, to_float(row), labels[row])
  logits = jax.jit(lambda p, x: net.apply(p, x)[0])
  right = [
    np.argmax(logits(params, to_float(row)), -1) == labels[row]
    for row in np.array_split(held, max(len(held) // 500, 1))
  ]
  path.write_bytes(serialization.to_bytes(params))
  return float(np.mean(np.concatenate(right)))


def features(flags, path, images):
  """The classifier's features [N, 128] of images [N, H, W, C] in [-1, 1]."""
  import jax
  import numpy as np
  from flax import serialization

  net = classifier()
  like = jax.eval_shape(net.init, jax.random.key(0), images[:2])
  params = serialization.from_bytes(like, path.read_bytes())
  judge = jax.jit(lambda x: net.apply(params, x)[1])
  chunks = np.array_split(images, max(len(images) // 500, 1))
  return np.concatenate([judge(chunk) for chunk in chunks])


def run(flags, loss, scheme, seed, core):
  """One training run on one core; prints its line of results."""
  os.sched_setaffinity(0, {core})  # before JAX counts the cores
  import jax
  import numpy as np

  from gan_jax import experiment as experiment_lib
  from gan_jax.data import open_source
  from gan_jax.data.pipeline import samples_at
  from gan_jax.engine import Engine
  from gan_jax.mesh import one_device
  from gan_jax.metrics.frechet import frechet
  from gan_jax.run import draw
  from gan_jax.sampler import Sampler

  out = pathlib.Path(flags.out)
  config = make_config(flags, loss, scheme, seed)
  source, mesh = open_source(config.data), one_device()
  made = experiment_lib.build(config, source.shape, len(source.classes))
  engine = Engine(config, made, source, mesh)
  engine.enter(0)
  state, metrics = engine.step(engine.first())
  jax.block_until_ready(metrics)

  start, steps = time.process_time(), 1
  while time.process_time() - start < flags.seconds:
    before = metrics
    state, metrics = engine.step(state)
    jax.block_until_ready(before)
    steps += 1
  engine.close()

  count = min(COUNT, len(source))
  sampler = Sampler(config, made)
  chunks = np.array_split(np.arange(count), max(count // 500, 1))
  g = sampler.variables(state)
  fake = np.concatenate([sampler(g, seeds, 0) for seeds in chunks])
  real, _ = samples_at(source, 0, count)
  path = out / 'classifier.msgpack'
  score = frechet(features(flags, path, real), features(flags, path, fake))
  draw.save_grid(out / f'{loss}_{scheme}_{seed}.png', fake[:64])
  line = dict(loss=loss, scheme=scheme, seed=seed, seconds=flags.seconds)
  line |= dict(steps=steps, frechet=float(score))
  line |= {name: float(x) for name, x in metrics.items()}
  print(json.dumps(line))


def finished(out):
  """The results so far, by (loss, scheme, seed)."""
  file = out / 'results.jsonl'
  lines = file.read_text().splitlines() if file.exists() else []
  return {
    (r['loss'], r['scheme'], r['seed']): r for r in map(json.loads, lines)
  }


def table(results, losses):
  """Mean and standard deviation over the seeds, in Markdown."""
  rows = ['| loss | one stage | two stages | steps, one / two | seeds |']
  rows += ['|---|---|---|---|---|']
  for loss in losses:
    cells, steps = [], []
    for scheme in SCHEMES:
      mine = [r for (a, b, _), r in results.items() if (a, b) == (loss, scheme)]
      scores = [r['frechet'] for r in mine]
      if not scores:
        break
      spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
      cells.append(f'{statistics.mean(scores):.2f} ± {spread:.2f}')
      steps.append(statistics.mean(r['steps'] for r in mine))
    if len(cells) == 2:
      ratio = f'{steps[0]:.0f} / {steps[1]:.0f} = {steps[0] / steps[1]:.2f}'
      rows.append(f'| {loss} | {" | ".join(cells)} | {ratio} | {len(mine)} |')
  return '\n'.join(rows)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--data', default='tfds:cifar10')
  parser.add_argument('--out', default='runs/one_stage_quality')
  parser.add_argument('--seconds', type=float, default=240)
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--run', help='one run: loss,scheme,seed,core')
  parser.add_argument('--channels', type=int, default=3)
  flags = parser.parse_args()
  losses, seeds = LOSSES, range(flags.seeds)
  if flags.quick:
    losses, seeds = ('geogan',), range(1)
    flags.data, flags.channels, flags.seconds = 'digits', 1, 1.0
    flags.out += '_quick'
  if flags.run:
    loss, scheme, seed, core = flags.run.split(',')
    return run(flags, loss, scheme, int(seed), int(core))

  out = pathlib.Path(flags.out)
  out.mkdir(parents=True, exist_ok=True)
  if not (out / 'classifier.msgpack').exists():
    accuracy = train_classifier(flags, out / 'classifier.msgpack')
    print(
      f'classifier: accuracy {accuracy:.3f} on a held-out tenth', flush=True
    )
  cores = sorted(os.sched_getaffinity(0))
  for seed in seeds:
    for loss in losses:
      running = []
      for i, scheme in enumerate(SCHEMES):
        if (loss, scheme, seed) in finished(out):
          continue
        core = cores[(i + seed) % len(cores)]  # the cores take turns
        command = [sys.executable, __file__, f'--data={flags.data}']
        command += [f'--out={out}', f'--seconds={flags.seconds}']
        command += [f'--channels={flags.channels}']
        command += [f'--run={loss},{scheme},{seed},{core}']
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        if len(cores) == 1:
          running[-1].wait()
      for process in running:
        line = process.communicate()[0].decode().splitlines()
        if process.returncode:
          sys.exit(f'A run failed: {process.args}')
        with (out / 'results.jsonl').open('a') as file:
          file.write(line[-1] + '\n')
        print(line[-1], flush=True)
  results = finished(out)
  print(table(results, losses))
  total = lambda scheme, key: statistics.mean(
    r[key] for (_, s, _), r in results.items() if s == scheme
  )
  summary = {
    'frechet_one': total('one_stage', 'frechet'),
    'frechet_two': total('two_stage', 'frechet'),
    'speedup': total('one_stage', 'steps') / total('two_stage', 'steps'),
  }
  print(json.dumps(summary))


if __name__ == '__main__':
  restart_with_huge_pages()
  main()
