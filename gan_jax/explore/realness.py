"""How real D finds pictures and samples, as runs go on: smoothed curves.

GLeaD, Figure 4: D's mean score of real pictures above, of fakes below, against
the real images shown, for several runs side by side (runs=DIR,DIR), and the gap
between the two. Scores are those of metrics.jsonl, d_real and d_fake, each of
one minibatch in training; what is drawn is their exponentially weighted mean,

  m = sum_k s_k 2^(-(t - t_k) / h) / sum_k 2^(-(t - t_k) / h)

over all log points t_k up to t, h the half-life in images: so runs that log at
other steps, or with another batch, are smoothed alike. Scores are logits, which
two runs with different losses do not share.
"""

import logging

import numpy as np

from gan_jax.errors import UserError
from gan_jax.explore import asking
from gan_jax.restore import open_run
from gan_jax.run import draw
from gan_jax.run.write import whole
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  'runs': Setting('', 'folders of other runs to draw beside it'),
  'half_life': Setting(
    0.0,
    'images after which a score counts half; 0.0: 1/50 of the longest run',
    low=0.0,
    high=1e12,
  ),
}

_SHARE = 1 / 50  # of a run's images, that scores are smoothed over
_PANELS = {
  'real pictures': lambda real, fake: real,
  'fakes': lambda real, fake: fake,
  'gap': lambda real, fake: real - fake,
}


def run(restored, out, settings) -> None:
  """Writes <out>/realness_step_<step>.png.

  Args:
    restored: a run with a discriminator.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asking.check_pictures(restored, 'realness')
  folders = [name.strip() for name in settings.runs.split(',') if name.strip()]
  runs = [restored.run]
  runs += [open_run(f, what='--tool=realness:runs').run for f in folders]
  curves = {}
  for one in runs:
    until = restored.step if one is restored.run else np.inf
    name = one.path.absolute().name
    name = name if name not in curves else str(one.path)
    curves[name] = scores(one, until)
  last = max(float(images[-1]) for images, *_ in curves.values())
  half_life = settings.half_life or max(last * _SHARE, 1.0)
  figure = draw.new_figure(figsize=(7, 7))
  panels = figure.subplots(len(_PANELS), sharex=True)
  for axes, (title, of) in zip(panels, _PANELS.items(), strict=True):
    for name, (images, real, fake) in curves.items():
      values = of(real, fake)
      (line,) = axes.plot(
        images, smoothed(images, values, half_life), label=name, linewidth=1.5
      )
      axes.plot(
        images, values, color=line.get_color(), alpha=0.2, linewidth=0.5
      )
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
  panels[0].legend(fontsize=8)
  panels[-1].set_xlabel('real images shown')
  figure.suptitle(
    f"D's mean score, smoothed with a half-life of {half_life:,.0f} images",
    fontsize=10,
  )
  stem = asking.place(out, restored, 'realness')
  file = stem.with_name(f'{stem.name}.png')
  with whole(file) as scratch:
    figure.savefig(scratch, dpi=100)
  log.info('Scores of %s: %s', ', '.join(curves), file)


def scores(run, until=np.inf):
  """What metrics.jsonl has of D's scores.

  Args:
    run: a RunDir.
    until: a step; later ones are left out.

  Returns:
    Images shown, d_real and d_fake, float64 [T], images ascending.

  Raises:
    UserError: if there are none.
  """
  names = ('images', 'd_real', 'd_fake')
  rows = {
    line['step']: [line[name] for name in names]
    for line in run.lines()
    if line['step'] <= until
    and all(draw.is_number(line.get(name)) for name in names)
  }
  if not rows:
    raise UserError(
      f'{run.path / "metrics.jsonl"} has no scores of D: train first, or name a'
      ' run of a GAN.'
    )
  return np.float64([rows[step] for step in sorted(rows)]).T


def smoothed(images, values, half_life: float) -> np.ndarray:
  """The exponentially weighted mean of all values so far.

  Args:
    images: when each was taken, [T], ascending.
    values: [T].
    half_life: in images, after which a value counts half.
  """
  found, total, weight, before = np.empty(len(values)), 0.0, 0.0, images[0]
  for k, (now, value) in enumerate(zip(images, values, strict=True)):
    kept = 0.5 ** ((now - before) / half_life)
    total, weight, before = kept * total + value, kept * weight + 1.0, now
    found[k] = total / weight
  return found
