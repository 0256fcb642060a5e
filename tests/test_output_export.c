/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Exports are what systemd-journal-remote takes, and mapping a name to its rules never makes a field look trusted.
 */

#include "query/output.h"

#include "tests/sample.h"

#include <stdio.h>
#include <string.h>

Suite(output_export);

Test(output_export, export_is_the_journal_export_format)
{
	static const struct field own[] = { F("BIN", "\xff\n"), F("EMPTY", ""), F("TAB", "\t"),
					    F("__CURSOR", "forged") };
	static const char want[] = "__CURSOR=abababababababababababababababab:7\n"
				   "__REALTIME_TIMESTAMP=1795462441250000\n"
				   "__MONOTONIC_TIMESTAMP=5000\n"
				   "_BOOT_ID=cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n"
				   "__SEQNUM=7\n"
				   "__SEQNUM_ID=abababababababababababababababab\n"
				   "__SEALED=no\n"
				   "MESSAGE\n\3\0\0\0\0\0\0\0a\nb\n"
				   "PRIORITY=6\n"
				   "BIN\n\2\0\0\0\0\0\0\0\xff\n\n"
				   "EMPTY=\n"
				   "TAB=\t\n"
				   "_COMM=nginx\n_PID=42\n_STREAM=stdout\n"
				   "CONTAINER_NAME=web\n_HOSTNAME=host\n"
				   "\n";

	begin(OUTPUT_EXPORT);
	shown.has_mono = true;
	shown.mono_offset = 5000000 - (int64_t) SAMPLE_TIME;
	entry.fields = own;
	entry.n_fields = ELEMENTS(own);
	for (int i = 0; i < 2; i++) {
		show_message("a\nb");
		cr_assert(eq(sz, out.len, STRLEN(want)));
		cr_expect(eq(int, memcmp(out.data, want, out.len), 0));
	}
	end();
}

struct mapping {
	char name[80];
	char want[80];
};

ParameterizedTestParameters(output_export, exported_names_are_journalds)
{
	static struct mapping cases[] = {
		{ "NAME", "NAME" },
		{ "a_b9", "A_B9" },
		{ "_trusted", "_TRUSTED" },
		{ "com.example/x-y z", "COM_EXAMPLE_X_Y_Z" },
		{ "line\nMESSAGE", "LINE_MESSAGE" },
		/* What is not trusted is not made so. */
		{ "9lives", "X_9LIVES" },
		{ "-pid", "X__PID" },
		{ ".", "X__" },
		{ "\xc3\xa4", "X___" },
		{ "-_CURSOR", "X___CURSOR" },
		{ "N23456789012345678901234567890123456789012345678901234567890123456789",
		  "N234567890123456789012345678901234567890123456789012345678901234" },
		{ "323456789012345678901234567890123456789012345678901234567890123456789",
		  "X_32345678901234567890123456789012345678901234567890123456789012" },
	};

	return cr_make_param_array(struct mapping, cases, ELEMENTS(cases));
}

ParameterizedTest(struct mapping *c, output_export, exported_names_are_journalds)
{
	struct field f = F("", "value");
	char want[100];

	begin(OUTPUT_EXPORT);
	f.name = (const uint8_t *) c->name;
	f.name_len = (uint8_t) strlen(c->name);
	entry.fields = &f;
	entry.n_fields = 1;
	snprintf(want, sizeof want, "\n%s=value\n", c->want);
	cr_expect(strstr(show(), want) != NULL, "%s in %s", want, (char *) out.data);
	end();
}

Test(output_export, an_imported_entry_is_shown_as_it_came)
{
	struct field fields[] = { F("_BOOT_ID", "theirs"), F("__MONOTONIC_TIMESTAMP", "5"),
				  F("__OTHER", "x") };
	struct context_entry chain[] = { { .parent = -1, .import = CONTEXT_IMPORTED } };
	struct contexts contexts = { .at = chain, .n = 1 };

	begin(OUTPUT_EXPORT);
	shown.contexts = &contexts;
	shown.context = 0;
	shown.has_mono = true;
	entry.fields = fields;
	entry.n_fields = 3;
	cr_expect(ne(ptr, strstr(show(), "\nMESSAGE=hello\nPRIORITY=6\n"), NULL));
	cr_expect(ne(ptr, strstr(show(), "\n_BOOT_ID=theirs\n__MONOTONIC_TIMESTAMP=5\n"), NULL));
	cr_expect(eq(ptr, strstr(show(), "_BOOT_ID=cd"), NULL));
	cr_expect(eq(ptr, strstr(show(), "__OTHER"), NULL));
	chain[0].import |= CONTEXT_NO_MESSAGE | CONTEXT_NO_PRIORITY;
	output_forget_contexts(&output);
	cr_expect(eq(ptr, strstr(show(), "MESSAGE"), NULL));
	cr_expect(eq(ptr, strstr(show(), "PRIORITY"), NULL));
	/* Of any other entry it is what stands for the place. */
	chain[0].import = 0;
	output_forget_contexts(&output);
	cr_expect(eq(ptr, strstr(show(), "theirs"), NULL));
	cr_expect(ne(ptr, strstr(show(), "_BOOT_ID=cdcd"), NULL));
	end();
}
