# lockstep: everything is one command. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

GO          := go
BENCH_N     ?= 3
BENCH_SCALE ?= full
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.6.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 500000x
# How many end-to-end tests, and packages of unit tests, go on beside each other:
# more than a small machine has processors, since most of them wait most of the time.
BESIDE      ?= 4
BUILD       := $(GO) build -trimpath -buildvcs=false
IDFLAG       = -X lockstep/internal/buildinfo.ID=$(shell scripts/build-id)
export SRC DST

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

check-go: ## say when Go is missing or too old
	@scripts/check-go

deps: check-go ## install with apt what is missing (nothing when all is there)
	@scripts/deps

test-deps: check-go ## the same, and what only the tests need (an sshd of their own)
	@scripts/deps --test

build: deps ## the seven programs, into bin/
	@mkdir -p bin
	CGO_ENABLED=0 $(BUILD) -ldflags '$(IDFLAG)' -o bin/ ./cmd/lockstep-helper ./cmd/lockstep-worker ./cmd/lockstep-runner ./cmd/lockstep-resolver ./cmd/lockstep-gate
	CGO_ENABLED=1 $(BUILD) -buildmode=pie -ldflags '$(IDFLAG)' -o bin/ ./cmd/lockstep-plugin
	CGO_ENABLED=1 $(BUILD) -tags netgo,osusergo -ldflags '-linkmode external -extldflags "-static" $(IDFLAG)' -o bin/lockstep ./cmd/lockstep

# Where things go is in the units, and in what looks for the other programs
# (supervise/host): there is no prefix. Packagers set DESTDIR; BIN is where
# programs are.
BIN      ?= bin
PROGRAMS := $(notdir $(wildcard cmd/*))
install: ## what make build has built, units and manual pages, below DESTDIR (root; no service is started)
	@[ -x '$(BIN)/lockstep' ] || { echo "install: $(BIN)/lockstep is not there; run: make build" >&2; exit 1; }
	install -d '$(DESTDIR)/usr/bin' '$(DESTDIR)/usr/libexec/lockstep' '$(DESTDIR)/usr/lib/systemd/system' '$(DESTDIR)/usr/lib/sysusers.d' '$(DESTDIR)/usr/lib/tmpfiles.d' '$(DESTDIR)/usr/share/man/man1' '$(DESTDIR)/usr/share/man/man5' '$(DESTDIR)/usr/share/doc/lockstep'
	install -m 0755 '$(BIN)/lockstep' '$(DESTDIR)/usr/bin'
	install -m 0755 $(patsubst %,'$(BIN)/%',$(filter-out lockstep,$(PROGRAMS))) '$(DESTDIR)/usr/libexec/lockstep'
	install -m 0644 dist/systemd/*.service '$(DESTDIR)/usr/lib/systemd/system'
	install -m 0644 dist/systemd/sysusers.conf '$(DESTDIR)/usr/lib/sysusers.d/lockstep.conf'
	install -m 0644 dist/systemd/tmpfiles.conf '$(DESTDIR)/usr/lib/tmpfiles.d/lockstep.conf'
	install -m 0644 docs/man/lockstep.1 '$(DESTDIR)/usr/share/man/man1'
	install -m 0644 docs/man/lockstep.toml.5 '$(DESTDIR)/usr/share/man/man5'
	install -m 0644 LICENSE dist/systemd/local.conf dist/systemd/cgroup-v1.conf dist/systemd/devices.conf '$(DESTDIR)/usr/share/doc/lockstep'

unit: test-deps build ## lockstep under its own systemd unit, whose exposure is scored
	$(GO) test -count=1 ./test/unit
	$(GO) test -count=1 -timeout 10m -tags e2e ./test/unit

sbom: build ## what each program is made of, as CycloneDX, into bin/lockstep.cdx.json
	$(GO) run ./test/sbom -o bin/lockstep.cdx.json $(patsubst %,bin/%,$(PROGRAMS))

reproduce: deps ## build twice, at two places, as two users, and compare
	$(GO) test -count=1 -timeout 20m -v -tags reproduce -run TestReproducible ./test/supply

vuln: build ## known vulnerabilities of what is linked (asks a database on the network; says so when it is not there)
	@GO='$(GO)' GOVULNCHECK='$(GOVULNCHECK)' scripts/vuln $(patsubst %,bin/%,$(PROGRAMS))

unsplit: deps ## the same engine in one process, to measure what the separation costs; never installed
	@mkdir -p bin
	CGO_ENABLED=0 $(BUILD) -tags unsplit -o bin/lockstep-unsplit ./bench/unsplit

run: build ## show the main job on a sample tree; make run SRC=… DST=… mirrors your own
	@scripts/run

test: test-deps build ## unit tests with the race detector, and a small share of the end-to-end suite (≤ 20 minutes)
	LOCKSTEP_SCALE=small $(GO) test -race -p $(BESIDE) -timeout 15m ./...
	@echo "what a decision of rules about one path costs:"
	@$(GO) test -run '^$$' -bench '^BenchmarkCost$$' -benchtime 100x ./rules/ordered | grep '^Benchmark'
	LOCKSTEP_SCALE=small $(GO) test -count=1 -timeout 10m -tags escape ./test/escape
	LOCKSTEP_SCALE=small $(GO) test -count=1 -timeout 10m -tags hostile -parallel $(BESIDE) ./test/hostile -run 'TestAccount|TestCanary|TestSecret|TestExchanges|TestBind|TestSpecial'
	LOCKSTEP_SCALE=small $(GO) test -count=1 -timeout 10m -parallel $(BESIDE) -tags faults -v ./test/faults
	LOCKSTEP_SCALE=small $(GO) test -count=1 -p 1 -parallel $(BESIDE) -timeout 40m -tags e2e ./test/e2e ./test/unit

test-long: test-deps build ## all tests with the full numbers, and how long each part took; LONG="hostile faults" takes some parts (two and a half hours)
	@GO=$(GO) BESIDE=$(BESIDE) scripts/long

escape: test-deps ## an attacker inside each confined program, act by act, against docs/security/escape-matrix.md (root)
	LOCKSTEP_SCALE=full $(GO) test -count=1 -timeout 30m -v -tags escape ./test/escape

hostile: test-deps build ## an unprivileged user races the daemon in his own tree: 10,000 names twice, ten minutes of exchanges, mounts (root, 20 minutes)
	LOCKSTEP_SCALE=full $(GO) test -count=1 -timeout 60m -parallel 1 -v -tags hostile ./test/hostile

faults: test-deps build ## 1,000 random kills, and more than twenty kinds of trouble, under a real lockstep (root, 10 minutes)
	LOCKSTEP_SCALE=full $(GO) test -count=1 -timeout 60m -parallel $(BESIDE) -v -tags faults ./test/faults

mutants: test-deps ## plant bugs, one at a time, and see that a test notices each (root, 5 minutes)
	$(GO) test -count=1 -timeout 60m -v -tags mutants -run TestScore ./test/mutants

race: test-deps ## all unit tests with the race detector, uncached
	$(GO) test -race -count=1 -timeout 30m ./...

fuzz: deps ## every fuzz target FUZZTIME times (500000x); make fuzz FUZZTIME=50000000x for longer, FUZZ_ONLY=worker/tree for some
	@FUZZTIME=$(FUZZTIME) FUZZ_ONLY='$(FUZZ_ONLY)' FUZZ_MORE='$(FUZZ_MORE)' scripts/fuzz

bench-deps: check-go ## the same, and what only the benchmark needs (lsyncd, clsync, inotify-tools, gnuplot)
	@scripts/deps --bench

bench: bench-deps build unsplit ## lockstep against floors and peers, into docs/performance (≤ 30 minutes; BENCH_SCALE=small: 3; BENCH_ONLY=latency,burst/lockstep,lsyncd)
	$(GO) build -trimpath -o bin/bench ./bench
	bin/bench -n '$(BENCH_N)' -scale '$(BENCH_SCALE)' -only '$(BENCH_ONLY)' -out '$(BENCH_OUT)'

bench-monitors: bench-deps build ## decoders and a million watched directories against a C program, into docs/performance (root, 25 minutes, 8 GB; MONITORS_ARGS='-events 100000 -dirs 10000 -n 1')
	CGO_ENABLED=0 $(BUILD) -tags unsplit -o bin/lockstep-decode ./bench/decode
	$(GO) build -trimpath -o bin/bench-monitors ./bench/monitors
	bin/bench-monitors $(MONITORS_ARGS)

lint: deps ## gofmt, go vet, staticcheck, and the rules of layers and sizes
	@bad=$$(gofmt -l $$(find . -name .git -prune -o -name '*.go' -print)); [ -z "$$bad" ] || { echo "gofmt:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e,reproduce,mutants,escape,hostile,faults ./test/...
	CGO_ENABLED=0 $(GO) vet -tags unsplit ./bench/unsplit ./bench/decode
	$(GO) vet -tags unsplit ./bench/...
	$(GO) vet -tags tinybuffer ./monitor/... ./worker/pump/... ./resolver/...
	$(GO) vet -tags shortqueue ./resolver
	$(GO) vet -tags trap ./seccomp/...
	$(GO) vet -tags less ./seccomp/...
	$(GO) vet -tags twin ./sandbox/... ./seccomp/...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) vet ./cmd/lockstep-helper ./cmd/lockstep-worker ./cmd/lockstep-runner ./cmd/lockstep-resolver ./cmd/lockstep-gate
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(STATICCHECK) -tags e2e,reproduce,mutants,escape,hostile,faults ./test/...
	$(GO) run $(STATICCHECK) -tags unsplit ./bench/...
	$(GO) test ./test/layers

tcb: deps ## lines, requests and system calls of what is trusted, against their budgets
	@$(GO) run ./test/tcb

clean: ## remove what was built
	rm -rf bin

.PHONY: help check-go deps test-deps build install unit sbom reproduce vuln unsplit run test test-long escape hostile faults mutants race fuzz bench-deps bench bench-monitors lint tcb clean
