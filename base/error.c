/* SPDX-License-Identifier: Apache-2.0 */

#include "bulla/error.h"

#include <stdio.h>
#include <string.h>

const char *bulla_strerror(int error)
{
	static _Thread_local char text[64];

	switch (error) {
#define X(name, value, words) \
	case name:            \
		return words;
		BULLA_ERRORS(X)
#undef X
	default:
		break;
	}
	if (error <= 0 && error > -4096)
		return strerror(-error);
	snprintf(text, sizeof text, "unknown error %d", error);
	return text;
}
