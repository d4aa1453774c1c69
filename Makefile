# SPDX-License-Identifier: Apache-2.0
# nutcracker needs a C11 compiler, make and libc. Everything the user may want
# to set: CC CFLAGS CPPFLAGS LDFLAGS LDLIBS PREFIX DESTDIR MANDIR BUILD
.POSIX:

CC = cc
CFLAGS = -O2 -g
STD = -std=c11 -D_POSIX_C_SOURCE=200809L
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
PREFIX = /usr/local
SBINDIR = $(PREFIX)/sbin
MANDIR = $(PREFIX)/share/man
SYSCONFDIR = $(PREFIX)/etc
BUILD = build

OBJ = proxy.o pool.o client.o request.o split.o local.o server.o resolve.o \
	conn.o loop.o stats.o conf.o yaml_min.o command.o parse.o hash.o \
	ketama.o util.o
HDR = proxy.h loop.h parse.h command.h conf.h yaml_min.h hash.h ketama.h util.h

all: nutcracker

nutcracker: $(OBJ)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJ) -lpthread $(LDLIBS)

# Every object depends on all headers: simple, and never wrong at this size.
$(OBJ): $(HDR)

.SUFFIXES: .c .o
.c.o:
	$(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

clean:
	rm -rf nutcracker *.o $(BUILD)

.PHONY: all clean
