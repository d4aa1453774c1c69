# SPDX-License-Identifier: Apache-2.0
# nutcracker needs a C11 compiler, make and libc, nothing else.
#
# make            ./nutcracker
# make static     the same, linked statically (best with CC=musl-gcc)
# make demo       show it at work with real servers
# make check      build and run all tests; TESTS='order owner' only those
# make sanitize   the same under the address and undefined behaviour sanitizers
# make coverage   what of the program the tests reach
# make fuzz       run each fuzzer for FUZZ_SECONDS (60), with clang
# make analyse    cppcheck, clang-tidy and gcc -fanalyzer have nothing to say
# make valgrind   the tests of the program under valgrind
# make portability  build and test for other compilers, libcs and machines
# make install    to $(DESTDIR)$(PREFIX)
#
# The user's: CC CFLAGS CPPFLAGS LDFLAGS LDLIBS PREFIX SBINDIR MANDIR
# SYSCONFDIR DESTDIR. CPPFLAGS=-DLOOP_POLL takes poll(2) on Linux too.
# A compiler or linker that lacks the options of HARDEN, HARDEN_LINK wants them
# empty; so does CFLAGS=-O0, since nothing is fortified that is not optimised.
.POSIX:

CC = cc
CFLAGS = -O2 -g
# Not _POSIX_C_SOURCE, which hides SO_REUSEPORT and the keepalive settings.
STD = -std=c11 -D_DEFAULT_SOURCE
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes
# Overflows end the program, addresses cannot be guessed, and the tables that
# calls go through are read-only: so they are taken without a detour.
HARDEN = -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
	-fPIE -fno-plt
HARDEN_LINK = -pie -Wl,-z,relro,-z,now
# The static program is small, but for the files where most of a request's time
# goes: these lose no more than room between functions and copies of large ones.
# SMALL= and SMALL_FAST= leave all to CFLAGS; FIXED= FIXED_LINK=-static-pie for
# toolchains that have that; LTO= for those whose linker knows nothing of it.
SMALL = -Os -fno-jump-tables -fno-caller-saves -fno-ipa-sra -fno-code-hoisting \
	-fno-tree-dominator-opts -fno-partial-inlining -fno-tree-pta
FAST = parse.c reply.c
SMALL_FAST = -fno-inline-functions -fno-inline-small-functions \
	-fno-caller-saves -fno-partial-inlining \
	-falign-functions=1 -falign-loops=1 -falign-jumps=1 -falign-labels=1
LTO = -flto --param=lto-partitions=1
FIXED = -fno-pie -fplt -fno-asynchronous-unwind-tables -ffunction-sections \
	-fdata-sections
FIXED_LINK = -static -no-pie -Wl,-z,relro,-z,now,-z,noseparate-code \
	-Wl,--gc-sections,--sort-section=alignment
LDLIBS = -lpthread
PREFIX = /usr/local
SBINDIR = $(PREFIX)/sbin
MANDIR = $(PREFIX)/share/man
SYSCONFDIR = $(PREFIX)/etc/nutcracker
BUILD = build

COMPILE = $(CC) $(STD) $(WARN) $(HARDEN) $(CPPFLAGS) $(CFLAGS)

HDR = proxy.h loop.h parse.h command.h conf.h yaml_min.h hash.h ketama.h util.h
OBJ = proxy.o pool.o client.o request.o reply.o split.o local.o server.o resolve.o \
	workers.o conn.o loop.o stats.o conf.o yaml_min.o command.o parse.o hash.o \
	ketama.o util.o
SRC = proxy.c pool.c client.c request.c reply.c split.c local.c server.c resolve.c \
	workers.c conn.c loop.c stats.c conf.c yaml_min.c command.c parse.c hash.c \
	ketama.c util.c
UNITS = $(BUILD)/unit_hash $(BUILD)/unit_ketama $(BUILD)/unit_yaml \
	$(BUILD)/unit_conf $(BUILD)/unit_command $(BUILD)/unit_parse \
	$(BUILD)/unit_loop
TOOLS = $(BUILD)/tool $(BUILD)/fake_server $(BUILD)/transcript $(BUILD)/load \
	$(BUILD)/getkeys $(BUILD)/compare $(BUILD)/slow_resolver.so \
	$(BUILD)/bench_memcached $(BUILD)/hold $(BUILD)/tour $(BUILD)/faults.so \
	$(BUILD)/visit

all: nutcracker

nutcracker: $(OBJ)
	$(CC) $(HARDEN) $(CFLAGS) $(HARDEN_LINK) $(LDFLAGS) -o $@ $(OBJ) $(LDLIBS)

# Every object depends on all headers: simple, and never wrong at this size.
$(OBJ): $(HDR)

.SUFFIXES: .c .o
.c.o:
	$(COMPILE) -c -o $@ $<

# Apart from the objects of another compiler that may lie about; those would be
# taken for up to date by the next make.
static:
	rm -rf $(BUILD)/static
	mkdir -p $(BUILD)/static
	for c in $(SRC); do \
		case " $(FAST) " in *" $$c "*) small="$(SMALL_FAST)" ;; *) small="$(SMALL)" ;; esac; \
		$(COMPILE) $$small $(FIXED) $(LTO) -c -o $(BUILD)/static/$$c.o $$c || exit 1; \
	done
	$(CC) $(CFLAGS) $(FIXED) $(LTO) $(FIXED_LINK) -s $(LDFLAGS) -o nutcracker \
		$(BUILD)/static/*.o $(LDLIBS)
	rm -f $(OBJ)

# Tests. A program of the tests stands alone or links the leaf that it tests.
check: nutcracker $(UNITS) $(TOOLS) $(BUILD)/nutcracker-poll \
		$(BUILD)/fuzz/built
	@BUILD=$(BUILD) sh tests/setup.sh
	@BUILD=$(BUILD) CC="$(CC)" CFLAGS="$(CFLAGS)" sh tests/run.sh $(TESTS)

# The same tests with a program that watches itself; stops at the first report.
SANITIZE = -U_FORTIFY_SOURCE -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -DMAPPED=0x7fffffff
sanitize: $(UNITS) $(TOOLS) $(BUILD)/nutcracker-sanitize $(BUILD)/nutcracker-poll \
		$(BUILD)/fuzz-sanitize/built
	@BUILD=$(BUILD) sh tests/setup.sh
	@BUILD=$(BUILD) NUTCRACKER=$(BUILD)/nutcracker-sanitize \
		sh tests/run.sh $(TESTS)

# Variants for the tests, each compiled at once from all sources.
$(BUILD)/nutcracker-sanitize: $(SRC) $(HDR)
	mkdir -p $(BUILD)
	$(COMPILE) $(SANITIZE) $(HARDEN_LINK) -o $@ $(SRC) $(LDLIBS)
$(BUILD)/nutcracker-poll: $(SRC) $(HDR)
	mkdir -p $(BUILD)
	$(COMPILE) -DLOOP_POLL $(HARDEN_LINK) -o $@ $(SRC) $(LDLIBS)

# The fuzzers: to replay their corpora, the same with sanitizers, to run.
FUZZ = tests/fuzz.sh tests/fuzz.h tests/fuzz_cut.h tests/fuzz_world.h \
	tests/fuzz_backend.h tests/fuzz_main.c tests/fuzz_redis_request.c \
	tests/fuzz_redis_reply.c tests/fuzz_memcached_request.c \
	tests/fuzz_memcached_reply.c tests/fuzz_yaml.c tests/fuzz_conf.c \
	tests/fuzz_stats.c tests/fuzz_request.c tests/fuzz_proxy.c
$(BUILD)/fuzz/built: $(SRC) $(HDR) $(FUZZ)
	@LDLIBS="$(LDLIBS)" COMPILE="$(COMPILE) -O1" \
		sh tests/fuzz.sh build $(BUILD)/fuzz
$(BUILD)/fuzz-sanitize/built: $(SRC) $(HDR) $(FUZZ)
	@LDLIBS="$(LDLIBS)" COMPILE="$(COMPILE) $(SANITIZE)" \
		sh tests/fuzz.sh build $(BUILD)/fuzz-sanitize
$(BUILD)/fuzz-clang/built: $(SRC) $(HDR) $(FUZZ)
	@LDLIBS="$(LDLIBS)" COVER=-fsanitize=fuzzer-no-link \
		DRIVER=-fsanitize=fuzzer \
		COMPILE="clang $(STD) $(WARN) -g $(SANITIZE)" \
		sh tests/fuzz.sh build $(BUILD)/fuzz-clang
FUZZ_SECONDS = 60
fuzz: $(BUILD)/fuzz-clang/built
	@sh tests/fuzz.sh run $(BUILD)/fuzz-clang $(FUZZ_SECONDS) $(FUZZERS)

analyse:
	@sh tests/analyse.sh
valgrind: nutcracker $(TOOLS)
	@BUILD=$(BUILD) sh tests/setup.sh
	@BUILD=$$PWD/$(BUILD) sh tests/valgrind.sh $(TESTS)
portability: $(TOOLS)
	@BUILD=$(BUILD) sh tests/setup.sh
	@BUILD=$$PWD/$(BUILD) sh tests/portability.sh $(VARIANTS)

# Memory against Debian's nutcracker; ten minutes of faults; half an hour of
# everything. SECONDS=60 has the last two shorter.
memory: nutcracker $(TOOLS)
	@BUILD=$$PWD/$(BUILD) sh tests/setup.sh
	@BUILD=$$PWD/$(BUILD) sh tests/memory.sh
SECONDS =
chaos: nutcracker $(TOOLS)
	@BUILD=$$PWD/$(BUILD) sh tests/setup.sh
	@BUILD=$$PWD/$(BUILD) sh tests/chaos.sh $(SECONDS)
soak: nutcracker $(TOOLS)
	@BUILD=$$PWD/$(BUILD) sh tests/setup.sh
	@BUILD=$$PWD/$(BUILD) sh tests/soak.sh $(SECONDS)

# Every allocation of a tour fails once, and every call for a descriptor.
faults: nutcracker $(TOOLS) $(BUILD)/nutcracker-poll
	@BUILD=$$PWD/$(BUILD) FAULTS=all VERBOSE=1 sh tests/run.sh faults

# Which lines and branches the tests reach, by gcc and gcov.
coverage:
	@BUILD=$$PWD/$(BUILD) sh tests/coverage.sh $(TESTS)

# Against Debian's nutcracker and haproxy; QUICK=1 takes under a minute.
bench: nutcracker $(TOOLS)
	@BUILD=$$PWD/$(BUILD) sh tests/bench.sh
# Instructions for each request, which do not depend on what else runs.
bench-instructions: nutcracker $(TOOLS)
	@BUILD=$$PWD/$(BUILD) CC="$(CC)" CFLAGS="$(CFLAGS)" sh tests/instructions.sh

demo: nutcracker $(TOOLS)
	@BUILD=$(BUILD) sh tests/demo.sh

LINK = mkdir -p $(BUILD) && $(COMPILE) -I. $(LDFLAGS)

$(BUILD)/unit_hash: tests/unit_hash.c hash.o
	$(LINK) -o $@ tests/unit_hash.c hash.o $(LDLIBS)
$(BUILD)/unit_ketama: tests/unit_ketama.c ketama.o hash.o util.o
	$(LINK) -o $@ tests/unit_ketama.c ketama.o hash.o util.o $(LDLIBS)
$(BUILD)/unit_yaml: tests/unit_yaml.c yaml_min.o util.o
	$(LINK) -o $@ tests/unit_yaml.c yaml_min.o util.o $(LDLIBS)
$(BUILD)/unit_conf: tests/unit_conf.c conf.o yaml_min.o hash.o util.o
	$(LINK) -o $@ tests/unit_conf.c conf.o yaml_min.o hash.o util.o $(LDLIBS)
$(BUILD)/unit_command: tests/unit_command.c command.o
	$(LINK) -o $@ tests/unit_command.c command.o $(LDLIBS)
$(BUILD)/unit_parse: tests/unit_parse.c parse.o
	$(LINK) -o $@ tests/unit_parse.c parse.o $(LDLIBS)
$(BUILD)/unit_loop: tests/unit_loop.c loop.o util.o
	$(LINK) -o $@ tests/unit_loop.c loop.o util.o $(LDLIBS)
$(BUILD)/getkeys: tests/getkeys.c command.o
	$(LINK) -o $@ tests/getkeys.c command.o $(LDLIBS)
$(BUILD)/compare: tests/compare.c tests/bench.h command.o
	$(LINK) -o $@ tests/compare.c command.o $(LDLIBS)
$(BUILD)/bench_memcached: tests/bench_memcached.c tests/bench.h
	$(LINK) -o $@ tests/bench_memcached.c $(LDLIBS)
$(BUILD)/hold: tests/hold.c tests/bench.h
	$(LINK) -o $@ tests/hold.c $(LDLIBS)
$(BUILD)/visit: tests/visit.c tests/bench.h
	$(LINK) -o $@ tests/visit.c $(LDLIBS)
$(BUILD)/tool: tests/tool.c
	$(LINK) -o $@ tests/tool.c $(LDLIBS)
$(BUILD)/fake_server: tests/fake_server.c tests/bench.h
	$(LINK) -o $@ tests/fake_server.c $(LDLIBS)
$(BUILD)/transcript: tests/transcript.c tests/bench.h
	$(LINK) -o $@ tests/transcript.c $(LDLIBS)
$(BUILD)/load: tests/load.c tests/bench.h
	$(LINK) -o $@ tests/load.c $(LDLIBS)
# To be preloaded; where that cannot be made, the cases with names are skipped.
$(BUILD)/slow_resolver.so: tests/slow_resolver.c
	mkdir -p $(BUILD)
	-$(CC) $(STD) $(WARN) -fPIC -shared -o $@ tests/slow_resolver.c

$(BUILD)/tour: tests/tour.c tests/bench.h
	$(LINK) -o $@ tests/tour.c $(LDLIBS)
$(BUILD)/faults.so: tests/faults.c
	mkdir -p $(BUILD)
	-$(CC) $(STD) $(WARN) -O2 -fPIC -shared -o $@ tests/faults.c

# Whichever was made last, for after `make static` no objects are left.
install:
	[ -x nutcracker ] || $(MAKE) nutcracker
	mkdir -p $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man8 \
		$(DESTDIR)$(SYSCONFDIR)
	cp nutcracker $(DESTDIR)$(SBINDIR)/nutcracker
	chmod 755 $(DESTDIR)$(SBINDIR)/nutcracker
	cp nutcracker.8 $(DESTDIR)$(MANDIR)/man8/nutcracker.8
	chmod 644 $(DESTDIR)$(MANDIR)/man8/nutcracker.8
	[ -e $(DESTDIR)$(SYSCONFDIR)/nutcracker.yml ] || \
		cp conf/nutcracker.yml $(DESTDIR)$(SYSCONFDIR)/nutcracker.yml

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/nutcracker \
		$(DESTDIR)$(MANDIR)/man8/nutcracker.8

clean:
	rm -rf nutcracker $(OBJ) $(BUILD)

.PHONY: all static check sanitize fuzz coverage bench bench-instructions memory chaos soak faults demo install uninstall clean analyse valgrind portability
