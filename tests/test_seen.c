/* SPDX-License-Identifier: Apache-2.0 */

/** What verify saw, in words and as JSON: one weakest point for each state of things, and nothing that is no JSON. */

#include "query/seen.h"

#include "tests/builder.h"
#include "tests/harness.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

Suite(seen);

static struct seen seen;

/* A host that is well, with a receipt for all that it has. */
static void make_well(void)
{
	seen = (struct seen){
		.pin = SEEN_GIVEN,
		.pins = "/etc/bulla/keys",
		.now_ns = 2000 * NS_PER_S,
		.report = {
			.commits = 100,
			.entries = 1000,
			.time_first = 100 * NS_PER_S,
			.time_last = 1990 * NS_PER_S,
			.has_key = true,
			.host = "web-1",
			.life = { .begun = true, .up = true },
		},
	};
	seen_receipt(&seen, &(struct receipt){
				    .destination = "http://far", .size = 100, .checked = true });
}

static const char *weakest(void)
{
	static char text[SEEN_WORDS];

	seen_weakest(&seen, text);
	return text;
}

static bool says(const char *what)
{
	return strstr(weakest(), what) != NULL;
}

static const struct finding cut = {
	.verdict = VERDICT_TAMPERED,
	.file = "ledger/0",
	.batch = UINT64_MAX,
	.commit = 7,
	.offset = 8,
	.what = "a record is damaged",
};

Test(seen, the_weakest_point_is_the_first_thing_to_think_of)
{
	make_well();
	cr_expect(says("from now on"), "%s", weakest());
	seen.report.commits = 103;
	cr_expect(says("the last 3 commits are acknowledged by no aggregator"), "%s", weakest());
	seen.n_receipts = 0;
	cr_expect(says("no aggregator has acknowledged"), "%s", weakest());
	seen.now_ns = 3000 * NS_PER_S;
	cr_expect(says("the last commit is 16min old, and the host did not say"), "%s", weakest());
	seen.report.life.up = false;
	cr_expect(says("if the host went on"), "%s", weakest());
	seen.pin = SEEN_HERE;
	cr_expect(says("pinned on this host only"), "%s", weakest());
	seen.report.unsealed_entries = 1;
	cr_expect(says("1 entry that no seal covers"), "%s", weakest());
	seen.pin = SEEN_NOWHERE;
	cr_expect(says("no key is pinned"), "%s", weakest());
	seen_finding(&seen, &cut);
	cr_expect(says("ledger/0: a record is damaged"), "%s", weakest());
	/* A receipt for all of it says that the end is the end. */
	make_well();
	seen.report.life.up = false;
	seen.now_ns = 3000 * NS_PER_S;
	cr_expect(says("from now on"), "%s", weakest());
}

Test(seen, receipts_of_most_commits_come_first)
{
	for (uint64_t i = 0; i < 3 * SEEN_RECEIPTS; i++) {
		struct receipt r = { .size = 7 * i % (3 * SEEN_RECEIPTS) };

		snprintf(r.destination, sizeof r.destination, "http://\033[2J%u", (unsigned) i);
		cr_expect(eq(int, seen_receipt(&seen, &r), 0));
	}
	cr_assert(eq(u32, seen.n_receipts, SEEN_RECEIPTS));
	for (uint64_t i = 0; i < SEEN_RECEIPTS; i++)
		cr_expect(eq(u64, seen.receipts[i].size, 3 * SEEN_RECEIPTS - 1 - i));
	cr_expect(eq(int, strncmp(seen.receipts[0].destination, "http://?[2J", 11), 0));
}

static json_t *as_json(void)
{
	_cleanup_buf_ struct buf text = { 0 };
	json_error_t e;
	json_t *j;

	buf_str(&text, "{\"findings\":[");
	seen_put_finding_json(&cut, &text);
	buf_str(&text, "],");
	seen_put_json(&seen, &text);
	buf_char(&text, '}');
	j = json_loadb((char *) text.data, text.len, JSON_REJECT_DUPLICATES, &e);
	cr_assert(j != NULL, "%s: %.*s", e.text, (int) text.len, (char *) text.data);
	return j;
}

static void expect_text(const json_t *j, const char *name, const char *want)
{
	const char *have = json_string_value(json_object_get(j, name));

	cr_expect(have && strcmp(have, want) == 0, "%s: %s", name, have);
}

Test(seen, json_has_all_of_it)
{
	const char *name = "verdict host key later_keys pinned covers dropped pruned unproved "
			   "unsealed from from_time to to_time up silences restarts receipts "
			   "weakest findings";
	char word[32];
	json_t *j;

	make_well();
	seen.report.life.silences =
		(struct life_spans){ { { 1100 * NS_PER_S, 1300 * NS_PER_S, 5 } }, 1, 20, 1 };
	seen.report.life.keys[0].commit = 9;
	seen.report.life.n_keys = 1;
	seen.pin = SEEN_HERE;
	snprintf(seen.report.host, sizeof seen.report.host, "a\"\\\n\x7f\xff\xc3\xa4");
	j = as_json();
	for (int n; sscanf(name, "%31s%n", word, &n) == 1; name += n)
		cr_expect(json_object_get(j, word) != NULL, "%s", word);
	expect_text(j, "host", "a\"\\\n\x7f\xef\xbf\xbd\xc3\xa4");
	expect_text(j, "pinned_in", "/etc/bulla/keys");
	expect_text(j, "to_time", "1970-01-01T00:33:10Z");
	cr_expect(eq(i64, json_integer_value(json_object_get(j, "to")), 1990000000));
	cr_expect(eq(i64, json_integer_value(json_object_get(j, "silences_count")), 20));
	json_decref(j);
}

Test(seen, words_have_all_of_it)
{
	static const char *const want[] = { "host      web-1\n",
					    "pinned    given with --key\n",
					    "covers    1000 entries",
					    "silent    20 times",
					    "          19 earlier ones\n",
					    "broke off 1 time: ",
					    "receipt   http://far has 100 commits",
					    "weakest   " };
	_cleanup_buf_ struct buf text = { 0 };

	make_well();
	seen.report.life.silences =
		(struct life_spans){ { { 1100 * NS_PER_S, 1300 * NS_PER_S, 5 } }, 1, 20, 1 };
	seen.report.life.restarts =
		(struct life_spans){ { { 1100 * NS_PER_S, 1300 * NS_PER_S, 5 } }, 1, 1, 1 };
	seen_put(&seen, &text);
	buf_char(&text, '\0');
	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		cr_expect(strstr((char *) text.data, want[i]) != NULL, "%s", want[i]);
}
