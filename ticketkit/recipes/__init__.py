"""The recipes that come with ticketkit, one TOML file each."""
