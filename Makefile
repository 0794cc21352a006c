# `make` lists the targets. Everything is installed below .venv and .cache; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .cache/peers

.PHONY: help install demo demo-kafka test check format kafka-clients slt interop judges compatibility bench flink bench-flink docs lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make the environment and install the package
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing tsdb into $(VENV) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml
	@echo "installing the test extras …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test,dev]'
	@touch $@

demo: $(VENV)/.installed  ## run the main job: a real change log to a live answer
	@$(BIN)/python examples/demo.py

demo-kafka: $(VENV)/.installed .cache/kafka/.installed  ## run the main job over Kafka, on a broker of its own
	@$(BIN)/python examples/demo_kafka.py

test: $(VENV)/.installed-dev $(PEERS)/.installed .cache/paimon-java/.installed .cache/kafka/.installed  ## run the whole suite
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

check: test  ## the same as test

format: $(VENV)/.installed-dev  ## format and fix what ruff can
	$(BIN)/ruff check --fix .

kafka-clients: $(VENV)/.installed-dev .cache/kafka/.installed  ## run the Kafka tests with each client
	TSDB_KAFKA_CLIENT=kafka-python $(BIN)/python -m pytest tests/kafka
	TSDB_KAFKA_CLIENT=confluent-kafka $(BIN)/python -m pytest tests/kafka

slt: $(VENV)/.installed-dev  ## run sql_tests/ only
	$(BIN)/python -m pytest -n 2 tests/slt

interop: $(VENV)/.installed-dev $(PEERS)/.installed .cache/paimon-java/.installed  ## run the judges only: Paimon Java, pypaimon, pypaimon-rust
	$(BIN)/python -m pytest tests/interop

judges: $(VENV)/.installed-dev .cache/paimon-java/.installed  ## random tables between Paimon Java and us: FIRST=0 LAST=300, by seed
	$(BIN)/python tests/interop/test_wild_tables.py $(or $(FIRST),0) $(or $(LAST),300)
	$(BIN)/python tests/interop/test_random_tables.py $(or $(FIRST),0) $(or $(LAST),300)

compatibility: $(VENV)/.installed-dev $(PEERS)/.installed .cache/paimon-java/.installed .cache/kafka/.installed  ## ask the judges and write docs/compatibility.md
	TSDB_REQUIRE_SERVERS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m judged --compatibility=docs/compatibility.md tests

# pypaimon pins an older pyarrow than ours: the Python peers have an environment of their own
$(PEERS)/.installed: tests/interop/peers.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "installing pypaimon and pypaimon-rust into $(PEERS) …"
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -r tests/interop/peers.txt
	@touch $@

# Without Maven the Java judge's tests are skipped (and say so); with TSDB_REQUIRE_SERVERS=1 they fail instead.
.cache/paimon-java/.installed: tests/interop/pom.xml
	@mkdir -p .cache/paimon-java
	@if command -v mvn >/dev/null; then \
		echo "copying Paimon Java into .cache/paimon-java …"; \
		mvn -q -B -ntp -f tests/interop/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
			-DoutputDirectory=$(CURDIR)/.cache/paimon-java && touch $@; \
	elif [ -n "$(TSDB_REQUIRE_SERVERS)" ]; then echo "mvn is needed to fetch Paimon Java" >&2; exit 1; fi

kafka: $(VENV)/.installed .cache/kafka/.installed  ## start a Kafka broker, print its address, clean up on Ctrl-C
	@$(BIN)/python tests/kafka/broker.py

# Without Maven the Kafka tests are skipped (and say so); with TSDB_REQUIRE_SERVERS=1 they fail instead.
.cache/kafka/.installed: tests/kafka/pom.xml
	@mkdir -p .cache/kafka
	@if command -v mvn >/dev/null; then \
		echo "copying Kafka into .cache/kafka …"; \
		mvn -q -B -ntp -f tests/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
			-DoutputDirectory=$(CURDIR)/.cache/kafka && touch $@; \
	elif [ -n "$(TSDB_REQUIRE_SERVERS)" ]; then echo "mvn is needed to fetch Kafka" >&2; exit 1; fi

races: $(VENV)/.installed-dev  ## let processes race for two minutes while a reader checks every snapshot
	TSDB_RACE_SECONDS=120 $(BIN)/python -m pytest -n0 tests/unit/table/test_races.py tests/interop/test_races.py

bench: $(VENV)/.installed-dev $(PEERS)/.installed  ## run the benchmarks side by side with their peers
	$(BIN)/python -m bench all

flink: .cache/flink/.installed  ## fetch Flink for bench-flink (200 MB)

.cache/flink/.installed: bench/pom.xml
	@mkdir -p .cache/flink
	@echo "copying Flink into .cache/flink …"
	@mvn -q -B -ntp -f bench/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
		-DoutputDirectory=$(CURDIR)/.cache/flink && touch $@

bench-flink: $(VENV)/.installed-dev .cache/flink/.installed  ## run Nexmark side by side with Flink SQL (half an hour)
	$(BIN)/python -m bench nexmark_flink --rows 2000000 --repeat 2

docs: $(VENV)/.installed-dev  ## write the pages of docs/ that come from tables in the code
	$(BIN)/python docs/generate.py

lock: $(VENV)/.installed-dev  ## write the lock file for development
	$(BIN)/python -m pip freeze --exclude-editable > requirements-dev.lock

clean:  ## remove what the targets above made
	rm -rf $(VENV) .cache build *.egg-info
