"""Runs the command line with `python -m netsessions`."""

from netsessions.cli import main

if __name__ == "__main__":
    main(prog_name="netsessions")
