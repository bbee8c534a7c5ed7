// struct iovec.
#include <linux/types.h>
