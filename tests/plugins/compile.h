/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory of plugins that a test compiles for itself, and removes. */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline const char *compile_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

/* Makes a directory that the registry trusts. Returns its name, for rmtree. */
static inline char *compile_directory(char text[static 64])
{
	strcpy(text, "/tmp/spliced-plugins-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(text));
	return text;
}

/* Compiles tests/plugins/SOURCE.c with defines ("-DX=1 -DY") into DIR/NAME.so. */
static inline void compile_plugin(const char *dir, const char *name, const char *source,
				  const char *defines)
{
	char command[4096];

	snprintf(command, sizeof command,
		 "umask 022; exec %s -std=gnu11 -D_GNU_SOURCE -I'%s/include' -fPIC -shared "
		 "-fvisibility=hidden %s "
		 "-o '%s/%s.so' '%s/tests/plugins/%s.c'",
		 compile_environment("CC", "cc"), compile_environment("TOP_SRCDIR", "."), defines,
		 dir, name, compile_environment("TOP_SRCDIR", "."), source);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static inline void compile_clean(const char *dir)
{
	char command[256];

	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}
