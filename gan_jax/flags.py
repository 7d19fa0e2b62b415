"""The command line's flags and their help."""

import argparse
import re
import sys

HELP = """\
Trains generative adversarial networks; a run is a config and a folder.

usage: python -m gan_jax.main --config=FILE[:options] [--workdir=DIR] [...]

What to do
  --mode=train      train, or go on with, the run in --workdir (the default)
  --mode=sample     write one PNG a seed, and a grid of 64, to DIR/samples
  --mode=evaluate   score checkpoints; adds lines to DIR/evaluate.jsonl
  --mode=explore    look into a run with a tool; --help=explore lists them
  --mode=weights    feature networks' weights: what is there, what is missing
  --mode=plan       its cost, here or on TPUs: --topology=v5e:4x4 [--effort=low]
  --mode=convert    make a run of released weights, to sample or train on
  --mode=tune       measure convolutions: this machine's table, for new runs
Which run
  --config=FILE     a file of configs/ (--config=configs/ lists them); options
                    follow a colon, :test shrinks it to seconds on a CPU
  --config.A.B=X    changes one setting, e.g. --config.train.batch=32
  --help=SECTION    what there is to set: penalties, generator:dcgan, ..., all
  --workdir=DIR     the run's folder, gs:// too; default runs/<config>_<options>
Of --mode=train in several processes (a pod; see launch/README.md)
  --processes=N     how many; auto on a Cloud TPU. Slurm, Open MPI and GKE say
  --process=I       which this is; --coordinator=HOST:PORT, where process 0 is
Of --mode=sample, evaluate and explore (the config is the run's own)
  --step=N          the checkpoint of step N, or best; default the newest
  --out=DIR         results go there and not to the run, which is only read
Of --mode=sample
  --seeds=0-63      which samples: 0-63, or 1,5,7-9
  --label=K         class of the samples, a name or number; default in turn
  --truncation=0.7  of stylegan2: w that much of the way from the mean w
Of --mode=explore
  --tool=NAME       which, and how: --tool=video:seconds=5,seeds=0-8
Of --mode=evaluate (what it measures: --config.metrics.names=fid,kid ...)
  --checkpoints=all all that are there; or follow: those to come as well
Of --mode=convert (--config and --config.A.B=X say what weights do not tell)
  --from=G.pth      .pth, .safetensors, .npz or .pkl; of two files: G.pth,D.pth
  --out=DIR         the folder of the new run
  --as=KIND         which network it is, where names do not tell; KIND:PREFIX
                    picks one of several in a file, e.g. osgan.generator:g_ema
Of --mode=weights
  --weights=FILE    files beside those of the cache folder, a comma between

Ctrl-C saves the run; the same command goes on with it. Exit codes: 0 done; 75
saved, or a process lost; 1 mistake or fault (--debug: where); 130 nothing saved

Examples
  python -m gan_jax.main --config=configs/quickstart.py
  python -m gan_jax.main --config=configs/dcgan_folder.py \\
      --config.data.source=folder:my/pictures --workdir=runs/mine
  python -m gan_jax.main --mode=sample --workdir=runs/quickstart --seeds=0-99
  python -m gan_jax.main --mode=convert --from=generator.pth --out=runs/x"""

MODES = (
  'train',
  'sample',
  'evaluate',
  'explore',
  'plan',
  'convert',
  'weights',
  'tune',
)


# The modes that a flag means something in; of those not listed, all.
FLAGS_OF = {
  'workdir': ('train', 'sample', 'evaluate', 'explore', 'plan'),
  'config': ('train', 'sample', 'evaluate', 'explore', 'plan', 'convert'),
  'step': ('sample', 'evaluate', 'explore'),
  'seeds': ('sample',),
  'label': ('sample',),
  'truncation': ('sample',),
  'checkpoints': ('evaluate',),
  'from': ('convert',),
  'tool': ('explore',),
  'out': ('convert', 'sample', 'explore'),
  'as': ('convert',),
  'weights': ('weights',),
  'processes': ('train',),
  'process': ('train',),
  'coordinator': ('train',),
  'topology': ('plan',),
  'effort': ('plan',),
}
# What to do instead, where there is something.
_INSTEAD = {
  'weights': '; a run has --config.metrics.weights',
  'seeds': '; tools have --tool=NAME:seeds=...',
  'label': '; tools have --tool=NAME:label=...',
  'truncation': '; tools have --tool=NAME:truncation=...',
}


def _number(text: str) -> int:
  """Digits; argparse says of a ValueError what is wrong."""
  if not re.fullmatch('[0-9]{1,18}', text):  # int() takes '1_0', too
    raise ValueError(text)
  return int(text)


def _number_or(word: str):
  """The type of a flag that is a number or a word."""

  def kind(text: str) -> int | str:
    return text if text == word else _number(text)

  kind.__name__ = f"number or '{word}'"  # what argparse calls it
  return kind


_number.__name__ = 'number'


class _Once(argparse.Action):
  """Keeps a flag's value, and refuses a second one and an empty one."""

  def __call__(self, parser, flags, value, option_string=None):
    """See argparse."""
    if value == '':
      parser.error(f'{option_string} has no value')
    if getattr(flags, self.dest) is not None:
      parser.error(f'{option_string} is given twice')
    setattr(flags, self.dest, value)


def parse(argv):
  """The known flags, and the `--config.A.B=X` among the others."""
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.error = lambda message: sys.exit(f'gan_jax: {message}; see --help.')
  parser.add_argument('-h', '--help', nargs='?', const='')
  parser.add_argument('--debug', action='store_true')
  parser.add_argument('--mode', action=_Once, choices=MODES)
  parser.add_argument('--config', action=_Once)
  parser.add_argument('--workdir', action=_Once)
  parser.add_argument('--step', action=_Once, type=_number_or('best'))
  parser.add_argument(
    '--checkpoints', action=_Once, choices=('newest', 'all', 'follow')
  )
  parser.add_argument('--seeds', action=_Once)
  parser.add_argument('--label', action=_Once)
  parser.add_argument('--truncation', action=_Once, type=float)
  parser.add_argument('--from', action=_Once, dest='sources')
  parser.add_argument('--tool', action=_Once)
  parser.add_argument('--out', action=_Once)
  parser.add_argument('--as', action=_Once, dest='kinds')
  parser.add_argument('--weights', action=_Once)
  parser.add_argument('--topology', action=_Once)
  parser.add_argument('--effort', action=_Once, choices=('full', 'low'))
  parser.add_argument('--coordinator', action=_Once)
  parser.add_argument('--process', action=_Once, type=_number)
  parser.add_argument('--processes', action=_Once, type=_number_or('auto'))
  flags, rest = parser.parse_known_args(argv)
  flags.mode = flags.mode or 'train'
  for word in rest:
    if not (word.startswith('--config.') and '=' in word):
      parser.error(f'{word} is not a flag (settings: --config.A.B=X)')
  overrides = [word.removeprefix('--config.').split('=', 1) for word in rest]
  if flags.help is None:
    _check(parser, flags, [path for path, _ in overrides])
  return flags, overrides


def _check(parser, flags, settings: list[str]) -> None:
  """Refuses flags that lack others, or that mean nothing in the mode."""
  mode, named = flags.mode, {'from': 'sources', 'as': 'kinds'}
  for name, modes in FLAGS_OF.items():
    if getattr(flags, named.get(name, name)) is not None and mode not in modes:
      where = ' and '.join(f'--mode={other}' for other in modes)
      parser.error(
        f'--{name} means nothing with --mode={mode}: it is of {where}'
        + _INSTEAD.get(name, '')
      )
  if flags.effort and not flags.topology:
    parser.error("--effort is a TPU compiler's: it needs --topology=v5e:4x4")
  if settings and mode in ('sample', 'weights', 'tune'):
    parser.error(f'--mode={mode} changes no settings')
  twice = next((x for x in settings if settings.count(x) > 1), None)
  if twice:
    parser.error(f'--config.{twice} is given twice')
  if mode == 'convert' and not (flags.sources and flags.out):
    parser.error('--mode=convert needs --from=FILE and --out=DIR')
  if flags.checkpoints in ('all', 'follow') and flags.step is not None:
    parser.error('--step names one checkpoint, --checkpoints takes many')
  if mode == 'explore' and not flags.tool:
    parser.error('--mode=explore needs --tool=NAME, which --help=explore lists')
  has_run = flags.workdir and mode in ('sample', 'evaluate', 'explore')
  if mode in FLAGS_OF['workdir'] and not (flags.config or has_run):
    parser.error(
      f'--mode={mode} needs --config=configs/<name>.py,'
      ' which --config=configs/ lists'
    )
