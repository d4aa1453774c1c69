/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: waits for sockets and for time; knows nothing of protocols. epoll on
 * Linux, poll(2) on every other system or with -DLOOP_POLL. Level-triggered:
 * what was not read this turn is reported again in the next.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first two are those of poll on most systems: no branch to tell them. */
enum {
	LOOP_READ = 1,
	LOOP_WRITE = 4,
	LOOP_ERROR = 8, /* hang-up or error: reported whether asked for or not */
};

/* A descriptor that is waited for: the first member of whatever owns it. */
struct watch {
	int fd;          /* -1: closed; nothing is reported any more */
	unsigned events; /* LOOP_READ | LOOP_WRITE asked for */
	size_t slot;     /* poll: its place in the list */
};

/* A moment at which something is to be done. Zeroed memory is a timer that is
 * not set. */
struct timer {
	uint64_t at; /* ms on the loop's clock */
	void (*fire)(struct timer *timer);
	/* In the loop's heap: */
	struct timer *child;  /* the first of those below it, all later */
	struct timer *beside; /* the next one below the same */
	struct timer **place; /* what points to it; NULL: it is not set */
};

struct loop {
	uint64_t now_us; /* monotonic, read once a turn */
	uint64_t now_ms;
	uint64_t turn_max_us; /* the longest turn so far, waiting left out */
	struct timer *first;  /* the earliest, on top of the heap */
	int fd;               /* epoll */
	void *list;           /* what the backend needs */
	size_t room, used;
};

/* 0, or -1 with errno. */
int loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Name of the backend for -V: "epoll" or "poll". */
const char *loop_backend(void);

/* Wait for these events on watch->fd from now on; 0, or -1 with errno. The
 * watch must not move. Asking for what is already asked for costs nothing. */
int loop_watch(struct loop *loop, struct watch *watch, unsigned events);
/* To be called before the descriptor is closed. */
void loop_forget(struct loop *loop, struct watch *watch);

/* Set (again) or take back, also while thousands are set. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t at,
	void (*fire)(struct timer *timer));
void timer_stop(struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
	return timer->place != NULL;
}

/*
 * Wait until something is ready, a timer is due or max_wait ms (-1: for ever)
 * have passed; take the time; call `ready` for each watch that is ready and
 * still open; then fire the timers that are due. The owner of a watch closed
 * meanwhile must not be freed before this returns.
 */
void loop_turn(struct loop *loop, int max_wait,
	void (*ready)(struct watch *watch, unsigned events));

#endif
