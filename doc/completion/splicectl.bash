# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of splicectl(1) for bash.

# Routes, and their targets as ROUTE/TARGET; `socket` is the caller's.
_splicectl_names()
{
	splicectl "${socket[@]}" routes -H 2>/dev/null | awk '{ print $1; n = split($4, targets, ","); for (i = 1; i <= n; i++) { sub(/\(.*/, "", targets[i]); print $1 "/" targets[i] } }'
}

_splicectl()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word verb='' socket=() i

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | --socket) socket=(-s "${COMP_WORDS[++i]}") ;;
		-i | --instance) socket=(-i "${COMP_WORDS[++i]}") ;;
		--route | --peer | --timeout) ((i++)) ;;
		-*) ;;
		*) verb=${verb:-$word} ;;
		esac
	done
	case $previous in
	-s | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	--route)
		mapfile -t COMPREPLY < <(compgen -W "$(splicectl "${socket[@]}" routes -H 2>/dev/null | awk '{ print $1 }')" -- "$current")
		return
		;;
	kill)
		mapfile -t COMPREPLY < <(compgen -W "$(splicectl "${socket[@]}" sessions -H 2>/dev/null | awk '{ print $1 }')" -- "$current")
		return
		;;
	hold | release)
		mapfile -t COMPREPLY < <(compgen -W "$(_splicectl_names | grep -v /)" -- "$current")
		return
		;;
	drain | enable)
		mapfile -t COMPREPLY < <(compgen -W "$(_splicectl_names)" -- "$current")
		return
		;;
	disable | weight | wait)
		mapfile -t COMPREPLY < <(compgen -W "$(_splicectl_names | grep /)" -- "$current")
		return
		;;
	log-level)
		mapfile -t COMPREPLY < <(compgen -W "error warning notice info debug" -- "$current")
		return
		;;
	esac
	case $verb in
	'') word="status routes targets listeners sessions kill drain disable enable hold release weight wait reload upgrade harden log-level help --socket --instance --json --help --version" ;;
	status) word="-q -n" ;;
	routes | targets | listeners) word="-H -n" ;;
	sessions) word="--route --peer -H -n" ;;
	wait) word="up down --timeout" ;;
	weight) word="configured" ;;
	*) word= ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
}
complete -F _splicectl splicectl
