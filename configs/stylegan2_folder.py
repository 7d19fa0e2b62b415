"""StyleGAN2 on a folder (or .zip) of your own pictures, 32 to 1024 px.

Karras et al. 2020, configuration F.

  python -m gan_jax.main \
      --config=configs/stylegan2_folder.py:resolution=128 \
      --config.data.source=folder:PATH --workdir=runs/mine

Options:
  resolution  32, 64, 128, 256, 512 or 1024; default 256
  preset      auto: minibatch, rate and weights by the resolution, for one
              device; paper256, full: as on eight, see configs/_stylegan2.py;
              default auto
  width       most channels of a layer; default 512, as released; on a CPU 64
  augment     none; ada: D sees changed pictures, the more the better it knows
              its own (Karras et al. 2020b); default none
Data: pictures of any size and kind are resized and cropped; the report at the
start says what was found and what was skipped. It needs ten thousand pictures
and more, and a GPU: of fewer D learns all by heart. With a thousand and more
take :augment=ada, or --config.augment.diff=color,translation,cutout; with less
configs/fastgan_folder.py.
With one sub-folder a class add --config.data.conditional=true.
--config.penalties.r1.weight is worth a few tries, 5 times more and less.
Expected numbers: not yet measured. --mode=plan says what a step costs.
"""

from _stylegan2 import build
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(
    arg,
    resolution=256,
    preset=('auto', 'paper256', 'full'),
    width=512,
    augment=('none', 'ada'),
  )
  c = build(args.preset, args.resolution, args.width)
  c.data.source = 'folder:pictures'
  c.augment.mirror = True
  if args.augment == 'ada':
    c.augment.ada = ('blit', 'geometry', 'color')
  c.train.images = 25_000_000
  return finish(c, args.test)
