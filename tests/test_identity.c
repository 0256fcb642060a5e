/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Who a journal belongs to: fields have lawful names and one order, and a cgroup stands for the units that systemd reads in it.
 */

#include "collector/identity.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bulla/error.h"
#include "collector/cgroup.h"

Suite(identity);

/* A field's value, "" if there is none, "!" if there is more than one. */
static const char *value_of(const struct identity *i, const char *name)
{
	static char copy[512];

	copy[0] = '\0';
	for (uint16_t k = 0; k < i->n; k++) {
		const struct field *f = &i->fields[k];

		if (f->name_len != strlen(name) || memcmp(f->name, name, f->name_len) != 0)
			continue;
		if (copy[0])
			return "!";
		cr_assert(lt(u32, f->value_len, sizeof copy));
		memcpy(copy, f->value, f->value_len);
		copy[f->value_len] = '\0';
	}
	return copy;
}

static void expect_value(const struct identity *i, const char *name, const char *want,
			 const char *why)
{
	char copy[512];

	snprintf(copy, sizeof copy, "%s", value_of(i, name));
	cr_expect(eq(str, copy, (char *) want), "%s of %s", name, why);
}

Test(identity, fields_are_copied_and_empty_ones_left_out)
{
	struct identity i = { 0 };
	char value[] = "before";

	cr_expect(eq(int, identity_add(&i, "NAME", value), 0));
	memset(value, 'x', sizeof value - 1);
	expect_value(&i, "NAME", "before", "a copy");
	cr_expect(eq(int, identity_add(&i, "EMPTY", ""), 0));
	cr_expect(eq(int, identity_add(&i, "NULL", NULL), 0));
	cr_expect(eq(uint, i.n, 1));
	cr_expect(identity_has(&i, "NAME"));
	cr_expect(not(identity_has(&i, "NAM")));
	cr_expect(not(identity_has(&i, "EMPTY")));
	identity_done(&i);
}

Test(identity, names_are_lawful)
{
	struct identity i = { 0 };
	char longest[257];

	memset(longest, 'N', 256);
	longest[256] = '\0';
	cr_expect(eq(int, identity_add(&i, "", "v"), -EINVAL));
	cr_expect(eq(int, identity_add(&i, "A=B", "v"), -EINVAL));
	cr_expect(eq(int, identity_add(&i, longest, "v"), -EINVAL));
	longest[255] = '\0';
	cr_expect(eq(int, identity_add(&i, longest, "v"), 0));
	identity_done(&i);
}

Test(identity, has_a_limit)
{
	struct identity i = { 0 };

	for (int k = 0; k < FIELDS_MAX; k++)
		cr_assert(eq(int, identity_add(&i, "F", "v"), 0));
	cr_expect(eq(int, identity_add(&i, "F", "v"), BULLA_ELIMIT));
	identity_done(&i);
}

Test(identity, the_leaf_does_not_depend_on_the_order_of_adding)
{
	static const char *const names[] = { "_HOSTNAME", "A", "AB", "B", "_A" };
	struct hash first, again;

	for (size_t turn = 0; turn < ELEMENTS(names); turn++) {
		struct identity i = { 0 };
		struct buf leaf = { 0 };

		for (size_t k = 0; k < ELEMENTS(names); k++) {
			const char *name = names[(k + turn) % ELEMENTS(names)];

			cr_assert(eq(int, identity_add(&i, name, name), 0));
		}
		cr_assert(eq(int, identity_leaf(&i, &leaf, turn == 0 ? &first : &again), 0));
		cr_expect(turn == 0 || hash_same(&first, &again), "turn %zu", turn);
		buf_done(&leaf);
		identity_done(&i);
	}
}

Test(identity, a_leaf_that_is_too_large_is_refused)
{
	struct identity i = { 0 };
	struct buf leaf = { 0 };
	struct hash hash;
	char *value = calloc(1, CONTEXT_SIZE_MAX + 1);

	cr_assert(value != NULL);
	cr_expect(eq(int, identity_add_bytes(&i, "F", value, CONTEXT_SIZE_MAX + 1), BULLA_ELIMIT));
	cr_expect(eq(int, identity_add_bytes(&i, "F", value, CONTEXT_SIZE_MAX), 0));
	cr_expect(eq(int, identity_leaf(&i, &leaf, &hash), BULLA_ELIMIT));
	free(value);
	buf_done(&leaf);
	identity_done(&i);
}

Test(identity, a_process_is_described)
{
	static char prog[] = "/usr/bin/prog", words[] = "two words";
	char *command[] = { prog, words, NULL };
	struct identity i = { 0 };
	char number[24];

	cr_assert(eq(int, identity_add_host(&i), 0));
	cr_assert(eq(int, identity_add_process(&i, getpid(), command, false), 0));
	snprintf(number, sizeof number, "%d", (int) getpid());
	expect_value(&i, "_PID", number, "ourselves");
	expect_value(&i, "_COMM", "prog", "ourselves");
	expect_value(&i, "_CMDLINE", "/usr/bin/prog two words", "ourselves");
	cr_expect(eq(sz, strlen(value_of(&i, "_BOOT_ID")), 32));
	cr_expect(value_of(&i, "_HOSTNAME")[0] != '\0');
	identity_done(&i);
}

/* Paths, and what systemd 252's cg_path_get_slice(), _unit(), _session(), _owner_uid(), _user_slice() and _user_unit() say. */
static const struct {
	const char *path, *slice, *unit, *session, *uid, *user_slice, *user_unit;
} cgroups[] = {
	{ "/", "", "", "", "", "", "" },
	{ "/init.scope", "-.slice", "init.scope", "", "", "", "" },
	{ "/system.slice/cron.service", "system.slice", "cron.service", "", "", "", "" },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "system-getty.slice",
	  "getty@tty1.service", "", "", "", "" },
	{ "/system.slice/docker.service/deeper", "system.slice", "docker.service", "", "", "", "" },
	{ "/system.slice/docker-0123456789ab.scope", "system.slice", "docker-0123456789ab.scope",
	  "", "", "", "" },
	{ "/user.slice/user-1000.slice/session-2.scope", "user-1000.slice", "session-2.scope", "2",
	  "1000", "", "" },
	{ "/user.slice/user-1000.slice/session-c1.scope/inner.service", "user-1000.slice",
	  "session-c1.scope", "c1", "1000", "", "inner.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service", "user-1000.slice",
	  "user@1000.service", "", "1000", "app.slice", "web.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/web.service", "user-1000.slice",
	  "user@1000.service", "", "1000", "", "web.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/app-a.slice/a@b.service/x",
	  "user-1000.slice", "user@1000.service", "", "1000", "app-a.slice", "a@b.service" },
	{ "/user.slice/user-1000.slice/user@root.service/web.service", "user-1000.slice",
	  "user@root.service", "", "1000", "", "" },
	/* What a cgroup that was handed over contains is not systemd's word. */
	{ "/docker/0123456789ab/system.slice/sshd.service", "", "", "", "", "", "" },
	{ "/kubepods/pod1/sshd.service", "", "", "", "", "", "" },
	{ "/system.slice/web.service/system.slice/sshd.service", "system.slice", "web.service", "",
	  "", "", "" },
	{ "/machine.slice/not a unit.service", "machine.slice", "", "", "", "", "" },
	{ "/system.slice/noslice", "system.slice", "", "", "", "", "" },
	{ "/.slice/a.service", "", "", "", "", "", "" },
	{ "/system.slice/.service", "system.slice", "", "", "", "", "" },
	/* Escaped by an underscore. */
	{ "/system.slice/_cgroup.service", "system.slice", "cgroup.service", "", "", "", "" },
	{ "/_cpu.slice/_a.service", "cpu.slice", "a.service", "", "", "", "" },
	/* Slashes in excess. */
	{ "//system.slice///cron.service/", "system.slice", "cron.service", "", "", "", "" },
	{ "system.slice/cron.service", "system.slice", "cron.service", "", "", "", "" },
	/* Almost. */
	{ "/user.slice/user-x.slice/session-.scope", "user-x.slice", "session-.scope", "", "", "",
	  "" },
	{ "/user.slice/user-1.slice/session-a-b.scope/y.service", "user-1.slice",
	  "session-a-b.scope", "", "1", "", "" },
};

Test(identity, cgroups_are_read_as_systemd_reads_them)
{
	for (size_t k = 0; k < ELEMENTS(cgroups); k++) {
		const char *why = cgroups[k].path;
		struct identity i = { 0 };

		cr_assert(eq(int, identity_add_cgroup(&i, why), 0));
		expect_value(&i, "_SYSTEMD_SLICE", cgroups[k].slice, why);
		expect_value(&i, "_SYSTEMD_UNIT", cgroups[k].unit, why);
		expect_value(&i, "_SYSTEMD_SESSION", cgroups[k].session, why);
		expect_value(&i, "_SYSTEMD_OWNER_UID", cgroups[k].uid, why);
		expect_value(&i, "_SYSTEMD_USER_SLICE", cgroups[k].user_slice, why);
		expect_value(&i, "_SYSTEMD_USER_UNIT", cgroups[k].user_unit, why);
		expect_value(&i, "_SYSTEMD_CGROUP", strcmp(why, "/") == 0 ? "" : why, why);
		identity_done(&i);
	}
}

Test(identity, the_right_line_of_proc_is_taken)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "0::/system.slice/a.service\n", "/system.slice/a.service" },
		{ "0::/\n1:name=systemd:/b\n", "/b" },
		{ "12:cpu:/x\n1:name=systemd:/b\n0::/c\n", "/c" },
		{ "12:cpu:/x\n1:name=systemd:/b:c\n", "/b:c" },
		{ "0::/\n", "/" },
		{ "0:cpu:/no\n", NULL },
		{ "garbage\n", NULL },
		{ "", NULL },
	};

	for (size_t k = 0; k < ELEMENTS(cases); k++) {
		char *text = strdup(cases[k].text);
		const char *got = cgroup_of_proc(text);

		if (cases[k].want)
			cr_expect(got && strcmp(got, cases[k].want) == 0, "%s", cases[k].text);
		else
			cr_expect(got == NULL, "%s", cases[k].text);
		free(text);
	}
}
