# The verbs that people type; meson and ninja do the work. `./run` installs what these need.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 5
CLANG ?= $(shell command -v clang || command -v clang-14)
DEVELOPER ?= 1
MESON_SETUP = meson setup --prefix=$(PREFIX) -Ddeveloper=$(if $(filter 0,$(DEVELOPER)),false,true)

# `make build` too: a folder of that name would make it do nothing, in silence.
all build: $(BUILD)/build.ninja
	@ninja --quiet -C $(BUILD)

$(BUILD)/build.ninja:
	@$(MESON_SETUP) $(BUILD) >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt | tail -20; exit 1; }

# Every test point there is; closes with "N passed, N failed, N skipped".
check: all
	@tools/run-tests $(BUILD)

# Only what takes seconds and needs no root.
check-fast: all
	@tools/run-tests $(BUILD) --only checks,unit

check-e2e: all
	@tools/run-tests $(BUILD) --only e2e

# The sanitizers run the unit tests; each in a build of its own.
asan: asan-build
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 \
		tools/run-tests $(BUILD)-asan --only unit
asan-build:
	@$(MESON_SETUP) $(BUILD)-asan --buildtype=debug -Db_sanitize=address,undefined -Db_lundef=false \
		-Dstatic_runtime=false --reconfigure >/dev/null 2>&1 || \
		$(MESON_SETUP) $(BUILD)-asan --buildtype=debug -Db_sanitize=address,undefined -Db_lundef=false \
		-Dstatic_runtime=false >/dev/null
	@ninja --quiet -C $(BUILD)-asan
ubsan: asan
tsan: tsan-build
	@TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.suppressions tools/run-tests $(BUILD)-tsan --only unit
tsan-build:
	@[ -d $(BUILD)-tsan ] || $(MESON_SETUP) $(BUILD)-tsan --buildtype=debug -Db_sanitize=thread -Db_lundef=false \
		-Dstatic_runtime=false >/dev/null
	@ninja --quiet -C $(BUILD)-tsan

# The end-to-end tests against sanitized programs; a report of any process fails them.
asan-e2e: asan-build
	@tools/run-sanitized $(BUILD)-asan
tsan-e2e: all tsan-build
	@RUNTIME=$(BUILD)/src/main/proa-runtime tools/run-sanitized $(BUILD)-tsan
clang:
	@[ -d $(BUILD)-clang ] || CC=$(CLANG) $(MESON_SETUP) $(BUILD)-clang >/dev/null
	@ninja --quiet -C $(BUILD)-clang
# gcov's own execve writes the counters out: in proc_spawn's child, which shares our memory, that
# would be the last word of a test that spawns.
cov:
	@[ -d $(BUILD)-cov ] || $(MESON_SETUP) $(BUILD)-cov --buildtype=debug -Db_coverage=true -Dstatic_runtime=false \
		-Dc_args=-fno-builtin-execve >/dev/null
	@ninja --quiet -C $(BUILD)-cov && tools/run-tests $(BUILD)-cov --only unit
	@tools/coverage $(BUILD)-cov

# Each target for FUZZ_SECONDS, from the corpus in fuzz/corpus.
fuzz:
	@[ -d $(BUILD)-fuzz ] || CC=$(CLANG) $(MESON_SETUP) $(BUILD)-fuzz --buildtype=debug -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false -Dstatic_runtime=false >/dev/null
	@ninja --quiet -C $(BUILD)-fuzz fuzzers
	@tools/run-fuzz $(BUILD)-fuzz $(FUZZ_SECONDS)
tidy: all
	@tools/run-tidy $(BUILD)

bench: release
	@bench/run $(BUILD)-release

release:
	@[ -d $(BUILD)-release ] || $(MESON_SETUP) $(BUILD)-release --buildtype=release -Doptimization=2 >/dev/null
	@ninja --quiet -C $(BUILD)-release

# DESTDIR=/tmp/x PREFIX=/usr: binaries, man pages, completions, systemd unit and socket.
install: release
	@meson setup --reconfigure -Dprefix=$(PREFIX) $(BUILD)-release >/dev/null && ninja --quiet -C $(BUILD)-release
	@DESTDIR="$(DESTDIR)" meson install --quiet --no-rebuild -C $(BUILD)-release

# What install placed; data (/var/lib/proa), configuration (/etc/proa) and the group stay.
uninstall:
	@cd "$(DESTDIR)$(PREFIX)" && rm -f bin/proa bin/proad bin/proa-registry bin/proa-runtime \
		lib/systemd/system/proa.socket lib/systemd/system/proa.service \
		lib/systemd/system/proa-registry.service share/man/man1/proa.1 share/man/man1/proa-*.1 \
		share/man/man5/proa-engine.json.5 share/man/man8/proad.8 share/man/man8/proa-registry.8 \
		share/man/man8/proa-runtime.8 share/bash-completion/completions/proa \
		share/zsh/site-functions/_proa share/zsh/vendor-completions/_proa share/fish/vendor_completions.d/proa.fish

dist:
	@git archive --format=tar.gz --prefix=proa-$$(cat VERSION)/ -o proa-$$(cat VERSION).tar.gz HEAD && echo proa-$$(cat VERSION).tar.gz

hooks:
	@ln -sf ../../tools/pre-commit .git/hooks/pre-commit && echo "pre-commit is in place"

clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-clang $(BUILD)-cov $(BUILD)-fuzz $(BUILD)-release

.PHONY: all build check check-fast check-e2e asan asan-build asan-e2e ubsan tsan tsan-build tsan-e2e clang cov fuzz tidy bench release install uninstall dist hooks clean
