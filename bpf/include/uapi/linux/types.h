// The same types under their other name.
#include <linux/types.h>
