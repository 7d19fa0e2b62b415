"""Adversarial losses, as functions of a batch's scores.

r is a real sample's logit, s a fake one's. Most losses are means of terms of
one score each (`Separable`); in some the scores of a batch meet, and
FisherGAN's carries a multiplier from step to step.

Scores of patches [N, P] count like those of N P samples: means, FisherGAN's
second moment among them, are over all of them, and where a real score meets a
fake one it is that of the same patch.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting, field

Scores = jax.Array  # [N] or [N, P]
softplus = jax.nn.softplus


class AdversarialLoss:
  """What a loss offers.

  `carried` is its own state, {} for most; `key` is for those that draw.
  """

  # Whether the generator minimises exactly the negative of the fake samples'
  # term in D's loss, sample by sample: OSGAN's symmetric GANs, gamma = -1.
  symmetric = False
  # Whether D takes for real what it scores above 0, and for fake what is below:
  # ADA goes by it.
  signed = False

  def d_loss(self, real: Scores, fake: Scores, carried, key=None) -> jax.Array:
    """What the discriminator minimises, a scalar."""
    raise NotImplementedError

  def g_loss(self, real: Scores, fake: Scores, carried, key=None) -> jax.Array:
    """What the generator minimises, a scalar."""
    raise NotImplementedError

  def start(self) -> dict:
    """The first `carried`."""
    return {}

  def advance(self, real: Scores, fake: Scores, carried) -> dict:
    """`carried` after an update of the discriminator on these scores."""
    del real, fake
    return carried


@dataclasses.dataclass(frozen=True)
class Separable(AdversarialLoss):
  """Means of per-sample terms; each maps scores to losses of their shape.

  Attributes:
    d_real: the discriminator's term for real samples.
    d_fake: the discriminator's term for fake samples.
    g: the generator's term; None for the negative of `d_fake`.
  """

  d_real: Callable[[Scores], jax.Array]
  d_fake: Callable[[Scores], jax.Array]
  g: Callable[[Scores], jax.Array] | None = None

  @property
  def symmetric(self) -> bool:
    return self.g is None

  def d_loss(self, real, fake, carried, key=None):
    return jnp.mean(self.d_real(real)) + jnp.mean(self.d_fake(fake))

  def g_loss(self, real, fake, carried, key=None):
    return jnp.mean(self.g(fake) if self.g else -self.d_fake(fake))


class Logistic(Separable):
  """Those whose scores are logits of D's belief that a sample is real."""

  signed = True


# Goodfellow et al. 2014, eq. 1, with D = sigmoid(logit):
# -log D(x) = softplus(-r), -log(1 - D(G(z))) = softplus(s). The generator
# minimises log(1 - D(G(z))): it saturates where D is sure.
MINIMAX = Logistic(d_real=lambda r: softplus(-r), d_fake=softplus)

# Goodfellow et al. 2014, section 3: the generator minimises -log D(G(z)).
NON_SATURATING = dataclasses.replace(MINIMAX, g=lambda s: softplus(-s))

# Mao et al. 2017, eq. 9, labels a = 0, b = 1, c = 1; without their factor 1/2
# (OSGAN Table 1, spec section 3.3).
LEAST_SQUARES = Separable(
  d_real=lambda r: (r - 1.0) ** 2,
  d_fake=lambda s: s**2,
  g=lambda s: (s - 1.0) ** 2,
)

# ProGAN's, appendix B, as its released code has it: real samples have the
# target 0 and fakes 1, and D's fakes count a tenth.
INVERTED_LEAST_SQUARES = Separable(
  d_real=lambda r: r**2,
  d_fake=lambda s: 0.1 * (s - 1.0) ** 2,
  g=lambda s: s**2,
)

# Arjovsky et al. 2017; wants a penalty or clipping to keep D Lipschitz.
WASSERSTEIN = Separable(d_real=lambda r: -r, d_fake=lambda s: s)

# Hjelm et al. 2018, section 3.3 (continuous data): the generator seeks the
# boundary D = 1/2, half the squared log-odds of D, which are the logit.
BOUNDARY_SEEKING = dataclasses.replace(MINIMAX, g=lambda s: 0.5 * s**2)


def hinge(real: Scores, fake: Scores, margins=(1.0, 1.0)) -> jax.Array:
  """D's hinge loss (Lim and Ye 2017, geometric GAN), a scalar.

  Args:
    real: scores.
    fake: scores.
    margins: beyond which a real score, and a fake one, costs nothing; numbers,
      or arrays of the scores' shapes.
  """
  of_real, of_fake = margins
  return jnp.mean(jax.nn.relu(of_real - real)) + jnp.mean(
    jax.nn.relu(of_fake + fake)
  )


@dataclasses.dataclass(frozen=True)
class Hinge(AdversarialLoss):
  """`hinge` for D; G minimises the negative of the mean score.

  The released FastGAN draws a margin for each score, U(0.8, 1); its paper, as
  Lim and Ye, has 1. G's loss has no margin and draws nothing.
  """

  signed = True

  margin_jitter: float = field(
    Setting(
      0.0,
      "D's margin is drawn for each score from 1 - this to 1; 0.0: it is 1"
      ' (FastGAN: 0.2)',
      low=0.0,
      high=1.0,
    )
  )

  def d_loss(self, real, fake, carried, key=None):
    if not self.margin_jitter:
      return hinge(real, fake)
    keys = jax.random.split(key)
    margins = [
      jax.random.uniform(k, x.shape, x.dtype, 1.0 - self.margin_jitter, 1.0)
      for k, x in zip(keys, (real, fake), strict=True)
    ]
    return hinge(real, fake, margins)

  def g_loss(self, real, fake, carried, key=None):
    return jnp.mean(-fake)


class RelativisticPaired(AdversarialLoss):
  """Jolicoeur-Martineau 2018 (RSGAN), eq. 4 and 5: real against fake i."""

  def d_loss(self, real, fake, carried, key=None):
    return jnp.mean(softplus(fake - real))

  def g_loss(self, real, fake, carried, key=None):
    return jnp.mean(softplus(real - fake))


class RelativisticAverage(AdversarialLoss):
  """Jolicoeur-Martineau 2018 (RaSGAN), eq. 8: against the others' mean."""

  def d_loss(self, real, fake, carried, key=None):
    above, below = real - jnp.mean(fake), fake - jnp.mean(real)
    return jnp.mean(softplus(-above)) + jnp.mean(softplus(below))

  def g_loss(self, real, fake, carried, key=None):
    above, below = real - jnp.mean(fake), fake - jnp.mean(real)
    return jnp.mean(softplus(-below)) + jnp.mean(softplus(above))


@dataclasses.dataclass(frozen=True)
class Fisher(AdversarialLoss):
  """Mroueh and Sercu 2017, eq. 7: an augmented Lagrangian.

  D maximises mean r - mean s under the constraint that its second moment
  Omega = (mean r^2 + mean s^2) / 2 is 1.
  """

  rho: float = field(
    Setting(
      1e-6,  # the authors' own
      "weight of the squared constraint, and the multiplier's step size",
      low=0.0,
    )
  )

  def _excess(self, real, fake):
    return 0.5 * (jnp.mean(real**2) + jnp.mean(fake**2)) - 1.0

  def d_loss(self, real, fake, carried, key=None):
    excess = self._excess(real, fake)
    constraint = carried['multiplier'] * excess + 0.5 * self.rho * excess**2
    return jnp.mean(fake) - jnp.mean(real) + constraint

  def g_loss(self, real, fake, carried, key=None):
    return -jnp.mean(fake)

  def start(self):
    return {'multiplier': jnp.float32(0.0)}

  def advance(self, real, fake, carried):
    step = self.rho * self._excess(real, fake)  # Algorithm 1 there
    return {'multiplier': carried['multiplier'] + step}
