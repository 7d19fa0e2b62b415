"""Released networks: arrays under their own names and layouts, as ours.

| name | what | file |
|---|---|---|
| osgan.generator | OSGAN's DCGAN generator | osgan.py |
| osgan.discriminator | its discriminator, batch or group norm | osgan.py |
| progan.generator | ProGAN's generator | progan.py |
| progan.discriminator | its discriminator | progan.py |
| fastgan.generator | FastGAN's generator | fastgan.py |
| fastgan.discriminator | its discriminator, with the decoders | fastgan.py |
| stylegan2.generator | StyleGAN2's generator | stylegan2.py |
| stylegan2.discriminator | its discriminator | stylegan2.py |
| glead.discriminator | StyleGAN2's, with GLeaD's or GGDR's heads | glead.py |
| inception | FID's Inception-v3 | feature_nets.py |
| vgg16, alexnet | torchvision's, Oxford's VGG-16 | feature_nets.py |
| lpips | one of these two with the linear heads of LPIPS | feature_nets.py |

files.py reads the files that networks are released in, pickles.py the pickles
among them, tfutil.py the networks in ProGAN's, persistence.py those in
StyleGAN2's, onnx.py the weights of ONNX
files, layout.py has what the methods share, weights.py says where feature
networks' weights lie. A method is a file with its `Kind`s and their names in
`KINDS`. --mode=convert: released.py at the
package's root.
"""

from collections.abc import Mapping

import flax.linen as nn
import numpy as np

from gan_jax.convert import (
  fastgan,
  feature_nets,
  glead,
  osgan,
  progan,
  stylegan2,
)
from gan_jax.convert.layout import Kind
from gan_jax.errors import UserError, did_you_mean

KINDS: dict[str, Kind] = {
  'osgan.generator': osgan.GENERATOR,
  'osgan.discriminator': osgan.DISCRIMINATOR,
  'progan.generator': progan.GENERATOR,
  'progan.discriminator': progan.DISCRIMINATOR,
  'fastgan.generator': fastgan.GENERATOR,
  'fastgan.discriminator': fastgan.DISCRIMINATOR,
  'stylegan2.generator': stylegan2.GENERATOR,
  'stylegan2.discriminator': stylegan2.DISCRIMINATOR,
  'glead.discriminator': glead.DISCRIMINATOR,
  'inception': feature_nets.INCEPTION,
  'vgg16': feature_nets.VGG16,
  'alexnet': feature_nets.ALEXNET,
  'lpips': feature_nets.LPIPS,
}


def kind(name: str) -> Kind:
  """The kind of a name.

  Raises:
    UserError: if there is none.
  """
  if name not in KINDS:
    raise UserError(
      f"'{name}' is no released network that is known; known are"
      f' {", ".join(KINDS)}{did_you_mean(name, KINDS, str)}'
    )
  return KINDS[name]


def released(
  name: str, arrays: Mapping[str, np.ndarray]
) -> tuple[nn.Module, dict]:
  """A released network, computing the same function.

  Args:
    name: a key of `KINDS`.
    arrays: all of the network's arrays by their released names, in their
      released layouts; floats of any width. Sizes are read from their shapes.

  Returns:
    (module, variables); variables are NumPy arrays, float32, or float64 while
    jax_enable_x64 is on.

  Raises:
    UserError: for an unknown name, and for arrays that are missing, left
      over, of the wrong shape or type, or not finite.
  """
  known = kind(name)
  try:
    return known.read(arrays)
  except UserError as error:
    raise UserError(f'these arrays are no {name}: {error}') from None


def under_released_names(name: str, variables, **form) -> dict[str, np.ndarray]:
  """The way back: variables of a network in its released names and layouts.

  Args:
    name: a key of `KINDS`.
    variables: of the module that `released` gives; a gradient by its
      parameters is {'params': gradient}.
    **form: of a network that has been released in several layouts, such as
      fused=True of ProGAN's; see the method's file.

  Raises:
    TypeError: for a network that was changed on the way, as `inception`.
  """
  known = kind(name)
  if known.write is None:
    raise TypeError(f'{name} has no way back to its released arrays')
  return known.write(variables, **form)


def named(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
  """A file's arrays, those that it lists without names under such.

  Raises:
    UserError: if a list is not of the network that it comes with.
  """
  return fastgan.with_averages(arrays)


def find(arrays: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
  """The networks in a file: (name in `KINDS`, prefix of its arrays' names).

  A checkpoint may hold several, 'g.' and 'g_ema.' before their names.
  """
  found = []
  for name, known in KINDS.items():
    for first, *others in known.marks:
      for candidate in arrays:
        prefix = candidate.removesuffix(first)
        if (
          candidate.endswith(first)
          and (not prefix or prefix.endswith('.'))
          and all(prefix + other in arrays for other in others)
          and not any(prefix + other in arrays for other in known.unless)
        ):
          found.append((name, prefix))
  return found
