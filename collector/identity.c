/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/identity.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/cgroup.h"
#include "collector/host.h"

void identity_done(struct identity *i)
{
	for (uint16_t k = 0; k < i->n; k++)
		free((void *) (uintptr_t) i->fields[k].name);
	free(i->fields);
	*i = (struct identity){ 0 };
}

int identity_add_bytes(struct identity *i, const char *name, const void *value, size_t n)
{
	size_t name_len = strlen(name);
	uint8_t *copy;

	if (name_len == 0 || name_len > FIELD_NAME_MAX || strchr(name, '='))
		return -EINVAL;
	if (i->n == FIELDS_MAX || n > CONTEXT_SIZE_MAX)
		return BULLA_ELIMIT;
	if (i->n == i->cap) {
		uint16_t cap = i->cap ? (uint16_t) (2 * i->cap) : 32;
		struct field *more = reallocarray(i->fields, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		i->fields = more;
		i->cap = cap;
	}
	copy = malloc(name_len + n);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, name, name_len);
	memcpy(copy + name_len, value, n);
	i->fields[i->n++] = (struct field){
		.name = copy,
		.name_len = (uint8_t) name_len,
		.value = copy + name_len,
		.value_len = (uint32_t) n,
	};
	return 0;
}

int identity_add(struct identity *i, const char *name, const char *value)
{
	return value && *value ? identity_add_bytes(i, name, value, strlen(value)) : 0;
}

static const struct field *find(const struct identity *i, const char *name)
{
	for (uint16_t k = 0; k < i->n; k++)
		if (field_is(&i->fields[k], name))
			return &i->fields[k];
	return NULL;
}

bool identity_has(const struct identity *i, const char *name)
{
	return find(i, name) != NULL;
}

int identity_add_same(struct identity *i, const char *name, const char *other)
{
	const struct field *f = find(i, other);

	return f ? identity_add_bytes(i, name, f->value, f->value_len) : 0;
}

int identity_add_host(struct identity *i)
{
	static const struct id none;
	char hex[2 * ID_SIZE + 1];
	struct host host;
	int r;

	r = host_describe(&host);
	if (r >= 0)
		r = identity_add(i, "_HOSTNAME", host.name);
	if (r >= 0 && !id_equal(&host.machine, &none)) {
		text_hex(hex, host.machine.b, ID_SIZE);
		r = identity_add(i, "_MACHINE_ID", hex);
	}
	if (r >= 0) {
		text_hex(hex, host.boot.b, ID_SIZE);
		r = identity_add(i, "_BOOT_ID", hex);
	}
	if (r >= 0)
		r = identity_add(i, "_RUNTIME_SCOPE", "system");
	return r;
}

int identity_add_cgroup(struct identity *i, const char *cgroup)
{
	struct cgroup_names n;
	int r;

	cgroup_parse(cgroup, &n);
	/* Whatever is in no slice is in the root one. */
	if (n.unit.n > 0 && n.slice.n == 0)
		n.slice = (struct cgroup_name){ "-.slice", STRLEN("-.slice") };
	const struct {
		const char *name;
		struct cgroup_name value;
	} fields[] = {
		{ "_SYSTEMD_SLICE", n.slice },		 { "_SYSTEMD_UNIT", n.unit },
		{ "_SYSTEMD_SESSION", n.session },	 { "_SYSTEMD_OWNER_UID", n.owner_uid },
		{ "_SYSTEMD_USER_SLICE", n.user_slice }, { "_SYSTEMD_USER_UNIT", n.user_unit },
	};

	r = strcmp(cgroup, "/") == 0 ? 0 : identity_add(i, "_SYSTEMD_CGROUP", cgroup);
	for (size_t k = 0; k < ELEMENTS(fields) && r >= 0; k++)
		if (fields[k].value.n > 0)
			r = identity_add_bytes(i, fields[k].name, fields[k].value.p,
					       fields[k].value.n);
	return r;
}

static int add_own_cgroup(struct identity *i, pid_t pid)
{
	_cleanup_buf_ struct buf text = { 0 };
	const char *path;
	char name[64];
	int r;

	snprintf(name, sizeof name, "/proc/%d/cgroup", (int) pid);
	r = io_read_file(AT_FDCWD, name, 64 << 10, &text);
	if (r < 0)
		return r;
	buf_char(&text, '\0');
	if (text.bad)
		return -ENOMEM;
	path = cgroup_of_proc((char *) text.data);
	return path ? identity_add_cgroup(i, path) : 0;
}

int identity_add_process(struct identity *i, pid_t pid, char *const *command, bool container)
{
	_cleanup_buf_ struct buf line = { 0 };
	const char *base = strrchr(command[0], '/');
	char number[24];
	int r;

	snprintf(number, sizeof number, "%d", (int) pid);
	r = identity_add(i, "_PID", number);
	snprintf(number, sizeof number, "%u", (unsigned) getuid());
	if (r >= 0)
		r = identity_add(i, "_UID", number);
	snprintf(number, sizeof number, "%u", (unsigned) getgid());
	if (r >= 0)
		r = identity_add(i, "_GID", number);
	/* What was asked to be run; the process may become another program, which this does not claim to follow. */
	for (size_t k = 0; command[k]; k++) {
		if (k > 0)
			buf_char(&line, ' ');
		buf_str(&line, command[k]);
	}
	if (line.bad)
		return -ENOMEM;
	if (r >= 0)
		r = identity_add_bytes(i, "_CMDLINE", line.data, MIN_OF(line.len, (size_t) 4096));
	if (r >= 0)
		r = identity_add(i, "_COMM", base ? base + 1 : command[0]);
	if (r >= 0 && !container)
		r = add_own_cgroup(i, pid);
	return r;
}

static int compare_fields(const void *a, const void *b)
{
	return field_compare(a, b);
}

int identity_leaf(struct identity *i, struct buf *to, struct hash *ret_hash)
{
	struct context c = { .fields = i->fields, .n_fields = i->n };
	size_t size;
	struct wr w;
	int r;

	if (i->n > 1)
		qsort(i->fields, i->n, sizeof *i->fields, compare_fields);
	r = context_hash(&c, ret_hash);
	if (r < 0)
		return r;
	size = context_leaf_size(&c);
	if (!buf_room(to, size))
		return -ENOMEM;
	w = wr_of(to->data + to->len, size);
	context_encode(&c, &w);
	assert(!w.bad);
	buf_add(to, w.len);
	return 0;
}
