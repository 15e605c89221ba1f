"""What an outgoing delivers: a record alone, many in one request, or by the Batch API."""
