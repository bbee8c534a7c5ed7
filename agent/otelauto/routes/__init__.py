"""From paths to routes: patterns, what is learned, and the automaton that the kernel walks."""
