"""Run the command line with `python -m connectory`."""

from connectory.cli import main

main(prog_name="connectory")
