"""What a site's own `local/` files hold, written the same way for simulated and for provisioned sites."""
