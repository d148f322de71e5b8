"""What travels between sites or is written down: bounded types, from which every record is made."""
