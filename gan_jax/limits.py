"""What an input may cost before it is read: the one place for limits.

A file says how large it will be before it is; these bounds are compared with
what it says, so that no file takes the machine down. README, "Limits", lists
them.
"""

MIB = 2**20

# Of one picture as it lies decoded in memory (a byte a pixel of grey, of a
# palette or of one bit, two of 16-bit grey, four of all else): 268 megapixels
# in colour, four times as many in grey. One that says it is larger is skipped.
PICTURE_BYTES = 1024 * MIB

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

# dataset.json, the labels of a set in StyleGAN's format: of ten million
# pictures it has about 400 MiB.
LABELS_FILE_BYTES = 512 * MIB
