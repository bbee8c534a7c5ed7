// struct msghdr and sockaddr.
#include <linux/types.h>
