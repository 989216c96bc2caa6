"""The source behind the toy room's records."""
