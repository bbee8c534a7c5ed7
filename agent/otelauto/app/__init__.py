"""The agent put together: the only package that knows all the others."""
