/* SPDX-License-Identifier: Apache-2.0 */
/* unit_loop: timers fire once, in order of time, whatever was set, set again and
 * taken back before; and many of them take no more than their number says. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../loop.h"

enum {
	TIMERS = 200000,
	CHANGES = 1000000,
	SECONDS = 60,      /* all of it takes one; in a list, half an hour */
};

static struct loop loop;
static struct timer timers[TIMERS];
static bool due[TIMERS];
static uint64_t last;
static unsigned long fired, wrong;

static void ready(struct watch *watch, unsigned events)
{
	(void)watch;
	(void)events;
}

static void fire(struct timer *timer)
{
	size_t i = (size_t)(timer - timers);

	fired++;
	if (!due[i] || timer->at < last || timer_is_set(timer))
		wrong++;
	due[i] = false;
	last = timer->at;
}

/* It goes on from within its own call, as those that repeat do. */
static void fire_again(struct timer *timer)
{
	fire(timer);
	due[timer - timers] = true;
	timer_set(&loop, timer, timer->at + 1, fire);
}

static void set(size_t i, uint64_t at)
{
	timer_set(&loop, &timers[i], at, i % 3 ? fire : fire_again);
	due[i] = true;
	if (!timer_is_set(&timers[i]))
		wrong++;
}

/* All that are due fire now, and only these. */
static void turn(const char *what, unsigned long expected)
{
	fired = wrong = 0;
	last = 0;
	loop_turn(&loop, 0, ready);
	for (size_t i = 0; i < TIMERS; i++)
		wrong += due[i] && timers[i].at <= loop.now_ms;
	if (fired == expected && !wrong)
		return;
	printf("%s: %lu fired, not %lu; %lu wrong\n", what, fired, expected, wrong);
	exit(1);
}

static unsigned long count_due(uint64_t now)
{
	unsigned long count = 0;

	for (size_t i = 0; i < TIMERS; i++)
		if (due[i] && timers[i].at <= now)
			count += i % 3 ? 1 : 2;
	return count;
}

int main(void)
{
	uint64_t early, late;

	alarm(SECONDS);
	if (loop_open(&loop) < 0)
		return 2;
	/* Up to now, and far from now. */
	early = loop.now_ms / 2;
	late = loop.now_ms + 3600000;
	turn("none", 0);
	for (size_t i = 0; i < TIMERS; i++)
		set(i, (uint64_t)rand() % (early + 1));
	turn("set once", count_due(early));
	for (size_t i = 0; i < TIMERS; i++)
		set(i, late + (uint64_t)rand() % 1000);
	turn("all later", 0);
	for (size_t n = 0; n < CHANGES; n++) {
		size_t i = (size_t)rand() % TIMERS;
		int what = rand() % 4;

		if (what == 0) {
			timer_stop(&timers[i]);
			due[i] = false;
		} else {
			set(i, what == 1 ? late + (uint64_t)rand() % 1000 :
				(uint64_t)rand() % (early + 1));
		}
	}
	turn("set, set again and taken back", count_due(early));
	for (size_t i = 0; i < TIMERS; i++) {
		timer_stop(&timers[i]);
		due[i] = false;
	}
	turn("all taken back", 0);
	loop_close(&loop);
	return loop.first != NULL;
}
