// struct user_msghdr and sockaddr.
#include <linux/types.h>
