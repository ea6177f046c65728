"""The program: command line, settings, composition root, identity, and what it tells its operator."""
