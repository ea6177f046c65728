"""Taking over what other programs recorded: their files read, checked row by row, and stored whole or not at all."""
