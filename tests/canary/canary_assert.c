/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Fails if assert() is alive: contracts are checked in every build that is tested.
 */

#include <assert.h>

int main(int argc, char **argv)
{
	(void) argv;
	assert(argc == 0);
	return 0;
}
