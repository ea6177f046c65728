"""The REST door: translates the documented /sessions paths onto the resolvers, and decides nothing itself."""
