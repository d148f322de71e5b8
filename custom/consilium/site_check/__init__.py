"""Checks of whether a hospital is ready to join: kit, policy, data, machine and connection.

Everything here only reads: neither the kit nor the dataset folder is ever written to.
"""
