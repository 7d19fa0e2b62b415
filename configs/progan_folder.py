"""ProGAN on a folder (or .zip) of your own pictures.

Karras et al. 2018 with the released code's second preset; a level is added each
time the networks have seen `phase` thousand pictures twice over.

  python -m gan_jax.main --config=configs/progan_folder.py:resolution=256 \\
      --config.data.source=folder:PATH --workdir=runs/mine

Options:
  resolution  of the last level, 8 to 1024; default 128
  phase       real images a phase, in thousands; default 600
  devices     1, 2, 4 or 8: whose minibatches and rates; default 1
Data: pictures of any size and kind are resized and cropped; the report at the
start says what was found and what was skipped. With one sub-folder a class add
--config.data.conditional=true --config.tasks.ac_gan.weight=1.
Expected numbers: not yet measured. It needs some thousand pictures and a GPU:
--mode=plan says what a step of each level costs.
"""

from _progan import progan
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, resolution=128, phase=600, devices=(1, 2, 4, 8))
  data = dict(source='folder:pictures', resolution=args.resolution)
  c = progan(data, preset='v2', devices=args.devices)
  images = 1000 * args.phase
  c.growth.update(stable_images=images, fade_images=images)
  c.train.images = 20 * images
  return finish(c, args.test)
