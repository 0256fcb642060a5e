/* SPDX-License-Identifier: Apache-2.0 */

#include "store/tenant.h"

#include "tests/harness.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

Suite(tenant);

Test(tenant, names_are_lawful_or_refused)
{
	static const struct {
		const char *name;
		bool lawful;
	} cases[] = {
		{ "default", true },
		{ "a", true },
		{ "0", true },
		{ "web.eu-1_b", true },
		{ "a..", true },
		{ "", false },
		{ ".", false },
		{ "..", false },
		{ "../../etc", false },
		{ "a/b", false },
		{ "-web", false },
		{ "_web", false },
		{ ".web", false },
		{ "Web", false },
		{ "w b", false },
		{ "web\n", false },
		{ "caf\303\251", false },
		{ "a%2f", false },
	};
	struct tenant t = { "untouched" };

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		int r = tenant_parse(cases[i].name, strlen(cases[i].name), &t);

		cr_expect(eq(int, r, cases[i].lawful ? 0 : -EINVAL), "%s", cases[i].name);
		if (cases[i].lawful)
			cr_expect(eq(str, t.name, (char *) cases[i].name));
	}
	cr_expect(eq(str, t.name, (char *) "a.."));
	cr_expect(eq(int, tenant_parse("a\0b", 3, &t), -EINVAL));
}

Test(tenant, a_name_has_a_limit)
{
	char name[TENANT_MAX + 1];
	struct tenant t;

	memset(name, 'x', sizeof name);
	cr_expect(eq(int, tenant_parse(name, TENANT_MAX, &t), 0));
	cr_expect(eq(sz, strlen(t.name), TENANT_MAX));
	cr_expect(eq(int, tenant_parse(name, TENANT_MAX + 1, &t), -EINVAL));
}

static struct tenant tenant_of_identity(struct field *fields, uint16_t n)
{
	struct context identity = { .fields = fields, .n_fields = n };
	struct contexts c = { 0 };
	struct tenant t;
	uint8_t leaf[400];
	struct wr w = wr_of(leaf, sizeof leaf);

	context_encode(&identity, &w);
	cr_assert(not(w.bad));
	cr_assert(eq(i64, contexts_add(&c, leaf, w.len), 0));
	t = tenant_of(&c);
	contexts_done(&c);
	return t;
}

static struct field field_of(const char *value)
{
	return (struct field){ (const uint8_t *) TENANT_FIELD, (const uint8_t *) value,
			       (uint32_t) strlen(value), STRLEN(TENANT_FIELD) };
}

Test(tenant, an_identity_says_whose_a_journal_is)
{
	struct field web = field_of("web"), path = field_of("../web");
	struct field two[] = { field_of("aa"), field_of("bb") };
	const struct contexts none = { 0 };

	cr_expect(eq(str, tenant_of_identity(&web, 1).name, (char *) "web"));
	cr_expect(eq(str, tenant_of_identity(two, 2).name, (char *) "aa"));
	/* What is no name is nobody's. */
	cr_expect(eq(str, tenant_of_identity(&path, 1).name, (char *) "default"));
	cr_expect(eq(str, tenant_of_identity(NULL, 0).name, (char *) "default"));
	cr_expect(eq(str, tenant_of(&none).name, (char *) "default"));
}
