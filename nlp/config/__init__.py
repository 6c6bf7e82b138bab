"""What a configuration file may hold: strict settings, and YAML that every reader reads alike."""
