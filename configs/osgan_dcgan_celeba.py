"""OSGAN on CelebA, 64 x 64: DCGAN, in one stage.

DCGAN, non-saturating loss: asymmetric.
Paper, Table 1, DCGAN (asym): FID 24.20 in one stage, 25.34 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_dcgan_celeba.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :released          the released run's settings (spec/osgan.md 3.4)

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('dcgan', 'celeba', arg)
