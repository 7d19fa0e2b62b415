"""StyleGAN2 on a category of LSUN, 256 x 256: GLeaD's baseline.

Karras et al. 2020 as GLeaD's Table 1 has it: the released paper256, no
augmentation, not mirrored, 50 million images.

  python -m gan_jax.main \
      --config=configs/stylegan2_lsun.py:category=church_outdoor

Options:
  category  of LSUN; default bedroom
  preset    paper256; full: the paper's own networks and rules; auto: for one
            device; see configs/_stylegan2.py; default paper256
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
Expected numbers: not yet measured. GLeaD's paper has FIDs of 4.30 on bedrooms and
4.04 on churches for the baseline, of 2.55 and 2.82 with GLeaD.
"""

from _stylegan2 import PRESETS, build
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, category='bedroom', preset=PRESETS)
  c = build(args.preset, 256)
  c.data.source = f'tfds:lsun/{args.category}'
  c.train.images = 50_000_000
  c.metrics.samples = 50_000
  return finish(c, args.test)
