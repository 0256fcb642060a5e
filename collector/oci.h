/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_OCI_H
#define BULLA_COLLECTOR_OCI_H

/**
 * What an OCI bundle tells of the container that a runtime is about to run.
 *
 * `bulla run -- runc run --bundle B web`: the command line names the container and its bundle, whose config.json has image
 * and cgroup.  The file is parsed by a child that can do nothing but read it and answer.
 */

#include <stdbool.h>

#include "base/attr.h"
#include "collector/identity.h"

/** A command line that runs a container. */
struct oci_command {
	const char *id;	     /* points into the command */
	const char *bundle;  /* "." by default */
	bool systemd_cgroup; /* cgroupsPath is SLICE:PREFIX:NAME */
};

/** Whether a command is `runc|crun|youki|kata-runtime|runsc [options] run|create [options] ID`. */
bool oci_recognise(char *const *command, struct oci_command *ret);
/**
 * Add the fields of a container: _CONTAINER_ID, _CONTAINER_NAME, _IMAGE_NAME and its cgroup's unit.
 *
 * `name` and `image` (may be NULL) come before what the bundle says.  @return 0, BULLA_EPARSE for a bundle whose
 * config.json cannot be used, -ENOENT without one, a negated errno.
 */
_must_check_ int oci_identity(const struct oci_command *c, const char *name, const char *image,
			      struct identity *to);

/** Append the cgroup that a cgroupsPath stands for; nothing where that depends on where the runtime is.  @return 0, -ENOMEM. */
_must_check_ int oci_cgroup(const char *cgroups_path, bool systemd, struct buf *to);
/** Parse config.json into NUL-terminated "NAME=value" strings; what the child does.  @return 0 or BULLA_EPARSE. */
_must_check_ int oci_parse_config(const char *json, size_t n, struct buf *to);

#endif
