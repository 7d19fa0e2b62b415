"""A small knowledge distillation: how much of a teacher a student gets.

  python benchmarks/distill.py --data=idx:FOLDER_OF_MNIST [--workdir=DIR]
  python benchmarks/distill.py --quick

The configs of OSGAN section 4.4 (configs/distill_cifar.py) on narrow
networks and 28 px: the teacher is a ResNet-18 of width 8, the student a
ResNet-10 of the same width; `narrow` has the other settings. Every data-free
student sees the same number of samples. --data takes any config.data.source
with the splits train and test; without it the embedded digits, a tenth held
out. The runs lie in --workdir; stopped by Ctrl-C or SIGTERM, the same command
goes on. --quick only shows that it works: two rows, a few updates.

The last line is JSON: the accuracy of each method on the test set, and the
samples a second at which its student learned.
"""

import argparse
import json
import pathlib
import statistics

from gan_jax.run.memory import restart_with_huge_pages

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / 'configs'
ROWS = {  # name: config
  'teacher': 'classifier_cifar.py:depth=18',
  'kd': 'distill_cifar.py:method=kd',
  'dfad_two_stage': 'distill_cifar.py:method=dfad,scheme=two_stage',
  'dfad_one_stage': 'distill_cifar.py:method=dfad,scheme=one_stage',
  'zskt_two_stage': 'distill_cifar.py:method=zskt,scheme=two_stage',
  'zskt_one_stage': 'distill_cifar.py:method=zskt,scheme=one_stage',
}
WIDTH, BATCH = 8, 64
# Pictures shown to the teacher and to KD; samples of a data-free student.
SHOWN, LEARNED = 120_000, 128_000
QUICK = ('teacher', 'dfad_one_stage')
QUICK_SAMPLES = 16 * BATCH  # of each


def narrow(c, name, args):
  """A config of ROWS made small enough for two cores, in place."""
  c.data.update(source=args.data, resolution=28, channels=1)
  if args.data == 'digits':
    c.data.update(split='train[:90%]', test_split='train[90%:]')
  c.augment.update(mirror=False, crop=0)  # a digit mirrored is another
  deep = 10 if args.quick else 18
  c.discriminator.update(width=WIDTH, depth=deep if name == 'teacher' else 10)
  if c.teacher:
    folder = f'{args.workdir}/teacher'
    c.teacher.update(width=WIDTH, depth=deep, workdir=folder)
  c.generator.width = 16
  c.latent.size = 64
  data_free = c.scheme.name != 'alone'
  if not data_free:
    # So few updates are not enough for SGD's 0.1 to settle.
    rule = dict(name='adam', lr=2e-3, weight_decay=0.0)
    c.optimizer.discriminator.update(rule)
  samples = LEARNED if data_free else SHOWN
  if args.quick:
    samples = QUICK_SAMPLES
  for player in c.optimizer.values():
    player.decay_at = (samples * 6 // 10, samples * 9 // 10)
  steps = max(1, samples // BATCH // c.scheme.d_steps)
  every = max(1, steps // (2 if args.quick else 20))
  c.train.update(batch=BATCH, steps=steps, keep=1, tensorboard=False)
  c.train.update(log_every=every, image_every=every, checkpoint_every=every)


def row(name, args):
  """Trains one row, or goes on; its figures, or None if it was stopped."""
  from gan_jax.config import load
  from gan_jax.run.folder import RunDir
  from gan_jax.train import train

  c = load(f'{CONFIGS}/{ROWS[name]}')
  with c.unlocked():
    narrow(c, name, args)
  folder = f'{args.workdir}/{name}'
  train(c, folder)
  lines = RunDir(folder).lines()
  if lines[-1]['step'] < c.train.steps:
    return None
  speeds = [x['images_per_second'] for x in lines if 'images_per_second' in x]
  return {
    'accuracy': lines[-1]['accuracy'],
    'samples_per_second': round(statistics.median(speeds)),
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--data', default='digits')
  parser.add_argument('--workdir', default='runs/distill_benchmark')
  args = parser.parse_args()
  if args.quick:
    args.workdir += '_quick'
  figures = {}
  for name in QUICK if args.quick else ROWS:
    figures[name] = row(name, args)
    if figures[name] is None:
      print(f'stopped during {name}; the same command goes on')
      return
  for name, values in figures.items():
    speed = values['samples_per_second']
    print(f'{name:16} {values["accuracy"]:.4f}  {speed:6} samples/s')
  print(json.dumps(figures))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
