"""The classifier that judges a benchmark's samples, trained by the program."""

import pathlib
import sys

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / 'configs'
# Of data without a test set: the last tenth is one.
NINE_TENTHS = dict(split='train[:90%]', test_split='train[90%:]')


def train_classifier(folder, shown, mirror=False, width=8, **data):
  """Trains the judge, or goes on.

  Args:
    folder: of its run.
    shown: pictures it learns from, in all.
    mirror: whether a mirrored picture has the same class.
    width: of the ResNet-10.
    **data: settings of the section data, such as `NINE_TENTHS`.

  Returns:
    Its accuracy on the test set.
  """
  from gan_jax.config import load
  from gan_jax.run.folder import RunDir
  from gan_jax.train import train

  c = load(f'{CONFIGS}/classifier_cifar.py:depth=10')
  with c.unlocked():
    c.data.update(data)
    if not mirror:
      c.augment.update(mirror=False, crop=0)
    c.discriminator.width = width
    # So few updates are not enough for SGD's 0.1 to settle.
    rule = dict(name='adam', lr=2e-3, weight_decay=0.0)
    rule['decay_at'] = (shown * 6 // 10, shown * 9 // 10)
    c.optimizer.discriminator.update(rule)
    steps = shown // 64
    c.train.update(batch=64, steps=steps, keep=1, tensorboard=False)
    c.train.update(log_every=steps // 5, image_every=steps)
  train(c, folder)
  last = RunDir(folder).lines()[-1]
  if last['step'] < c.train.steps:
    sys.exit('stopped; the same command goes on')
  return last['accuracy']
