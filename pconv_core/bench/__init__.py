"""What it costs: networks, masks, loading, and where the time of a training step goes."""
