"""Looking into a trained run: the table of tools, and --mode=explore.

| file | what it makes |
|---|---|
| video.py | a film of a walk through latent space |
| progress.py | a film of the grids that a run has drawn while it trained |
| neighbours.py | samples beside the nearest pictures of the training data |
| invert.py | pictures beside what G makes of latent vectors found for them |
| interpolate.py | the way from picture to picture: a strip, and a film |
| gradcam.py, within.py | where D looks; derivatives by its inner maps |
| mix.py | the content of some samples in the style of others, as a grid |
| truncation.py | samples between the mean w and themselves, as a grid |
| asking.py | what tools have in common: a generator, a place for results |
| walk.py, film.py | ways through latent space; frames to MP4 or WebP |
| realness.py | how real D found pictures and samples, as curves |
| reconstruct.py | pictures beside what D and G together make of them |
| search.py | what `invert` looks for, by steps of Adam |
| targets.py, likeness.py | which pictures, by what distance |
| shown.py | what D is shown: pictures and samples |
| latents.py, pairs.py | and their file, their figure |

A tool is a module with

  SETTINGS                       what can be set, as in settings.py
  run(restored, out, settings)   what it does

and a line in `TOOLS`. It refuses what it cannot work on before it writes, makes
the folder `out` when it writes (`asking.place`), and only reads the run.
"""

import re
import types

from gan_jax import paths
from gan_jax.errors import UserError, did_you_mean
from gan_jax.explore import (
  gradcam,
  interpolate,
  invert,
  mix,
  neighbours,
  progress,
  realness,
  reconstruct,
  truncation,
  video,
)
from gan_jax.mesh import one_device
from gan_jax.restore import restore

TOOLS = {
  'video': video,
  'progress': progress,
  'neighbours': neighbours,
  'invert': invert,
  'interpolate': interpolate,
  'gradcam': gradcam,
  'realness': realness,
  'reconstruct': reconstruct,
  'mix': mix,
  'truncation': truncation,
}


def parse(spec: str) -> tuple[str, types.SimpleNamespace]:
  """Reads 'video:seconds=5,seeds=1,5,7-9'.

  Args:
    spec: a tool, and after a colon what it shall have otherwise; a comma that
      no name follows belongs to the value before it.

  Returns:
    The tool's name, and all of its settings by name.

  Raises:
    UserError: for a tool or a setting that there is not, one that is given
      twice, or a value that it cannot have.
  """
  name, _, text = spec.partition(':')
  if name not in TOOLS:
    raise UserError(
      f'--tool={name}: there is no such tool{did_you_mean(name, TOOLS)}'
      f' There are {", ".join(TOOLS)}; --help=explore explains them.'
    )
  table, prefix = TOOLS[name].SETTINGS, f'--tool={name}:'
  values = {key: setting.default for key, setting in table.items()}
  given = set()
  for word in filter(None, re.split(r',(?=\s*[A-Za-z_]+\s*=)', text)):
    key, equals, value = (part.strip() for part in word.partition('='))
    if key not in table:
      raise UserError(
        f'{prefix}{word} is no setting of this tool'
        f'{did_you_mean(key, table)} It has {", ".join(table)}: write'
        f' {prefix}NAME=VALUE.'
      )
    if not equals or key in given:
      wrong = 'is given twice' if equals else 'has no value'
      raise UserError(
        f'{prefix}{key} {wrong}: write {key}=VALUE once, such as'
        f' {key}={table[key].default}.'
      )
    given.add(key)
    values[key] = table[key].parse(key, value, prefix)
    table[key].check(key, values[key], prefix)
  return name, types.SimpleNamespace(**values)


def explore(
  workdir, spec: str, step: int | str | None = None, out=None, overrides=()
) -> None:
  """Has a tool look into a run.

  Args:
    workdir: of a run; its folder `explore` is all that is written to.
    spec: which tool, and how; see `parse`.
    step: of the checkpoint, or 'best'; None for the newest.
    out: a folder to write to instead; the run is only read then.
    overrides: (path, text) pairs that change settings of `config.metrics`, or
      say where the data lie now.

  Raises:
    UserError: for whatever the user can put right.
  """
  name, settings = parse(spec)
  out = None if out is None else paths.place(out, '--out')
  restored = restore(workdir, one_device(), step, overrides=overrides)
  TOOLS[name].run(restored, out or restored.run.path / 'explore', settings)
