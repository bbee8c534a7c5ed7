"""The user side of the kernel: what it can do, loading, attaching, maps and the ring.

The only package that makes bpf(2) calls, and the only one that knows of BCC, which runs in a child
process (_loader_child.py) and is never imported here.
"""
