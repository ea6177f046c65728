"""Import of files from other programs: read, validated record by record, and stored all or nothing."""
