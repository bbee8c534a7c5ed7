// The loader defines LINUX_VERSION_CODE from the running kernel. Only kernels before 5.0 look at it.
#ifndef OTELAUTO_LINUX_VERSION_H
#define OTELAUTO_LINUX_VERSION_H

#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
#endif

#endif
