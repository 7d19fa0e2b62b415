"""OSGAN on CelebA, 64 x 64: SNGAN, in one stage.

SNGAN, spectral norm in D, non-saturating loss: asymmetric.
Paper, Table 1, SNGAN (asym): FID 34.34 in one stage, 34.95 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_sngan_celeba.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('sngan', 'celeba', arg)
