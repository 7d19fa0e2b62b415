"""AC-GAN: D says which class a sample is of, and both players want it right.

Odena et al. 2017, section 3, as ProGAN has it: on top of the adversarial loss
both minimise the cross-entropy of D's class logits, D over real and fake
samples, G over its own.
"""

import jax
import jax.numpy as jnp

from gan_jax.terms import Kind, Term


def cross_entropy(class_logits, labels) -> jax.Array:
  """The mean of -log p(label), a scalar.

  Args:
    class_logits: [N, K].
    labels: int32 [N].
  """
  chosen = jnp.take_along_axis(class_logits, labels[:, None], axis=1)[:, 0]
  return jnp.mean(jax.nn.logsumexp(class_logits, axis=1) - chosen)


def terms() -> list[Term]:
  """Of D, with the real labels, which its fakes were made of too; of G."""

  def of_d(own, view):
    del own
    real = cross_entropy(view.on_real.class_logits, view.labels)
    fake = cross_entropy(view.on_fake.class_logits, view.labels)
    return real + fake, view.carried, {}

  def of_g(own, view):
    del own
    fake = cross_entropy(view.on_fake.class_logits, view.labels)
    return fake, view.carried, {}

  return [
    Term('d', of_d, frozenset(['classes_real', 'classes_fake'])),
    Term('g', of_g, frozenset(['classes_fake'])),
  ]


AC_GAN = Kind(terms, "cross-entropy of D's class logits, of both players")
