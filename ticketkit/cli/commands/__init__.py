"""One module a command; its ``command`` is the click command. Heavy imports happen inside the functions."""
