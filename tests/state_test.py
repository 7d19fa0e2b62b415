import jax
import jax.numpy as jnp

from gan_jax.nn import latent
from gan_jax.state import TrainState, step_key, stream


def bits(key):
  return tuple(jax.random.key_data(key).tolist())


def test_streams_differ_by_name_and_by_key():
  keys = [
    bits(stream(jax.random.key(seed), name))
    for seed in range(3)
    for name in ('latent', 'noise', 'd0', 'd1', 'g', 'wgan_gp')
  ]
  assert len(set(keys)) == len(keys)


def test_a_stream_is_the_same_on_every_machine():
  """A constant written down once: a change breaks every resumed run."""
  key = stream(jax.random.key(0), 'latent')
  assert bits(key) == bits(jax.random.fold_in(jax.random.key(0), 0x6CF1FD73))


def test_every_step_has_its_own_key():
  root = jax.random.key(3)
  keys = {
    bits(step_key(TrainState(jnp.int32(t), root, None, None)))
    for t in range(50)
  }
  assert len(keys) == 50


def test_a_seed_gives_one_latent_whatever_else_is_asked_for():
  many = latent.by_seed(range(10, 20), 16, 'normal')
  alone = latent.by_seed([13], 16, 'normal')
  assert (many[3] == alone[0]).all()
  uniform = latent.by_seed(range(200), 16, 'uniform')
  assert uniform.min() >= -1 and uniform.max() <= 1 and uniform.min() < -0.9
