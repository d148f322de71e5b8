"""Services of the server beyond one job: continuation, returning sites, outcomes, user sessions."""
