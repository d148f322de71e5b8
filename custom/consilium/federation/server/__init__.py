"""What lasts longer at the server than one job: interrupted jobs, returning sites, outcomes, users."""
