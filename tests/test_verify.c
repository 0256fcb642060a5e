/* SPDX-License-Identifier: Apache-2.0 */

/** first light */

#include "store/verify.h"

#include "tests/builder.h"
#include "tests/harness.h"

#include <stdio.h>

Suite(verify);

Test(verify, story)
{
	struct verified v = { 0 };
	struct builder b;
	struct vkey pin;
	char path[600];

	snprintf(path, sizeof path, "%s/s", tempdir());
	builder_story(&b, path);
	builder_done(&b);
	builder_verify(path, NULL, &v);
	printf("%s", v.findings.data);
	pin = v.report.key;
	builder_verify(path, &pin, &v);
	cr_expect(eq(int, v.error, 0));
	cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%s", v.findings.data);
	verified_done(&v);
}
