/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/callback.h"

_Thread_local struct callback_state callback_state;

const char *callback_name(uint32_t callback)
{
#define CALLBACK_TEXT(name) [CALLBACK_##name] = #name,
	static const char *const names[CALLBACK_COUNT] = {[CALLBACK_NONE] = "",
							  CALLBACKS(CALLBACK_TEXT)};

	return callback < CALLBACK_COUNT ? names[callback] : "";
}
