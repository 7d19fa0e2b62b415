"""ProGAN's MNIST-1K: how many of 1,000 modes a crippled pair finds, 32 x 32.

Karras et al. 2018, appendix E and Table 4: three digits as the channels of a
picture, the small networks of Metz et al. 2017, and ProGAN's changes one after
the other. benchmarks/mnist1k.py runs the table.

  python -m gan_jax.main --config=configs/progan_mnist1k.py:row=norm,d=k4 \
      --config.data.source=stacked:idx:FOLDER

Options:
  row    gan, the non-saturating loss, one update of D, batch norm in both;
         wgan_gp, five updates of D; norm, with equalised learning rate, pixel
         norm in G and no norm in D; stddev, with minibatch stddev in D;
         progression, growing from 4 px; default gan
  d      the discriminator: k4, of about 500 parameters, or k2, of about 2,000;
         default k4
Data: FOLDER holds MNIST's files under their own names, .gz or not; without the
second line TFDS downloads and prepares them (needs the tf extra). The digits
are resized from 28 to 32 px.
Modes: --config.metrics.names=stacked_modes --config.metrics.samples=25600
--config.metrics.classifier=DIR, a classifier of the grey digits.
From the released experiment (spec 1.3): batch 64, no drift, 10,000,000 images,
15,000,000 growing. The paper names no rates for this test: `gan` has DCGAN's,
wgan_gp Gulrajani's, the others ProGAN's.
Expected numbers: the paper has 30.6, 640.1, 856.7, 881.3, 859.5 modes for k4,
628.0, 772.4, 886.6, 918.3, 919.8 for k2; see docs/results.md.
"""

from gan_jax.config import defaults, finish, options

ROWS = ('gan', 'wgan_gp', 'norm', 'stddev', 'progression')
WIDTHS = {'k4': 2, 'k2': 4}  # 8 X channels, X = 1/4 and 1/2
GROWTH = dict(start=4, fade_images=500_000, stable_images=2_000_000)
IMAGES, IMAGES_GROWING = 10_000_000, 15_000_000


def get_config(arg=''):
  args = options(arg, row=ROWS, d=tuple(WIDTHS))
  ours = args.row not in ('gan', 'wgan_gp')
  c = defaults()
  c.data.source = 'stacked:tfds:mnist'
  c.generator = dict(
    name='mnist1k', width=8, norm='pixel' if ours else 'batch', equalised=ours
  )
  c.discriminator = dict(
    name='mnist1k',
    width=WIDTHS[args.d],
    norm='none' if ours else 'batch',
    equalised=ours,
    group_size=0 if args.row in ('stddev', 'progression') else 1,
  )
  c.latent.size = 256
  if args.row != 'gan':
    c.loss.name = 'wasserstein'
    c.penalties.wgan_gp.weight = 10.0
    c.scheme.d_steps = 5
  rates = dict(lr=1e-3, b1=0.0, b2=0.99)
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    if ours:
      player.update(rates)
    elif args.row == 'wgan_gp':
      player.update(rates, lr=1e-4, b2=0.9)
  c.ema.update(name='decay', decay=0.999)
  c.metrics.samples = 25_600
  c.train.images = IMAGES
  if args.row == 'progression':
    c.growth.update(GROWTH)
    c.train.images = IMAGES_GROWING
  config = finish(c, args.test)
  if args.test:
    with config.unlocked():
      config.data.source = 'stacked:digits'
      config.discriminator.width = WIDTHS[args.d]
  return config
