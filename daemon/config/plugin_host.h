/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What plugins get of the daemon. */
#pragma once

#include "config/config.h"

extern const struct spliced_host plugin_host;
