"""Tasks: what players learn beside their game, by the names that configs use.

Most bring heads of their own (FastGAN's decoders and GLeaD's reconstruction
become files here). Each has a `terms.Kind` and a row in `TASKS`; `config.tasks`
has a section for each.
"""

from gan_jax.tasks.ac_gan import AC_GAN
from gan_jax.terms import Kind

TASKS: dict[str, Kind] = {'ac_gan': AC_GAN}
