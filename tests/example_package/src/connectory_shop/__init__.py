"""What the corner shop adds: two transformers, a source, a sink and a client prototype."""
