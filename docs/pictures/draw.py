"""Draw the pictures of the documents from the code: `python docs/pictures/draw.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

import crash
import modules
import path

FOLDER = Path(__file__).parent
PICTURES = {"path.svg": path.draw, "crash.svg": crash.draw, "modules.svg": modules.draw}


def main(arguments: list[str]) -> int:
    """Write the pictures, or say which would change."""
    stale = 0
    for name, draw in PICTURES.items():
        file, text = FOLDER / name, draw()
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            print(f"{name} is not what the code says; run python docs/pictures/draw.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
