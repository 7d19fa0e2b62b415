"""What benchmarks of steps have in common: time, memory, the device."""

import os
import statistics
import subprocess
import sys
import tempfile
import time


def peak_mb():
  """Peak resident memory; ru_maxrss would count the parent's, before exec."""
  with open('/proc/self/status') as status:
    line = next(row for row in status if row.startswith('VmHWM'))
  return int(line.split()[1]) / 1024


def interleaved(steps, rounds, inner):
  """Median seconds of a step of each function, called in turns.

  The first step of a turn is not counted: what a process has given back while
  the other side worked, the system may have taken from it (a virtual machine's
  host took 1.5 s to give 2.6 GB again, one step of five), and in a training run
  a step follows its like.
  """
  times = [[] for _ in steps]
  for _ in range(rounds):
    for step, seconds in zip(steps, times, strict=True):
      step()
      start = time.perf_counter()
      for _ in range(inner):
        step()
      seconds.append((time.perf_counter() - start) / inner)
      time.sleep(0.2)  # PyTorch's threads spin for a while
  return [statistics.median(seconds) for seconds in times]


def counts(quick):
  """Rounds, and steps in a round, of networks whose step takes seconds."""
  import jax

  on_gpu = jax.default_backend() == 'gpu'
  return (1, 1) if quick else (3, 20 if on_gpu else 1)


def device():
  """The name of what all of this runs on."""
  import jax

  if jax.default_backend() != 'cpu':
    return jax.devices()[0].device_kind
  with open('/proc/cpuinfo') as info:
    names = [row for row in info if row.startswith('model name')]
  return f'{names[0].partition(": ")[2].strip()}, {os.cpu_count()} cores'


def against_torch(ours, torchs, batch, rounds, inner):
  """Times a step of ours and one of PyTorch's in turns, and prints both.

  Args:
    ours: takes one step and waits for it.
    torchs: likewise; None where PyTorch is not installed.
    batch: images a step.
    rounds: of each.
    inner: steps of each in a round.

  Returns:
    The ratio of images a second, ours over theirs; None without PyTorch.
  """
  steps = [ours] + ([torchs] if torchs else [])
  medians = interleaved(steps, rounds, inner)
  rates = [batch / t for t in medians]
  words = f'ours {1e3 * medians[0]:.1f} ms, {rates[0]:.1f} img/s; '
  if not torchs:
    print(words + 'PyTorch is not installed', flush=True)
    return None
  print(
    words + f'PyTorch {1e3 * medians[1]:.1f} ms, {rates[1]:.1f} img/s',
    flush=True,
  )
  return rates[0] / rates[1]


def added_memory(script, argv, name='memory_vs_torch'):
  """Peak MB that three steps add to fresh processes, ours over PyTorch's.

  Ours runs twice, as users' commands do: it compiles, and keeps what it has
  compiled (cold); and it finds that (warm), as at each start but the first.

  Args:
    script: the benchmark, which calls `print_added_memory` when it is given
      --memory=ours or --memory=torch.
    argv: its other arguments.
    name: of the figure.

  Returns:
    {name: cold, f'warm_{name}': warm}.
  """
  found = []
  with tempfile.TemporaryDirectory() as cache:
    kept = os.environ | {'JAX_COMPILATION_CACHE_DIR': cache}
    for who in ('ours', 'ours', 'torch'):
      command = [sys.executable, script, f'--memory={who}', *argv]
      done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=kept
      )
      found.append(float(done.stdout.splitlines()[-1]))
  cold, warm, torch = found
  print(
    f'  peak memory: ours {cold:.0f} MB, {warm:.0f} MB where its steps were'
    f' compiled before; PyTorch {torch:.0f} MB',
    flush=True,
  )
  return {name: cold / torch, f'warm_{name}': warm / torch}


def print_added_memory(who, make):
  """See `added_memory`; `make` gives the step of whom the flag names."""
  import jax

  gpu = jax.default_backend() == 'gpu'
  if who == 'torch':
    import torch
  else:
    import gan_jax.restore  # noqa: F401

    jax.block_until_ready(jax.jit(lambda: 1)())
  before = peak_mb()
  step = make()
  for _ in range(3):
    step()
  if not gpu:
    print(peak_mb() - before)
  elif who == 'torch':
    print(torch.cuda.max_memory_allocated() / 2**20)
  else:
    print(jax.devices()[0].memory_stats()['peak_bytes_in_use'] / 2**20)


def our_step(config, side, batch, images):
  """A function that takes one step of a run and waits for it; compile seconds.

  As train.py does it: the compiler's memory, then the state's, then steps'.
  Frozen networks are untrained ones.

  Args:
    config: of the run.
    side: of the pictures.
    batch: images a step.
    images: [minibatches, batch, side, side, 3], those of a step.
  """
  import jax
  import jax.numpy as jnp

  from gan_jax import compiler
  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device
  from gan_jax.restore import like
  from gan_jax.run.memory import give_back_freed_memory

  made = experiment_lib.build(config, (side, side, 3), 0)
  labels = jnp.zeros(images.shape[:2], jnp.int32)
  data = jax.block_until_ready(Batch(images, labels))
  (span,), (stage,), _ = made.growth
  one = made.make_step(stage)
  first = lambda key: {name: f(key) for name, f in made.constants.items()}
  constants = jax.jit(first)(jax.random.key(0))
  jitted = jax.jit(
    lambda state, data, constants: one(state, constants, data, span),
    donate_argnums=0,
    compiler_options=compiler.for_steps(one_device()),
  )
  start = time.perf_counter()
  state = like(made, one_device())
  compiled = jitted.lower(state, data, constants).compile()
  seconds = time.perf_counter() - start
  give_back_freed_memory()
  state = [experiment_lib.initial_state(made, 0, one_device())]
  jax.block_until_ready(state[0].pair)
  give_back_freed_memory()

  def step():
    state[0], metrics = compiled(state[0], data, constants)
    jax.block_until_ready(metrics)

  return step, seconds
