// The same definitions under their other name.
#include <uapi/asm/byteorder.h>
