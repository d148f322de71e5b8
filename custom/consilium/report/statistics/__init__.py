"""What a statistics job found: the record, how far sites are apart, and the page."""
