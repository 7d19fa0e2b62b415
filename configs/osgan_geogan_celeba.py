"""OSGAN on CelebA, 64 x 64: GeoGAN, in one stage.

GeoGAN, hinge loss: asymmetric.
Paper, Table 1, GeoGAN (asym): FID 21.52 in one stage, 21.92 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_geogan_celeba.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('geogan', 'celeba', arg)
