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
	take_time(loop);
	return backend_open(loop);
}

void loop_close(struct loop *loop)
{
	backend_close(loop);
	free(loop->list);
	loop->list = NULL;
}

/*
 * Timers are a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986): each
 * is earlier than those below it, and nothing else is in order, so that thousands
 * of clients may be given other times at once.
 */

/* The later one goes below the other, which is returned. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *early = b->at < a->at ? b : a, *late = early == a ? b : a;

	late->beside = early->child;
	if (late->beside)
		late->beside->place = &late->beside;
	late->place = &early->child;
	early->child = late;
	return early;
}

/* One out of many: two by two, then all of these, from the last on. */
static struct timer *meld_all(struct timer *list)
{
	struct timer *pairs = NULL, *top = NULL, *next;

	for (struct timer *a = list, *b; a; a = next) {
		b = a->beside;
		next = b ? b->beside : NULL;
		if (b)
			a = meld(a, b);
		a->beside = pairs;
		pairs = a;
	}
	for (struct timer *a = pairs; a; a = next) {
		next = a->beside;
		top = top ? meld(top, a) : a;
	}
	return top;
}

void timer_stop(struct timer *timer)
{
	struct timer *next = timer->beside, *instead;

	if (!timer->place)
		return;
	/* Those below it are later than what is above it, too. */
	instead = meld_all(timer->child);
	*timer->place = instead ? instead : next;
	if (instead) {
		instead->place = timer->place;
		instead->beside = next;
	}
	if (next)
		next->place = instead ? &instead->beside : timer->place;
	timer->place = NULL;
	timer->beside = timer->child = NULL;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t at,
	void (*fire)(struct timer *timer))
{
	timer_stop(timer);
	timer->at = at;
	timer->fire = fire;
	loop->first = loop->first ? meld(loop->first, timer) : timer;
	loop->first->place = &loop->first;
	loop->first->beside = NULL;
}

static int time_to_wait(const struct loop *loop, int max_wait)
{
	const struct timer *first = loop->first;
	uint64_t wait;

	if (!first)
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
	while (loop->first && loop->first->at <= loop->now_ms) {
		struct timer *due = loop->first;
		timer_stop(due);
		due->fire(due);
	}
}
