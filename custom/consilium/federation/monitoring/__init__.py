"""Where a job stands, for people and for machines: its progress record and its metrics."""
