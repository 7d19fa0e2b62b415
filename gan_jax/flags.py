"""The command line's flags and their help."""

import argparse
import sys

HELP = """\
Trains generative adversarial networks; a run is a config and a folder.

usage: python -m gan_jax.main --config=FILE[:options] [--workdir=DIR] [...]

What to do
  --mode=train      train, or go on with, the run in --workdir (the default)
  --mode=sample     write one PNG a seed, and a grid, to DIR/samples
  --mode=evaluate   score checkpoints; adds lines to DIR/evaluate.jsonl
  --mode=weights    feature networks' weights: what is there, what is missing
  --mode=plan       parameters, memory and FLOPs of a config; trains nothing
  --mode=convert    make a run of released weights, to sample or train on
Which run
  --config=FILE     a file of configs/ (--config=configs/ lists them); options
                    follow a colon, :test shrinks it to seconds on a CPU
  --config.A.B=X    changes one setting, e.g. --config.train.batch=32
  --help=SECTION    what there is to set: penalties, generator:dcgan, ..., all
  --workdir=DIR     the run's folder; default runs/<config>_<options>
Of --mode=sample and --mode=evaluate (the config is the run's own)
  --step=N          the checkpoint of step N, or best; default the newest
  --seeds=0-63      which samples: 0-63, or 1,5,7-9
  --label=K         class of the samples; default all in turn
Of --mode=evaluate (what it measures: --config.metrics.names=fid,kid ...)
  --checkpoints=all all that are there; or follow: those to come as well
Of --mode=convert (--config and --config.A.B=X say what weights do not tell)
  --from=G.pth      .pth, .safetensors, .npz or .pkl; of two files: G.pth,D.pth
  --out=DIR         the folder of the new run
  --as=KIND         which network it is, where names do not tell; KIND:PREFIX
                    picks one of several in a file, e.g. osgan.generator:g_ema
Of --mode=weights
  --weights=FILE    files beside those of the cache folder, a comma between

Stop with Ctrl-C: the run is saved, and the same command goes on with it.

Examples
  python -m gan_jax.main --config=configs/quickstart.py
  python -m gan_jax.main --config=configs/dcgan_cifar.py --config.train.batch=32
  python -m gan_jax.main --config=configs/dcgan_folder.py \\
      --config.data.source=folder:my/pictures --workdir=runs/mine
  python -m gan_jax.main --mode=sample --workdir=runs/quickstart --seeds=0-99
  python -m gan_jax.main --mode=plan --config=configs/dcgan_cifar.py
  python -m gan_jax.main --mode=convert --from=generator.pth --out=runs/x"""

MODES = ('train', 'sample', 'evaluate', 'plan', 'convert', 'weights')


def _step(text: str) -> int | str:
  """A step, or 'best'; argparse says of a ValueError what is wrong."""
  return text if text == 'best' else int(text)


_step.__name__ = "number or 'best'"  # what argparse calls it


def parse(argv):
  """The known flags, and the `--config.A.B=X` among the others."""
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.error = lambda message: sys.exit(f'gan_jax: {message}; see --help.')
  parser.add_argument('-h', '--help', nargs='?', const='')
  parser.add_argument('--mode', choices=MODES, default='train')
  parser.add_argument('--config')
  parser.add_argument('--workdir')
  parser.add_argument('--step', type=_step)
  parser.add_argument('--checkpoints', choices=('newest', 'all', 'follow'))
  parser.add_argument('--seeds', default='0-63')
  parser.add_argument('--label', type=int)
  parser.add_argument('--from', dest='sources')
  parser.add_argument('--out')
  parser.add_argument('--as', dest='kinds')
  parser.add_argument('--weights')
  flags, rest = parser.parse_known_args(argv)
  for word in rest:
    if not (word.startswith('--config.') and '=' in word):
      parser.error(f'{word} is not a flag (settings: --config.A.B=X)')
  overrides = [word.removeprefix('--config.').split('=', 1) for word in rest]
  if flags.help is not None:
    return flags, overrides
  if flags.mode == 'convert':
    if not (flags.sources and flags.out):
      parser.error('--mode=convert needs --from=FILE and --out=DIR')
  elif flags.sources or flags.out or flags.kinds:
    parser.error('--from, --out and --as are of --mode=convert')
  if flags.checkpoints and flags.mode != 'evaluate':
    parser.error('--checkpoints is of --mode=evaluate')
  if flags.checkpoints in ('all', 'follow') and flags.step is not None:
    parser.error('--step names one checkpoint, --checkpoints takes many')
  if flags.weights and flags.mode != 'weights':
    parser.error(
      '--weights is of --mode=weights; a run has --config.metrics.weights'
    )
  if overrides and flags.mode in ('sample', 'weights'):
    parser.error(f'--mode={flags.mode} changes no settings')
  if flags.mode not in ('convert', 'weights') and not flags.config:
    if flags.mode in ('train', 'plan') or not flags.workdir:
      parser.error(
        f'--mode={flags.mode} needs --config=configs/<name>.py,'
        ' which --config=configs/ lists'
      )
  return flags, overrides
