"""The REST API: the documented /sessions paths of NetAlertX, and additions to them. It contains no logic of its own."""
