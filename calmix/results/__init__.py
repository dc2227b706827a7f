"""What came out: scores, the catalogue of metrics, statistics over seeds, and files. Nothing here trains."""
