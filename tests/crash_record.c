/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Plays a host in one process, for the crash simulator to record: crash_record STORY DIRECTORY.  Its state is in s/ there.
 *
 * trace_shim.c is linked in.  Keys are tiny, so that every renewal and every change of keys comes up.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/builder.h"

/* Two journals, a killed host that goes on at once, a reboot, an end, and another run. */
static void play_life(struct builder *b, const char *path)
{
	size_t web, db;

	builder_init(b, path, (struct kes_params){ 2, 2 });
	web = builder_open(b, "web");
	db = builder_open(b, "db");
	for (unsigned i = 0; i < 4; i++) {
		builder_log_many(b, web, 3);
		builder_flush(b, web);
		builder_log_many(b, web, 2);
		if (i % 2 == 0)
			builder_log_many(b, db, 2);
		builder_commit(b);
	}
	builder_log_many(b, web, 3);
	builder_flush(b, web);
	builder_log_many(b, db, 1);
	builder_flush(b, db);
	builder_crash(b);
	builder_restart(b, false);
	web = builder_open(b, "web");
	builder_log_many(b, web, 40);
	builder_commit(b);
	builder_log_many(b, web, 4);
	builder_flush(b, web);
	builder_crash(b);
	builder_restart(b, true);
	builder_end(b);
	builder_start(b, true);
	db = builder_open(b, "db");
	builder_log_many(b, db, 2);
	builder_commit(b);
	builder_end(b);
}

/* Keys of few seals: renewals and successors all the time. */
static void play_keys(struct builder *b, const char *path)
{
	size_t web;

	builder_init(b, path, (struct kes_params){ 2, 1 });
	web = builder_open(b, "web");
	for (unsigned i = 0; i < 9; i++) {
		builder_log_many(b, web, 1 + i % 3);
		builder_commit(b);
	}
	builder_end(b);
}

/* Large frames and many of them: torn writes have something to tear. */
static void play_bulk(struct builder *b, const char *path)
{
	size_t web;

	builder_init(b, path, (struct kes_params){ 3, 2 });
	web = builder_open(b, "web");
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = 0; k < 4; k++) {
			builder_log_many(b, web, 200);
			builder_flush(b, web);
		}
		builder_commit(b);
	}
	builder_log_many(b, web, 300);
	builder_flush(b, web);
	builder_log_many(b, web, 300);
	builder_flush(b, web);
	builder_crash(b);
	builder_restart(b, false);
	builder_end(b);
}

/* Many journals at once: much is in the air when the host stops. */
static void play_crowd(struct builder *b, const char *path)
{
	enum { JOURNALS = 5 };
	char name[8];

	builder_init(b, path, (struct kes_params){ 2, 2 });
	for (unsigned i = 0; i < JOURNALS; i++) {
		snprintf(name, sizeof name, "j%u", i);
		builder_open(b, name);
	}
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned i = 0; i < 2 * JOURNALS; i++) {
			builder_log_many(b, i % JOURNALS, 1 + i * 4);
			builder_flush(b, i % JOURNALS);
		}
		builder_commit(b);
	}
	for (unsigned i = 0; i < 2 * JOURNALS; i++) {
		builder_log_many(b, i % JOURNALS, 10);
		builder_flush(b, i % JOURNALS);
	}
	builder_crash(b);
	builder_restart(b, false);
	builder_end(b);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*play)(struct builder *b, const char *path);
	} stories[] = { { "life", play_life },
			{ "keys", play_keys },
			{ "bulk", play_bulk },
			{ "crowd", play_crowd } };
	struct builder b;
	char path[700];

	snprintf(path, sizeof path, "%s/s", argc == 3 ? argv[2] : "");
	for (size_t i = 0; argc == 3 && i < ELEMENTS(stories); i++)
		if (strcmp(argv[1], stories[i].name) == 0) {
			stories[i].play(&b, path);
			builder_done(&b);
			return 0;
		}
	fprintf(stderr, "usage: crash_record life|keys|bulk|crowd DIRECTORY\n");
	return 2;
}
