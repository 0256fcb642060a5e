# SPDX-License-Identifier: Apache-2.0
#
# Bash completion: commands, their options as --help lists them, fields and values as the journals have them.

_bulla_help() {
	bulla "$1" --help 2>/dev/null
}

# Offer the lines of standard input that begin with a word.  Not by compgen -W, which expands what it is given: values come
# from containers, and one may be named $(reboot).
_bulla_offer() {
	local line

	COMPREPLY=()
	while IFS= read -r line; do
		[[ $line != "$1"* ]] || COMPREPLY+=("$(printf %q "$line")")
	done
}

_bulla_values_of() {
	bulla query "${where[@]}" -q -F "$1" 2>/dev/null
}

# The state directory or aggregator that the command line names so far.
_bulla_where() {
	local i

	where=()
	for ((i = 2; i < cword; i++)); do
		case ${words[i]} in
		--at | --state) where+=("${words[i]}" "${words[i + 1]}") ;;
		--at=* | --state=*) where+=("${words[i]}") ;;
		esac
	done
}

_bulla() {
	local cur prev words cword where command

	_init_completion -n = || return
	command=${words[1]}
	if [[ $cword -eq 1 ]]; then
		_bulla_offer "$cur" < <(bulla --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
		return
	fi
	case $prev in
	--state | --store)
		_filedir -d
		return
		;;
	-o | --output)
		mapfile -t COMPREPLY < <(compgen -W 'short short-iso json export cat verbose' -- "$cur")
		return
		;;
	-p | --priority | --stderr-priority)
		mapfile -t COMPREPLY < <(compgen -W 'emerg alert crit err warning notice info debug' -- "$cur")
		return
		;;
	esac
	if [[ $cur = -* ]]; then
		_bulla_offer "$cur" < <(_bulla_help "$command" | grep -oE -- '--[a-z][a-z-]*' | sort -u)
		return
	fi
	case $command in
	run)
		_command_offset 2
		;;
	import)
		_filedir
		;;
	query | tail)
		_bulla_where
		if [[ $prev = -F || $prev = --field || $prev = --count-by ]]; then
			_bulla_offer "$cur" < <(bulla query "${where[@]}" -q -N 2>/dev/null)
		elif [[ $prev = -u || $prev = --unit ]]; then
			_bulla_offer "$cur" < <(_bulla_values_of _SYSTEMD_UNIT)
		elif [[ $prev = -t || $prev = --identifier ]]; then
			_bulla_offer "$cur" < <(_bulla_values_of SYSLOG_IDENTIFIER)
		elif [[ $cur = *=* ]]; then
			_bulla_values
		else
			_bulla_offer "$cur" < <(
				_bulla_help query | grep -oE '\b[a-z]+=' | sort -u
				bulla query "${where[@]}" -q -N 2>/dev/null | sed 's/$/=/'
			)
			compopt -o nospace 2>/dev/null
		fi
		;;
	esac
}

# Values of the field in front of the equals sign.
_bulla_values() {
	local name=${cur%%=*} field

	case $name in
	unit) field=_SYSTEMD_UNIT ;;
	host) field=_HOSTNAME ;;
	container) field=_CONTAINER_NAME ;;
	image) field=_IMAGE_NAME ;;
	pod) field=_POD_NAME ;;
	namespace) field=_POD_NAMESPACE ;;
	stream) field=_STREAM ;;
	level) field=PRIORITY ;;
	pid) field=_PID ;;
	tenant) field=_TENANT ;;
	identifier) field=SYSLOG_IDENTIFIER ;;
	*) field=${name%!} ;;
	esac
	_bulla_offer "${cur#*=}" < <(_bulla_values_of "$field")
	# Readline completes what is behind the equals sign, where that breaks words.
	[[ $COMP_WORDBREAKS = *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$name=}")
}

complete -F _bulla bulla
