# Nightshift. `make run` needs Go; `make test` Go and Node, and chromium for the page; `make conform` also npm, JDK 17,
# Maven, Python 3 with pip and iproute2.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BUILD := .build
CACHE := .cache

GO := go
ARCH ?= arm64
FUNCTIONS ?= $(BUILD)/functions
TOOLS := $(CURDIR)/.ci/tools.mod
export GOFLAGS += -buildvcs=false

.PHONY: help
help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

.PHONY: go
go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or later (go.dev/dl), then try again." >&2; exit 1; }

.PHONY: run
run: go ## Play two evenings on one machine and judge them (the demo)
	@mkdir -p $(BUILD)
	@$(GO) build -o $(BUILD)/nightshift ./internal/cmd/nightshift
	@$(BUILD)/nightshift demo

.PHONY: up
up: go ## Run the local system; its records survive it where dynoxide is installed (or was downloaded by make conform)
	@mkdir -p $(BUILD) $(CACHE)
	@$(GO) build -o $(BUILD)/nightshift ./internal/cmd/nightshift
	@engine=$$(command -v dynoxide || ls $(CURDIR)/$(CACHE)/engine/dynoxide-* 2>/dev/null | head -n 1); \
	if [ -n "$$engine" ]; then \
	  "$$engine" --host 127.0.0.1 -p 4601 --db-path $(CACHE)/nightshift.db >/dev/null & pid=$$!; trap "kill $$pid" EXIT; \
	  for i in $$(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/4601) 2>/dev/null && break; sleep 0.1; done; \
	  $(BUILD)/nightshift up --dynamodb http://127.0.0.1:4601; \
	else echo "dynoxide is not installed: nothing will survive this run"; $(BUILD)/nightshift up; fi

.PHONY: build
build: go ## Build the command line and every function (for linux, ARCH=arm64 or amd64; reproducible)
	@mkdir -p $(BUILD)
	$(GO) build -o $(BUILD)/nightshift ./internal/cmd/nightshift
	@for f in functions/*/main.go; do n=$$(basename $$(dirname $$f)); \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -tags lambda.norpc -ldflags="-s -w -buildid=" -o $(FUNCTIONS)/$$n/bootstrap ./functions/$$n || exit 1; \
	  echo "$(FUNCTIONS)/$$n/bootstrap"; done

.PHONY: node
node:
	@command -v node >/dev/null && [ "$$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || { echo "Node.js 20 or later is missing: the tests of infra/ synthesize the CDK app with it. Install it (nodejs.org), then try again." >&2; exit 1; }
	@command -v npm >/dev/null || { echo "npm is missing: the tests of infra/ install their pinned parts with it. It comes with Node.js." >&2; exit 1; }

.PHONY: test
test: go node ## Run every test (needs Go and Node; installs its npm parts itself; chromium for the page)
	@command -v chromium >/dev/null || echo "chromium is missing: the page is NOT tested (apt-get install chromium)"
	$(GO) vet ./...
	$(GO) test ./...

.PHONY: race
race: go ## Run every test under the race detector
	$(GO) test -race ./...

.PHONY: synth
synth: node build ## Write the CloudFormation template to infra/cdk.out (no credentials, no network)
	@infra/cdk.sh synth $(ARGS)

.PHONY: diff
diff: node build ## Say what a deployment would change
	@infra/cdk.sh diff $(ARGS)

.PHONY: deploy
deploy: node build ## Deploy with the pinned CDK command line: make deploy ARGS="-c key=value"
	@infra/cdk.sh deploy $(ARGS)

.PHONY: rehearse
rehearse: go node ## Deploy the stack with the stock CDK to MiniStack on this machine, sign somebody out, update, destroy (needs Python 3.11 with pip)
	@bash infra/npm.sh
	@$(MAKE) --no-print-directory build ARCH=$$($(GO) env GOHOSTARCH) FUNCTIONS=$(BUILD)/rehearsal >/dev/null
	@set -e; engine=$$(bash infra/ministack.sh $(CACHE)/engine); $(GO) build -o $(BUILD)/rehearse ./infra/rehearse; \
	  exec $(BUILD)/rehearse -engine "$$engine" -functions $(BUILD)/rehearsal

.PHONY: conform
conform: go ## Run the suites against real engines: two DynamoDBs, Livy with Spark, moto (downloads them; fails where it cannot)
	@command -v npm >/dev/null || { echo "npm is missing: make conform downloads the DynamoDB engines with it. Install Node.js 20 or later." >&2; exit 1; }
	@set -e; engine=$$(bash internal/ddbstore/engine.sh $(CACHE)/engine); ddblocal=$$(bash internal/ddbstore/dynamodblocal.sh $(CACHE)/engine); \
	  NIGHTSHIFT_DYNAMODB_ENGINE=$$engine NIGHTSHIFT_DYNAMODB_LOCAL=$$ddblocal $(GO) test -count=1 -tags conform -exec "bash '$(CURDIR)/internal/conform/alone.sh'" ./internal/ddbstore/...; \
	  NIGHTSHIFT_DYNAMODB_ENGINE=$$engine $(GO) test -count=1 -tags conform -run Conform ./internal/local
	@set -e; livy=$$(bash internal/engine/livy/livy.sh $(CACHE)/engine); moto=$$(bash internal/conform/moto.sh $(CACHE)/engine); \
	  NIGHTSHIFT_LIVY=$$livy NIGHTSHIFT_MOTO=$$moto $(GO) test -count=1 -tags conform -p 1 -timeout 10m -run '^TestConform$$' \
	  -exec "bash '$(CURDIR)/internal/conform/alone.sh'" ./internal/engine/livy ./internal/engine/emrcontainers ./internal/engine/sagemaker

.PHONY: bench
bench: go ## Measure storms, outages, costs and each function's start, and hold them to their targets (about 5 minutes)
	@failed=0; $(GO) run ./internal/sim/bench || failed=1; $(GO) run ./internal/edge/runtimehost/bench || failed=1; exit $$failed

.PHONY: scale
scale: go ## Count what 1,000,000 sessions, 50,000 sign-outs an hour and 10,000 runs on an endpoint take, and compare it with AWS's quotas (about 3 minutes)
	@$(GO) run ./internal/sim/scale

.PHONY: sim
sim: go ## Play SCHEDULES=n schedules of the simulation (default 10000), or SEED=s alone with its trace; HORIZON=long: 7 to 90 days
	@mkdir -p $(BUILD)
	@$(GO) build -o $(BUILD)/sim ./internal/sim/run
	@$(BUILD)/sim -schedules $${SCHEDULES:-10000} -seed $${SEED:-0} -horizon "$${HORIZON:-}"

.PHONY: crash
crash: go ## Play every crash in every mode, every order of a start and its stop, the model DEPTH steps deep (default 7), and storms of 20,000 at an endpoint's rate
	@set -o pipefail; $(GO) test -count=1 -v -timeout 90m ./internal/sim/crash -all | grep -Ev '^ *(===|---)'; \
	  $(GO) test -count=1 -v -timeout 90m ./internal/sim/model -depth $${DEPTH:-7} | grep -Ev '^ *(===|---)'; \
  $(GO) test -count=1 -v -timeout 90m ./internal/sim/ladder -run Storm -all | grep -Ev '^ *(===|---)'

.PHONY: mutate
mutate: go ## Take each guard of the rules and of the stores' conditions away in turn: some test must notice
	@$(GO) run ./internal/sim/mutate

.PHONY: fuzz
fuzz: go ## Fuzz every decoder and the decision for FUZZTIME each (default 60s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-60s} $$pkg; done; done

.PHONY: golden
golden: go ## Rewrite the generated parts: diagrams, tables, golden files
	$(GO) test ./statemachines ./internal/tidy ./internal/outbound ./internal/cmd/nightshift ./infra ./infra/stack -update

.PHONY: lint
lint: go ## Check formatting, vet, and run the pinned staticcheck
	@files=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$files" ] || { echo "gofmt would change:" $$files >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=$(TOOLS) staticcheck -checks inherit,-ST1005,-ST1012 ./... # errors are sentences for people

.PHONY: vuln
vuln: go ## Look for known vulnerabilities in what is called (asks vuln.go.dev; fails where it cannot)
	@$(GO) tool -modfile=$(TOOLS) govulncheck ./... || { echo "make vuln: there are vulnerabilities, or the database of vulnerabilities (vuln.go.dev) cannot be reached: see above" >&2; exit 1; }

.PHONY: licenses
licenses: go ## List what Nightshift is made of and under which licence; fails where one is not allowed
	@$(GO) run ./internal/tidy/licences

.PHONY: changelog
changelog: ## Say what was changed, by day, from the commits (FROM=revision: only since then)
	@git log --no-merges --date=short --format='%ad%x09%s (%h)' $(if $(FROM),$(FROM)..HEAD) | \
	  awk -F '\t' '$$1 != day { day = $$1; print (NR > 1 ? "\n" : "") "## " day } { print "- " $$2 }'

.PHONY: check
check: ## What CI runs, with the same script
	@bash .ci/run

.PHONY: clean
clean: ## Remove what was built and downloaded here
	rm -rf $(BUILD) $(CACHE) infra/cdk.out infra/node_modules
