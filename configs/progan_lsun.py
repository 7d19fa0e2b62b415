"""ProGAN on a category of LSUN, 256 x 256.

Karras et al. 2018, section 6.4 and Table 4 of the appendix: 800,000 images a
phase, minibatches of 16 throughout, mirrored but for bedrooms and dogs, 20
million images (spec/progan.md section 1.3).

  python -m gan_jax.main --config=configs/progan_lsun.py:category=church_outdoor

Options:
  category  of LSUN; default bedroom
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
Expected numbers: the paper has an FID of 8.34 on bedrooms; not yet measured.
"""

from _progan import progan
from gan_jax.config import finish, options

_SIDED = ('bedroom', 'dog')  # not mirrored


def get_config(arg=''):
  args = options(arg, category='bedroom')
  data = dict(source=f'tfds:lsun/{args.category}', resolution=256)
  c = progan(data)
  c.growth.batch = ()
  c.augment.mirror = args.category not in _SIDED
  c.train.images = 20_000_000
  return finish(c, args.test)
