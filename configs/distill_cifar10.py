"""Knowledge distillation on CIFAR-10, without data or with: OSGAN section 4.4.

OSGAN Table 2, accuracy on the test set; teacher ResNet-34 (21.3M parameters),
student ResNet-18 (11.2M):

  teacher     0.955   configs/classifier_cifar10.py
  KD          0.939   :method=kd, the only one that sees data
  ZSKT (two)  0.921   :method=zskt,scheme=two_stage
  DFAD (two)  0.933   :method=dfad,scheme=two_stage
  ours (one)  0.934   :method=dfad (the default; the paper does not say which
                      of the two losses this row is, both can be had)

  python -m gan_jax.main --config=configs/classifier_cifar10.py
  python -m gan_jax.main --config=configs/distill_cifar10.py

The first command makes the teacher, in runs/classifier_cifar10; another folder
is named by --config.teacher.workdir=DIR. Two stages take five updates of the
student to one of the generator, one stage one of each (the paper's numbers).
The generator is as DFAD and ZSKT have it (networks/upsample.py), and so, from
memory, are the rates in two stages: student SGD 0.1, generator Adam 1e-3 (2e-4
in one stage), latent vectors of 256, batches of 256, the rates divided by ten
at 1/5 and 2/5 of the run.
ZSKT in two stages has its attention transfer, weight 250, a term of the
student alone; one stage is without it. KD learns as the teacher did.
Data as in classifier_cifar10.py. Accuracy: not yet measured (docs/results.md
has a small distillation).
"""

from gan_jax.config import defaults, finish, options

TEACHER = 'runs/classifier_cifar10'
SOURCE = 'tfds:cifar10'
PASS = 50_000  # training pictures
LEARNED = 32_000_000  # samples that a data-free student sees


def get_config(arg=''):
  args = options(arg, method='dfad', scheme='one_stage')
  c = defaults()
  c.data.source = SOURCE
  c.data.test_split = 'test'
  network = dict(name='resnet', width=64, norm='batch')
  c.teacher = dict(workdir=TEACHER, depth=34, **network)
  c.discriminator = dict(depth=18, **network)
  c.loss.name = args.method
  student = dict(name='sgd', lr=0.1, b1=0.9, weight_decay=5e-4, decay=0.1)
  if args.method == 'kd':
    c.scheme.name = 'alone'
    c.augment.update(mirror=True, crop=4)
    c.train.update(batch=128, steps=200 * PASS // 128)
    student['decay_at'] = (100 * PASS, 150 * PASS)
    c.optimizer.discriminator.update(student)
    return finish(c, args.test)

  c.generator = dict(name='upsample', width=64, norm='batch')
  c.latent.size = 256
  c.ema.name = 'none'
  c.scheme.name = args.scheme
  two_stage = args.scheme == 'two_stage'
  c.scheme.d_steps = 5 if two_stage else 1
  c.loss.attention = 250.0 if args.method == 'zskt' and two_stage else 0.0
  decay_at = tuple(LEARNED * fifths // 5 for fifths in (1, 2))
  c.optimizer.discriminator.update(student, decay_at=decay_at)
  # As far as in two stages for each update of the student: with five times
  # the rate the generator outran it (docs/results.md).
  c.optimizer.generator.update(
    lr=2e-4 * c.scheme.d_steps, b1=0.5, decay=0.1, decay_at=decay_at
  )
  c.train.update(batch=256, steps=LEARNED // 256 // c.scheme.d_steps)
  return finish(c, args.test)
