/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_COMMANDS_H
#define BULLA_QUERY_COMMANDS_H

/**
 * The commands that read: each takes its own command line and returns its exit status.
 *
 * 0: done (query: also when nothing matched); 1: verify found tampering; 2: usage or input/output; 3, 4: see verify.h.
 */

int command_query(int argc, char **argv);
int command_tail(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_prove(int argc, char **argv);
int command_verify_proof(int argc, char **argv);
int command_keys(int argc, char **argv);
int command_status(int argc, char **argv);

enum { EXIT_USAGE = 2 };

#endif
