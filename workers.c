/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers: several processes that serve the same pools, and their parent.
 *
 * The parent reads the configuration, listens, answers for all of them on the
 * statistics port, passes signals on and starts a worker again that died; it
 * serves no client. The workers accept at the sockets that they inherit. Each
 * counts in an area of its own of one shared mapping, so that what it counted
 * outlives it.
 *
 * What the parent says to a worker, over a socket of the two:
 *   WORKER_FIGURES       bring your figures up to date; a byte comes back
 *   WORKER_LISTEN        listen at the descriptor that comes with it, for a pool
 *                        of the next configuration
 *   WORKER_RELOAD        struct reload_head, text: the configuration, which has
 *                        been checked
 *   WORKER_LEVEL         and a byte: the level of the log
 *   WORKER_REOPEN, WORKER_STOP
 * End of file: the parent has gone, and the worker stops.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

enum {
	MIN_SLOTS = 4096,      /* counters of pools and servers */
	ANSWER_WAIT = 50,      /* ms for the workers to bring figures up to date */
	MESSAGE_WAIT = 1000,   /* ms for a worker to take a message */
	UNANSWERED = 4,        /* so far behind, a worker is not asked again */
	HEALTHY = 5000,        /* ms after which a worker's death is its first */
	FIRST_DELAY = 100,     /* ms before one that died young is started again, */
	MAX_DELAY = 10000,     /* doubled each time up to this */
};

/* Behind WORKER_RELOAD. */
struct reload_head {
	uint32_t len;          /* of the text */
	uint32_t generation;   /* of the counters */
};

struct worker {
	pid_t pid;             /* 0: not running */
	int channel;           /* the parent's end */
	uint64_t started_ms;
	uint64_t asked;        /* how often for its figures */
	bool late;             /* with its figures: others do not wait for it */
	uint64_t delay;        /* ms before the next start */
	struct timer restart;
};

static struct worker *workers;
static unsigned restarts;

/* ---- counters ---------------------------------------------------------------- */

/* A slot has room for any of the three kinds of counters. The same slot of each
 * area belongs to the same pool or server: all processes take and free them in
 * the same order. */
union slot {
	struct server_stats server; /* cppcheck-suppress unusedStructMember */
	struct pool_stats pool; /* cppcheck-suppress unusedStructMember */
	struct process_stats process; /* cppcheck-suppress unusedStructMember */
};

static struct {
	union slot *areas;     /* NULL: one process, memory of its own */
	union slot *own;       /* of this process; the parent has sums in it */
	uint32_t *taken;       /* by what generation; 0: free */
	uint32_t generation;   /* grows with each reload, in all processes */
	size_t slots;
} shared = { .generation = 1 };

static union slot *area(unsigned worker)
{
	return shared.areas + worker * shared.slots;
}

/* Where a worker (1 to N) has what this process has at `own`. */
static void *of_worker(unsigned worker, const void *own)
{
	return (char *)area(worker) + ((const char *)own -
		(const char *)shared.own);
}

static bool is_shared(const void *counters)
{
	return shared.areas && (const union slot *)counters >= shared.own &&
		(const union slot *)counters < shared.own + shared.slots;
}

int counters_open(size_t needed)
{
	size_t slots = needed * 4 > MIN_SLOTS ? needed * 4 : MIN_SLOTS;
	size_t size = slots * (proxy.options.workers + 1u) * sizeof(union slot);
	void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (mapping == MAP_FAILED)
		return -1;
	shared.areas = shared.own = mapping;
	shared.slots = slots;
	shared.taken = xcalloc(slots, sizeof(*shared.taken));
	return 0;
}

bool counters_room(size_t needed)
{
	size_t left = 0;

	if (!shared.areas)
		return true;
	for (size_t i = 0; i < shared.slots; i++)
		left += !shared.taken[i];
	return left >= needed;
}

void *counters_new(size_t size)
{
	size_t i = 0;

	if (!shared.areas)
		return xcalloc(1, size);
	while (shared.taken[i])
		i++;
	shared.taken[i] = shared.generation;
	memset(&shared.own[i], 0, sizeof(shared.own[i]));
	return &shared.own[i];
}

void counters_next(void)
{
	if (proxy.process == PROCESS_PARENT)
		shared.generation++;
}

/* A worker that died had slots in use that belong to others by now, if it had
 * not heard of the last reloads. */
static void clear_stale(unsigned worker)
{
	const struct process_stats *process = of_worker(worker, proxy.stats);

	for (size_t i = 0; i < shared.slots; i++)
		if (shared.taken[i] > process->generation)
			memset(area(worker) + i, 0, sizeof(union slot));
}

void counters_free(void *counters)
{
	if (!is_shared(counters)) {
		free(counters);
		return;
	}
	shared.taken[(union slot *)counters - shared.own] = 0;
}

void *counters_detach(void *counters, size_t size)
{
	void *copy;

	if (!is_shared(counters))
		return counters;
	copy = xmalloc(size);
	memcpy(copy, counters, size);
	counters_free(counters);
	return copy;
}

uint64_t counters_sum(const uint64_t *counter)
{
	uint64_t sum = 0;

	if (!is_shared(counter))
		return *counter;
	for (unsigned w = 1; w <= proxy.options.workers; w++)
		sum += *(const uint64_t *)of_worker(w, counter);
	return sum;
}

uint64_t counters_least(const uint64_t *counter)
{
	uint64_t least = *counter;

	for (unsigned w = 1; is_shared(counter) && w <= proxy.options.workers; w++) {
		uint64_t one = *(const uint64_t *)of_worker(w, counter);
		if (one < least)
			least = one;
	}
	return least;
}

/* ---- the figures of all -------------------------------------------------------- */

/* The parent serves nobody but readers of the statistics: it may wait for its
 * workers, which look here once a turn. */
static void wait_for_figures(void)
{
	struct pollfd *list = xcalloc(proxy.options.workers, sizeof(*list));
	char bytes[UNANSWERED];
	unsigned behind;

	for (;;) {
		behind = 0;
		for (unsigned w = 1; w <= proxy.options.workers; w++) {
			const struct worker *worker = &workers[w - 1];
			const struct process_stats *stats =
				of_worker(w, proxy.stats);

			list[w - 1].fd = -1;
			if (!worker->pid || worker->late ||
			    stats->updates >= worker->asked)
				continue;
			list[w - 1].fd = worker->channel;
			list[w - 1].events = POLLIN;
			behind++;
		}
		if (!behind || poll(list, proxy.options.workers, ANSWER_WAIT) <= 0)
			break;
		for (unsigned w = 1; w <= proxy.options.workers; w++)
			if (list[w - 1].revents &&
			    read(list[w - 1].fd, bytes, sizeof(bytes)) <= 0)
				workers[w - 1].asked = 0; /* it has ended */
	}
	for (unsigned w = 1; w <= proxy.options.workers; w++)
		workers[w - 1].late = list[w - 1].fd >= 0 && behind;
	free(list);
}

static void ask_for_figures(void)
{
	static const char figures[] = { WORKER_FIGURES };

	for (unsigned w = 1; w <= proxy.options.workers; w++) {
		struct worker *worker = &workers[w - 1];
		const struct process_stats *stats = of_worker(w, proxy.stats);

		if (stats->updates >= worker->asked)
			worker->late = false;
		if (worker->pid && worker->asked - stats->updates < UNANSWERED &&
		    send(worker->channel, figures, 1, MSG_NOSIGNAL) == 1)
			worker->asked++;
	}
}

static void largest(uint64_t *of_all)
{
	*of_all = 0;
	for (unsigned w = 1; w <= proxy.options.workers; w++) {
		uint64_t one = *(uint64_t *)of_worker(w, of_all);
		if (one > *of_all)
			*of_all = one;
	}
}

static void sum_slot(size_t slot)
{
	uint64_t *sum = (uint64_t *)&shared.own[slot];
	size_t words = sizeof(union slot) / sizeof(*sum);

	memset(sum, 0, sizeof(union slot));
	for (unsigned w = 1; w <= proxy.options.workers; w++) {
		const uint64_t *one = (const uint64_t *)(area(w) + slot);
		for (size_t i = 0; i < words; i++)
			sum[i] += one[i];
	}
}

/* Whether it is ejected now, and was not, or the other way round. */
static bool sum_server(struct server *s)
{
	bool before = s->ejected;

	largest(&s->stats->server_ejected_at);
	largest(&s->stats->ejected);
	largest(&s->stats->failing);
	s->ejected = s->stats->ejected;
	s->failed_ms = s->stats->failing ? proxy.loop.now_ms : 0;
	return s->ejected != before;
}

void workers_collect(void)
{
	uint64_t own_memory = proxy.stats->memory_bytes;

	ask_for_figures();
	wait_for_figures();
	for (size_t i = 0; i < shared.slots; i++)
		if (shared.taken[i])
			sum_slot(i);
	for (size_t p = 0; p < proxy.npools; p++) {
		struct pool *pool = proxy.pools[p];
		bool changed = false;

		for (size_t i = 0; i < pool->conf->nservers; i++)
			changed = sum_server(pool->servers[i]) || changed;
		if (changed)
			pool_update_ring(pool);
	}
	largest(&proxy.stats->loop_max_us);
	proxy.stats->memory_bytes += own_memory;
}

const struct process_stats *workers_process(unsigned worker)
{
	return of_worker(worker, proxy.stats);
}

uint64_t workers_requests(unsigned worker)
{
	uint64_t sum = 0;

	for (size_t p = 0; p < proxy.npools; p++)
		for (size_t i = 0; i < proxy.pools[p]->conf->nservers; i++)
			sum += *(uint64_t *)of_worker(worker,
				&proxy.pools[p]->servers[i]->stats->requests);
	return sum;
}

unsigned workers_restarts(void)
{
	return restarts;
}

/* What a worker that died had open is closed now. */
static void clear_gauges(unsigned worker)
{
	struct process_stats *process = of_worker(worker, proxy.stats);

	for (size_t p = 0; p < proxy.npools; p++) {
		const struct pool *pool = proxy.pools[p];
		struct pool_stats *stats = of_worker(worker, pool->stats);

		stats->client_connections = 0;
		for (size_t i = 0; i < pool->conf->nservers; i++) {
			struct server_stats *s = of_worker(worker,
				pool->servers[i]->stats);
			s->server_connections = s->ejected = s->failing = 0;
			s->in_queue = s->in_queue_bytes = 0;
			s->out_queue = s->out_queue_bytes = 0;
		}
	}
	process->curr_connections = process->memory_bytes = 0;
	process->updates = 0;
	clear_stale(worker);
}

/* ---- the worker's side ------------------------------------------------------------ */

static struct {
	struct conn conn;
	struct text received;
	int *listeners;        /* descriptors, in order, for pools to come; -1: lost */
	size_t nlisteners;
	size_t announced;      /* how many of them are for the next reload */
} parent = { .conn = { .watch = { .fd = -1 } } };

/* *sent: a descriptor came along, *fd, which is -1 if there was none left for it. */
static int receive(char *bytes, size_t room, bool *sent, int *fd)
{
	struct iovec vector = { bytes, room };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	ssize_t n = recvmsg(parent.conn.watch.fd, &message, 0);
	struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*fd = -1;
	*sent = n > 0 && message.msg_flags & MSG_CTRUNC;
	if (*sent)
		log_err("worker: no descriptor left for the listener of a new pool");
	if (header && header->cmsg_type == SCM_RIGHTS) {
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
		*sent = true;
	}
	return (int)n;
}

int workers_listener(void)
{
	int fd;

	/* Those of the next reload may have come already. */
	if (!parent.announced || !parent.nlisteners) {
		errno = EBADF;
		return -1;
	}
	fd = parent.listeners[0];
	parent.announced--;
	parent.nlisteners--;
	memmove(parent.listeners, parent.listeners + 1,
		parent.nlisteners * sizeof(fd));
	if (fd < 0)
		errno = EMFILE;
	return fd;
}

/* The reload did not want them. */
static void close_announced(void)
{
	while (parent.announced && parent.nlisteners) {
		int fd = workers_listener();

		if (fd >= 0)
			close(fd);
	}
	parent.announced = 0;
}

static size_t take_reload(const char *bytes, size_t len)
{
	struct reload_head head;

	if (len < sizeof(head))
		return 0;
	memcpy(&head, bytes, sizeof(head));
	if (len < sizeof(head) + head.len)
		return 0;
	/* One that drains takes no new clients. */
	if (!proxy.stopping) {
		shared.generation = head.generation;
		proxy_reload(bytes + sizeof(head), head.len);
		proxy.stats->generation = head.generation;
	}
	close_announced();
	return sizeof(head) + head.len;
}

/* The length of the message at the front, once it is there; 0: not yet. */
static size_t take_message(const char *bytes, size_t len)
{
	size_t used;

	switch ((enum worker_message)bytes[0]) {
	case WORKER_FIGURES:
		stats_update();
		proxy.stats->updates++;
		/* Only to wake it: what counts is in the mapping. */
		(void)!send(parent.conn.watch.fd, "", 1, MSG_NOSIGNAL);
		break;
	case WORKER_LISTEN:
		parent.announced++;
		break;
	case WORKER_RELOAD:
		used = take_reload(bytes + 1, len - 1);
		return used ? 1 + used : 0;
	case WORKER_LEVEL:
		if (len < 2)
			return 0;
		log_set_level(bytes[1]);
		return 2;
	case WORKER_REOPEN:
		log_reopen();
		break;
	case WORKER_STOP:
		proxy.stopping = true;
		break;
	}
	return 1;
}

void workers_ready(void)
{
	char bytes[16384];
	size_t used = 0, n;
	bool sent;
	int fd, got;

	while ((got = receive(bytes, sizeof(bytes), &sent, &fd)) > 0) {
		text_add(&parent.received, bytes, (size_t)got);
		if (!sent)
			continue;
		if (fd >= 0)
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		parent.listeners = xrealloc(parent.listeners,
			(parent.nlisteners + 1) * sizeof(fd));
		parent.listeners[parent.nlisteners++] = fd;
	}
	if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		log_always("worker: the parent has gone, exiting");
		loop_forget(&proxy.loop, &parent.conn.watch);
		proxy.stopping = true;
	}
	while (used < parent.received.len &&
	       (n = take_message(parent.received.ptr + used,
	       parent.received.len - used)) > 0)
		used += n;
	if (!used)
		return;
	parent.received.len -= used;
	memmove(parent.received.ptr, parent.received.ptr + used,
		parent.received.len);
}

/* ---- the parent's side ------------------------------------------------------------- */

/* The child has the parent's memory: what is the parent's alone is given up, and
 * the counters of the model are those of its own area. */
static void become_worker(unsigned number, int channel)
{
	/* It may be long since the one before it ended. */
	clear_stale(number);
	loop_close(&proxy.loop);
	memset(&proxy.trim, 0, sizeof(proxy.trim));
	for (unsigned w = 0; w < proxy.options.workers; w++)
		if (workers[w].pid)
			close(workers[w].channel);
	free(workers);
	workers = NULL;
	proxy.process = PROCESS_WORKER;
	proxy.stats = of_worker(number, proxy.stats);
	proxy.stats->generation = shared.generation;
	proxy.stats->total_connections += proxy.npools;
	proxy.stats->curr_connections += proxy.npools;
	for (size_t p = 0; p < proxy.npools; p++) {
		struct pool *pool = proxy.pools[p];

		pool->stats = of_worker(number, pool->stats);
		pool->ring.seed += number;
		for (size_t i = 0; i < pool->conf->nservers; i++) {
			struct server *s = pool->servers[i];

			s->stats = of_worker(number, s->stats);
			/* What others found: it finds out for itself. */
			s->ejected = false;
			s->failed_ms = 0;
		}
		pool_update_ring(pool);
	}
	shared.own = area(number);
	parent.conn.role = ROLE_PARENT;
	parent.conn.watch.fd = channel;
}

static void restart(struct timer *timer);

static void start_again(unsigned number, const char *what, int code)
{
	struct worker *worker = &workers[number - 1];
	bool young = proxy.loop.now_ms - worker->started_ms < HEALTHY;

	worker->delay = !young ? 0 : !worker->delay ? FIRST_DELAY :
		worker->delay * 2 < MAX_DELAY ? worker->delay * 2 : MAX_DELAY;
	log_err("worker %u %s %d, again in %llu ms", number, what, code,
		(unsigned long long)worker->delay);
	restarts++;
	timer_set(&proxy.loop, &worker->restart,
		proxy.loop.now_ms + worker->delay, restart);
}

/* In the child this does not return. */
static void start_worker(unsigned number)
{
	struct worker *worker = &workers[number - 1];
	sigset_t all, before;
	int fds[2];

	worker->started_ms = proxy.loop.now_ms;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
		start_again(number, "has no socket: errno", errno);
		return;
	}
	for (int i = 0; i < 2; i++) {
		(void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
		(void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	}
	/* A signal for the child must not go through the parent's pipe. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	worker->pid = fork();
	if (worker->pid == 0) {
		close(fds[0]);
		worker->pid = 0;
		become_worker(number, fds[1]);
		exit(proxy_work(number, &parent.conn, &before));
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[1]);
	if (worker->pid < 0) {
		close(fds[0]);
		worker->pid = 0;
		start_again(number, "cannot be made: errno", errno);
		return;
	}
	worker->channel = fds[0];
	worker->asked = 0;
}

static void restart(struct timer *timer)
{
	struct worker *worker = (struct worker *)((char *)timer -
		offsetof(struct worker, restart));

	if (!proxy.stopping)
		start_worker((unsigned)(worker - workers) + 1);
}

void workers_start(void)
{
	workers = xcalloc(proxy.options.workers, sizeof(*workers));
	for (unsigned w = 1; w <= proxy.options.workers; w++)
		start_worker(w);
}

void workers_reap(void)
{
	for (unsigned w = 1; workers && w <= proxy.options.workers; w++) {
		struct worker *worker = &workers[w - 1];
		int status;

		if (!worker->pid || waitpid(worker->pid, &status, WNOHANG) <= 0)
			continue;
		worker->pid = 0;
		close(worker->channel);
		clear_gauges(w);
		if (proxy.stopping)
			continue;
		if (WIFSIGNALED(status))
			start_again(w, "was ended by signal", WTERMSIG(status));
		else
			start_again(w, "ended with status", WEXITSTATUS(status));
	}
}

unsigned workers_running(void)
{
	unsigned count = 0;

	for (unsigned w = 0; workers && w < proxy.options.workers; w++)
		count += workers[w].pid != 0;
	return count;
}

void workers_kill(void)
{
	for (unsigned w = 0; workers && w < proxy.options.workers; w++)
		if (workers[w].pid)
			kill(workers[w].pid, SIGKILL);
}

/* ---- reload: from the parent to the workers -------------------------------------------- */

/* All of it, and a descriptor with the first byte; false: it does not listen. */
static bool tell(const struct worker *worker, const char *bytes, size_t len,
	int fd)
{
	while (len) {
		struct iovec vector = { (char *)(uintptr_t)bytes, len };
		union {
			struct cmsghdr align;
			char space[CMSG_SPACE(sizeof(int))];
		} control;
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
		struct pollfd wait = { .fd = worker->channel, .events = POLLOUT };
		ssize_t n;

		if (fd >= 0) {
			struct cmsghdr *header;

			memset(&control, 0, sizeof(control));
			message.msg_control = control.space;
			message.msg_controllen = sizeof(control.space);
			header = CMSG_FIRSTHDR(&message);
			header->cmsg_level = SOL_SOCKET;
			header->cmsg_type = SCM_RIGHTS;
			header->cmsg_len = CMSG_LEN(sizeof(fd));
			memcpy(CMSG_DATA(header), &fd, sizeof(fd));
		}
		n = sendmsg(worker->channel, &message, MSG_NOSIGNAL);
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
			fd = -1;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (poll(&wait, 1, MESSAGE_WAIT) == 0)
				return false;
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

void workers_tell(enum worker_message what)
{
	const char bytes[] = { (char)what, (char)log_level() };

	for (unsigned w = 0; workers && w < proxy.options.workers; w++)
		if (workers[w].pid)
			(void)tell(&workers[w], bytes,
				what == WORKER_LEVEL ? 2 : 1, -1);
}

static bool tell_reload(const struct worker *worker, const char *text,
	size_t len, struct pool *const *pools, size_t npools)
{
	static const char listen_here[] = { WORKER_LISTEN };
	static const char reload_so[] = { WORKER_RELOAD };
	struct reload_head head = { (uint32_t)len, shared.generation };

	for (size_t i = 0; i < npools; i++)
		if (!tell(worker, listen_here, 1, pools[i]->listener.watch.fd))
			return false;
	return tell(worker, reload_so, 1, -1) &&
		tell(worker, (const char *)&head, sizeof(head), -1) &&
		tell(worker, text, len, -1);
}

void workers_reload(const char *text, size_t len, struct pool *const *pools,
	size_t npools)
{
	for (unsigned w = 1; w <= proxy.options.workers; w++) {
		struct worker *worker = &workers[w - 1];

		if (!worker->pid || tell_reload(worker, text, len, pools,
		    npools))
			continue;
		/* A new one starts with the new configuration. */
		log_err("worker %u does not take the configuration, ended", w);
		kill(worker->pid, SIGKILL);
	}
}
