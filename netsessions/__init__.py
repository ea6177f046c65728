"""The program: command line, settings, HTTP layer, server processes and RADIUS listener."""
