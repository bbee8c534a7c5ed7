// The same definitions under their other name.
#include <linux/bpf_common.h>
