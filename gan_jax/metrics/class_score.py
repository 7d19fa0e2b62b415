"""Inception score (Salimans et al. 2016, section 4).

exp(E_x KL(p(y|x) || p(y))): high when each image has one clear class and the
classes of all images differ. With FID's Inception network and ImageNet-like
data it is the inception score; with a classifier of the data at hand it is
SGAN's classifier score, and says so in its name.
"""

import numpy as np
import scipy.special

from gan_jax.errors import UserError


class InceptionScore:
  """The score of logits that come in batches, in float64 on the host.

  Attributes:
    count: images the score is over; all must come, in order.
    splits: parts, each scored alone; image i of the (shuffled) order belongs
      to part i * splits // count.
    seed: shuffles by `numpy.random.RandomState(seed).permutation`, as
      torch-fidelity does (with 2020); None for the order given.
  """

  def __init__(self, count: int, splits: int = 10, seed: int | None = None):
    if count < splits:
      raise UserError(
        f'an inception score of {splits} splits needs at least as many '
        f'images, got {count}: raise the number of samples'
      )
    bounds = [i * count // splits for i in range(splits + 1)]
    part = np.repeat(np.arange(splits), np.diff(bounds))
    if seed is not None:
      order = np.random.RandomState(seed).permutation(count)
      part[order] = part.copy()
    self._part = part
    self._splits = splits
    self._seen = 0
    self._marginal = 0.0  # [splits, classes]: sums of p
    self._negentropy = np.zeros(splits)  # sums of p log p

  def add(self, logits) -> None:
    """Takes in logits [N, classes], before the softmax."""
    log_p = scipy.special.log_softmax(np.asarray(logits, np.float64), axis=1)
    part = self._part[self._seen : self._seen + len(log_p)]
    if len(part) < len(log_p):
      raise ValueError(f'more than the {len(self._part)} images announced')
    self._seen += len(log_p)
    p = np.exp(log_p)
    one_hot = np.eye(self._splits)[part]
    self._marginal = self._marginal + one_hot.T @ p
    # p log p is 0 where p is: no class can be less than impossible.
    terms = p * np.where(p > 0, log_p, 0)
    self._negentropy += one_hot.T @ terms.sum(1)

  def result(self) -> tuple[float, float]:
    """Mean and population standard deviation over the splits."""
    if self._seen < len(self._part):
      raise ValueError(f'{self._seen} of {len(self._part)} images came')
    sizes = np.bincount(self._part, minlength=self._splits)
    marginal = self._marginal / sizes[:, None]
    entropy = scipy.special.entr(marginal).sum(1)
    scores = np.exp(self._negentropy / sizes + entropy)
    return float(scores.mean()), float(scores.std())


def inception_score(
  logits, splits: int = 10, seed: int | None = None, block: int = 4096
) -> tuple[float, float]:
  """The score of logits [N, classes].

  Args:
    logits: before the softmax. Both torch-fidelity and StyleGAN2-ADA take
      FID's Inception logits without their bias.
    splits: parts, each scored alone.
    seed: of the shuffle before the split; None for none.
    block: rows at a time.

  Returns:
    Mean and population standard deviation over the splits, 1 <= mean <=
    classes.

  Raises:
    UserError: with fewer images than splits.
  """
  score = InceptionScore(len(logits), splits, seed)
  for start in range(0, len(logits), block):
    score.add(logits[start : start + block])
  return score.result()
