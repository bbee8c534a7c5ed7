// Empty: included by BCC, used by none of its macros that we use. Its own bpf.h is built in.
