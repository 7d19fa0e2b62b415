"""Whatever people bring and whatever happens: a right result or one sentence.

  python -m tests.campaign [PART ...] [--count=N] [--seed=S]

makes N malformed inputs of each part and prints what became of them: a result,
a sentence, or, which must not be, a traceback, a hang, a wrong result, too much
memory. Every case is told by its part, seed and number, and can be made again:
`--only=K` makes case K alone and lets its traceback through. The last line is
JSON.

| file | what it brings |
|---|---|
| pictures.py | pictures, archives, arrays that are damaged or strange |
| weights.py | files of weights |
| settings.py | configs, settings, command lines |
| runs.py | the files of a run, damaged, and then used |
| kills.py | games that are killed, at any moment, until they are done |
| disk.py | disks that are full, folders that vanish, two at once |
| hosts.py | two processes of one run, of which some are ended |

mutate.py damages bytes and values; pool.py makes cases in processes of their
own, with a limit on time and memory. campaign_test.py runs it small.
"""
