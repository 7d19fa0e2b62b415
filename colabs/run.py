"""Executes a notebook from the repository's root and prints what it printed.

python colabs/run.py colabs/quickstart.ipynb
"""

import pathlib
import sys
import tempfile

import jupyter_client
import nbclient
import nbformat

path = pathlib.Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
with tempfile.TemporaryDirectory() as folder:
  # By sockets in a folder, not by ports: of several notebooks that start at
  # once, two may find the same port free.
  kernels = jupyter_client.AsyncKernelManager(
    kernel_name='python3', transport='ipc', ip=f'{folder}/kernel'
  )
  client = nbclient.NotebookClient(
    notebook,
    kernels,
    timeout=900,
    startup_timeout=300,
    resources={'metadata': {'path': '.'}},
  )
  client.execute()
for cell in notebook.cells:
  for output in cell.get('outputs', []):
    print(output.get('text', '') or f'[{output.output_type}]', end='\n')
