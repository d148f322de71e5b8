"""Whether a hospital is ready to join: its kit, its policy, its data, its machine, and the way to the server.

Everything here only reads: neither the kit nor the dataset folder is ever written to.
"""
