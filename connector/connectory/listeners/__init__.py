"""Who hears what happens: the log, OpenTelemetry, and whoever else listens."""
