/* SPDX-License-Identifier: Apache-2.0 */
/* loop: epoll or poll(2) behind one face; timers. The only file that asks
 * which operating system this is. */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__) && !defined(LOOP_POLL)
#define LOOP_EPOLL
#include <sys/epoll.h>
#else
#include <poll.h>
#endif

#include "util.h"

static void take_time(struct loop *loop)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	loop->now_us = (uint64_t)now.tv_sec * 1000000 +
		(uint64_t)now.tv_nsec / 1000;
	loop->now_ms = loop->now_us / 1000;
}

#ifdef LOOP_EPOLL

enum { BATCH = 1024 }; /* sockets reported by one wait */

const char *loop_backend(void)
{
	return "epoll";
}

static int backend_open(struct loop *loop)
{
	loop->fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->fd < 0)
		return -1;
	loop->list = xmalloc(BATCH * sizeof(struct epoll_event));
	return 0;
}

static void backend_close(struct loop *loop)
{
	close(loop->fd);
}

int loop_watch(struct loop *loop, struct watch *watch, unsigned events)
{
	struct epoll_event ev;
	bool known = watch->slot != 0;

	if (known && watch->events == events)
		return 0;
	memset(&ev, 0, sizeof(ev));
	ev.events = (events & LOOP_READ ? (uint32_t)EPOLLIN : 0) |
		(events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
	ev.data.ptr = watch;
	if (epoll_ctl(loop->fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		watch->fd, &ev) < 0)
		return -1;
	watch->events = events;
	watch->slot = 1;
	return 0;
}

void loop_forget(struct loop *loop, struct watch *watch)
{
	struct epoll_event ev;

	/* Not left to close(): a descriptor that a resolver's or a worker's
	 * fork still holds would go on reporting. */
	memset(&ev, 0, sizeof(ev));
	if (watch->slot)
		epoll_ctl(loop->fd, EPOLL_CTL_DEL, watch->fd, &ev);
	watch->slot = 0;
	watch->events = 0;
}

static void backend_wait(struct loop *loop, int wait,
	void (*ready)(struct watch *watch, unsigned events))
{
	struct epoll_event *list = loop->list;
	int n = epoll_wait(loop->fd, list, BATCH, wait);

	take_time(loop);
	for (int i = 0; i < n; i++) {
		struct watch *watch = list[i].data.ptr;
		uint32_t got = list[i].events;
		unsigned events = ((got & EPOLLIN) ? LOOP_READ : 0) |
			((got & EPOLLOUT) ? LOOP_WRITE : 0) |
			((got & (EPOLLERR | EPOLLHUP)) ? LOOP_ERROR : 0);

		if (watch->fd >= 0)
			ready(watch, events);
	}
}

#else

/* poll wants the descriptors side by side, the owners lie in a second half. */
struct poll_list {
	struct pollfd *fds;
	struct watch **watches;
};

const char *loop_backend(void)
{
	return "poll";
}

static int backend_open(struct loop *loop)
{
	loop->list = xcalloc(1, sizeof(struct poll_list));
	loop->room = loop->used = 0;
	return 0;
}

static void backend_close(struct loop *loop)
{
	struct poll_list *list = loop->list;

	free(list->fds);
	free(list->watches);
}

int loop_watch(struct loop *loop, struct watch *watch, unsigned events)
{
	struct poll_list *list = loop->list;

	if (!watch->slot) {
		if (loop->used == loop->room) {
			loop->room = loop->room ? loop->room * 2 : 64;
			list->fds = xrealloc(list->fds,
				loop->room * sizeof(*list->fds));
			list->watches = xrealloc(list->watches,
				loop->room * sizeof(*list->watches));
		}
		watch->slot = ++loop->used;
		list->watches[watch->slot - 1] = watch;
		list->fds[watch->slot - 1].revents = 0;
	}
	list->fds[watch->slot - 1].fd = watch->fd;
	list->fds[watch->slot - 1].events =
		(short)((events & LOOP_READ ? POLLIN : 0) |
		(events & LOOP_WRITE ? POLLOUT : 0));
	watch->events = events;
	return 0;
}

void loop_forget(struct loop *loop, struct watch *watch)
{
	struct poll_list *list = loop->list;

	if (!watch->slot)
		return;
	/* The slot stays until the turn is over: events of this turn are still
	 * being handed out by position. */
	list->fds[watch->slot - 1].fd = -1;
	list->fds[watch->slot - 1].revents = 0;
	list->watches[watch->slot - 1] = NULL;
	watch->slot = 0;
	watch->events = 0;
}

/* Close the gaps that loop_forget left. */
static void compact(struct loop *loop)
{
	struct poll_list *list = loop->list;
	size_t n = 0;

	for (size_t i = 0; i < loop->used; i++) {
		if (!list->watches[i])
			continue;
		list->fds[n] = list->fds[i];
		list->watches[n] = list->watches[i];
		n++;
		list->watches[n - 1]->slot = n;
	}
	loop->used = n;
}

static void backend_wait(struct loop *loop, int wait,
	void (*ready)(struct watch *watch, unsigned events))
{
	struct poll_list *list = loop->list;
	size_t used;
	int n;

	compact(loop);
	used = loop->used;
	n = poll(list->fds, (nfds_t)used, wait);
	take_time(loop);
	for (size_t i = 0; i < used && n > 0; i++) {
		short got = list->fds[i].revents;
		unsigned events = ((got & POLLIN) ? LOOP_READ : 0) |
			((got & POLLOUT) ? LOOP_WRITE : 0) |
			((got & (POLLERR | POLLHUP | POLLNVAL)) ? LOOP_ERROR : 0);

		if (!got)
			continue;
		n--;
		if (list->watches[i])
			ready(list->watches[i], events);
	}
}

#endif

int loop_open(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->timers.next = loop->timers.prev = &loop->timers;
	take_time(loop);
	return backend_open(loop);
}

void loop_close(struct loop *loop)
{
	backend_close(loop);
	free(loop->list);
	loop->list = NULL;
}

void timer_stop(struct timer *timer)
{
	if (!timer->next)
		return;
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->next = timer->prev = NULL;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t at,
	void (*fire)(struct timer *timer))
{
	struct timer *before, *after;

	timer_stop(timer);
	/* From both ends: most timers are later than those already set, and most
	 * of the others are among the first, before thousands of idle clients. */
	before = loop->timers.prev;
	after = loop->timers.next;
	while (before != &loop->timers && before->at > at && after->at <= at) {
		before = before->prev;
		after = after->next;
	}
	if (before != &loop->timers && before->at > at)
		before = after->prev;
	timer->at = at;
	timer->fire = fire;
	timer->prev = before;
	timer->next = before->next;
	before->next->prev = timer;
	before->next = timer;
}

static int time_to_wait(const struct loop *loop, int max_wait)
{
	const struct timer *first = loop->timers.next;
	uint64_t wait;

	if (first == &loop->timers)
		return max_wait;
	wait = first->at > loop->now_ms ? first->at - loop->now_ms : 0;
	if (max_wait >= 0 && wait > (uint64_t)max_wait)
		return max_wait;
	return wait > INT_MAX ? INT_MAX : (int)wait;
}

void loop_turn(struct loop *loop, int max_wait,
	void (*ready)(struct watch *watch, unsigned events))
{
	uint64_t began = loop->now_us;

	/* How long the turn before this took: one more reading of the clock, 25 ns
	 * of the ten microseconds of a short turn. */
	take_time(loop);
	if (loop->now_us - began > loop->turn_max_us)
		loop->turn_max_us = loop->now_us - began;
	backend_wait(loop, time_to_wait(loop, max_wait), ready);
	while (loop->timers.next != &loop->timers &&
	       loop->timers.next->at <= loop->now_ms) {
		struct timer *due = loop->timers.next;
		timer_stop(due);
		due->fire(due);
	}
}
