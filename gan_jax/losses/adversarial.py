"""Adversarial losses, each a few functions of one score.

r is a real sample's logit, s a fake one's. The discriminator minimises
mean d_real(r) + mean d_fake(s), the generator mean g(s).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Scores = jax.Array  # [N] or [N, P]
softplus = jax.nn.softplus


class AdversarialLoss(NamedTuple):
  """Per-sample terms; each maps scores to losses of the same shape.

  Attributes:
    d_real: the discriminator's term for real samples.
    d_fake: the discriminator's term for fake samples.
    g: the generator's term.
  """

  d_real: Callable[[Scores], jax.Array]
  d_fake: Callable[[Scores], jax.Array]
  g: Callable[[Scores], jax.Array]

  def d_loss(self, real: Scores, fake: Scores) -> jax.Array:
    """The discriminator's loss, a scalar."""
    return jnp.mean(self.d_real(real)) + jnp.mean(self.d_fake(fake))

  def g_loss(self, fake: Scores) -> jax.Array:
    """The generator's loss, a scalar."""
    return jnp.mean(self.g(fake))


# Goodfellow et al. 2014, eq. 1, with D = sigmoid(logit):
# -log D(x) = softplus(-r), -log(1 - D(G(z))) = softplus(s). The generator
# minimises log(1 - D(G(z))): OSGAN calls this game symmetric.
MINIMAX = AdversarialLoss(
  d_real=lambda r: softplus(-r),
  d_fake=softplus,
  g=lambda s: -softplus(s),
)

# Goodfellow et al. 2014, section 3: the generator minimises -log D(G(z)).
NON_SATURATING = MINIMAX._replace(g=lambda s: softplus(-s))

# Mao et al. 2017, eq. 9, labels a = 0, b = 1, c = 1; without their factor 1/2
# (OSGAN Table 1, spec section 3.3).
LEAST_SQUARES = AdversarialLoss(
  d_real=lambda r: (r - 1.0) ** 2,
  d_fake=lambda s: s**2,
  g=lambda s: (s - 1.0) ** 2,
)

# Lim and Ye 2017 (geometric GAN).
HINGE = AdversarialLoss(
  d_real=lambda r: jax.nn.relu(1.0 - r),
  d_fake=lambda s: jax.nn.relu(1.0 + s),
  g=lambda s: -s,
)

# Arjovsky et al. 2017; wants a penalty or clipping to keep D Lipschitz.
WASSERSTEIN = AdversarialLoss(
  d_real=lambda r: -r,
  d_fake=lambda s: s,
  g=lambda s: -s,
)
