"""What a running agent measures, live in a terminal, from its own Prometheus page."""
