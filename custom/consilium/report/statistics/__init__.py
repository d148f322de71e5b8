"""The report of a statistics job: the record, how far sites are apart, and the page."""
