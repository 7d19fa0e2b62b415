"""DCGAN on a folder (or .zip) of your own pictures, 64 x 64.

The networks of Radford et al. 2016 with the hinge loss and spectral norm in D
(Miyato et al. 2018), which keeps small sets stable.

  python -m gan_jax.main --config=configs/dcgan_folder.py \
      --config.data.source=folder:PATH --workdir=runs/mine

Options: none.
Data: pictures of any size and kind are resized and cropped; the report at the
start says what was found and what was skipped. With one sub-folder a class add
--config.data.conditional=true.
Expected numbers: not yet measured. A first DCGAN is soft at 64 pixels and needs
a few thousand pictures; fewer will be learned by heart.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg)
  c = defaults()
  c.data.source = 'folder:pictures'
  c.data.resolution = 64
  c.augment.mirror = True
  c.loss.name = 'hinge'
  c.generator = dict(
    name='dcgan', width=64, norm='batch', spectral=False, bias=False
  )
  c.discriminator = dict(
    name='dcgan', width=64, norm='none', spectral=True, bias=True
  )
  c.train.batch = 32
  c.train.steps = 50_000
  return finish(c, args.test)
