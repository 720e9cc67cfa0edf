# Two commands do everything: `make demo` and `make test`. Each installs what it
# needs through Go's own module cache; nothing else has to be there but Go and make.

GO       ?= go
BIN      := bin
PREFIX   ?= /usr/local
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 10s
# Tools of `make check`, pinned so that every machine sees the same findings.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

export CGO_ENABLED := 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "  Settings: FUZZTIME=$(FUZZTIME)  SEED=, N=, TIE=, COUNT=, FOR= (sim)  PREFIX=$(PREFIX) (install)"

.PHONY: build
build: ## bin/batond and bin/baton, static
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/batond ./daemon
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/baton ./tui

.PHONY: test
# The lab comes last and alone: real daemons with real timeouts share two cores with
# nothing else then.
test: build ## every test: rules, simulator, sockets, lab, console
	$(GO) vet ./...
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -v /contrib/lab)
	$(GO) test -timeout 20m -p 1 ./contrib/lab/...

.PHONY: race
race: ## the same under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 40m ./...

.PHONY: check
check: ## gofumpt, vet, staticcheck, tidy, import rules
	@out=$$($(GO) run $(GOFUMPT) -l .); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) test ./contrib/rooms

.PHONY: sim
sim: ## simulator: FOR=10m searches on all cores, SEED=7 N=3 TIE=fence replays
	$(GO) run ./core/sim/cmd/sim $(if $(FOR),-for $(FOR) $(if $(SEED),-seed $(SEED)),$(if $(SEED),-seed $(SEED) -count $(or $(COUNT),1) $(if $(COUNT),,-trace),$(if $(COUNT),-count $(COUNT)))) \
		$(if $(N),-n $(N)) $(if $(TIE),-tie $(TIE)) $(if $(WEAKEN),-weaken $(WEAKEN)) $(if $(JOBS),-jobs $(JOBS))

.PHONY: fuzz
# A target that ends with an error is run once more: on a busy machine go test may report
# its own deadline as one (golang.org/issue/75804). What it has found it has written into
# testdata, and fails at once the second time.
fuzz: ## every fuzz target for FUZZTIME
	@set -e; fuzz() { $(GO) test -run '^$$' -fuzz "^$$1$$" -fuzztime $(FUZZTIME) $$2; }; \
	$(GO) list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir pkg; do \
		for f in $$(grep -hso '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | sed 's/func //'); do \
			echo "== $$pkg $$f"; fuzz $$f $$pkg || fuzz $$f $$pkg; \
		done; done

.PHONY: bench
bench: build ## outages, idle cost, first frame: one run, all figures
	$(GO) run ./contrib/lab/bench

.PHONY: demo
demo: build ## a virtual cluster with the console on it; q ends it; SERVERS=2 TIE=disk makes it another
	$(GO) run ./contrib/lab/demo $(if $(SERVERS),-servers $(SERVERS)) $(if $(TIE),-tiebreaker $(TIE))

.PHONY: man
man: ## bin/man, manual pages of baton (batond's is daemon/batond.8)
	$(GO) run ./contrib/man $(BIN)/man

.PHONY: install
install: build man ## into PREFIX, with the systemd unit, manual pages and completions
	install -D -m 0755 $(BIN)/batond $(DESTDIR)$(PREFIX)/sbin/batond
	install -D -m 0755 $(BIN)/baton $(DESTDIR)$(PREFIX)/bin/baton
	install -d -m 0755 $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in batond baton-witness; do \
		sed 's,/usr/sbin,$(PREFIX)/sbin,' contrib/systemd/$$unit.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit.service; done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(BIN)/man/*.1
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 daemon/batond.8
	install -d -m 0755 $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	$(BIN)/baton completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/baton
	$(BIN)/baton completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_baton
	$(BIN)/baton completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/baton.fish
	install -d -m 0755 $(DESTDIR)/etc/baton

.PHONY: clean
clean: ## what build left
	rm -rf $(BIN)
