"""The configuration: what can be set, how it is read and checked, and how it is documented."""
