"""OSGAN's section 4.4: classifiers of CIFAR and what students learn from them.

The paper gives the networks, five updates of the student to one of the
generator in two stages, and one each in one stage (Shen et al. 2021). The rest
is common practice for these networks, and in the data-free rows, from memory,
what DFAD and ZSKT take.
"""

from gan_jax.config import defaults, finish, options

PASS = 50_000  # training pictures
LEARNED = 32_000_000  # samples that a data-free student sees
NETWORK = dict(name='resnet', width=64, norm='batch')
SGD = dict(name='sgd', lr=0.1, b1=0.9, weight_decay=5e-4, decay=0.1)


def _with_data(source: str):
  """Defaults for a network that learns from pictures alone, 200 passes."""
  c = defaults()
  c.data.source = source
  c.data.test_split = 'test'
  c.augment.update(mirror=True, crop=4)
  c.scheme.name = 'alone'
  c.optimizer.discriminator.update(SGD, decay_at=(100 * PASS, 150 * PASS))
  c.train.update(batch=128, steps=200 * PASS // 128)
  return c


def classifier(source: str, arg: str):
  """The teacher, or what the student would be without one.

  Args:
    source: of the data.
    arg: the text after the colon of --config=FILE:text: depth=34 or 18.
  """
  args = options(arg, depth=34)
  c = _with_data(source)
  c.discriminator = dict(NETWORK, depth=args.depth)
  c.loss.name = 'cross_entropy'
  return finish(c, args.test)


def distillation(source: str, teacher: str, arg: str):
  """A ResNet-18 that learns from a ResNet-34.

  Args:
    source: of the data; training sees it for method=kd only.
    teacher: the folder of the teacher's run.
    arg: the text after the colon of --config=FILE:text: method=dfad, zskt or
      kd; scheme=one_stage or two_stage.
  """
  args = options(arg, method='dfad', scheme='one_stage')
  c = _with_data(source)
  c.teacher = dict(NETWORK, workdir=teacher, depth=34)
  c.discriminator = dict(NETWORK, depth=18)
  c.loss.name = args.method
  if args.method != 'kd':
    _without_data(c, args)
  return finish(c, args.test)


def _without_data(c, args) -> None:
  """Puts a generator in the place of the data."""
  c.augment.update(mirror=False, crop=0)
  c.generator = dict(name='upsample', width=64, norm='batch')
  c.latent.size = 256
  c.ema.name = 'none'
  two_stage = args.scheme == 'two_stage'
  c.scheme.update(name=args.scheme, d_steps=5 if two_stage else 1)
  c.loss.attention = 250.0 if args.method == 'zskt' and two_stage else 0.0
  decay_at = tuple(LEARNED * fifths // 5 for fifths in (1, 2))
  c.optimizer.discriminator.decay_at = decay_at
  # As far as in two stages for each update of the student: with five times
  # the rate the generator outran it (docs/results.md).
  c.optimizer.generator.update(
    lr=2e-4 * c.scheme.d_steps, b1=0.5, decay=0.1, decay_at=decay_at
  )
  c.train.update(batch=256, steps=LEARNED // 256 // c.scheme.d_steps)
