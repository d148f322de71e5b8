"""Report of a statistics job: distances between sites, expected drift, and the page."""
