"""Questions to the sites: distribution, form and content of answers, quorum."""
