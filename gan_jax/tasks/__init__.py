"""Tasks: terms with heads of their own, by the names that configs use.

None yet: FastGAN's decoders and GLeaD's reconstruction become files here, each
with a `terms.Kind` and a row in `TASKS`; `config.tasks` has a section for each.
"""

from gan_jax.terms import Kind

TASKS: dict[str, Kind] = {}
