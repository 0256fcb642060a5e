/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/confine.h"

enum {
	CONFIG_SIZE_MAX = 4 << 20,
	ANSWER_SIZE_MAX = 32 << 10,
	MEMORY_MAX = 512 << 20,
	CPU_SECONDS_MAX = 10,
};

/* Options of the runtimes themselves that take the next word as their value; --name=value needs no list. */
static bool takes_value(const char *option)
{
	static const char *const names[] = {
		"--root",	    "--log", "--log-format", "--log-level", "--criu", "--rootless",
		"--cgroup-manager", "-r",    "-l",
	};

	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (strcmp(option, names[i]) == 0)
			return true;
	return false;
}

/* The words before the verb.  @return the index of the word behind it, or 0 when this is no verb that runs a container. */
static size_t find_verb(char *const *command, struct oci_command *c)
{
	for (size_t i = 1; command[i]; i++) {
		const char *a = command[i], *value = strchr(a, '=');

		if (a[0] != '-')
			return strcmp(a, "run") == 0 || strcmp(a, "create") == 0 ? i + 1 : 0;
		value = value ? value + 1 : command[i + 1] ? command[i + 1] : "";
		if (strcmp(a, "--systemd-cgroup") == 0 || strcmp(a, "--systemd-cgroup=true") == 0)
			c->systemd_cgroup = true;
		else if (text_starts(a, "--cgroup-manager"))
			c->systemd_cgroup = strcmp(value, "systemd") == 0;
		if (takes_value(a) && command[i + 1])
			i++;
	}
	return 0;
}

bool oci_recognise(char *const *command, struct oci_command *ret)
{
	static const char *const runtimes[] = { "runc", "crun", "youki", "runsc", "kata-runtime" };
	const char *base = strrchr(command[0], '/');
	struct oci_command c = { .bundle = "." };
	bool known = false;
	size_t i = 0;

	base = base ? base + 1 : command[0];
	for (size_t k = 0; k < ELEMENTS(runtimes); k++)
		known |= strcmp(base, runtimes[k]) == 0;
	if (known)
		i = find_verb(command, &c);
	if (i == 0)
		return false;
	for (; command[i]; i++) {
		const char *a = command[i];
		bool bundle = strcmp(a, "-b") == 0 || strcmp(a, "--bundle") == 0 ||
			      strcmp(a, "-bundle") == 0;

		if (bundle && command[i + 1])
			c.bundle = command[++i];
		else if (text_starts(a, "--bundle=") || text_starts(a, "-bundle="))
			c.bundle = strchr(a, '=') + 1;
		else
			c.id = a; /* the last word: options of these verbs come before it */
	}
	if (!c.id || c.id[0] == '-')
		return false;
	*ret = c;
	return true;
}

/* "a-b.slice" lies in "a.slice". */
static void add_slices(struct buf *to, const char *slice, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (slice[i] == '-')
			buf_printf(to, "/%.*s.slice", (int) i, slice);
	buf_printf(to, "/%.*s", (int) n, slice);
}

int oci_cgroup(const char *path, bool systemd, struct buf *to)
{
	const char *prefix = strchr(path, ':'), *name = prefix ? strchr(prefix + 1, ':') : NULL;
	size_t slice = prefix ? (size_t) (prefix - path) : 0;

	if (path[0] == '/' && !systemd) {
		buf_str(to, path);
	} else if (systemd && name && name[1] && !strchr(name + 1, ':') && !strchr(path, '/')) {
		if (slice == 0)
			buf_str(to, "/system.slice");
		else if (strncmp(path, "-.slice", slice) != 0)
			add_slices(to, path, slice);
		buf_char(to, '/');
		if (name > prefix + 1)
			buf_printf(to, "%.*s-", (int) (name - prefix - 1), prefix + 1);
		buf_str(to, name + 1);
		if (strlen(name) < 7 || strcmp(name + strlen(name) - 6, ".slice") != 0)
			buf_str(to, ".scope");
	}
	/* Anything else is relative to where the runtime happens to be. */
	return to->bad ? -ENOMEM : 0;
}

/* Values that would break the NUL-separated answer, or a field, are left out. */
static void answer(struct buf *to, const char *name, json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || !*text || strlen(text) != json_string_length(value) || strlen(text) > 4096)
		return;
	buf_printf(to, "%s=%s", name, text);
	buf_char(to, '\0');
}

int oci_parse_config(const char *json, size_t n, struct buf *to)
{
	/* Annotation, in order of preference, and the field that it fills. */
	static const struct {
		const char *annotation, *field;
	} map[] = {
		{ "io.kubernetes.cri.image-name", "_IMAGE_NAME" },
		{ "io.kubernetes.cri-o.ImageName", "_IMAGE_NAME" },
		{ "org.opencontainers.image.ref.name", "_IMAGE_NAME" },
		{ "org.opencontainers.image.title", "_IMAGE_NAME" },
		{ "io.kubernetes.cri.container-name", "_CONTAINER_NAME" },
		{ "io.kubernetes.cri-o.ContainerName", "_CONTAINER_NAME" },
		{ "io.kubernetes.cri.sandbox-name", "_POD_NAME" },
		{ "io.kubernetes.cri.sandbox-namespace", "_POD_NAMESPACE" },
		{ "io.kubernetes.cri.sandbox-uid", "_POD_UID" },
	};
	json_error_t error;
	json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error),
	       *annotations;

	if (!root)
		return BULLA_EPARSE;
	annotations = json_object_get(root, "annotations");
	for (size_t i = 0; i < ELEMENTS(map); i++)
		answer(to, map[i].field, json_object_get(annotations, map[i].annotation));
	answer(to, "cgroup", json_object_get(json_object_get(root, "linux"), "cgroupsPath"));
	json_decref(root);
	return to->bad ? -ENOMEM : 0;
}

/* The child: it has the file in memory, one pipe to write to, and no way to anything else. */
_noreturn_ static void parse_confined(const struct buf *config, int out)
{
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX },
			    seconds = { CPU_SECONDS_MAX, CPU_SECONDS_MAX };
	struct buf result = { 0 };

	/* It reads /dev/urandom, once; behind the filter it could not. */
	json_object_seed(0);
	if (dup2(out, 0) < 0 || close_range(1, ~0u, 0) < 0)
		_exit(1);
	/* A sanitizer reserves more address space than any machine has. */
	if (confine_is_on() && setrlimit(RLIMIT_AS, &memory) < 0)
		_exit(1);
	if (setrlimit(RLIMIT_CPU, &seconds) < 0 || confine_parser() < 0 ||
	    oci_parse_config((const char *) config->data, config->len, &result) < 0)
		_exit(1);
	if (result.len > ANSWER_SIZE_MAX || io_write(0, result.data, result.len) < 0)
		_exit(1);
	_exit(0);
}

static int read_answer(int fd, struct buf *to)
{
	for (;;) {
		uint8_t *p = buf_room(to, 4096);
		ssize_t n;

		if (!p)
			return -ENOMEM;
		n = read(fd, p, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		buf_add(to, (size_t) n);
		if (to->len > ANSWER_SIZE_MAX)
			return BULLA_ELIMIT;
	}
}

static int ask_child(const struct buf *config, struct buf *to)
{
	int pair[2], status, r;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		parse_confined(config, pair[1]);
	close(pair[1]);
	r = pid < 0 ? -errno : read_answer(pair[0], to);
	close(pair[0]);
	if (pid < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		return r;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : BULLA_EPARSE;
}

static int add_cgroup(const char *cgroups_path, bool systemd, struct identity *to)
{
	_cleanup_buf_ struct buf path = { 0 };
	int r;

	r = oci_cgroup(cgroups_path, systemd, &path);
	if (r < 0 || path.len == 0)
		return r;
	buf_char(&path, '\0');
	return path.bad ? -ENOMEM : identity_add_cgroup(to, (const char *) path.data);
}

/* The first answer for a field wins: the table is in order of preference, the command line came before. */
static int add_answers(const struct buf *answers, bool systemd, struct identity *to)
{
	const char *p = (const char *) answers->data, *end = p + answers->len;

	while (p && p < end) {
		size_t n = strnlen(p, (size_t) (end - p));
		const char *value = memchr(p, '=', n);
		char name[64];
		int r = 0;

		if (n == (size_t) (end - p) || !value || (size_t) (value - p) >= sizeof name)
			return BULLA_EPARSE;
		memcpy(name, p, (size_t) (value - p));
		name[value - p] = '\0';
		if (strcmp(name, "cgroup") == 0)
			r = add_cgroup(value + 1, systemd, to);
		else if (name[0] == '_' && !identity_has(to, name))
			r = identity_add(to, name, value + 1);
		if (r < 0)
			return r;
		p += n + 1;
	}
	return 0;
}

int oci_identity(const struct oci_command *c, const char *name, const char *image,
		 struct identity *to)
{
	_cleanup_buf_ struct buf config = { 0 }, answers = { 0 };
	char path[4096];
	int r;

	r = identity_add(to, "_CONTAINER_ID", c->id);
	if (r >= 0)
		r = identity_add(to, "_CONTAINER_NAME", name);
	if (r >= 0)
		r = identity_add(to, "_IMAGE_NAME", image);
	if (r < 0)
		return r;
	if (snprintf(path, sizeof path, "%s/config.json", c->bundle) >= (int) sizeof path)
		return -ENAMETOOLONG;
	r = io_read_file(AT_FDCWD, path, CONFIG_SIZE_MAX, &config);
	if (r >= 0)
		r = ask_child(&config, &answers);
	if (r >= 0)
		r = add_answers(&answers, c->systemd_cgroup, to);
	if (r >= 0 && !identity_has(to, "_CONTAINER_NAME"))
		r = identity_add(to, "_CONTAINER_NAME", c->id);
	return r;
}
