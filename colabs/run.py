"""Executes a notebook from the repository's root and prints what it printed.

python colabs/run.py colabs/quickstart.ipynb
"""

import pathlib
import sys

import nbclient
import nbformat

path = pathlib.Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
client = nbclient.NotebookClient(
  notebook, timeout=900, resources={'metadata': {'path': '.'}}
)
client.execute()
for cell in notebook.cells:
  for output in cell.get('outputs', []):
    print(output.get('text', '') or f'[{output.output_type}]', end='\n')
