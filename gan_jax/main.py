"""The command line: one job per --mode. `--help` prints flags.HELP."""

import logging
import os
import pathlib
import sys

from gan_jax import flags as flags_lib
from gan_jax.errors import UserError
from gan_jax.run.memory import restart_with_huge_pages


def run(flags, overrides) -> None:
  """Does the job of `flags.mode`. Raises UserError for a user's mistake."""
  if flags.help:
    from gan_jax.help import explain

    print(explain(flags.help))
    return
  from gan_jax import config as config_lib  # imports JAX: not for --help

  if flags.mode == 'convert':
    from gan_jax import released

    released.run(
      flags.sources,
      flags.out,
      kinds=flags.kinds,
      spec=flags.config,
      overrides=overrides,
    )
    return
  if flags.mode == 'weights':
    from gan_jax.convert.weights import report

    print(report(flags.weights or ''))
    return
  config = None
  if flags.config:
    own = overrides if flags.mode in ('train', 'plan') else ()
    config = config_lib.load(flags.config, own)
  workdir = flags.workdir or f'runs/{config_lib.name_of(flags.config)}'
  if flags.mode == 'train':
    from gan_jax.train import train

    train(config, workdir)
  elif flags.mode == 'sample':
    from gan_jax.sample import sample

    sample(workdir, flags.seeds, flags.step, flags.label)
  elif flags.mode == 'evaluate':
    from gan_jax.evaluate import evaluate

    which = flags.checkpoints or 'newest'
    evaluate(workdir, flags.step, which, overrides)
  else:
    from gan_jax.plan import plan

    print(plan(config))


def main() -> None:
  """Parses, sets up what every mode shares, runs, and words the mistakes."""
  flags, overrides = flags_lib.parse(sys.argv[1:])
  if flags.help == '':
    print(flags_lib.HELP)
    return
  # Compiled steps are kept between runs: a resumed run starts in seconds.
  cache = pathlib.Path.home() / '.cache' / 'gan_jax' / 'xla'
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache))
  logging.basicConfig(format='%(message)s', level=logging.WARNING)
  logging.getLogger('gan_jax').setLevel(logging.INFO)
  try:
    run(flags, overrides)
  except UserError as error:
    sys.exit(f'gan_jax: {error}')
  except KeyboardInterrupt:
    sys.exit('gan_jax: interrupted; what was saved before is as it was.')


if __name__ == '__main__':
  restart_with_huge_pages()
  main()
