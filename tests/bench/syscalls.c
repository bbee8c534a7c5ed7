// What a system call of a process costs that has nothing to do with HTTP: reads one byte of /dev/zero
// again and again, and prints the nanoseconds that one read takes.
//
//   syscalls COUNT
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1000000;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct timespec a, b;
	char byte;

	if (fd < 0 || count < 1)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < count; i++)
		if (read(fd, &byte, 1) != 1)
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%.2f\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)count);
	return 0;
}
