"""ProGAN on CIFAR-10, 32 x 32.

The released experiment behind the paper's inception score of 8.80 (spec/
progan.md section 1.3 and D5; the paper says less): networks of at most 128
channels, latents of 128, the gradient penalty's target at 750, 400,000 images a
phase, and G and D updated together from one pass of each.

  python -m gan_jax.main --config=configs/progan_cifar.py
  python -m gan_jax.main --config=configs/progan_cifar.py:conditional

Options:
  conditional  G is given labels, D learns to tell them (AC-GAN)
  phase        real images a phase, in thousands; default 400
Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: not those of the paper yet; docs/results.md has phase=10 with
narrower networks, 40 minutes of a CPU's core.
"""

from _progan import progan
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, conditional=False, phase=400)
  c = progan(dict(source='tfds:cifar10', resolution=32))
  for network in (c.generator, c.discriminator):
    network.update(fmap_base=4096, fmap_max=128)
  c.latent.size = 128
  c.augment.mirror = False
  c.penalties.wgan_gp.target = 750.0
  c.scheme.name = 'simultaneous'
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.ramp_up = 0
  images = 1000 * args.phase
  c.growth.update(stable_images=images, fade_images=images)
  c.train.images = 50 * images
  if args.conditional:
    c.data.conditional = True
    c.tasks.ac_gan.weight = 1.0
  return finish(c, args.test)
