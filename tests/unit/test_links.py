"""Links between the pages lead somewhere: to a file of the checkout, and to a heading that it has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("p*/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        is_external = re.match(r"\w+:", link) is not None
        if not is_external and (not target.exists() or (anchor and anchor not in headings(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("start", ["README.md", "docs/index.md"])
def test_every_page_is_found_from_a_start_page(start: str) -> None:
    """A page that only other pages lead to isn't found by its reader."""
    linked = {
        (ROOT / start).parent / link.partition("#")[0] for link in LINK.findall((ROOT / start).read_text())
    }
    pages = {page for page in ROOT.glob("docs/*.md") if page.name != "index.md"}
    assert sorted(page.name for page in pages - {one.resolve() for one in linked}) == []


def test_a_heading_has_its_anchor(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n## Docker, Kubernetes, Slurm\n")
    assert headings(page) == {"a", "docker-kubernetes-slurm"}
