"""What an input may cost before it is read: the one place for limits.

A file says how large it will be before it is; these bounds are compared with
what it says, so that no file takes the machine down. README, "Limits", lists
them.
"""

MIB = 2**20

# Samples that one command makes: a list of so many seeds is 40 MB.
MAX_SEEDS = 1_000_000
