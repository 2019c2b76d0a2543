"""One module a command; each holds its click command as `command` and imports what it needs late."""
