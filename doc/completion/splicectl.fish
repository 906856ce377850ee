# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of splicectl(1) for fish.

set -l verbs status routes listeners sessions kill reload upgrade harden log-level help
complete -c splicectl -f
complete -c splicectl -s s -l socket -r -F -d 'Control socket'
complete -c splicectl -s i -l instance -x -d 'Of the service spliced@NAME'
complete -c splicectl -l json -d 'As JSON'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a status -d 'Is all well, and what runs'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a routes -d 'What is joined with what'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a listeners -d 'Where clients arrive'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a sessions -d 'Who is connected'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a kill -d 'End a session'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a reload -d 'Read the configuration again'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a upgrade -d 'Run the file of the program as it is now'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a harden -d 'Print the systemd drop-in that fits'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a log-level -d 'Say more or less in the log'
complete -c splicectl -n "not __fish_seen_subcommand_from $verbs" -a help -d 'Print a summary'
complete -c splicectl -n '__fish_seen_subcommand_from status' -s q -d 'Only the exit code'
complete -c splicectl -n '__fish_seen_subcommand_from routes listeners sessions' -s H -d 'No headings'
complete -c splicectl -n '__fish_seen_subcommand_from status routes listeners sessions' -s n -d 'Plain numbers'
complete -c splicectl -n '__fish_seen_subcommand_from sessions' -l route -x -a "(splicectl routes -H 2>/dev/null | string split -f1 ' ')" -d 'Of a route'
complete -c splicectl -n '__fish_seen_subcommand_from sessions' -l peer -x -d 'Whose address begins so'
complete -c splicectl -n '__fish_seen_subcommand_from kill' -a "(splicectl sessions -H 2>/dev/null | string split -f1 ' ')"
complete -c splicectl -n '__fish_seen_subcommand_from log-level' -a 'error warning notice info debug'
