"""Packs: deliveries joined in one request, sent, and taken apart again."""
