# lockstep: everything is one command. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

GO          := go
BENCH_N     ?= 3
BENCH_SCALE ?= full
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 500000x
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

unsplit: deps ## the same engine in one process, to measure what the separation costs; never installed
	@mkdir -p bin
	CGO_ENABLED=0 $(BUILD) -tags unsplit -o bin/lockstep-unsplit ./bench/unsplit

run: build ## show the main job on a sample tree; make run SRC=… DST=… mirrors your own
	@scripts/run

test: test-deps build ## unit tests with the race detector, and a small share of the end-to-end suite (≤ 15 minutes)
	$(GO) test -race -timeout 15m ./...
	@echo "what a decision of rules about one path costs:"
	@$(GO) test -run '^$$' -bench '^BenchmarkCost$$' -benchtime 100x ./rules/ordered | grep '^Benchmark'
	LOCKSTEP_SCALE=small $(GO) test -count=1 -timeout 20m -tags e2e ./test/e2e

test-long: test-deps build ## the whole end-to-end list, with the full numbers
	SIM_SEEDS=0:8000 $(GO) test -race -count=1 -timeout 30m ./...
	LOCKSTEP_SCALE=full $(GO) test -count=1 -timeout 180m -tags e2e -v ./test/e2e

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
	$(GO) vet -tags e2e ./test/...
	CGO_ENABLED=0 $(GO) vet -tags unsplit ./bench/unsplit ./bench/decode
	$(GO) vet -tags unsplit ./bench/...
	$(GO) vet -tags tinybuffer ./monitor/... ./worker/pump/... ./resolver/...
	$(GO) vet -tags shortqueue ./resolver
	$(GO) vet -tags trap ./seccomp/...
	$(GO) vet -tags twin ./sandbox/... ./seccomp/...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) vet ./cmd/lockstep-helper ./cmd/lockstep-worker ./cmd/lockstep-runner ./cmd/lockstep-resolver ./cmd/lockstep-gate
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(STATICCHECK) -tags e2e ./test/...
	$(GO) run $(STATICCHECK) -tags unsplit ./bench/...
	$(GO) test ./test/layers

tcb: deps ## lines, requests and system calls of what is trusted, against their budgets
	@$(GO) run ./test/tcb

clean: ## remove what was built
	rm -rf bin

.PHONY: help check-go deps test-deps build unsplit run test test-long race fuzz bench-deps bench bench-monitors lint tcb clean
