"""What the XLA that is installed can be told; imported before jax is."""

import importlib.metadata

_JAXLIB = importlib.metadata.version('jaxlib').split('.')

# Whether the CPU's fusion emitters can be turned off. XLA ends the process at a
# flag that it does not know, and 0.12 has no other way of fusing.
CHOOSES_EMITTERS = tuple(map(int, _JAXLIB[:2])) < (0, 12)
