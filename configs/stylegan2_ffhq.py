"""StyleGAN2 on FFHQ, 256 x 256: GLeaD's baseline.

Karras et al. 2020 as GLeaD's Table 1 has it: the released paper256, no
augmentation but mirroring, 25 million images.

  python -m gan_jax.main --config=configs/stylegan2_ffhq.py
  python -m gan_jax.main \
      --config=configs/stylegan2_ffhq.py:preset=full,resolution=1024

Options:
  preset      paper256; full: the paper's own networks and rules; auto: by the
              resolution, for one device; see configs/_stylegan2.py; default
              paper256
  resolution  32 to 1024; default 256
Data: a folder of the 70,000 pictures: --config.data.source=folder:PATH.
Expected numbers: not yet measured. GLeaD's paper has an FID of 3.79 for the
baseline at 256 px, and of 3.24 with GLeaD; StyleGAN2's 2.84 at 1024 px.
"""

from _stylegan2 import PRESETS, build
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, preset=PRESETS, resolution=256)
  c = build(args.preset, args.resolution)
  c.data.source = 'folder:ffhq'
  c.augment.mirror = True
  c.train.images = 25_000_000
  c.metrics.samples = 50_000
  return finish(c, args.test)
