"""FastGAN on a folder (or .zip) of your own pictures, 60 to 5,000 of them.

Liu et al. 2021: a light generator with skip-layer excitation, for pictures of
64 to 1024 px, trained for 50,000 steps with the hinge loss.

  python -m gan_jax.main --config=configs/fastgan_folder.py \
      --config.data.source=folder:PATH --workdir=runs/mine

Options:
  row         of Table 2: full, baseline, skip or decode; default full
  preset      official: the networks as released, but that all pictures end in
              tanh (--config.generator.final_tanh=official: as released, those
              of 1024 px only); paper: as the paper has them, which has one
              layer a level, no noise and no companions; default official
  resolution  64, 128, 256, 512 or 1024; default 256
  width       of the networks; default 64, as released. 16 is for a CPU
Data: pictures of any size and kind are resized and cropped; the report at the
start says what was found and what was skipped.
Expected numbers: not yet measured. The paper has, with all of it, Frechet
distances at 256 px of 41.05 (Obama, 100 pictures), 10.03 (Panda), 26.65
(Grumpy-cat), of 50.66 (dogs, 389) and 35.11 (cats, 160).
"""

from gan_jax.config import defaults, finish, options
from gan_jax.networks.fastgan import PAPER


def get_config(arg=''):
  args = options(
    arg,
    row=('full', 'baseline', 'skip', 'decode'),
    preset=('official', 'paper'),
    resolution=256,
    width=64,
  )
  c = defaults()
  c.data.update(source='folder:pictures', resolution=args.resolution)
  c.augment.mirror = True
  c.latent.size = 256
  c.generator = dict(name='fastgan', width=args.width)
  c.discriminator = dict(name='fastgan', width=args.width)
  if args.preset == 'paper':
    c.generator.update(PAPER['generator'])
    c.discriminator.update(PAPER['discriminator'])
  if args.row in ('baseline', 'decode'):
    c.generator.sle_from = ()
    c.discriminator.gates = False
  c.scheme.fakes = 'shared'  # as released
  c.loss.name = 'hinge'
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=2e-4, b1=0.5, b2=0.999)
  c.ema.update(name='decay', decay=0.999)
  c.train.batch = 8
  c.train.steps = 50_000
  return finish(c, args.test)
