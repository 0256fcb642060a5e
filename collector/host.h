/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_HOST_H
#define BULLA_COLLECTOR_HOST_H

/** Which machine this is, and which boot of it. */

#include "base/attr.h"
#include "seal/statement.h"

struct host {
	char name[256];
	struct id machine; /* machine-id(5); zero where there is none */
	struct id boot;	   /* /proc/sys/kernel/random/boot_id */
};

_must_check_ int host_describe(struct host *ret);

#endif
