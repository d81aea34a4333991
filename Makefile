# hardway: everything a person needs is `make demo` and `make test`.

CACHE ?= $(HOME)/.cache/hardway
export CARGO_TARGET_DIR ?= $(CACHE)/target
HOST_TRIPLE := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TOOLS := $(CACHE)/tools
BINARIES := $(CARGO_TARGET_DIR)/$(HOST_TRIPLE)/release
DAEMONS := kube-apiserver kube-scheduler kube-controller-manager kubelet kube-proxy \
	cluster-dns pod-network api-balancer pause smoke-probe
LAB ?= demo
export PATH := $(TOOLS)/bin:$(PATH)
export HARDWAY_BINARIES ?= $(BINARIES)
# What /version says of the API server; without git it names no commit. The commit's time makes builds the same again.
ifndef HARDWAY_COMMIT
HARDWAY_COMMIT := $(shell git describe --always --abbrev=40 --dirty --exclude '*' 2>/dev/null)
endif
# Under a name of our own: C libraries are compiled again whenever SOURCE_DATE_EPOCH changes, and with them most of the rest.
ifndef HARDWAY_COMMIT_TIME
HARDWAY_COMMIT_TIME := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null))
endif
export HARDWAY_COMMIT HARDWAY_COMMIT_TIME
export HARDWAY_PYTHON ?= $(TOOLS)/python/bin/python3

.PHONY: demo demo-down test build profile deps lint unit e2e vm-cgroup2 bench-api bench-provisioner fuzz clean help

help:
	@echo 'make demo       build, make five hosts, bootstrap, show a workload'
	@echo 'make demo-down  remove the hosts of the demo'
	@echo 'make test       everything: unit, integration, end-to-end in a lab'
	@echo 'make vm-cgroup2 the kubelet and the lab on cgroup v2, in QEMU'
	@echo 'make profile    records the load of the API server that builds are optimized for'
	@echo 'make bench-api  speed and memory of the API server, beside their targets'
	@echo 'make fuzz       every decoder of what clients send, FUZZ_SECONDS=600 each'
	@echo 'make bench-provisioner  a bootstrap and a join with 10, 50 and 100 hosts: seconds and bytes'
	@echo 'make build      static release binaries into $(BINARIES)'

RELEASED := $(addprefix -p ,$(DAEMONS)) -p provisioner -p lab -p pod-server

# Static binaries run on any distribution. --target keeps the flags away from build scripts and macros.
build: deps
	flags=$$(components/kube-apiserver/profile/flags.sh '$(CACHE)') && RUSTFLAGS="-C target-feature=+crt-static $$flags" \
		cargo build --locked --release --target $(HOST_TRIPLE) $(RELEASED)

# What the compiler knows of the API server's load, in components/kube-apiserver/profile; worth it when hot paths changed.
profile: deps
	components/kube-apiserver/profile/record.sh '$(CACHE)/profile' $(RELEASED)

deps:
	tests/tools/install.sh '$(TOOLS)'

demo: build
	tests/demo/run.sh '$(LAB)' '$(BINARIES)'

demo-down:
	'$(BINARIES)/hardway-lab' --name '$(LAB)' down

lint: deps
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

unit: deps
	cargo nextest run --locked --workspace --exclude e2e

e2e: build
	cargo nextest run --locked -p e2e --no-fail-fast

test: lint unit e2e

# A machine with cgroup v2 in QEMU, for hosts that have v1: a cluster of that one machine, and a lab inside it. Needs
# Debian's qemu-system-x86; not part of `test`, since without the CPU's help it takes many minutes.
vm-cgroup2: build
	tests/vm/run.sh '$(CACHE)/vm' '$(BINARIES)' kubelet bootstrap cgroup2 eviction lab

# Over an etcd of its own, on free ports. `bench-api --help` tells how another API server is measured.
bench-api: build
	cargo build --locked --release -p bench
	'$(CARGO_TARGET_DIR)/release/bench-api' --binary '$(BINARIES)/kube-apiserver'

# One decoder after the other, with cargo-fuzz. The kept inputs are replayed by `make unit`.
FUZZ_SECONDS ?= 600
fuzz:
	fuzz/run.sh '$(FUZZ_SECONDS)' $(FUZZ_TARGETS)

# One real control plane and hollow workers, as root. SIZES="10 50" takes other sizes.
SIZES ?= 10 50 100
bench-provisioner: build
	cargo run --locked --release -p e2e --bin bench-provisioner -- $(SIZES)
