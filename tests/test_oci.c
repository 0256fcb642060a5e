/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A command line that runs a container is known, its bundle tells of it, and a hostile bundle tells nothing.
 */

#include "collector/oci.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "bulla/error.h"

Suite(oci);

static const struct {
	const char *line, *id, *bundle;
	bool systemd;
} commands[] = {
	{ "runc run web", "web", ".", false },
	{ "/usr/sbin/runc run --bundle /b web", "web", "/b", false },
	{ "runc run -b /b web", "web", "/b", false },
	{ "runc --root /r --log /l --debug run --bundle=/b --no-pivot web", "web", "/b", false },
	{ "runc --root=run run web", "web", ".", false },
	{ "runc --root run run web", "web", ".", false },
	{ "runc --systemd-cgroup run web", "web", ".", true },
	{ "crun --cgroup-manager=systemd run web", "web", ".", true },
	{ "crun --cgroup-manager cgroupfs run web", "web", ".", false },
	{ "crun run --pid-file /p --preserve-fds 3 web", "web", ".", false },
	{ "runsc -bundle x run -bundle /b web", NULL, NULL, false },
	{ "runsc run -bundle /b web", "web", "/b", false },
	{ "youki create -b /b web", "web", "/b", false },
	{ "kata-runtime run web", "web", ".", false },
	{ "runc exec web run", NULL, NULL, false },
	{ "runc --root run exec web ls", NULL, NULL, false },
	{ "runc list", NULL, NULL, false },
	{ "runc run", NULL, NULL, false },
	{ "runc run --help", NULL, NULL, false },
	{ "runc", NULL, NULL, false },
	{ "docker run web", NULL, NULL, false },
	{ "echo runc run web", NULL, NULL, false },
	{ "notrunc run web", NULL, NULL, false },
};

Test(oci, commands_that_run_a_container_are_known)
{
	for (size_t i = 0; i < ELEMENTS(commands); i++) {
		char *line = strdup(commands[i].line), *words[16] = { 0 }, *save;
		struct oci_command c = { 0 };
		size_t n = 0;

		for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
			words[n++] = w;
		cr_assert(eq(int, oci_recognise(words, &c), commands[i].id != NULL), "%s",
			  commands[i].line);
		if (commands[i].id) {
			cr_expect(eq(str, (char *) c.id, (char *) commands[i].id), "%s",
				  commands[i].line);
			cr_expect(eq(str, (char *) c.bundle, (char *) commands[i].bundle), "%s",
				  commands[i].line);
			cr_expect(eq(int, c.systemd_cgroup, commands[i].systemd), "%s",
				  commands[i].line);
		}
		free(line);
	}
}

static const struct {
	const char *path;
	bool systemd;
	const char *want;
} paths[] = {
	{ "/system.slice/web.service", false, "/system.slice/web.service" },
	{ "relative/path", false, "" },
	{ "system.slice:runc:web", true, "/system.slice/runc-web.scope" },
	{ "system.slice:runc:web", false, "" },
	{ ":runc:web", true, "/system.slice/runc-web.scope" },
	{ "user-1000-x.slice:crun:web", true,
	  "/user.slice/user-1000.slice/user-1000-x.slice/crun-web.scope" },
	{ "-.slice:cri-containerd:web", true, "/cri-containerd-web.scope" },
	{ "system.slice::web", true, "/system.slice/web.scope" },
	{ "/system.slice/web.service", true, "" },
	{ "a:b:c:d", true, "" },
	{ "a/../../b.slice:x:y", true, "" },
	{ "a:b:", true, "" },
	{ "a:b", true, "" },
	{ "", true, "" },
	{ "", false, "" },
};

Test(oci, a_cgroups_path_is_a_cgroup)
{
	for (size_t i = 0; i < ELEMENTS(paths); i++) {
		struct buf got = { 0 };

		cr_assert(eq(int, oci_cgroup(paths[i].path, paths[i].systemd, &got), 0));
		buf_char(&got, '\0');
		cr_expect(eq(str, (char *) got.data, (char *) paths[i].want), "%s", paths[i].path);
		buf_done(&got);
	}
}

/* The answer as text: a comma for each NUL. */
static void expect_answer(const char *json, size_t n, int want_r, const char *want)
{
	uint8_t *alone = exact_copy(json, n);
	struct buf got = { 0 };

	cr_assert(eq(int, oci_parse_config((char *) alone, n, &got), want_r), "%.60s", json);
	for (size_t i = 0; i < got.len; i++)
		if (got.data[i] == '\0')
			got.data[i] = ',';
	buf_char(&got, '\0');
	if (want_r == 0)
		cr_expect(eq(str, (char *) got.data, (char *) want), "%.60s", json);
	buf_done(&got);
	free(alone);
}

Test(oci, configs_answer)
{
	static const struct {
		const char *json, *want;
	} cases[] = {
		{ "{}", "" },
		{ "[]", "" },
		{ "{\"annotations\":{\"org.opencontainers.image.ref.name\":\"nginx:1\"}}",
		  "_IMAGE_NAME=nginx:1," },
		{ "{\"annotations\":{\"org.opencontainers.image.title\":\"last\","
		  "\"io.kubernetes.cri.image-name\":\"first\"}}",
		  "_IMAGE_NAME=first,_IMAGE_NAME=last," },
		{ "{\"linux\":{\"cgroupsPath\":\"/a/b\"}}", "cgroup=/a/b," },
		{ "{\"annotations\":{\"io.kubernetes.cri.sandbox-name\":\"p\","
		  "\"io.kubernetes.cri.sandbox-namespace\":\"ns\",\"io.kubernetes.cri.container-"
		  "name\":"
		  "\"c\",\"io.kubernetes.cri.sandbox-uid\":\"u\"}}",
		  "_CONTAINER_NAME=c,_POD_NAME=p,_POD_NAMESPACE=ns,_POD_UID=u," },
		/* Not what it should be. */
		{ "{\"annotations\":[1,2],\"linux\":7}", "" },
		{ "{\"annotations\":{\"org.opencontainers.image.ref.name\":5}}", "" },
		{ "{\"annotations\":{\"org.opencontainers.image.ref.name\":\"\"}}", "" },
		{ "{\"annotations\":{\"org.opencontainers.image.ref.name\":\"a\\u0000_X=b\"}}",
		  "" },
		{ "{\"linux\":{\"cgroupsPath\":\"/a\\u0000/b\"}}", "" },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++)
		expect_answer(cases[i].json, strlen(cases[i].json), 0, cases[i].want);
}

Test(oci, hostile_configs_are_refused)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"nonsense",
		"{} trailing",
		"{\"a\":1,\"a\":2}",
		"{\"annotations\":{\"k\":\"x\",\"k\":\"y\"}}",
		"{\"a\\u0000b\":1}",
		"{\"a\":\"\xff\"}",
		"{\"a\":1e999999}",
	};
	struct buf deep = { 0 };

	for (size_t i = 0; i < ELEMENTS(bad); i++)
		expect_answer(bad[i], strlen(bad[i]), BULLA_EPARSE, "");
	expect_answer("{\"a\":\0}", 8, BULLA_EPARSE, "");
	for (int i = 0; i < 100000; i++)
		buf_char(&deep, '[');
	expect_answer((char *) deep.data, deep.len, BULLA_EPARSE, "");
	buf_done(&deep);
}

Test(oci, a_value_that_is_too_long_is_left_out)
{
	struct buf json = { 0 };

	buf_str(&json, "{\"annotations\":{\"org.opencontainers.image.ref.name\":\"");
	for (int i = 0; i < 4097; i++)
		buf_char(&json, 'x');
	buf_str(&json, "\"}}");
	expect_answer((char *) json.data, json.len, 0, "");
	buf_done(&json);
}

/* With the confined child in between. */

static int identity_of(const char *json, size_t n, struct identity *i)
{
	const char *dir = tempdir();
	struct oci_command c = { .id = "web", .bundle = dir };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (json)
		r = io_replace_file(fd, "config.json", json, n, 0600);
	close(fd);
	cr_assert(eq(int, r, 0));
	return oci_identity(&c, NULL, NULL, i);
}

static bool has(const struct identity *i, const char *name, const char *value)
{
	for (uint16_t k = 0; k < i->n; k++)
		if (i->fields[k].name_len == strlen(name) &&
		    memcmp(i->fields[k].name, name, strlen(name)) == 0 &&
		    i->fields[k].value_len == strlen(value) &&
		    memcmp(i->fields[k].value, value, strlen(value)) == 0)
			return true;
	return false;
}

Test(oci, a_bundle_is_read_behind_the_filter)
{
	static const char json[] =
		"{\"annotations\":{\"org.opencontainers.image.ref.name\":\"nginx:1\"},"
		"\"linux\":{\"cgroupsPath\":\"/system.slice/web.service\"}}";
	struct identity i = { 0 };

	cr_assert(eq(int, identity_of(json, sizeof json - 1, &i), 0));
	cr_expect(has(&i, "_CONTAINER_ID", "web"));
	cr_expect(has(&i, "_CONTAINER_NAME", "web"));
	cr_expect(has(&i, "_IMAGE_NAME", "nginx:1"));
	cr_expect(has(&i, "_SYSTEMD_UNIT", "web.service"));
	identity_done(&i);
}

Test(oci, the_command_line_comes_before_the_bundle)
{
	static const char json[] =
		"{\"annotations\":{\"org.opencontainers.image.ref.name\":\"nginx:1\"}}";
	const char *dir = tempdir();
	struct oci_command c = { .id = "web", .bundle = dir };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct identity i = { 0 };

	cr_assert(eq(int, io_replace_file(fd, "config.json", json, sizeof json - 1, 0600), 0));
	close(fd);
	cr_assert(eq(int, oci_identity(&c, "name", "image", &i), 0));
	cr_expect(has(&i, "_CONTAINER_NAME", "name"));
	cr_expect(has(&i, "_IMAGE_NAME", "image"));
	cr_expect(not(has(&i, "_IMAGE_NAME", "nginx:1")));
	identity_done(&i);
}

Test(oci, a_bundle_that_cannot_be_read_is_an_error)
{
	struct identity i = { 0 };

	cr_expect(eq(int, identity_of(NULL, 0, &i), -ENOENT));
	identity_done(&i);
	cr_expect(eq(int, identity_of("{", 1, &i), BULLA_EPARSE));
	identity_done(&i);
}

Test(oci, a_huge_bundle_is_refused)
{
	size_t n = (4 << 20) + 1;
	struct identity i = { 0 };
	char *json = malloc(n);

	cr_assert(json != NULL);
	memset(json, ' ', n);
	memcpy(json, "{}", 2);
	cr_expect(eq(int, identity_of(json, n, &i), -EFBIG));
	identity_done(&i);
	/* As large as may be, and made to need as much memory as may be: it answers, or fails alone. */
	for (size_t k = 0; k + 2 <= n - 1; k += 2)
		memcpy(json + k, "1,", 2);
	json[0] = '[';
	memcpy(json + n - 4, "1]  ", 4);
	json[1] = ' ';
	cr_expect(le(int, identity_of(json, n - 1, &i), 0));
	identity_done(&i);
	free(json);
}
