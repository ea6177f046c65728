"""The documents refer only to files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
FOLDERS = "netsessions|schema|rest_compat|resolvers|storage|ui|tests|benchmarks|docs"


def references(document: Path) -> set[Path]:
    """Return the repository files that a document names in code spans and relative links."""
    text = document.read_text(encoding="utf-8")
    spans = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    return {ROOT / span for span in spans} | {document.parent / link for link in links}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_existing_files(document: Path) -> None:
    """A renamed file is renamed in the documents, too."""
    missing = [str(path) for path in references(document) if not path.exists()]
    assert not missing


def test_documents_with_references_are_found() -> None:
    """Otherwise the test above would pass without looking at anything."""
    assert len(references(ROOT / "docs" / "architecture.md")) > 40
    assert len(references(ROOT / "README.md")) > 8


@pytest.mark.parametrize("document", [ROOT / "docs/decisions/README.md"], ids=["index"])
def test_index_lists_every_decision(document: Path) -> None:
    """Each decision is one page, linked from the index."""
    pages = {path.name for path in document.parent.glob("[0-9]*.md")}
    linked = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", document.read_text(encoding="utf-8")))
    assert pages == linked
