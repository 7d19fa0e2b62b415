"""What an input may cost before it is read: the one place for limits.

A file says how large it will be before it is; these bounds are compared with
what it says, so that no file takes the machine down. README, "Limits", lists
them.
"""

MIB = 2**20
GIB = 2**30

# Of one picture: 268 megapixels, of which each takes 1 to 4 bytes decoded. One
# that says it is larger is skipped.
PICTURE_PIXELS = 2**28

# Of one picture file, or member of an archive, unpacked.
PICTURE_FILE_BYTES = 1024 * MIB

# What the pictures that threads of one process decode at the same time may
# take together, and the files that they are read from; a single one that is
# larger is decoded while no other is.
DECODING_BYTES = 2048 * MIB
READING_BYTES = 512 * MIB

# Text inside a PNG that may say which way is up, unpacked. Longer text, and any
# that is about something else, is passed over.
PNG_TEXT_BYTES = 1 * MIB

# Pieces of a PNG file: each takes Pillow some microseconds.
PNG_CHUNKS = 2**20

# Scans of a progressive JPEG, times its pixels: each scan goes over all of
# them, and may be a few bytes long. Common ones have 10 scans or so.
JPEG_SCANNED_PIXELS = 16 * PICTURE_PIXELS

# dataset.json, the labels of a set in StyleGAN's format: of ten million
# pictures it has about 400 MiB.
LABELS_FILE_BYTES = 512 * MIB

# Of packed data (.npz, .gz, .xz, .bz2, .pth). Floats pack 1:1.1, text 1:10,
# drawings 1:50; what packs 1:1,000 is nothing but zeros.
UNPACKED_FREE = 64 * MIB  # may come out of a file of any size
UNPACKED_RATIO = 100  # and beyond that, bytes for each packed one

# Of weight files. The largest network that can be read has 0.6 GiB.
WEIGHTS = 4 * GIB  # bytes of a file, and of what it unpacks to
HEADER = 8 * MIB  # of a .safetensors file: names, types, shapes, as JSON
RECORDS = 500_000  # opcodes of a pickle, fields of an ONNX file
INTEGER = 16  # bytes of a whole number in a pickle

CLASSES = 100_000  # of a set
LINE = MIB  # characters of a line of text: what has more is not made of lines


def unpacked(size: int) -> int:
  """The bytes that may come out of a packed file or member of `size` bytes."""
  return UNPACKED_FREE + UNPACKED_RATIO * size


# Samples that one command makes: a list of so many seeds is 40 MB.
MAX_SEEDS = 1_000_000

# Of a film: the largest side that players of H.264 take; the latent vectors of
# all its frames, of which some copies are in memory.
FILM_SIDE = 8192  # pixels
WALK_BYTES = 512 * MIB
