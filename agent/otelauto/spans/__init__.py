"""From the records of the span ring to spans, and from samplers to what the kernel tests."""
