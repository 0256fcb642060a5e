# SPDX-License-Identifier: Apache-2.0
#
# What every end-to-end test starts with:  . "$(dirname "$0")/lib.sh"
#
#	BUILD     the build tree, from the environment
#	$work     an empty directory, gone afterwards, and with it every process of ours that works on something below it
#	cleanup   CMD...: to be done at the end, last come first done
#	requires  root | tool NAME...: otherwise skip, and say why
#	skip      WHY
#	is        WHAT GOT WANT: compare, and count
#	good      WHAT CMD...: the command succeeds
#	run       bulla run in $state, with what it says itself in $work/said
#	raw       STREAM [ARG...]: what was kept of a stream of $state, byte for byte
#	aggregator_up [ARG...]     bulla serve in $work/store, at $url, as process $aggregator
#	aggregator_down            end it
#	verified  the state directory $state is whole, with its key

set -u
bulla=${BUILD:?is the build tree}/bulla
tools=$BUILD/tests/e2e
work=$(mktemp -d "${TMPDIR:-/tmp}/bulla-e2e-XXXXXX")
state=$work/state
n_good=0
n_bad=0
cleanups=()
unset BULLA_STATE JOURNAL_STREAM

cleanup() {
	cleanups=("$*" "${cleanups[@]}")
}

# arguments PID: the command line of a process, as the array $argv.  No program is started: this looks at all there are, often.
arguments() {
	argv=()
	mapfile -d '' argv 2>/dev/null <"/proc/$1/cmdline"
}

# Processes with a word of their command line below $work.
ours() {
	local pid word argv
	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		arguments "$pid" 2>/dev/null
		for word in "${argv[@]}"; do
			if [[ $word == *"$work/"* ]]; then
				[ "$pid" = $$ ] || echo "$pid"
				break
			fi
		done
	done
}

finish() {
	local status=$? c
	for c in "${cleanups[@]}"; do
		eval "$c"
	done
	# shellcheck disable=SC2046
	kill -9 $(ours) 2>/dev/null
	rm -rf "$work"
	if [ $status = 0 ]; then
		echo "$n_good good, $n_bad bad"
		[ $n_bad = 0 ] && [ $n_good -gt 0 ] || status=1
	fi
	exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

skip() {
	echo "SKIP: $*"
	exit 77
}

requires() {
	local tool
	case $1 in
	root)
		[ "$(id -u)" = 0 ] || skip "needs root"
		;;
	tool)
		shift
		for tool; do
			command -v "$tool" >/dev/null || skip "needs $tool"
		done
		;;
	esac
}

# What a failure is shown with: the end of what bulla run and the sealer said.
said() {
	tail -5 "$work/said" 2>/dev/null | sed 's/^/said: /'
	tail -40 "$state/seal/log" 2>/dev/null | sed 's/^/sealer: /'
}

is() {
	if [ "$2" = "$3" ]; then
		n_good=$((n_good + 1))
	else
		n_bad=$((n_bad + 1))
		printf 'BAD: %s\n got: %.500s\nwant: %.500s\n' "$1" "$2" "$3"
		said
	fi
}

good() {
	local what=$1
	shift
	if "$@"; then
		n_good=$((n_good + 1))
	else
		n_bad=$((n_bad + 1))
		echo "BAD: $what: $*"
		said
	fi
}

run() {
	"$bulla" run --state "$state" "$@" 2>"$work/said"
}

raw() {
	local stream=$1
	shift
	"$tools/read_state" --raw --stream "$stream" "$@" "$state"
}

entries() {
	"$tools/read_state" --list "$@" "$state" | wc -l
}

# Wait until a command succeeds, for at most 20 seconds.
until_true() {
	local i
	for ((i = 0; i < 2000; i++)); do
		"$@" && return 0
		sleep 0.01
	done
	return 1
}

# Processes of a role that work on $state.
role() {
	local pid word argv
	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		arguments "$pid" 2>/dev/null
		[[ ${argv[0]-} == *"bulla-$1" ]] || continue
		for word in "${argv[@]}"; do
			if [ "$word" = "$state" ]; then
				echo "$pid"
				break
			fi
		done
	done
}

no_role() {
	[ -z "$(role "$1")" ]
}

# The sealer has left, so that everything is sealed that will be.
settled() {
	until_true no_role sealer
}

# Start an aggregator with $work/store, and wait until it listens; the next one gets the same port.
aggregator_up() {
	: >"$work/serve.said"
	"$bulla" serve --listen "127.0.0.1:${port:-0}" --store "$work/store" --name central "$@" 2>"$work/serve.said" &
	aggregator=$!
	until_true grep -q 'listening on port' "$work/serve.said" || exit 1
	port=$(sed -n 's/.*listening on port \([0-9]*\),.*/\1/p' "$work/serve.said")
	url=http://127.0.0.1:$port
}

aggregator_down() {
	kill "$aggregator"
	wait "$aggregator"
}

verified() {
	settled
	"$bulla" verify --state "$state" --key "$("$bulla" keys --state "$state")" >"$work/verdict" 2>&1 && return 0
	cat "$work/verdict"
	return 1
}
