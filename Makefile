# prosody-audit: `make help` lists what there is.

LUA ?= 5.4
PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= $(or $(shell command -v cargo 2>/dev/null),$(wildcard $(HOME)/.cargo/bin/cargo))
# More flags for cargo, such as --offline or --target=TRIPLE.
CARGO_FLAGS ?=
# How the library is built: as in [profile.release] of Cargo.toml, or "dev" for a quick look.
PROFILE ?= release

ifeq ($(LUA),luajit)
feature := luajit
lua_version := 5.1
built := target/luajit/audit_core.so
else ifneq ($(filter $(LUA),5.2 5.3 5.4),)
feature := lua$(subst .,,$(LUA))
lua_version := $(LUA)
built := target/lua$(LUA)/audit_core.so
else
$(error LUA is 5.2, 5.3, 5.4 or luajit, not "$(LUA)")
endif

# Debian's configuration has the first folder in plugin_paths, and Lua looks for libraries
# in the second: nothing has to be configured.
module_folder = $(DESTDIR)$(PREFIX)/lib/prosody/modules
library_folder = $(DESTDIR)$(PREFIX)/lib/lua/$(lua_version)
share = $(DESTDIR)$(PREFIX)/share
man_page = $(share)/man/man1/prosody-audit.1
completions = $(share)/bash-completion/completions/prosodyctl.bash $(share)/zsh/site-functions/_prosodyctl \
	$(share)/fish/vendor_completions.d/prosodyctl.fish
modules = $(patsubst lua/%,$(module_folder)/%,$(wildcard lua/*.lua lua/audit/*.lua lua/audit/*/*.lua))
# Files that older versions installed. They would be found instead of the files in audit/.
old_modules = $(module_folder)/audit.lib.lua $(addsuffix .lib.lua,$(addprefix $(module_folder)/audit_,accounts acting adhoc answers \
	attempts command config existing forms history invites leftovers readings sent sessions shell socket))

need_cargo = @test -n "$(CARGO)" || { echo "cargo was not found: install a Rust toolchain or give its path as CARGO=" >&2; exit 1; }

.PHONY: all build install uninstall demo test test-all test-debian13 test-rust test-spec test-e2e lint bench bench-memory bench-store bench-login bench-rush bench-flood bench-month bench-hosts bench-query bench-render bench-web soak-crash soak-outage soak-sinks mutants fmt clean help

all: build manual ## Build the library, manual page and completions for the Lua that Prosody runs on (LUA=5.4; or 5.2, 5.3, luajit)

# Without cargo (often the case for root by sudo) the library that was built before is used.
# Cargo says where it put the library: CARGO_TARGET_DIR, or its own configuration, may have changed that.
build:
	@test -n "$(CARGO)" || test -e $(built) || { echo "cargo was not found: install a Rust toolchain or give its path as CARGO=" >&2; exit 1; }
	@if [ -n "$(CARGO)" ]; then \
		mkdir -p target && \
		"$(CARGO)" build --profile $(PROFILE) --lib --no-default-features --features $(feature),module,storage $(CARGO_FLAGS) \
			--message-format=json-render-diagnostics >target/build-$(feature).json && \
		library=$$(sed -n 's/.*"filenames":\[[^]]*"\([^"]*libaudit_core\.so\)".*/\1/p' target/build-$(feature).json | tail -n 1) && \
		{ test -n "$$library" || { echo "cargo did not say where it put the library" >&2; exit 1; }; } && \
		{ cmp -s "$$library" $(built) || install -D -m 644 "$$library" $(built); }; \
	fi

.PHONY: cargo deb dist test-packages test-trunk
# Debian's cargo, if there is none. Only for what installs Debian's packages anyway.
cargo:
	@tools/setup cargo

# The architecture of the package: amd64 or arm64, that of this machine if nothing is said.
ARCH ?=
deb: cargo ## Build the Debian package (ARCH=arm64 for another architecture) from what is committed, in target/deb
	@CARGO="$(CARGO)" tools/deb $(ARCH)

test-packages: cargo ## Test the packages in chroots of Debian 12 and 13: build, install, upgrade, remove (a quarter of an hour and more)
	@CARGO="$(CARGO)" tools/packages

test-trunk: test-setup ## Run the specs on a checkout of Prosody's trunk: DIR=PATH
	@tools/trunk "$(DIR)"

dist: ## Make the archive of a release: source with vendored crates, SBOM, checksums, in target/dist
	$(need_cargo)
	@CARGO="$(CARGO)" tools/dist

.PHONY: manual
manual: ## Write the manual page and the completions of shells to target/manual
	@if [ -n "$(CARGO)" ]; then \
		"$(CARGO)" run --quiet --no-default-features --features manual $(filter-out --target=%,$(CARGO_FLAGS)) --bin audit-manual -- target/manual; \
	else \
		test -e target/manual/prosody-audit.1 || { echo "cargo was not found: the manual page cannot be made" >&2; exit 1; }; \
	fi

# install(1) creates a new file, so a running server keeps the library that it has loaded. Files that an older version had are removed.
install: build manual ## Install modules, library, manual page and completions below PREFIX=/usr/local (and DESTDIR)
	install -d $(addprefix $(module_folder)/,audit audit/reading audit/sinks audit/web) $(library_folder) $(dir $(man_page) $(completions))
	install -m 644 lua/*.lua $(module_folder)/
	install -m 644 lua/audit/*.lua $(module_folder)/audit/
	install -m 644 lua/audit/reading/*.lua $(module_folder)/audit/reading/
	install -m 644 lua/audit/sinks/*.lua $(module_folder)/audit/sinks/
	install -m 644 lua/audit/web/*.lua $(module_folder)/audit/web/
	install -m 644 $(built) $(library_folder)/audit_core.so
	install -m 644 target/manual/prosody-audit.1 $(man_page)
	@set -- $(completions); for file in prosodyctl.bash _prosodyctl prosodyctl.fish; do \
		echo "install -m 644 target/manual/$$file $$1"; install -m 644 "target/manual/$$file" "$$1" || exit; shift; \
	done
	@rm -f $(old_modules)
	@find $(module_folder)/audit -name '*.lua' $(foreach file,$(modules),! -path '$(file)') -exec rm -f {} +

uninstall: ## Remove what install installed; data and configuration stay
	@rm -f $(modules) $(old_modules) $(library_folder)/audit_core.so $(man_page) $(completions)
	@rmdir $(addprefix $(module_folder)/,audit/reading audit/sinks audit/web audit) 2>/dev/null || true
	@echo "removed the modules from $(module_folder) and the library from $(library_folder)"
	@echo "the recorded entries stay in Prosody's data, and your configuration is unchanged:"
	@echo "remove the lines with audit modules from modules_enabled, and options that begin with audit_"

demo: cargo ## Start a Prosody in a scratch folder, log in with a real client, and show the audit log
	$(need_cargo)
	@tools/setup demo
	@$(MAKE) --no-print-directory build LUA=5.4
	@tools/demo

# The library takes minutes on one processor, so the programs of the Rust tests are built at the same time.
test: cargo ## Run every test; the last line sums them up
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory -j2 build manual test-programs LUA=5.4
	@CARGO="$(CARGO)" tools/test

.PHONY: test-programs
test-programs:
	@"$(CARGO)" test --quiet --no-run --no-default-features --features lua54,storage
	@"$(CARGO)" run --quiet --no-default-features --features lua54,storage --example places -- target

test-all: test-setup ## Run every test in full: on each release of Prosody, on Debian 13, and the packages (hours)
	@failed=0; rm -f target/debian13/summary target/packages/summary; export CARGO="$(CARGO)"; \
	tools/test --all || failed=1; \
	tools/debian13 full || test $$? = 77 || failed=1; \
	tools/packages || failed=1; \
	echo; cat target/test/summary target/debian13/summary; sed 's/^/packages: /' target/packages/summary; exit $$failed

test-debian13: cargo ## Build the package with Debian 13's own cargo, and run the demo and the specs, in a chroot that debootstrap makes under target/
	$(need_cargo)
	@"$(CARGO)" run --quiet --no-default-features --example places -- target
	@tools/debian13 full

test-rust: test-setup ## Run the Rust tests: the core, and the binding in a real Lua
	@CARGO="$(CARGO)" tools/test rust

test-spec: test-setup ## Run the specs of the modules, on each Prosody series
	@CARGO="$(CARGO)" tools/test spec

test-e2e: test-setup ## Run the end-to-end specs on real servers
	@CARGO="$(CARGO)" tools/test e2e

.PHONY: test-setup
test-setup: cargo
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build manual LUA=5.4
	@"$(CARGO)" run --quiet --no-default-features --example places -- target

lint: cargo ## Check format, clippy for each set of features, luacheck
	$(need_cargo)
	@tools/setup test
	"$(CARGO)" fmt --check
	"$(CARGO)" clippy --quiet --no-default-features --features manual,storage -- -D warnings
	"$(CARGO)" clippy --quiet --all-targets --no-default-features --features lua54,storage -- -D warnings
	"$(CARGO)" clippy --quiet --no-default-features --features lua54,module,storage -- -D warnings
	"$(CARGO)" clippy --quiet --no-default-features --features lua54,module -- -D warnings
	"$(CARGO)" clippy --quiet --no-default-features --features lua53,module,storage -- -D warnings
	"$(CARGO)" clippy --quiet --no-default-features --features lua52,module,storage -- -D warnings
	"$(CARGO)" clippy --quiet --no-default-features --features luajit,module,storage -- -D warnings
	luacheck --quiet lua spec examples tools/demo tools/sbom tools/test $(wildcard benches src/lua)

bench: ## Compare the CPU time of an event with an implementation in plain Lua
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/bench.lua
	@lua5.4 benches/store.lua --waiting=0

bench-store: ## Measure events from their hook to the store on real servers, their memory, and how long the loop is held (half an hour)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/store.lua

bench-memory: ## Record five million events, and compare the memory of the process
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/bench.lua --memory

bench-login: ## Measure logins on a real server, with and without the audit log
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/login.lua

bench-rush: ## Measure 20,000 logins after a restart, with and without the audit log (half an hour)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/rush.lua

bench-flood: ## Measure real servers during a flood of failed logins, with the audit log and with one in plain Lua
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/flood.lua

bench-month: ## Measure pruning of a month's log on real servers, and of a log in plain Lua
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/month.lua

bench-hosts: ## Start servers with 1 to 2,000 hosts, with and without the audit log: time, memory, files, timers, stop (hours in full)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/hosts.lua

bench-query: ## Measure reading a log of a million entries on every store, with the core and in plain Lua (an hour)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/query.lua

.PHONY: bench-verify
bench-verify: ## Measure verifying a log of a million entries, and reading the same log (ENTRIES=N; ten minutes)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/verify.lua $(if $(ENTRIES),--entries=$(ENTRIES))

bench-render: ## Measure showing entries in each format, without a store: entries per second, memory
	$(need_cargo)
	@"$(CARGO)" run --quiet --release --no-default-features --example render -- bench

bench-web: ## Measure logins with live views of the log in a browser, and how long pages, downloads and views hold the loop
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/web.lua

.PHONY: bench-sinks
bench-sinks: ## Measure sinks: entries a second for each transport, how long they hold the loop, logins with three of them (a quarter of an hour)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/sinks.lua

soak-crash: ## Kill servers at random moments, 200 times on each store and series (an hour and more)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/crash.lua

soak-outage: ## Make each store fail for a minute while clients log in, on each series (ten minutes and more)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@lua5.4 benches/outage.lua

soak-sinks: ## Send 20,000 entries over each transport to receivers and a server that are killed (ten minutes; longer on a busy machine)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@PROSODY_SERIES=13.0-newest AUDIT_SINKS_ENTRIES=20000 AUDIT_SINKS_KILLS=20 lua5.4 "$$(command -v busted)" -r e2e spec/e2e/receivers_spec.lua
	@PROSODY_SERIES=0.12 AUDIT_SINKS_ENTRIES=20000 AUDIT_SINKS_KILLS=20 lua5.4 "$$(command -v busted)" -r e2e spec/e2e/receivers_spec.lua

.PHONY: soak-seals
soak-seals: ## Seal 200 hosts at once, three times, and print how long the loop was held (ten minutes)
	$(need_cargo)
	@tools/setup test
	@$(MAKE) --no-print-directory build LUA=5.4
	@for series in 13.0-newest 0.12; do \
		PROSODY_SERIES=$$series AUDIT_SEALS_HOSTS=200 AUDIT_SEALS_TIMES=3 \
			lua5.4 "$$(command -v busted)" -r e2e spec/e2e/seals_hosts_spec.lua || exit; \
	done

.PHONY: simulate simulate-faults
simulate: ## Simulate clock, disk, store and process failing together (SEEDS=10000 FIRST=0 SECONDS= FAILURES=3): see docs/simulation.md
	$(need_cargo)
	@"$(CARGO)" test --quiet --no-default-features $(if $(STORE),--features storage) --profile simulation --test simulation -- \
		--ignored --nocapture simulate

simulate-lua: build test-setup ## Simulate the embedded Lua in a plain Lua 5.4, on a store that does wrong (FIRST=1 SEEDS=2000): see docs/simulation.md
	@SIMULATE=$(or $(FIRST),1)-$$(($(or $(FIRST),1) + $(or $(SEEDS),2000) - 1)) lua5.4 "$$(command -v busted)" spec/core/simulation_spec.lua

simulate-faults: ## Put real faults back into a copy, one at a time, and see whether the simulation finds them (half an hour)
	$(need_cargo)
	@CARGO="$(CARGO)" tools/simulate-faults

mutants: ## Change the core in small ways and see whether a test notices (by hand, hours; PARTS="journal redact" for less)
	$(need_cargo)
	@CARGO="$(CARGO)" tools/mutants $(PARTS)

fmt: ## Format the Rust code
	$(need_cargo)
	"$(CARGO)" fmt

clean: ## Remove everything that was built, unpacked and downloaded
	@test ! -e target/debian13 || tools/debian13 clean
	@test ! -e target/packages || tools/packages clean
	rm -rf target

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
