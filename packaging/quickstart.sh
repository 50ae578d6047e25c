#!/usr/bin/env bash
# Try ratchetd: build it, start a throwaway PostgreSQL and an in-memory broker beside it, run it in the foreground.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh

usage() {
  cat <<'TEXT'
usage: packaging/quickstart.sh [--once] [--broker HOST:PORT] [--dsn DSN]
  (no option)         builds, starts a throwaway PostgreSQL and an embedded broker on free ports, runs ratchetd in the
                      foreground and prints curl lines to try; Ctrl-C drains it and leaves nothing but build/
  --once              posts one event, shows it arriving in Kafka, stops, exit 0
  --broker HOST:PORT  use this Kafka (topic "orders" must exist) instead of the embedded broker
  --dsn DSN           use this PostgreSQL (its schema "ratchet" is created) instead of a throwaway one
The embedded broker is librdkafka's mock: in memory, for trying only.
Exit: 0 fine, 64 usage, 69 something is missing and cannot be installed, 1 anything else.
TEXT
}

once='' broker='' dsn=''
while [ $# -gt 0 ]; do
  case $1 in
    --once) once=1 ;;
    --broker) broker=${2:?"--broker needs HOST:PORT"}; shift ;;
    --dsn) dsn=${2:?"--dsn needs a DSN"}; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

work=''
daemon_pid='' broker_pid='' pg_up=''
clean_up() {
  trap - EXIT
  trap '' INT TERM
  if [ -n "$daemon_pid" ]; then
    # Another Ctrl-C is the daemon's second signal: it waits no longer. What else was started is still removed.
    trap 'kill -TERM "$daemon_pid" 2>/dev/null || true' INT TERM
    kill -TERM "$daemon_pid" 2>/dev/null || true
    while kill -0 "$daemon_pid" 2>/dev/null; do wait "$daemon_pid" 2>/dev/null || true; done
    trap '' INT TERM
  fi
  [ -z "$broker_pid" ] || { kill -TERM "$broker_pid" 2>/dev/null || true; wait "$broker_pid" 2>/dev/null || true; }
  [ -z "$pg_up" ] || as_postgres "$pg_bin/pg_ctl" -D "$work/pg" -m immediate -w stop >/dev/null 2>&1 || true
  [ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid=postgres --regid=postgres --init-groups "$@"); else "$@"; fi
}

free_ports() {  # N distinct ports that nobody listens on
  python3 - "$1" <<'PY'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])
PY
}

start_postgres() {
  pg_bin=$(pg_config --bindir 2>/dev/null || true)
  [ -x "${pg_bin:-}/initdb" ] || pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
  [ -x "$pg_bin/initdb" ] || die "no PostgreSQL server found"
  [ "$(id -u)" != 0 ] || chown postgres "$work"
  as_postgres "$pg_bin/initdb" -D "$work/pg" -U postgres -A trust -E UTF8 --no-locale >"$work/initdb.log"
  as_postgres "$pg_bin/pg_ctl" -D "$work/pg" -l "$work/pg.log" -w \
    -o "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories='$work'" start >/dev/null || { cat "$work/pg.log" >&2; die "PostgreSQL did not start"; }
  pg_up=1
  as_postgres "$pg_bin/psql" -q -h "$work" -p "$pg_port" -U postgres -c 'create role app login' -c 'create database app' postgres
  owner_dsn="host=127.0.0.1 port=$pg_port dbname=app user=postgres"
  dsn="host=127.0.0.1 port=$pg_port dbname=app user=app"
}

start_broker() {
  setsid "$build/ratchet-embedded-broker" --port "$broker_port" --topic orders >"$work/broker.out" 2>"$work/broker.log" </dev/null &
  broker_pid=$!
  for _ in $(seq 100); do
    grep -q bootstrap.servers= "$work/broker.out" && break
    kill -0 "$broker_pid" 2>/dev/null || { cat "$work/broker.log" >&2; die "the embedded broker did not start"; }
    sleep 0.1
  done
  broker=127.0.0.1:$broker_port
}

# Prints the record whose ce_id is $1, as soon as it is there.
show_record() {
  local deadline=$((SECONDS + 30)) record
  while [ $SECONDS -lt $deadline ]; do
    record=$(kcat -C -e -q -b "$broker" -t orders -o beginning -f 'topic %t  partition %p  offset %o\tkey: %k\tvalue: %s\theaders: %h\n' 2>/dev/null | grep -F "ce_id=$1" || true)
    if [ -n "$record" ]; then
      printf '%s\n' "$record" | head -n 1 | tr '\t' '\n'
      return 0
    fi
    sleep 0.1
  done
  return 1
}

umask 022
need_packages build run
build=build/release
say "building (the first time takes a few minutes)"
cmake --preset release >/dev/null
cmake --build --preset release >&2

work=$(mktemp -d "${TMPDIR:-/tmp}/ratchetd-quickstart.XXXXXX")
chmod 755 "$work"
read -r pg_port broker_port http_port ops_port < <(free_ports 4)
owner_dsn=$dsn
[ -n "$dsn" ] || { say "starting a throwaway PostgreSQL on port $pg_port"; start_postgres; }
[ -n "$broker" ] || { say "starting the embedded broker on port $broker_port (in memory, for trying only)"; start_broker; }

cat >"$work/ratchetd.json" <<JSON
{
  "instance": "quickstart",
  "ops": { "listen": "127.0.0.1:$ops_port", "control": "$work/control.sock" },
  "database": { "pools": { "main": { "dsn": "$dsn" } } },
  "broker": { "bootstrap": ["$broker"] },
  "service": { "listen": "127.0.0.1:$http_port" },
  "routes": [ { "kind": "event", "path": "/events/orders", "topic": "orders", "key": ":body.customer" } ]
}
JSON
say "creating the schema"
"$build/ratchetd" migrate --config "$work/ratchetd.json" --dsn "$owner_dsn" >&2
if [ -n "$pg_up" ]; then as_postgres "$pg_bin/psql" -q -h "$work" -p "$pg_port" -U postgres -c 'grant ratchet_run to app' app; fi

say "starting ratchetd"
# In sessions of their own: Ctrl-C reaches this script only, which stops them one after the other, highest first.
setsid "$build/ratchetd" --config "$work/ratchetd.json" &
daemon_pid=$!
"$build/ratchetctl" --socket "$work/control.sock" wait --level 3 --timeout 60 >&2 || die "level 3 was not reached"

body='{"customer":"c-1","total":12.5}'
if [ -n "$once" ]; then
  say "POST /events/orders $body"
  reply=$(curl -sS --fail-with-body -X POST -H 'Content-Type: application/json' -d "$body" "http://127.0.0.1:$http_port/events/orders")
  echo "answered: $reply"
  say "waiting for it in Kafka"
  id=$(printf '%s' "$reply" | sed 's/.*"id":"\([^"]*\)".*/\1/')
  show_record "$id" || die "the event did not arrive within 30 s"
  say "stopping"
  exit 0
fi

cat <<TEXT

ratchetd is at level 3. Try:
  curl -i -X POST -H 'Content-Type: application/json' -d '$body' http://127.0.0.1:$http_port/events/orders
  curl -s http://127.0.0.1:$ops_port/levels
  curl -s http://127.0.0.1:$ops_port/metrics | grep ratchet_
  $build/ratchetctl --socket $work/control.sock status
  kcat -C -e -q -b $broker -t orders -o beginning -f '%k -> %s  [%h]\n'
Ctrl-C drains it and removes everything again.
TEXT
wait "$daemon_pid" || true
daemon_pid=''
