"""The command line: one job per --mode. `--help` prints flags.HELP."""

import logging
import sys

from gan_jax import config_files, top
from gan_jax import flags as flags_lib
from gan_jax.errors import STOPPED
from gan_jax.run.memory import restart_with_huge_pages


def _config(flags, overrides=()):
  """The config that --config names."""
  from gan_jax import config as config_lib  # imports JAX: not for --help

  return config_lib.load(flags.config, overrides)


def _workdir(flags) -> str:
  """The run's folder: --workdir, or the one that the config has of itself."""
  if flags.config:
    _config(flags)  # a mistake in its name is one, with --workdir or without
  if flags.workdir is None:
    return f'runs/{config_files.name_of(flags.config)}'
  return flags.workdir


def _train(flags, overrides) -> None:
  from gan_jax import hosts
  from gan_jax.train import train

  hosts.connect(flags.coordinator, flags.process, flags.processes)
  if train(_config(flags, overrides), _workdir(flags)):
    sys.exit(STOPPED)


def _sample(flags, overrides) -> None:
  from gan_jax.sample import sample

  seeds = '0-63' if flags.seeds is None else flags.seeds
  sample(
    _workdir(flags),
    seeds,
    flags.step,
    flags.label,
    flags.out,
    flags.truncation,
  )


def _evaluate(flags, overrides) -> None:
  from gan_jax.evaluate import evaluate

  which = flags.checkpoints or 'newest'
  evaluate(_workdir(flags), flags.step, which, overrides)


def _explore(flags, overrides) -> None:
  from gan_jax.explore import explore

  explore(_workdir(flags), flags.tool, flags.step, flags.out, overrides)


def _plan(flags, overrides) -> None:
  from gan_jax import plan

  found = plan.plan(
    _config(flags, overrides),
    flags.topology or '',
    effort=flags.effort or 'full',
  )
  print(found.text)
  plan.check(found)


def _convert(flags, overrides) -> None:
  from gan_jax import released

  released.run(
    flags.sources,
    flags.out,
    kinds=flags.kinds,
    spec=flags.config,
    overrides=overrides,
  )


def _weights(flags, overrides) -> None:
  from gan_jax.convert.weights import report

  print(report(flags.weights or ''))


def _tune(flags, overrides) -> None:
  from gan_jax.tune import tune

  tune()


def _explain(flags, overrides) -> None:
  from gan_jax.help import explain

  print(explain(flags.help))


# The job of each --mode. What a job needs is imported when it is done.
JOBS = {
  'train': _train,
  'sample': _sample,
  'evaluate': _evaluate,
  'explore': _explore,
  'plan': _plan,
  'convert': _convert,
  'weights': _weights,
  'tune': _tune,
}


def _job(flags):
  return _explain if flags.help else JOBS[flags.mode]


def main() -> None:
  """Parses, sets up what every mode shares, runs."""
  top.run(_main, debug='--debug' in sys.argv)


def _main() -> None:
  flags, overrides = flags_lib.parse(sys.argv[1:])
  if flags.help == '':
    print(flags_lib.HELP)
    return
  top.prepare()
  logging.getLogger('gan_jax').setLevel(logging.INFO)
  _job(flags)(flags, overrides)


if __name__ == '__main__':
  top.restart_in_utf8()
  restart_with_huge_pages()
  main()
