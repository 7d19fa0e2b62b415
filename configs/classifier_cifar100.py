"""A classifier of CIFAR-100: the teacher of OSGAN section 4.4.

OSGAN Table 2: ResNet-34, 21.3M parameters, accuracy 0.775; the student alone
would be ResNet-18, 11.2M (`:depth=18`). The paper says no more than that. The
rest is common practice for these networks: SGD 0.1 with momentum 0.9 and L2
5e-4, batch 128, 200 passes, the rate divided by ten after 100 and 150, random
crops of 4 pixels and mirroring.

  python -m gan_jax.main --config=configs/classifier_cifar100.py

Data: TFDS; or two files of arrays, --config.data.source=npz:cifar100.npz
--config.data.test_source=npz:cifar100_test.npz.
Accuracy: not yet measured.
"""

from gan_jax.presets.distillation import classifier


def get_config(arg=''):
  return classifier('tfds:cifar100', arg)
