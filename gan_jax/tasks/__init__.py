"""Tasks: what players learn beside their game, by the names that configs use.

| file | what D learns of |
|---|---|
| lead.py | what rebuilds a picture through the frozen G (GLeaD) |
| align.py | G's own maps of its fakes (GGDR) |
| pyramid.py | the decoder of these two |
| perceptual.py | how alike pictures look, for tasks that draw |
| ac_gan.py | classes, with G |
| autoencode.py, decoder.py | what it saw, drawn by decoders (FastGAN) |
| contrastive.py | which of two views are of one picture |
| aspect_ratio.py | how a picture was stretched |
| rotation.py | how it was turned |
| heads.py | what the last three have in common |

Most bring heads of their own. Each has a `terms.Kind` and a row in `TASKS`;
`config.tasks` has a section for each.
"""

from gan_jax.tasks.ac_gan import AC_GAN
from gan_jax.tasks.align import ALIGN
from gan_jax.tasks.aspect_ratio import ASPECT_RATIO
from gan_jax.tasks.autoencode import AUTOENCODE
from gan_jax.tasks.contrastive import CONTRASTIVE
from gan_jax.tasks.lead import LEAD
from gan_jax.tasks.rotation import ROTATION
from gan_jax.terms import Kind

TASKS: dict[str, Kind] = {
  'lead': LEAD,
  'align': ALIGN,
  'ac_gan': AC_GAN,
  'autoencode': AUTOENCODE,
  'contrastive': CONTRASTIVE,
  'aspect_ratio': ASPECT_RATIO,
  'rotation': ROTATION,
}
