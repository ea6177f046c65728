"""`python -m netsessions`, the same as the command `netsessions`."""

from netsessions.cli import main

if __name__ == "__main__":
    main(prog_name="netsessions")
