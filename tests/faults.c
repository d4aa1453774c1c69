/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bad day for tests, to be preloaded (LD_PRELOAD). What goes wrong is said by
 * the environment; without it all is as ever.
 *
 *   FAULT_MALLOC=N      the Nth allocation fails
 *   FAULT_OWN=1         of those of the program itself, not of its libraries
 *   FAULT_LARGE=BYTES   allocations of so many bytes and more fail
 *   FAULT_FD=N[-M]      of the calls that need a descriptor, a port, a thread or
 *                       a place in epoll's set, the Nth fails, or Nth to Mth
 *   FAULT_SHORT=1       sockets and files give and take one byte at a time
 *   FAULT_EINTR=P       in P of 100 calls a signal comes first
 *   FAULT_EAGAIN=P      P of 100 sockets are not ready, whatever was said
 *   FAULT_CLOCK=N       the time of day is set anew at every Nth look, to
 *                       anything from ten years ago to ten years ahead
 *   FAULT_SUSPEND=N     at every Nth look at the other clock an hour has gone
 *   FAULT_SELF=1        who connects to a TCP port comes from that very port, if
 *                       it is free, and so meets itself
 *   FAULT_SEED=N        of the random numbers
 *   FAULT_REPORT=FILE   gets how often each of it came to pass, and how many
 *                       pieces of memory the program itself has not freed
 */
#define _GNU_SOURCE
#include <asm/socket.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Not <sys/socket.h>, which has them with unions of pointers. */
struct sockaddr;
int accept(int fd, struct sockaddr *addr, socklen_t *len);
int bind(int fd, const struct sockaddr *addr, socklen_t len);
int connect(int fd, const struct sockaddr *addr, socklen_t len);
int setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int socket(int domain, int type, int protocol);
ssize_t recv(int fd, void *to, size_t len, int flags);
ssize_t send(int fd, const void *from, size_t len, int flags);

enum {
	EARLY = 65536,      /* bytes for who allocates before malloc is found */
	PLACES = 1 << 17,   /* of the table of what is allocated */
	HOUR = 3600,
	TEN_YEARS = 315576000, /* seconds */
};

static long fail_malloc, fail_own, fail_large, fail_fd_from, fail_fd_to, fail_short,
	fail_eintr, fail_eagain, fail_clock, fail_suspend, fail_self;
static const char *report_path;
static atomic_long allocations, failed, large, descriptors, refused, shorts,
	interrupts, agains, looks, settings, looks_up, suspends;
static atomic_ullong dice;

static struct {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *old, size_t size);
	void (*free)(void *memory);
	void *(*mmap)(void *at, size_t size, int access, int flags, int fd, off_t from);
	int (*munmap)(void *memory, size_t size);
	ssize_t (*read)(int fd, void *to, size_t len);
	ssize_t (*write)(int fd, const void *from, size_t len);
	ssize_t (*writev)(int fd, const struct iovec *vector, int count);
	ssize_t (*recv)(int fd, void *to, size_t len, int flags);
	ssize_t (*send)(int fd, const void *from, size_t len, int flags);
	int (*accept)(int fd, struct sockaddr *addr, socklen_t *len);
	int (*connect)(int fd, const struct sockaddr *addr, socklen_t len);
	int (*socket)(int domain, int type, int protocol);
	int (*pipe)(int fds[2]);
	int (*open)(const char *path, int flags, ...);
	FILE *(*fopen)(const char *path, const char *mode);
	int (*pthread_create)(pthread_t *thread, const pthread_attr_t *attr,
		void *(*run)(void *), void *arg);
	int (*epoll_create1)(int flags);
	int (*epoll_ctl)(int set, int op, int fd, struct epoll_event *event);
	int (*epoll_wait)(int set, struct epoll_event *list, int room, int ms);
	int (*poll)(struct pollfd *list, nfds_t count, int ms);
	int (*clock_gettime)(clockid_t clock, struct timespec *now);
} real;

/* ---- the beginning ------------------------------------------------------- */

/* Where the program itself lies, not its libraries. */
static uintptr_t program_begin, program_end;

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + part->p_vaddr;

		if (part->p_type != PT_LOAD)
			continue;
		if (!program_begin || begin < program_begin)
			program_begin = begin;
		if (begin + part->p_memsz > program_end)
			program_end = begin + part->p_memsz;
	}
	return 1; /* the first is the program */
}

static long setting(const char *name)
{
	const char *text = getenv(name);

	return text ? atol(text) : 0;
}

static void read_settings(void)
{
	const char *range = getenv("FAULT_FD");

	fail_malloc = setting("FAULT_MALLOC");
	fail_own = setting("FAULT_OWN");
	fail_large = setting("FAULT_LARGE");
	fail_fd_from = fail_fd_to = setting("FAULT_FD");
	if (range && strchr(range, '-'))
		fail_fd_to = atol(strchr(range, '-') + 1);
	fail_short = setting("FAULT_SHORT");
	fail_eintr = setting("FAULT_EINTR");
	fail_eagain = setting("FAULT_EAGAIN");
	fail_clock = setting("FAULT_CLOCK");
	fail_suspend = setting("FAULT_SUSPEND");
	fail_self = setting("FAULT_SELF");
	dice = (unsigned long long)setting("FAULT_SEED");
	report_path = getenv("FAULT_REPORT");
}

/* dlsym gives no function but a pointer; this is how POSIX has it copied. */
static void find(void *function, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	memcpy(function, &found, sizeof(found));
}

/* Whoever allocates before the constructors run comes here first. */
static void begin(void)
{
	static bool begun;

	if (begun)
		return;
	begun = true;
	find(&real.malloc, "malloc");
	find(&real.calloc, "calloc");
	find(&real.realloc, "realloc");
	find(&real.mmap, "mmap");
	find(&real.munmap, "munmap");
	find(&real.free, "free");
	find(&real.read, "read");
	find(&real.write, "write");
	find(&real.writev, "writev");
	find(&real.recv, "recv");
	find(&real.send, "send");
	find(&real.accept, "accept");
	find(&real.connect, "connect");
	find(&real.socket, "socket");
	find(&real.pipe, "pipe");
	find(&real.open, "open");
	find(&real.fopen, "fopen");
	find(&real.pthread_create, "pthread_create");
	find(&real.epoll_create1, "epoll_create1");
	find(&real.epoll_ctl, "epoll_ctl");
	find(&real.epoll_wait, "epoll_wait");
	find(&real.poll, "poll");
	find(&real.clock_gettime, "clock_gettime");
	dl_iterate_phdr(find_program, NULL);
}

__attribute__((constructor)) static void constructor(void)
{
	begin();
	/* Not before: there may be no environment yet. What libraries have
	 * allocated until now is not the program's affair. */
	read_settings();
	allocations = 0;
}

/* ---- chance ---------------------------------------------------------------- */

/* splitmix64 of Sebastiano Vigna. */
static unsigned long long random_number(void)
{
	unsigned long long x = atomic_fetch_add(&dice, 0x9e3779b97f4a7c15u);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static bool chance(long percent, atomic_long *count)
{
	if (!percent || random_number() % 100 >= (unsigned long long)percent)
		return false;
	atomic_fetch_add(count, 1);
	return true;
}

/* ---- memory ------------------------------------------------------------------ */

static bool is_own(const void *caller)
{
	return (uintptr_t)caller >= program_begin &&
		(uintptr_t)caller < program_end;
}

/* What the program has allocated and not freed: open addressing, no deletion
 * but of the pointer, so a search goes on past the gap. */
static const char gap;
static const void *table[PLACES];
static atomic_flag table_busy = ATOMIC_FLAG_INIT;
static long left;

static size_t place(const void *memory)
{
	return (size_t)((uintptr_t)memory / 16 * 0x9e3779b97f4a7c15u >> 40) %
		PLACES;
}

static void remember(const void *memory, const void *caller)
{
	size_t i = place(memory);

	if (!report_path || !memory || !is_own(caller))
		return;
	while (atomic_flag_test_and_set(&table_busy))
		continue;
	while (table[i] && table[i] != &gap)
		i = (i + 1) % PLACES;
	table[i] = memory;
	left++;
	atomic_flag_clear(&table_busy);
}

static void forget(const void *memory)
{
	size_t i = place(memory);

	if (!report_path || !memory)
		return;
	while (atomic_flag_test_and_set(&table_busy))
		continue;
	while (table[i] && table[i] != memory)
		i = (i + 1) % PLACES;
	if (table[i]) {
		table[i] = &gap;
		left--;
	}
	atomic_flag_clear(&table_busy);
}

static char early[EARLY];
static size_t early_used;

/* dlsym may want memory before it has found malloc. Zeroed, never given back. */
static void *early_memory(size_t size)
{
	void *memory = early + early_used;

	size = (size + 15) / 16 * 16;
	if (size > EARLY - early_used)
		return NULL;
	early_used += size;
	return memory;
}

static bool is_early(const void *memory)
{
	return (const char *)memory >= early &&
		(const char *)memory < early + EARLY;
}

/* May an allocation of the size be had? */
static bool may_allocate(size_t size, const void *caller)
{
	bool bad = false;

	if (!fail_own || is_own(caller))
		bad = atomic_fetch_add(&allocations, 1) + 1 == fail_malloc;
	if (bad)
		atomic_fetch_add(&failed, 1);
	if (fail_large && size >= (size_t)fail_large) {
		atomic_fetch_add(&large, 1);
		bad = true;
	}
	if (bad)
		errno = ENOMEM;
	return !bad;
}

void *malloc(size_t size)
{
	void *memory;

	begin();
	if (!real.malloc)
		return early_memory(size);
	if (!may_allocate(size, __builtin_return_address(0)))
		return NULL;
	memory = real.malloc(size);
	remember(memory, __builtin_return_address(0));
	return memory;
}

void *calloc(size_t count, size_t size)
{
	void *memory;

	begin();
	if (!real.calloc)
		return early_memory(count * size);
	if (!may_allocate(count * size, __builtin_return_address(0)))
		return NULL;
	memory = real.calloc(count, size);
	remember(memory, __builtin_return_address(0));
	return memory;
}

void *realloc(void *old, size_t size)
{
	void *memory;

	begin();
	if (!may_allocate(size, __builtin_return_address(0)))
		return NULL;
	forget(old);
	memory = real.realloc(old, size);
	remember(memory ? memory : old, __builtin_return_address(0));
	return memory;
}

void free(void *memory)
{
	begin();
	if (is_early(memory))
		return;
	forget(memory);
	real.free(memory);
}

/* Memory of no file is as good as allocated. */
void *mmap(void *at, size_t size, int access, int flags, int fd, off_t from)
{
	void *memory;

	begin();
	if (fd < 0 && !may_allocate(size, __builtin_return_address(0)))
		return MAP_FAILED;
	memory = real.mmap(at, size, access, flags, fd, from);
	if (fd < 0 && memory != MAP_FAILED)
		remember(memory, __builtin_return_address(0));
	return memory;
}

int munmap(void *memory, size_t size)
{
	begin();
	forget(memory);
	return real.munmap(memory, size);
}

/* ---- descriptors, and what else there is only so much of --------------------- */

static bool may_have(int error)
{
	long n = atomic_fetch_add(&descriptors, 1) + 1;

	if (!fail_fd_from || n < fail_fd_from || n > fail_fd_to)
		return true;
	atomic_fetch_add(&refused, 1);
	errno = error;
	return false;
}

static bool interrupted(void)
{
	if (!chance(fail_eintr, &interrupts))
		return false;
	errno = EINTR;
	return true;
}

static bool not_ready(void)
{
	if (!chance(fail_eagain, &agains))
		return false;
	errno = EAGAIN;
	return true;
}

int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	begin();
	if (interrupted() || not_ready() || !may_have(EMFILE))
		return -1;
	return real.accept(fd, addr, len);
}

int socket(int domain, int type, int protocol)
{
	begin();
	return may_have(EMFILE) ? real.socket(domain, type, protocol) : -1;
}

/* A signal does not end the attempt: it goes on by itself. */
int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int result;

	begin();
	if (!may_have(EADDRNOTAVAIL))
		return -1;
	if (fail_self) {
		const int on = 1;

		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		(void)bind(fd, addr, len);
	}
	result = real.connect(fd, addr, len);
	if ((result == 0 || errno == EINPROGRESS) && interrupted())
		return -1;
	return result;
}

int pipe(int fds[2])
{
	begin();
	return may_have(EMFILE) ? real.pipe(fds) : -1;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	begin();
	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return may_have(EMFILE) ? real.open(path, flags, mode) : -1;
}

FILE *fopen(const char *restrict path, const char *restrict mode)
{
	begin();
	return may_have(EMFILE) ? real.fopen(path, mode) : NULL;
}

int pthread_create(pthread_t *restrict thread,
	const pthread_attr_t *restrict attr, void *(*run)(void *),
	void *restrict arg)
{
	begin();
	return may_have(EAGAIN) ? real.pthread_create(thread, attr, run, arg) :
		EAGAIN;
}

int epoll_create1(int flags)
{
	begin();
	return may_have(EMFILE) ? real.epoll_create1(flags) : -1;
}

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	begin();
	if (op == EPOLL_CTL_ADD && !may_have(ENOSPC))
		return -1;
	return real.epoll_ctl(set, op, fd, event);
}

/* ---- bytes --------------------------------------------------------------------- */

static bool is_kind(int fd, mode_t kind)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

/* Pipes are left alone: they take and give a few bytes whole, always. */
static bool is_short(int fd, size_t len)
{
	if (!fail_short || len < 2 || is_kind(fd, S_IFIFO))
		return false;
	atomic_fetch_add(&shorts, 1);
	return true;
}

/* What is written to a file is not held up by signals or buffers. */
static bool is_held_up(int fd)
{
	return (fail_eintr || fail_eagain) && is_kind(fd, S_IFSOCK) &&
		(interrupted() || not_ready());
}

ssize_t read(int fd, void *to, size_t len)
{
	begin();
	if (is_held_up(fd))
		return -1;
	return real.read(fd, to, is_short(fd, len) ? 1 : len);
}

ssize_t write(int fd, const void *from, size_t len)
{
	begin();
	if (is_held_up(fd))
		return -1;
	return real.write(fd, from,
		is_kind(fd, S_IFSOCK) && is_short(fd, len) ? 1 : len);
}

ssize_t recv(int fd, void *to, size_t len, int flags)
{
	begin();
	if (is_held_up(fd))
		return -1;
	return real.recv(fd, to, is_short(fd, len) ? 1 : len, flags);
}

ssize_t send(int fd, const void *from, size_t len, int flags)
{
	begin();
	if (is_held_up(fd))
		return -1;
	return real.send(fd, from, is_short(fd, len) ? 1 : len, flags);
}

ssize_t writev(int fd, const struct iovec *vector, int count)
{
	begin();
	if (is_held_up(fd))
		return -1;
	if (!is_short(fd, 2))
		return real.writev(fd, vector, count);
	while (count > 1 && !vector->iov_len) {
		vector++;
		count--;
	}
	return real.write(fd, vector->iov_base, vector->iov_len ? 1 : 0);
}

int epoll_wait(int set, struct epoll_event *list, int room, int ms)
{
	begin();
	return interrupted() ? -1 : real.epoll_wait(set, list, room, ms);
}

int poll(struct pollfd *list, nfds_t count, int ms)
{
	begin();
	return interrupted() ? -1 : real.poll(list, count, ms);
}

/* ---- clocks ------------------------------------------------------------------------ */

static atomic_llong set_by;

static bool is_nth(atomic_long *count, long every)
{
	return every && (atomic_fetch_add(count, 1) + 1) % every == 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result;

	begin();
	result = real.clock_gettime(clock, now);
	if (clock == CLOCK_REALTIME) {
		if (is_nth(&looks, fail_clock)) {
			atomic_fetch_add(&settings, 1);
			set_by = (long long)(random_number() % (2 * TEN_YEARS)) -
				TEN_YEARS;
		}
		now->tv_sec += (time_t)set_by;
	} else if (clock == CLOCK_MONOTONIC) {
		if (is_nth(&looks_up, fail_suspend))
			atomic_fetch_add(&suspends, 1);
		now->tv_sec += (time_t)suspends * HOUR;
	}
	return result;
}

time_t time(time_t *to)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (to)
		*to = now.tv_sec;
	return now.tv_sec;
}

/* ---- the end ------------------------------------------------------------------------- */

__attribute__((destructor)) static void report(void)
{
	char text[400];
	int len, fd;

	if (!report_path)
		return;
	len = snprintf(text, sizeof(text), "allocations %ld\nfailed %ld\n"
		"large %ld\ndescriptors %ld\nrefused %ld\nshort %ld\n"
		"interrupted %ld\nagain %ld\nset %ld\nsuspended %ld\nleft %ld\n",
		allocations, failed, large, descriptors, refused, shorts,
		interrupts, agains, settings, suspends, left);
	fd = real.open(report_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || real.write(fd, text, (size_t)len) != len)
		abort();
	close(fd);
}
