"""A classifier of CIFAR-10 or CIFAR-100: the teacher of distill_cifar.py.

Shen et al. 2021 (OSGAN), section 4.4, Table 2: ResNet-34 with 21.3M parameters,
the teacher; the student alone would be ResNet-18, 11.2M. The paper says no more
than that. The rest is common practice for these networks: SGD 0.1 with momentum
0.9 and L2 5e-4, batch 128, 200 passes, the rate divided by ten after 100 and
150, random crops of 4 pixels and mirroring.

  python -m gan_jax.main --config=configs/classifier_cifar.py
  python -m gan_jax.main --config=configs/classifier_cifar.py:classes=100

Options:
  classes    10 or 100; default 10
  depth      of the ResNet: 34, or 18 for the student's network; default 34
Data: TFDS; or two files of arrays, --config.data.source=npz:cifar10.npz
--config.data.test_source=npz:cifar10_test.npz.
Expected numbers: the paper's accuracy on the test set is 0.955 on CIFAR-10,
0.775 on CIFAR-100; not yet measured.
"""

from gan_jax.config import defaults, finish, options

CLASSES = (10, 100)
PASS = 50_000  # training pictures
NETWORK = dict(name='resnet', width=64, norm='batch')
SGD = dict(name='sgd', lr=0.1, b1=0.9, weight_decay=5e-4, decay=0.1)


def with_data(classes: int):
  """Defaults for a network that learns from pictures of CIFAR, 200 passes."""
  c = defaults()
  c.data.source = f'tfds:cifar{classes}'
  c.data.test_split = 'test'
  c.augment.update(mirror=True, crop=4)
  c.scheme.name = 'alone'
  c.optimizer.discriminator.update(SGD, decay_at=(100 * PASS, 150 * PASS))
  c.train.update(batch=128, steps=200 * PASS // 128)
  return c


def get_config(arg=''):
  args = options(arg, classes=CLASSES, depth=34)
  c = with_data(args.classes)
  c.discriminator = dict(NETWORK, depth=args.depth)
  c.loss.name = 'cross_entropy'
  return finish(c, args.test)
