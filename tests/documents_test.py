"""What the documents point to is there."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')])
LINK = re.compile(r'\]\(([^)\s#]*)(?:#([^)\s]+))?\)')


def anchors(text: str) -> set[str]:
  """The names that GitHub gives to headings."""
  heads = re.findall(
    r'^#+ +(.+)$', re.sub(r'```.*?```', '', text, flags=re.S), re.M
  )
  return {re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-') for h in heads}


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
  lost = []
  for target, anchor in LINK.findall(document.read_text('utf-8')):
    if '://' in target:
      continue
    file = (document.parent / target) if target else document
    there = file.exists()
    if there and anchor:
      there = anchor in anchors(file.read_text('utf-8'))
    if not there:
      lost.append(f'{target}#{anchor}')
  assert not lost


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_spoken_of_are_there(document):
  """Configs, benchmarks and notebooks by their path."""
  named = re.findall(
    r'\b((?:configs|benchmarks|colabs|launch)/\w+\.(?:py|ipynb|sh))\b',
    document.read_text('utf-8'),
  )
  assert not [name for name in named if not (ROOT / name).exists()]
