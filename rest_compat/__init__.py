"""The REST door: the documented /sessions paths over the resolvers."""
