# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of spliced(8) for bash.

_spliced()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}

	case $previous in
	-c | --config | --as | --control) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
	--plugin-dir) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
	--describe) mapfile -t COMPREPLY < <(compgen -W "file daemon route endpoint counters $(spliced --describe 2>/dev/null | awk '{ print $1 }')" -- "$current") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "-c --config -t --check -T --print --as --describe --json --single --plugin-dir --control -V --version --help" -- "$current") ;;
	esac
}
complete -F _spliced spliced
