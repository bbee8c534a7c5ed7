"""Whether this host and this configuration can work, said before or beside a running agent."""
