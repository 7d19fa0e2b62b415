"""OSGAN on FFHQ, 64 x 64: GeoGAN, in one stage.

GeoGAN, hinge loss: asymmetric.
Paper, Table 1, GeoGAN (asym): FID 30.63 in one stage, 30.55 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_geogan_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('geogan', 'ffhq', arg)
