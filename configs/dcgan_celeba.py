"""DCGAN on CelebA, 64 x 64: OSGAN's networks, trained in two stages.

Shen et al. 2021 (OSGAN), section 4.1: width 128, group norm in D, Adam (0.5,
0.999), batch 128, 30 epochs; G has 12,660,355 and D 11,038,081 parameters. Both
learning rates are 2e-4 (the released runs differ from each other: spec/osgan.md
section 3.4).

  python -m gan_jax.main --config=configs/dcgan_celeba.py

Options: none.
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well: --config.data.source=folder:PATH.
Expected numbers: the paper's Table 1 has FID 25.34 for DCGAN (asym) in two
stages; not yet measured.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg)
  c = defaults()
  c.data.source = 'tfds:celeb_a'
  c.data.resolution = 64
  c.generator = dict(
    name='dcgan', width=128, norm='batch', spectral=False, bias=True
  )
  c.discriminator = dict(
    name='dcgan', width=128, norm='group', spectral=False, bias=True
  )
  c.train.batch = 128
  c.train.steps = 38_000  # 30 epochs of 162,770 pictures
  return finish(c, args.test)
