"""The commands of `netsessions`, one module for each command or group."""
