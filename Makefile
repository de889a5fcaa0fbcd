# The verbs of the project. `make` alone lists them. ENGINES=wasmtime,wasmi names the engines in the module; each script says
# which it takes when nothing is said.

# What `make build` builds for: own, release, debug, debian (scripts/build-module.sh tells more).
FLAVOUR ?= own
# The engine in packages: wasmtime, wasmer or wasmi; and their formats.
ENGINE ?= wasmtime
FORMATS ?= deb rpm
# What `make examples` builds filters of.
SDKS ?= rust go assemblyscript
export ENGINE FORMATS

.DEFAULT_GOAL := help
.PHONY: help demo build tool package examples filter test bench compare lint fmt clean
MAKEFLAGS += --no-builtin-rules --no-print-directory

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## see it work: nginx on loopback, five filters, what they change (KEEP=1 leaves it running)
	@scripts/deps.sh build guests demo
	@scripts/build-module.sh release
	@$(MAKE) examples SDKS=rust
	@scripts/demo.sh

build: ## build the module for your nginx (FLAVOUR=own|release|debug|debian, ENGINES=wasmtime,wasmi)
	@scripts/deps.sh build
	@scripts/build-module.sh $(FLAVOUR)

tool: ## build target/release/wasmx: compiles filters ahead of nginx, and tells what a filter is
	@scripts/deps.sh build
	@scripts/build-tool.sh

package: ## pack the module with one engine as .deb and .rpm (ENGINE=wasmtime|wasmer|wasmi, FORMATS="deb rpm")
	@scripts/deps.sh build package
	@scripts/package.sh

examples: ## build the filters of examples/ into target/examples (SDKS="rust go assemblyscript", where installed)
	@scripts/deps.sh guests
	@scripts/step.sh "building the example filters" "1 to 2 min the first time" \
		scripts/build-guests.sh examples/rust target/examples
	@for sdk in $(filter-out rust,$(SDKS)); do \
		scripts/build-$$sdk.sh examples/$$sdk target/examples/$$sdk || [ $$? -eq 3 ] || exit 1; \
	done

filter: ## build your own Rust filter: make filter DIR=~/my-filter puts the .wasm beside its Cargo.toml
	@test -n "$(DIR)" || { echo "which? make filter DIR=~/my-filter" >&2; exit 2; }
	@scripts/deps.sh guests
	@scripts/build-guests.sh $(DIR) $(DIR)

test: ## every test: three engines, three nginxes (FLAVOURS="release debug debian"), packages (PACKAGES=wasmtime)
	@scripts/deps.sh build package guests test
	@scripts/test.sh

bench: ## measure: ratios to a plain nginx, start-up, memory; target/bench/bench.json and bench.svg
	@scripts/deps.sh build guests bench
	@scripts/build-module.sh release
	@scripts/bench.sh

compare: ## try and measure every engine: docs/engines.md (KEEP="suite bench ...": take the last results; KEEP=all)
	@scripts/deps.sh build guests bench package
	@scripts/compare.sh

lint: ## formatting, clippy on every feature set, licences of dependencies, rules of the house
	@scripts/deps.sh build
	@scripts/lint.sh

fmt: ## format all Rust code
	@cargo fmt --all
	@cargo fmt --all --manifest-path examples/rust/Cargo.toml
	@cargo fmt --all --manifest-path bench/guest/Cargo.toml
	@cargo fmt --all --manifest-path t/guests/Cargo.toml
	@! command -v gofmt >/dev/null || gofmt -w examples/go t/guests/suite/go

clean: ## remove target/: everything that was built
	cargo clean
