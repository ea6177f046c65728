"""Named SQL statements, one module per subject. Functions return statements; values are passed as parameters."""
