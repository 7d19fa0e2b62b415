"""StyleGAN2 on CIFAR-10, 32 x 32.

What Karras et al. 2020b (appendix D) changed for it, as far as it is settings:
two layers of the mapping network, gamma 0.01, groups of 32, a half-life of
500,000 images, neither path length nor mixed styles. Their D had no residual
paths, this one has.

  python -m gan_jax.main --config=configs/stylegan2_cifar.py
  python -m gan_jax.main --config=configs/stylegan2_cifar.py:conditional

Options:
  conditional  both networks are given labels
  width        most channels of a layer; default 512, as released; on a CPU 64
Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: not yet measured. Augmentation is what that paper is about:
--config.augment.diff=color,translation,cutout has DiffAugment.
"""

from _stylegan2 import build
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, conditional=False, width=512)
  c = build('full', 32, args.width, path_length=0.0)
  c.data.update(source='tfds:cifar10', conditional=args.conditional)
  c.generator.update(depth=2, mixing=0.0)
  c.discriminator.update(depth=2, group_size=32)
  c.penalties.r1.weight = 0.01
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.lr = 0.0025
  c.ema.update(half_life=500_000.0, ramp_up=0.05)
  c.train.update(batch=64, images=100_000_000)
  return finish(c, args.test)
