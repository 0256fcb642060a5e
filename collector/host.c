/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/host.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

int host_describe(struct host *ret)
{
	sd_id128_t id;
	int r;

	*ret = (struct host){ 0 };
	if (gethostname(ret->name, sizeof ret->name - 1) < 0)
		return -errno;
	/* A container without machine-id is no reason not to log. */
	if (sd_id128_get_machine(&id) >= 0)
		memcpy(ret->machine.b, id.bytes, ID_SIZE);
	r = sd_id128_get_boot(&id);
	if (r < 0)
		return r;
	memcpy(ret->boot.b, id.bytes, ID_SIZE);
	return 0;
}
