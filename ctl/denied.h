/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why the control socket may not be used, and who may. */
#pragma once

#include <stddef.h>

/* Into text, "Permission denied; ..." with the remedy. Returns text. */
const char *denied_explain(const char *path, char *text, size_t size);
