"""ProGAN on CelebA-HQ, 1024 x 1024.

Karras et al. 2018, section 6.3: Table 2's networks grow from 4 to 1024 px under
WGAN-GP. The released code ran 19 million images with the paper's preset and 12
million with v2 (spec/progan.md section 1.3).

  python -m gan_jax.main --config=configs/progan_celebahq.py:preset=v2,devices=8
  python -m gan_jax.main --config=configs/progan_celebahq.py:resolution=256

Options:
  preset      paper or v2: minibatches, rates and images a level; default v2
  devices     1, 2, 4 or 8: whose row of v2; default 1
  resolution  of the last level, 8 to 1024; default 1024
Data: a folder of the pictures, which `python -m gan_jax.data.celebahq` makes:
--config.data.source=folder:PATH.
Expected numbers: the paper has an FID of 7.30 at 1024 px; not yet measured. Look
at what it costs first: --mode=plan.
"""

from _progan import OPTIONS, progan
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, **OPTIONS, resolution=1024)
  data = dict(source='folder:celebahq', resolution=args.resolution)
  c = progan(data, preset=args.preset, devices=args.devices)
  c.train.images = 19_000_000 if args.preset == 'paper' else 12_000_000
  return finish(c, args.test)
