"""Table 1 of ProGAN: what each contribution is worth, 128 x 128.

Karras et al. 2018, section 6.1 and appendix A.2, with what the released code's
rows have beside (spec/progan.md section 1.3): networks with a quarter of the
channels from 32 px on (fmap_base 2048), 10 million images, 800,000 a phase.

  row  what it adds                            SWD of CelebA, LSUN bedrooms
  a    Gulrajani et al. 2017: WGAN-GP, I_D 5   9.28   11.25
  b    progressive growing                     4.28   7.60
  c    minibatches of 16, not 64               46.23  49.52
  d    revised training, no norms              8.07   6.54
  e*   minibatch discrimination                9.84   8.43
  e    minibatch stddev, without e*            7.04   6.48
  f    equalised learning rate                 4.39   4.02
  g    pixel norm                              3.56   4.01
  h    all channels, trained on                3.12   3.32

(the average of the sliced Wasserstein distances of four levels, times 1,000).

  python -m gan_jax.main --config=configs/progan_ablation.py:row=f

Options:
  row         a to h, or e*; default g
  data        celeba or lsun; default celeba
  resolution  of the last level, 8 to 128; default 128
  images      real images of training, in thousands; default 10000
Data: TFDS downloads and prepares it once (needs the tf extra); another source
does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: those of the table are the paper's; docs/results.md has the
rows in miniature, on CIFAR-10, too short to show their order.
"""

from _progan import progan
from gan_jax.config import defaults, finish, options

ROWS = ('a', 'b', 'c', 'd', 'e*', 'e', 'f', 'g', 'h')
_SOURCES = {'celeba': 'tfds:celeb_a', 'lsun': 'tfds:lsun/bedroom'}


def get_config(arg=''):
  args = options(
    arg,
    row=('g', *(row for row in ROWS if row != 'g')),
    data=tuple(_SOURCES),
    resolution=128,
    images=10_000,
  )
  row, images = ROWS.index(args.row), 1000 * args.images
  reached = lambda name: row >= ROWS.index(name)
  data = dict(source=_SOURCES[args.data], resolution=args.resolution)
  c = progan(data)
  # 0.08 of the images a phase, as 800,000 are of ten million.
  phase = images * 8 // 100
  c.growth.update(stable_images=phase, fade_images=phase, batch=())
  c.train.images = images if args.row != 'h' else 2 * images
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.ramp_up = 0
  if args.row != 'h':
    c.generator.fmap_base = c.discriminator.fmap_base = 2048
  if not reached('g'):
    c.generator.norm = 'none'
  if not reached('f'):
    c.generator.equalised = c.discriminator.equalised = False
    for player in (c.optimizer.generator, c.optimizer.discriminator):
      player.lr = 1e-4
  if not reached('e'):
    c.discriminator.group_size = 1
  if args.row == 'e*':
    c.discriminator.discrimination = 100
  if not reached('d'):
    _gulrajani(c, small=reached('c'))
  if not reached('b'):
    c.growth = defaults().growth
  return finish(c, args.test)


def _gulrajani(c, small: bool) -> None:
  """Their training configuration; its average is that of as many images."""
  c.generator.update(norm='batch', slope=0.0, tanh=True, sphere='none')
  c.discriminator.norm = 'layer'
  c.latent.size = 128
  c.scheme.d_steps = 5
  c.penalties.drift.weight = 0.0
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.b2 = 0.9
  c.train.batch = 16 if small else 64
  c.ema.decay = 0.999 ** (5 if small else 20)
