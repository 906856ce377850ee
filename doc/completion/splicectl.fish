# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of splicectl(1) for fish.

set -l verbs status routes targets listeners sessions kill drain disable enable hold release weight wait reload upgrade harden log-level help
complete -c splicectl -f
complete -c splicectl -s s -l socket -r -F -d 'Control socket'
complete -c splicectl -s i -l instance -x -d 'Instance spliced@NAME'
complete -c splicectl -l json -d 'JSON output'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a status -d 'Show the verdict and the state of the daemon'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a routes -d 'List routes'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a listeners -d 'List listeners'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a targets -d 'List targets'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a sessions -d 'List sessions'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a kill -d 'End a session'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a drain -d 'Take no new sessions'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a disable -d 'Take no new sessions and end the open ones'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a enable -d 'Undo drain and disable'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a hold -d 'Let new clients wait'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a release -d 'Undo hold'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a weight -d 'Set the share of new sessions'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a wait -d 'Wait until a target is up or down'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a reload -d 'Reload the configuration'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a upgrade -d 'Replace the running program with the current file'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a harden -d 'Print a systemd drop-in for the configuration'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a log-level -d 'Set the log level'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a help -d 'Print a summary'
complete -c splicectl -n '__fish_seen_subcommand_from status' -s q -d 'Exit status only'
complete -c splicectl -n '__fish_seen_subcommand_from routes targets listeners sessions' -s H -d 'No header lines'
complete -c splicectl -n '__fish_seen_subcommand_from status routes targets listeners sessions' -s n -d 'Plain numbers'
complete -c splicectl -n '__fish_seen_subcommand_from sessions' -l route -x -a "(splicectl routes -H 2>/dev/null | string split -f1 ' ')" -d 'Filter by route'
complete -c splicectl -n '__fish_seen_subcommand_from sessions' -l peer -x -d 'Filter by address prefix'
complete -c splicectl -n '__fish_seen_subcommand_from kill' -a "(splicectl sessions -H 2>/dev/null | string split -f1 ' ')"
complete -c splicectl -n '__fish_seen_subcommand_from log-level' -a 'error warning notice info debug'
complete -c splicectl -n '__fish_seen_subcommand_from drain enable hold release' -a "(splicectl routes -H 2>/dev/null | string split -f1 ' ')"
complete -c splicectl -n '__fish_seen_subcommand_from wait' -a 'up down'
complete -c splicectl -n '__fish_seen_subcommand_from wait' -l timeout -x -d 'Give up after this time'
complete -c splicectl -n '__fish_seen_subcommand_from weight' -a configured
