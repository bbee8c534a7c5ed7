// The same registers under their other name.
#include <uapi/linux/ptrace.h>
