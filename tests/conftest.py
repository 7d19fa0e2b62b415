"""Runs before JAX starts: eight fake devices, one compilation cache."""

import os
import pathlib

# Set before the first import of jax in this process: device count is fixed
# when the CPU backend starts. Subprocesses of tests choose their own.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
  ]
)
CACHE = os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(pathlib.Path.home() / '.cache' / 'gan_jax' / 'tests'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.3')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
