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

from gan_jax.presets.distillation import distillation


def get_config(arg=''):
  return distillation('tfds:cifar10', 'runs/classifier_cifar10', arg)
