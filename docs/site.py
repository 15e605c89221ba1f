"""Build the site, strictly: `python docs/site.py [FOLDER]`; FOLDER has `.mkdocs.yml` and `docs` (default: this one)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Make `.site` of `docs`, and put each page's Markdown beside it, for `llms.txt`."""
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", ".mkdocs.yml"],
        cwd=root,
        check=False,
    )
    if built.returncode == 0:
        for page in (root / "docs").rglob("*.md"):
            shutil.copy(page, root / ".site" / page.relative_to(root / "docs"))
    return built.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
